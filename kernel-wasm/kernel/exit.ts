/**
 * The end of a task (kernel/exit.c): it lets go of what it holds, its children go to init, and it stays a
 * zombie until its parent has waited for it (wait.ts); at once without one that wants to.
 */
import {
  CONFIG_CRASH_DUMP,
  EXIT_DEAD,
  EXIT_ZOMBIE,
  PF_EXITING,
  PF_KTHREAD,
  PIDTYPE_PGID,
  PIDTYPE_PID,
  PIDTYPE_SID,
  PIDTYPE_TGID,
  SIGCHLD,
  SIGNAL_GROUP_EXIT,
  TASK_DEAD,
} from "../include/generated/constants";
import { completion, pid, task_struct } from "../include/generated/structs";
import { sym, this_cpu } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";
import { exit_files } from "../fs/file";
import { exit_fs } from "../fs/fs_struct";
import { BUG } from "../lib/bug";
import { list_add_tail, list_del_init, list_empty } from "../lib/list";
import { kfree } from "../mm/slub";
import { exit_creds } from "./cred";
import { __cleanup_sighand, free_signal_struct, mmput, put_task_struct } from "./fork";
import { preempt_count } from "./locking/preempt";
import { exit_task_namespaces } from "./nsproxy";
import { panic } from "./panic";
import { detach_pid, init_task_pid } from "./pid";
import { pr_info } from "./printk/printk";
import { schedule } from "./sched/core";
import { complete } from "./sched/wait";
import { do_notify_parent, flush_signals } from "./signal";

@inline
export function is_global_init(t: task_struct): bool {
  return t.tgid == 1;
}

/** The address space is let go of: who vforked this task may go on. */
export function mm_release(t: task_struct): void {
  if (t.vfork_done_va == 0) return;
  const done: completion = t.vfork_done;
  t.vfork_done_va = 0;
  complete(done);
}

function exit_mm(t: task_struct): void {
  const mm = t.mm;
  mm_release(t);
  if (isnull(mm)) return;
  mm.mm_count.counter += 1;
  t.active_mm = mm;
  t.mm_va = 0;
  mmput(mm);
}

/** The task leaves the lists that tools walk; its task_struct goes with the last reference. */
export function release_task(t: task_struct): void {
  const none = changetype<pid>(0);
  init_task_pid(t, PIDTYPE_TGID, t.thread_pid);
  detach_pid(t, PIDTYPE_TGID);
  detach_pid(t, PIDTYPE_PGID);
  detach_pid(t, PIDTYPE_SID);
  detach_pid(t, PIDTYPE_PID);
  t.thread_pid = none;
  list_del_init(t.tasks);
  list_del_init(t.sibling);
  list_del_init(t.thread_node);
  sym.nr_threads -= 1;
  this_cpu.process_counts -= 1;
  if (!CONFIG_CRASH_DUMP) flush_signals(t);
  __cleanup_sighand(t.sighand);
  t.sighand_va = 0;
  free_signal_struct(t.signal);
  t.signal_va = 0;
  exit_creds(t);
  put_task_struct(t);
}

/** Children that are left go to init; the dead among them are init's to reap. */
function forget_original_parent(father: task_struct): void {
  const reaper = sym.init_pid_ns.child_reaper;
  while (!list_empty(father.children)) {
    const t = task_struct.from_sibling(father.children.next);
    t.real_parent = reaper;
    t.parent = reaper;
    t.exit_signal = SIGCHLD;
    list_del_init(t.sibling);
    list_add_tail(t.sibling, reaper.children);
    if (t.exit_state != EXIT_ZOMBIE || !do_notify_parent(t, SIGCHLD)) continue;
    t.exit_state = EXIT_DEAD;
    release_task(t);
  }
}

function exit_notify(t: task_struct): void {
  if (!CONFIG_CRASH_DUMP) forget_original_parent(t);
  t.exit_state = EXIT_ZOMBIE;
  if (!do_notify_parent(t, t.exit_signal)) return;
  t.exit_state = EXIT_DEAD;
  release_task(t);
}

/** Ends the running task. `code` is a wait status: exit code << 8, or the signal that ended it. */
export function do_exit(code: i32): void {
  const t = get_current();
  if (is_global_init(t)) {
    const group = t.signal.group_exit_code;
    panic(c`Attempted to kill init! exitcode=0x%08x\n`, <u32>(group ? group : code));
  }
  t.flags |= PF_EXITING;
  t.exit_code = code;
  exit_mm(t);
  exit_files(t);
  exit_fs(t);
  exit_task_namespaces(t);
  if (t.flags & PF_KTHREAD) {
    kfree(t.set_child_tid);
    t.set_child_tid_va = 0;
  }
  exit_notify(t);
  t.__state = TASK_DEAD;
  schedule();
  BUG(c`kernel/exit.ts`, 81);
}

export function do_group_exit(code: i32): void {
  const signal = get_current().signal;
  if (!(signal.flags & SIGNAL_GROUP_EXIT)) {
    signal.flags = SIGNAL_GROUP_EXIT;
    signal.group_exit_code = code;
  }
  do_exit(signal.group_exit_code);
}

/** The end of a task that an oops stopped; panics when the system cannot live without it. Never returns. */
export function make_task_dead(signr: i32): void {
  const t = get_current();
  if (t.pid == 0) panic(c`Attempted to kill the idle task!`);
  const limit = sym.sysctl_oops_limit;
  if (limit && sym.oops_count.counter >= limit) panic(c`Oopsed too often (kernel.oops_limit is %d)`, limit);
  if (preempt_count()) {
    pr_info(c`note: %s[%d] exited with preempt_count %d\n`, t.comm, t.pid, preempt_count());
    this_cpu.__preempt_count = 0;
  }
  do_exit(signr);
}
