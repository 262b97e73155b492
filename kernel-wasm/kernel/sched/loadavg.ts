/**
 * The load average (kernel/sched/loadavg.c): runnable and uninterruptible tasks, folded from each run queue
 * every five seconds into three decaying means.
 */
import { FIXED_1, LOAD_FREQ } from "../../include/generated/constants";
import { rq } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { atomic_long_add, atomic_long_read } from "../../lib/atomic";

/** 1/exp(5s/1min), 5min, 15min in fixed point. */
const EXP_1: u64 = 1884;
const EXP_5: u64 = 2014;
const EXP_15: u64 = 2037;

function calc_load(load: u64, exp: u64, active: u64): u64 {
  let next = load * exp + active * (FIXED_1 - exp);
  if (active >= load) next += FIXED_1 - 1;
  return next / FIXED_1;
}

/** Brings a run queue's share of calc_load_tasks up to date. */
function calc_load_fold_active(q: rq): void {
  const active = <i64>(q.nr_running + q.nr_uninterruptible);
  atomic_long_add(active - q.calc_load_active, sym.calc_load_tasks);
  q.calc_load_active = active;
}

/** At each CPU's tick, with its run queue locked. */
export function calc_global_load_tick(q: rq): void {
  if (sym.jiffies_64 < q.calc_load_update) return;
  calc_load_fold_active(q);
  q.calc_load_update = sym.jiffies_64 + LOAD_FREQ;
}

/**
 * Once for the machine, under jiffies_lock: jiffies has passed the next sample; several, after an idle time
 * without ticks.
 */
export function calc_global_load(): void {
  if (sym.calc_load_update == 0) sym.calc_load_update = sym.jiffies_64 + LOAD_FREQ;
  while (sym.jiffies_64 >= sym.calc_load_update) {
    const tasks = atomic_long_read(sym.calc_load_tasks);
    const active = tasks > 0 ? <u64>tasks * FIXED_1 : 0;
    sym.avenrun[0] = calc_load(sym.avenrun[0], EXP_1, active);
    sym.avenrun[1] = calc_load(sym.avenrun[1], EXP_5, active);
    sym.avenrun[2] = calc_load(sym.avenrun[2], EXP_15, active);
    sym.calc_load_update += LOAD_FREQ;
  }
}
