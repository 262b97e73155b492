/** Kdump-compressed dumps, split sets and flattened files: what the writers write the readers read. */
import { describe, expect, it } from "vitest";
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import type { Codec } from "../../tools/dump/codecs.ts";
import { kdumpImage } from "../../tools/dump/describe.ts";
import { type Field, setField } from "../../tools/dump/elf-header.ts";
import { KdumpCore } from "../../tools/dump/kdump.ts";
import { KDUMP_I386, KDUMP32, KDUMP64, type KdumpLayout } from "../../tools/dump/kdump-header.ts";
import { dmesgText, kernelLog } from "../../tools/dump/kernel-log.ts";
import type { KernelDump } from "../../tools/dump/memory-source.ts";
import { openDump } from "../../tools/dump/open.ts";
import { type CompressOptions, compressed, UTSNAME } from "../support/dumps.ts";
import { MOCK, mockLogBuf, mockPrb, writePrintkLog } from "../support/log.ts";
import { describeStock, stock } from "../support/stock.ts";
import { bytesOf, concat, seededRandom, vmcoreinfoNote } from "../support/vmcore.ts";

const RECORDS = 90;
const kernel = mockPrb({ countBits: 6, sizeBits: 12 });
for (let n = 0; n < RECORDS; n++) kernel.log.add(`message ${n}`, { ts_nsec: BigInt(n) * 1000n });
const random = seededRandom(3);
for (let at = 0xa0000; at < 0xb0000; at++) kernel.memory.bytes[at] = random(256);
const memory = kernel.memory.bytes;
const core = kernel.build();
const PAGES = MOCK.memorySize / 4096;
const RANDOM_PFN = 0xa0;

const open = (...files: Uint8Array[]) =>
  openDump(files.map((bytes, index) => new MemoryBytes(`dump${index}`, bytes)));
const edited = (bytes: Uint8Array, edit: (view: DataView) => void) => {
  const copy = bytes.slice();
  edit(new DataView(copy.buffer));
  return copy;
};

async function logOf(dump: KernelDump): Promise<string> {
  let text = "";
  for await (const record of kernelLog(dump).records((problem) => expect(problem).toBe(""))) {
    text += dmesgText(record);
  }
  return text;
}

/** Every page of the dump that is there has the memory's bytes; the numbers of those that are not. */
async function absent(dump: KernelDump): Promise<number[]> {
  const found: number[] = [];
  for (let pfn = 0; pfn < PAGES; pfn++) {
    const state = await dump.pageState(pfn);
    if (state !== "present" && state !== "zero") found.push(pfn);
    else {
      const page = await dump.read(pfn * 4096, 4096);
      expect(Buffer.compare(page, memory.subarray(pfn * 4096, (pfn + 1) * 4096))).toBe(0);
    }
  }
  return found;
}

const wanted = await logOf(await open(core));

