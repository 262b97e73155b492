/**
 * Process numbers (kernel/pid.c): struct pid by number in the namespace's idr, tasks on the pid's lists.
 *
 * pidmap_lock guards the idr, tasklist_lock the lists of tasks. A number goes when its last task leaves the
 * lists, which takes tasklist_lock for writing: who looks one up holds it for reading for as long as it uses
 * what it found (Linux: RCU), or takes a reference (kernel/sched/task.ts).
 */
import {
  EAGAIN,
  ENOMEM,
  GFP_KERNEL,
  PIDTYPE_MAX,
  PIDTYPE_PID,
  RESERVED_PIDS,
} from "../include/generated/constants";
import { pid, task_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { ERR_PTR } from "../include/err";
import { idr_alloc_cyclic, idr_find, idr_init, idr_remove } from "../lib/idr";
import { hlist_add_head, hlist_del_init } from "../lib/list";
import { refcount_dec_and_test, refcount_inc, refcount_set } from "../lib/refcount";
import { kfree, kzalloc } from "../mm/slub";
import { spin_lock_init, spin_lock_irqsave, spin_unlock_irqrestore } from "./locking/spinlock";
import { init_waitqueue_head } from "./sched/wait";

export function pid_idr_init(): void {
  const ns = sym.init_pid_ns;
  idr_init(ns.idr);
  ns.pid_allocated = 1 << 31;
  refcount_set(ns.ns.count, 2);
  ns.ns.inum = 0xeffffffc;
  ns.child_reaper = sym.init_task;
  ns.level = 0;
}

/** A new number: upwards from the last, from RESERVED_PIDS again after the largest. */
export function alloc_pid(): pid {
  const ns = sym.init_pid_ns;
  const p = changetype<pid>(kzalloc(pid.SIZE, GFP_KERNEL));
  if (isnull(p)) return ERR_PTR<pid>(-ENOMEM);
  refcount_set(p.count, 1);
  spin_lock_init(p.lock);
  init_waitqueue_head(p.wait_pidfd);
  const flags = spin_lock_irqsave(sym.pidmap_lock);
  const min = ns.idr.idr_next > RESERVED_PIDS ? RESERVED_PIDS : 1;
  const nr = idr_alloc_cyclic(ns.idr, changetype<usize>(p), min, sym.pid_max);
  if (nr >= 0) {
    p.numbers[0].nr = nr;
    p.numbers[0].ns = ns;
    ns.pid_allocated += 1;
  }
  spin_unlock_irqrestore(sym.pidmap_lock, flags);
  if (nr >= 0) return p;
  kfree(changetype<usize>(p));
  return ERR_PTR<pid>(nr == -ENOMEM ? nr : -EAGAIN);
}

@inline
export function get_pid(p: pid): pid {
  refcount_inc(p.count);
  return p;
}

export function put_pid(p: pid): void {
  if (refcount_dec_and_test(p.count)) kfree(changetype<usize>(p));
}

/** With tasklist_lock for writing, or before the number is on any task. */
export function free_pid(p: pid): void {
  const ns = sym.init_pid_ns;
  const flags = spin_lock_irqsave(sym.pidmap_lock);
  idr_remove(ns.idr, p.numbers[0].nr);
  ns.pid_allocated -= 1;
  spin_unlock_irqrestore(sym.pidmap_lock, flags);
  put_pid(p);
}

@inline
export function pid_nr(p: pid): i32 {
  return isnull(p) ? 0 : p.numbers[0].nr;
}

function task_pid_of(t: task_struct, type: i32): pid {
  return type == PIDTYPE_PID ? t.thread_pid : t.signal.pids[type];
}

export function init_task_pid(t: task_struct, type: i32, p: pid): void {
  if (type == PIDTYPE_PID) t.thread_pid = p;
  else t.signal.pids[type] = p;
}

export function attach_pid(t: task_struct, type: i32): void {
  hlist_add_head(t.pid_links[type], task_pid_of(t, type).tasks[type]);
}

/** Takes the task off a pid's list; frees the number when no list holds a task any more. */
export function detach_pid(t: task_struct, type: i32): void {
  const p = task_pid_of(t, type);
  hlist_del_init(t.pid_links[type]);
  init_task_pid(t, type, changetype<pid>(0));
  for (let i: usize = 0; i < PIDTYPE_MAX; i++) if (p.tasks[i].first_va != 0) return;
  if (changetype<usize>(p) != sym.addr_of_init_struct_pid()) free_pid(p);
}

/** The task moves to another group or session; with tasklist_lock for writing, as of all of these. */
export function change_pid(t: task_struct, type: i32, p: pid): void {
  detach_pid(t, type);
  init_task_pid(t, type, p);
  attach_pid(t, type);
}

/** With tasklist_lock. */
export function find_vpid(nr: i32): pid {
  const flags = spin_lock_irqsave(sym.pidmap_lock);
  const p = changetype<pid>(idr_find(sym.init_pid_ns.idr, nr));
  spin_unlock_irqrestore(sym.pidmap_lock, flags);
  return p;
}

export function pid_task(p: pid, type: i32): task_struct {
  if (isnull(p)) return changetype<task_struct>(0);
  const first = p.tasks[type].first;
  if (isnull(first)) return changetype<task_struct>(0);
  return changetype<task_struct>(
    changetype<usize>(first) - (type << 4) - changetype<usize>(changetype<task_struct>(0).pid_links),
  );
}

/** With tasklist_lock; find_get_task_by_vpid() is for who has it not. */
export function find_task_by_vpid(nr: i32): task_struct {
  return pid_task(find_vpid(nr), PIDTYPE_PID);
}
