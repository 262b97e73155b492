/**
 * Which stack an address is on (arch/x86/kernel/dumpstack_64.c): the task's, or one of this CPU's own: for
 * interrupts, double faults, NMIs. A kernel without interrupts has the task's only.
 */
import {
  CONFIG_CRASH_DUMP,
  EXCEPTION_STKSZ,
  IRQ_STACK_SIZE,
  IST_INDEX_DF,
  IST_INDEX_NMI,
  STACK_TYPE_EXCEPTION,
  STACK_TYPE_IRQ,
  STACK_TYPE_TASK,
  THREAD_SIZE,
} from "../../include/generated/constants";
import { this_cpu } from "../../include/generated/symbols";

@inline function lies_below(at: usize, end: u64, size: u32): bool {
  const address = va(at);
  return end != 0 && address < end && address >= end - size;
}

/** End of this CPU's interrupt stack. */
@inline function irq_stack_end(): u64 {
  const last = this_cpu.hardirq_stack_ptr_va;
  return last ? last + 8 : 0;
}

/** One of STACK_TYPE_*; that of an exception's stack has its number in the TSS added. */
export function stack_type(at: usize): i32 {
  if (CONFIG_CRASH_DUMP) return STACK_TYPE_TASK;
  if (lies_below(at, irq_stack_end(), IRQ_STACK_SIZE)) return STACK_TYPE_IRQ;
  for (let i = IST_INDEX_DF; i <= IST_INDEX_NMI; i++) {
    if (lies_below(at, this_cpu.cpu_tss_rw.x86_tss.ist[i], EXCEPTION_STKSZ)) return STACK_TYPE_EXCEPTION + i;
  }
  return STACK_TYPE_TASK;
}

/** Whether an address is on this CPU's stack for exception `index`. */
export function on_exception_stack(at: usize, index: i32): bool {
  return lies_below(at, this_cpu.cpu_tss_rw.x86_tss.ist[index], EXCEPTION_STKSZ);
}

export function stack_type_name(type: i32): usize {
  if (CONFIG_CRASH_DUMP || type == STACK_TYPE_TASK) return c`TASK`;
  if (type == STACK_TYPE_IRQ) return c`IRQ`;
  return type == STACK_TYPE_EXCEPTION + IST_INDEX_DF ? c`#DF` : c`NMI`;
}

/** The end of the stack that an address lies in. Above a task's records are its user registers, then this. */
export function stack_end(at: usize): usize {
  const base = at & ~(THREAD_SIZE - 1);
  return base + (stack_type(at) >= STACK_TYPE_EXCEPTION ? EXCEPTION_STKSZ : THREAD_SIZE);
}