describe("a kdump-compressed dump", () => {
  it.each([null, "zlib", "lzo", "snappy"] as const)("by %s has all pages and the log", async (codec) => {
    for (const level of [0, 1]) {
      const dump = await open(await compressed(core, { codec, level }));
      expect(await absent(dump)).toEqual([]);
      expect(await logOf(dump)).toBe(wanted);
      expect([dump.format, dump.machine]).toEqual(["kdump-compressed dump version 6", "x86_64"]);
      expect([dump.end, dump.pageSize, dump.dumpLevel]).toEqual([MOCK.memorySize, 4096, level]);
      expect(await dump.held()).toBe(MOCK.memorySize);
      expect(dump.problems).toEqual([]);
    }
  });

  it("reads across pages, in any order", async () => {
    const dump = await open(await compressed(core));
    const numbers = seededRandom(8);
    for (let n = 0; n < 200; n++) {
      const at = numbers(MOCK.memorySize - 20000);
      const length = numbers(20000);
      expect(Buffer.compare(await dump.read(at, length), memory.subarray(at, at + length))).toBe(0);
    }
  });

  it("tells zero pages from those that were excluded and those that are no memory", async () => {
    const exclude = [3, 7, PAGES - 1];
    const dump = await open(await compressed(core, { exclude, level: 31 }));
    const state = (pfn: number) => dump.pageState(pfn);
    expect(await absent(dump)).toEqual(exclude);
    expect([await state(3), await state(PAGES), await state(1e12)]).toEqual([
      "excluded",
      "missing",
      "missing",
    ]);
    expect([await state(RANDOM_PFN), await state(0)]).toEqual(["present", "zero"]);
    await expect(dump.read(3 * 4096, 8)).rejects.toThrow(
      /physical address 0x3000 was excluded from the dump \(dump level 31\)/,
    );
    await expect(dump.read(MOCK.memorySize, 8)).rejects.toThrow(/0x100000 is not in the dump/);
    expect(await dump.held()).toBe((PAGES - 3) * 4096);
  });

  it("is written again from itself to the same bytes", async () => {
    const first = await compressed(core, { exclude: [3], codec: null });
    const dump = await open(first);
    expect(await kdumpImage(dump, 0)).toMatchObject({ utsname: UTSNAME, dumpLevel: 1, nrCpus: 1 });
    expect(Buffer.compare(await compressed(first, { codec: null }), first)).toBe(0);
  });

  it("has the log in each of its three forms", async () => {
    const records = mockLogBuf(512, ["log_buf", "log_buf_len", "log_first_idx", "log_next_idx"]);
    records.lines.push(
      "SIZE(printk_log)=16",
      "OFFSET(printk_log.ts_nsec)=0",
      "OFFSET(printk_log.len)=8",
      "OFFSET(printk_log.text_len)=10",
    );
    const texts = Array.from({ length: 12 }, (_, n) => ({ text: `record ${n}`, ts_nsec: BigInt(n) }));
    records.memory.u32(MOCK.logFirst, 400);
    records.memory.u32(MOCK.logNext, writePrintkLog(records.memory, MOCK.text, 512, 400, texts));
    const characters = mockLogBuf(256, ["log_buf", "log_buf_len", "log_end", "logged_chars"]);
    for (let n = 0; n < 256; n++) characters.memory.bytes[MOCK.text + n] = 0x61 + (n % 26);
    characters.memory.u32(MOCK.logEnd, 1000);
    for (const made of [records, characters]) {
      const elf = made.build();
      const text = await logOf(await open(elf));
      expect(text.length).toBeGreaterThan(250);
      expect(await logOf(await open(await compressed(elf)))).toBe(text);
    }
  });
});

describe("older header versions", () => {
  it.each([1, 2, 3, 4, 5])("version %i", async (version) => {
    const whole = await compressed(core);
    const bytes = edited(whole, (view) => {
      setField(view, KDUMP64.header.version, 0, version);
      for (const [field, since] of Object.values(KDUMP64.sub)) {
        // What the version does not have may be anything.
        if (since > version) setField(view, field, 4096, field[1] === 8 ? 0x1122334455667788n : 0x11223344);
      }
    });
    const dump = await open(bytes);
    expect(await absent(dump)).toEqual([]);
    expect(dump.notes.length).toBe(version < 4 ? 0 : 2);
    if (version < 3) expect(() => dump.vmcoreinfo).toThrow(/no VMCOREINFO note/);
    else expect(await logOf(dump)).toBe(wanted);
  });
});

/** A dump of another machine: three pages, the second of which is excluded. */
function foreign(layout: KdumpLayout, little: boolean, machine: string): Uint8Array {
  const bytes = new Uint8Array(0x8000);
  const view = new DataView(bytes.buffer);
  const put = ([offset, size]: Field, base: number, value: number) => {
    if (size === 2) view.setUint16(base + offset, value, little);
    else if (size === 4) view.setUint32(base + offset, value, little);
    else view.setBigUint64(base + offset, BigInt(value), little);
  };
  bytes.set(bytesOf("KDUMP   "));
  bytes.set(bytesOf(machine), 12 + 4 * 65);
  const { header, sub } = layout;
  const info = vmcoreinfoNote(["OSRELEASE=6.1.0"]).subarray(24);
  const infoAt = 0x1800;
  put(header.version, 0, 6);
  put(header.blockSize, 0, 4096);
  put(header.subHdrSize, 0, 1);
  put(header.bitmapBlocks, 0, 2);
  put(header.maxMapnr, 0, 3);
  put(header.nrCpus, 0, 4);
  put(sub.dumpLevel[0], 4096, 30);
  put(sub.offsetVmcoreinfo[0], 4096, infoAt);
  put(sub.sizeVmcoreinfo[0], 4096, info.length);
  put(sub.maxMapnr64[0], 4096, 3);
  bytes.set(info, infoAt);
  bytes[0x2000] = 0b111;
  bytes[0x3000] = 0b101;
  for (const [index, offset] of [0x5000, 0x6000].entries()) {
    const at = 0x4000 + index * 24;
    put([0, 8], at, offset);
    put([8, 4], at, 4096);
    bytes.fill(index + 1, offset, offset + 4096);
  }
  return bytes;
}

