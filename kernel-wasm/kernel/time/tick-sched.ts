/**
 * The tick (kernel/time/tick-sched.c): each millisecond the APIC timer brings jiffies, CPU time, the
 * scheduler and the timers up to date. A CPU that has nothing to run stops it until its next timer
 * (NO_HZ_IDLE).
 */
import {
  CONFIG_CRASH_DUMP,
  CPUTIME_IDLE,
  CPUTIME_IRQ,
  CPUTIME_SOFTIRQ,
  CPUTIME_SYSTEM,
  CPUTIME_USER,
  HARDIRQ_MASK,
  HARDIRQ_OFFSET,
  SOFTIRQ_MASK,
  TICK_NSEC,
} from "../../include/generated/constants";
import { kernel_cpustat, tick_sched } from "../../include/generated/structs";
import { sym, this_cpu } from "../../include/generated/symbols";
import { lapic_next_deadline, setup_APIC_timer } from "../../arch/kernel/apic";
import { user_mode } from "../../arch/kernel/process";
import { scheduler_tick } from "../sched/core";
import { ktime_get, tick_do_update_jiffies64 } from "../time";
import { NO_TIMER, get_next_timer_interrupt, run_local_timers } from "./timer";

/** The first tick of this CPU; they come on the same nanoseconds on every CPU, where jiffies change. */
export function tick_setup_sched_timer(): void {
  setup_APIC_timer();
  tick_restart(this_cpu.tick_cpu_sched);
}

function tick_restart(ts: tick_sched): void {
  ts.tick_stopped = 0;
  ts.next_tick = sym.last_jiffies_update + TICK_NSEC;
  lapic_next_deadline(ts.next_tick);
}

/** Event handler of the timer interrupt. */
export function tick_nohz_handler(): void {
  const ts = this_cpu.tick_cpu_sched;
  tick_do_update_jiffies64();
  tick_sched_handle(ts);
  // While it idles without a tick, do_idle sets the next one.
  if (ts.tick_stopped) return;
  tick_restart(ts);
  ts.last_tick = ts.next_tick - TICK_NSEC;
}

export function tick_sched_handle(ts: tick_sched): void {
  update_process_times();
}

export function update_process_times(): void {
  account_process_tick();
  run_local_timers();
  scheduler_tick();
}

/** A tick's time goes to what it interrupted. */
function account_process_tick(): void {
  const stat = this_cpu.kernel_cpustat;
  const count = this_cpu.__preempt_count;
  if (user_mode(this_cpu.irq_regs)) stat.cpustat[CPUTIME_USER] += TICK_NSEC;
  else if ((count & SOFTIRQ_MASK) != 0) stat.cpustat[CPUTIME_SOFTIRQ] += TICK_NSEC;
  else if ((count & HARDIRQ_MASK) != HARDIRQ_OFFSET) stat.cpustat[CPUTIME_IRQ] += TICK_NSEC;
  else if (this_cpu.current_task == this_cpu.runqueues.idle) {
    // A stopped tick's time is accounted when the CPU wakes.
    if (!this_cpu.tick_cpu_sched.tick_stopped) stat.cpustat[CPUTIME_IDLE] += TICK_NSEC;
  } else stat.cpustat[CPUTIME_SYSTEM] += TICK_NSEC;
}

/** An interrupt that ends an idle sleep finds jiffies old. */
export function tick_irq_enter(): void {
  if (this_cpu.tick_cpu_sched.tick_stopped) tick_do_update_jiffies64();
}

export function tick_nohz_idle_enter(): void {
  if (CONFIG_CRASH_DUMP) return;
  const ts = this_cpu.tick_cpu_sched;
  ts.inidle = 1;
  ts.idle_entrytime = ktime_get();
}

/** Interrupts are off, and the CPU is about to halt: the next interrupt is the next timer's. */
export function tick_nohz_idle_stop_tick(): void {
  if (CONFIG_CRASH_DUMP) return;
  const ts = this_cpu.tick_cpu_sched;
  const next = get_next_timer_interrupt();
  ts.idle_calls += 1;
  if (!ts.tick_stopped) {
    ts.tick_stopped = 1;
    ts.idle_jiffies = sym.jiffies_64;
    ts.idle_sleeps += 1;
  }
  ts.timer_expires = next;
  if (next == NO_TIMER) {
    lapic_next_deadline(0);
    return;
  }
  const ticks = <i64>(next - sym.jiffies_64);
  lapic_next_deadline(sym.last_jiffies_update + (ticks > 0 ? <u64>ticks : 1) * TICK_NSEC);
}

/** The CPU has something to run. */
export function tick_nohz_idle_exit(): void {
  if (CONFIG_CRASH_DUMP) return;
  const ts = this_cpu.tick_cpu_sched;
  const stopped = ts.tick_stopped;
  const stat: kernel_cpustat = this_cpu.kernel_cpustat;
  ts.inidle = 0;
  ts.idle_exittime = ktime_get();
  ts.idle_sleeptime += ts.idle_exittime - ts.idle_entrytime;
  if (!stopped) return;
  tick_do_update_jiffies64();
  stat.cpustat[CPUTIME_IDLE] += (sym.jiffies_64 - ts.idle_jiffies) * TICK_NSEC;
  tick_restart(ts);
}
