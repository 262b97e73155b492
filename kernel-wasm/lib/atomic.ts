/**
 * Atomic counters and bits (include/linux/atomic, asm-generic/bitops/atomic.h): atomic_t, atomic64_t (Linux's
 * atomic_long_t too) and single bits of words in memory. On several CPUs they are wasm's atomic instructions,
 * which are sequentially consistent, so nothing here needs Linux's barriers; the capture kernel has one CPU
 * and no interrupts, and counts plainly.
 *
 * Counters of references that warn when they are misused are in refcount.ts.
 */
import { CONFIG_SMP } from "../include/generated/constants";
import { atomic_t, atomic64_t } from "../include/generated/structs";

/** The old value. */
@inline
function fetch_add32(at: usize, i: i32): i32 {
  if (CONFIG_SMP) return atomic.add<i32>(at, i);
  const old = load<i32>(at);
  store<i32>(at, old + i);
  return old;
}

@inline
function fetch_add64(at: usize, i: i64): i64 {
  if (CONFIG_SMP) return atomic.add<i64>(at, i);
  const old = load<i64>(at);
  store<i64>(at, old + i);
  return old;
}

@inline
export function atomic_read(v: atomic_t): i32 {
  return CONFIG_SMP ? atomic.load<i32>(changetype<usize>(v)) : v.counter;
}

@inline
export function atomic_set(v: atomic_t, i: i32): void {
  if (CONFIG_SMP) atomic.store<i32>(changetype<usize>(v), i);
  else v.counter = i;
}

@inline
export function atomic_add(i: i32, v: atomic_t): void {
  fetch_add32(changetype<usize>(v), i);
}

@inline
export function atomic_sub(i: i32, v: atomic_t): void {
  fetch_add32(changetype<usize>(v), -i);
}

@inline
export function atomic_inc(v: atomic_t): void {
  fetch_add32(changetype<usize>(v), 1);
}

@inline
export function atomic_dec(v: atomic_t): void {
  fetch_add32(changetype<usize>(v), -1);
}

/** The new value, as of all that end in _return. */
@inline
export function atomic_add_return(i: i32, v: atomic_t): i32 {
  return fetch_add32(changetype<usize>(v), i) + i;
}

@inline
export function atomic_sub_return(i: i32, v: atomic_t): i32 {
  return fetch_add32(changetype<usize>(v), -i) - i;
}

@inline
export function atomic_inc_return(v: atomic_t): i32 {
  return atomic_add_return(1, v);
}

@inline
export function atomic_dec_return(v: atomic_t): i32 {
  return atomic_sub_return(1, v);
}

/** The old value. */
@inline
export function atomic_fetch_add(i: i32, v: atomic_t): i32 {
  return fetch_add32(changetype<usize>(v), i);
}

/** Whether it is 0 now. */
@inline
export function atomic_dec_and_test(v: atomic_t): bool {
  return atomic_dec_return(v) == 0;
}

@inline
export function atomic_sub_and_test(i: i32, v: atomic_t): bool {
  return atomic_sub_return(i, v) == 0;
}

@inline
export function atomic_inc_and_test(v: atomic_t): bool {
  return atomic_inc_return(v) == 0;
}

@inline
export function atomic_add_negative(i: i32, v: atomic_t): bool {
  return atomic_add_return(i, v) < 0;
}

/** The old value: the exchange took place if it is `old`. */
@inline
export function atomic_cmpxchg(v: atomic_t, old: i32, value: i32): i32 {
  if (CONFIG_SMP) return atomic.cmpxchg<i32>(changetype<usize>(v), old, value);
  const before = v.counter;
  if (before == old) v.counter = value;
  return before;
}

/** The old value. */
@inline
export function atomic_xchg(v: atomic_t, value: i32): i32 {
  if (CONFIG_SMP) return atomic.xchg<i32>(changetype<usize>(v), value);
  const before = v.counter;
  v.counter = value;
  return before;
}

/** Whether it was not `unless`, and has got `i` more. */
export function atomic_add_unless(v: atomic_t, i: i32, unless: i32): bool {
  let old = atomic_read(v);
  while (old != unless) {
    const before = atomic_cmpxchg(v, old, old + i);
    if (before == old) return true;
    old = before;
  }
  return false;
}

@inline
export function atomic_inc_not_zero(v: atomic_t): bool {
  return atomic_add_unless(v, 1, 0);
}

@inline
export function atomic64_read(v: atomic64_t): i64 {
  return CONFIG_SMP ? atomic.load<i64>(changetype<usize>(v)) : v.counter;
}

@inline
export function atomic64_set(v: atomic64_t, i: i64): void {
  if (CONFIG_SMP) atomic.store<i64>(changetype<usize>(v), i);
  else v.counter = i;
}

@inline
export function atomic64_add(i: i64, v: atomic64_t): void {
  fetch_add64(changetype<usize>(v), i);
}