describe("dumps of other machines", () => {
  it.each([
    ["i686", KDUMP_I386, true],
    ["armv7l", KDUMP32, true],
    ["ppc", KDUMP32, false],
    ["s390x", KDUMP64, false],
    ["aarch64", KDUMP64, true],
  ] as const)("%s", async (machine, layout, little) => {
    const dump = await open(foreign(layout, little, machine));
    expect([dump.machine, dump.dumpLevel, dump.header?.nrCpus]).toEqual([machine, 30, 4]);
    expect(dump.vmcoreinfo.value("OSRELEASE")).toBe("6.1.0");
    const states = await Promise.all([0, 1, 2, 3].map((pfn) => dump.pageState(pfn)));
    expect(states).toEqual(["present", "excluded", "present", "missing"]);
    expect([...(await dump.read(0x2000, 2))]).toEqual([2, 2]);
    expect(() => kernelLog(dump)).toThrow(`made on ${machine}`);
  });
});

describeStock(["gcc"], "the structs of the header", () => {
  const C = `struct header { char signature[8]; int version; char utsname[6][65];
  struct { long seconds, microseconds; } timestamp;
  unsigned status; int blockSize, subHdrSize; unsigned bitmapBlocks, maxMapnr, totalRamBlocks, deviceBlocks,
  writtenBlocks, currentCpu; int nrCpus; };
struct sub { unsigned long physBase; int dumpLevel, split; unsigned long startPfn, endPfn;
  long long offsetVmcoreinfo; unsigned long sizeVmcoreinfo; long long offsetNote; unsigned long sizeNote;
  long long offsetEraseinfo; unsigned long sizeEraseinfo;
  unsigned long long startPfn64, endPfn64, maxMapnr64; };
#define TRUE(what, name) _Static_assert(what, #name);
#define AT(s, m, o, n) TRUE(__builtin_offsetof(struct s, m) == o && sizeof ((struct s *)0)->m == n, m)
#define SIZE(s, n) TRUE(sizeof(struct s) == n, s)
`;
  it.each([
    ["x86_64", KDUMP64, ["-m64"]],
    ["i386", KDUMP_I386, ["-m32"]],
    ["machines that align 64 bits to 8", KDUMP32, ["-m32", "-malign-double"]],
  ] as const)("are a C compiler's: %s", (_name, layout, flags) => {
    const member = (name: string) => (/seconds$/.test(name) ? `timestamp.${name}` : name);
    const header = Object.entries(layout.header).map(
      ([name, [at, size]]) => `AT(header, ${member(name)}, ${at}, ${size})`,
    );
    const sub = Object.entries(layout.sub).map(([name, [[at, size]]]) => `AT(sub, ${name}, ${at}, ${size})`);
    const sizes = `SIZE(header, ${layout.headerSize})\nSIZE(sub, ${layout.subHeaderSize})`;
    expect([header.length, sub.length]).toEqual([13, 14]);
    const input = `${C}${[...header, ...sub].join("\n")}\n${sizes}\n`;
    const { status, output } = stock("gcc", [...flags, "-fsyntax-only", "-x", "c", "-"], { input });
    expect([status, output]).toEqual([0, ""]);
  });
});

