/** What init does to memory before the crash: --fill, and the little that is there without it. */
import { describe, expect, it } from "vitest";
import { FILL_PARAMETER, fillMemory, MIX_KINDS } from "../../tools/init/fill.ts";
import { bootDump } from "../support/boot.ts";
import { FakeProc } from "../support/fake-proc.ts";

const meminfo = (total: number, free: number): string =>
  `MemTotal: ${String(total * 4).padStart(8)} kB\nMemFree: ${String(free * 4).padStart(8)} kB\n`;

function machine(seed: number, total = 10_000, free = 9_000): FakeProc {
  const proc = new FakeProc(["init"]);
  proc.put("/proc/meminfo", meminfo(total, free));
  proc.put("/dev/urandom", new Uint8Array([seed, 1, 2, 3]));
  proc.put("/dev/ram0", "");
  proc.directories.add("/");
  return proc;
}

const sizes = (proc: FakeProc): number[] => [
  ...[...proc.files].filter(([path]) => path.startsWith("/tmp/")).map(([, bytes]) => bytes.length),
  proc.files.get("/dev/ram0")!.length,
  ...proc.heap.map((bytes) => bytes.length),
];

describe("fillMemory", () => {
  it("writes a little of each kind by default, less on a small machine", async () => {
    const large = machine(1);
    await fillMemory(large, undefined);
    expect(large.files.get("/dev/ram0")!.length).toBe(96 * 4096);
    expect(large.heap.map(({ length }) => length)).toEqual([96 * 4096]);
    const small = machine(1, 700, 640);
    await fillMemory(small, undefined);
    expect(small.heap.map(({ length }) => length)).toEqual([10 * 4096]);
  });

  it("is the same for the same seed and another for another", async () => {
    const run = async (seed: number): Promise<FakeProc> => {
      const proc = machine(seed);
      await fillMemory(proc, undefined);
      return proc;
    };
    const [a, b, c] = [await run(1), await run(1), await run(2)];
    const bytes = (proc: FakeProc): Buffer =>
      Buffer.concat([
        ...proc.heap,
        proc.files.get("/dev/ram0")!,
        proc.files.get("/tmp/fill-0") ?? Buffer.of(),
      ]);
    expect(bytes(a).equals(bytes(b))).toBe(true);
    expect(bytes(a).equals(bytes(c))).toBe(false);
  });

  it("mixes pages of text, zeros and random data", async () => {
    const proc = machine(3);
    await fillMemory(proc, undefined);
    const kinds = { text: 0, zero: 0, random: 0 };
    const bytes = proc.files.get("/dev/ram0")!;
    for (let at = 0; at < bytes.length; at += 4096) {
      const page = bytes.subarray(at, at + 4096);
      if (page.every((byte) => byte === 0)) kinds.zero++;
      else if (page.every((byte) => byte === 32 || (byte >= 97 && byte <= 122))) kinds.text++;
      else kinds.random++;
    }
    expect(Math.min(kinds.text, kinds.zero, kinds.random)).toBeGreaterThan(8);
  });

  it("leaves the kernel's own pages in no page cache, behind the swap area", async () => {
    const swap = 100;
    const proc = machine(1);
    proc.put(
      "/proc/meminfo",
      `${meminfo(10_000, 9_000)}SwapTotal: ${swap * 4} kB\nSwapFree: ${swap * 4} kB\n`,
    );
    proc.put("/dev/ram1", "");
    proc.put("/proc/sys/vm/drop_caches", "");
    const kernel = MIX_KINDS.map((kind) => (kind === "kernel" ? 1 : 0));
    await fillMemory(proc, undefined, kernel);
    const disk = proc.files.get("/dev/ram1")!;
    expect(disk.length).toBe((swap + 1 + 96) * 4096);
    expect(disk.subarray(0, (swap + 1) * 4096).every((byte) => byte === 0)).toBe(true);
    expect(proc.log).toEqual(["fsync /dev/ram1"]);
    expect(proc.text("/proc/sys/vm/drop_caches")).toBe("1\n");
    expect(proc.files.get("/dev/ram0")!.length).toBe(0);
    expect(proc.heap).toEqual([]);
  });

  it("does nothing when so much is in use already, and tells when memory ends", async () => {
    const full = machine(1, 10_000, 3_000);
    await fillMemory(full, 60);
    expect(sizes(full)).toEqual([0]);
    const short = machine(1);
    short.failures.set("brk", "ENOMEM");
    await fillMemory(short, 60);
    expect(short.console).toContain("init: filling memory: brk: ENOMEM");
    expect(short.heap).toEqual([]);
  });
});

describe("boot --fill", () => {
  it.each([10, 50, 90])("leaves %i percent of 32M in use", (percent) => {
    const dump = bootDump(["--memory", "32M", "--seed", "5", "--fill", `${percent}%`]);
    try {
      const total = Number(/Memory: \d+K\/(\d+)K available/.exec(dump.dmesg)?.[1]) / 4;
      const used = 100 * (1 - dump.json.pages.free / total);
      expect(used).toBeGreaterThan(percent - 5);
      expect(used).toBeLessThan(Math.max(percent + 15, 25));
      expect(dump.dmesg).toContain(`${FILL_PARAMETER}=${percent}`);
    } finally {
      dump.remove();
    }
  });

  it("fills memory with pages that no level leaves out, when asked for the kernel's", () => {
    const shape = ["--memory", "32M", "--seed", "5", "--fill", "60"];
    const dump = bootDump([...shape, "--mix", "kernel=1"]);
    const { total, free, cache, cache_private, user } = dump.json.pages;
    expect(cache + cache_private + user + free).toBeLessThan(total * 0.45);
    expect(dump.dmesg.match(/init \(1\): drop_caches: /g)).toHaveLength(1);
    dump.remove();
    const swapping = bootDump([...shape, "--swap", "4M", "--mix", "kernel=1,user=1"]);
    expect(swapping.json.outcome).toBe("captured");
    expect(swapping.dmesg).not.toMatch(/filling memory|Bad swap/);
    swapping.remove();
  });

  it("ends short of what cannot be had, with a dump all the same", () => {
    const dump = bootDump(["--memory", "8M", "--seed", "1", "--fill", "95"]);
    expect(dump.json.outcome).toBe("captured");
    dump.remove();
  });
});
