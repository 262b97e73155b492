/** /proc/sys/vm and /proc/sys/fs: caches that are dropped, pools that grow, counts of files and names. */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { O_CREAT, O_RDONLY, O_RDWR, O_WRONLY, type Proc } from "../../runtime/user/proc.ts";
import { built } from "../support/boot.ts";
import { readText, runInKernel } from "../support/kernel-program.ts";

async function write(proc: Proc, path: string, text: string): Promise<void> {
  const fd = await proc.open(path, O_WRONLY);
  try {
    await proc.write(fd, text);
  } finally {
    await proc.close(fd);
  }
}

const VM = "/proc/sys/vm";
const FS = "/proc/sys/fs";

async function numbers(proc: Proc, path: string): Promise<number[]> {
  return (await readText(proc, path)).trim().split(/\s+/).map(Number);
}

async function meminfo(proc: Proc, label: string): Promise<number> {
  const text = await readText(proc, "/proc/meminfo");
  return Number(new RegExp(`^${label}:\\s+(\\d+)`, "m").exec(text)?.[1]);
}

async function errorOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "none",
    (error) => (error as { code?: string }).code ?? String(error),
  );
}

describe.skipIf(!existsSync(built("vmlinuz")))("/proc/sys", () => {
  it("drops clean pages of a disk's cache, keeps dirty ones and what a ramfs holds", async () => {
    const run = await runInKernel(async (proc) => {
      const disk = await proc.open("/dev/ram0", O_RDWR);
      const data = Uint8Array.from({ length: 64 << 10 }, (_, i) => (i * 13) & 0xff);
      await proc.write(disk, data);
      const file = await proc.open("/root/file", O_RDWR | O_CREAT, 0o644);
      await proc.write(file, data);
      const dirty = await meminfo(proc, "Buffers");
      expect(dirty).toBeGreaterThanOrEqual(64);
      await write(proc, `${VM}/drop_caches`, "1");
      expect(await meminfo(proc, "Buffers")).toBe(dirty);
      await proc.fsync(disk);
      await write(proc, `${VM}/drop_caches`, "1");
      expect(await meminfo(proc, "Buffers")).toBe(0);
      const got = new Uint8Array(data.length);
      expect(await proc.pread(disk, got, 0)).toBe(data.length);
      expect(Buffer.compare(got, data)).toBe(0);
      expect(await proc.pread(file, got, 0)).toBe(data.length);
      expect(Buffer.compare(got, data)).toBe(0);
      await proc.close(disk);
      await proc.close(file);
    });
    expect(run.console).toContain("init (1): drop_caches: 1\n");
  });

  it("drops names and inodes that nobody uses, and finds them again", async () => {
    await runInKernel(async (proc) => {
      await write(proc, `${VM}/drop_caches`, "2");
      const start = await numbers(proc, `${FS}/dentry-state`);
      const inodes = (await numbers(proc, `${FS}/inode-nr`))[0] as number;
      expect(start[1]).toBe(0);
      const before = await readText(proc, "/sys/devices/system/cpu/possible");
      await proc.stat("/sys/kernel/kexec_loaded");
      const used = await numbers(proc, `${FS}/dentry-state`);
      // devices, system, cpu, possible; kexec_loaded, whose directory holds a mount: the end of each path is
      // unused.
      expect(used[1]).toBe(2);
      expect(used[0]).toBe((start[0] as number) + 5);
      expect((await numbers(proc, `${FS}/inode-nr`))[0]).toBe(inodes + 5);
      const held = await proc.open("/sys/kernel/kexec_loaded", O_RDONLY);
      await write(proc, `${VM}/drop_caches`, "3");
      expect((await numbers(proc, `${FS}/dentry-state`)).slice(0, 2)).toEqual([(start[0] as number) + 1, 0]);
      const text = new Uint8Array(8);
      expect(await proc.read(held, text)).toBe(2);
      await proc.close(held);
      await write(proc, `${VM}/drop_caches`, "2");
      expect((await numbers(proc, `${FS}/dentry-state`)).slice(0, 2)).toEqual(start.slice(0, 2));
      expect(await readText(proc, "/sys/devices/system/cpu/possible")).toBe(before);
    });
  });

  it("refuses what drop_caches is not, and falls silent at 4", async () => {
    const run = await runInKernel(async (proc) => {
      expect(await errorOf(write(proc, `${VM}/drop_caches`, "0"))).toBe("EINVAL");
      expect(await errorOf(write(proc, `${VM}/drop_caches`, "5"))).toBe("EINVAL");
      expect(await errorOf(proc.open(`${VM}/drop_caches`, O_RDONLY))).toBe("EACCES");
      await write(proc, `${VM}/drop_caches`, "4");
      await write(proc, `${VM}/drop_caches`, "1");
    });
    expect(run.console).not.toContain("drop_caches: 1");
  });

  it("changes the pool of huge pages while it runs, as far as memory allows", async () => {
    await runInKernel(
      async (proc) => {
        const free = await meminfo(proc, "MemFree");
        await write(proc, `${VM}/nr_hugepages`, "3");
        expect(await numbers(proc, `${VM}/nr_hugepages`)).toEqual([3]);
        expect(await meminfo(proc, "HugePages_Total")).toBe(3);
        expect(free - (await meminfo(proc, "MemFree"))).toBeGreaterThanOrEqual(3 * 2048 - 64);
        await write(proc, `${VM}/nr_hugepages`, "1000");
        const got = (await numbers(proc, `${VM}/nr_hugepages`))[0] as number;
        expect(got).toBeGreaterThan(3);
        expect(got).toBeLessThan(32);
        await write(proc, `${VM}/nr_hugepages`, "0");
        expect(await numbers(proc, `${VM}/nr_hugepages`)).toEqual([0]);
        expect(Math.abs((await meminfo(proc, "MemFree")) - free)).toBeLessThan(64);
      },
      { memory: 64 << 20 },
    );
  });

  it("moves the watermarks with min_free_kbytes", async () => {
    await runInKernel(async (proc) => {
      const marks = async () =>
        [...(await readText(proc, "/proc/zoneinfo")).matchAll(/^ {8}min {6}(\d+)$/gm)]
          .map((m) => Number(m[1]))
          .reduce((a, b) => a + b, 0);
      const before = await marks();
      await write(proc, `${VM}/min_free_kbytes`, "2048");
      expect(await marks()).toBeGreaterThan(500);
      expect(await marks()).toBeLessThanOrEqual(512);
      expect(before).toBeLessThan(500);
    });
  });

  it("counts open files", async () => {
    await runInKernel(async (proc) => {
      const before = (await numbers(proc, `${FS}/file-nr`))[0] as number;
      const fds: number[] = [];
      for (let i = 0; i < 100; i++) fds.push(await proc.open("/dev/null", O_RDONLY));
      const [open, unused, most] = await numbers(proc, `${FS}/file-nr`);
      expect(open).toBe(before + 100);
      expect(unused).toBe(0);
      expect(await numbers(proc, `${FS}/file-max`)).toEqual([most]);
      for (const fd of fds) await proc.close(fd);
      expect((await numbers(proc, `${FS}/file-nr`))[0]).toBe(before);
    });
  });

  it("tells of mounts, and of free pages by migrate type", async () => {
    await runInKernel(async (proc) => {
      const info = (await readText(proc, "/proc/self/mountinfo")).trimEnd().split("\n");
      const mounts = (await readText(proc, "/proc/self/mounts")).trimEnd().split("\n");
      expect(info.map((line) => line.split(" ")[4])).toEqual(mounts.map((line) => line.split(" ")[1]));
      expect(info.every((line) => /^\d+ \d+ 0:\d+ \/ \/\S* r[wo] - \S+ \S+ r[wo]$/.test(line))).toBe(true);
      const ids = new Set(info.map((line) => line.split(" ")[0]));
      expect(info.every((line) => ids.has(line.split(" ")[1]))).toBe(true);

      const types = await readText(proc, "/proc/pagetypeinfo");
      const buddy = (await readText(proc, "/proc/buddyinfo")).trimEnd().split("\n");
      for (const line of buddy) {
        const [, zone, counts] = /zone +(\S+) +(.*)$/.exec(line.trimEnd()) as RegExpExecArray;
        const rows = [...types.matchAll(new RegExp(`zone +${zone}, type +\\S+ +(.*)$`, "gm"))];
        expect(rows).toHaveLength(6);
        const sums = rows
          .map((row) => (row[1] as string).trim().split(/\s+/).map(Number))
          .reduce((a, b) => a.map((n, i) => n + (b[i] as number)));
        const known = (counts as string).trim().split(/\s+/).map(Number);
        expect(sums).toHaveLength(known.length);
        // Reading one file and then the other moves a few pages.
        const pages = (orders: number[]) => orders.reduce((all, n, order) => all + (n << order), 0);
        expect(Math.abs(pages(sums) - pages(known))).toBeLessThan(64);
      }
    });
  });
});