describe("a split set", () => {
  const parts = (codec: Codec | null, ...cuts: number[]) =>
    Promise.all(
      cuts.map((startPfn, index) =>
        compressed(core, { codec, split: { startPfn, endPfn: cuts[index + 1] ?? PAGES } }),
      ),
    );

  it("is one dump, in whatever order its files come", async () => {
    const files = await parts("lzo", 0, 100, 101, 180);
    for (const order of [
      [0, 1, 2, 3],
      [3, 1, 0, 2],
    ]) {
      const dump = await open(...order.map((index) => files[index]!));
      expect(await absent(dump)).toEqual([]);
      expect(await logOf(dump)).toBe(wanted);
      expect(dump.format).toBe("kdump-compressed dump version 6, split into 4 files");
      const at = 99 * 4096 + 5;
      expect(Buffer.compare(await dump.read(at, 0x60000), memory.subarray(at, at + 0x60000))).toBe(0);
    }
  });

  it("without one of its files says which pages are lost", async () => {
    const files = await parts("lzo", 0, 100, 200);
    const dump = await open(files[0]!, files[2]!);
    expect(await dump.pageState(150)).toBe("lost");
    await expect(dump.read(150 * 4096, 8)).rejects.toThrow(/page 0x96 is in another file of the split set/);
    const [alone] = [await open(files[1]!)];
    expect(await absent(alone)).toEqual([
      ...Array(100).keys(),
      ...Array.from({ length: 56 }, (_, n) => 200 + n),
    ]);
  });

  it("refuses files that are no set", async () => {
    const files = await parts("lzo", 0, 100);
    const whole = await compressed(core);
    const other = await compressed(core, {
      split: { startPfn: 100, endPfn: PAGES },
      image: { timestamp: { seconds: 5n, microseconds: 0n } },
    });
    await expect(open(files[0]!, files[0]!)).rejects.toThrow(
      /dump1: has pages 0x0..0x64, others end at 0x64/,
    );
    await expect(open(files[0]!, whole)).rejects.toThrow(/dump1: is no file of a split set/);
    await expect(open(files[0]!, other)).rejects.toThrow(/dump1: is of another dump/);
    await expect(open(files[0]!, core)).rejects.toThrow(/dump1: ELF64 core: only kdump-compressed dumps/);
    await expect(openDump([])).rejects.toThrow(/a dump has one file or more/);
  });
});

describe("an incomplete dump", () => {
  it("says so, and which pages were never written", async () => {
    const whole = await compressed(core, { level: 0 });
    const descriptors = 4096 * 4;
    const bytes = edited(whole, (view) => {
      setField(view, KDUMP64.header.status, 0, 2 | 8);
      for (let pfn = 200; pfn < PAGES; pfn++) view.setBigUint64(descriptors + pfn * 24, 0n, true);
    });
    const dump = await open(bytes);
    expect(dump.problems).toEqual([expect.stringMatching(/the dump is incomplete \(status 8\)/)]);
    expect([await dump.pageState(199), await dump.pageState(200)]).toEqual(["present", "lost"]);
    await expect(dump.read(200 * 4096, 8)).rejects.toThrow(/offset 0x52c0: .* page 0xc8 was never written/);
    expect(await logOf(dump)).toBe(wanted);
  });

  it("that was cut off has what stands before the cut", async () => {
    const whole = await compressed(core, { level: 0, codec: null });
    const dump = await open(whole.subarray(0, whole.length - 10 * 4096));
    expect(await absent(dump)).toEqual(Array.from({ length: 10 }, (_, n) => PAGES - 10 + n));
    await expect(dump.read((PAGES - 1) * 4096, 8)).rejects.toThrow(
      /page 0xff should lie at 0x\w+..0x\w+, but/,
    );
  });
});

