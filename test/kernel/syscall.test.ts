/**
 * System calls as the hardware makes them, with registers that no well-behaved program has: bad pointers,
 * unknown numbers, a task that yields in the middle.
 */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Machine } from "../../runtime/index.ts";
import { Cpu } from "../../runtime/machine/cpu.ts";
import { built } from "../support/boot.ts";
import { runInKernel } from "../support/kernel-program.ts";

const [READ, WRITE, OPEN, STAT, BRK, SCHED_YIELD, GETPID, GETDENTS64] = [0, 1, 2, 4, 12, 24, 39, 217];
const [ENOENT, EFAULT, EINVAL, ENOTDIR, ENOSYS] = [2, 14, 22, 20, 38];
const HEAP = 0x10000000;
const TEXT = 0x400000;
/** Offset of ax in struct pt_regs. */
const AX = 80;

/** Enters the kernel from user mode and returns rax, which must fit 32 bits with its sign. */
function syscall(machine: Machine, nr: number, ...args: number[]): number {
  const cpu = machine.cpu;
  if (!(cpu instanceof Cpu)) throw new Error("no CPU");
  const exit = cpu.syscall(nr, args);
  if (exit.kind !== "user") throw new Error(`the call ended with ${exit.kind}`);
  return machine.memory.u32((cpu.userRegs as number) + AX) | 0;
}

describe.skipIf(!existsSync(built("vmlinuz")))("system calls", () => {
  it("answers unknown numbers with ENOSYS", async () => {
    await runInKernel(async (_proc, machine) => {
      for (const nr of [27, 335, 448, 449, 1000, -1]) expect(syscall(machine, nr)).toBe(-ENOSYS);
      expect(syscall(machine, GETPID)).toBe(1);
    });
  });

  it("never goes through a bad pointer", async () => {
    await runInKernel(async (proc, machine) => {
      const zero = await proc.open("/dev/zero", 0);
      const bad = [0, 8, 0x100000, HEAP - 1, 0x20000000, 0x80100000, 0xfffffffc];
      for (const at of bad) {
        expect(syscall(machine, OPEN, at, 0)).toBe(-EFAULT);
        expect(syscall(machine, STAT, at, at)).toBe(-EFAULT);
        expect(syscall(machine, WRITE, 1, at, 4)).toBe(-EFAULT);
        expect(syscall(machine, READ, zero, at, 4)).toBe(-EFAULT);
      }
      // Text is read-only: it can be written from, not read into.
      expect(syscall(machine, READ, zero, TEXT, 4)).toBe(-EFAULT);
      expect(syscall(machine, WRITE, 1, TEXT, 10)).toBe(10);
      // A buffer that runs out of the heap is filled up to its end.
      const end = syscall(machine, BRK, HEAP + 8192);
      expect(end).toBe(HEAP + 8192);
      expect(syscall(machine, READ, zero, HEAP + 8000, 1000)).toBe(192);
      // An empty path.
      expect(syscall(machine, OPEN, HEAP + 8000, 0)).toBe(-ENOENT);
      expect(syscall(machine, GETDENTS64, zero, HEAP, 100)).toBe(-ENOTDIR);
      const root = await proc.open("/", 0);
      expect(syscall(machine, GETDENTS64, root, HEAP, 8)).toBe(-EINVAL);
      // . .. dev init proc root sys var, 24 bytes each.
      expect(syscall(machine, GETDENTS64, root, HEAP, 4096)).toBe(8 * 24);
      expect(syscall(machine, GETDENTS64, root, HEAP, 4096)).toBe(0);
    });
  });

  it("moves the heap's end both ways and refuses what does not fit", async () => {
    await runInKernel(async (_proc, machine) => {
      const start = syscall(machine, BRK, 0);
      expect(syscall(machine, BRK, start + 100_000)).toBe(start + 100_000);
      expect(syscall(machine, BRK, start + 5000)).toBe(start + 5000);
      expect(syscall(machine, BRK, 0x8000000)).toBe(start + 5000);
      // More than the machine has.
      expect(syscall(machine, BRK, start + (64 << 20))).toBe(start + 5000);
      expect(syscall(machine, BRK, start + 50_000)).toBe(start + 50_000);
    });
  });

  it("yields and comes back", async () => {
    await runInKernel(async (_proc, machine) => {
      for (let i = 0; i < 5; i++) expect(syscall(machine, SCHED_YIELD)).toBe(0);
    });
  });
});
