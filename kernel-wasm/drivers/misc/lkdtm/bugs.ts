/**
 * LKDTM: logic bugs and stacks (drivers/misc/lkdtm/bugs.c).
 */
import { TASK_UNINTERRUPTIBLE, THREAD_SIZE, X86_PF_WRITE } from "../../../include/generated/constants";
import { list_head } from "../../../include/generated/structs";
import { sym } from "../../../include/generated/symbols";
import { get_current } from "../../../arch/kernel/current";
import { mmu_access } from "../../../arch/mm/access";
import { local_irq_disable } from "../../../kernel/irqflags";
import { preempt_disable } from "../../../kernel/locking/preempt";
import { cpu_relax } from "../../../kernel/locking/spinlock";
import { __stack_chk_fail, panic } from "../../../kernel/panic";
import { pr_err, pr_info } from "../../../kernel/printk/printk";
import { schedule } from "../../../kernel/sched/core";
import { BUG, WARN } from "../../../lib/bug";
import { INIT_LIST_HEAD, list_add, list_del } from "../../../lib/list";
import { CRASHTYPE } from "./core";

/** A frame record: what a call takes of the kernel stack. */
const REC_STACK_SIZE: u32 = 16;
const RECUR_COUNT: u32 = (THREAD_SIZE / REC_STACK_SIZE) * 2;
/** What CORRUPT_STACK writes through an array of 8 bytes. */
const CLOBBERED: usize = 64;

export function lkdtm_PANIC(): void {
  panic(c`dumptest`);
}

export function lkdtm_BUG(): void {
  BUG(c`drivers/misc/lkdtm/bugs.ts`, 30);
}

export function lkdtm_WARNING(): void {
  WARN(true, c`drivers/misc/lkdtm/bugs.ts`, 34, 0);
}

export function lkdtm_WARNING_MESSAGE(): void {
  const count = ++sym.lkdtm_warn_counter;
  WARN(true, c`drivers/misc/lkdtm/bugs.ts`, 39, c`Warning message trigger count: %d\n`, count);
}

export function lkdtm_EXCEPTION(): void {
  store<i32>(mmu_access(0, X86_PF_WRITE), 0);
}

/** Each call adds a record; the sum keeps the calls from becoming a loop. */
export function recursive_loop(remaining: u32): u32 {
  if (!remaining) return 0;
  return recursive_loop(remaining - 1) + (sym.lkdtm_warn_counter & remaining) + 1;
}

export function lkdtm_EXHAUST_STACK(): void {
  pr_info(
    c`lkdtm: Calling function with %lu frame size to depth %d ...\n`, REC_STACK_SIZE, RECUR_COUNT,
  );
  recursive_loop(RECUR_COUNT);
  pr_info(c`lkdtm: FAIL: survived without exhausting stack?!\n`);
}

/**
 * An array of 8 bytes on the stack with the task's canary above it, as -fstack-protector-strong lays it out;
 * returns the stack pointer that makes room for both. The record below them ends call traces: what it led to
 * is about to be overwritten.
 */
@inline function push_array(frame: usize, canary: u64): usize {
  const sp = frame - 32;
  store<u64>(sp, 0);
  store<u64>(sp + 8, 0);
  store<u64>(sp + 16, 0);
  store<u64>(sp + 24, canary);
  set_sp(sp);
  return sp + 16;
}

export function lkdtm_CORRUPT_STACK(): void {
  pr_info(c`lkdtm: Corrupting stack containing char array ...\n`);
  const frame = get_sp();
  const canary = get_current().stack_canary;
  const data = push_array(frame, canary);
  memory.fill(data, 97, CLOBBERED);
  if (load<u64>(data + 8) != canary) __stack_chk_fail();
  set_sp(frame);
}

export function lkdtm_CORRUPT_STACK_STRONG(): void {
  pr_info(c`lkdtm: Corrupting stack containing union ...\n`);
  const frame = get_sp();
  const canary = get_current().stack_canary;
  const data = push_array(frame, canary);
  memory.fill(data, 0xff, CLOBBERED);
  if (load<u64>(data + 8) != canary) __stack_chk_fail();
  set_sp(frame);
}

export function lkdtm_UNALIGNED_LOAD_STORE_WRITE(): void {
  const at = sym.addr_of_lkdtm_unaligned() + 1;
  store<u32>(at, load<u32>(at) == 0 ? 0x87654321 : 0x12345678);
  pr_err(c`lkdtm: XFAIL: arch has CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS\n`);
}

export function lkdtm_OVERFLOW_SIGNED(): void {
  pr_info(c`lkdtm: Normal signed addition ...\n`);
  sym.lkdtm_overflow_value = i32.MAX_VALUE - 1;
  sym.lkdtm_overflow_value += 1;
  pr_info(c`lkdtm: Overflowing signed addition ...\n`);
  sym.lkdtm_overflow_value += 4;
}

