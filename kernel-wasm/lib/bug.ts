/**
 * BUG() and WARN() (lib/bug.c, asm-generic/bug.h). Linux finds file and line in __bug_table by the address of
 * the ud2; here BUG() leaves them in a per-CPU record and then traps as ud2 does, so the invalid opcode
 * handler reports it the same way. Linux's bare `unreachable` without a record is an invalid opcode, no BUG.
 *
 *     if (page.pfn > max_pfn) BUG(c`mm/page_alloc.c`, 1234);
 */
import { this_cpu } from "../include/generated/symbols";
import { __warn } from "../kernel/panic";

/** Never returns. */
export function BUG(file: usize, line: i32): void {
  const record = this_cpu.bug_record;
  record.file = file;
  record.line = line;
  record.armed = 1;
  unreachable();
}

/** WARN() with a text of up to one argument. */
export function WARN(condition: bool, file: usize, line: i32, fmt: usize, arg: u64 = 0): bool {
  if (condition) __warn(file, line, return_address(), fmt, arg);
  return condition;
}

/** Text address that the running framed function returns to: the upper half of its frame record. */
@inline function return_address(): u64 {
  return load<u64>(get_sp() + 8);
}
