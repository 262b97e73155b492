/**
 * The interrupt flag, and where the code runs (include/linux/{irqflags,preempt}.h). An interrupt comes
 * between any two turns of a loop and at any function's entry, so what both an interrupt and other code
 * change needs interrupts off. The capture kernel has none.
 */
import {
  CONFIG_CRASH_DUMP,
  HARDIRQ_MASK,
  NMI_MASK,
  SOFTIRQ_MASK,
} from "../include/generated/constants";
import { this_cpu } from "../include/generated/symbols";

@inline
export function irqs_disabled(): bool {
  if (CONFIG_CRASH_DUMP) return true;
  return this_cpu.hardirqs_enabled == 0;
}

@inline
export function local_irq_disable(): void {
  if (!CONFIG_CRASH_DUMP) this_cpu.hardirqs_enabled = 0;
}

@inline
export function local_irq_enable(): void {
  if (!CONFIG_CRASH_DUMP) this_cpu.hardirqs_enabled = 1;
}

/** Interrupts off; what local_irq_restore() takes. */
@inline
export function local_irq_save(): i32 {
  if (CONFIG_CRASH_DUMP) return 0;
  const flags = this_cpu.hardirqs_enabled;
  this_cpu.hardirqs_enabled = 0;
  return flags;
}

@inline
export function local_irq_restore(flags: i32): void {
  if (!CONFIG_CRASH_DUMP) this_cpu.hardirqs_enabled = flags;
}

/** In an interrupt, a soft one, or an NMI. */
export function in_interrupt(): bool {
  if (CONFIG_CRASH_DUMP) return false;
  return (this_cpu.__preempt_count & (NMI_MASK | HARDIRQ_MASK | SOFTIRQ_MASK)) != 0;
}

export function in_nmi(): bool {
  if (CONFIG_CRASH_DUMP) return false;
  return (this_cpu.__preempt_count & NMI_MASK) != 0;
}
