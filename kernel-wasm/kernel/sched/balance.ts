/**
 * Which CPU a task runs on (of kernel/sched/fair.c): chosen when it wakes up or is new, and changed when a
 * CPU that is about to idle takes one that waits elsewhere.
 */
import { CONFIG_SMP } from "../../include/generated/constants";
import { rq, task_struct } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { get_current } from "../../arch/kernel/current";
import {
  activate_task,
  cpu_rq,
  deactivate_task,
  raw_spin_rq_lock,
  raw_spin_rq_unlock,
  update_rq_clock,
} from "./core";
import { pick_next_task_fair } from "./fair";

/** Which CPUs a task may run on, from when it wakes up next. */
export function set_cpus_allowed(p: task_struct, mask: u64): void {
  p.cpus_mask.bits[0] = mask;
  p.nr_cpus_allowed = <i32>popcnt<u64>(mask);
}

/** The other CPUs are up: init and kthreadd, and what they start, may run on all. */
export function sched_init_smp(): void {
  const all = sym.__cpu_possible_mask.bits[0];
  set_cpus_allowed(get_current(), all);
  set_cpus_allowed(sym.kthreadd_task, all);
}

/** Whether a CPU has nothing to do. */
function available_idle_cpu(cpu: u32): bool {
  const q = cpu_rq(cpu);
  return q.curr == q.idle && q.nr_running == 0;
}

@inline
function cpu_allowed(p: task_struct, cpu: u32): bool {
  return ((p.cpus_mask.bits[0] & sym.__cpu_active_mask.bits[0]) >> cpu & 1) != 0;
}

/**
 * Where a task that wakes up runs: where it last ran if that CPU is idle or none is, else on the next idle
 * one. With `fork`, on the CPU with the fewest tasks, from its creator's on.
 */
function select_task_rq_fair(p: task_struct, prev: u32, fork: bool): u32 {
  const cpus = <u32>sym.nr_cpu_ids;
  let best = prev;
  if (!cpu_allowed(p, prev)) {
    best = 0;
    while (best + 1 < cpus && !cpu_allowed(p, best)) best++;
  } else if (!fork && available_idle_cpu(prev)) return prev;
  for (let i: u32 = 1; i < cpus; i++) {
    const cpu = (prev + i) % cpus;
    if (!cpu_allowed(p, cpu)) continue;
    if (fork) {
      if (cpu_rq(cpu).nr_running < cpu_rq(best).nr_running) best = cpu;
    } else if (available_idle_cpu(cpu)) return cpu;
  }
  return best;
}

/** For a task that wakes up, or is new with `fork`; `prev` is where it last was. */
export function select_task_rq(p: task_struct, prev: u32, fork: bool): u32 {
  if (!CONFIG_SMP || p.nr_cpus_allowed == 1) return prev;
  return select_task_rq_fair(p, prev, fork);
}

/** Moves a task that is on no queue; its virtual time is counted from the new queue's. */
export function set_task_cpu(p: task_struct, cpu: u32): void {
  if (p.cpu == cpu) return;
  p.se.vruntime += cpu_rq(cpu).cfs.min_vruntime - cpu_rq(p.cpu).cfs.min_vruntime;
  p.se.nr_migrations += 1;
  p.cpu = cpu;
}

/**
 * This CPU is about to idle: it takes a task that waits on the busiest other one. Both queues are locked,
 * the lower CPU's first; the own lock is let go of for that.
 */
export function newidle_balance(q: rq): void {
  const self = <u32>q.cpu;
  for (let i: u32 = 1; i < <u32>sym.nr_cpu_ids; i++) {
    const cpu = (self + i) % <u32>sym.nr_cpu_ids;
    const busy = cpu_rq(cpu);
    if (busy.nr_running < 2) continue;
    if (cpu < self) {
      raw_spin_rq_unlock(q);
      raw_spin_rq_lock(busy);
      raw_spin_rq_lock(q);
    } else raw_spin_rq_lock(busy);
    pull_task(q, busy);
    raw_spin_rq_unlock(busy);
    if (q.nr_running) return;
  }
}

/** Moves the task that waits longest; the running one is in no tree. */
function pull_task(q: rq, busy: rq): void {
  if (busy.nr_running < 2) return;
  const p = pick_next_task_fair(busy);
  if (isnull(p) || p == busy.curr || p.nr_cpus_allowed == 1 || !cpu_allowed(p, q.cpu)) return;
  update_rq_clock(busy);
  deactivate_task(busy, p);
  set_task_cpu(p, q.cpu);
  update_rq_clock(q);
  activate_task(q, p, 0);
}
