/**
 * A program's loads and stores. Where the page tables do not allow one, the CPU raises a page fault: the
 * kernel makes the page, brings it back from a swap area, or copies one that a fork shares, and the access is
 * made again; or it ends the program, which then never hears of it.
 */

import { PAGE_SIZE } from "../machine/memory.ts";
import { X86_TRAP_PF } from "../machine/x86.ts";
import type { Context } from "./context.ts";
import { SegmentationFault, type UserMemory } from "./memory.ts";

/** Makes an access to the memory of `context`, which is the task that runs, until it works. */
async function access<T>(context: Context, make: () => T): Promise<T> {
  for (;;) {
    try {
      return make();
    } catch (error) {
      if (!(error instanceof SegmentationFault)) throw error;
      const high = Math.floor(error.address / 2 ** 32);
      await context.syscall(-X86_TRAP_PF, error.errorCode, error.address, high);
    }
  }
}

/** [from, to) of `length` bytes at `address`, page by page: not all need be in memory at once. */
async function pages(
  context: Context,
  address: number,
  length: number,
  make: (from: number, to: number) => void,
): Promise<void> {
  let from = 0;
  const rest = (): void => {
    while (from < length) {
      const to = Math.min(length, from + PAGE_SIZE - ((address + from) % PAGE_SIZE));
      make(from, to);
      from = to;
    }
  };
  await access(context, rest);
}

/** Writes `bytes` at `address`. */
export function store(
  context: Context,
  memory: UserMemory,
  address: number,
  bytes: Uint8Array,
): Promise<void> {
  return pages(context, address, bytes.length, (from, to) => {
    memory.write(address + from, bytes.subarray(from, to));
  });
}

/** Fills `into` from `address` on. */
export function load(context: Context, memory: UserMemory, address: number, into: Uint8Array): Promise<void> {
  return pages(context, address, into.length, (from, to) => {
    memory.read(address + from, into.subarray(from, to));
  });
}

/** A 64-bit word, exact up to 2^53. */
export function loadU64(context: Context, memory: UserMemory, address: number): Promise<number> {
  return access(context, () => memory.u64(address));
}
