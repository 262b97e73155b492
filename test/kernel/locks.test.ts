/**
 * Who has taken a lock lets it go: after each system call of a workload, and of calls that fail, the CPU's
 * preemption count is 0, its interrupts are on, and the kernel's own locks are free.
 */
import { existsSync, readFileSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Machine } from "../../runtime/index.ts";
import { Context } from "../../runtime/user/context.ts";
import { type Proc, SIGCONT, SIGKILL, SIGSTOP, SIGTERM, WUNTRACED } from "../../runtime/user/proc.ts";
import { SystemMap } from "../../tools/crashed/system-map.ts";
import { main } from "../../tools/workload/main.ts";
import { built } from "../support/boot.ts";
import { runInKernel } from "../support/kernel-program.ts";

/** 32-bit words that are 0 when nobody has the lock. */
const LOCKS = [
  "tasklist_lock",
  "pidmap_lock",
  "async_lock",
  "resource_lock",
  "jiffies_lock",
  "console_owner_lock",
  "console_waiter",
  "console_locked",
  "uts_sem",
  "tainted_mutex",
  "ksysfs_mutex",
];

const raw = (proc: Proc, nr: number, ...args: number[]): Promise<number> =>
  (proc as Proc & { syscall(nr: number, ...args: number[]): Promise<number> }).syscall(nr, ...args);

/** Looks at each return to user mode from here on; how many there were, and what was found. */
function watch(machine: Machine): { calls: number; found: Set<string> } {
  const symbols = SystemMap.parse(readFileSync(built("System.map")));
  const { memory } = machine;
  const seen = { calls: 0, found: new Set<string>() };
  // The direct map begins at a multiple of 4 GiB.
  const area = memory.u32(symbols.physical("__per_cpu_offset"));
  const finish = Context.prototype.finish;
  vi.spyOn(Context.prototype, "finish").mockImplementation(function (this: Context, result: number) {
    const call = finish.call(this, result);
    seen.calls++;
    const look = (what: string, value: number, wanted: number): void => {
      if (value !== wanted) seen.found.add(`system call ${call?.nr}: ${what} is ${value}`);
    };
    look("__preempt_count", memory.u32(area + symbols.percpu("__preempt_count")), 0);
    look("hardirqs_enabled", memory.u32(area + symbols.percpu("hardirqs_enabled")), 1);
    for (const lock of LOCKS) look(lock, memory.u32(symbols.physical(lock)), 0);
    return call;
  });
  return seen;
}

describe.skipIf(!existsSync(built("vmlinuz")))("locks", () => {
  afterEach(() => void vi.restoreAllMocks());

  it.each([1, 2, 3])("are free after each system call of the workload, seed %i", async (seed) => {
    let seen = { calls: 0, found: new Set<string>() };
    const { console } = await runInKernel(
      async (proc, machine) => {
        seen = watch(machine);
        const pid = await proc.spawn("/usr/bin/workload", ["workload", "400", `${seed}`]);
        await proc.wait(pid);
      },
      {
        seed,
        files: { "/usr/bin/workload": { mode: 0o755, contents: "#!program workload\n" } },
        programs: { workload: main },
      },
    );
    expect(seen.calls).toBeGreaterThan(400);
    expect([...seen.found]).toEqual([]);
    expect(console).not.toMatch(/BUG|WARNING/);
  });

  it("are free after calls that fail, and after signals, stops and waits", async () => {
    let seen = { calls: 0, found: new Set<string>() };
    const { console } = await runInKernel(async (proc, machine) => {
      seen = watch(machine);
      // Every number, with no arguments, small numbers, and pointers to nowhere. Not reboot, nor what ends.
      for (let nr = 0; nr < 335; nr++) {
        if ([15, 34, 56, 57, 58, 60, 61, 169, 231].includes(nr)) continue;
        for (const arg of [0, 3, 0x7fff0000]) await raw(proc, nr, arg, arg, arg, arg, arg, arg);
      }
      const child = await proc.fork(async (sleeper) => {
        await sleeper.sleep(60_000);
        return 0;
      });
      await proc.kill(child, SIGSTOP);
      expect((await proc.wait(child, WUNTRACED)).pid).toBe(child);
      await proc.kill(child, SIGCONT);
      await proc.kill(child, SIGTERM);
      expect((await proc.wait(child)).status).toBe(SIGTERM);
      const brood = [];
      for (let i = 0; i < 5; i++)
        brood.push(await proc.fork(async (sleeper) => sleeper.sleep(60_000).then(() => 0)));
      await proc.kill(-1, SIGKILL);
      for (const _ of brood) expect((await proc.wait()).status).toBe(SIGKILL);
      await expect(proc.wait()).rejects.toMatchObject({ code: "ECHILD" });
    });
    expect(seen.calls).toBeGreaterThan(900);
    expect([...seen.found]).toEqual([]);
    expect(console).not.toMatch(/BUG|WARNING/);
  });
});
