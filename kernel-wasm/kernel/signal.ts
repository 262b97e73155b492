/**
 * Signals (kernel/signal.c): sending, and the queues of pending ones. What a task does about them on its way
 * back to user mode is signal_deliver.ts's, the frame of a handler arch/kernel/signal.ts's, the system calls
 * are in signal_calls.ts.
 *
 *     kill -> send_signal -> complete_signal -> signal_wake_up     the task leaves its sleep: EINTR, or again
 *     syscall_exit_to_user_mode -> arch_do_signal_or_restart -> get_signal -> handle_signal -> setup_rt_frame
 *                                                                          -> do_group_exit, do_signal_stop
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
  CLD_STOPPED,
  CONFIG_CRASH_DUMP,
  GFP_ATOMIC,
  PF_EXITING,
  PF_KTHREAD,
  RLIMIT_SIGPENDING,
  SA_NOCLDSTOP,
  SA_NOCLDWAIT,
  SIGBUS,
  SIGCHLD,
  SIGCONT,
  SIGFPE,
  SIGILL,
  SIGKILL,
  SIGNAL_CLD_CONTINUED,
  SIGNAL_GROUP_EXIT,
  SIGNAL_STOP_CONTINUED,
  SIGNAL_STOP_MASK,
  SIGNAL_STOP_STOPPED,
  SIGNAL_UNKILLABLE,
  SIGRTMIN,
  SIGSEGV,
  SIGSTOP,
  SIGSYS,
  SIGTRAP,
  SIGTSTP,
  SIGTTIN,
  SIGTTOU,
  SIGURG,
  SIGWINCH,
  SIG_DFL,
  SIG_IGN,
  SI_KERNEL,
  SI_USER,
  SLAB_PANIC,
  TASK_INTERRUPTIBLE,
  TASK_WAKEKILL,
  TIF_SIGPENDING,
  UCOUNT_RLIMIT_SIGPENDING,
  _NSIG,
  _TIF_SIGPENDING,
  __TASK_STOPPED,
} from "../include/generated/constants";
import { kernel_siginfo, sigaction, sigpending, sigqueue, task_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";
import { atomic64_dec, atomic64_inc_return } from "../lib/atomic";
import { INIT_LIST_HEAD, list_add_tail, list_del_init, list_is_head } from "../lib/list";
import { kmem_cache_alloc, kmem_cache_create, kmem_cache_free } from "../mm/slub";
import { is_global_init } from "./exit";
import { spin_lock_irqsave, spin_unlock_irqrestore } from "./locking/spinlock";
import { try_to_wake_up } from "./sched/core";
import { clear_tsk_thread_flag, set_tsk_thread_flag } from "./sched/task";
import { wake_up_all } from "./sched/wait";

@inline
export function sigmask(sig: i32): u64 {
  return <u64>1 << <u64>(sig - 1);
}

/** SIG_KERNEL_ONLY_MASK and its kin of include/linux/signal.h. */
export const ONLY_KERNEL: u64 = (1 << (SIGKILL - 1)) | (1 << (SIGSTOP - 1));
export const IGNORED: u64 =
  (1 << (SIGCONT - 1)) | (1 << (SIGCHLD - 1)) | (1 << (SIGWINCH - 1)) | (1 << (SIGURG - 1));
export const STOPS: u64 =
  (1 << (SIGSTOP - 1)) | (1 << (SIGTSTP - 1)) | (1 << (SIGTTIN - 1)) | (1 << (SIGTTOU - 1));
/** What the program did itself comes before what others sent. */
const SYNCHRONOUS: u64 = (1 << (SIGSEGV - 1)) | (1 << (SIGBUS - 1)) | (1 << (SIGILL - 1)) |
  (1 << (SIGTRAP - 1)) | (1 << (SIGFPE - 1)) | (1 << (SIGSYS - 1));

export function init_sigpending(pending: sigpending): void {
  INIT_LIST_HEAD(pending.list);
  pending.signal.sig[0] = 0;
}

export function signals_init(): void {
  sym.sigqueue_cachep = kmem_cache_create(c`sigqueue`, sigqueue.SIZE, 0, SLAB_PANIC, 0);
  sym.init_ucounts.count.counter = 1;
}

/** The handler is a number that no pointer may be made of: SIG_DFL, SIG_IGN, a user's address. */
@inline
export function sig_handler(t: task_struct, sig: i32): u64 {
  return t.sighand.action[sig - 1].sa.sa_handler_va;
}

