/** Soft interrupts (kernel/softirq.c): what an interrupt leaves to do, run at its end with interrupts on. */
import {
  HARDIRQ_OFFSET,
  NR_SOFTIRQS,
  SOFTIRQ_OFFSET,
} from "../include/generated/constants";
import { softirq_action } from "../include/generated/structs";
import { sym, this_cpu } from "../include/generated/symbols";
import { in_interrupt, local_irq_disable, local_irq_enable } from "./irqflags";
import { tick_irq_enter } from "./time/tick-sched";

/** Rounds of __do_softirq() before what is new waits for the next interrupt. */
const MAX_SOFTIRQ_RESTART: i32 = 10;

export function open_softirq(nr: u32, action: u64): void {
  const entry: softirq_action = sym.softirq_vec[nr];
  entry.action = action;
}

/** Interrupts are off. */
export function raise_softirq_irqoff(nr: u32): void {
  this_cpu.irq_stat.__softirq_pending = <u16>(<u32>this_cpu.irq_stat.__softirq_pending | (1 << nr));
}

export function irq_enter_rcu(): void {
  this_cpu.__preempt_count += HARDIRQ_OFFSET;
  tick_irq_enter();
}

export function irq_exit_rcu(): void {
  this_cpu.__preempt_count -= HARDIRQ_OFFSET;
  if (!in_interrupt() && this_cpu.irq_stat.__softirq_pending) __do_softirq();
}

export function __do_softirq(): void {
  this_cpu.__preempt_count += SOFTIRQ_OFFSET;
  for (let round = 0; round < MAX_SOFTIRQ_RESTART; round++) {
    const pending = <u32>this_cpu.irq_stat.__softirq_pending;
    if (!pending) break;
    this_cpu.irq_stat.__softirq_pending = 0;
    local_irq_enable();
    for (let nr: u32 = 0; nr < NR_SOFTIRQS; nr++) {
      if (!((pending >> nr) & 1)) continue;
      const entry: softirq_action = sym.softirq_vec[nr];
      if (entry.action) call_indirect<void>(text_index(entry.action), entry);
    }
    local_irq_disable();
  }
  this_cpu.__preempt_count -= SOFTIRQ_OFFSET;
}
