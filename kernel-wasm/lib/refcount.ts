/**
 * refcount_t (include/linux/refcount.h, lib/refcount.c): a counter that sticks at REFCOUNT_SATURATED rather
 * than wrap, and warns when it is used as no counter of references is. kref stands on it. The capture kernel
 * counts only.
 */
import { CONFIG_CRASH_DUMP } from "../include/generated/constants";
import { kref, refcount_struct } from "../include/generated/structs";
import { atomic_fetch_add, atomic_read, atomic_cmpxchg, atomic_set } from "./atomic";
import { WARN } from "./bug";

export const REFCOUNT_MAX: i32 = i32.MAX_VALUE;
export const REFCOUNT_SATURATED: i32 = -0x40000000;

/** enum refcount_saturation_type. */
const ADD_NOT_ZERO_OVF: i32 = 0;
const ADD_OVF: i32 = 1;
const ADD_UAF: i32 = 2;
const SUB_UAF: i32 = 3;
const DEC_LEAK: i32 = 4;

export function refcount_warn_saturate(r: refcount_struct, type: i32): void {
  refcount_set(r, REFCOUNT_SATURATED);
  if (CONFIG_CRASH_DUMP) return;
  if (type == ADD_NOT_ZERO_OVF) {
    WARN(true, c`lib/refcount.ts`, 25, c`refcount_t: saturated; leaking memory.\n`);
  } else if (type == ADD_OVF) {
    WARN(true, c`lib/refcount.ts`, 27, c`refcount_t: saturated; leaking memory.\n`);
  } else if (type == ADD_UAF) {
    WARN(true, c`lib/refcount.ts`, 29, c`refcount_t: addition on 0; use-after-free.\n`);
  } else if (type == SUB_UAF) {
    WARN(true, c`lib/refcount.ts`, 31, c`refcount_t: underflow; use-after-free.\n`);
  } else {
    WARN(true, c`lib/refcount.ts`, 33, c`refcount_t: decrement hit 0; leaking memory.\n`);
  }
}

@inline
export function refcount_set(r: refcount_struct, n: i32): void {
  atomic_set(r.refs, n);
}

@inline
export function refcount_read(r: refcount_struct): i32 {
  return atomic_read(r.refs);
}

export function refcount_add(i: i32, r: refcount_struct): void {
  const old = atomic_fetch_add(i, r.refs);
  if (CONFIG_CRASH_DUMP) return;
  if (!old) refcount_warn_saturate(r, ADD_UAF);
  else if (old < 0 || old + i < 0) refcount_warn_saturate(r, ADD_OVF);
}

/** Whether there was a reference to add to. */
export function refcount_add_not_zero(i: i32, r: refcount_struct): bool {
  let old = refcount_read(r);
  while (old != 0) {
    const before = atomic_cmpxchg(r.refs, old, old + i);
    if (before == old) {
      if (old < 0 || old + i < 0) refcount_warn_saturate(r, ADD_NOT_ZERO_OVF);
      return true;
    }
    old = before;
  }
  return false;
}

/** Whether that was the last one. */
export function refcount_sub_and_test(i: i32, r: refcount_struct): bool {
  const old = atomic_fetch_add(-i, r.refs);
  if (CONFIG_CRASH_DUMP) return old == i;
  if (old == i) return true;
  if (old < 0 || old - i < 0) refcount_warn_saturate(r, SUB_UAF);
  return false;
}

export function refcount_dec(r: refcount_struct): void {
  const old = atomic_fetch_add(-1, r.refs);
  if (old <= 1) refcount_warn_saturate(r, DEC_LEAK);
}

@inline
export function refcount_inc(r: refcount_struct): void {
  refcount_add(1, r);
}

@inline
export function refcount_inc_not_zero(r: refcount_struct): bool {
  return refcount_add_not_zero(1, r);
}

@inline
export function refcount_dec_and_test(r: refcount_struct): bool {
  return refcount_sub_and_test(1, r);
}

@inline
export function kref_init(k: kref): void {
  refcount_set(k.refcount, 1);
}

@inline
export function kref_read(k: kref): i32 {
  return refcount_read(k.refcount);
}

@inline
export function kref_get(k: kref): void {
  refcount_inc(k.refcount);
}

@inline
export function kref_get_unless_zero(k: kref): bool {
  return refcount_inc_not_zero(k.refcount);
}

/** Drops a reference; the last one calls `release`, a function's text address. */
export function kref_put(k: kref, release: u64): bool {
  if (!refcount_dec_and_test(k.refcount)) return false;
  call_indirect<void>(text_index(release), changetype<usize>(k));
  return true;
}
