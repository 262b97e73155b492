/**
 * Waiting for children (do_wait of kernel/exit.c). A wait that finds nothing sleeps on wait_chldexit and
 * looks again from the top; only a child that is reaped is an effect. The caller is on the queue before it
 * looks: what a child on another CPU does behind its back wakes it.
 */
import {
  ECHILD,
  EFAULT,
  EINVAL,
  ERESTARTSYS,
  ESRCH,
  EXIT_DEAD,
  EXIT_ZOMBIE,
  PIDTYPE_PGID,
  SIGNAL_GROUP_EXIT,
  SIGNAL_STOP_CONTINUED,
  SIGNAL_STOP_STOPPED,
  TASK_INTERRUPTIBLE,
  WCONTINUED,
  WNOHANG,
  WUNTRACED,
  __TASK_STOPPED,
  __WALL,
} from "../include/generated/constants";
import { restart_block, task_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";
import { copy_to_user } from "../arch/lib/usercopy";
import { list_is_head } from "../lib/list";
import { release_task } from "./exit";
import { read_lock, read_unlock } from "./locking/qrwlock";
import { spin_lock_irqsave, spin_unlock_irqrestore } from "./locking/spinlock";
import { pid_nr } from "./pid";
import { schedule } from "./sched/core";
import { finish_wait, prepare_to_wait } from "./sched/wait";
import { signal_pending } from "./signal";

/** wait4's meaning of its first argument. */
function eligible_child(t: task_struct, upid: i32): bool {
  if (upid > 0) return t.pid == upid;
  if (upid == -1) return true;
  const group = upid ? -upid : pid_nr(get_current().signal.pids[PIDTYPE_PGID]);
  return pid_nr(t.signal.pids[PIDTYPE_PGID]) == group;
}

function exit_status(t: task_struct): i32 {
  return t.signal.flags & SIGNAL_GROUP_EXIT ? t.signal.group_exit_code : t.exit_code;
}

/** A stop is reported once: the code goes with the report. The siglock is what a stop is made under. */
function wait_task_stopped(t: task_struct): i32 {
  const irq = spin_lock_irqsave(t.sighand.siglock);
  const stopped = (t.__state & __TASK_STOPPED) != 0 && (t.signal.flags & SIGNAL_STOP_STOPPED) != 0;
  const code = stopped ? t.signal.group_exit_code : 0;
  if (stopped) t.signal.group_exit_code = 0;
  spin_unlock_irqrestore(t.sighand.siglock, irq);
  return code;
}

/** Also reported once: the flag goes with the report. */
function wait_task_continued(t: task_struct): bool {
  const irq = spin_lock_irqsave(t.sighand.siglock);
  const continued = (t.signal.flags & SIGNAL_STOP_CONTINUED) != 0;
  if (continued) t.signal.flags &= ~SIGNAL_STOP_CONTINUED;
  spin_unlock_irqrestore(t.sighand.siglock, irq);
  return continued;
}

/** Only one of those who see a zombie reaps it. */
@inline
function claim_zombie(t: task_struct): bool {
  return atomic.cmpxchg<i32>(task_struct.addr_of_exit_state(t), EXIT_ZOMBIE, EXIT_DEAD) == EXIT_ZOMBIE;
}

/** do_wait's result when no child is ready. */
const NONE_READY: i32 = 0;
const STATUS_CONTINUED: u64 = 0xffff;

/**
 * Looks once. The child's number, its status at t.restart_block.done of the caller; NONE_READY; -ECHILD. A
 * zombie is reaped after the lock is let go of: claimed, it is nobody else's.
 */
function do_wait_once(upid: i32, options: i32): i32 {
  const self = get_current();
  let children = 0;
  const head = self.children;
  read_lock(sym.tasklist_lock);
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const t = task_struct.from_sibling(at);
    if (t.exit_state == EXIT_DEAD || !eligible_child(t, upid)) continue;
    children++;
    const pid = t.pid;
    if (t.exit_state == EXIT_ZOMBIE) {
      if (!claim_zombie(t)) continue;
      read_unlock(sym.tasklist_lock);
      self.restart_block.done = <u64>exit_status(t);
      release_task(t);
      return pid;
    }
    const stop = options & WUNTRACED ? wait_task_stopped(t) : 0;
    if (stop || (options & WCONTINUED && wait_task_continued(t))) {
      read_unlock(sym.tasklist_lock);
      self.restart_block.done = stop ? <u64>((stop << 8) | 0x7f) : STATUS_CONTINUED;
      return pid;
    }
  }
  read_unlock(sym.tasklist_lock);
  return children ? NONE_READY : -ECHILD;
}

/** The child that `upid` asks for; 0: none is ready (WNOHANG). */
export function do_wait(upid: i32, options: i32): i32 {
  const self = get_current();
  while (true) {
    prepare_to_wait(self.signal.wait_chldexit, TASK_INTERRUPTIBLE);
    let result = do_wait_once(upid, options);
    const sleep = result == NONE_READY && !(options & WNOHANG);
    if (sleep && signal_pending(self)) result = -ERESTARTSYS;
    else if (sleep) {
      schedule();
      continue;
    }
    finish_wait(self);
    return result;
  }
}

/** wait4(2); resource usage is not kept. */
export function kernel_wait4(upid: i32, stat_addr: u64, options: i32): i64 {
  if (options & ~(WNOHANG | WUNTRACED | WCONTINUED | __WALL)) return -EINVAL;
  if (upid == i32.MIN_VALUE) return -ESRCH;
  const pid = do_wait(upid, options);
  if (pid <= 0 || !stat_addr) return pid;
  const status = get_current().restart_block;
  return copy_to_user(stat_addr, restart_block.addr_of_done(status), 4) ? -EFAULT : pid;
}
