/**
 * A program's loads and stores. Where the page tables do not allow one, the CPU raises a page fault: the
 * kernel makes the page, or copies one that a fork shares, and the access is made again; or it ends the
 * program, which then never hears of it.
 */

import { X86_TRAP_PF } from "../machine/x86.ts";
import type { Context } from "./context.ts";
import { SegmentationFault, type UserMemory } from "./memory.ts";

/** Writes `bytes` at `address` of the memory of `context`, which is the task that runs. */
export async function store(
  context: Context,
  memory: UserMemory,
  address: number,
  bytes: Uint8Array,
): Promise<void> {
  await access(context, () => memory.write(address, bytes));
}

/** Fills `into` from `address`. */
export async function load(
  context: Context,
  memory: UserMemory,
  address: number,
  into: Uint8Array,
): Promise<void> {
  await access(context, () => memory.read(address, into));
}

async function access(context: Context, make: () => void): Promise<void> {
  for (;;) {
    try {
      make();
      return;
    } catch (error) {
      if (!(error instanceof SegmentationFault)) throw error;
      const high = Math.floor(error.address / 2 ** 32);
      await context.syscall(-X86_TRAP_PF, error.errorCode, error.address, high);
    }
  }
}
