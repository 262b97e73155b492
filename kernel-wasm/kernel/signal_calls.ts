/**
 * System calls about signals (kernel/signal.c): kill and its kin, actions and masks, waiting for one, the
 * alternate stack.
 */
import {
  EFAULT,
  EINTR,
  EINVAL,
  ENOMEM,
  EPERM,
  ERESTARTNOHAND,
  ESRCH,
  GFP_KERNEL,
  MINSIGSTKSZ,
  PF_KTHREAD,
  PIDTYPE_PGID,
  SIG_BLOCK,
  SIG_SETMASK,
  SIG_UNBLOCK,
  SI_TKILL,
  SI_USER,
  SS_DISABLE,
  SS_ONSTACK,
  TASK_INTERRUPTIBLE,
  TASK_RUNNING,
  UAPI_SA_FLAGS,
  _NSIG,
} from "../include/generated/constants";
import { restart_block, sigaction, sigaltstack, task_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { get_current, task_pt_regs } from "../arch/kernel/current";
import { copy_from_user, copy_to_user } from "../arch/lib/usercopy";
import { kfree, kmalloc } from "../mm/slub";
import { is_global_init } from "./exit";
import { read_lock, read_unlock } from "./locking/qrwlock";
import { spin_lock_irq, spin_unlock_irq } from "./locking/spinlock";
import { find_task_by_vpid, pid_nr } from "./pid";
import { schedule } from "./sched/core";
import {
  ONLY_KERNEL,
  flush_sigqueue_mask,
  recalc_sigpending,
  send_sig,
  send_signal,
  sig_task_ignored,
  sigmask,
  signal_pending,
} from "./signal";
import { set_current_blocked } from "./signal_deliver";

/** 0 probes whether the task is there. */
function kill_task(t: task_struct, sig: i32): i32 {
  if (sig) send_signal(sig, SI_USER, t);
  return 0;
}

/** All processes, or those of a group, but the caller's own and init for -1. With tasklist_lock. */
function kill_many(group: i32, sig: i32): i32 {
  let found = 0;
  const self = get_current();
  let t = task_struct.from_tasks(sym.init_task.tasks.next);
  while (t != sym.init_task) {
    const next = task_struct.from_tasks(t.tasks.next);
    const all = group < 0 && !is_global_init(t) && t != self && !(t.flags & PF_KTHREAD);
    if (all || (group >= 0 && pid_nr(t.signal.pids[PIDTYPE_PGID]) == group)) {
      found++;
      kill_task(t, sig);
    }
    t = next;
  }
  return found ? 0 : -ESRCH;
}

/** kill(2). */
export function sys_kill(pid: i32, sig: i32): i64 {
  if (sig < 0 || sig > _NSIG) return -EINVAL;
  read_lock(sym.tasklist_lock);
  const err = kill_something(pid, sig);
  read_unlock(sym.tasklist_lock);
  return err;
}

function kill_something(pid: i32, sig: i32): i32 {
  if (pid > 0) {
    const t = find_task_by_vpid(pid);
    return isnull(t) ? -ESRCH : kill_task(t, sig);
  }
  if (pid == -1) return kill_many(-1, sig);
  if (pid == i32.MIN_VALUE) return -ESRCH;
  return kill_many(pid ? -pid : pid_nr(get_current().signal.pids[PIDTYPE_PGID]), sig);
}

/** tgkill(2), and tkill(2) with a `tgid` of 0: to one task alone. */
export function do_tkill(tgid: i32, pid: i32, sig: i32): i64 {
  if (pid <= 0 || sig < 0 || sig > _NSIG) return -EINVAL;
  read_lock(sym.tasklist_lock);
  const t = find_task_by_vpid(pid);
  const found = !isnull(t) && (tgid == 0 || t.tgid == tgid);
  if (found && sig) send_sig(sig, SI_TKILL, t);
  read_unlock(sym.tasklist_lock);
  return found ? 0 : -ESRCH;
}

/** tgkill(2). */
export function sys_tgkill(tgid: i32, pid: i32, sig: i32): i64 {
  return tgid <= 0 ? -EINVAL : do_tkill(tgid, pid, sig);
}

/** Sets and tells the action of a signal; either may be null. */
function do_sigaction(sig: i32, act: sigaction, oact: sigaction): i32 {
  const t = get_current();
  const sa: sigaction = t.sighand.action[sig - 1].sa;
  if (!isnull(act) && ONLY_KERNEL & sigmask(sig)) return -EINVAL;
  spin_lock_irq(t.sighand.siglock);
  if (!isnull(oact)) memory.copy(changetype<usize>(oact), changetype<usize>(sa), sigaction.SIZE);
  if (!isnull(act)) {
    memory.copy(changetype<usize>(sa), changetype<usize>(act), sigaction.SIZE);
    sa.sa_flags &= UAPI_SA_FLAGS;
    sa.sa_mask.sig[0] &= ~ONLY_KERNEL;
    // POSIX 3.3.1.3: what is ignored from now on is not pending any more, blocked or not.
    if (sig_task_ignored(t, sig, false)) {
      flush_sigqueue_mask(t.signal.shared_pending, sigmask(sig));
      flush_sigqueue_mask(t.pending, sigmask(sig));
      recalc_sigpending(t);
    }
  }
  spin_unlock_irq(t.sighand.siglock);
  return 0;
}

/** rt_sigaction(2). */
export function sys_rt_sigaction(sig: i32, act: u64, oact: u64, size: u64): i64 {
  if (size != 8 || sig < 1 || sig > _NSIG) return -EINVAL;
  const bytes = <usize>sigaction.SIZE;
  const room = kmalloc(2 * bytes, GFP_KERNEL);
  if (!room) return -ENOMEM;
  const none = changetype<sigaction>(0);
  const fresh = act ? changetype<sigaction>(room) : none;
  const old = oact ? changetype<sigaction>(room + bytes) : none;
  let err = act && copy_from_user(room, act, bytes) ? -EFAULT : 0;
  if (!err) err = do_sigaction(sig, fresh, old);
  if (!err && oact && copy_to_user(oact, room + bytes, bytes)) err = -EFAULT;
  kfree(room);
  return err;
}

/** Room for what a call takes from the user or tells it: what is about to be delivered lies there later. */
@inline
function scratch(): usize {
  return changetype<usize>(get_current().ksig.info);
}

/** rt_sigprocmask(2). */
export function sys_rt_sigprocmask(how: i32, set: u64, oset: u64, size: u64): i64 {
  if (size != 8) return -EINVAL;
  const old = get_current().blocked.sig[0];
  if (set) {
    if (copy_from_user(scratch(), set, 8)) return -EFAULT;
    const mask = load<u64>(scratch());
    if (how == SIG_BLOCK) set_current_blocked(old | mask);
    else if (how == SIG_UNBLOCK) set_current_blocked(old & ~mask);
    else if (how == SIG_SETMASK) set_current_blocked(mask);
    else return -EINVAL;
  }
  store<u64>(scratch(), old);
  return oset && copy_to_user(oset, scratch(), 8) ? -EFAULT : 0;
}

/** rt_sigpending(2): pending and blocked. */
export function sys_rt_sigpending(set: u64, size: u64): i64 {
  if (size > 8) return -EINVAL;
  const t = get_current();
  spin_lock_irq(t.sighand.siglock);
  const pending = (t.pending.signal.sig[0] | t.signal.shared_pending.signal.sig[0]) & t.blocked.sig[0];
  spin_unlock_irq(t.sighand.siglock);
  store<u64>(scratch(), pending);
  return copy_to_user(set, scratch(), <usize>size) ? -EFAULT : 0;
}

/** Sleeps until there is a signal to be delivered, and leaves the rest to that. */
function wait_for_signal(): i64 {
  const t = get_current();
  while (true) {
    t.__state = TASK_INTERRUPTIBLE;
    if (signal_pending(t)) break;
    schedule();
  }
  t.__state = TASK_RUNNING;
  return -ERESTARTNOHAND;
}

/** pause(2). */
export function sys_pause(): i64 {
  return wait_for_signal();
}

/** What marks a call of rt_sigsuspend that sleeps already: its mask is set, the former one kept. */
export function sigsuspend_restart(block: restart_block): i64 {
  return sigsuspend();
}

/** The former mask comes back when a handler has returned, or when none is run. */
export function sigsuspend(): i64 {
  const err = wait_for_signal();
  get_current().restore_sigmask = 1;
  return err;
}

/** rt_sigsuspend(2). */
export function sys_rt_sigsuspend(set: u64, size: u64): i64 {
  const t = get_current();
  const block = t.restart_block;
  if (block.fn != 0) return sigsuspend();
  if (size != 8) return -EINVAL;
  if (copy_from_user(scratch(), set, 8)) return -EFAULT;
  block.fn = fnptr(sigsuspend_restart);
  t.saved_sigmask.sig[0] = t.blocked.sig[0];
  set_current_blocked(load<u64>(scratch()));
  return sigsuspend();
}

/** A call that no signal has interrupted (do_no_restart_syscall). */
export function sys_restart_syscall(): i64 {
  const block = get_current().restart_block;
  if (block.fn == 0) return -EINTR;
  return call_indirect<i64>(text_index(block.fn), block);
}

/** SS_ONSTACK: `sp` is on the alternate stack; SS_DISABLE: there is none. */
export function sas_ss_flags(t: task_struct, sp: u64): i32 {
  if (!t.sas_ss_size) return SS_DISABLE;
  return on_sig_stack(t, sp) ? SS_ONSTACK : 0;
}

export function on_sig_stack(t: task_struct, sp: u64): bool {
  return sp > t.sas_ss_sp && sp - t.sas_ss_sp <= <u64>t.sas_ss_size;
}

export function sas_ss_reset(t: task_struct): void {
  t.sas_ss_sp = 0;
  t.sas_ss_size = 0;
  t.sas_ss_flags = SS_DISABLE;
}

/** A new alternate stack for the running task, whose stack pointer is `sp`. */
export function do_sigaltstack(ss: sigaltstack, sp: u64): i32 {
  const t = get_current();
  if (on_sig_stack(t, sp)) return -EPERM;
  const mode = ss.ss_flags;
  if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0) return -EINVAL;
  if (mode == SS_DISABLE) {
    sas_ss_reset(t);
    return 0;
  }
  if (ss.ss_size < MINSIGSTKSZ) return -ENOMEM;
  t.sas_ss_sp = ss.ss_sp;
  t.sas_ss_size = <usize>ss.ss_size;
  t.sas_ss_flags = mode;
  return 0;
}

/** sigaltstack(2). */
export function sys_sigaltstack(ss: u64, oss: u64): i64 {
  const t = get_current();
  const sp = task_pt_regs(t).sp;
  const stack = changetype<sigaltstack>(scratch());
  const old_sp = t.sas_ss_sp;
  const old_size = t.sas_ss_size;
  const old_flags = sas_ss_flags(t, sp);
  if (ss) {
    if (copy_from_user(scratch(), ss, sigaltstack.SIZE)) return -EFAULT;
    const err = do_sigaltstack(stack, sp);
    if (err) return err;
  }
  if (!oss) return 0;
  memory.fill(scratch(), 0, sigaltstack.SIZE);
  stack.ss_sp = old_sp;
  stack.ss_size = old_size;
  stack.ss_flags = old_flags;
  return copy_to_user(oss, scratch(), sigaltstack.SIZE) ? -EFAULT : 0;
}
