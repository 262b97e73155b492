/**
 * Kernel threads (kernel/kthread.c). A thread's function runs once for each time that the thread is woken,
 * from its start, and ends by sleeping or by returning, which ends the thread. Since a creator cannot wait
 * here (it would start over), it forks in kthreadd's name instead of asking kthreadd to.
 */
import {
  GFP_KERNEL,
  ENOMEM,
  SIGCHLD,
  SIG_IGN,
  TASK_COMM_LEN,
  PF_NO_SETAFFINITY,
  TASK_INTERRUPTIBLE,
} from "../include/generated/constants";
import { kthread as kthread_info, task_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { ERR_PTR, IS_ERR } from "../include/err";
import { get_current } from "../arch/kernel/current";
import { snprintf } from "../lib/vsprintf";
import { kfree, kzalloc } from "../mm/slub";
import { do_exit } from "./exit";
import { KTHREAD_CLONE_FLAGS, copy_process } from "./fork";
import { park_new_task, schedule, wake_up_process } from "./sched/core";

/** The first function of every kernel thread that kthread_create made. */
export function kthread(self: usize): i32 {
  const info = changetype<kthread_info>(self);
  do_exit(call_indirect<i32>(text_index(info.threadfn), info.data));
  return 0;
}

/**
 * A thread that will run `threadfn(data)` when it is woken; its name is formatted. ERR_PTR when memory is
 * short.
 */
export function kthread_create(
  threadfn: u64,
  data: usize,
  namefmt: usize,
  a0: u64 = 0,
  a1: u64 = 0,
): task_struct {
  const info = changetype<kthread_info>(kzalloc(kthread_info.SIZE, GFP_KERNEL));
  if (isnull(info)) return ERR_PTR<task_struct>(-ENOMEM);
  info.threadfn = threadfn;
  info.data = data;
  const p = copy_process(KTHREAD_CLONE_FLAGS, fnptr(kthread), va(changetype<usize>(info)), sym.kthreadd_task);
  if (IS_ERR(p)) {
    kfree(changetype<usize>(info));
    return p;
  }
  p.set_child_tid = changetype<usize>(info);
  snprintf(p.comm, TASK_COMM_LEN, namefmt, a0, a1);
  park_new_task(p);
  return p;
}

export function kthread_run(
  threadfn: u64,
  data: usize,
  namefmt: usize,
  a0: u64 = 0,
  a1: u64 = 0,
): task_struct {
  const p = kthread_create(threadfn, data, namefmt, a0, a1);
  if (!IS_ERR(p)) wake_up_process(p);
  return p;
}

/** A thread that has not been started, and is to run on one CPU only. */
export function kthread_bind(p: task_struct, cpu: u32): void {
  p.cpus_mask.bits[0] = (1 as u64) << (cpu as u64);
  p.nr_cpus_allowed = 1;
  p.flags |= PF_NO_SETAFFINITY;
}

/** Task 2: the father of all kernel threads. */
export function kthreadd(unused: usize): i32 {
  const t = get_current();
  snprintf(t.comm, TASK_COMM_LEN, c`kthreadd`);
  // ignore_signals(): its children are reaped without anybody waiting for them.
  t.sighand.action[SIGCHLD - 1].sa.sa_handler_va = SIG_IGN;
  while (true) {
    t.__state = TASK_INTERRUPTIBLE;
    schedule();
  }
}
