/**
 * Interrupts (arch/x86/kernel/irq.c, irq_64.c, entry/entry_64.S). A poll that the link step put into the
 * running code calls asm_interrupt when the fuel is used up; it asks the machine what comes. As the hardware
 * does, it goes by the IDT. An NMI has a stack of its own, its registers at the end:
 *
 *     end - 168     struct pt_regs                         <- sp of asm_exc_nmi
 *     end - 184     {saved rbp, return to asm_exc_nmi}     record of exc_nmi
 *
 * The registers of an interrupt go below the interrupted function's record, then the CPU changes to its
 * interrupt stack, whose last word leads back; soft interrupts run there too:
 *
 *     sp            {saved rbp, return address}            record of the interrupted function
 *     sp - 176      struct pt_regs
 *     end - 8       address of the registers               <- sp of asm_sysvec_*
 *     end - 24      {saved rbp, return to asm_sysvec_*}    record of sysvec_*
 *
 * An interrupt that comes on the interrupt stack stays there: the word that leads to the registers is below
 * them then. A task's stack cannot be switched in wasm, so an interrupt never does: it sets
 * TIF_NEED_RESCHED, and a user task yields on its way back to user mode, a kernel thread when it sleeps.
 */
import {
  CONFIG_CRASH_DUMP,
  IST_INDEX_NMI,
  NMI_NOT_RUNNING,
  PT_REGS_SIZE,
  X86_EFLAGS_IF,
  X86_TRAP_NMI,
} from "../../include/generated/constants";
import { pt_regs } from "../../include/generated/structs";
import { this_cpu } from "../../include/generated/symbols";
import { irq_enter_rcu, irq_exit_rcu } from "../../kernel/softirq";
import { tick_nohz_handler } from "../../kernel/time/tick-sched";
import { on_exception_stack } from "./dumpstack_64";
import { gate_offset } from "./idt";
import { asm_sysvec_call_function, asm_sysvec_reboot } from "./smp";
import { fill_kernel_regs } from "./process_regs";

@external("hw", "iack") declare function hw_iack(enabled: i32): i32;

/** The polls' handler: frameless, and itself without polls. */
export function asm_interrupt(): void {
  const sp = get_sp();
  // Before the first call, whose return address would take the place of the interrupted function's last one.
  set_sp(sp - PT_REGS_SIZE - 8);
  if (CONFIG_CRASH_DUMP) {
    hw_iack(0);
  } else {
    const enabled = this_cpu.hardirqs_enabled;
    const vector = hw_iack(enabled);
    if (vector) {
      this_cpu.hardirqs_enabled = 0;
      const handler = gate_offset(vector);
      if (!handler) this_cpu.irq_stat.irq_spurious_count += 1;
      else if (vector == X86_TRAP_NMI) enter_nmi(handler, sp, enabled);
      else enter_interrupt(handler, sp, enabled);
      this_cpu.hardirqs_enabled = enabled;
    }
  }
  set_sp(sp);
}

@inline function save_regs(at: usize, sp: usize, enabled: i32): pt_regs {
  const regs = changetype<pt_regs>(at);
  fill_kernel_regs(regs, sp, <u64>-1);
  regs.flags = enabled ? 0x46 | X86_EFLAGS_IF : 0x46;
  return regs;
}

/** One that comes inside another, whose registers are at the stack's end, waits for its end where it came. */
@inline function enter_nmi(handler: u64, sp: usize, enabled: i32): void {
  const inside = on_exception_stack(sp, IST_INDEX_NMI) || this_cpu.nmi_state != NMI_NOT_RUNNING;
  const end = inside ? sp - 8 : pa(this_cpu.cpu_tss_rw.x86_tss.ist[IST_INDEX_NMI]);
  const regs = save_regs(end - PT_REGS_SIZE, sp, enabled);
  const fn = text_index(handler);
  set_sp(changetype<usize>(regs));
  call_indirect<void>(fn, regs);
}

@inline function enter_interrupt(handler: u64, sp: usize, enabled: i32): void {
  const regs = save_regs(sp - PT_REGS_SIZE - 8, sp, enabled);
  const fn = text_index(handler);
  if (!this_cpu.hardirq_stack_inuse) {
    const last = pa(this_cpu.hardirq_stack_ptr_va);
    store<u64>(last, va(changetype<usize>(regs)));
    this_cpu.hardirq_stack_inuse = true;
    set_sp(last);
    call_indirect<void>(fn, regs);
    this_cpu.hardirq_stack_inuse = false;
  } else {
    // What looks for frames word by word would take the interrupted function's last call for one.
    const call = load<u64>(sp - 8);
    store<u64>(sp - 8, 0);
    const last = changetype<usize>(regs) - 8;
    store<u64>(last, va(changetype<usize>(regs)));
    set_sp(last);
    call_indirect<void>(fn, regs);
    store<u64>(sp - 8, call);
  }
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

/** Frameless entries of interrupts: their records are followed by the address of pt_regs. */
export function is_interrupt_entry(fn: u64): bool {
  if (CONFIG_CRASH_DUMP) return false;
  return fn == fnptr(asm_sysvec_apic_timer_interrupt) || fn == fnptr(asm_sysvec_reschedule_ipi) ||
    fn == fnptr(asm_sysvec_call_function) || fn == fnptr(asm_sysvec_reboot);
}
