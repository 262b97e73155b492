/** Swap: anonymous pages go to an area when memory is short, and come back as they were. */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  O_CREAT,
  O_RDWR,
  O_WRONLY,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  type Proc,
  SIGCONT,
  SIGSEGV,
  SIGSTOP,
} from "../../runtime/user/proc.ts";
import { built } from "../support/boot.ts";
import { readText } from "../support/kernel-program.ts";
import { Heap, numbers, PAGE, run, withSwap } from "../support/swap-machine.ts";

const KIB = 1024;
const DEVICE = "/dev/ram1";

/** Grows a heap until so many kB are in the swap area. */
async function swapOut(proc: Proc, kilobytes: number, salt = 0): Promise<Heap> {
  const heap = await Heap.behind(proc);
  for (;;) {
    const { SwapTotal = 0, SwapFree = 0 } = await numbers(proc, "/proc/meminfo");
    if (SwapTotal - SwapFree >= kilobytes) return heap;
    await heap.grow(32, salt);
  }
}

/** Children that each take so many pages and then sleep until they are killed. */
const child = (pages: number, salt: number) => async (proc: Proc) => {
  const heap = await Heap.behind(proc);
  while (heap.pages < pages) await heap.grow(32, salt);
  const wrong = await heap.wrong(salt);
  return wrong.length === 0 ? 0 : 1;
};

