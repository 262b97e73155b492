/**
 * The scheduler's core (kernel/sched/core.c): run queues, waking, schedule(). wasm cannot switch stacks, so a
 * switch does not return: a task that sleeps starts its operation again when it is woken
 * (arch/kernel/process.ts). Hence the rule for every caller of schedule(): sleep before an effect that a
 * second run would repeat, or keep the progress in an object. The forms are in wait.ts.
 */
import {
  CONFIG_NR_CPUS,
  CONFIG_SMP,
  DEFAULT_PRIO,
  MAX_RT_PRIO,
  PF_IDLE,
  PF_KTHREAD,
  TAINT_WARN,
  TASK_DEAD,
  TASK_NEW,
  TASK_ON_RQ_QUEUED,
  TASK_RUNNING,
  TASK_UNINTERRUPTIBLE,
  TASK_NOLOAD,
  TIF_NEED_RESCHED,
  WEIGHT_NICE_0,
  _TIF_NEED_RESCHED,
} from "../../include/generated/constants";
import { rq, task_struct } from "../../include/generated/structs";
import { percpu, sym, this_cpu } from "../../include/generated/symbols";
import { get_current } from "../../arch/kernel/current";
import { __switch_to_asm } from "../../arch/kernel/process";
import { INIT_LIST_HEAD } from "../../lib/list";
import { snprintf } from "../../lib/vsprintf";
import { dump_stack } from "../../lib/dump_stack";
import { mmdrop, put_task_stack, put_task_struct } from "../fork";
import { local_irq_disable, local_irq_enable, local_irq_restore, local_irq_save } from "../irqflags";
import { preempt_count } from "../locking/preempt";
import { add_taint } from "../panic";
import { pr_err } from "../printk/printk";
import { local_clock as sched_clock } from "../time";
import { calc_global_load_tick } from "./loadavg";
import {
  check_preempt_tick,
  check_preempt_wakeup,
  dequeue_task_fair,
  enqueue_task_fair,
  pick_next_task_fair,
  put_prev_task_fair,
  set_next_task_fair,
  task_fork_fair,
  update_curr,
} from "./fair";

@external("hw", "write_cr3") declare function hw_write_cr3(pgd: usize): void;

export const ENQUEUE_WAKEUP: i32 = 1;
export const ENQUEUE_INITIAL: i32 = 0x20;

/** Prepares every CPU's run queue, and makes the running code the boot CPU's idle task. */
export function sched_init(): void {
  for (let cpu: u32 = 0; cpu < <u32>sym.nr_cpu_ids; cpu++) {
    const q = percpu.runqueues(cpu);
    memory.fill(changetype<usize>(q), 0, rq.SIZE);
    q.cpu = cpu;
    q.cfs.min_vruntime = <u64>-(1 << 20);
    q.cfs.rq = q;
    for (let i: usize = 0; i < MAX_RT_PRIO; i++) INIT_LIST_HEAD(q.rt.active.queue[i]);
  }
  init_idle(get_current(), get_cpu());
}

/** Turns the current task of a CPU into its idle task. It is never queued. */
export function init_idle(idle: task_struct, cpu: u32): void {
  const q = percpu.runqueues(cpu);
  __sched_fork(idle);
  idle.__state = TASK_RUNNING;
  idle.se.exec_start = sched_clock();
  idle.flags |= PF_IDLE | PF_KTHREAD;
  idle.cpu = cpu;
  idle.on_rq = TASK_ON_RQ_QUEUED;
  idle.on_cpu = 1;
  q.idle = idle;
  q.curr = idle;
  q.online = 1;
  q.clock = sched_clock();
  q.clock_task = q.clock;
  snprintf(idle.comm, 16, c`swapper/%d`, cpu);
}

export function update_rq_clock(q: rq): void {
  q.clock = sched_clock();
  q.clock_task = q.clock;
}

function __sched_fork(p: task_struct): void {
  p.on_rq = 0;
  p.se.on_rq = 0;
  p.se.exec_start = 0;
  p.se.sum_exec_runtime = 0;
  p.se.prev_sum_exec_runtime = 0;
  p.se.nr_migrations = 0;
  p.se.vruntime = 0;
  p.se.load.weight = WEIGHT_NICE_0;
  p.se.load.inv_weight = 4194304;
  INIT_LIST_HEAD(p.se.group_node);
  INIT_LIST_HEAD(p.rt.run_list);
}

