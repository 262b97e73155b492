/**
 * The preemption count (include/linux/preempt.h). An interrupt never switches tasks here, so what the count
 * guards is sleeping: it goes up with every lock, and schedule() with a count is a bug that is reported
 * (kernel/sched/core.ts). The capture kernel has one CPU and no interrupts, and counts nothing.
 */
import { CONFIG_SMP, PREEMPT_OFFSET } from "../../include/generated/constants";
import { this_cpu } from "../../include/generated/symbols";

@inline
export function preempt_disable(): void {
  if (CONFIG_SMP) this_cpu.__preempt_count += PREEMPT_OFFSET;
}

@inline
export function preempt_enable(): void {
  if (CONFIG_SMP) this_cpu.__preempt_count -= PREEMPT_OFFSET;
}

@inline
export function preempt_count(): u32 {
  return CONFIG_SMP ? this_cpu.__preempt_count : 0;
}
