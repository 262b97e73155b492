import { describe, expect, it } from "vitest";
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import { ElfCore } from "../../tools/dump/elf.ts";
import { dmesgText, kernelLog } from "../../tools/dump/kernel-log.ts";
import {
  imageAddress,
  LAYOUT_5_15,
  LAYOUT_SHUFFLED,
  MOCK,
  type MockVmcore,
  mockKernel,
  mockLogBuf,
  mockPrb,
  PRINTK_LOG,
  writePrintkLog,
} from "../support/log.ts";
import { bytesOf, textOf } from "../support/vmcore.ts";

async function readLog(kernel: MockVmcore, sinceCleared = false) {
  const core = await ElfCore.open(new MemoryBytes("core", kernel.build()));
  const log = kernelLog(core);
  const problems: string[] = [];
  const records = [];
  for await (const record of log.records((text) => problems.push(text), sinceCleared)) records.push(record);
  return { format: log.format, records, problems, texts: records.map((r) => textOf(r.text)) };
}

const many = (count: number) =>
  Array.from({ length: count }, (_, n) => `message ${n} ${"x".repeat((n * 7) % 40)}`);

describe.each([
  ["5.15's layout", LAYOUT_5_15],
  ["a layout of no kernel", LAYOUT_SHUFFLED],
])("the printk ring buffer in %s", (_name, layout) => {
  it("is empty before the first message", async () => {
    expect(await readLog(mockPrb({ layout }))).toMatchObject({ format: "prb", records: [], problems: [] });
  });

  it("gives records in order with time, caller and sequence number", async () => {
    const kernel = mockPrb({ layout });
    kernel.log.add("first", { ts_nsec: 1_234_567_890n, callerId: 0x80000001 });
    kernel.log.add("second", { ts_nsec: 5n, callerId: 7 });
    const { records, problems, texts } = await readLog(kernel);
    expect(texts).toEqual(["first", "second"]);
    expect(records[0]).toMatchObject({ ts_nsec: 1_234_567_890n, callerId: 0x80000001, seq: 0n });
    expect(records[1]).toMatchObject({ ts_nsec: 5n, callerId: 7, seq: 1n });
    expect(problems).toEqual([]);
  });

  it.each([1, 10, 63, 64, 65, 300])(
    "keeps the last records when %i were written and the text wrapped",
    async (count) => {
      const kernel = mockPrb({ layout, countBits: 6, sizeBits: 10 });
      const written = many(count);
      for (const text of written) kernel.log.add(text);
      const { texts, problems } = await readLog(kernel);
      expect(problems).toEqual([]);
      expect(texts.length).toBeGreaterThan(Math.min(count, 15) - 1);
      expect(texts).toEqual(written.slice(-texts.length));
    },
  );

  it("keeps as many records as there are descriptors when the text is short", async () => {
    const kernel = mockPrb({ layout, countBits: 4, sizeBits: 12 });
    for (let n = 0; n < 100; n++) kernel.log.add(`${n}`);
    expect((await readLog(kernel)).texts).toEqual(Array.from({ length: 16 }, (_, n) => `${84 + n}`));
  });

  it("begins with the first record that was not cleared, when it is asked for those", async () => {
    const kernel = mockPrb({ layout, countBits: 4 });
    for (let n = 0; n < 20; n++) kernel.log.add(`${n}`);
    const since = async () => (await readLog(kernel, true)).texts;
    // A kernel that does not say when it was cleared.
    expect((await since()).length).toBe(16);
    kernel.lines.push(`SYMBOL(clear_seq)=${imageAddress(MOCK.clearSeq).toString(16)}`);
    expect((await since()).length).toBe(16);
    kernel.memory.u64(MOCK.clearSeq, 17n);
    expect(await since()).toEqual(["17", "18", "19"]);
    expect((await readLog(kernel)).texts.length).toBe(16);
    // Since 5.13: a sequence count, and two copies of which an odd count means the second.
    kernel.lines.push("SIZE(latched_seq)=24", "OFFSET(latched_seq.val)=8");
    for (const [count, texts] of [
      [4, ["18", "19"]],
      [5, ["19"]],
    ] as const) {
      kernel.memory.u32(MOCK.clearSeq, count);
      kernel.memory.u64(MOCK.clearSeq + 8, 18n);
      kernel.memory.u64(MOCK.clearSeq + 16, 19n);
      expect(await since()).toEqual(texts);
    }
    kernel.memory.u64(MOCK.clearSeq + 16, 20n);
    expect(await since()).toEqual([]);
  });

  it("passes over reserved records, and shows committed ones and those without text", async () => {
    const kernel = mockPrb({ layout });
    kernel.log.add("one");
    kernel.log.add("being written", { state: "reserved" });
    kernel.log.add("", { ts_nsec: 1n });
    kernel.log.add("lost", { lost: true, ts_nsec: 2n });
    kernel.log.add("committed", { state: "committed" });
    expect((await readLog(kernel)).texts).toEqual(["one", "", "", "committed"]);
  });

  it("tells of ends too far apart, stays within the ring, and shows nothing that is no record", async () => {
    const kernel = mockPrb({ layout, countBits: 4 });
    for (let n = 0; n < 10; n++) kernel.log.add(`${n}`);
    kernel.log.setEnds(kernel.log.headId, 12345n);
    const { texts, problems } = await readLog(kernel);
    expect(texts).toEqual(Array.from({ length: 10 }, (_, n) => `${n}`));
    expect(problems).toHaveLength(1);
    kernel.log.setEnds(12345n, 12345n);
    expect((await readLog(kernel)).texts).toEqual([]);
  });

  it("tells of a text block without room for an id and goes on", async () => {
    const kernel = mockPrb({ layout });
    const id = kernel.log.add("first");
    kernel.log.add("second");
    const block = kernel.log.descAt(id) + layout["OFFSET(prb_desc.text_blk_lpos)"];
    kernel.memory.u64(block + layout["OFFSET(prb_data_blk_lpos.begin)"], 100n);
    kernel.memory.u64(block + layout["OFFSET(prb_data_blk_lpos.next)"], 102n);
    const { texts, problems } = await readLog(kernel);
    expect(texts).toEqual(["", "second"]);
    expect(problems[0]).toMatch(/text block 0x64..0x66 has no room/);
  });

  it("cuts a text_len that leaves the block", async () => {
    const kernel = mockPrb({ layout });
    const id = kernel.log.add("12345678");
    const info = MOCK.infos + Number(id & 63n) * layout["SIZE(printk_info)"];
    kernel.memory.u16(info + layout["OFFSET(printk_info.text_len)"], 0xffff);
    expect((await readLog(kernel)).texts).toEqual(["12345678"]);
  });

  it("reads a block that ends with the ring (6.18 and later)", async () => {
    const kernel = mockPrb({ layout, sizeBits: 8 });
    const id = kernel.log.add("at the end");
    kernel.memory.bytes.set(bytesOf("at the end"), MOCK.text + 0xe8 + 8);
    const block = kernel.log.descAt(id) + layout["OFFSET(prb_desc.text_blk_lpos)"];
    kernel.memory.u64(block + layout["OFFSET(prb_data_blk_lpos.begin)"], 0x1e8n);
    kernel.memory.u64(block + layout["OFFSET(prb_data_blk_lpos.next)"], 0x200n);
    expect((await readLog(kernel)).texts).toEqual(["at the end"]);
  });
});

