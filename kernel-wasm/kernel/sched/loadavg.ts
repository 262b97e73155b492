/**
 * The load average (kernel/sched/loadavg.c): runnable and uninterruptible tasks, folded from each run queue
 * every five seconds into three decaying means.
 */
import { FIXED_1, LOAD_FREQ } from "../../include/generated/constants";
import { rq } from "../../include/generated/structs";
import { atomic64_add } from "../../lib/atomic";
import { sym } from "../../include/generated/symbols";

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
  atomic64_add(active - q.calc_load_active, sym.calc_load_tasks);
  q.calc_load_active = active;
}

/** At a tick. */
export function calc_global_load_tick(q: rq): void {
  if (sym.jiffies_64 < q.calc_load_update) return;
  calc_load_fold_active(q);
  q.calc_load_update = sym.jiffies_64 + LOAD_FREQ;
}

/**
 * Jiffies have passed the next sample; several, after an idle time without ticks. Under jiffies_lock, by the
 * CPU that moved them.
 */
export function calc_global_load(): void {
  if (sym.calc_load_update == 0) sym.calc_load_update = sym.jiffies_64 + LOAD_FREQ;
  while (sym.jiffies_64 >= sym.calc_load_update) {
    const tasks = sym.calc_load_tasks.counter;
    const active = tasks > 0 ? <u64>tasks * FIXED_1 : 0;
    sym.avenrun[0] = calc_load(sym.avenrun[0], EXP_1, active);
    sym.avenrun[1] = calc_load(sym.avenrun[1], EXP_5, active);
    sym.avenrun[2] = calc_load(sym.avenrun[2], EXP_15, active);
    sym.calc_load_update += LOAD_FREQ;
  }
}
