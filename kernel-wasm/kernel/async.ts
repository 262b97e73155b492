/**
 * Asynchronous calls at boot (kernel/async.c): each runs in a worker; the scheduler picks their order.
 * async_lock guards the lists of pending calls and the cookies.
 */
import { GFP_KERNEL, TASK_UNINTERRUPTIBLE } from "../include/generated/constants";
import { async_entry, work_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";
import { atomic_dec, atomic_inc } from "../lib/atomic";
import { INIT_LIST_HEAD, list_add_tail, list_del, list_empty } from "../lib/list";
import { kfree, kzalloc } from "../mm/slub";
import { spin_lock_irqsave, spin_unlock_irqrestore } from "./locking/spinlock";
import { schedule } from "./sched/core";
import { finish_wait, init_waitqueue_head, prepare_to_wait, wake_up_all } from "./sched/wait";
import { INIT_WORK, queue_work } from "./workqueue";

export function async_init(): void {
  INIT_LIST_HEAD(sym.async_dfl_domain.pending);
  INIT_LIST_HEAD(sym.async_global_pending);
  init_waitqueue_head(sym.async_done);
  sym.async_dfl_domain.registered = 1;
  sym.async_next_cookie = 1;
}

/**
 * Calls `func(data: usize, cookie: u64): void` from a worker. Without memory for the entry it is called at
 * once, as in Linux. Returns the cookie.
 */
export function async_schedule(func: u64, data: usize): u64 {
  const entry = changetype<async_entry>(kzalloc(async_entry.SIZE, GFP_KERNEL));
  const flags = spin_lock_irqsave(sym.async_lock);
  const cookie = sym.async_next_cookie;
  sym.async_next_cookie = cookie + 1;
  if (isnull(entry)) {
    spin_unlock_irqrestore(sym.async_lock, flags);
    call_indirect<void>(text_index(func), data, cookie);
    return cookie;
  }
  entry.func = func;
  entry.data = data;
  entry.cookie = cookie;
  entry.domain = sym.async_dfl_domain;
  INIT_WORK(entry.work, fnptr(async_run_entry_fn));
  list_add_tail(entry.domain_list, sym.async_dfl_domain.pending);
  list_add_tail(entry.global_list, sym.async_global_pending);
  atomic_inc(sym.async_entry_count);
  spin_unlock_irqrestore(sym.async_lock, flags);
  queue_work(sym.system_unbound_wq, entry.work);
  return cookie;
}

export function async_run_entry_fn(work: work_struct): void {
  const entry = async_entry.from_work(work);
  call_indirect<void>(text_index(entry.func), entry.data, entry.cookie);
  const flags = spin_lock_irqsave(sym.async_lock);
  list_del(entry.domain_list);
  list_del(entry.global_list);
  atomic_dec(sym.async_entry_count);
  spin_unlock_irqrestore(sym.async_lock, flags);
  kfree(changetype<usize>(entry));
  wake_up_all(sym.async_done);
}

/** Whether no call is pending. */
function all_done(): bool {
  const flags = spin_lock_irqsave(sym.async_lock);
  const done = list_empty(sym.async_global_pending);
  spin_unlock_irqrestore(sym.async_lock, flags);
  return done;
}

/** Waits until no call is pending. The caller starts over when it had to wait. */
export function async_synchronize_full(): void {
  while (!all_done()) {
    prepare_to_wait(sym.async_done, TASK_UNINTERRUPTIBLE);
    if (!all_done()) schedule();
    finish_wait(get_current());
  }
}
