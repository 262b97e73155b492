/**
 * The interval timer of real time, and alarm(2), which is one (kernel/time/itimer.c). SIGALRM is as exact as
 * the tick. A timer of the wheel may be late by an eighth of its time, so this one fires on the way too, and
 * is set again for what is left.
 */
import {
  EFAULT,
  EINVAL,
  CONFIG_HZ,
  ITIMER_REAL,
  PIDTYPE_TGID,
  SIGALRM,
  SI_KERNEL,
  USEC_PER_SEC,
} from "../../include/generated/constants";
import {
  __kernel_old_itimerval,
  __kernel_old_timeval,
  signal_struct,
  task_struct,
  timer_list,
} from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { get_current } from "../../arch/kernel/current";
import { copy_from_user, copy_to_user } from "../../arch/lib/usercopy";
import { read_lock, read_unlock } from "../locking/qrwlock";
import { pid_task } from "../pid";
import { send_signal } from "../signal";
import { del_timer_sync, mod_timer, timer_setup } from "./timer";

const USEC_PER_JIFFY: u64 = USEC_PER_SEC / CONFIG_HZ;
/** Deltas that a bucket of the wheel is exact for. */
const EXACT: u64 = 62;
const ALARM_MAX: u32 = 0x7fffffff;

export function init_real_timer(sig: signal_struct): void {
  timer_setup(sig.real_timer, fnptr(it_real_fn));
}

/** The timer for an end that is `left` jiffies away: there, or so far on the way that it cannot be late. */
function start_real_timer(sig: signal_struct, left: u64): void {
  const shot = left <= EXACT ? left : left - left / 7;
  mod_timer(sig.real_timer, sym.jiffies_64 + shot);
}

/** The process is there: its timer goes before its last task tells the parent (exit_itimers). */
export function it_real_fn(timer: timer_list): void {
  const sig = signal_struct.from_real_timer(timer);
  const left = <i64>(sig.it_real_expires - sym.jiffies_64);
  if (left > 0) {
    start_real_timer(sig, <u64>left);
    return;
  }
  read_lock(sym.tasklist_lock);
  const t = pid_task(sig.pids[PIDTYPE_TGID], PIDTYPE_TGID);
  if (!isnull(t)) send_signal(SIGALRM, SI_KERNEL, t);
  read_unlock(sym.tasklist_lock);
  // Linux has it started again when the signal is taken; late ones are not made up for.
  const next = sig.it_real_incr;
  if (next) {
    sig.it_real_expires += next * (1 + <u64>-left / next);
    start_real_timer(sig, sig.it_real_expires - sym.jiffies_64);
  } else sig.it_real_expires = 0;
}

/** Nobody else starts it again: only the process itself does. */
export function exit_itimers(t: task_struct): void {
  const sig = t.signal;
  sig.it_real_incr = 0;
  if (sig.real_timer.function_ != 0) del_timer_sync(sig.real_timer);
  sig.it_real_expires = 0;
}

/** Jiffies until it fires; 0: it is off. */
function real_left(sig: signal_struct): u64 {
  if (!sig.it_real_expires) return 0;
  const left = <i64>(sig.it_real_expires - sym.jiffies_64);
  return left > 0 ? <u64>left : 1;
}

/** Off for 0. A time begins with the next tick, so that no signal comes early. */
function set_real(t: task_struct, value: u64, interval: u64): void {
  const sig = t.signal;
  exit_itimers(t);
  if (!value) return;
  sig.it_real_incr = interval;
  sig.it_real_expires = sym.jiffies_64 + value + 1;
  start_real_timer(sig, value + 1);
}

/** alarm(2): the seconds that were left of the former one. */
export function sys_alarm(seconds: u32): i64 {
  const t = get_current();
  const left = real_left(t.signal);
  const whole = left / CONFIG_HZ;
  const rest = left % CONFIG_HZ;
  set_real(t, <u64>min<u32>(seconds, ALARM_MAX) * CONFIG_HZ, 0);
  return whole + ((!whole && rest) || rest >= CONFIG_HZ / 2 ? 1 : 0);
}

/** Room for a time of the user's; what is about to be delivered lies there later. */
@inline
function scratch(t: task_struct): __kernel_old_itimerval {
  return changetype<__kernel_old_itimerval>(changetype<usize>(t.ksig.info));
}

function put_jiffies(to: __kernel_old_timeval, jiffies: u64): void {
  to.tv_sec = <i64>(jiffies / CONFIG_HZ);
  to.tv_usec = <i64>(jiffies % CONFIG_HZ * USEC_PER_JIFFY);
}

/** Never shorter than asked for. */
function get_jiffies(from: __kernel_old_timeval): u64 {
  const seconds = min<i64>(from.tv_sec, ALARM_MAX);
  return <u64>seconds * CONFIG_HZ + (<u64>from.tv_usec + USEC_PER_JIFFY - 1) / USEC_PER_JIFFY;
}

@inline
function valid(tv: __kernel_old_timeval): bool {
  return tv.tv_sec >= 0 && tv.tv_usec >= 0 && tv.tv_usec < <i64>USEC_PER_SEC;
}

function tell(t: task_struct, to: u64, left: u64, interval: u64): i64 {
  put_jiffies(scratch(t).it_interval, interval);
  put_jiffies(scratch(t).it_value, left);
  const bytes = <usize>__kernel_old_itimerval.SIZE;
  return copy_to_user(to, changetype<usize>(scratch(t)), bytes) ? -EFAULT : 0;
}

/** getitimer(2), of ITIMER_REAL; programs use no time of their own here, so the others would never fire. */
export function sys_getitimer(which: i32, value: u64): i64 {
  const t = get_current();
  if (which != ITIMER_REAL) return -EINVAL;
  return tell(t, value, real_left(t.signal), t.signal.it_real_incr);
}

/** setitimer(2). */
export function sys_setitimer(which: i32, value: u64, ovalue: u64): i64 {
  const t = get_current();
  if (which != ITIMER_REAL) return -EINVAL;
  const left = real_left(t.signal);
  const interval = t.signal.it_real_incr;
  let fresh: u64 = 0;
  let again: u64 = 0;
  if (value) {
    const to = scratch(t);
    if (copy_from_user(changetype<usize>(to), value, __kernel_old_itimerval.SIZE)) return -EFAULT;
    if (!valid(to.it_value) || !valid(to.it_interval)) return -EINVAL;
    fresh = get_jiffies(to.it_value);
    again = get_jiffies(to.it_interval);
  }
  set_real(t, fresh, again);
  return ovalue ? tell(t, ovalue, left, interval) : 0;
}
