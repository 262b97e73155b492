/**
 * The lockup detectors (kernel/watchdog.c). A hard lockup, interrupts off for watchdog_thresh seconds, is
 * found by an NMI of a counter (watchdog_perf.ts). A soft one is a CPU that has run kernel code for twice
 * watchdog_thresh seconds without a look at its other tasks. Linux has a timer for each CPU and a thread of
 * highest priority that the timer wakes; if the thread does not come to run, the CPU is stuck.
 *
 * Here the tick samples, every fifth of that time, and what it asks for is TIF_NEED_RESCHED: if the next
 * sample finds it still set, and the same task running, schedule() has not been called. There is no timer of
 * the detector's own, so it keeps no CPU awake: a CPU that idles without ticks is not looked at, and has
 * nothing to be stuck in. A gap between samples means that it idled, or that the machine itself stood still.
 */
import {
  NSEC_PER_SEC,
  TAINT_SOFTLOCKUP,
  TIF_NEED_RESCHED,
  X86_EFLAGS_IF,
  _TIF_NEED_RESCHED,
} from "../include/generated/constants";
import { proc_dir_entry, pt_regs, task_struct } from "../include/generated/structs";
import { sym, this_cpu } from "../include/generated/symbols";
import { show_regs } from "../arch/kernel/dumpstack";
import { trigger_allbutcpu_cpu_backtrace } from "../arch/kernel/nmi";
import { user_mode } from "../arch/kernel/process";
import { register_sysctl_int } from "../fs/proc/proc_sysctl";
import { simple_strtol, strncmp } from "../lib/string";
import { dump_stack } from "../lib/dump_stack";
import { print_modules } from "./module/main";
import { add_taint, nmi_panic, panic } from "./panic";
import { pr_emerg } from "./printk/printk";
import { set_tsk_thread_flag } from "./sched/task";
import { watchdog_hardlockup_probe, watchdog_hardlockup_tick } from "./watchdog_perf";

/** Samples in the time after which a CPU counts as stuck. */
const SAMPLES: u64 = 5;
/** watchdog_thresh's largest value, in seconds. */
const THRESH_MAX: i64 = 60;

@inline
function get_softlockup_thresh(): u64 {
  return <u64>sym.watchdog_thresh * 2;
}

@inline
function get_timestamp(now: u64): u64 {
  return now >> 30;
}

function soft_watchdog_enabled(): bool {
  return sym.watchdog_user_enabled != 0 && sym.soft_watchdog_user_enabled != 0 && sym.watchdog_thresh > 0;
}

/** Each tick, in the interrupt. */
export function watchdog_tick(): void {
  watchdog_hardlockup_tick();
  const now = sym.last_jiffies_update;
  const period = (get_softlockup_thresh() * NSEC_PER_SEC) / SAMPLES;
  const gap = now - this_cpu.watchdog_sampled;
  if (gap < period || !soft_watchdog_enabled()) return;
  this_cpu.watchdog_sampled = now;
  watchdog_timer_fn(get_timestamp(now), gap > 2 * period);
}

/** Whether the CPU has looked at its tasks since the last sample, or runs what may be interrupted at will. */
function has_scheduled(t: task_struct): bool {
  const q = this_cpu.runqueues;
  const switched = this_cpu.watchdog_switches != q.nr_switches;
  this_cpu.watchdog_switches = q.nr_switches;
  return switched || t == q.idle || user_mode(this_cpu.irq_regs) ||
    (t.thread_info.flags & _TIF_NEED_RESCHED) == 0;
}

export function watchdog_timer_fn(now: u64, stood_still: bool): void {
  const t = this_cpu.current_task;
  if (has_scheduled(t) || stood_still) {
    this_cpu.watchdog_touch_ts = now;
    this_cpu.watchdog_report_ts = now;
  }
  if (t != this_cpu.runqueues.idle) set_tsk_thread_flag(t, TIF_NEED_RESCHED);
  if (now <= this_cpu.watchdog_report_ts + get_softlockup_thresh()) return;
  // The next report comes after as long a time again.
  this_cpu.watchdog_report_ts = now;
  const duration = now - this_cpu.watchdog_touch_ts;
  pr_emerg(
    c`watchdog: BUG: soft lockup - CPU#%d stuck for %us! [%s:%d]\n`, get_cpu(), duration, t.comm, t.pid,
  );
  print_modules();
  if (isnull(this_cpu.irq_regs)) dump_stack();
  else show_regs(this_cpu.irq_regs);
  add_taint(TAINT_SOFTLOCKUP);
  if (sym.softlockup_panic) panic(c`softlockup: hung tasks`);
}

