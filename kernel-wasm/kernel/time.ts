/**
 * Time (kernel/time/timekeeping.c, tick-sched.c): the clock source, jiffies, wall-clock time. The machine's
 * counter counts nanoseconds since power-on. Each tick brings jiffies and the timekeeper up to date
 * (tick_do_update_jiffies64); in the capture kernel, which has none, each system call.
 */
import { CONFIG_CRASH_DUMP, NSEC_PER_SEC, TICK_NSEC } from "../include/generated/constants";
import { timekeeper } from "../include/generated/structs";
import { percpu, sym, this_cpu } from "../include/generated/symbols";
import { read_persistent_clock64 } from "../drivers/rtc/rtc";
import { irqs_disabled } from "./irqflags";
import { raw_spin_lock_irqsave, raw_spin_unlock_irqrestore } from "./locking/spinlock";
import { calc_global_load } from "./sched/loadavg";

@external("hw", "rdtsc") declare function hw_rdtsc(pa: usize): void;
@external("hw", "tpause") declare function hw_tpause(lo: u32, hi: u32, enabled: i32): void;

export function rdtsc_ordered(): u64 {
  hw_rdtsc(percpu.addr_of_tsc_read(get_cpu()));
  return this_cpu.tsc_read;
}

/** clocksource_tsc.read. */
export function read_tsc(clocksource: usize): u64 {
  return rdtsc_ordered();
}

/** Nanoseconds since power-on: the time stamp of the log and the scheduler's clock. */
export function local_clock(): u64 {
  return rdtsc_ordered();
}

/** Nanoseconds on CLOCK_MONOTONIC, which starts at power-on here. */
export function ktime_get(): u64 {
  return rdtsc_ordered();
}

/**
 * Brings jiffies_64 up to the counter, in whole ticks, and the timekeeper and the load average with it.
 * Whichever CPU comes first does it, under jiffies_lock (which stands for timekeeper_lock too); the others
 * find it done.
 */
export function tick_do_update_jiffies64(): void {
  const now = rdtsc_ordered();
  if (now < sym.last_jiffies_update + TICK_NSEC) return;
  const flags = raw_spin_lock_irqsave(sym.jiffies_lock);
  if (now >= sym.last_jiffies_update + TICK_NSEC) {
    const ticks = (now - sym.last_jiffies_update) / TICK_NSEC;
    sym.last_jiffies_update += ticks * TICK_NSEC;
    do_timer(ticks);
    timekeeping_advance(now);
  }
  raw_spin_unlock_irqrestore(sym.jiffies_lock, flags);
}

function do_timer(ticks: u64): void {
  sym.jiffies_64 += ticks;
  if (!CONFIG_CRASH_DUMP) calc_global_load();
}

function timekeeping_advance(now: u64): void {
  const tk = sym.tk_core.timekeeper;
  const real = now + (tk.offs_real as u64);
  sym.tk_core.seq += 1;
  tk.tkr_mono.cycle_last = now;
  tk.tkr_raw.cycle_last = now;
  tk.tkr_mono.base = now as i64;
  tk.tkr_raw.base = now as i64;
  tk.tkr_mono.base_real = real;
  tk.xtime_sec = real / NSEC_PER_SEC;
  tk.tkr_mono.xtime_nsec = real % NSEC_PER_SEC;
  tk.ktime_sec = now / NSEC_PER_SEC;
  tk.raw_sec = now / NSEC_PER_SEC;
  sym.tk_core.seq += 1;
  memory.copy(changetype<usize>(sym.shadow_timekeeper), changetype<usize>(tk), timekeeper.SIZE);
}

/** Reads the wall clock once: from here on, it is that plus the counter. */
export function timekeeping_init(): void {
  const tk = sym.tk_core.timekeeper;
  const now = rdtsc_ordered();
  const offs_real = (read_persistent_clock64() * NSEC_PER_SEC - now) as i64;
  sym.clocksource_tsc.read = fnptr(read_tsc);
  sym.clocksource_tsc.mask = 0xffffffffffffffff;
  sym.clocksource_tsc.mult = 1;
  sym.clocksource_tsc.rating = 300;
  sym.clocksource_tsc.name = c`tsc`;
  tk.tkr_mono.clock = sym.clocksource_tsc;
  tk.tkr_raw.clock = sym.clocksource_tsc;
  tk.tkr_mono.mask = 0xffffffffffffffff;
  tk.tkr_raw.mask = 0xffffffffffffffff;
  tk.tkr_mono.mult = 1;
  tk.tkr_raw.mult = 1;
  tk.cycle_interval = TICK_NSEC;
  tk.xtime_interval = TICK_NSEC;
  tk.raw_interval = TICK_NSEC;
  tk.offs_real = offs_real;
  tk.offs_tai = offs_real;
  // As Linux keeps it: seconds negative, nanoseconds in [0, 1e9).
  tk.wall_to_monotonic.tv_sec = -(offs_real / NSEC_PER_SEC) - (offs_real % NSEC_PER_SEC ? 1 : 0);
  tk.wall_to_monotonic.tv_nsec = offs_real % NSEC_PER_SEC ? NSEC_PER_SEC - (offs_real % NSEC_PER_SEC) : 0;
  sym.last_jiffies_update = now;
  timekeeping_advance(now);
}

export function ktime_get_real(): u64 {
  return rdtsc_ordered() + (sym.tk_core.timekeeper.offs_real as u64);
}

/** Whole seconds since 1970. */
export function ktime_get_real_seconds(): u64 {
  return ktime_get_real() / NSEC_PER_SEC;
}

/** Busy-waits (delay_halt_tpause of arch/x86/lib/delay.c). Interrupts, if they are on, come in between. */
export function ndelay(nsecs: u64): void {
  const end = rdtsc_ordered() + nsecs;
  while (rdtsc_ordered() < end) hw_tpause(<u32>end, <u32>(end >> 32), irqs_disabled() ? 0 : 1);
}

export function mdelay(msecs: u32): void {
  ndelay((msecs as u64) * 1000000);
}
