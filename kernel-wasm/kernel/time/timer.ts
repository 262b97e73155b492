/**
 * The timer wheel (kernel/time/timer.c): nine levels of 64 buckets, each level eight times coarser. A timer
 * lies in the bucket of the first level that reaches its expiry and fires with it, never early; it does not
 * move down. pending_map has a word a level.
 *
 * Each CPU has its wheel, under base->lock with interrupts off; functions run without the lock, with
 * interrupts on, in the soft interrupt of the CPU whose wheel it is. timer->flags says which: mod_timer()
 * brings a timer to the CPU that calls it, unless its function runs just then. While it moves, between the
 * two locks, TIMER_MIGRATING makes others wait.
 */
import {
  LVL_BITS,
  LVL_CLK_SHIFT,
  LVL_DEPTH,
  LVL_SIZE,
  NR_BASES,
  TIMER_ARRAYMASK,
  TIMER_ARRAYSHIFT,
  TIMER_CPUMASK,
  TIMER_MIGRATING,
  TIMER_SOFTIRQ,
} from "../../include/generated/constants";
import { hlist_head, softirq_action, timer_base, timer_list } from "../../include/generated/structs";
import { percpu, sym } from "../../include/generated/symbols";
import { hlist_add_head, hlist_del_init, hlist_move_list, hlist_unhashed } from "../../lib/list";
import { hung_task_next_interrupt, hung_task_tick } from "../hung_task";
import { local_irq_restore, local_irq_save } from "../irqflags";
import {
  cpu_relax,
  raw_spin_lock,
  raw_spin_lock_init,
  raw_spin_lock_irq,
  raw_spin_unlock,
  raw_spin_unlock_irq,
} from "../locking/spinlock";
import { open_softirq, raise_softirq_irqoff } from "../softirq";
import { watchdog_tick } from "../watchdog";

const LVL_MASK: u64 = LVL_SIZE - 1;
const LVL_CLK_MASK: u64 = (1 << LVL_CLK_SHIFT) - 1;
const NEXT_TIMER_MAX_DELTA: u64 = (1 << 30) - 1;
const BASE_STD: usize = 0;
/** There is no timer. */
export const NO_TIMER: u64 = 0x7fffffffffffffff;

@inline
function level_shift(level: u64): u64 {
  return level * LVL_CLK_SHIFT;
}

/** The first delta, in jiffies, that level `level` is for. */
@inline
function level_start(level: u64): u64 {
  return (LVL_SIZE - 1) << ((level - 1) * LVL_CLK_SHIFT);
}

@inline
function std_base(cpu: u32): timer_base {
  return percpu.timer_bases(cpu)[BASE_STD];
}

export function init_timers(): void {
  for (let cpu: u32 = 0; cpu < sym.nr_cpu_ids; cpu++) {
    for (let i: usize = 0; i < NR_BASES; i++) {
      const base: timer_base = percpu.timer_bases(cpu)[i];
      raw_spin_lock_init(base.lock);
      base.cpu = cpu;
      base.clk = sym.jiffies_64;
      base.next_expiry = base.clk + NEXT_TIMER_MAX_DELTA;
    }
  }
  open_softirq(TIMER_SOFTIRQ, fnptr(run_timer_softirq));
}

export function timer_setup(timer: timer_list, fn: u64): void {
  timer.entry.next_va = 0;
  timer.entry.pprev_va = 0;
  timer.function_ = fn;
  timer.flags = get_cpu();
}

export function timer_pending(timer: timer_list): bool {
  return !hlist_unhashed(timer.entry);
}

/** The bucket for an expiry, seen from the wheel's clock. Rounded up by one unit: never early. */
function calc_wheel_index(expires: u64, clk: u64): u32 {
  const delta = expires - clk;
  if (<i64>delta < 0) return <u32>(clk & LVL_MASK);
  let level: u64 = 0;
  while (level < LVL_DEPTH - 1 && delta >= level_start(level + 1)) level++;
  const last = level_start(LVL_DEPTH);
  if (delta >= last) expires = clk + last - ((1 as u64) << level_shift(LVL_DEPTH - 1));
  const at = level ? (expires >> level_shift(level)) + 1 : expires;
  return <u32>((level << LVL_BITS) + (at & LVL_MASK));
}

