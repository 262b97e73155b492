/**
 * Sleeping for a time: schedule_timeout() of kernel/time/timer.c and nanosleep(2), which is as exact as the
 * tick here. A task that is woken starts over; restart_block.expires says when its sleep ends, to
 * restart_syscall(2) too, which goes on with it when a stop has interrupted it.
 */
import {
  EFAULT,
  EINVAL,
  ERESTART_RESTARTBLOCK,
  NSEC_PER_SEC,
  STACK_TIMER_OFFSET,
  TASK_INTERRUPTIBLE,
  TASK_RUNNING,
  TICK_NSEC,
} from "../../include/generated/constants";
import {
  __kernel_timespec,
  process_timer,
  restart_block,
  task_struct,
  timer_list,
} from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { get_current } from "../../arch/kernel/current";
import { copy_from_user, copy_to_user } from "../../arch/lib/usercopy";
import { signal_pending } from "../signal";
import { ktime_get } from "../time";
import { del_timer_sync, mod_timer, timer_setup } from "../time/timer";
import { schedule, wake_up_process } from "./core";
import { finish_wait } from "./wait";

const KTIME_MAX: i64 = i64.MAX_VALUE;
/** The longest that a timer is set for; a sleep that is longer starts over in between. */
const TIMEOUT_MAX: i64 = 1 << 28;

/** Linux has it on the stack of schedule_timeout(); here it lies at the stack's far end. */
@inline
function timer_of(t: task_struct): process_timer {
  return changetype<process_timer>(t.stack + STACK_TIMER_OFFSET);
}

export function process_timeout(timer: timer_list): void {
  wake_up_process(process_timer.from_timer(timer).task);
}

/**
 * A task that slept runs again, whatever has woken it: it is on no wait queue and has no timer. The timer may
 * just be firing on the CPU where the task slept; it must be done before this stack is used for another.
 */
export function finish_sleep(t: task_struct): void {
  finish_wait(t);
  const timer = timer_of(t).timer;
  if (timer.function_ != 0) del_timer_sync(timer);
}

/**
 * Sleeps for so many jiffies in the state that the caller has set: before the timer runs, since one that
 * finds the task running wakes nobody. Comes back only when something was faster than the switch.
 */
export function schedule_timeout(jiffies: u64): void {
  const t = get_current();
  const timer = timer_of(t);
  timer.task = t;
  timer_setup(timer.timer, fnptr(process_timeout));
  mod_timer(timer.timer, sym.jiffies_64 + jiffies);
  schedule();
  t.__state = TASK_RUNNING;
  del_timer_sync(timer.timer);
}

/** What is left of a sleep that a signal cuts short is told to the user who has asked for it. */
function nanosleep_copyout(block: restart_block, left: i64): i64 {
  if (!block.rmtp) return -ERESTART_RESTARTBLOCK;
  const rmt = changetype<__kernel_timespec>(get_current().stack + STACK_TIMER_OFFSET);
  rmt.tv_sec = left / <i64>NSEC_PER_SEC;
  rmt.tv_nsec = left % <i64>NSEC_PER_SEC;
  const failed = copy_to_user(block.rmtp, changetype<usize>(rmt), __kernel_timespec.SIZE);
  memory.fill(changetype<usize>(rmt), 0, __kernel_timespec.SIZE);
  return failed ? -EFAULT : -ERESTART_RESTARTBLOCK;
}

/** Sleeps until block.expires. 0 when that time has come. */
export function do_nanosleep(block: restart_block): i64 {
  const t = get_current();
  const expires = <i64>block.expires;
  for (let left = expires - <i64>ktime_get(); left > 0; left = expires - <i64>ktime_get()) {
    t.__state = TASK_INTERRUPTIBLE;
    if (signal_pending(t)) {
      t.__state = TASK_RUNNING;
      return nanosleep_copyout(block, left);
    }
    const ticks = (left - 1) / TICK_NSEC + 1;
    schedule_timeout(<u64>min<i64>(ticks, TIMEOUT_MAX));
  }
  block.fn = 0;
  return 0;
}

export function nanosleep_restart(block: restart_block): i64 {
  return do_nanosleep(block);
}

/** nanosleep(2). */
export function sys_nanosleep(rqtp: u64, rmtp: u64): i64 {
  const t = get_current();
  const block = t.restart_block;
  if (block.fn != 0) return nanosleep_restart(block);
  // The timer's room is not in use yet.
  const scratch = changetype<__kernel_timespec>(t.stack + STACK_TIMER_OFFSET);
  const left = copy_from_user(changetype<usize>(scratch), rqtp, __kernel_timespec.SIZE);
  const sec = scratch.tv_sec;
  const nsec = scratch.tv_nsec;
  memory.fill(changetype<usize>(scratch), 0, __kernel_timespec.SIZE);
  if (left) return -EFAULT;
  if (sec < 0 || nsec < 0 || nsec >= <i64>NSEC_PER_SEC) return -EINVAL;
  const now = <i64>ktime_get();
  const longest = (KTIME_MAX - now) / <i64>NSEC_PER_SEC - 1;
  block.expires = sec > longest ? KTIME_MAX : now + sec * <i64>NSEC_PER_SEC + nsec;
  block.rmtp = rmtp;
  block.fn = fnptr(nanosleep_restart);
  return do_nanosleep(block);
}
