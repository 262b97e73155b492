/**
 * The end of a task (kernel/exit.c): it lets go of what it holds, its children go to init, and it stays a
 * zombie until its parent has waited for it (wait.ts); at once without one that wants to.
 *
 * The parent may run on another CPU. It sees the zombie with tasklist_lock, under which exit_notify() makes
 * it one and tells the parent, so either its wait finds the zombie or the wake-up finds the wait. Whoever
 * turns EXIT_ZOMBIE into EXIT_DEAD, by an atomic exchange, reaps. The dead task still runs from there to its
 * last schedule(), and uses its stack, credentials and signal_struct: these go with the last reference, which
 * its CPU drops when it has switched away (finish_task_switch). Only what it does not touch any more, its
 * number, its place in the lists and its sighand, goes in release_task().
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
import { atomic_inc } from "../lib/atomic";
import { list_add_tail, list_del_init, list_empty } from "../lib/list";
import { kfree } from "../mm/slub";
import { mmput, put_task_struct } from "./fork";
import { preempt_count } from "./locking/preempt";
import {
  write_lock_irq,
  write_lock_irqsave,
  write_unlock_irq,
  write_unlock_irqrestore,
} from "./locking/qrwlock";
import { spin_lock, spin_lock_irqsave, spin_unlock, spin_unlock_irqrestore } from "./locking/spinlock";
import { exit_task_namespaces } from "./nsproxy";
import { panic } from "./panic";
import { detach_pid, init_task_pid } from "./pid";
import { pr_info } from "./printk/printk";
import { schedule } from "./sched/core";
import { task_lock, task_unlock } from "./sched/task";
import { complete } from "./sched/wait";
import { __cleanup_sighand } from "./sighand";
import { do_notify_parent, flush_signals } from "./signal";
import { exit_itimers } from "./time/itimer";

@inline
export function is_global_init(t: task_struct): bool {
  return t.tgid == 1;
}

/**
 * The address space is let go of: who vforked this task may go on. Who does not want to wait any longer says
 * so under the same lock (wait_for_vfork_done), as the completion is on its stack.
 */
export function mm_release(t: task_struct): void {
  task_lock(t);
  if (t.vfork_done_va != 0) {
    const done: completion = t.vfork_done;
    t.vfork_done_va = 0;
    complete(done);
  }
  task_unlock(t);
}

/** The CPU goes on with the page tables until it has switched away: mm_count. */
function exit_mm(t: task_struct): void {
  const mm = t.mm;
  mm_release(t);
  if (isnull(mm)) return;
  atomic_inc(mm.mm_count);
  task_lock(t);
  t.active_mm = mm;
  t.mm_va = 0;
  task_unlock(t);
  mmput(mm);
}

/** The task leaves the lists that tools walk; its task_struct goes with the last reference. */
export function release_task(t: task_struct): void {
  const irq = write_lock_irqsave(sym.tasklist_lock);
  __exit_signal(t);
  write_unlock_irqrestore(sym.tasklist_lock, irq);
  put_task_struct(t);
}

/** With tasklist_lock for writing: nobody is sending this task a signal, and nobody will. */
function __exit_signal(t: task_struct): void {
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
  const sighand = t.sighand;
  spin_lock(sighand.siglock);
  if (!CONFIG_CRASH_DUMP) flush_signals(t);
  t.sighand_va = 0;
  spin_unlock(sighand.siglock);
  __cleanup_sighand(sighand);
}

/**
 * Children that are left go to init; the dead among them are init's to reap. With tasklist_lock for writing,
 * let go of in between for a child that nobody waits for: EXIT_DEAD, it is nobody else's.
 */
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
    write_unlock_irq(sym.tasklist_lock);
    release_task(t);
    write_lock_irq(sym.tasklist_lock);
  }
}

/** From the unlocking on, a zombie is its parent's: nothing but the way to schedule() may follow. */
function exit_notify(t: task_struct): void {
  write_lock_irq(sym.tasklist_lock);
  if (!CONFIG_CRASH_DUMP) forget_original_parent(t);
  t.exit_state = EXIT_ZOMBIE;
  const autoreap = do_notify_parent(t, t.exit_signal);
  if (autoreap) t.exit_state = EXIT_DEAD;
  write_unlock_irq(sym.tasklist_lock);
  if (autoreap) release_task(t);
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
  if (!CONFIG_CRASH_DUMP) exit_itimers(t);
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
  BUG(c`kernel/exit.ts`, 170);
}

export function do_group_exit(code: i32): void {
  if (CONFIG_CRASH_DUMP) do_exit(code);
  const t = get_current();
  const signal = t.signal;
  const sighand = t.sighand;
  const irq = spin_lock_irqsave(sighand.siglock);
  if (!(signal.flags & SIGNAL_GROUP_EXIT)) {
    signal.flags = SIGNAL_GROUP_EXIT;
    signal.group_exit_code = code;
  }
  spin_unlock_irqrestore(sighand.siglock, irq);
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
