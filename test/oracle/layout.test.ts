/** The vmcore's layout is the one that every tool needs (docs and tests of the stock tools rest on it). */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AddressSpace } from "../../tools/dump/address-space.ts";
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import { ElfCore } from "../../tools/dump/elf.ts";
import { EM_X86_64, ET_CORE, PT_LOAD, PT_NOTE } from "../../tools/dump/elf-header.ts";
import { readPrstatus } from "../../tools/dump/notes.ts";
import { type BootDump, bootDump } from "../support/boot.ts";
import { textOf } from "../support/vmcore.ts";
import { MACHINES } from "./matrix.ts";

const LOW_END = 0xa0000;
const HIGH_START = 0x100000;
const IMAGE = 0xffffffff80100000n;
const DIRECT_MAP = 0xffff888000000000n;

describe.each(MACHINES.filter(({ memory }) => memory <= 64 << 20))("the vmcore of $name", (machine) => {
  let dump: BootDump;
  let bytes: Uint8Array;
  let core: ElfCore;
  beforeAll(async () => {
    dump = bootDump(machine.flags);
    bytes = readFileSync(dump.vmcore);
    core = await ElfCore.open(new MemoryBytes(dump.vmcore, bytes));
  });
  afterAll(() => dump?.remove());

  it("begins with the header of an x86_64 core without sections", () => {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    expect(view.getUint16(16, true)).toBe(ET_CORE);
    expect(view.getUint16(18, true)).toBe(EM_X86_64);
    expect([view.getBigUint64(24, true), view.getBigUint64(40, true)]).toEqual([0n, 0n]);
    expect([view.getUint16(58, true), view.getUint16(60, true)]).toEqual([0, 0]);
    expect(core.problems).toEqual([]);
  });

  it("has one PT_NOTE, first, and loads that lie one behind the other in file and memory", () => {
    expect(core.segments[0]?.type).toBe(PT_NOTE);
    expect(core.segments.slice(1).map((s) => s.type)).toEqual(core.segments.slice(1).map(() => PT_LOAD));
    let end = 0;
    for (const load of core.loads) {
      expect(load).toMatchObject({ flags: 7, align: 0n, fileSize: load.memorySize });
      expect(load.offset % 4096).toBe((load.physical ?? 0) % 4096);
      expect(load.physical).toBeGreaterThanOrEqual(end);
      end = (load.physical ?? 0) + load.memorySize;
    }
    const last = core.loads.at(-1);
    expect(bytes.length).toBe((last?.offset ?? 0) + (last?.fileSize ?? 0));
  });

  it("maps the kernel's image where it is linked, the rest in the direct map", () => {
    const image = core.loads.filter((load) => load.virtual >= 0xffffffff80000000n);
    expect(image).toHaveLength(1);
    expect(image[0]).toMatchObject({ virtual: IMAGE, physical: HIGH_START });
    for (const load of core.loads) {
      if (load !== image[0]) expect(load.virtual).toBe(DIRECT_MAP + BigInt(load.physical ?? 0));
    }
  });

  it("holds the low 640 KiB and all memory above 1 MiB but the crash region and the firmware's own", () => {
    const { base, size } = dump.json.crashkernel;
    expect(size).toBe(machine.crashkernel.size);
    if (machine.crashkernel.base !== undefined) expect(base).toBe(machine.crashkernel.base);
    expect(base % 0x10000).toBe(0);
    // One byte a page, rounded up to 64 KiB, is the firmware's.
    const firmware = Math.ceil(machine.memory / 4096 / 0x10000) * 0x10000;
    const top = machine.memory - firmware;
    const expected = [
      // Linux on x86 takes page 0 away from memory (trim_bios_range), and so out of every dump.
      { start: 0x1000, end: LOW_END },
      { start: HIGH_START, end: base },
      { start: base + size, end: top },
    ];
    expect(core.ranges).toEqual(expected.filter(({ start, end }) => end > start));
  });

  it("has the low memory of the crashed kernel, not what the capture kernel found there", async () => {
    // The firmware left the command line at 0x20000; after purgatory the runtime scribbles over this range.
    const line = textOf(await core.read(0x20000, 256));
    expect(line).toContain(machine.flags[machine.flags.indexOf("--append") + 1]);
  });

  it("has a register note for each CPU and VMCOREINFO", () => {
    const [first] = core.notes;
    const status = first && readPrstatus(first);
    expect(status?.pid).toBeGreaterThan(0);
    expect(status?.registers.ip).toBeGreaterThan(IMAGE);
    expect(core.notes.map((note) => [note.name, note.type])).toEqual([
      ["CORE", 1],
      ["VMCOREINFO", 0],
    ]);
    const { text } = core.vmcoreinfo;
    expect(text.endsWith("\n")).toBe(true);
    for (const line of text.trimEnd().split("\n")) expect(line).toMatch(/^[A-Z-]+(\([\w.]+\))?=[\w.+-]*$/);
    expect(core.vmcoreinfo.value("OSRELEASE")).toMatch(/^5\.15\.0-\w+/);
    expect(core.vmcoreinfo.value("CRASHTIME")).toMatch(/^\d+$/);
  });

  it("has page tables that agree with the arithmetic, and map the page structs", async () => {
    const space = new AddressSpace(core);
    const symbols = core.vmcoreinfo.keys.filter((key) => key.startsWith("SYMBOL("));
    expect(symbols.length).toBeGreaterThan(5);
    for (const key of symbols) {
      const address = core.vmcoreinfo.symbol(key.slice("SYMBOL(".length, -1));
      expect((await space.walk(address)).physical).toBe((await space.translate(address)).physical);
    }
    for (const { start, end } of core.ranges) {
      for (const at of [start, end - 4096]) {
        expect((await space.walk(DIRECT_MAP + BigInt(at))).physical).toBe(at);
        const page = 0xffffea0000000000n + BigInt(at / 4096) * 64n;
        await expect(space.read(page, 64)).resolves.toHaveLength(64);
      }
    }
  });
});
