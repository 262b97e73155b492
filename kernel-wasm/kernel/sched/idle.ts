/**
 * The idle task (kernel/sched/idle.c). The machine stops at hlt until an interrupt; it then comes back by
 * cpu_resume.
 */
import { need_resched, schedule_idle } from "./core";

@external("hw", "hlt") declare function hw_hlt(): void;

export function default_idle(): void {
  hw_hlt();
}

function do_idle(): void {
  while (!need_resched()) default_idle();
  schedule_idle();
}

export function cpu_startup_entry(): void {
  while (true) do_idle();
}
