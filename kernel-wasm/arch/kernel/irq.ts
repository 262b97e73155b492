/**
 * Interrupts (arch/x86/kernel/irq.c, entry/entry_64.S). A poll that the link step put into the running code
 * calls asm_interrupt when the fuel is used up; it asks the machine what comes. The registers go below the
 * interrupted function's record, as those of an exception do (traps.ts), and the handler runs on the same
 * stack:
 *
 *     sp            {saved rbp, return address}            record of the interrupted function
 *     sp - 176      struct pt_regs                         <- sp of asm_sysvec_*, asm_exc_nmi
 *     sp - 192      {saved rbp, return to asm_sysvec_*}    record of sysvec_*
 *
 * A stack cannot be switched in wasm, so an interrupt never does: it sets TIF_NEED_RESCHED, and a user task
 * yields on its way back to user mode, a kernel thread when it sleeps.
 */
import {
  CALL_FUNCTION_VECTOR,
  CONFIG_CRASH_DUMP,
  LOCAL_TIMER_VECTOR,
  PT_REGS_SIZE,
  REBOOT_VECTOR,
  RESCHEDULE_VECTOR,
  X86_EFLAGS_IF,
  X86_TRAP_NMI,
} from "../../include/generated/constants";
import { pt_regs } from "../../include/generated/structs";
import { this_cpu } from "../../include/generated/symbols";
import { irq_enter_rcu, irq_exit_rcu } from "../../kernel/softirq";
import { tick_nohz_handler } from "../../kernel/time/tick-sched";
import { asm_exc_nmi } from "./nmi";
import { asm_sysvec_call_function, asm_sysvec_reboot } from "./smp";
import { fill_kernel_regs } from "./process_regs";

@external("hw", "iack") declare function hw_iack(enabled: i32): i32;

/** The polls' handler: frameless, and itself without polls. */
export function asm_interrupt(): void {
  const sp = get_sp();
  const regs = changetype<pt_regs>(sp - PT_REGS_SIZE - 8);
  // Before the first call, whose return address would take the place of the interrupted function's last one.
  set_sp(changetype<usize>(regs));
  if (CONFIG_CRASH_DUMP) {
    hw_iack(0);
  } else {
    const enabled = this_cpu.hardirqs_enabled;
    const vector = hw_iack(enabled);
    if (vector) {
      this_cpu.hardirqs_enabled = 0;
      fill_kernel_regs(regs, sp, <u64>-1);
      regs.flags = enabled ? 0x46 | X86_EFLAGS_IF : 0x46;
      if (vector == X86_TRAP_NMI) asm_exc_nmi(regs);
      else if (vector == LOCAL_TIMER_VECTOR) asm_sysvec_apic_timer_interrupt(regs);
      else if (vector == RESCHEDULE_VECTOR) asm_sysvec_reschedule_ipi(regs);
      else if (vector == CALL_FUNCTION_VECTOR) asm_sysvec_call_function(regs);
      else if (vector == REBOOT_VECTOR) asm_sysvec_reboot(regs);
      else this_cpu.irq_stat.irq_spurious_count += 1;
      this_cpu.hardirqs_enabled = enabled;
    }
  }
  set_sp(sp);
}

export function asm_sysvec_apic_timer_interrupt(regs: pt_regs): void {
  sysvec_apic_timer_interrupt(regs);
}

export function sysvec_apic_timer_interrupt(regs: pt_regs): void {
  irq_enter_rcu();
  __sysvec_apic_timer_interrupt(regs);
  irq_exit_rcu();
}

export function __sysvec_apic_timer_interrupt(regs: pt_regs): void {
  const old = this_cpu.irq_regs;
  this_cpu.irq_regs = regs;
  local_apic_timer_interrupt();
  this_cpu.irq_regs = old;
}

export function local_apic_timer_interrupt(): void {
  this_cpu.irq_stat.apic_timer_irqs += 1;
  tick_nohz_handler();
}

export function asm_sysvec_reschedule_ipi(regs: pt_regs): void {
  sysvec_reschedule_ipi(regs);
}

/** Another CPU has set TIF_NEED_RESCHED here: what matters is that this CPU woke up. */
export function sysvec_reschedule_ipi(regs: pt_regs): void {
  this_cpu.irq_stat.irq_resched_count += 1;
}

/** Frameless entries of interrupts: their records are followed by pt_regs. */
export function is_interrupt_entry(fn: u64): bool {
  if (CONFIG_CRASH_DUMP) return false;
  return fn == fnptr(asm_sysvec_apic_timer_interrupt) || fn == fnptr(asm_sysvec_reschedule_ipi) ||
    fn == fnptr(asm_sysvec_call_function) || fn == fnptr(asm_sysvec_reboot) || fn == fnptr(asm_exc_nmi);
}
