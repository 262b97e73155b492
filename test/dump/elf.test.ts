import { describe, expect, it } from "vitest";
import { AddressSpace } from "../../tools/dump/address-space.ts";
import { type ByteSource, MemoryBytes, readExactly } from "../../tools/dump/bytes.ts";
import { ElfCore } from "../../tools/dump/elf.ts";
import { DumpError } from "../../tools/dump/error.ts";
import {
  bytesOf,
  elfCore,
  foreignCore,
  type MockLoad,
  prstatusNote,
  vmcoreinfoNote,
} from "../support/vmcore.ts";

const fill = (size: number, byte: number) => new Uint8Array(size).fill(byte);
const load = (physical: number, data: Uint8Array, memorySize?: number): MockLoad => ({
  virtual: 0xffff888000000000n + BigInt(physical),
  physical: BigInt(physical),
  data,
  ...(memorySize === undefined ? {} : { memorySize }),
});
const open = (bytes: Uint8Array) => ElfCore.open(new MemoryBytes("core", bytes));
const edited = (bytes: Uint8Array, edit: (view: DataView) => void) => {
  const copy = bytes.slice();
  edit(new DataView(copy.buffer));
  return copy;
};
const PHDR1 = 64 + 56;

const plain = elfCore({
  notes: vmcoreinfoNote(["OSRELEASE=5.15.0-mock"]),
  loads: [load(0x1000, fill(0x2000, 1)), load(0x3000, fill(0x1000, 2)), load(0x8000, fill(0x1000, 3))],
});

