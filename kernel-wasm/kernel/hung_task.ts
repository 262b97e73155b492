/**
 * The detector of hung tasks (kernel/hung_task.c): khungtaskd looks every hung_task_timeout_secs for tasks in
 * uninterruptible sleep that have not run since the look before.
 *
 * khungtaskd has no timer, which would keep an idle machine awake for ever: the tick of whichever CPU is busy
 * wakes it, and a CPU about to stop its tick stays awake for it only when there is such a task to look at, as
 * what it waits for may never come.
 */
import {
  CONFIG_HZ,
  TASK_INTERRUPTIBLE,
  TASK_UNINTERRUPTIBLE,
} from "../include/generated/constants";
import { proc_dir_entry, task_struct } from "../include/generated/structs";
import { percpu, sym } from "../include/generated/symbols";
import { IS_ERR } from "../include/err";
import { get_current } from "../arch/kernel/current";
import { proc_doulongvec_minmax, register_sysctl, register_sysctl_int } from "../fs/proc/proc_sysctl";
import { init_utsname } from "../init/version";
import { simple_strtol } from "../lib/string";
import { kthread_run } from "./kthread";
import { read_lock, read_unlock } from "./locking/qrwlock";
import { panic, print_tainted } from "./panic";
import { pr_err } from "./printk/printk";
import { schedule, wake_up_process } from "./sched/core";
import { sched_show_task } from "./sched/debug";
import { NO_TIMER } from "./time/timer";

/** When khungtaskd is to look next, in jiffies. */
@inline
function next_look(): u64 {
  return sym.hung_last_checked + sym.sysctl_hung_task_timeout_secs * CONFIG_HZ;
}

/** Bytes before the first blank. */
function word_length(text: usize): u32 {
  let n: u32 = 0;
  while (load<u8>(text + n) && load<u8>(text + n) != 32) n++;
  return n;
}

/** With tasklist_lock. */
export function check_hung_task(t: task_struct, timeout: u64): void {
  const switches = t.nvcsw + t.nivcsw;
  // It has not run yet.
  if (!switches) return;
  if (switches != t.last_switch_count) {
    t.last_switch_count = switches;
    t.last_switch_time = sym.jiffies_64;
    return;
  }
  const blocked = sym.jiffies_64 - t.last_switch_time;
  if (blocked < timeout * CONFIG_HZ) return;
  if (sym.sysctl_hung_task_panic) sym.hung_task_call_panic = 1;
  if (!sym.sysctl_hung_task_warnings) return;
  if (sym.sysctl_hung_task_warnings > 0) sym.sysctl_hung_task_warnings -= 1;
  const uts = init_utsname();
  pr_err(c`INFO: task %s:%d blocked for more than %ld seconds.\n`, t.comm, t.pid, blocked / CONFIG_HZ);
  pr_err(c`      %s %s %.*s\n`, print_tainted(), uts.release, word_length(uts.version), uts.version);
  pr_err(c`"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.\n`);
  sched_show_task(t);
}

function check_hung_uninterruptible_tasks(timeout: u64): void {
  let left = sym.sysctl_hung_task_check_count;
  read_lock(sym.tasklist_lock);
  let t = task_struct.from_tasks(sym.init_task.tasks.next);
  while (t != sym.init_task && left-- > 0) {
    if (t.__state == TASK_UNINTERRUPTIBLE) check_hung_task(t, timeout);
    t = task_struct.from_tasks(t.tasks.next);
  }
  read_unlock(sym.tasklist_lock);
  if (!sym.hung_task_call_panic) return;
  panic(c`hung_task: blocked tasks`);
}

/** khungtaskd */
export function watchdog(unused: usize): i32 {
  while (true) {
    const timeout = sym.sysctl_hung_task_timeout_secs;
    if (timeout && sym.jiffies_64 >= next_look()) {
      sym.hung_last_checked = sym.jiffies_64;
      check_hung_uninterruptible_tasks(timeout);
    }
    get_current().__state = TASK_INTERRUPTIBLE;
    atomic.store<i32>(sym.addr_of_hung_task_waits(), 1);
    schedule();
  }
}

/** Each tick, in the interrupt: one CPU wakes khungtaskd. */
export function hung_task_tick(): void {
  if (!sym.hung_task_waits || !sym.sysctl_hung_task_timeout_secs || sym.jiffies_64 < next_look()) return;
  if (atomic.xchg<i32>(sym.addr_of_hung_task_waits(), 0) != 0) wake_up_process(sym.watchdog_task);
}

/** Whether some task sleeps uninterruptibly, for good or not; TASK_KILLABLE does not count, as in Linux. */
function any_uninterruptible(): bool {
  let sum: u32 = 0;
  // A task may wake up on another CPU than where it was counted: only the sum says something.
  for (let cpu: u32 = 0; cpu < <u32>sym.nr_cpu_ids; cpu++) sum += percpu.runqueues(cpu).nr_uninterruptible;
  if (!sum) return false;
  let found = false;
  read_lock(sym.tasklist_lock);
  let t = task_struct.from_tasks(sym.init_task.tasks.next);
  while (t != sym.init_task && !found) {
    found = t.__state == TASK_UNINTERRUPTIBLE;
    t = task_struct.from_tasks(t.tasks.next);
  }
  read_unlock(sym.tasklist_lock);
  return found;
}

/** The jiffy at which a CPU that idles is to tick for khungtaskd's sake; NO_TIMER when it has no need to. */
export function hung_task_next_interrupt(): u64 {
  if (!sym.hung_task_waits || !sym.sysctl_hung_task_timeout_secs) return NO_TIMER;
  if (!sym.sysctl_hung_task_warnings && !sym.sysctl_hung_task_panic) return NO_TIMER;
  return any_uninterruptible() ? next_look() : NO_TIMER;
}

/** hung_task_panic= */
export function hung_task_panic_setup(value: usize): i32 {
  sym.sysctl_hung_task_panic = simple_strtol(value, 0, 0) != 0 ? 1 : 0;
  return 1;
}

/** In /proc/sys/kernel. */
export function hung_task_sysctl_init(dir: proc_dir_entry): void {
  const timeout = sym.addr_of_sysctl_hung_task_timeout_secs();
  const most = i64.MAX_VALUE / CONFIG_HZ;
  register_sysctl_int(dir, c`hung_task_panic`, sym.addr_of_sysctl_hung_task_panic(), 0o644, 0, 1);
  const count = sym.addr_of_sysctl_hung_task_check_count();
  register_sysctl_int(dir, c`hung_task_check_count`, count, 0o644, 0, i32.MAX_VALUE);
  const ulong = fnptr(proc_doulongvec_minmax);
  register_sysctl(dir, c`hung_task_timeout_secs`, timeout, 8, 0o644, ulong, 0, most);
  const warnings = sym.addr_of_sysctl_hung_task_warnings();
  register_sysctl_int(dir, c`hung_task_warnings`, warnings, 0o644, -1, i32.MAX_VALUE);
}

/** subsys_initcall */
export function hung_task_init(): i32 {
  sym.hung_last_checked = sym.jiffies_64;
  const t = kthread_run(fnptr(watchdog), 0, c`khungtaskd`);
  if (!IS_ERR(t)) sym.watchdog_task = t;
  return 0;
}