describe("a printk ring buffer that cannot be", () => {
  const cases: [string, (kernel: MockVmcore) => void, RegExp][] = [
    ["count_bits 0", (k) => k.memory.u32(MOCK.ringbuffer, 0), /desc_ring.count_bits is 0, outside 1..26/],
    ["count_bits huge", (k) => k.memory.u32(MOCK.ringbuffer, 0xffffffff), /count_bits is 4294967295/],
    [
      "more descriptors than memory",
      (k) => k.memory.u32(MOCK.ringbuffer, 26),
      /larger than the memory in the dump/,
    ],
    ["size_bits huge", (k) => k.memory.u32(MOCK.ringbuffer + 48, 32), /size_bits is 32, outside 1..31/],
    [
      "more text than memory",
      (k) => k.memory.u32(MOCK.ringbuffer + 48, 31),
      /larger than the memory in the dump/,
    ],
    [
      "prb pointing nowhere",
      (k) => k.memory.u64(MOCK.prbPointer, 0xdead000000000100n),
      /no canonical address/,
    ],
    ["prb NULL", (k) => k.memory.u64(MOCK.prbPointer, 0n), /0x0 is not mapped/],
    ["a small SIZE", (k) => k.lines.push("SIZE(prb_desc)=8"), /SIZE\(prb_desc\)=8 does not fit/],
    ["a large SIZE", (k) => k.lines.push("SIZE(printk_info)=999999999"), /SIZE\(printk_info\)=999999999/],
    [
      "a missing line",
      (k) => k.lines.splice(k.lines.indexOf("SIZE(prb_desc)=24"), 1),
      /SIZE\(prb_desc\) is missing/,
    ],
  ];
  it.each(cases)("%s is refused", async (_name, damage, message) => {
    const kernel = mockPrb();
    kernel.log.add("text");
    damage(kernel);
    await expect(readLog(kernel)).rejects.toThrow(message);
  });

  it("tells for each record that its text is not in the dump", async () => {
    const kernel = mockPrb();
    kernel.log.add("one");
    kernel.log.add("two");
    kernel.memory.u64(MOCK.ringbuffer + 48 + 8, 0xffff888000200000n);
    const { texts, problems } = await readLog(kernel);
    expect(texts).toEqual([]);
    expect(problems).toHaveLength(2);
    expect(problems[0]).toMatch(/record 0x[0-9a-f]+: physical address 0x2[0-9a-f]+ is not in the dump/);
  });
});

