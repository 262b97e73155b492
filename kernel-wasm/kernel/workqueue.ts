/**
 * Work queues (kernel/workqueue.c). A worker is a kernel thread that takes work items until there is none,
 * then sleeps idle. An item goes to an idle worker of its own, if there is one, so that the scheduler decides
 * which item is first; the pool's worklist holds what is left. An item whose function sleeps starts over: the
 * worker keeps it as current_work.
 *
 * pool->lock, with interrupts off, guards the pool and the lists of its workers. A worker says that it sleeps
 * under it, so that who gives it an item wakes it, or finds it still on the way to schedule(), which comes
 * back then. The pool of bound work is CPU 0's.
 */
import {
  CONFIG_BASE_SMALL,
  CONFIG_SMP,
  GFP_KERNEL,
  PF_WQ_WORKER,
  TASK_IDLE,
  UNBOUND_WORKERS,
} from "../include/generated/constants";
import { list_head, work_struct, worker, worker_pool, workqueue_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { IS_ERR } from "../include/err";
import { get_current } from "../arch/kernel/current";
import { test_and_set_bit } from "../lib/atomic";
import { INIT_LIST_HEAD, list_add, list_add_tail, list_del_init, list_empty } from "../lib/list";
import { strscpy } from "../lib/string";
import { kfree, kzalloc } from "../mm/slub";
import { kthread_bind, kthread_create } from "./kthread";
import {
  raw_spin_lock_init,
  raw_spin_lock_irq,
  raw_spin_lock_irqsave,
  raw_spin_unlock_irq,
  raw_spin_unlock_irqrestore,
} from "./locking/spinlock";
import { set_cpus_allowed } from "./sched/balance";
import { schedule, wake_up_process } from "./sched/core";

const WORK_STRUCT_PENDING_BIT: usize = 0;
const WQ_UNBOUND: u32 = 2;
const WORKER_IDLE: u32 = 4;

export function INIT_WORK(work: work_struct, func: u64): void {
  work.data.counter = 0;
  work.func = func;
  INIT_LIST_HEAD(work.entry);
}

function init_worker_pool(pool: worker_pool, cpu: i32, id: i32): void {
  raw_spin_lock_init(pool.lock);
  INIT_LIST_HEAD(pool.worklist);
  INIT_LIST_HEAD(pool.idle_list);
  INIT_LIST_HEAD(pool.workers);
  pool.cpu = cpu;
  pool.id = id;
}

function alloc_workqueue(name: usize, flags: u32, pool: worker_pool): workqueue_struct {
  const wq = changetype<workqueue_struct>(kzalloc(workqueue_struct.SIZE, GFP_KERNEL));
  if (isnull(wq)) return wq;
  strscpy(wq.name, name, 24);
  wq.flags = flags;
  wq.pool = pool;
  list_add_tail(wq.list, sym.workqueues);
  return wq;
}

/** Queues work from here on; it runs once workqueue_init() has made workers. */
export function workqueue_init_early(): void {
  INIT_LIST_HEAD(sym.workqueues);
  init_worker_pool(sym.cpu_worker_pool, 0, 0);
  init_worker_pool(sym.unbound_pool, -1, <i32>sym.nr_cpu_ids * 2);
  // A small kernel saves the stack of a worker that has next to nothing to do.
  sym.system_wq = alloc_workqueue(c`events`, 0, CONFIG_BASE_SMALL ? sym.unbound_pool : sym.cpu_worker_pool);
  sym.system_unbound_wq = alloc_workqueue(c`events_unbound`, WQ_UNBOUND, sym.unbound_pool);
}

function create_worker(pool: worker_pool): void {
  const w = changetype<worker>(kzalloc(worker.SIZE, GFP_KERNEL));
  if (isnull(w)) return;
  INIT_LIST_HEAD(w.scheduled);
  INIT_LIST_HEAD(w.entry);
  w.pool = pool;
  w.id = pool.nr_workers;
  const fn = fnptr(worker_thread);
  const task =
    pool.cpu < 0
      ? kthread_create(fn, changetype<usize>(w), c`kworker/u%d:%d`, pool.id, w.id)
      : kthread_create(fn, changetype<usize>(w), c`kworker/%d:%d`, pool.cpu, w.id);
  if (IS_ERR(task)) {
    kfree(changetype<usize>(w));
    return;
  }
  task.flags |= PF_WQ_WORKER;
  if (pool.cpu >= 0) kthread_bind(task, pool.cpu);
  else if (CONFIG_SMP) set_cpus_allowed(task, sym.__cpu_possible_mask.bits[0]);
  w.task = task;
  const flags = raw_spin_lock_irqsave(pool.lock);
  list_add_tail(w.node, pool.workers);
  pool.nr_workers += 1;
  worker_enter_idle(w);
  raw_spin_unlock_irqrestore(pool.lock, flags);
  wake_up_process(task);
}

export function workqueue_init(): void {
  if (!CONFIG_BASE_SMALL) create_worker(sym.cpu_worker_pool);
  for (let i = 0; i < UNBOUND_WORKERS; i++) create_worker(sym.unbound_pool);
}

/** False when the item is queued already. */
export function queue_work(wq: workqueue_struct, work: work_struct): bool {
  if (test_and_set_bit(WORK_STRUCT_PENDING_BIT, changetype<usize>(work.data))) return false;
  const pool = wq.pool;
  const flags = raw_spin_lock_irqsave(pool.lock);
  if (list_empty(pool.idle_list)) {
    list_add_tail(work.entry, pool.worklist);
  } else {
    const w = worker.from_entry(pool.idle_list.next);
    list_add_tail(work.entry, w.scheduled);
    worker_leave_idle(w);
    wake_up_process(w.task);
  }
  raw_spin_unlock_irqrestore(pool.lock, flags);
  return true;
}

export function schedule_work(work: work_struct): bool {
  return queue_work(sym.system_wq, work);
}

function worker_enter_idle(w: worker): void {
  w.flags |= WORKER_IDLE;
  w.pool.nr_idle += 1;
  list_add(w.entry, w.pool.idle_list);
}

function worker_leave_idle(w: worker): void {
  if (!(w.flags & WORKER_IDLE)) return;
  w.flags &= ~WORKER_IDLE;
  w.pool.nr_idle -= 1;
  list_del_init(w.entry);
}

function next_work(w: worker): work_struct {
  let list: list_head = w.scheduled;
  if (list_empty(list)) list = w.pool.worklist;
  return list_empty(list) ? changetype<work_struct>(0) : work_struct.from_entry(list.next);
}

/** Takes an item off its list, with the pool's lock; it may be queued again from here on. */
function claim_work(w: worker, work: work_struct): void {
  list_del_init(work.entry);
  w.current_work = work;
  w.current_func = work.func;
  work.data.counter = 0;
}

/** Without the lock. The item may free itself. */
export function process_one_work(w: worker): void {
  call_indirect<void>(text_index(w.current_func), w.current_work);
  w.current_work = changetype<work_struct>(0);
  w.current_func = 0;
}

export function worker_thread(self: usize): i32 {
  const w = changetype<worker>(self);
  const pool = w.pool;
  if (w.current_work_va != 0) process_one_work(w);
  while (true) {
    raw_spin_lock_irq(pool.lock);
    worker_leave_idle(w);
    for (let work = next_work(w); !isnull(work); work = next_work(w)) {
      claim_work(w, work);
      raw_spin_unlock_irq(pool.lock);
      process_one_work(w);
      raw_spin_lock_irq(pool.lock);
    }
    worker_enter_idle(w);
    get_current().__state = TASK_IDLE;
    raw_spin_unlock_irq(pool.lock);
    schedule();
  }
}
