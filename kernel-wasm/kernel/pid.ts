/** Process numbers (kernel/pid.c): struct pid by number in the namespace's idr, tasks on the pid's lists. */
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
import { kfree, kzalloc } from "../mm/slub";
import { init_waitqueue_head } from "./sched/wait";

export function pid_idr_init(): void {
  const ns = sym.init_pid_ns;
  idr_init(ns.idr);
  ns.pid_allocated = 1 << 31;
  ns.ns.count.refs.counter = 2;
  ns.ns.inum = 0xeffffffc;
  ns.child_reaper = sym.init_task;
  ns.level = 0;
}

/** A new number: upwards from the last, from RESERVED_PIDS again after the largest. */
export function alloc_pid(): pid {
  const ns = sym.init_pid_ns;
  const p = changetype<pid>(kzalloc(pid.SIZE, GFP_KERNEL));
  if (isnull(p)) return ERR_PTR<pid>(-ENOMEM);
  const min = ns.idr.idr_next > RESERVED_PIDS ? RESERVED_PIDS : 1;
  const nr = idr_alloc_cyclic(ns.idr, changetype<usize>(p), min, sym.pid_max);
  if (nr < 0) {
    kfree(changetype<usize>(p));
    return ERR_PTR<pid>(nr == -ENOMEM ? nr : -EAGAIN);
  }
  p.count.refs.counter = 1;
  init_waitqueue_head(p.wait_pidfd);
  p.numbers[0].nr = nr;
  p.numbers[0].ns = ns;
  ns.pid_allocated += 1;
  return p;
}

export function put_pid(p: pid): void {
  p.count.refs.counter -= 1;
  if (p.count.refs.counter == 0) kfree(changetype<usize>(p));
}

export function free_pid(p: pid): void {
  const ns = sym.init_pid_ns;
  idr_remove(ns.idr, p.numbers[0].nr);
  ns.pid_allocated -= 1;
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

/** The task moves to another group or session. */
export function change_pid(t: task_struct, type: i32, p: pid): void {
  detach_pid(t, type);
  init_task_pid(t, type, p);
  attach_pid(t, type);
}

export function find_vpid(nr: i32): pid {
  return changetype<pid>(idr_find(sym.init_pid_ns.idr, nr));
}

export function pid_task(p: pid, type: i32): task_struct {
  if (isnull(p)) return changetype<task_struct>(0);
  const first = p.tasks[type].first;
  if (isnull(first)) return changetype<task_struct>(0);
  return changetype<task_struct>(
    changetype<usize>(first) - (type << 4) - changetype<usize>(changetype<task_struct>(0).pid_links),
  );
}

export function find_task_by_vpid(nr: i32): task_struct {
  return pid_task(find_vpid(nr), PIDTYPE_PID);
}