const STRUCTURED = [
  `SIZE(printk_log)=${PRINTK_LOG.size}`,
  `OFFSET(printk_log.ts_nsec)=${PRINTK_LOG.ts_nsec}`,
  `OFFSET(printk_log.len)=${PRINTK_LOG.len}`,
  `OFFSET(printk_log.text_len)=${PRINTK_LOG.text_len}`,
];
const structured = (length: number, first: number, texts: string[]) => {
  const kernel = mockLogBuf(length, ["log_buf", "log_buf_len", "log_first_idx", "log_next_idx"]);
  kernel.lines.push(...STRUCTURED);
  const records = texts.map((text, n) => ({ ts_nsec: BigInt(n) * 1000n, text }));
  const next = writePrintkLog(kernel.memory, MOCK.text, length, first, records);
  kernel.memory.u32(MOCK.logFirst, first);
  kernel.memory.u32(MOCK.logNext, next);
  return kernel;
};

describe("the log of records before 5.10", () => {
  it("begins at clear_idx, when what was not cleared is asked for", async () => {
    const kernel = structured(4096, 0, ["one", "two", "three"]);
    expect((await readLog(kernel, true)).texts).toEqual(["one", "two", "three"]);
    kernel.lines.push(`SYMBOL(clear_idx)=${imageAddress(MOCK.clearIdx).toString(16)}`);
    kernel.memory.u32(MOCK.clearIdx, 24);
    expect((await readLog(kernel, true)).texts).toEqual(["two", "three"]);
    expect((await readLog(kernel)).texts).toEqual(["one", "two", "three"]);
  });

  it("reads records, also over the end of the buffer", async () => {
    expect(await readLog(structured(4096, 0, []))).toMatchObject({
      format: "printk_log",
      texts: [],
      problems: [],
    });
    for (const first of [0, 3000, 3800]) {
      const { texts, records, problems } = await readLog(structured(4096, first, many(20)));
      expect(texts).toEqual(many(20));
      expect(records[3]?.ts_nsec).toBe(3000n);
      expect(problems).toEqual([]);
    }
  });

  it("knows the struct by its older name", async () => {
    const kernel = structured(4096, 0, ["old"]);
    for (const [at, line] of kernel.lines.entries()) kernel.lines[at] = line.replace("printk_log", "log");
    expect((await readLog(kernel)).texts).toEqual(["old"]);
  });

  it.each([
    ["log_next_idx between records", (k: MockVmcore) => k.memory.u32(MOCK.logNext, 0x55)],
    ["log_first_idx outside", (k: MockVmcore) => k.memory.u32(MOCK.logFirst, 0xfffffff0)],
    ["a len of one byte", (k: MockVmcore) => k.memory.u16(MOCK.text + PRINTK_LOG.len, 1)],
    ["a len beyond the end", (k: MockVmcore) => k.memory.u16(MOCK.text + PRINTK_LOG.len, 0xfff8)],
    ["a len of zero in the middle", (k: MockVmcore) => k.memory.u16(MOCK.text + PRINTK_LOG.len, 0)],
  ])("ends and tells: %s", async (_name, damage) => {
    const kernel = structured(4096, 0, many(20));
    damage(kernel);
    const { problems, records } = await readLog(kernel);
    expect(problems).toHaveLength(1);
    expect(records.length).toBeLessThan(30);
  });

  it("refuses a log_buf_len that cannot be", async () => {
    const kernel = structured(4096, 0, ["x"]);
    kernel.memory.u32(MOCK.logBufLen, 0);
    await expect(readLog(kernel)).rejects.toThrow(/log_buf_len is 0x0/);
  });
});

