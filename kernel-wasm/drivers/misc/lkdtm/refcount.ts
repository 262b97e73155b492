/**
 * LKDTM: reference counts counted wrongly (drivers/misc/lkdtm/refcount.c).
 */
import { refcount_struct } from "../../../include/generated/structs";
import { sym } from "../../../include/generated/symbols";
import { pr_err, pr_info, pr_warn } from "../../../kernel/printk/printk";
import {
  REFCOUNT_MAX,
  REFCOUNT_SATURATED,
  refcount_add,
  refcount_add_not_zero,
  refcount_dec,
  refcount_sub_and_test,
} from "../../../lib/refcount";
import { CRASHTYPE } from "./core";

function start(value: i32): refcount_struct {
  const r = sym.lkdtm_refcount;
  r.refs.counter = value;
  return r;
}

function overflow_check(r: refcount_struct): void {
  if (r.refs.counter == REFCOUNT_SATURATED) pr_info(c`lkdtm: Overflow detected: saturated\n`);
  else if (r.refs.counter == REFCOUNT_MAX) pr_warn(c`lkdtm: Overflow detected: unsafely reset to max\n`);
  else pr_err(c`lkdtm: Fail: refcount is %d\n`, r.refs.counter);
}

export function lkdtm_REFCOUNT_INC_OVERFLOW(): void {
  const r = start(REFCOUNT_MAX - 1);
  pr_info(c`lkdtm: attempting good refcount_inc() without overflow\n`);
  refcount_dec(r);
  refcount_add(1, r);
  pr_info(c`lkdtm: attempting bad refcount_inc() overflow\n`);
  refcount_add(1, r);
  refcount_add(1, r);
  overflow_check(r);
}

export function lkdtm_REFCOUNT_INC_NOT_ZERO_OVERFLOW(): void {
  const r = start(REFCOUNT_MAX);
  pr_info(c`lkdtm: attempting bad refcount_inc_not_zero() overflow\n`);
  if (!refcount_add_not_zero(1, r)) pr_warn(c`lkdtm: Weird: refcount_inc_not_zero() reported zero\n`);
  overflow_check(r);
}

export function lkdtm_REFCOUNT_DEC_ZERO(): void {
  const r = start(2);
  pr_info(c`lkdtm: attempting good refcount_dec()\n`);
  refcount_dec(r);
  pr_info(c`lkdtm: attempting bad refcount_dec() to zero\n`);
  refcount_dec(r);
  overflow_check(r);
}

export function lkdtm_REFCOUNT_DEC_AND_TEST_NEGATIVE(): void {
  const r = start(0);
  pr_info(c`lkdtm: attempting bad refcount_dec_and_test() below zero\n`);
  if (refcount_sub_and_test(1, r)) pr_warn(c`lkdtm: Weird: refcount_dec_and_test() reported zero\n`);
  overflow_check(r);
}

export function lkdtm_REFCOUNT_INC_ZERO(): void {
  const r = start(0);
  pr_info(c`lkdtm: attempting safe refcount_inc_not_zero() from zero\n`);
  if (refcount_add_not_zero(1, r)) pr_err(c`lkdtm: Fail: went off zero\n`);
  else pr_info(c`lkdtm: Good: zero detected\n`);
  pr_info(c`lkdtm: attempting bad refcount_inc() from zero\n`);
  refcount_add(1, r);
  overflow_check(r);
}

export function lkdtm_refcount_types(): void {
  CRASHTYPE(c`REFCOUNT_INC_OVERFLOW`, fnptr(lkdtm_REFCOUNT_INC_OVERFLOW));
  CRASHTYPE(c`REFCOUNT_INC_NOT_ZERO_OVERFLOW`, fnptr(lkdtm_REFCOUNT_INC_NOT_ZERO_OVERFLOW));
  CRASHTYPE(c`REFCOUNT_DEC_ZERO`, fnptr(lkdtm_REFCOUNT_DEC_ZERO));
  CRASHTYPE(c`REFCOUNT_DEC_AND_TEST_NEGATIVE`, fnptr(lkdtm_REFCOUNT_DEC_AND_TEST_NEGATIVE));
  CRASHTYPE(c`REFCOUNT_INC_ZERO`, fnptr(lkdtm_REFCOUNT_INC_ZERO));
}
