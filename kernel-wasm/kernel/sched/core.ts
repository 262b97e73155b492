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
import { rq, task_struct, thread_info } from "../../include/generated/structs";
import { percpu, sym, this_cpu } from "../../include/generated/symbols";
import { get_current } from "../../arch/kernel/current";
import { __switch_to_asm } from "../../arch/kernel/process";
import { native_smp_send_reschedule } from "../../arch/kernel/smp";
import { atomic_inc, set_bit } from "../../lib/atomic";
import { INIT_LIST_HEAD } from "../../lib/list";
import { snprintf } from "../../lib/vsprintf";
import { dump_stack } from "../../lib/dump_stack";
import { mmdrop, put_task_stack, put_task_struct } from "../fork";
import { local_irq_disable, local_irq_enable, local_irq_restore, local_irq_save } from "../irqflags";
import {
  cpu_relax,
  raw_spin_lock,
  raw_spin_lock_init,
  raw_spin_lock_irqsave,
  raw_spin_unlock,
  raw_spin_unlock_irqrestore,
} from "../locking/spinlock";
import { preempt_count } from "../locking/preempt";
import { add_taint } from "../panic";
import { pr_err } from "../printk/printk";
import { local_clock as sched_clock } from "../time";
import { newidle_balance, select_task_rq, set_cpus_allowed, set_task_cpu } from "./balance";
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

@inline
export function cpu_rq(cpu: u32): rq {
  return percpu.runqueues(cpu);
}

@inline
export function raw_spin_rq_lock(q: rq): void {
  raw_spin_lock(q.__lock);
}

@inline
export function raw_spin_rq_unlock(q: rq): void {
  raw_spin_unlock(q.__lock);
}

/** The queue that a task is on or was last on, locked: it may move until then. Interrupts are off. */
function __task_rq_lock(p: task_struct): rq {
  while (true) {
    const q = cpu_rq(p.cpu);
    raw_spin_rq_lock(q);
    if (q == cpu_rq(p.cpu)) return q;
    raw_spin_rq_unlock(q);
  }
  return unreachable();
}