/** When the bucket of an expiry fires. */
function bucket_expiry(expires: u64, clk: u64, index: u32): u64 {
  const level = <u64>index >> LVL_BITS;
  if (<i64>(expires - clk) < 0) return clk;
  if (!level) return expires;
  return ((expires >> level_shift(level)) + 1) << level_shift(level);
}

/** The wheel's clock may lag behind jiffies while nothing is queued. */
function forward_timer_base(base: timer_base): void {
  const now = sym.jiffies_64;
  if (<i64>(now - base.clk) <= 0) return;
  if (base.next_expiry_recalc) __next_timer_interrupt(base);
  if (<i64>(base.next_expiry - now) > 0) base.clk = now;
  else if (<i64>(base.next_expiry - base.clk) >= 0) base.clk = base.next_expiry;
}

function enqueue_timer(base: timer_base, timer: timer_list): void {
  const index = calc_wheel_index(timer.expires, base.clk);
  const expiry = bucket_expiry(timer.expires, base.clk, index);
  const bucket: hlist_head = base.vectors[index];
  hlist_add_head(timer.entry, bucket);
  base.pending_map[index >> LVL_BITS] |= (1 as u64) << (index & (LVL_SIZE - 1));
  timer.flags = (timer.flags & ~TIMER_ARRAYMASK) | (index << TIMER_ARRAYSHIFT);
  if (<i64>(expiry - base.next_expiry) < 0) {
    base.next_expiry = expiry;
    base.timers_pending = true;
    base.next_expiry_recalc = false;
  }
}

function detach_timer(base: timer_base, timer: timer_list): void {
  const index = timer.flags >> TIMER_ARRAYSHIFT;
  hlist_del_init(timer.entry);
  const bucket: hlist_head = base.vectors[index];
  if (bucket.first_va) return;
  base.pending_map[index >> LVL_BITS] &= ~((1 as u64) << (index & (LVL_SIZE - 1)));
  base.next_expiry_recalc = true;
}

/** The base that a timer is in, locked. Interrupts are off. */
function lock_timer_base(timer: timer_list): timer_base {
  while (true) {
    const flags = timer.flags;
    if (!(flags & TIMER_MIGRATING)) {
      const base = std_base(flags & TIMER_CPUMASK);
      raw_spin_lock(base.lock);
      if (timer.flags == flags) return base;
      raw_spin_unlock(base.lock);
    }
    cpu_relax();
  }
}

/** From the locked base that a timer is in to this CPU's, which is locked then. */
function migrate_timer(timer: timer_list, from: timer_base): timer_base {
  const to = std_base(get_cpu());
  if (from == to || from.running_timer == timer) return from;
  timer.flags |= TIMER_MIGRATING;
  raw_spin_unlock(from.lock);
  raw_spin_lock(to.lock);
  timer.flags = (timer.flags & ~(TIMER_CPUMASK | TIMER_MIGRATING)) | to.cpu;
  return to;
}

/** (Re)starts a timer. True when it was pending. */
export function mod_timer(timer: timer_list, expires: u64): bool {
  const flags = local_irq_save();
  let base = lock_timer_base(timer);
  const pending = timer_pending(timer);
  if (pending) detach_timer(base, timer);
  base = migrate_timer(timer, base);
  forward_timer_base(base);
  timer.expires = expires;
  enqueue_timer(base, timer);
  raw_spin_unlock(base.lock);
  local_irq_restore(flags);
  return pending;
}

export function add_timer(timer: timer_list): void {
  mod_timer(timer, timer.expires);
}

/**
 * Takes a timer off; waits until its function is done, if another CPU is in it: then the timer may be freed.
 */
export function del_timer_sync(timer: timer_list): bool {
  while (true) {
    const flags = local_irq_save();
    const base = lock_timer_base(timer);
    const running = base.running_timer == timer;
    const pending = !running && timer_pending(timer);
    if (pending) detach_timer(base, timer);
    raw_spin_unlock(base.lock);
    local_irq_restore(flags);
    if (!running) return pending;
    cpu_relax();
  }
}

