/**
 * Waiting for children (do_wait of kernel/exit.c). A wait that finds nothing sleeps on wait_chldexit and
 * looks again from the top; only a child that is reaped is an effect.
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
  SIGNAL_STOP_STOPPED,
  TASK_INTERRUPTIBLE,
  WNOHANG,
  WUNTRACED,
  __TASK_STOPPED,
  __WALL,
} from "../include/generated/constants";
import { restart_block, task_struct } from "../include/generated/structs";
import { get_current } from "../arch/kernel/current";
import { copy_to_user } from "../arch/lib/usercopy";
import { list_is_head } from "../lib/list";
import { release_task } from "./exit";
import { pid_nr } from "./pid";
import { wait_event_sleep } from "./sched/wait";
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

/** A stop is reported once. */
function task_stopped_code(t: task_struct): i32 {
  return t.__state & __TASK_STOPPED && t.signal.flags & SIGNAL_STOP_STOPPED ? t.signal.group_exit_code : 0;
}

/**
 * The child that `upid` asks for, its status at t.restart_block.done of the caller; 0: none is ready
 * (WNOHANG).
 */
export function do_wait(upid: i32, options: i32): i32 {
  const self = get_current();
  let children = 0;
  const head = self.children;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const t = task_struct.from_sibling(at);
    if (t.exit_state == EXIT_DEAD || !eligible_child(t, upid)) continue;
    children++;
    const pid = t.pid;
    if (t.exit_state == EXIT_ZOMBIE) {
      self.restart_block.done = <u64>exit_status(t);
      t.exit_state = EXIT_DEAD;
      release_task(t);
      return pid;
    }
    const stop = options & WUNTRACED ? task_stopped_code(t) : 0;
    if (stop) {
      t.signal.group_exit_code = 0;
      self.restart_block.done = <u64>((stop << 8) | 0x7f);
      return pid;
    }
  }
  if (!children) return -ECHILD;
  if (options & WNOHANG) return 0;
  if (signal_pending(self)) return -ERESTARTSYS;
  wait_event_sleep(self.signal.wait_chldexit, TASK_INTERRUPTIBLE);
  return 0;
}

/** wait4(2); resource usage is not kept. */
export function kernel_wait4(upid: i32, stat_addr: u64, options: i32): i64 {
  if (options & ~(WNOHANG | WUNTRACED | __WALL)) return -EINVAL;
  if (upid == i32.MIN_VALUE) return -ESRCH;
  const pid = do_wait(upid, options);
  if (pid <= 0 || !stat_addr) return pid;
  const status = get_current().restart_block;
  return copy_to_user(stat_addr, restart_block.addr_of_done(status), 4) ? -EFAULT : pid;
}
