/**
 * The last things a crashing kernel does (arch/x86/kernel/crash.c, reboot.c): its registers and, of a CPU
 * that gets the order, its stop. Nothing here allocates, locks or prints.
 */
import { CONFIG_CRASH_DUMP, KERNEL_CS, KERNEL_DS, X86_EFLAGS_FIXED } from "../../include/generated/constants";
import { pt_regs } from "../../include/generated/structs";
import { sym, this_cpu } from "../../include/generated/symbols";
import { crash_save_cpu } from "../../kernel/crash_core";
import { local_irq_disable } from "../../kernel/irqflags";
import { disable_local_APIC } from "./apic";

/**
 * push %rbp; mov %rsp,%rbp: what lies before the first instruction that a debugger may call "in the
 * function".
 */
const PROLOGUE_BYTES: u64 = 4;

/**
 * The registers of the crash: those of the trap (`old`, a pt_regs), or of the caller when it is 0. Inlined,
 * so that get_sp() is the record that the caller itself pushed; `ip` is the caller's text address.
 */
@inline
export function crash_setup_regs(regs: pt_regs, old: usize, ip: u64): void {
  if (old != 0) {
    memory.copy(changetype<usize>(regs), old, pt_regs.SIZE);
  } else {
    memory.fill(changetype<usize>(regs), 0, pt_regs.SIZE);
    regs.bp = va(get_sp());
    regs.sp = regs.bp;
    regs.ip = ip + PROLOGUE_BYTES;
    regs.cs = KERNEL_CS;
    regs.ss = KERNEL_DS;
    regs.flags = X86_EFLAGS_FIXED;
  }
}

export function machine_crash_shutdown(regs: pt_regs): void {
  native_machine_crash_shutdown(regs);
}

/** Tools ask crashing_cpu which CPU's stack to show first. */
function native_machine_crash_shutdown(regs: pt_regs): void {
  local_irq_disable();
  sym.crashing_cpu = <i32>get_cpu();
  if (!CONFIG_CRASH_DUMP) disable_local_APIC();
  crash_save_cpu(regs, get_cpu(), this_cpu.current_task);
}
