/** System calls about the system and the caller (kernel/sys.c, kernel/time). */
import {
  CLOCK_MONOTONIC,
  CLOCK_REALTIME,
  EFAULT,
  EINVAL,
  ENOMEM,
  GFP_KERNEL,
} from "../include/generated/constants";
import { __kernel_timespec, new_utsname } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { copy_to_user } from "../arch/lib/usercopy";
import { kfree, kmalloc } from "../mm/slub";
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
