/** The end of a task (kernel/exit.c). */
import {
  EXIT_DEAD,
  PF_EXITING,
  PF_KTHREAD,
  PIDTYPE_PGID,
  PIDTYPE_PID,
  PIDTYPE_SID,
  PIDTYPE_TGID,
  TASK_DEAD,
} from "../include/generated/constants";
import { pid, task_struct } from "../include/generated/structs";
import { sym, this_cpu } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";
import { exit_files } from "../fs/file";
import { exit_fs } from "../fs/fs_struct";
import { BUG } from "../lib/bug";
import { list_del_init } from "../lib/list";
import { kfree } from "../mm/slub";
import { exit_creds } from "./cred";
import { __cleanup_sighand, free_signal_struct, mmput, put_task_struct } from "./fork";
import { exit_task_namespaces } from "./nsproxy";
import { panic } from "./panic";
import { detach_pid, init_task_pid } from "./pid";
import { schedule } from "./sched/core";

@inline
export function is_global_init(t: task_struct): bool {
  return t.tgid == 1;
}

function exit_mm(t: task_struct): void {
  const mm = t.mm;
  if (isnull(mm)) return;
  mm.mm_count.counter += 1;
  t.active_mm = mm;
  t.mm_va = 0;
  mmput(mm);
}

/** The task leaves the lists that tools walk; what is left of it goes with the switch to the next task. */
function release_task(t: task_struct): void {
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
  __cleanup_sighand(t.sighand);
  t.sighand_va = 0;
  free_signal_struct(t.signal);
  t.signal_va = 0;
  exit_creds(t);
  put_task_struct(t);
}

/** Ends the running task; its parent ignores SIGCHLD (kthreadd), so nobody needs to wait for it. */
export function do_exit(code: i32): void {
  const t = get_current();
  if (is_global_init(t)) panic(c`Attempted to kill init! exitcode=0x%08x\n`, <u32>code);
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
  t.exit_state = EXIT_DEAD;
  release_task(t);
  t.__state = TASK_DEAD;
  schedule();
  BUG(c`kernel/exit.ts`, 81);
}

export function do_group_exit(code: i32): void {
  get_current().signal.group_exit_code = code;
  do_exit(code);
}

/** The end of a task that an oops stopped; panics when the system cannot live without it. Never returns. */
export function make_task_dead(signr: i32): void {
  const t = get_current();
  if (t.pid == 0) panic(c`Attempted to kill the idle task!`);
  const limit = sym.sysctl_oops_limit;
  if (limit && sym.oops_count.counter >= limit) panic(c`Oopsed too often (kernel.oops_limit is %d)`, limit);
  do_exit(signr);
}
