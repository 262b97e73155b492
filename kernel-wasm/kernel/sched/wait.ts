/**
 * Wait queues and completions (kernel/sched/{wait,completion}.c), in the form that tasks which start over
 * need. To wait for a condition:
 *
 *     if (!CONDITION) wait_event_sleep(head, TASK_UNINTERRUPTIBLE);   // does not return
 *     ... the condition holds; effects only from here on ...
 *
 * A woken task runs its operation from the top and meets the condition again. The queue entry lies on the
 * sleeper's stack, as in Linux, though at its far end, under the guard; waking removes it.
 */
import { STACK_WAIT_OFFSET, TASK_NORMAL, TASK_UNINTERRUPTIBLE } from "../../include/generated/constants";
import { task_struct, wait_queue_entry, completion, wait_queue_head } from "../../include/generated/structs";
import { get_current } from "../../arch/kernel/current";
import { INIT_LIST_HEAD, list_add_tail, list_del_init, list_is_head } from "../../lib/list";
import { schedule, try_to_wake_up } from "./core";

export function init_waitqueue_head(head: wait_queue_head): void {
  INIT_LIST_HEAD(head.head);
}

/** wait_queue_entry.func of sleepers: wakes the task and takes the entry off the queue. */
export function autoremove_wake_function(entry: wait_queue_entry, mode: u32, flags: i32, key: usize): i32 {
  const woken = try_to_wake_up(changetype<task_struct>(entry.private_), mode);
  if (woken) list_del_init(entry.entry);
  return woken ? 1 : 0;
}

/**
 * Queues the running task and sleeps. The task starts over when woken: nothing after this call is reached.
 */
export function wait_event_sleep(head: wait_queue_head, state: u32): void {
  const t = get_current();
  const entry = changetype<wait_queue_entry>(t.stack + STACK_WAIT_OFFSET);
  // Something else woke the task when it waited before: the entry is still on that queue.
  finish_wait(t);
  entry.flags = 0;
  entry.private_ = changetype<usize>(t);
  entry.func = fnptr(autoremove_wake_function);
  list_add_tail(entry.entry, head.head);
  t.__state = state;
  schedule();
}

/** Takes a sleeper off the queue that it still waits in: something else has woken it. */
export function finish_wait(t: task_struct): void {
  const entry = changetype<wait_queue_entry>(t.stack + STACK_WAIT_OFFSET);
  if (entry.entry.next_va != 0) list_del_init(entry.entry);
}

/** Wakes up to `nr` sleepers, all for 0. */
export function __wake_up(head: wait_queue_head, mode: u32, nr: i32): void {
  let at = head.head.next;
  while (!list_is_head(at, head.head)) {
    const next = at.next;
    const entry = wait_queue_entry.from_entry(at);
    if (call_indirect<i32>(text_index(entry.func), entry, mode, <i32>0, <usize>0) && --nr == 0) break;
    at = next;
  }
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

export function complete(x: completion): void {
  x.done += 1;
  wake_up(x.wait);
}

/**
 * Consumes one complete(). The caller must not run this again once it has returned: keep that in an object.
 */
export function wait_for_completion(x: completion): void {
  if (x.done == 0) wait_event_sleep(x.wait, TASK_UNINTERRUPTIBLE);
  x.done -= 1;
}