export function sched_fork(p: task_struct): void {
  __sched_fork(p);
  p.__state = TASK_NEW;
  p.prio = DEFAULT_PRIO;
  p.static_prio = DEFAULT_PRIO;
  p.normal_prio = DEFAULT_PRIO;
  p.cpu = get_cpu();
  p.on_cpu = 0;
  p.sched_info.pcount = 0;
  p.sched_info.last_arrival = 0;
  const flags = local_irq_save();
  const q = this_cpu.runqueues;
  update_rq_clock(q);
  task_fork_fair(q, p);
  local_irq_restore(flags);
}

/** Number of tasks that count for the load average: not the idlers (TASK_NOLOAD). */
function task_contributes_to_load(state: u32): bool {
  return (state & TASK_UNINTERRUPTIBLE) != 0 && (state & TASK_NOLOAD) == 0;
}

function activate_task(q: rq, p: task_struct, flags: i32): void {
  enqueue_task_fair(q, p, flags);
  q.nr_running += 1;
  p.on_rq = TASK_ON_RQ_QUEUED;
}

function deactivate_task(q: rq, p: task_struct): void {
  p.on_rq = 0;
  dequeue_task_fair(q, p);
  q.nr_running -= 1;
}

@inline
export function need_resched(): bool {
  return (get_current().thread_info.flags & _TIF_NEED_RESCHED) != 0;
}

@inline
function clear_tsk_need_resched(p: task_struct): void {
  p.thread_info.flags &= ~(<u64>1 << TIF_NEED_RESCHED);
}

export function resched_curr(q: rq): void {
  q.curr.thread_info.flags |= _TIF_NEED_RESCHED;
}

function check_preempt_curr(q: rq, p: task_struct): void {
  if (q.curr == q.idle) resched_curr(q);
  else check_preempt_wakeup(q, p);
}

/** Makes a task runnable if its state is among `state`. True when it was woken. */
export function try_to_wake_up(p: task_struct, state: u32): bool {
  const flags = local_irq_save();
  const woken = (p.__state & state) != 0;
  if (woken) ttwu_do_activate(p);
  local_irq_restore(flags);
  return woken;
}

/** Interrupts are off. */
function ttwu_do_activate(p: task_struct): void {
  const q = percpu.runqueues(p.cpu);
  if (p.on_rq == 0) {
    update_rq_clock(q);
    if (task_contributes_to_load(p.__state)) q.nr_uninterruptible -= 1;
    activate_task(q, p, ENQUEUE_WAKEUP);
    check_preempt_curr(q, p);
  }
  p.__state = TASK_RUNNING;
}

/** TASK_NORMAL: what sleeps interruptibly or not. */
export function wake_up_process(p: task_struct): bool {
  return try_to_wake_up(p, 3);
}

/** The first wake-up of a forked task. */
export function wake_up_new_task(p: task_struct): void {
  const flags = local_irq_save();
  const q = percpu.runqueues(p.cpu);
  p.__state = TASK_RUNNING;
  update_rq_clock(q);
  activate_task(q, p, ENQUEUE_INITIAL);
  check_preempt_curr(q, p);
  local_irq_restore(flags);
}

/**
 * A new kernel thread that has not been started sleeps in kthread(), as after kthread_create(). It has had a
 * first turn then, which here its creator took for it: its virtual time is the queue's plus what creating it
 * took.
 */
export function park_new_task(p: task_struct): void {
  const q = percpu.runqueues(p.cpu);
  p.__state = TASK_UNINTERRUPTIBLE;
  p.se.vruntime = q.cfs.min_vruntime + (sched_clock() - q.clock);
  q.nr_uninterruptible += 1;
}

function pick_next_task(q: rq, prev: task_struct): task_struct {
  if (prev != q.idle) put_prev_task_fair(q, prev);
  const p = pick_next_task_fair(q);
  if (isnull(p)) return q.idle;
  set_next_task_fair(q, p);
  return p;
}

/** Statistics of `ps -l` and /proc/PID/schedstat. */
function sched_info_switch(q: rq, next: task_struct): void {
  next.sched_info.pcount += 1;
  next.sched_info.last_arrival = q.clock;
}

