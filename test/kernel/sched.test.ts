/**
 * Tasks and the scheduler of the built kernel: what its memory shows at the end, and what the seed decides.
 */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Machine } from "../../runtime/index.ts";
import { built } from "../support/boot.ts";
import { runInKernel } from "../support/kernel-program.ts";

type Offsets = typeof import("../../build/generated/offsets.ts");

const TASK_RUNNING = 0;
const PF_KTHREAD = 0x00200000;

/** Reads the kernel's memory by symbol; the image is loaded where it is linked, at 1 MiB. */
class Kernel {
  readonly #symbols = new Map<string, number>();

  constructor(
    readonly machine: Machine,
    readonly offsets: Offsets,
  ) {
    for (const line of readFileSync(built("System.map"), "latin1").split("\n")) {
      const [address, , name] = line.split(" ");
      if (address?.startsWith("ffffffff") && name)
        this.#symbols.set(name, Number.parseInt(address.slice(8), 16) - 0x80000000);
    }
  }

  symbol(name: string): number {
    const at = this.#symbols.get(name);
    if (at === undefined) throw new Error(`no symbol ${name}`);
    return at;
  }

  /** A pointer member as a physical address, 0 for NULL. */
  pointer(at: number): number {
    const [lo, hi] = [this.machine.memory.u32(at), this.machine.memory.u32(at + 4)];
    return lo === 0 && hi === 0 ? 0 : (lo - (hi & 1) * 0x80000000) >>> 0;
  }

  text(at: number, length: number): string {
    return Buffer.from(this.machine.memory.slice(at, length)).toString("latin1").replace(/\0.*$/s, "");
  }

  /** The function whose text holds an address. */
  functionAt(at: number): string {
    let best = "";
    let start = -1;
    for (const [name, address] of this.#symbols)
      if (address <= at && address > start) [best, start] = [name, address];
    return best;
  }

  /** All tasks from init_task on. */
  *tasks(): Generator<number> {
    const { task_struct } = this.offsets;
    const first = this.symbol("init_task");
    let t = first;
    do {
      yield t;
      t = this.pointer(t + task_struct.tasks) - task_struct.tasks;
    } while (t !== first);
  }
}

const probes = (console: string): string[] => console.match(/ttyS0 at|crng init|registered as rtc0/g) ?? [];

describe.skipIf(!existsSync(built("vmlinuz")))("tasks", () => {
  it("leaves the tasks as a debugger wants them", async () => {
    const offsets = (await import("../../build/generated/offsets.ts")) as Offsets;
    const { task_struct, thread_struct } = offsets;
    const { result } = await runInKernel(async () => {});
    const kernel = new Kernel(result.machine, offsets);
    const { memory } = result.machine;
    const tasks = [...kernel.tasks()].map((t) => ({
      at: t,
      pid: memory.u32(t + task_struct.pid),
      comm: kernel.text(t + task_struct.comm, 16),
      state: memory.u32(t + task_struct.__state),
      kthread: (memory.u32(t + task_struct.flags) & PF_KTHREAD) !== 0,
      stack: kernel.pointer(t + task_struct.stack),
      sp: kernel.pointer(t + task_struct.thread + thread_struct.sp),
    }));
    expect(tasks.map(({ pid, comm }) => `${pid} ${comm}`).slice(0, 3)).toEqual([
      "0 swapper/0",
      "1 init",
      "2 kthreadd",
    ]);
    expect(tasks.length - 1).toBe(memory.u32(kernel.symbol("nr_threads")));
    for (const task of tasks) {
      expect(task.stack % 16384).toBe(0);
      expect(memory.u32(task.stack)).toBe(0x57ac6e9d);
      expect(task.kthread).toBe(task.pid !== 1);
      if (task.state === TASK_RUNNING) continue;
      // {r15 r14 r13 r12 bx bp ret}: a sleeping task has left __schedule's call of __switch_to_asm.
      expect(task.sp - task.stack).toBeGreaterThan(256);
      expect(kernel.functionAt(kernel.pointer(task.sp + 48))).toBe("__schedule");
      const record = kernel.pointer(task.sp + 40);
      expect(kernel.functionAt(kernel.pointer(record + 8))).toBe("schedule");
    }
  });

  it("lets the seed decide the order of asynchronous probes, and nothing else", async () => {
    const orders = new Set<string>();
    for (let seed = 1; seed <= 8; seed++) {
      const order = probes((await runInKernel(async () => {}, { seed })).console);
      expect([...order].sort()).toEqual(["crng init", "registered as rtc0", "ttyS0 at"]);
      orders.add(order.join());
    }
    expect(orders.size).toBeGreaterThan(2);
    const [once, again] = [
      await runInKernel(async () => {}, { seed: 7 }),
      await runInKernel(async () => {}, { seed: 7 }),
    ];
    expect(again.console).toBe(once.console);
  });

  it("panics when init ends", async () => {
    const { console } = await runInKernel(async (proc) => {
      (proc as { reboot: unknown }).reboot = async () => {};
    });
    expect(console).toContain("Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000000");
  });
});