describe("the character log before 3.5", () => {
  const characters = (length: number, written: string) => {
    const kernel = mockLogBuf(length, ["log_buf", "log_buf_len", "log_end", "logged_chars"]);
    for (let at = 0; at < written.length; at++) {
      kernel.memory.bytes[MOCK.text + (at % length)] = written.charCodeAt(at);
    }
    kernel.memory.u32(MOCK.logEnd, written.length);
    kernel.memory.u32(MOCK.loggedChars, Math.min(written.length, length));
    return kernel;
  };
  const lines = Array.from(
    { length: 200 },
    (_, n) => `<6>[    0.${String(n).padStart(6, "0")}] line ${n}\n`,
  ).join("");

  it("gives what was written, and the newest part of it after wrapping", async () => {
    expect((await readLog(characters(16384, lines))).texts.join("")).toBe(lines);
    expect((await readLog(characters(1024, lines))).texts.join("")).toBe(lines.slice(-1024));
    expect((await readLog(characters(1024, ""))).texts).toEqual([]);
  });
});

describe("kernelLog", () => {
  it("says when the kernel kept no log", async () => {
    await expect(readLog(mockKernel())).rejects.toThrow(/neither SYMBOL\(prb\) nor SYMBOL\(log_buf\)/);
  });
});

describe("dmesgText", () => {
  const text = (ts_nsec: bigint, bytes: string) => dmesgText({ ts_nsec, text: bytesOf(bytes) });
  it("writes the time as [%5llu.%06llu]", () => {
    expect(text(0n, "zero")).toBe("[    0.000000] zero\n");
    expect(text(12_345_678_901n, "x")).toBe("[   12.345678] x\n");
    expect(text(1_234_567_000_000_999n, "x")).toBe("[1234567.000000] x\n");
  });
  it("escapes what is neither printable nor space, and leaves line feeds alone", () => {
    expect(text(0n, "a\x01b\x7fc\xffd\te\nf")).toBe("[    0.000000] a\\x01b\\x7fc\\xffd\te\nf\n");
  });
});