describe("ElfCore", () => {
  it("reads headers, notes and memory, across loads that touch", async () => {
    const core = await open(plain);
    expect(core.problems).toEqual([]);
    expect(core.loads).toHaveLength(3);
    expect(core.vmcoreinfo.value("OSRELEASE")).toBe("5.15.0-mock");
    expect(core.ranges).toEqual([
      { start: 0x1000, end: 0x4000 },
      { start: 0x8000, end: 0x9000 },
    ]);
    expect([...(await core.read(0x2ffe, 4))]).toEqual([1, 1, 2, 2]);
    expect(await core.read(0x8fff, 0)).toHaveLength(0);
  });

  it("says which address is not in the dump", async () => {
    const core = await open(plain);
    await expect(core.read(0x3ffe, 4)).rejects.toThrow(/physical address 0x4000 is not in the dump/);
    await expect(core.read(2 ** 52, 8)).rejects.toThrow(DumpError);
    await expect(core.read(-1, 8)).rejects.toThrow(DumpError);
    await expect(core.read(0x1000, 2 ** 31)).rejects.toThrow(DumpError);
  });

  it("lets overlapping loads serve in the order of their addresses", async () => {
    const both = await open(
      elfCore({ loads: [load(0x2000, fill(0x1000, 2)), load(0x1000, fill(0x3000, 1))] }),
    );
    expect([...(await both.read(0x1fff, 2))]).toEqual([1, 1]);
    expect(both.ranges).toEqual([{ start: 0x1000, end: 0x4000 }]);
  });

  it("reads p_memsz beyond p_filesz as zero unless another load has the bytes", async () => {
    const core = await open(
      elfCore({ loads: [load(0x1000, fill(0x1000, 1), 0x4000), load(0x3000, fill(0x1000, 3))] }),
    );
    expect([...(await core.read(0x1fff, 2))]).toEqual([1, 0]);
    expect([...(await core.read(0x2fff, 2))]).toEqual([0, 3]);
    expect([...(await core.read(0x3fff, 2))]).toEqual([3, 0]);
    expect(await core.read(0x1000, 0x4000)).toHaveLength(0x4000);
  });

  it("reads what is there of a file that was cut off, and says where it ends", async () => {
    const core = await open(plain.subarray(0, plain.length - 0x800));
    expect(core.problems).toHaveLength(1);
    expect(core.problems[0]).toMatch(
      /program header 3: bytes 0x5000..0x6000 lie beyond the file's end at 0x5800/,
    );
    expect([...(await core.read(0x8000, 2))]).toEqual([3, 3]);
    await expect(core.read(0x8800, 1)).rejects.toThrow(/the file has 0x5800 bytes/);
  });

  it("reads alias headers whose p_paddr is all ones as loads without memory", async () => {
    const aliased = { ...load(0x1000, fill(0x1000, 1)), physical: 0xffffffffffffffffn };
    const core = await open(elfCore({ loads: [aliased, load(0x1000, fill(0x1000, 2))] }));
    expect(core.loads[0]?.physical).toBeNull();
    expect([...(await core.read(0x1000, 1))]).toEqual([2]);
  });

  it("takes the count of program headers from section header 0 when e_phnum is PN_XNUM", async () => {
    const section = plain.length;
    const long = new Uint8Array(section + 64);
    long.set(plain);
    const core = await open(
      edited(long, (view) => {
        view.setUint16(56, 0xffff, true);
        view.setBigUint64(40, BigInt(section), true);
        view.setUint32(section + 44, 4, true);
      }),
    );
    expect(core.loads).toHaveLength(3);
  });

  const refusals: [string, Uint8Array, RegExp][] = [
    ["an empty file", new Uint8Array(0), /the file has 0 bytes/],
    ["text", bytesOf("Lorem ipsum dolor sit amet"), /does not begin with ELF's magic number/],
    ["an unknown class", edited(plain, (v) => v.setUint8(4, 9)), /offset 0x4: ELF class 9, not 1 or 2/],
    ["an unknown byte order", edited(plain, (v) => v.setUint8(5, 3)), /offset 0x5: byte order 3/],
    ["another version", edited(plain, (v) => v.setUint8(6, 3)), /ELF version 3/],
    ["a vmlinux", edited(plain, (v) => v.setUint16(16, 2, true)), /ELF type 2, not a core \(4\)/],
    ["other program headers", edited(plain, (v) => v.setUint16(54, 32, true)), /program headers of 32 bytes/],
    ["no program headers", edited(plain, (v) => v.setUint16(56, 0, true)), /no program headers/],
    [
      "too many of them for the file",
      edited(plain, (v) => v.setUint16(56, 0xfffe, true)),
      /table of 65534 program headers/,
    ],
    [
      "a far e_phoff",
      edited(plain, (v) => v.setBigUint64(32, 1n << 40n, true)),
      /table of 4 program headers should lie/,
    ],
    [
      "an absurd e_phoff",
      edited(plain, (v) => v.setBigUint64(32, ~0n, true)),
      /e_phoff is 0xffffffffffffffff/,
    ],
    [
      "PN_XNUM without sections",
      edited(plain, (v) => v.setUint16(56, 0xffff, true)),
      /section header 0|program headers/,
    ],
    [
      "an absurd p_offset",
      edited(plain, (v) => v.setBigUint64(PHDR1 + 8, 1n << 63n, true)),
      /program header 1: p_offset/,
    ],
    [
      "an absurd p_memsz",
      edited(plain, (v) => v.setBigUint64(PHDR1 + 40, 1n << 60n, true)),
      /program header 1: p_memsz/,
    ],
    [
      "memory past the end",
      edited(plain, (v) => v.setBigUint64(PHDR1 + 40, (1n << 52n) - 1n, true)),
      /program header 1/,
    ],
    [
      "notes past the end",
      edited(plain, (v) => v.setBigUint64(64 + 32, 0x100000n, true)),
      /the notes of program header 0/,
    ],
    [
      "gigabytes of notes",
      edited(plain, (v) => v.setBigUint64(64 + 32, 1n << 32n, true)),
      /bytes of notes, more than/,
    ],
  ];
  it.each(refusals)("refuses %s, saying what is wrong", async (_name, bytes, message) => {
    await expect(open(bytes)).rejects.toThrow(message);
    await expect(open(bytes)).rejects.toBeInstanceOf(DumpError);
  });

  it.each([
    ["ELF32, little endian", 1, true, "arm", 40],
    ["ELF32, big endian", 1, false, "ppc", 20],
    ["ELF64, big endian", 2, false, "s390x", 22],
  ] as const)("reads the headers of %s", async (_name, elfClass, little, machine, number) => {
    const core = await open(foreignCore(elfClass, little, number));
    expect([core.machine, core.format]).toEqual([machine, `ELF${elfClass * 32} core`]);
    expect(core.vmcoreinfo.value("OSRELEASE")).toBe("6.1.0");
    expect(core.ranges).toEqual([{ start: 0x1000, end: 0x3000 }]);
    expect([...(await core.read(0x1ffe, 4))]).toEqual([7, 7, 0, 0]);
    expect(await core.pageState(1)).toBe("present");
    expect(await core.pageState(2)).toBe("excluded");
    expect(await core.pageState(3)).toBe("missing");
    expect(() => new AddressSpace(core)).toThrow(`made on ${machine}: virtual addresses are x86_64's only`);
  });

  it("takes the page size from VMCOREINFO", async () => {
    const notes = vmcoreinfoNote(["PAGESIZE=65536"]);
    expect((await open(elfCore({ notes, loads: [load(0, fill(16, 0))] }))).pageSize).toBe(65536);
    const wrong = vmcoreinfoNote(["PAGESIZE=65537"]);
    expect((await open(elfCore({ notes: wrong, loads: [load(0, fill(16, 0))] }))).pageSize).toBe(4096);
  });

  it("says which pages were cut off, and that makedumpfile did not finish", async () => {
    const cut = edited(plain, (view) => view.setUint32(48, 1, true)).subarray(0, plain.length - 0x800);
    const core = await open(cut);
    expect(core.problems[0]).toMatch(/could not write the whole dump/);
    expect(await core.pageState(8)).toBe("lost");
    expect(await core.pageState(3)).toBe("present");
  });

  it("refuses an absurd count in section header 0", async () => {
    const bytes = edited(plain, (view) => {
      view.setUint16(56, 0xffff, true);
      view.setBigUint64(40, 0x2000n, true);
      view.setUint32(0x2000 + 44, 0x7fffffff, true);
    });
    await expect(open(bytes)).rejects.toThrow(/2147483647 program headers, more than 262144/);
  });

  it("refuses bitmaps of memory that no file of its size is the dump of", async () => {
    const far = (physical: bigint, memorySize: number) =>
      open(elfCore({ loads: [{ virtual: 0n, physical, data: fill(0x1000, 1), memorySize }] }));
    for (const core of [await far(2n ** 51n, 0x1000), await far(0n, 2 ** 50)]) {
      await expect(core.pages()).rejects.toThrow(
        /memory up to 0x[48]000000\d+, of which the file has 0x\w+ bytes/,
      );
    }
    // What is there can be read all the same; and a hole of half a terabyte is none too many.
    const apart = await far(2n ** 39n, 0x1000);
    expect((await apart.pages()).dumped.count()).toBe(1);
    expect(await (await far(2n ** 51n, 0x1000)).read(2 ** 51, 4)).toEqual(fill(4, 1));
  });

  it("misses VMCOREINFO only when it is asked for", async () => {
    const core = await open(elfCore({ notes: prstatusNote(1), loads: [load(0, fill(16, 0))] }));
    expect(core.notes).toHaveLength(1);
    expect(() => core.vmcoreinfo).toThrow(/no VMCOREINFO note/);
  });

  it("tells of p_filesz larger than p_memsz", async () => {
    const core = await open(elfCore({ loads: [load(0x1000, fill(0x1000, 1), 0x800)] }));
    expect(core.problems[0]).toContain("p_filesz 0x1000 is larger than p_memsz 0x800");
  });
});

describe("readExactly", () => {
  it("puts short reads together and does not wait for a source that stopped", async () => {
    const slow: ByteSource = {
      name: "slow",
      size: 100,
      async pread(buffer, offset) {
        if (offset >= 50) return 0;
        buffer[0] = offset;
        return 1;
      },
    };
    expect([...(await readExactly(slow, 10, 3, "three bytes"))]).toEqual([10, 11, 12]);
    await expect(readExactly(slow, 48, 4, "four bytes")).rejects.toThrow(
      /reading four bytes stopped at 0x32/,
    );
  });
});
