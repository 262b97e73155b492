/**
 * Wait queues and completions (kernel/sched/{wait,completion}.c), in the form that tasks which start over
 * need. To wait for a condition that LOCK guards and that others change under it before they wake:
 *
 *     for (;;) {
 *       lock(LOCK);
 *       if (CONDITION) break;
 *       prepare_to_wait(head, TASK_UNINTERRUPTIBLE);
 *       unlock(LOCK);
 *       schedule();
 *     }
 *     ... the condition holds; effects only from here on ...
 *     unlock(LOCK);
 *     finish_wait(get_current());
 *
 * A woken task runs its operation from the top and meets the condition again. schedule() comes back only when
 * the wake-up was faster than the switch: on the queue, and with its state set, the task looks once more. A
 * signal must be looked for after prepare_to_wait() for the same reason.
 *
 * The queue entry lies on the sleeper's stack, as in Linux, though at its far end, under the guard; waking
 * removes it. Interrupts wake too, so a queue's lock is taken with interrupts off; the waker's locks are, in
 * this order, the queue's, the task's and its run queue's.
 */
import {
  CONFIG_SMP,
  STACK_WAIT_OFFSET,
  TASK_NORMAL,
  TASK_RUNNING,
  TASK_UNINTERRUPTIBLE,
} from "../../include/generated/constants";
import {
  completion,
  task_struct,
  wait_queue_entry,
  wait_queue_head,
  wait_table_entry,
} from "../../include/generated/structs";
import { get_current } from "../../arch/kernel/current";
import {
  INIT_LIST_HEAD,
  list_add_tail,
  list_del_init,
  list_empty_careful,
  list_is_head,
} from "../../lib/list";
import { spin_lock_init, spin_lock_irqsave, spin_unlock_irqrestore } from "../locking/spinlock";
import { schedule, try_to_wake_up } from "./core";

export function init_waitqueue_head(head: wait_queue_head): void {
  spin_lock_init(head.lock);
  INIT_LIST_HEAD(head.head);
}

@inline
function entry_of(t: task_struct): wait_table_entry {
  return changetype<wait_table_entry>(t.stack + STACK_WAIT_OFFSET);
}

/** wait_queue_entry.func of sleepers: wakes the task and takes the entry off the queue, which is locked. */
export function autoremove_wake_function(entry: wait_queue_entry, mode: u32, flags: i32, key: usize): i32 {
  const woken = try_to_wake_up(changetype<task_struct>(entry.private_), mode);
  if (woken) list_del_init(entry.entry);
  return woken ? 1 : 0;
}

/** With the queue's lock. */
function queue_current(head: wait_queue_head, state: u32): void {
  const t = get_current();
  const on = entry_of(t);
  on.wait_address = head;
  on.wait.flags = 0;
  on.wait.private_ = changetype<usize>(t);
  on.wait.func = fnptr(autoremove_wake_function);
  list_add_tail(on.wait.entry, head.head);
  t.__state = state;
}

/** Queues the running task, and marks it as asleep; it still runs until schedule(). */
export function prepare_to_wait(head: wait_queue_head, state: u32): void {
  // Something else woke the task when it waited before: the entry is still on that queue.
  finish_wait(get_current());
  const flags = spin_lock_irqsave(head.lock);
  queue_current(head, state);
  spin_unlock_irqrestore(head.lock, flags);
}

/** Queues the running task and sleeps. Comes back only when the wake-up was faster. */
export function wait_event_sleep(head: wait_queue_head, state: u32): void {
  prepare_to_wait(head, state);
  schedule();
  finish_wait(get_current());
}

/**
 * The running task is awake, and off the queue that it still waits in when something else has woken it. An
 * entry that is off its queue already is looked at without the lock: the queue may be gone.
 */
export function finish_wait(t: task_struct): void {
  const on = entry_of(t);
  t.__state = TASK_RUNNING;
  if (on.wait_address_va == 0) return;
  if (!CONFIG_SMP || !list_empty_careful(on.wait.entry)) {
    const head = on.wait_address;
    const flags = spin_lock_irqsave(head.lock);
    list_del_init(on.wait.entry);
    spin_unlock_irqrestore(head.lock, flags);
  }
  on.wait_address_va = 0;
}

/** With the queue's lock. */
function wake_up_locked(head: wait_queue_head, mode: u32, nr: i32): void {
  let at = head.head.next;
  while (!list_is_head(at, head.head)) {
    const next = at.next;
    const entry = wait_queue_entry.from_entry(at);
    if (call_indirect<i32>(text_index(entry.func), entry, mode, <i32>0, <usize>0) && --nr == 0) break;
    at = next;
  }
}

/** Wakes up to `nr` sleepers, all for 0. */
export function __wake_up(head: wait_queue_head, mode: u32, nr: i32): void {
  const flags = spin_lock_irqsave(head.lock);
  wake_up_locked(head, mode, nr);
  spin_unlock_irqrestore(head.lock, flags);
}

export function wake_up(head: wait_queue_head): void {
  __wake_up(head, TASK_NORMAL, 1);
}

export function wake_up_all(head: wait_queue_head): void {
  __wake_up(head, TASK_NORMAL, 0);
}

export function init_completion(x: completion): void {
  x.done = 0;
  init_waitqueue_head(x.wait);
}

/** The queue's lock guards `done` too. */
export function complete(x: completion): void {
  const flags = spin_lock_irqsave(x.wait.lock);
  x.done += 1;
  wake_up_locked(x.wait, TASK_NORMAL, 1);
  spin_unlock_irqrestore(x.wait.lock, flags);
}

/**
 * Consumes one complete(), or queues the running task in `state` and says no. Who sees it done may free the
 * completion: complete() has let go of its lock by then.
 */
export function try_wait_for_completion(x: completion, state: u32): bool {
  finish_wait(get_current());
  const flags = spin_lock_irqsave(x.wait.lock);
  const done = x.done != 0;
  if (done) x.done -= 1;
  else queue_current(x.wait, state);
  spin_unlock_irqrestore(x.wait.lock, flags);
  return done;
}

/**
 * Consumes one complete(). The caller must not run this again once it has returned: keep that in an object.
 */
export function wait_for_completion(x: completion): void {
  while (!try_wait_for_completion(x, TASK_UNINTERRUPTIBLE)) schedule();
}