/** Prepares every CPU's run queue, and makes the running code the boot CPU's idle task. */
export function sched_init(): void {
  for (let cpu: u32 = 0; cpu < <u32>sym.nr_cpu_ids; cpu++) {
    const q = cpu_rq(cpu);
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
  const q = cpu_rq(cpu);
  __sched_fork(idle);
  idle.__state = TASK_RUNNING;
  idle.se.exec_start = sched_clock();
  idle.flags |= PF_IDLE | PF_KTHREAD;
  idle.cpu = cpu;
  set_cpus_allowed(idle, <u64>1 << cpu);
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
  raw_spin_lock_init(p.pi_lock);
  p.prio = DEFAULT_PRIO;
  p.static_prio = DEFAULT_PRIO;
  p.normal_prio = DEFAULT_PRIO;
  p.cpu = get_cpu();
  p.on_cpu = 0;
  p.sched_info.pcount = 0;
  p.sched_info.last_arrival = 0;
  const flags = local_irq_save();
  const q = this_cpu.runqueues;
  raw_spin_rq_lock(q);
  update_rq_clock(q);
  task_fork_fair(q, p);
  raw_spin_rq_unlock(q);
  local_irq_restore(flags);
}

/** Number of tasks that count for the load average: not the idlers (TASK_NOLOAD). */
function task_contributes_to_load(state: u32): bool {
  return (state & TASK_UNINTERRUPTIBLE) != 0 && (state & TASK_NOLOAD) == 0;
}

export function activate_task(q: rq, p: task_struct, flags: i32): void {
  enqueue_task_fair(q, p, flags);
  q.nr_running += 1;
  p.on_rq = TASK_ON_RQ_QUEUED;
}

export function deactivate_task(q: rq, p: task_struct): void {
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

/** The queue's task shall give way: another CPU hears of it by an interrupt. The queue is locked. */
export function resched_curr(q: rq): void {
  const curr = q.curr;
  if (curr.thread_info.flags & _TIF_NEED_RESCHED) return;
  set_bit(TIF_NEED_RESCHED, thread_info.addr_of_flags(curr.thread_info));
  if (CONFIG_SMP && q.cpu != <i32>get_cpu()) native_smp_send_reschedule(q.cpu);
}

function check_preempt_curr(q: rq, p: task_struct): void {
  if (q.curr == q.idle) resched_curr(q);
  else check_preempt_wakeup(q, p);
}

/**
 * Makes a task runnable if its state is among `state`. True when it was woken. A task that has just gone to
 * sleep on another CPU is still on its stack there: until it is off, it cannot be queued anywhere.
 */
export function try_to_wake_up(p: task_struct, state: u32): bool {
  const flags = raw_spin_lock_irqsave(p.pi_lock);
  const woken = (p.__state & state) != 0;
  if (woken) ttwu(p);
  raw_spin_unlock_irqrestore(p.pi_lock, flags);
  return woken;
}

/** p.pi_lock is held. */
function ttwu(p: task_struct): void {
  // It has not gone to sleep yet: it wakes itself, or an interrupt on its CPU wakes it.
  if (p == get_current()) {
    p.__state = TASK_RUNNING;
    return;
  }
  if (ttwu_runnable(p)) return;
  while (CONFIG_SMP && atomic.load<i32>(task_struct.addr_of_on_cpu(p)) != 0) cpu_relax();
  const from = p.cpu;
  const cpu = select_task_rq(p, from, false);
  if (task_contributes_to_load(p.__state)) atomic.sub<u32>(rq.addr_of_nr_uninterruptible(cpu_rq(from)), 1);
  set_task_cpu(p, cpu);
  const q = cpu_rq(cpu);
  raw_spin_rq_lock(q);
  update_rq_clock(q);
  activate_task(q, p, ENQUEUE_WAKEUP);
  check_preempt_curr(q, p);
  p.__state = TASK_RUNNING;
  raw_spin_rq_unlock(q);
}

/** A task that is still queued, on its way to sleep: it stays. */
function ttwu_runnable(p: task_struct): bool {
  const q = __task_rq_lock(p);
  const queued = p.on_rq != 0;
  if (queued) p.__state = TASK_RUNNING;
  raw_spin_rq_unlock(q);
  return queued;
}

/** TASK_NORMAL: what sleeps interruptibly or not. */
export function wake_up_process(p: task_struct): bool {
  return try_to_wake_up(p, 3);
}

/** The first wake-up of a forked task. */
export function wake_up_new_task(p: task_struct): void {
  const flags = raw_spin_lock_irqsave(p.pi_lock);
  p.__state = TASK_RUNNING;
  // Its virtual time is relative until it is queued.
  p.cpu = select_task_rq(p, p.cpu, true);
  const q = cpu_rq(p.cpu);
  raw_spin_rq_lock(q);
  update_rq_clock(q);
  activate_task(q, p, ENQUEUE_INITIAL);
  check_preempt_curr(q, p);
  raw_spin_rq_unlock(q);
  raw_spin_unlock_irqrestore(p.pi_lock, flags);
}

/**
 * A new kernel thread that has not been started sleeps in kthread(), as after kthread_create(). It has had a
 * first turn then, which here its creator took for it: its virtual time is the queue's plus what creating it
 * took.
 */
export function park_new_task(p: task_struct): void {
  const q = cpu_rq(p.cpu);
  p.__state = TASK_UNINTERRUPTIBLE;
  p.se.vruntime = q.cfs.min_vruntime + (sched_clock() - q.clock);
  atomic.add<u32>(rq.addr_of_nr_uninterruptible(q), 1);
}

function pick_next_task(q: rq, prev: task_struct): task_struct {
  if (prev != q.idle) put_prev_task_fair(q, prev);
  if (CONFIG_SMP && q.nr_running == 0) newidle_balance(q);
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
    if (prev.mm_va != 0) atomic_inc(prev.active_mm.mm_count);
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
  raw_spin_rq_lock(q);
  update_rq_clock(q);
  if (prev.__state != TASK_RUNNING && prev != q.idle && prev.on_rq != 0) {
    if (task_contributes_to_load(prev.__state)) atomic.add<u32>(rq.addr_of_nr_uninterruptible(q), 1);
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
  raw_spin_rq_unlock(q);
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

/**
 * The last of the switch, on the new task's side: lets go of what `prev` held, and of the queue's lock.
 * Interrupts come on.
 */
export function finish_task_switch(prev: task_struct): void {
  const q = this_cpu.runqueues;
  const mm = q.prev_mm;
  q.prev_mm_va = 0;
  const dead = prev.__state == TASK_DEAD;
  this_cpu.switched_from = changetype<task_struct>(0);
  // From here on it may run on another CPU.
  atomic.store<i32>(task_struct.addr_of_on_cpu(prev), 0);
  raw_spin_rq_unlock(q);
  local_irq_enable();
  if (!isnull(mm)) mmdrop(mm);
  if (!dead) return;
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
  raw_spin_rq_lock(q);
  update_rq_clock(q);
  update_curr(q.cfs);
  if (q.cfs.nr_running > 1) {
    const last = q.cfs.min_vruntime + <u64>WEIGHT_NICE_0;
    if (<i64>(last - q.curr.se.vruntime) > 0) q.curr.se.vruntime = last;
  }
  raw_spin_rq_unlock(q);
  schedule();
}

/** Once a tick: the running task is charged, and gives way when its slice is used up. */
export function scheduler_tick(): void {
  const q = this_cpu.runqueues;
  raw_spin_rq_lock(q);
  update_rq_clock(q);
  if (q.curr != q.idle) {
    update_curr(q.cfs);
    check_preempt_tick(q);
  }
  calc_global_load_tick(q);
  raw_spin_rq_unlock(q);
}

/** Runnable tasks of all CPUs, for /proc/loadavg. */
export function nr_running(): u32 {
  let sum: u32 = 0;
  for (let cpu: u32 = 0; cpu < CONFIG_NR_CPUS && cpu < <u32>sym.nr_cpu_ids; cpu++) {
    sum += percpu.runqueues(cpu).nr_running;
  }
  return sum;
}
