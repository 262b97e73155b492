/**
 * Several CPUs: they come up, share the work, and end together. Each runs on a thread of its own, one at a
 * time in an order that the seed decides, so a run is the same each time.
 */
import { existsSync, readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { currentHost, MemoryFs } from "../../runtime/adapter/index.ts";
import { type BootOptions, type BootResult, boot } from "../../runtime/index.ts";
import type { Proc } from "../../runtime/user/proc.ts";
import { REBOOT_CMD_POWER_OFF } from "../../tools/init/reboot.ts";
import { makeCpio } from "../../tools/initrd/cpio.ts";
import { built } from "../support/boot.ts";
import { type KernelRunOptions, readText, runInKernel } from "../support/kernel-program.ts";

const O_WRONLY = 1;
const COMPLAINTS = /BUG|WARNING|Oops|scheduling while atomic|lockup|blocked for more/;
const LIMIT_MS = 20_000;

const onCpus = (
  cpus: number,
  program: (proc: Proc) => Promise<void>,
  options: KernelRunOptions = {},
): ReturnType<typeof runInKernel> => runInKernel(program, { cpus, limit: LIMIT_MS, ...options });

/** The CPU that a task last ran on: field 39 of its stat, the 37th behind the name. */
async function processor(proc: Proc, pid: number | "self"): Promise<number> {
  const stat = await readText(proc, `/proc/${pid}/stat`);
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[36]);
}

/** Children that all have something to do for a while; the CPUs that they were seen on. */
async function busyChildren(proc: Proc, count: number): Promise<Set<number>> {
  const pids: number[] = [];
  for (let i = 0; i < count; i++) {
    pids.push(
      await proc.fork(async (child) => {
        for (let turn = 0; turn < 20; turn++) await readText(child, "/proc/meminfo");
        return 16 + (await processor(child, "self"));
      }),
    );
  }
  const seen = new Set<number>();
  for (let i = 0; i < count; i++) {
    const { pid, status } = await proc.wait();
    expect(pids).toContain(pid);
    seen.add((status >> 8) - 16);
  }
  return seen;
}

describe.skipIf(!existsSync(built("cpu.js")))("several CPUs", () => {
  it.each([2, 4, 8])("%i come up and share the work", async (cpus) => {
    const { console } = await onCpus(cpus, async (proc) => {
      expect(await readText(proc, "/sys/devices/system/cpu/online")).toBe(`0-${cpus - 1}\n`);
      expect(await readText(proc, "/proc/stat")).toMatch(new RegExp(`^cpu${cpus - 1} `, "m"));
      expect((await readText(proc, "/proc/cpuinfo")).match(/^processor/gm)).toHaveLength(cpus);
      const seen = await busyChildren(proc, 3 * cpus);
      expect(seen.size).toBeGreaterThan(1);
      for (const cpu of seen) expect(cpu).toBeLessThan(cpus);
    });
    expect(console).toContain(`smp: Brought up 1 node, ${cpus} CPUs`);
    expect(console).toContain(`Processors: ${cpus}`);
    expect(console).not.toMatch(COMPLAINTS);
  });

  it.each([
    ["maxcpus=2", "0-1\n", "0-3\n"],
    ["nosmp", "0\n", "0-3\n"],
    ["nr_cpus=3", "0-2\n", "0-2\n"],
  ])("%s brings up as many as it says", async (parameter, online, possible) => {
    const cmdline = `console=ttyS0 ${parameter}`;
    const { console } = await onCpus(
      4,
      async (proc) => {
        expect(await readText(proc, "/sys/devices/system/cpu/online")).toBe(online);
        expect(await readText(proc, "/sys/devices/system/cpu/possible")).toBe(possible);
        await busyChildren(proc, 4);
      },
      { cmdline },
    );
    expect(console).not.toMatch(COMPLAINTS);
  });

  it("give the same run for the same seed, also two machines at once, and another for another", async () => {
    const work = async (proc: Proc): Promise<void> => void (await busyChildren(proc, 8));
    const alone = (await onCpus(4, work, { seed: 5 })).console;
    const together = await Promise.all([5, 5, 6].map((seed) => onCpus(4, work, { seed })));
    expect(together.map(({ console }) => console === alone)).toEqual([true, true, false]);
  });

  it("are all stopped by a panic without a capture kernel", async () => {
    // Nothing comes back from the write: the run ends with the machine.
    const { result, console } = await bootRaw(async (proc) => {
      const fd = await proc.open("/proc/sysrq-trigger", O_WRONLY);
      await proc.write(fd, "c");
    });
    expect(result.outcome).toBe("not-captured");
    expect(result.reason).toMatch(/^the machine halted/);
    expect(console).toContain("---[ end Kernel panic - not syncing: sysrq triggered crash ]---");
    expect(console).not.toMatch(/BUG|lockup/);
  });

  it("are stopped at the run limit, busy as they are", async () => {
    const { result } = await bootRaw(
      async (proc) => {
        for (let i = 0; i < 6; i++) {
          await proc.fork(async (child) => {
            for (;;) await readText(child, "/proc/stat");
          });
        }
        for (;;) await proc.sleep(1000);
      },
      { limit: 100 },
    );
    expect(result.reason).toContain("was stopped: it had run up to its limit");
  });

  it("whose threads have no program are none, and the next machine is not harmed", async () => {
    const cpuProgram = pathToFileURL(built("no-such-program.js"));
    await expect(bootRaw(async () => undefined, { cpuProgram })).rejects.toThrow(/no-such-program/);
    const { result } = await bootRaw(async (proc) => proc.reboot(REBOOT_CMD_POWER_OFF));
    expect(result.outcome).toBe("powered-off");
  });

  it.each([
    [{ cpus: 0 }, /^a machine of 0 CPUs: it can have 1 to 8$/],
    [{ cpus: 9 }, /^a machine of 9 CPUs/],
    [{ cpus: 1.5 }, /^a machine of 1.5 CPUs/],
    [{ cpus: 2, threads: false }, /^several CPUs need the program of their threads/],
  ])("refuses %o", async (options, message) => {
    await expect(bootRaw(async () => undefined, options)).rejects.toThrow(message);
  });
});

/** Boots with four CPUs and `init` as the program, to whatever end. */
async function bootRaw(
  init: (proc: Proc) => Promise<void>,
  {
    threads = true,
    cpuProgram = pathToFileURL(built("cpu.js")),
    ...options
  }: { cpus?: number; limit?: number; threads?: boolean; cpuProgram?: URL } = {},
): Promise<{ result: BootResult; console: string }> {
  const output: Uint8Array[] = [];
  const given: BootOptions = {
    image: new Uint8Array(readFileSync(built("vmlinuz"))),
    initrd: makeCpio({ "/init": { mode: 0o755, contents: "#!program init\n" } }),
    memory: 16 << 20,
    cmdline: "console=ttyS0",
    seed: 1,
    cpus: 4,
    limit: LIMIT_MS,
    ...options,
    ...(threads ? { cpuProgram } : {}),
    console: (bytes) => void output.push(bytes.slice()),
    hostfs: new MemoryFs(),
    host: currentHost(),
    programs: {
      init: async (proc) => {
        await init(proc);
        return 0;
      },
    },
  };
  const result = await boot(given);
  return { result, console: Buffer.concat(output).toString() };
}