/** Address spaces, then stacks. Kernel threads borrow the address space that is loaded. */
@inline
function context_switch(q: rq, prev: task_struct, next: task_struct): void {
  next.on_cpu = 1;
  if (next.mm_va == 0) {
    next.active_mm = prev.active_mm;
    if (prev.mm_va != 0) prev.active_mm.mm_count.counter += 1;
    else prev.active_mm_va = 0;
  } else {
    hw_write_cr3(changetype<usize>(next.mm.pgd));
    if (prev.mm_va == 0) {
      q.prev_mm = prev.active_mm;
      prev.active_mm_va = 0;
    }
  }
  __switch_to_asm(prev, next);
}

export function __schedule_bug(prev: task_struct): void {
  pr_err(c`BUG: scheduling while atomic: %s/%d/0x%08x\n`, prev.comm, prev.pid, preempt_count());
  dump_stack();
  add_taint(TAINT_WARN);
}

/** Who sleeps with a lock would leave it locked: the sleep does not come back to where the lock is let go. */
@inline
function schedule_debug(prev: task_struct): void {
  if (!CONFIG_SMP || preempt_count() == 0) return;
  __schedule_bug(prev);
  this_cpu.__preempt_count = 0;
}

/** Returns only when the running task may go on. */
export function __schedule(): void {
  schedule_debug(get_current());
  local_irq_disable();
  const q = this_cpu.runqueues;
  const prev = q.curr;
  update_rq_clock(q);
  if (prev.__state != TASK_RUNNING && prev != q.idle && prev.on_rq != 0) {
    if (task_contributes_to_load(prev.__state)) q.nr_uninterruptible += 1;
    update_curr(q.cfs);
    deactivate_task(q, prev);
    prev.nvcsw += 1;
  } else if (prev != q.idle) {
    prev.nivcsw += 1;
  }
  const next = pick_next_task(q, prev);
  clear_tsk_need_resched(prev);
  if (prev != next) {
    q.nr_switches += 1;
    q.curr = next;
    sched_info_switch(q, next);
    context_switch(q, prev, next);
  }
  local_irq_enable();
}

export function schedule(): void {
  do {
    __schedule();
  } while (need_resched());
}

/** The idle task's: it never sleeps, so its state does not matter. */
export function schedule_idle(): void {
  do {
    __schedule();
  } while (need_resched());
}

/** The last of the switch, on the new task's side: lets go of what `prev` held. Interrupts come on. */
export function finish_task_switch(prev: task_struct): void {
  local_irq_enable();
  const q = this_cpu.runqueues;
  if (q.prev_mm_va != 0) {
    const mm = q.prev_mm;
    q.prev_mm_va = 0;
    mmdrop(mm);
  }
  if (isnull(prev)) return;
  this_cpu.switched_from = changetype<task_struct>(0);
  prev.on_cpu = 0;
  if (prev.__state != TASK_DEAD) return;
  put_task_stack(prev);
  put_task_struct(prev);
}

export function schedule_tail(prev: task_struct): void {
  finish_task_switch(prev);
}

/**
 * sched_yield(2). The task stays runnable and goes behind the others; `done` marks the call as finished
 * first, since it must not be dispatched again.
 */
export function do_sched_yield(): void {
  local_irq_disable();
  const q = this_cpu.runqueues;
  update_rq_clock(q);
  update_curr(q.cfs);
  if (q.cfs.nr_running > 1) {
    const last = q.cfs.min_vruntime + <u64>WEIGHT_NICE_0;
    if (<i64>(last - q.curr.se.vruntime) > 0) q.curr.se.vruntime = last;
  }
  schedule();
}

/** Once a tick: the running task is charged, and gives way when its slice is used up. */
export function scheduler_tick(): void {
  const q = this_cpu.runqueues;
  update_rq_clock(q);
  if (q.curr != q.idle) {
    update_curr(q.cfs);
    check_preempt_tick(q);
  }
  calc_global_load_tick(q);
}

/** Runnable tasks of all CPUs, for /proc/loadavg. */
export function nr_running(): u32 {
  let sum: u32 = 0;
  for (let cpu: u32 = 0; cpu < CONFIG_NR_CPUS && cpu < <u32>sym.nr_cpu_ids; cpu++) {
    sum += percpu.runqueues(cpu).nr_running;
  }
  return sum;
}