@inline
export function atomic64_sub(i: i64, v: atomic64_t): void {
  fetch_add64(changetype<usize>(v), -i);
}

@inline
export function atomic64_inc(v: atomic64_t): void {
  fetch_add64(changetype<usize>(v), 1);
}

@inline
export function atomic64_dec(v: atomic64_t): void {
  fetch_add64(changetype<usize>(v), -1);
}

@inline
export function atomic64_add_return(i: i64, v: atomic64_t): i64 {
  return fetch_add64(changetype<usize>(v), i) + i;
}

@inline
export function atomic64_sub_return(i: i64, v: atomic64_t): i64 {
  return fetch_add64(changetype<usize>(v), -i) - i;
}

@inline
export function atomic64_inc_return(v: atomic64_t): i64 {
  return atomic64_add_return(1, v);
}

@inline
export function atomic64_dec_return(v: atomic64_t): i64 {
  return atomic64_sub_return(1, v);
}

@inline
export function atomic64_dec_and_test(v: atomic64_t): bool {
  return atomic64_dec_return(v) == 0;
}

/** The old value: the exchange took place if it is `old`. */
@inline
export function atomic64_cmpxchg(v: atomic64_t, old: i64, value: i64): i64 {
  if (CONFIG_SMP) return atomic.cmpxchg<i64>(changetype<usize>(v), old, value);
  const before = v.counter;
  if (before == old) v.counter = value;
  return before;
}

/** The old value. */
@inline
export function atomic64_xchg(v: atomic64_t, value: i64): i64 {
  if (CONFIG_SMP) return atomic.xchg<i64>(changetype<usize>(v), value);
  const before = v.counter;
  v.counter = value;
  return before;
}

export function atomic64_inc_not_zero(v: atomic64_t): bool {
  let old = atomic64_read(v);
  while (old != 0) {
    const before = atomic64_cmpxchg(v, old, old + 1);
    if (before == old) return true;
    old = before;
  }
  return false;
}

@inline
export function atomic_long_read(v: atomic64_t): i64 {
  return atomic64_read(v);
}

@inline
export function atomic_long_set(v: atomic64_t, i: i64): void {
  atomic64_set(v, i);
}

@inline
export function atomic_long_add(i: i64, v: atomic64_t): void {
  atomic64_add(i, v);
}

@inline
export function atomic_long_sub(i: i64, v: atomic64_t): void {
  atomic64_sub(i, v);
}

@inline
export function atomic_long_inc(v: atomic64_t): void {
  atomic64_inc(v);
}

@inline
export function atomic_long_dec(v: atomic64_t): void {
  atomic64_dec(v);
}

@inline
export function atomic_long_add_return(i: i64, v: atomic64_t): i64 {
  return atomic64_add_return(i, v);
}

@inline
export function atomic_long_dec_and_test(v: atomic64_t): bool {
  return atomic64_dec_and_test(v);
}

@inline
export function atomic_long_inc_not_zero(v: atomic64_t): bool {
  return atomic64_inc_not_zero(v);
}

/** Address of the 32-bit word of a bitmap (or of any word of flags, u32 or u64) that holds bit `nr`. */
@inline
function bit_word(nr: usize, at: usize): usize {
  return at + ((nr >> 5) << 2);
}

/** Sets bit `nr` of the words at `at`; `at` is a multiple of 4. */
@inline
export function set_bit(nr: usize, at: usize): void {
  const word = bit_word(nr, at);
  const mask: u32 = <u32>1 << (<u32>nr & 31);
  if (CONFIG_SMP) atomic.or<u32>(word, mask);
  else store<u32>(word, load<u32>(word) | mask);
}

@inline
export function clear_bit(nr: usize, at: usize): void {
  const word = bit_word(nr, at);
  const mask: u32 = <u32>1 << (<u32>nr & 31);
  if (CONFIG_SMP) atomic.and<u32>(word, ~mask);
  else store<u32>(word, load<u32>(word) & ~mask);
}

/** Sets the bit; whether it was set. */
@inline
export function test_and_set_bit(nr: usize, at: usize): bool {
  const word = bit_word(nr, at);
  const mask: u32 = <u32>1 << (<u32>nr & 31);
  if (CONFIG_SMP) return (atomic.or<u32>(word, mask) & mask) != 0;
  const old = load<u32>(word);
  store<u32>(word, old | mask);
  return (old & mask) != 0;
}

/** Clears the bit; whether it was set. */
@inline
export function test_and_clear_bit(nr: usize, at: usize): bool {
  const word = bit_word(nr, at);
  const mask: u32 = <u32>1 << (<u32>nr & 31);
  if (CONFIG_SMP) return (atomic.and<u32>(word, ~mask) & mask) != 0;
  const old = load<u32>(word);
  store<u32>(word, old & ~mask);
  return (old & mask) != 0;
}
