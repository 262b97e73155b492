/** System calls about the system and the caller (kernel/sys.c, kernel/time). */
import {
  CLOCK_MONOTONIC,
  CLOCK_REALTIME,
  EFAULT,
  EINVAL,
  ENOMEM,
  EPERM,
  ESRCH,
  GFP_KERNEL,
  PIDTYPE_PGID,
  PIDTYPE_SID,
  RLIM_NLIMITS,
} from "../include/generated/constants";
import { __kernel_timespec, new_utsname, rlimit } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";
import { copy_from_user, copy_to_user } from "../arch/lib/usercopy";
import { kfree, kmalloc } from "../mm/slub";
import { read_lock, read_unlock, write_lock_irqsave, write_unlock_irqrestore } from "./locking/qrwlock";
import { down_read, up_read } from "./locking/rwsem";
import { change_pid, find_task_by_vpid, pid_nr, pid_task } from "./pid";
import { task_lock, task_unlock } from "./sched/task";
import { ktime_get, ktime_get_real, ktime_get_real_seconds } from "./time";

export function sys_newuname(user: u64): i64 {
  down_read(sym.uts_sem);
  const left = copy_to_user(user, changetype<usize>(sym.init_uts_ns.name), new_utsname.SIZE);
  up_read(sym.uts_sem);
  return left ? -EFAULT : 0;
}

/** Up to two words of the kernel to the user. */
function put_words(user: u64, a: u64, b: u64, n: usize): i64 {
  const words = kmalloc(16, GFP_KERNEL);
  if (!words) return -ENOMEM;
  store<u64>(words, a);
  store<u64>(words, b, 8);
  const left = copy_to_user(user, words, n);
  kfree(words);
  return left ? -EFAULT : 0;
}

export function sys_time(user: u64): i64 {
  const now = ktime_get_real_seconds();
  if (user) {
    const err = put_words(user, now, 0, 8);
    if (err) return err;
  }
  return now;
}

export function sys_clock_gettime(clock: u32, user: u64): i64 {
  let now: u64;
  if (clock == CLOCK_REALTIME) now = ktime_get_real();
  else if (clock == CLOCK_MONOTONIC) now = ktime_get();
  else return -EINVAL;
  return put_words(user, now / 1000000000, now % 1000000000, __kernel_timespec.SIZE);
}

export function sys_getppid(): i64 {
  read_lock(sym.tasklist_lock);
  const parent = get_current().real_parent.tgid;
  read_unlock(sym.tasklist_lock);
  return parent;
}

export function sys_getpgid(pid: i32): i64 {
  read_lock(sym.tasklist_lock);
  const t = pid ? find_task_by_vpid(pid) : get_current();
  const group: i64 = isnull(t) ? -ESRCH : pid_nr(t.signal.pids[PIDTYPE_PGID]);
  read_unlock(sym.tasklist_lock);
  return group;
}

/** A session of the caller's own; EPERM when it leads a group already. */
export function sys_setsid(): i64 {
  const t = get_current();
  const own = t.thread_pid;
  const irq = write_lock_irqsave(sym.tasklist_lock);
  const leader = !isnull(pid_task(own, PIDTYPE_PGID));
  if (!leader) {
    change_pid(t, PIDTYPE_SID, own);
    change_pid(t, PIDTYPE_PGID, own);
  }
  write_unlock_irqrestore(sym.tasklist_lock, irq);
  return leader ? -EPERM : pid_nr(own);
}

export function sys_getrlimit(resource: u32, user: u64): i64 {
  if (resource >= RLIM_NLIMITS) return -EINVAL;
  const leader = get_current().group_leader;
  const limit = leader.signal.rlim[resource];
  task_lock(leader);
  const cur = limit.rlim_cur;
  const max = limit.rlim_max;
  task_unlock(leader);
  return put_words(user, cur, max, rlimit.SIZE);
}

/** All tasks are root's: a hard limit may be raised too. */
export function sys_setrlimit(resource: u32, user: u64): i64 {
  if (resource >= RLIM_NLIMITS) return -EINVAL;
  const room = kmalloc(rlimit.SIZE, GFP_KERNEL);
  if (!room) return -ENOMEM;
  const fresh = changetype<rlimit>(room);
  let err = copy_from_user(room, user, rlimit.SIZE) ? -EFAULT : 0;
  if (!err && fresh.rlim_cur > fresh.rlim_max) err = -EINVAL;
  const leader = get_current().group_leader;
  const limit = leader.signal.rlim[resource];
  task_lock(leader);
  if (!err) memory.copy(changetype<usize>(limit), room, rlimit.SIZE);
  task_unlock(leader);
  kfree(room);
  return err;
}
