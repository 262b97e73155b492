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
import { change_pid, find_task_by_vpid, pid_nr, pid_task } from "./pid";
import { ktime_get, ktime_get_real, ktime_get_real_seconds } from "./time";

export function sys_newuname(user: u64): i64 {
  return copy_to_user(user, changetype<usize>(sym.init_uts_ns.name), new_utsname.SIZE) ? -EFAULT : 0;
}

/** Eight bytes of kernel memory to the user. */
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
  return get_current().real_parent.tgid;
}

export function sys_getpgid(pid: i32): i64 {
  const t = pid ? find_task_by_vpid(pid) : get_current();
  return isnull(t) ? -ESRCH : pid_nr(t.signal.pids[PIDTYPE_PGID]);
}

/** A session of the caller's own; EPERM when it leads a group already. */
export function sys_setsid(): i64 {
  const t = get_current();
  const own = t.thread_pid;
  if (!isnull(pid_task(own, PIDTYPE_PGID))) return -EPERM;
  change_pid(t, PIDTYPE_SID, own);
  change_pid(t, PIDTYPE_PGID, own);
  return pid_nr(own);
}

export function sys_getrlimit(resource: u32, user: u64): i64 {
  if (resource >= RLIM_NLIMITS) return -EINVAL;
  const limit = get_current().signal.rlim[resource];
  return copy_to_user(user, changetype<usize>(limit), rlimit.SIZE) ? -EFAULT : 0;
}

/** All tasks are root's: a hard limit may be raised too. */
export function sys_setrlimit(resource: u32, user: u64): i64 {
  if (resource >= RLIM_NLIMITS) return -EINVAL;
  const room = kmalloc(rlimit.SIZE, GFP_KERNEL);
  if (!room) return -ENOMEM;
  const fresh = changetype<rlimit>(room);
  let err = copy_from_user(room, user, rlimit.SIZE) ? -EFAULT : 0;
  if (!err && fresh.rlim_cur > fresh.rlim_max) err = -EINVAL;
  const limit = get_current().signal.rlim[resource];
  if (!err) memory.copy(changetype<usize>(limit), room, rlimit.SIZE);
  kfree(room);
  return err;
}
