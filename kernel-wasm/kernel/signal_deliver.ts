/**
 * What a task does about its signals on its way back to user mode (get_signal of kernel/signal.c): it ends,
 * stops, or has a handler to run.
 */
import {
  CLD_CONTINUED,
  CLD_STOPPED,
  PF_SIGNALED,
  SA_NODEFER,
  SA_RESETHAND,
  SIGKILL,
  SIGNAL_CLD_CONTINUED,
  SIGNAL_CLD_MASK,
  SIGNAL_GROUP_EXIT,
  SIGNAL_STOP_STOPPED,
  SIGNAL_UNKILLABLE,
  SIG_DFL,
  SIG_IGN,
  TASK_STOPPED,
} from "../include/generated/constants";
import { sigaction, task_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";
import { do_group_exit } from "./exit";
import { read_lock, read_unlock } from "./locking/qrwlock";
import { spin_lock_irq, spin_unlock_irq } from "./locking/spinlock";
import { schedule } from "./sched/core";
import {
  IGNORED,
  ONLY_KERNEL,
  STOPS,
  collect_signal,
  do_notify_parent_cldstop,
  force_sigsegv,
  next_signal,
  recalc_sigpending,
  sig_handler,
  sigmask,
  signal_set_stop_flags,
} from "./signal";

/** The next one that is not blocked, into t.ksig.info; 0: there is none. The task's own come first. */
function dequeue_signal(t: task_struct): i32 {
  let pending = t.pending;
  let sig = next_signal(pending.signal.sig[0], t.blocked.sig[0]);
  if (!sig) {
    pending = t.signal.shared_pending;
    sig = next_signal(pending.signal.sig[0], t.blocked.sig[0]);
  }
  if (sig) collect_signal(pending, sig, t.ksig.info);
  recalc_sigpending(t);
  return sig;
}

function notify_cldstop(t: task_struct, why: i32): void {
  read_lock(sym.tasklist_lock);
  do_notify_parent_cldstop(t, why);
  read_unlock(sym.tasklist_lock);
}

/**
 * Sleeps until SIGCONT or SIGKILL; the parent hears of it. Takes the siglock over, and lets it go: one that
 * continues the task comes either before, and then there is nothing to continue yet, or finds it stopped.
 */
export function do_signal_stop(sig: i32): void {
  const t = get_current();
  signal_set_stop_flags(t, SIGNAL_STOP_STOPPED);
  t.signal.group_exit_code = sig;
  t.__state = TASK_STOPPED;
  spin_unlock_irq(t.sighand.siglock);
  notify_cldstop(t, CLD_STOPPED);
  schedule();
}

/** The task was stopped and goes on: its parent hears of that from itself. Lets go of the siglock for it. */
function report_continued(t: task_struct): void {
  const why = t.signal.flags & SIGNAL_CLD_CONTINUED ? CLD_CONTINUED : CLD_STOPPED;
  t.signal.flags &= ~SIGNAL_CLD_MASK;
  spin_unlock_irq(t.sighand.siglock);
  notify_cldstop(t, why);
  spin_lock_irq(t.sighand.siglock);
}

/** The handler of `sig` is to run: its action as it is now, which SA_RESETHAND ends. */
function take_action(t: task_struct, sig: i32): void {
  const action: sigaction = t.sighand.action[sig - 1].sa;
  memory.copy(changetype<usize>(t.ksig.ka.sa), changetype<usize>(action), sigaction.SIZE);
  t.ksig.sig = sig;
  if (action.sa_flags & SA_RESETHAND) action.sa_handler_va = SIG_DFL;
}

/**
 * What is pending for the running task on its way to user mode. The signal in t.ksig whose handler is to run,
 * or 0. A task that a signal ends or stops does not come back; one that goes on looks again.
 */
export function get_signal(): i32 {
  const t = get_current();
  spin_lock_irq(t.sighand.siglock);
  let sig = 0;
  do {
    if (t.signal.flags & SIGNAL_CLD_MASK) report_continued(t);
    if (t.signal.flags & SIGNAL_GROUP_EXIT) {
      sig = SIGKILL;
      break;
    }
    sig = dequeue_signal(t);
    if (!sig) break;
    const mask = sigmask(sig);
    const handler = sig_handler(t, sig);
    if (handler == SIG_IGN) continue;
    if (handler != SIG_DFL) {
      take_action(t, sig);
      spin_unlock_irq(t.sighand.siglock);
      return sig;
    }
    if (IGNORED & mask) continue;
    if (t.signal.flags & SIGNAL_UNKILLABLE && !(ONLY_KERNEL & mask)) continue;
    if (!(STOPS & mask)) break;
    do_signal_stop(sig);
    spin_lock_irq(t.sighand.siglock);
  } while (true);
  spin_unlock_irq(t.sighand.siglock);
  if (!sig) return 0;
  t.flags |= PF_SIGNALED;
  do_group_exit(sig);
  return 0;
}

/** A new mask; what it lets through is pending now. */
export function set_current_blocked(mask: u64): void {
  const t = get_current();
  spin_lock_irq(t.sighand.siglock);
  t.blocked.sig[0] = mask & ~ONLY_KERNEL;
  recalc_sigpending(t);
  spin_unlock_irq(t.sighand.siglock);
}

/** rt_sigsuspend's mask goes when no handler has come that would run with it. */
export function restore_saved_sigmask(): void {
  const t = get_current();
  if (!t.restore_sigmask) return;
  t.restore_sigmask = 0;
  set_current_blocked(t.saved_sigmask.sig[0]);
}

/** What the handler's frame keeps for sigreturn. */
export function sigmask_to_save(t: task_struct): u64 {
  return t.restore_sigmask ? t.saved_sigmask.sig[0] : t.blocked.sig[0];
}

/** The frame of t.ksig stands, and its handler runs with what it blocks; or there is no stack for it. */
export function signal_setup_done(failed: bool): void {
  const t = get_current();
  const sig = t.ksig.sig;
  if (failed) {
    force_sigsegv(sig);
    return;
  }
  t.restore_sigmask = 0;
  let blocked = t.blocked.sig[0] | t.ksig.ka.sa.sa_mask.sig[0];
  if (!(t.ksig.ka.sa.sa_flags & SA_NODEFER)) blocked |= sigmask(sig);
  set_current_blocked(blocked);
}