@inline
export function signal_pending(t: task_struct): bool {
  return (t.thread_info.flags & _TIF_SIGPENDING) != 0;
}

export function fatal_signal_pending(t: task_struct): bool {
  return signal_pending(t) && (t.pending.signal.sig[0] & sigmask(SIGKILL)) != 0;
}

export function recalc_sigpending(t: task_struct): void {
  const pending = t.pending.signal.sig[0] | t.signal.shared_pending.signal.sig[0];
  if (pending & ~t.blocked.sig[0]) set_tsk_thread_flag(t, TIF_SIGPENDING);
  else clear_tsk_thread_flag(t, TIF_SIGPENDING);
}

/** By its action alone; `force`: the kernel sends it, and SIGNAL_UNKILLABLE does not keep SIGKILL off. */
export function sig_ignored(t: task_struct, sig: i32, force: bool): bool {
  if ((t.blocked.sig[0] | t.real_blocked.sig[0]) & sigmask(sig)) return false;
  if (t.flags & PF_KTHREAD) return true;
  return sig_task_ignored(t, sig, force);
}

export function sig_task_ignored(t: task_struct, sig: i32, force: bool): bool {
  const handler = sig_handler(t, sig);
  const only_kernel = (ONLY_KERNEL & sigmask(sig)) != 0;
  if (only_kernel && is_global_init(t)) return true;
  if (t.signal.flags & SIGNAL_UNKILLABLE && handler == SIG_DFL && !(force && only_kernel)) return true;
  return handler == SIG_IGN || (handler == SIG_DFL && (IGNORED & sigmask(sig)) != 0);
}

export function flush_sigqueue_mask(queue: sigpending, mask: u64): void {
  queue.signal.sig[0] &= ~mask;
  let at = queue.list.next;
  while (!list_is_head(at, queue.list)) {
    const next = at.next;
    const q = sigqueue.from_list(at);
    if (mask & sigmask(q.info.si_signo)) __sigqueue_free(q);
    at = next;
  }
}

/** Room for one more, unless the user has as many pending as the receiver's limit allows. */
function __sigqueue_alloc(t: task_struct, force: bool): sigqueue {
  const count = sym.init_ucounts.ucount[UCOUNT_RLIMIT_SIGPENDING];
  const most = t.signal.rlim[RLIMIT_SIGPENDING].rlim_cur;
  let q = changetype<sigqueue>(0);
  if (<u64>atomic64_inc_return(count) <= most || force) {
    q = changetype<sigqueue>(kmem_cache_alloc(sym.sigqueue_cachep, GFP_ATOMIC));
  }
  if (isnull(q)) atomic64_dec(count);
  else memory.fill(changetype<usize>(q), 0, sigqueue.SIZE);
  return q;
}

function __sigqueue_free(q: sigqueue): void {
  list_del_init(q.list);
  atomic64_dec(sym.init_ucounts.ucount[UCOUNT_RLIMIT_SIGPENDING]);
  kmem_cache_free(sym.sigqueue_cachep, changetype<usize>(q));
}

/** What a dead task has not seen. */
export function flush_signals(t: task_struct): void {
  flush_sigqueue_mask(t.pending, ~<u64>0);
  flush_sigqueue_mask(t.signal.shared_pending, ~<u64>0);
}

export function signal_set_stop_flags(t: task_struct, flags: u32): void {
  t.signal.flags = (t.signal.flags & ~SIGNAL_STOP_MASK) | flags;
}

/** A stop undoes what continues, and the other way round. False when the signal has no effect. */
function prepare_signal(t: task_struct, sig: i32, force: bool): bool {
  if (t.signal.flags & SIGNAL_GROUP_EXIT) return sig == SIGKILL;
  if (STOPS & sigmask(sig)) {
    flush_sigqueue_mask(t.signal.shared_pending, sigmask(SIGCONT));
    flush_sigqueue_mask(t.pending, sigmask(SIGCONT));
  } else if (sig == SIGCONT) {
    flush_sigqueue_mask(t.signal.shared_pending, STOPS);
    flush_sigqueue_mask(t.pending, STOPS);
    if (t.signal.flags & SIGNAL_STOP_STOPPED) {
      // The task tells its parent itself, on its way on.
      signal_set_stop_flags(t, SIGNAL_CLD_CONTINUED | SIGNAL_STOP_CONTINUED);
      t.signal.group_exit_code = 0;
    }
    // What came while it was stopped: it looks on its way on.
    recalc_sigpending(t);
    try_to_wake_up(t, __TASK_STOPPED);
  }
  return !sig_ignored(t, sig, force);
}

