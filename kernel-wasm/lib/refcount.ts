/**
 * refcount_t (include/linux/refcount.h, lib/refcount.c): a counter that sticks at REFCOUNT_SATURATED rather
 * than wrap, and warns when it is used as no counter of references is.
 */
import { refcount_struct } from "../include/generated/structs";
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
  r.refs.counter = REFCOUNT_SATURATED;
  if (type == ADD_NOT_ZERO_OVF) {
    WARN(true, c`lib/refcount.ts`, 21, c`refcount_t: saturated; leaking memory.\n`);
  } else if (type == ADD_OVF) {
    WARN(true, c`lib/refcount.ts`, 23, c`refcount_t: saturated; leaking memory.\n`);
  } else if (type == ADD_UAF) {
    WARN(true, c`lib/refcount.ts`, 25, c`refcount_t: addition on 0; use-after-free.\n`);
  } else if (type == SUB_UAF) {
    WARN(true, c`lib/refcount.ts`, 27, c`refcount_t: underflow; use-after-free.\n`);
  } else {
    WARN(true, c`lib/refcount.ts`, 29, c`refcount_t: decrement hit 0; leaking memory.\n`);
  }
}

export function refcount_add(i: i32, r: refcount_struct): void {
  const old = r.refs.counter;
  r.refs.counter = old + i;
  if (!old) refcount_warn_saturate(r, ADD_UAF);
  else if (old < 0 || old + i < 0) refcount_warn_saturate(r, ADD_OVF);
}

/** Whether there was a reference to add to. */
export function refcount_add_not_zero(i: i32, r: refcount_struct): bool {
  const old = r.refs.counter;
  if (!old) return false;
  r.refs.counter = old + i;
  if (old < 0 || old + i < 0) refcount_warn_saturate(r, ADD_NOT_ZERO_OVF);
  return true;
}

/** Whether that was the last one. */
export function refcount_sub_and_test(i: i32, r: refcount_struct): bool {
  const old = r.refs.counter;
  r.refs.counter = old - i;
  if (old == i) return true;
  if (old < 0 || old - i < 0) refcount_warn_saturate(r, SUB_UAF);
  return false;
}

export function refcount_dec(r: refcount_struct): void {
  const old = r.refs.counter;
  r.refs.counter = old - 1;
  if (old <= 1) refcount_warn_saturate(r, DEC_LEAK);
}
