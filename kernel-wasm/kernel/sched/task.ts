/**
 * A task that others look at (include/linux/sched/task.h, thread_info.h): references, task_lock, and the
 * flags that other CPUs set too. Whoever finds a task by a list or a number holds tasklist_lock, and takes a
 * reference when it goes on without.
 */
import { mm_struct, pid, task_struct } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { atomic_inc, clear_bit, set_bit } from "../../lib/atomic";
import { refcount_inc, refcount_inc_not_zero } from "../../lib/refcount";
import { read_lock, read_unlock } from "../locking/qrwlock";
import { spin_lock, spin_unlock } from "../locking/spinlock";
import { find_task_by_vpid, pid_task } from "../pid";

@inline
export function get_task_struct(t: task_struct): task_struct {
  refcount_inc(t.usage);
  return t;
}

/** Whether the task has a stack, which stays then until put_task_stack(). */
@inline
export function try_get_task_stack(t: task_struct): bool {
  return refcount_inc_not_zero(t.stack_refcount);
}

/** Guards mm, files, fs, vfork_done and the limits of a task. Inside of tasklist_lock. */
@inline
export function task_lock(t: task_struct): void {
  spin_lock(t.alloc_lock);
}

@inline
export function task_unlock(t: task_struct): void {
  spin_unlock(t.alloc_lock);
}

@inline
export function set_tsk_thread_flag(t: task_struct, flag: u32): void {
  set_bit(flag, changetype<usize>(t.thread_info));
}

@inline
export function clear_tsk_thread_flag(t: task_struct, flag: u32): void {
  clear_bit(flag, changetype<usize>(t.thread_info));
}

/** The address space with one user more, for mmput(); null when the task has none, or not any more. */
export function get_task_mm(t: task_struct): mm_struct {
  task_lock(t);
  const mm = t.mm;
  if (!isnull(mm)) atomic_inc(mm.mm_users);
  task_unlock(t);
  return mm;
}

/** The task that `p` names, with a reference; null when there is none. */
export function get_pid_task(p: pid, type: i32): task_struct {
  read_lock(sym.tasklist_lock);
  const t = pid_task(p, type);
  if (!isnull(t)) get_task_struct(t);
  read_unlock(sym.tasklist_lock);
  return t;
}

/** The task with that number, with a reference; null when there is none. */
export function find_get_task_by_vpid(nr: i32): task_struct {
  read_lock(sym.tasklist_lock);
  const t = find_task_by_vpid(nr);
  if (!isnull(t)) get_task_struct(t);
  read_unlock(sym.tasklist_lock);
  return t;
}