export function signal_wake_up(t: task_struct, fatal: bool): void {
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
  if (sig_fatal(t, sig) && !(t.real_blocked.sig[0] & sigmask(sig))) {
    t.signal.flags = SIGNAL_GROUP_EXIT;
    t.signal.group_exit_code = sig;
    t.pending.signal.sig[0] |= sigmask(SIGKILL);
    signal_wake_up(t, true);
  } else signal_wake_up(t, sig == SIGKILL);
}

/**
 * Queues a signal for the process of `t`, or with `thread` for that task alone, with the siglock; `t` is the
 * running task or found with tasklist_lock. The record, for the caller to write down in it what the signal is
 * about; null when there is none: a standard signal that is pending already is not queued again, one without
 * effect not at all, and without memory the signal itself arrives all the same.
 */
function __send_signal(sig: i32, code: i32, t: task_struct, thread: bool): sigqueue {
  const none = changetype<sigqueue>(0);
  const force = code == SI_KERNEL;
  if (!prepare_signal(t, sig, force)) return none;
  const pending = thread ? t.pending : t.signal.shared_pending;
  if (sig < SIGRTMIN && pending.signal.sig[0] & sigmask(sig)) return none;
  const q = sig == SIGKILL ? none : __sigqueue_alloc(t, sig < SIGRTMIN && code >= 0);
  if (!isnull(q)) {
    q.ucounts = sym.init_ucounts;
    q.info.si_signo = sig;
    q.info.si_code = code;
    list_add_tail(q.list, pending.list);
  }
  pending.signal.sig[0] |= sigmask(sig);
  complete_signal(t, sig);
  return q;
}

/** From the kernel (SI_KERNEL), or from the running task. */
function send_signal_locked(sig: i32, code: i32, t: task_struct, thread: bool): void {
  const q = __send_signal(sig, code, t, thread);
  if (isnull(q) || code == SI_KERNEL) return;
  q.info._sifields._kill._pid = get_current().tgid;
  q.info._sifields._kill._uid = get_current().cred.uid.val;
}

/** To a process. */
export function send_signal(sig: i32, code: i32, t: task_struct): void {
  const sighand = t.sighand;
  const irq = spin_lock_irqsave(sighand.siglock);
  send_signal_locked(sig, code, t, false);
  spin_unlock_irqrestore(sighand.siglock, irq);
}

/** To one task (send_sig, tgkill). */
export function send_sig(sig: i32, code: i32, t: task_struct): void {
  const sighand = t.sighand;
  const irq = spin_lock_irqsave(sighand.siglock);
  send_signal_locked(sig, code, t, true);
  spin_unlock_irqrestore(sighand.siglock, irq);
}

/**
 * For what the running task has just done: one that is blocked or ignored, or with `fatal` any, ends it
 * (force_sig_info_to_task).
 */
function force_sig_locked(sig: i32, code: i32, t: task_struct, fatal: bool): sigqueue {
  const action: sigaction = t.sighand.action[sig - 1].sa;
  const blocked = (t.blocked.sig[0] & sigmask(sig)) != 0;
  if (blocked || fatal || action.sa_handler_va == SIG_IGN) {
    action.sa_handler_va = SIG_DFL;
    t.blocked.sig[0] &= ~sigmask(sig);
    recalc_sigpending(t);
  }
  if (action.sa_handler_va == SIG_DFL) t.signal.flags &= ~SIGNAL_UNKILLABLE;
  return __send_signal(sig, code, t, true);
}

export function force_sig(sig: i32): void {
  const t = get_current();
  const irq = spin_lock_irqsave(t.sighand.siglock);
  force_sig_locked(sig, SI_KERNEL, t, false);
  spin_unlock_irqrestore(t.sighand.siglock, irq);
}

/** With an address that it is about. */
export function force_sig_fault(sig: i32, code: i32, address: u64): void {
  const t = get_current();
  const irq = spin_lock_irqsave(t.sighand.siglock);
  const q = force_sig_locked(sig, code, t, false);
  if (!isnull(q)) q.info._sifields._sigfault._addr = address;
  spin_unlock_irqrestore(t.sighand.siglock, irq);
}

