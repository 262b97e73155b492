/** The workload in the built kernel: it finds nothing wrong, leaves daemons, and repeats itself. */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { exitCode, SIGKILL } from "../../runtime/user/proc.ts";
import { main } from "../../tools/workload/main.ts";
import { built } from "../support/boot.ts";
import { type KernelRunOptions, readText, runInKernel } from "../support/kernel-program.ts";

const options: KernelRunOptions = {
  files: { "/usr/bin/workload": { mode: 0o755, contents: "#!program workload\n" } },
  programs: { workload: main },
};

async function live(operations: number, seed: number, memory = 16 << 20): Promise<string> {
  let loadavg = "";
  const { console, result } = await runInKernel(
    async (proc) => {
      const pid = await proc.spawn("/usr/bin/workload", ["workload", `${operations}`, `${seed}`]);
      expect(exitCode((await proc.wait(pid)).status)).toBe(0);
      loadavg = await readText(proc, "/proc/loadavg");
    },
    { ...options, memory },
  );
  expect(console).not.toMatch(/workload:|BUG|WARNING|Oops|panic/);
  return `${loadavg}${result.machine.clock.read_ns()}`;
}

describe.skipIf(!existsSync(built("vmlinuz")))("workload", () => {
  it.each([1, 2, 3, 4])("seed %i leaves a kernel that has lived", async (seed) => {
    const [, , , tasks, last] = (await live(300, seed)).split(/\s+/) as string[];
    expect(Number(last)).toBeGreaterThan(60);
    expect(Number(tasks?.split("/")[1])).toBeGreaterThan(8);
  });

  it("does the same again", async () => {
    expect(await live(200, 77)).toBe(await live(200, 77));
  });

  it("goes on in a machine that is full", async () => {
    await live(300, 5, 6 << 20);
  });

  it("leaves daemons that init can end", async () => {
    await runInKernel(async (proc) => {
      const pid = await proc.spawn("/usr/bin/workload", ["workload", "60", "9"]);
      await proc.wait(pid);
      await proc.kill(-1, SIGKILL);
      const statuses: number[] = [];
      try {
        for (;;) statuses.push((await proc.wait()).status);
      } catch (error) {
        expect(error).toMatchObject({ code: "ECHILD" });
      }
      expect(statuses).toContain(SIGKILL);
    }, options);
  });

  it("refuses what is no number of operations", async () => {
    await runInKernel(async (proc) => {
      for (const args of [[], ["-1"], ["x"], ["1", "2", "3"], ["2000000"]]) {
        const pid = await proc.spawn("/usr/bin/workload", ["workload", ...args]);
        expect(exitCode((await proc.wait(pid)).status)).toBe(2);
      }
    }, options);
  });
});
