/**
 * The idle task (kernel/sched/idle.c). The CPU halts until an interrupt, and without a tick unless a timer
 * needs one; when there is none either, nothing will ever wake the machine, and it stops.
 */
import { CONFIG_CRASH_DUMP } from "../../include/generated/constants";
import { local_irq_disable, local_irq_enable } from "../irqflags";
import { tick_nohz_idle_enter, tick_nohz_idle_exit, tick_nohz_idle_stop_tick } from "../time/tick-sched";
import { need_resched, schedule_idle } from "./core";

@external("hw", "hlt") declare function hw_hlt(): void;
@external("hw", "sti_hlt") declare function hw_sti_hlt(): void;

export function default_idle(): void {
  if (CONFIG_CRASH_DUMP) {
    hw_hlt();
  } else {
    local_irq_enable();
    hw_sti_hlt();
  }
}

function do_idle(): void {
  tick_nohz_idle_enter();
  while (!need_resched()) {
    local_irq_disable();
    tick_nohz_idle_stop_tick();
    default_idle();
  }
  tick_nohz_idle_exit();
  schedule_idle();
}

export function cpu_startup_entry(): void {
  while (true) do_idle();
}