export function lkdtm_OVERFLOW_UNSIGNED(): void {
  pr_info(c`lkdtm: Normal unsigned addition ...\n`);
  sym.lkdtm_overflow_value = -2;
  sym.lkdtm_overflow_value += 1;
  pr_info(c`lkdtm: Overflowing unsigned addition ...\n`);
  sym.lkdtm_overflow_value += 4;
}

/** Elements behind the array's end are another variable. */
export function lkdtm_ARRAY_BOUNDS(): void {
  const array = sym.addr_of_lkdtm_array();
  pr_info(c`lkdtm: Array access within bounds ...\n`);
  for (let i: usize = 0; i < 8; i++) store<u32>(array + i * 4, 65);
  pr_info(c`lkdtm: Array access beyond bounds ...\n`);
  for (let i: usize = 0; i < 9; i++) store<u32>(array + i * 4, 66);
  pr_err(c`lkdtm: FAIL: survived array bounds overflow!\n`);
}

export function lkdtm_CORRUPT_LIST_ADD(): void {
  const head = sym.lkdtm_list_head;
  INIT_LIST_HEAD(head);
  pr_info(c`lkdtm: attempting good list addition\n`);
  list_add(sym.lkdtm_list_good.node, head);
  pr_info(c`lkdtm: attempting corrupted list addition\n`);
  // An attacker's target in place of the first entry.
  head.next = changetype<list_head>(sym.addr_of_lkdtm_list_target());
  list_add(sym.lkdtm_list_bad.node, head);
  pr_err(c`lkdtm: list_add() corruption not detected!\n`);
}

export function lkdtm_CORRUPT_LIST_DEL(): void {
  const head = sym.lkdtm_list_head;
  const item = sym.lkdtm_list_good.node;
  INIT_LIST_HEAD(head);
  list_add(item, head);
  pr_info(c`lkdtm: attempting good list removal\n`);
  list_del(item);
  pr_info(c`lkdtm: attempting corrupted list removal\n`);
  list_add(item, head);
  item.next = changetype<list_head>(sym.addr_of_lkdtm_list_target());
  list_del(item);
  pr_err(c`lkdtm: list_del() corruption not detected!\n`);
}

/** A CPU that never comes back from the kernel. */
export function lkdtm_LOOP(): void {
  for (;;) cpu_relax();
}

/** The same where it must not even be preempted. */
export function lkdtm_SOFTLOCKUP(): void {
  preempt_disable();
  for (;;) cpu_relax();
}

/** And where no interrupt comes. */
export function lkdtm_HARDLOCKUP(): void {
  local_irq_disable();
  for (;;) cpu_relax();
}

/** Waits for what does not come. */
export function lkdtm_HUNG_TASK(): void {
  get_current().__state = TASK_UNINTERRUPTIBLE;
  schedule();
}

export function lkdtm_bugs_types(): void {
  CRASHTYPE(c`PANIC`, fnptr(lkdtm_PANIC));
  CRASHTYPE(c`BUG`, fnptr(lkdtm_BUG));
  CRASHTYPE(c`WARNING`, fnptr(lkdtm_WARNING));
  CRASHTYPE(c`WARNING_MESSAGE`, fnptr(lkdtm_WARNING_MESSAGE));
  CRASHTYPE(c`EXCEPTION`, fnptr(lkdtm_EXCEPTION));
  CRASHTYPE(c`LOOP`, fnptr(lkdtm_LOOP));
  CRASHTYPE(c`EXHAUST_STACK`, fnptr(lkdtm_EXHAUST_STACK));
  CRASHTYPE(c`CORRUPT_STACK`, fnptr(lkdtm_CORRUPT_STACK));
  CRASHTYPE(c`CORRUPT_STACK_STRONG`, fnptr(lkdtm_CORRUPT_STACK_STRONG));
  CRASHTYPE(c`UNALIGNED_LOAD_STORE_WRITE`, fnptr(lkdtm_UNALIGNED_LOAD_STORE_WRITE));
  CRASHTYPE(c`OVERFLOW_SIGNED`, fnptr(lkdtm_OVERFLOW_SIGNED));
  CRASHTYPE(c`OVERFLOW_UNSIGNED`, fnptr(lkdtm_OVERFLOW_UNSIGNED));
  CRASHTYPE(c`ARRAY_BOUNDS`, fnptr(lkdtm_ARRAY_BOUNDS));
  CRASHTYPE(c`SOFTLOCKUP`, fnptr(lkdtm_SOFTLOCKUP));
  CRASHTYPE(c`HARDLOCKUP`, fnptr(lkdtm_HARDLOCKUP));
  CRASHTYPE(c`HUNG_TASK`, fnptr(lkdtm_HUNG_TASK));
  CRASHTYPE(c`CORRUPT_LIST_ADD`, fnptr(lkdtm_CORRUPT_LIST_ADD));
  CRASHTYPE(c`CORRUPT_LIST_DEL`, fnptr(lkdtm_CORRUPT_LIST_DEL));
}