/** Whether no timer interrupt came since the last NMI of the counter; with interrupts on, one is about to. */
function is_hardlockup(regs: pt_regs): bool {
  const ticks = this_cpu.irq_stat.apic_timer_irqs;
  const same = this_cpu.hrtimer_interrupts_saved == ticks;
  this_cpu.hrtimer_interrupts_saved = ticks;
  return same && (regs.flags & X86_EFLAGS_IF) == 0;
}

/** In the NMI. */
export function watchdog_hardlockup_check(regs: pt_regs): void {
  if (!is_hardlockup(regs)) {
    this_cpu.watchdog_hardlockup_warned = false;
    return;
  }
  if (this_cpu.watchdog_hardlockup_warned) return;
  const cpu = get_cpu();
  pr_emerg(c`watchdog: CPU%u: Watchdog detected hard LOCKUP on cpu %u\n`, cpu, cpu);
  print_modules();
  show_regs(regs);
  if (sym.sysctl_hardlockup_all_cpu_backtrace) trigger_allbutcpu_cpu_backtrace(cpu);
  if (sym.hardlockup_panic) nmi_panic(c`Hard LOCKUP`);
  this_cpu.watchdog_hardlockup_warned = true;
}

/** Before the initcalls, with the CPUs up. */
export function lockup_detector_init(): void {
  watchdog_hardlockup_probe();
}

/** nmi_watchdog= */
export function hardlockup_panic_setup(value: usize): i32 {
  if (!strncmp(value, c`panic`, 5)) sym.hardlockup_panic = 1;
  else if (!strncmp(value, c`nopanic`, 7)) sym.hardlockup_panic = 0;
  else if (load<u8>(value) == 0x30) sym.watchdog_hardlockup_user_enabled = 0;
  else if (load<u8>(value) == 0x31) sym.watchdog_hardlockup_user_enabled = 1;
  return 1;
}

/** nowatchdog */
export function nowatchdog_setup(value: usize): i32 {
  sym.watchdog_user_enabled = 0;
  return 1;
}

/** nosoftlockup */
export function nosoftlockup_setup(value: usize): i32 {
  sym.soft_watchdog_user_enabled = 0;
  return 1;
}

/** watchdog_thresh= */
export function watchdog_thresh_setup(value: usize): i32 {
  sym.watchdog_thresh = <i32>min<i64>(max<i64>(simple_strtol(value, 0, 0), 0), THRESH_MAX);
  return 1;
}

/** softlockup_panic= */
export function softlockup_panic_setup(value: usize): i32 {
  sym.softlockup_panic = simple_strtol(value, 0, 0) != 0 ? 1 : 0;
  return 1;
}

/** In /proc/sys/kernel. */
export function watchdog_sysctl_init(dir: proc_dir_entry): void {
  register_sysctl_int(dir, c`watchdog`, sym.addr_of_watchdog_user_enabled(), 0o644, 0, 1);
  register_sysctl_int(dir, c`soft_watchdog`, sym.addr_of_soft_watchdog_user_enabled(), 0o644, 0, 1);
  const nmi = sym.addr_of_watchdog_hardlockup_user_enabled();
  register_sysctl_int(dir, c`nmi_watchdog`, nmi, 0o644, 0, 1);
  register_sysctl_int(dir, c`hardlockup_panic`, sym.addr_of_hardlockup_panic(), 0o644, 0, 1);
  const all = sym.addr_of_sysctl_hardlockup_all_cpu_backtrace();
  register_sysctl_int(dir, c`hardlockup_all_cpu_backtrace`, all, 0o644, 0, 1);
  register_sysctl_int(dir, c`watchdog_thresh`, sym.addr_of_watchdog_thresh(), 0o644, 0, <i32>THRESH_MAX);
  register_sysctl_int(dir, c`softlockup_panic`, sym.addr_of_softlockup_panic(), 0o644, 0, 1);
}
