/**
 * The last things a crashing kernel does (arch/x86/kernel/crash.c, reboot.c): its registers and, of a CPU
 * that gets the order, its stop. Nothing here allocates, locks or prints.
 */
import {
  APIC_DEST_ALLBUT,
  APIC_DM_NMI,
  CONFIG_SMP,
  KERNEL_CS,
  KERNEL_DS,
  NMI_HANDLED,
  NMI_LOCAL,
  X86_EFLAGS_FIXED,
} from "../../include/generated/constants";
import { pt_regs } from "../../include/generated/structs";
import { sym, this_cpu } from "../../include/generated/symbols";
import { num_online_cpus } from "../../kernel/cpu";
import { crash_save_cpu } from "../../kernel/crash_core";
import { local_irq_disable } from "../../kernel/irqflags";
import { mdelay } from "../../kernel/time";
import { atomic_dec, atomic_read, atomic_set } from "../../lib/atomic";
import { disable_local_APIC, hw_wrmsr_icr } from "./apic";
import { register_nmi_handler } from "./nmi";

@external("hw", "hlt") declare function hw_hlt(): void;

/** How long the others have to stop. */
const SHOOTDOWN_MS: i32 = 1000;

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

/** What another CPU does in the NMI of a crash: its registers go into its note. */
export function kdump_nmi_callback(cpu: u32, regs: pt_regs): void {
  crash_save_cpu(regs, cpu, this_cpu.current_task);
}

/**
 * NMI handler of a crash: this CPU stops for good, its stack as it was. Debuggers look for this name on the
 * stacks of the CPUs that did not crash.
 */
export function crash_nmi_callback(type: u32, regs: pt_regs): i32 {
  const cpu = get_cpu();
  // The crashing CPU's own NMI is somebody else's.
  if (<i32>cpu == sym.crashing_cpu) return NMI_HANDLED;
  local_irq_disable();
  kdump_nmi_callback(cpu, regs);
  disable_local_APIC();
  atomic_dec(sym.waiting_for_crash_ipi);
  for (;;) hw_hlt();
  return NMI_HANDLED;
}

/** Stops the other CPUs by NMI, each in crash_nmi_callback(); waits a second at most. */
export function nmi_shootdown_cpus(): void {
  local_irq_disable();
  sym.crashing_cpu = <i32>get_cpu();
  atomic_set(sym.waiting_for_crash_ipi, <i32>num_online_cpus() - 1);
  register_nmi_handler(NMI_LOCAL, sym.crash_nmi_callback_na, fnptr(crash_nmi_callback), c`crash`);
  sym.crash_ipi_issued = 1;
  hw_wrmsr_icr(APIC_DM_NMI | APIC_DEST_ALLBUT, 0);
  for (let ms = 0; ms < SHOOTDOWN_MS && atomic_read(sym.waiting_for_crash_ipi) > 0; ms++) mdelay(1);
}

function kdump_nmi_shootdown_cpus(): void {
  nmi_shootdown_cpus();
  disable_local_APIC();
}

/** Once: panic() may have done it before its notifiers. */
export function crash_smp_send_stop(): void {
  if (sym.cpus_stopped) return;
  kdump_nmi_shootdown_cpus();
  sym.cpus_stopped = 1;
}

/** Tools ask crashing_cpu which CPU's stack to show first. */
function native_machine_crash_shutdown(regs: pt_regs): void {
  local_irq_disable();
  sym.crashing_cpu = <i32>get_cpu();
  if (CONFIG_SMP) {
    crash_smp_send_stop();
    disable_local_APIC();
  }
  crash_save_cpu(regs, get_cpu(), this_cpu.current_task);
}
