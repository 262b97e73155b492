/**
 * Damaged dumps: whatever the bytes, a reader ends soon with records or a DumpError, and with nothing else.
 */
import { describe, expect, it } from "vitest";
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import { ElfCore } from "../../tools/dump/elf.ts";
import { DumpError } from "../../tools/dump/error.ts";
import { kernelLog } from "../../tools/dump/kernel-log.ts";
import { MOCK, mockPrb } from "../support/log.ts";
import { seededRandom } from "../support/vmcore.ts";

const RECORDS = 40;
const kernel = mockPrb({ countBits: 6, sizeBits: 12 });
for (let n = 0; n < RECORDS; n++) kernel.log.add(`message ${n}`, { ts_nsec: BigInt(n) });
const whole = kernel.build();
/** The second load is all of memory; the file ends with it. */
const memoryAt = whole.length - MOCK.memorySize;
const headersEnd = 64 + 3 * 56;
const notesAt = 0x1000;

/** The number of records, or the error's message. */
async function read(bytes: Uint8Array): Promise<number | string> {
  try {
    const core = await ElfCore.open(new MemoryBytes("core", bytes));
    let records = 0;
    for await (const _ of kernelLog(core).records(() => {})) records++;
    return records;
  } catch (error) {
    if (!(error instanceof DumpError)) throw error;
    expect(error.message.startsWith("core")).toBe(true);
    return error.message;
  }
}

describe("a vmcore cut off", () => {
  const boundaries = [
    0, 1, 4, 5, 6, 7, 16, 18, 20, 32, 40, 54, 56, 58, 63, 64, 65, 119, 120, 121, 176, 231, 232,
  ];
  const notes = [
    notesAt,
    notesAt + 1,
    notesAt + 12,
    notesAt + 20,
    notesAt + 356,
    notesAt + 368,
    notesAt + 380,
    0x1fff,
  ];
  it.each([...boundaries, ...notes])("at byte %i is refused", async (size) => {
    expect(await read(whole.subarray(0, size))).toEqual(expect.any(String));
  });

  it("behind its log still gives the log", async () => {
    expect(await read(whole)).toBe(RECORDS);
    expect(await read(whole.subarray(0, memoryAt + MOCK.text + 0x1000))).toBe(RECORDS);
    expect(await read(whole.subarray(0, memoryAt + MOCK.text))).toBe(0);
  });
});

describe("flipped bytes", () => {
  const places: [string, number, number][] = [
    ["ELF header and program headers", 0, headersEnd],
    ["notes", notesAt, notesAt + 0x800],
    ["printk_ringbuffer", memoryAt + MOCK.prbPointer, memoryAt + MOCK.prbPointer + 0x200],
    ["descriptors", memoryAt + MOCK.descs, memoryAt + MOCK.descs + 64 * 24],
    ["infos", memoryAt + MOCK.infos, memoryAt + MOCK.infos + 64 * 88],
    ["text", memoryAt + MOCK.text, memoryAt + MOCK.text + 4096],
    ["page tables", memoryAt + MOCK.pageTables, memoryAt + MOCK.pageTables + 0x4000],
  ];
  it.each(places)("in %s end in records or in a DumpError", async (_name, from, to) => {
    const random = seededRandom(from + 1);
    for (let run = 0; run < 150; run++) {
      const bytes = whole.slice();
      for (let flips = 1 + random(4); flips > 0; flips--) {
        const at = from + random(to - from);
        bytes[at] = (bytes[at] as number) ^ (1 + random(255));
      }
      const result = await read(bytes);
      if (typeof result === "number") expect(result).toBeLessThanOrEqual(64);
    }
  });

  it("and random bytes instead of the whole ring", async () => {
    const random = seededRandom(2);
    for (let run = 0; run < 20; run++) {
      const bytes = whole.slice();
      for (let at = MOCK.prbPointer; at < MOCK.prbPointer + 0x200; at++) bytes[memoryAt + at] = random(256);
      for (let at = MOCK.descs; at < MOCK.descs + 64 * 24; at++) bytes[memoryAt + at] = random(256);
      await read(bytes);
    }
  });
});