/** The frame of `sig` could not be made: SIGSEGV, and when it was SIGSEGV's own the end. */
export function force_sigsegv(sig: i32): void {
  const t = get_current();
  const irq = spin_lock_irqsave(t.sighand.siglock);
  force_sig_locked(SIGSEGV, SI_KERNEL, t, sig == SIGSEGV);
  spin_unlock_irqrestore(t.sighand.siglock, irq);
}

export function next_signal(pending: u64, blocked: u64): i32 {
  const ready = pending & ~blocked;
  if (!ready) return 0;
  return <i32>ctz<u64>(ready & SYNCHRONOUS ? ready & SYNCHRONOUS : ready) + 1;
}

/** Takes one off a queue, and what it says of itself into `info`. */
export function collect_signal(pending: sigpending, sig: i32, info: kernel_siginfo): void {
  let found = changetype<sigqueue>(0);
  let more = false;
  for (let at = pending.list.next; !list_is_head(at, pending.list); at = at.next) {
    const q = sigqueue.from_list(at);
    if (q.info.si_signo != sig) continue;
    if (isnull(found)) found = q;
    else more = true;
  }
  if (!more) pending.signal.sig[0] &= ~sigmask(sig);
  if (isnull(found)) {
    // There was no memory to say more.
    memory.fill(changetype<usize>(info), 0, kernel_siginfo.SIZE);
    info.si_signo = sig;
    info.si_code = SI_USER;
  } else {
    memory.copy(changetype<usize>(info), changetype<usize>(found.info), kernel_siginfo.SIZE);
    __sigqueue_free(found);
  }
}

/** SIGCHLD, with tasklist_lock, the siglock of `parent`, and what has become of its child. */
function send_sigchld(t: task_struct, parent: task_struct, code: i32, status: i32): void {
  const q = __send_signal(SIGCHLD, code, parent, false);
  if (isnull(q)) return;
  const info = q.info._sifields._sigchld;
  info._pid = t.pid;
  info._uid = t.cred.uid.val;
  info._status = status;
  info._utime = t.utime;
  info._stime = t.stime;
}

/**
 * Tells the parent of a dead task, with tasklist_lock for writing. True when the parent does not want to wait
 * for it: SIGCHLD ignored, as kthreadd does.
 */
export function do_notify_parent(t: task_struct, sig: i32): bool {
  const parent = t.parent;
  if (CONFIG_CRASH_DUMP) return (parent.flags & PF_KTHREAD) != 0 && sig == SIGCHLD;
  const irq = spin_lock_irqsave(parent.sighand.siglock);
  const sa: sigaction = parent.sighand.action[SIGCHLD - 1].sa;
  const ignored = sa.sa_handler_va == SIG_IGN || (parent.flags & PF_KTHREAD) != 0;
  const autoreap = sig == SIGCHLD && (ignored || (sa.sa_flags & SA_NOCLDWAIT) != 0);
  const killer = t.exit_code & 0x7f;
  if (sig == SIGCHLD) {
    const code = killer ? CLD_KILLED : CLD_EXITED;
    if (!ignored) send_sigchld(t, parent, code, killer ? killer : t.exit_code >> 8);
  } else if (sig > 0 && sig <= _NSIG) __send_signal(sig, SI_USER, parent, false);
  spin_unlock_irqrestore(parent.sighand.siglock, irq);
  wake_up_all(parent.signal.wait_chldexit);
  return autoreap;
}

/** A task has stopped, or goes on (`why`, CLD_*); with tasklist_lock. */
export function do_notify_parent_cldstop(t: task_struct, why: i32): void {
  const parent = t.real_parent;
  const irq = spin_lock_irqsave(parent.sighand.siglock);
  const sa: sigaction = parent.sighand.action[SIGCHLD - 1].sa;
  if (sa.sa_handler_va != SIG_IGN && !(sa.sa_flags & SA_NOCLDSTOP)) {
    send_sigchld(t, parent, why, why == CLD_STOPPED ? t.signal.group_exit_code & 0x7f : SIGCONT);
  }
  spin_unlock_irqrestore(parent.sighand.siglock, irq);
  wake_up_all(parent.signal.wait_chldexit);
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
    sa.sa_restorer_va = 0;
    sa.sa_mask.sig[0] = 0;
  }
  spin_unlock_irqrestore(t.sighand.siglock, irq);
}