/** What fails with which error. */
const failure = async (made: Promise<unknown>): Promise<string> => {
  try {
    await made;
    return "";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
};

describe.skipIf(!existsSync(built("vmlinuz")))("swap", () => {
  it("takes more than memory has, and every page comes back", async () => {
    const { console } = await withSwap(6 * KIB, async (proc) => {
      const before = await numbers(proc, "/proc/meminfo");
      expect(before.SwapTotal).toBe(6 * KIB - 4);
      expect(before.SwapFree).toBe(before.SwapTotal);
      const heap = await Heap.behind(proc);
      const goal = Math.floor(((before.MemFree as number) + 4 * KIB) / 4);
      while (heap.pages < goal) await heap.grow(64);
      const full = await numbers(proc, "/proc/meminfo");
      const swapped = (full.SwapTotal as number) - (full.SwapFree as number);
      expect(swapped).toBeGreaterThan(3 * KIB);
      const status = await numbers(proc, "/proc/self/status");
      // What is in memory too has its place still.
      expect(status.VmSwap).toBeLessThanOrEqual(swapped);
      expect(status.VmSwap).toBeGreaterThan(swapped / 2);
      expect(await heap.wrong()).toEqual([]);
      const events = await numbers(proc, "/proc/vmstat");
      expect(events.pswpout).toBeGreaterThan(swapped / 4 - 1);
      expect(events.pswpin).toBeGreaterThan(swapped / 8);
      expect(events.pgmajfault).toBe(events.pswpin);
      expect(events.pgpgout).toBeGreaterThanOrEqual((events.pswpout as number) * 4);
      expect(events.oom_kill).toBe(0);
      const scanned = (events.pgscan_kswapd as number) + (events.pgscan_direct as number);
      expect((events.pgscan_anon as number) + (events.pgscan_file as number)).toBe(scanned);
      const stolen = (events.pgsteal_kswapd as number) + (events.pgsteal_direct as number);
      expect((events.pgsteal_anon as number) + (events.pgsteal_file as number)).toBe(stolen);
      expect(scanned).toBeGreaterThan(stolen);
      expect(events.pgsteal_anon).toBeGreaterThanOrEqual(swapped / 4);
    });
    expect(console).toMatch(/Adding 6140k swap on \/dev\/ram1\. {2}Priority:-2 extents:1 across:6140k SS/);
    expect(console).not.toContain("invoked oom-killer");
    expect(console).not.toContain("BUG");
  });

  it("keeps what a fork shares: each side has its own from its first write on", async () => {
    await withSwap(6 * KIB, async (proc) => {
      const heap = await swapOut(proc, KIB);
      for (let round = 0; round < 4; round++) {
        const pid = await proc.fork(async (kid) => {
          const own = heap.of(kid);
          // Pages of its own push the shared ones out and in.
          const more = await Heap.behind(kid);
          await more.grow(128, round + 1);
          if ((await own.wrong()).length > 0 || (await more.wrong(round + 1)).length > 0) return 1;
          await own.overwrite(5, 99);
          return (await own.wrong()).join() === "5" ? 0 : 2;
        });
        expect((await proc.wait(pid)).status).toBe(0);
      }
      expect(await heap.wrong()).toEqual([]);
    });
  });

  it("lets the machine live where the OOM killer would strike, and calls it when full", async () => {
    const load = async (proc: Proc, pages: number): Promise<number[]> => {
      const pids: number[] = [];
      for (let i = 0; i < 6; i++) pids.push(await proc.fork(child(pages, i)));
      const statuses: number[] = [];
      for (const pid of pids) statuses.push((await proc.wait(pid)).status);
      return statuses;
    };
    // Six programs of 2.5 MiB in a machine of 16 MiB.
    const without = await withSwap(0, async (proc) => void (await load(proc, 640)));
    expect(without.console).toContain("Out of memory: Killed process");
    const roomy = await withSwap(8 * KIB, async (proc) => {
      expect(await load(proc, 320)).toEqual([0, 0, 0, 0, 0, 0]);
      expect((await numbers(proc, "/proc/vmstat")).pswpout).toBeGreaterThan(0);
      // All gone with the programs.
      const { SwapTotal, SwapFree, SwapCached } = await numbers(proc, "/proc/meminfo");
      expect((SwapTotal as number) - (SwapFree as number)).toBeLessThanOrEqual(KIB);
      expect(SwapCached).toBeLessThanOrEqual(KIB);
    });
    expect(roomy.console).not.toContain("Out of memory");
    const full = await withSwap(KIB, async (proc) => void (await load(proc, 640)));
    expect(full.console).toContain("Out of memory: Killed process");
    expect(full.console).toMatch(/Free swap {2}= 0kB/);
    expect(full.console).toContain("Total swap = 1020kB");
  });

  it("swapoff brings everything back, and the area can be used again", async () => {
    await withSwap(6 * KIB, async (proc) => {
      const heap = await swapOut(proc, 2 * KIB);
      // Room for what comes back.
      await heap.shrink(Math.floor(heap.pages / 2));
      expect(await run(proc, ["swapoff", DEVICE])).toBe(0);
      const off = await numbers(proc, "/proc/meminfo");
      expect([off.SwapTotal, off.SwapFree, off.SwapCached]).toEqual([0, 0, 0]);
      expect((await numbers(proc, "/proc/self/status")).VmSwap).toBe(0);
      expect(await heap.wrong()).toEqual([]);
      expect((await readText(proc, "/proc/swaps")).split("\n")).toHaveLength(2);
      expect(await run(proc, ["swapon", "-p", "5", DEVICE])).toBe(0);
      const [, area] = (await readText(proc, "/proc/swaps")).split("\n");
      expect(area).toBe(`${DEVICE.padEnd(40)}partition\t6140\t\t0\t\t5`);
    });
  });

  it("gives no right back with a page that swapoff brings", async () => {
    await withSwap(6 * KIB, async (proc) => {
      const heap = await swapOut(proc, 2 * KIB);
      await heap.shrink(Math.floor(heap.pages / 2));
      const pid = await proc.fork(async (kid) => {
        await kid.mprotect(heap.address(0), heap.pages * PAGE, PROT_NONE);
        if ((await run(kid, ["swapoff", DEVICE])) !== 0) return 1;
        await kid.load(heap.address(0), new Uint8Array(8));
        return 0;
      });
      expect((await proc.wait(pid)).status & 0x7f).toBe(SIGSEGV);
      expect(await heap.wrong()).toEqual([]);
    });
  });

  it("brings back what a child has to read before it begins", async () => {
    await withSwap(8 * KIB, async (proc) => {
      const pid = await proc.fork(async () => 7);
      await proc.kill(pid, SIGSTOP);
      await swapOut(proc, 6 * KIB);
      const maps = await readText(proc, `/proc/${pid}/smaps`);
      expect(maps).toMatch(/\[stack\][^[]*\nSwap: +[1-9]\d* kB\n/);
      await proc.kill(pid, SIGCONT);
      expect((await proc.wait(pid)).status).toBe(7 << 8);
    });
  });

  it("counts in what may be promised, and stays while it is needed for that", async () => {
    await withSwap(6 * KIB, async (proc) => {
      const info = await numbers(proc, "/proc/meminfo");
      const { MemTotal = 0, SwapTotal = 0, CommitLimit = 0, Committed_AS = 0 } = info;
      expect(CommitLimit).toBe(Math.floor(MemTotal / 8) * 4 + SwapTotal);
      const mode = await proc.open("/proc/sys/vm/overcommit_memory", O_WRONLY);
      await proc.write(mode, "2");
      const length = (CommitLimit - Committed_AS - SwapTotal / 2) * KIB;
      const flags = MAP_PRIVATE | MAP_ANONYMOUS;
      const address = await proc.mmap(length, { prot: PROT_READ | PROT_WRITE, flags });
      expect(await failure(proc.swapoff(DEVICE))).toBe("ENOMEM");
      expect((await numbers(proc, "/proc/meminfo")).SwapTotal).toBe(SwapTotal);
      await proc.munmap(address, length);
      expect(await failure(proc.swapoff(DEVICE))).toBe("");
    });
  });

  it("fails as Linux's calls do", async () => {
    const { console } = await withSwap(KIB, async (proc) => {
      expect(await failure(proc.swapon(DEVICE, 0))).toBe("EBUSY");
      expect(await failure(proc.swapon("/dev/ram0", 0))).toBe("EINVAL");
      expect(await failure(proc.swapon("/dev/none", 0))).toBe("ENOENT");
      expect(await failure(proc.swapon("/dev/null", 0))).toBe("EINVAL");
      expect(await failure(proc.swapon(DEVICE, 0x80000))).toBe("EINVAL");
      expect(await failure(proc.swapoff("/dev/ram0"))).toBe("EINVAL");
      const file = await proc.open("/file", O_WRONLY | O_CREAT);
      await proc.write(file, "no swap area");
      expect(await failure(proc.swapon("/file", 0))).toBe("EINVAL");
      // Headers that are damaged: the version, the size, the signature.
      const disk = await proc.open("/dev/ram0", O_RDWR);
      for (const [at, value] of [
        [1024, 2],
        [1028, 0],
        [1028, 0xffffff],
        [PAGE - 1, 0],
      ] as const) {
        expect(await run(proc, ["mkswap", "/dev/ram0", "64"])).toBe(0);
        await proc.lseek(disk, at, 0);
        await proc.write(
          disk,
          new Uint8Array(new Uint32Array([value]).buffer).subarray(0, at === PAGE - 1 ? 1 : 4),
        );
        await proc.fsync(disk);
        expect(await failure(proc.swapon("/dev/ram0", 0))).toBe("EINVAL");
      }
      expect(await run(proc, ["mkswap", "/dev/ram0", "64"])).toBe(0);
      expect(await failure(proc.swapon("/dev/ram0", 0))).toBe("");
      expect(await failure(proc.swapoff("/dev/ram0"))).toBe("");
      expect(await run(proc, ["mkswap", "/dev/ram0", "36"])).toBe(1);
      expect(await run(proc, ["swapoff", "/dev/ram0"])).toBe(1);
    });
    for (const text of [
      "Unable to find swap-space signature",
      "Unable to handle swap header version 2",
      "Empty swap-file",
      "Swap area shorter than signature indicates",
      "Setting up swapspace version 1, size = 60 KiB (61440 bytes)",
      "mkswap: error: swap area needs to be at least 40 KiB",
      "swapoff: /dev/ram0: swapoff failed: Invalid argument",
    ]) {
      expect(console).toContain(text);
    }
  });

  it("works on several CPUs", async () => {
    const { console } = await withSwap(
      8 * KIB,
      async (proc) => {
        const pids: number[] = [];
        // More than is free, less than that and the area.
        for (let i = 0; i < 6; i++) pids.push(await proc.fork(child(160, i)));
        for (const pid of pids) expect((await proc.wait(pid)).status).toBe(0);
        expect((await numbers(proc, "/proc/vmstat")).pswpin).toBeGreaterThan(0);
      },
      { cpus: 4 },
    );
    expect(console).not.toMatch(/BUG|WARNING|Out of memory/);
  });
});
