/** What the words wkdump.hwpoison= and wkdump.balloon= make init do, and what becomes of it. */
import { describe, expect, it } from "vitest";
import { dumpedRanges, prepareMemory } from "../../tools/init/memory.ts";
import { bootDump } from "../support/boot.ts";
import { FakeProc } from "../support/fake-proc.ts";

const IOMEM = `00000000-00000fff : Reserved
00001000-0009ffff : System RAM
00100000-01feffff : System RAM
  00100000-001fffff : Kernel code
  01e00000-01efffff : Crash kernel
01ff0000-01ffffff : Reserved
`;

describe("dumpedRanges", () => {
  it("is System RAM above 1 MiB around the crash region", () => {
    expect(dumpedRanges(IOMEM)).toEqual([
      { start: 0x100000, end: 0x1e00000 },
      { start: 0x1f00000, end: 0x1ff0000 },
    ]);
    expect(dumpedRanges("00100000-01feffff : System RAM\n  00100000-01feffff : Crash kernel\n")).toEqual([]);
    expect(dumpedRanges("")).toEqual([]);
  });
});

describe("prepareMemory", () => {
  const machine = (): FakeProc => {
    const proc = new FakeProc(["init"]);
    proc.put("/proc/meminfo", "MemTotal: 8000 kB\nMemFree: 4000 kB\n");
    proc.put("/dev/urandom", "seed");
    proc.put("/dev/ram0", "");
    proc.put("/proc/iomem", IOMEM);
    proc.put("/sys/devices/system/memory/hard_offline_page", "");
    proc.put("/sys/devices/virtio0/num_pages", "");
    return proc;
  };

  it("asks the kernel for what the command line says", async () => {
    const proc = machine();
    await prepareMemory(proc, ["quiet", "wkdump.balloon=7", "wkdump.hwpoison=1"]);
    expect(proc.text("/sys/devices/virtio0/num_pages")).toBe("7\n");
    expect(proc.text("/sys/devices/system/memory/hard_offline_page")).toMatch(/^0x[0-9a-f]+000\n$/);
  });

  it("leaves both alone otherwise, and says so when the kernel has none", async () => {
    const proc = machine();
    await prepareMemory(proc, ["wkdump.balloon=many"]);
    expect(proc.text("/sys/devices/virtio0/num_pages")).toBe("");
    proc.files.delete("/sys/devices/virtio0/num_pages");
    await prepareMemory(proc, ["wkdump.balloon=1"]);
    expect(proc.console).toContain("preparing memory: open /sys/devices/virtio0/num_pages: ENOENT");
  });
});

describe("boot with pages gone", () => {
  it("takes them out of free memory and tells what became of each", () => {
    const flags = ["--memory", "32M", "--seed", "1"];
    const whole = bootDump(flags);
    const less = bootDump([...flags, "--append", "hugepages=2 wkdump.hwpoison=20 wkdump.balloon=100"]);
    whole.remove();
    less.remove();
    const { pages } = less.json;
    expect(pages.offline).toBe(100);
    expect(pages.hwpoison).toBeGreaterThanOrEqual(20);
    expect(less.dmesg).toContain("HugeTLB registered 2.00 MiB page size, pre-allocated 2 pages");
    expect(less.dmesg).toMatch(/Memory failure: 0x[0-9a-f]+: recovery action for free buddy page: Recovered/);
    const lost = whole.json.pages.free - pages.free;
    expect(lost).toBeGreaterThanOrEqual(pages.offline);
  });

  it("takes all huge pages that it can get, and says how many", () => {
    const dump = bootDump(["--memory", "16M", "--seed", "1", "--append", "hugepages=100"]);
    dump.remove();
    const got = /allocating 100 of page size 2.00 MiB failed. {2}Only allocated (\d+) hugepages/.exec(
      dump.dmesg,
    );
    expect(Number(got?.[1])).toBeGreaterThan(0);
    expect(dump.json.pages.user).toBeGreaterThanOrEqual(Number(got?.[1]) * 512);
  });
});