/** How many buckets from `start` on to the next occupied one of a level, cyclic; -1 when all are empty. */
function next_pending_bucket(base: timer_base, level: u64, start: u64): i64 {
  const map = base.pending_map[<usize>level];
  return map ? <i64>ctz<u64>(rotr<u64>(map, start)) : -1;
}

/** The jiffy at which the next bucket fires; also into next_expiry. */
function __next_timer_interrupt(base: timer_base): u64 {
  const none = base.clk + NEXT_TIMER_MAX_DELTA;
  let next = none;
  let clk = base.clk;
  for (let level: u64 = 0; level < LVL_DEPTH; level++) {
    const distance = next_pending_bucket(base, level, clk & LVL_MASK);
    const low = clk & LVL_CLK_MASK;
    if (distance >= 0) {
      const at = (clk + <u64>distance) << level_shift(level);
      if (<i64>(at - next) < 0) next = at;
      // The next level's clock does not turn before this bucket fires.
      if (<u64>distance <= ((1 << LVL_CLK_SHIFT) - low & LVL_CLK_MASK)) break;
    }
    clk = (clk >> LVL_CLK_SHIFT) + (low ? 1 : 0);
  }
  base.next_expiry = next;
  base.next_expiry_recalc = false;
  base.timers_pending = next != none;
  return next;
}

/** The jiffy at which this CPU, which idles, is needed next; NO_TIMER when it is not. Interrupts are off. */
export function get_next_timer_interrupt(): u64 {
  const base = std_base(get_cpu());
  raw_spin_lock(base.lock);
  if (base.next_expiry_recalc) __next_timer_interrupt(base);
  const next = base.timers_pending ? base.next_expiry : NO_TIMER;
  raw_spin_unlock(base.lock);
  return min<u64>(next, hung_task_next_interrupt());
}

export function call_timer_fn(timer: timer_list, fn: u64): void {
  call_indirect<void>(text_index(fn), timer);
}

/** The timers of the buckets that are due at base->clk, a list for each level; how many lists. */
function collect_expired_timers(base: timer_base): usize {
  let clk = base.next_expiry;
  let levels: usize = 0;
  base.clk = clk;
  for (let level: usize = 0; level < LVL_DEPTH; level++) {
    const bit = clk & LVL_MASK;
    if ((base.pending_map[level] >> bit) & 1) {
      base.pending_map[level] &= ~((1 as u64) << bit);
      hlist_move_list(base.vectors[<usize>((level << LVL_BITS) + bit)], base.expired[levels++]);
    }
    if (clk & LVL_CLK_MASK) break;
    clk >>= LVL_CLK_SHIFT;
  }
  return levels;
}

/** Fires all timers of a list, without the base's lock. A function may start its timer again. */
function expire_timers(base: timer_base, head: hlist_head): void {
  while (head.first_va) {
    const timer = timer_list.from_entry(head.first);
    const fn = timer.function_;
    base.running_timer = timer;
    hlist_del_init(timer.entry);
    raw_spin_unlock_irq(base.lock);
    call_timer_fn(timer, fn);
    raw_spin_lock_irq(base.lock);
    base.running_timer_va = 0;
  }
}

export function __run_timers(base: timer_base): void {
  raw_spin_lock_irq(base.lock);
  while (<i64>(sym.jiffies_64 - base.clk) >= 0 && <i64>(sym.jiffies_64 - base.next_expiry) >= 0) {
    let levels = collect_expired_timers(base);
    // Before the functions run: what they start goes into later buckets.
    base.clk += 1;
    __next_timer_interrupt(base);
    while (levels--) expire_timers(base, base.expired[levels]);
  }
  raw_spin_unlock_irq(base.lock);
}

export function run_timer_softirq(action: softirq_action): void {
  __run_timers(std_base(get_cpu()));
}

/** The tick's part: the watchdogs, and the soft interrupt when a timer is due. */
export function run_local_timers(): void {
  watchdog_tick();
  hung_task_tick();
  const base = std_base(get_cpu());
  if (<i64>(sym.jiffies_64 - base.next_expiry) >= 0) raise_softirq_irqoff(TIMER_SOFTIRQ);
}
