/**
 * Signals (kernel/signal.c): sending, the queues of pending ones, and what a task does about them on its way
 * back to user mode. A program cannot have a handler here, since what would run it is not in memory; a
 * signal is ignored, stops the task or ends it.
 *
 *     kill -> send_signal -> complete_signal -> signal_wake_up     the task leaves its sleep and starts over
 *     syscall_exit_to_user_mode -> get_signal -> do_group_exit     or do_signal_stop, or nothing
 *
 * The queues, the masks, the actions and signal->flags of a process are under its sighand->siglock, with
 * interrupts off. Whoever signals another task has tasklist_lock, at least for reading: it keeps the task's
 * sighand where it is (Linux: RCU and lock_task_sighand). A task that goes to sleep looks for signals after
 * it has set its state; a sender sets TIF_SIGPENDING before it looks at the state: one of them sees the
 * other.
 */
import {
  CLD_EXITED,
  CLD_KILLED,
  CONFIG_CRASH_DUMP,
  EFAULT,
  EINVAL,
  ENOMEM,
  ESRCH,
  GFP_ATOMIC,
  GFP_KERNEL,
  PF_EXITING,
  PF_KTHREAD,
  PF_SIGNALED,
  PIDTYPE_PGID,
  SA_NOCLDWAIT,
  SIGCHLD,
  SIGCONT,
  SIGKILL,
  SIGNAL_GROUP_EXIT,
  SIGNAL_STOP_STOPPED,
  SIGNAL_UNKILLABLE,
  SIGRTMIN,
  SIGSTOP,
  SIGTSTP,
  SIGTTIN,
  SIGTTOU,
  SIGURG,
  SIGWINCH,
  SIG_BLOCK,
  SIG_DFL,
  SIG_IGN,
  SIG_SETMASK,
  SIG_UNBLOCK,
  SI_KERNEL,
  SI_USER,
  SLAB_PANIC,
  TASK_INTERRUPTIBLE,
  TASK_STOPPED,
  TASK_WAKEKILL,
  TIF_SIGPENDING,
  _NSIG,
  _TIF_SIGPENDING,
  __TASK_STOPPED,
} from "../include/generated/constants";
import { sigaction, sigpending, sigqueue, task_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";
import { copy_from_user, copy_to_user } from "../arch/lib/usercopy";
import { INIT_LIST_HEAD, list_add_tail, list_del_init, list_is_head } from "../lib/list";
import { kfree, kmalloc, kmem_cache_alloc, kmem_cache_create, kmem_cache_free } from "../mm/slub";
import { do_group_exit, is_global_init } from "./exit";
import { read_lock, read_unlock } from "./locking/qrwlock";
import {
  spin_lock_irq,
  spin_lock_irqsave,
  spin_unlock_irq,
  spin_unlock_irqrestore,
} from "./locking/spinlock";
import { find_task_by_vpid, pid_nr } from "./pid";
import { schedule, try_to_wake_up } from "./sched/core";
import { clear_tsk_thread_flag, set_tsk_thread_flag } from "./sched/task";
import { wake_up_all } from "./sched/wait";

@inline
function sigmask(sig: i32): u64 {
  return <u64>1 << <u64>(sig - 1);
}

const ONLY_KERNEL: u64 = (1 << (SIGKILL - 1)) | (1 << (SIGSTOP - 1));
const IGNORED: u64 =
  (1 << (SIGCONT - 1)) | (1 << (SIGCHLD - 1)) | (1 << (SIGWINCH - 1)) | (1 << (SIGURG - 1));
const STOPS: u64 =
  (1 << (SIGSTOP - 1)) | (1 << (SIGTSTP - 1)) | (1 << (SIGTTIN - 1)) | (1 << (SIGTTOU - 1));

export function init_sigpending(pending: sigpending): void {
  INIT_LIST_HEAD(pending.list);
  pending.signal.sig[0] = 0;
}

export function signals_init(): void {
  sym.sigqueue_cachep = kmem_cache_create(c`sigqueue`, sigqueue.SIZE, 0, SLAB_PANIC, 0);
}

/** The handler is a number that no pointer may be made of: SIG_DFL, SIG_IGN. */
@inline
function sig_handler(t: task_struct, sig: i32): u64 {
  return t.sighand.action[sig - 1].sa.sa_handler_va;
}

@inline
export function signal_pending(t: task_struct): bool {
  return (t.thread_info.flags & _TIF_SIGPENDING) != 0;
}

export function fatal_signal_pending(t: task_struct): bool {
  return signal_pending(t) && (t.pending.signal.sig[0] & sigmask(SIGKILL)) != 0;
}

function recalc_sigpending(t: task_struct): void {
  const pending = t.pending.signal.sig[0] | t.signal.shared_pending.signal.sig[0];
  if (pending & ~t.blocked.sig[0]) set_tsk_thread_flag(t, TIF_SIGPENDING);
  else clear_tsk_thread_flag(t, TIF_SIGPENDING);
}

function sig_ignored(t: task_struct, sig: i32): bool {
  if (t.blocked.sig[0] & sigmask(sig)) return false;
  if (t.flags & PF_KTHREAD) return true;
  const handler = sig_handler(t, sig);
  if (t.signal.flags & SIGNAL_UNKILLABLE && handler == SIG_DFL) return true;
  return handler == SIG_IGN || (handler == SIG_DFL && (IGNORED & sigmask(sig)) != 0);
}

function flush_sigqueue_mask(queue: sigpending, mask: u64): void {
  queue.signal.sig[0] &= ~mask;
  let at = queue.list.next;
  while (!list_is_head(at, queue.list)) {
    const next = at.next;
    const q = sigqueue.from_list(at);
    if (mask & sigmask(q.info.si_signo)) free_sigqueue(q);
    at = next;
  }
}

function free_sigqueue(q: sigqueue): void {
  list_del_init(q.list);
  kmem_cache_free(sym.sigqueue_cachep, changetype<usize>(q));
}

/** What a dead task has not seen. */
export function flush_signals(t: task_struct): void {
  flush_sigqueue_mask(t.pending, ~<u64>0);
  flush_sigqueue_mask(t.signal.shared_pending, ~<u64>0);
}

/** A stop undoes what continues, and the other way round. False when the signal has no effect. */
function prepare_signal(t: task_struct, sig: i32): bool {
  if (t.signal.flags & SIGNAL_GROUP_EXIT) return sig == SIGKILL;
  if (STOPS & sigmask(sig)) flush_sigqueue_mask(t.signal.shared_pending, sigmask(SIGCONT));
  else if (sig == SIGCONT) {
    flush_sigqueue_mask(t.signal.shared_pending, STOPS);
    t.signal.flags &= ~SIGNAL_STOP_STOPPED;
    // What came while it was stopped: it looks on its way on.
    recalc_sigpending(t);
    try_to_wake_up(t, __TASK_STOPPED);
  }
  return !sig_ignored(t, sig);
}

function signal_wake_up(t: task_struct, fatal: bool): void {
  set_tsk_thread_flag(t, TIF_SIGPENDING);
  try_to_wake_up(t, TASK_INTERRUPTIBLE | (fatal ? TASK_WAKEKILL : 0));
}

function sig_fatal(t: task_struct, sig: i32): bool {
  return !((IGNORED | STOPS) & sigmask(sig)) && sig_handler(t, sig) == SIG_DFL;
}

function complete_signal(t: task_struct, sig: i32): void {
  if (t.blocked.sig[0] & sigmask(sig) || t.flags & PF_EXITING) return;
  // A stopped task takes it when it goes on.
  if (sig != SIGKILL && t.__state & __TASK_STOPPED) return;
  if (sig_fatal(t, sig)) {
    t.signal.flags = SIGNAL_GROUP_EXIT;
    t.signal.group_exit_code = sig;
    t.pending.signal.sig[0] |= sigmask(SIGKILL);
    signal_wake_up(t, true);
  } else signal_wake_up(t, sig == SIGKILL);
}

/**
 * Queues a signal for the process of `t`, which is the running task or found with tasklist_lock. A standard
 * one that is pending already is not queued again.
 */
export function send_signal(sig: i32, code: i32, t: task_struct): void {
  const sighand = t.sighand;
  const irq = spin_lock_irqsave(sighand.siglock);
  __send_signal(sig, code, t);
  spin_unlock_irqrestore(sighand.siglock, irq);
}

function __send_signal(sig: i32, code: i32, t: task_struct): void {
  if (!prepare_signal(t, sig)) return;
  const pending = t.signal.shared_pending;
  if (sig < SIGRTMIN && pending.signal.sig[0] & sigmask(sig)) return;
  // Without memory for the record the signal itself arrives all the same, as in Linux.
  const q = sig == SIGKILL ? changetype<sigqueue>(0)
    : changetype<sigqueue>(kmem_cache_alloc(sym.sigqueue_cachep, GFP_ATOMIC));
  if (!isnull(q)) {
    q.flags = 0;
    q.info.si_signo = sig;
    q.info.si_errno = 0;
    q.info.si_code = code;
    list_add_tail(q.list, pending.list);
  }
  pending.signal.sig[0] |= sigmask(sig);
  complete_signal(t, sig);
}

/** Also for one that is blocked or ignored: it is neither any more (force_sig). */
export function force_sig(sig: i32): void {
  const t = get_current();
  const irq = spin_lock_irqsave(t.sighand.siglock);
  t.sighand.action[sig - 1].sa.sa_handler_va = SIG_DFL;
  t.blocked.sig[0] &= ~sigmask(sig);
  t.signal.flags &= ~SIGNAL_UNKILLABLE;
  __send_signal(sig, SI_KERNEL, t);
  spin_unlock_irqrestore(t.sighand.siglock, irq);
}

function next_signal(pending: u64, blocked: u64): i32 {
  const ready = pending & ~blocked;
  return ready ? <i32>ctz<u64>(ready) + 1 : 0;
}

/** Takes one off a queue. */
function collect_signal(pending: sigpending, sig: i32): void {
  let found = changetype<sigqueue>(0);
  let more = false;
  for (let at = pending.list.next; !list_is_head(at, pending.list); at = at.next) {
    const q = sigqueue.from_list(at);
    if (q.info.si_signo != sig) continue;
    if (isnull(found)) found = q;
    else more = true;
  }
  if (!more) pending.signal.sig[0] &= ~sigmask(sig);
  if (!isnull(found)) free_sigqueue(found);
}

function dequeue_signal(t: task_struct): i32 {
  let pending = t.pending;
  let sig = next_signal(pending.signal.sig[0], t.blocked.sig[0]);
  if (!sig) {
    pending = t.signal.shared_pending;
    sig = next_signal(pending.signal.sig[0], t.blocked.sig[0]);
  }
  if (sig) collect_signal(pending, sig);
  recalc_sigpending(t);
  return sig;
}

/**
 * Sleeps until SIGCONT or SIGKILL; the parent hears of it. Takes the siglock over, and lets it go: one that
 * continues the task comes either before, and then there is nothing to continue yet, or finds it stopped.
 */
export function do_signal_stop(sig: i32): void {
  const t = get_current();
  t.signal.flags |= SIGNAL_STOP_STOPPED;
  t.signal.group_exit_code = sig;
  t.__state = TASK_STOPPED;
  spin_unlock_irq(t.sighand.siglock);
  read_lock(sym.tasklist_lock);
  wake_up_all(t.real_parent.signal.wait_chldexit);
  read_unlock(sym.tasklist_lock);
  schedule();
}

/**
 * The next signal that does something to the running task: 0, or its number, then with the siglock if it
 * stops the task, without it if it ends the task.
 */
function next_effect(t: task_struct): i32 {
  spin_lock_irq(t.sighand.siglock);
  let sig = 0;
  do {
    if (t.signal.flags & SIGNAL_GROUP_EXIT) {
      sig = SIGKILL;
      break;
    }
    sig = dequeue_signal(t);
    if (!sig) break;
    const mask = sigmask(sig);
    if (sig_handler(t, sig) == SIG_IGN || IGNORED & mask) continue;
    if (t.signal.flags & SIGNAL_UNKILLABLE && !(ONLY_KERNEL & mask)) continue;
    if (STOPS & mask) return sig;
    break;
  } while (true);
  spin_unlock_irq(t.sighand.siglock);
  return sig;
}

/** What is pending for the running task on its way to user mode. A task that it ends does not come back. */
export function get_signal(): void {
  const t = get_current();
  for (let sig = next_effect(t); sig; sig = next_effect(t)) {
    if (STOPS & sigmask(sig)) {
      do_signal_stop(sig);
      continue;
    }
    t.flags |= PF_SIGNALED;
    do_group_exit(sig);
  }
}

/**
 * Tells the parent of a dead task, with tasklist_lock for writing. True when the parent does not want to wait
 * for it: SIGCHLD ignored, as kthreadd does.
 */
export function do_notify_parent(t: task_struct, sig: i32): bool {
  const parent = t.parent;
  let autoreap = false;
  if ((parent.flags & PF_KTHREAD) != 0 && sig == SIGCHLD) autoreap = true;
  else if (!CONFIG_CRASH_DUMP && sig == SIGCHLD) {
    const sa: sigaction = parent.sighand.action[SIGCHLD - 1].sa;
    autoreap = sa.sa_handler_va == SIG_IGN || (sa.sa_flags & SA_NOCLDWAIT) != 0;
  }
  if (CONFIG_CRASH_DUMP) return autoreap;
  if (sig > 0 && !autoreap) send_signal(sig, t.exit_code & 0x7f ? CLD_KILLED : CLD_EXITED, parent);
  wake_up_all(parent.signal.wait_chldexit);
  return autoreap;
}

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

/** Sets and tells the action of a signal; either may be null. */
function do_sigaction(sig: i32, act: sigaction, oact: sigaction): i32 {
  const t = get_current();
  const sa: sigaction = t.sighand.action[sig - 1].sa;
  if (!isnull(act) && (ONLY_KERNEL & sigmask(sig) || act.sa_handler_va > SIG_IGN)) return -EINVAL;
  spin_lock_irq(t.sighand.siglock);
  if (!isnull(oact)) memory.copy(changetype<usize>(oact), changetype<usize>(sa), sigaction.SIZE);
  if (!isnull(act)) {
    memory.copy(changetype<usize>(sa), changetype<usize>(act), sigaction.SIZE);
    if (sig_ignored(t, sig)) flush_sigqueue_mask(t.signal.shared_pending, sigmask(sig));
    recalc_sigpending(t);
  }
  spin_unlock_irq(t.sighand.siglock);
  return 0;
}

/** rt_sigaction(2), of SIG_DFL and SIG_IGN; another handler is EINVAL. */
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

/** A new mask; what it lets through is pending now. */
function set_current_blocked(mask: u64): void {
  const t = get_current();
  spin_lock_irq(t.sighand.siglock);
  t.blocked.sig[0] = mask;
  recalc_sigpending(t);
  spin_unlock_irq(t.sighand.siglock);
}

/** rt_sigprocmask(2). */
export function sys_rt_sigprocmask(how: i32, set: u64, oset: u64, size: u64): i64 {
  if (size != 8) return -EINVAL;
  const t = get_current();
  const old = t.blocked.sig[0];
  t.saved_sigmask.sig[0] = 0;
  const scratch = changetype<usize>(t.saved_sigmask);
  if (set) {
    if (copy_from_user(scratch, set, 8)) return -EFAULT;
    const mask = load<u64>(scratch) & ~ONLY_KERNEL;
    if (how == SIG_BLOCK) set_current_blocked(old | mask);
    else if (how == SIG_UNBLOCK) set_current_blocked(old & ~mask);
    else if (how == SIG_SETMASK) set_current_blocked(mask);
    else return -EINVAL;
  }
  store<u64>(scratch, old);
  return oset && copy_to_user(oset, scratch, 8) ? -EFAULT : 0;
}

/** rt_sigpending(2): pending and blocked. */
export function sys_rt_sigpending(set: u64, size: u64): i64 {
  if (size > 8) return -EINVAL;
  const t = get_current();
  spin_lock_irq(t.sighand.siglock);
  const pending = (t.pending.signal.sig[0] | t.signal.shared_pending.signal.sig[0]) & t.blocked.sig[0];
  spin_unlock_irq(t.sighand.siglock);
  t.saved_sigmask.sig[0] = pending;
  return copy_to_user(set, changetype<usize>(t.saved_sigmask), <usize>size) ? -EFAULT : 0;
}

/**
 * After execve: what had a handler is at its default again; what is ignored stays so. The sighand is the
 * task's own by now (unshare_sighand).
 */
export function flush_signal_handlers(t: task_struct): void {
  const irq = spin_lock_irqsave(t.sighand.siglock);
  for (let i: usize = 0; i < _NSIG; i++) {
    const sa: sigaction = t.sighand.action[i].sa;
    if (sa.sa_handler_va != SIG_IGN) sa.sa_handler_va = SIG_DFL;
    sa.sa_flags = 0;
  }
  spin_unlock_irqrestore(t.sighand.siglock, irq);
}