describe("damage", () => {
  const { header, sub } = KDUMP64;
  const cases: readonly [string, CompressOptions, (view: DataView) => void, RegExp][] = [
    [
      "a version of the future",
      {},
      (v) => setField(v, header.version, 0, 7),
      /offset 0x8: header version 7: expected 0 to 6/,
    ],
    [
      "no page size",
      {},
      (v) => setField(v, header.blockSize, 0, 1000),
      /offset 0x1ac: block_size 1000: expected a power/,
    ],
    ["no sub header", {}, (v) => setField(v, header.subHdrSize, 0, 0), /offset 0x1b0: sub_hdr_size 0/],
    ["an odd bitmap", {}, (v) => setField(v, header.bitmapBlocks, 0, 3), /offset 0x1b4: bitmap_blocks 3/],
    [
      "a long bitmap",
      {},
      (v) => setField(v, header.bitmapBlocks, 0, 2e9),
      /offset 0x1b4: bitmap_blocks 2000000000: the bit/,
    ],
    [
      "more pages than bits",
      {},
      (v) => setField(v, sub.maxMapnr64[0], 4096, 40000),
      /offset 0x1060: max_mapnr 0x9c40: expected at most 0x8000/,
    ],
    [
      "an absurd number",
      {},
      (v) => setField(v, sub.maxMapnr64[0], 4096, 2n ** 63n),
      /offset 0x1060: maxMapnr64 of the sub header is 0x80/,
    ],
    [
      "notes elsewhere",
      {},
      (v) => setField(v, sub.offsetNote[0], 4096, 2n ** 40n),
      /offset 0x1030: the notes should lie at 0x10000000000/,
    ],
    [
      "gigabytes of VMCOREINFO",
      {},
      (v) => setField(v, sub.sizeVmcoreinfo[0], 4096, 2n ** 30n),
      /offset 0x1028|offset 0x1020: VMCOREINFO/,
    ],
  ];
  it.each(cases)("of the header: %s", async (_name, options, edit, message) => {
    await expect(open(edited(await compressed(core, options), edit))).rejects.toThrow(message);
  });

  const descriptor = 4 * 4096 + RANDOM_PFN * 24;
  const pages: readonly [string, (view: DataView) => void, RegExp][] = [
    [
      "flags of no codec",
      (v) => v.setUint32(descriptor + 12, 64, true),
      /offset 0x4f00: .* has flags 0x40: expected 0, 1, 2, 4 or 0x20/,
    ],
    [
      "a long page",
      (v) => v.setUint32(descriptor + 8, 4097, true),
      /offset 0x4f00: .* has size 4097: expected 4096/,
    ],
    ["a page of nothing", (v) => v.setUint32(descriptor + 8, 0, true), /has size 0/],
    [
      "data elsewhere",
      (v) => v.setBigUint64(descriptor, 2n ** 60n, true),
      /page 0xa0 should lie at 0x10000000000000/,
    ],
    [
      "data of another codec",
      (v) => v.setUint32(descriptor + 12, 32, true),
      /page 0xa0: these 4096 bytes are no zstd data of 4096 bytes/,
    ],
  ];
  it.each(pages)("of a page: %s", async (_name, edit, message) => {
    const dump = await open(edited(await compressed(core), edit));
    await expect(dump.read(RANDOM_PFN * 4096, 8)).rejects.toThrow(message);
    expect(await logOf(dump)).toBe(wanted);
  });

  it("of an address: far beyond all memory it takes neither time nor room", { timeout: 2000 }, async () => {
    // Several pages at once, as the memory map is read through damaged page tables.
    const dump = await open(await compressed(core));
    await expect(dump.read(2 ** 52, 4 * 4096)).rejects.toThrow(/not in the dump|no memory/);
  });

  it("of the file: cut off in its headers", async () => {
    const whole = await compressed(core);
    for (const size of [0, 3, 8, 100, 463, 464, 4095, 4096, 4199, 8191, 16000]) {
      await expect(open(whole.subarray(0, size))).rejects.toThrow(/dump0/);
    }
    await expect(open(concat(bytesOf("DISKDUMP"), whole.subarray(8)))).rejects.toThrow(/diskdump/);
  });
});

describe("memory", () => {
  it("that a reader takes does not grow with the dump", async () => {
    // 16 GiB of memory, each page the one page of zeros: 100 MiB of descriptors, read as asked for.
    const pages = 2 ** 22;
    const one = await compressed(core, { codec: null, image: { maxMapnr: pages } });
    const bitmaps = 2 * 4096;
    const half = pages / 8;
    let most = 0;
    const size = bitmaps + 2 * half + pages * 24 + 4096;
    const dump = await KdumpCore.open({
      name: "large",
      size,
      async pread(buffer, offset) {
        most = Math.max(most, buffer.length);
        for (let at = 0; at < buffer.length; at++) {
          const from = offset + at;
          if (from < bitmaps) buffer[at] = one[from]!;
          else if (from < bitmaps + 2 * half) buffer[at] = 0xff;
          else if (from >= size - 4096) buffer[at] = 0;
          else buffer[at] = descriptor[(from - bitmaps - 2 * half) % 24]!;
        }
        return buffer.length;
      },
    });
    const last = (pages - 1) * 4096;
    expect(await dump.read(last, 4096)).toEqual(new Uint8Array(4096));
    expect(await dump.pageState(pages - 1)).toBe("zero");
    expect(await dump.held()).toBe(pages * 4096);
    expect(most).toBeLessThanOrEqual(65536);
  });

  const descriptor = new Uint8Array(24);
  const view = new DataView(descriptor.buffer);
  view.setBigUint64(0, BigInt(2 * 4096 + 2 * (2 ** 22 / 8) + 2 ** 22 * 24), true);
  view.setUint32(8, 4096, true);
});
