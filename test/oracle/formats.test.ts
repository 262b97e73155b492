/**
 * What tools/dump writes is makedumpfile's, byte for byte where nothing is packed, and what makedumpfile
 * writes is read with the pages and the log that the machine had; the packers against their stock libraries.
 * every-format.test.ts has every codec, level and form, by the command.
 */
import { mkdirSync, openSync, readFileSync, readSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { hostCompressors } from "../../runtime/adapter/compressors.ts";
import { type ByteSource, MemoryBytes } from "../../tools/dump/bytes.ts";
import type { Codec } from "../../tools/dump/codecs.ts";
import { newCodecs } from "../../tools/dump/codecs.ts";
import { pageCompressor } from "../../tools/dump/compress.ts";
import { kdumpImage } from "../../tools/dump/describe.ts";
import { ElfCore } from "../../tools/dump/elf.ts";
import { writeElf } from "../../tools/dump/elf-writer.ts";
import { writeKdump } from "../../tools/dump/kdump-writer.ts";
import { dmesgText, kernelLog } from "../../tools/dump/kernel-log.ts";
import type { KernelDump } from "../../tools/dump/memory-source.ts";
import { openDump } from "../../tools/dump/open.ts";
import type { PageBitmap } from "../../tools/dump/page-bitmap.ts";
import { type ByteSink, MemorySink } from "../../tools/dump/sink.ts";
import type { BootDump } from "../support/boot.ts";
import { describeStock, run, stock } from "../support/stock.ts";
import { drgn } from "./debuggers.ts";
import { makeDump, type OracleDump } from "./features.ts";

const PAGE = 4096;
/** Node has no Zstandard before 22.15: there the stock library packs. */
const CODECS: readonly (Codec | null)[] = [null, "zlib", "lzo", "snappy"];

let whole: OracleDump;
let core: ElfCore;
let vmcore: Uint8Array;
const path = (name: string): string => join(whole.directory, name);
const bytesOf = (name: string): Uint8Array => readFileSync(path(name));

function file(name: string): ByteSource {
  const fd = openSync(name, "r");
  const pread = async (buffer: Uint8Array, offset: number) => readSync(fd, buffer, 0, buffer.length, offset);
  return { name, size: statSync(name).size, pread };
}

const open = (...names: string[]): Promise<KernelDump> => openDump(names.map((name) => file(path(name))));

function makedumpfile(...args: string[]): void {
  const { status, output } = stock("makedumpfile", args, { cwd: whole.directory });
  expect(status, output).toBe(0);
}

interface WriteOptions {
  level?: number;
  codec?: Codec | null;
  split?: { startPfn: number; endPfn: number };
}

/** A compressed dump of what `from` has, by our writer. */
async function kdump(from: KernelDump, sink: ByteSink, options: WriteOptions = {}): Promise<void> {
  const { level = 0, codec = null, split } = options;
  const image = { ...(await kdumpImage(from, level)), ...(split === undefined ? {} : { split }) };
  const compress = await pageCompressor(codec, hostCompressors());
  const read = (physical: number, length: number) => from.read(physical, length);
  await writeKdump(sink, image, { ...(await from.pages()), read, codec, compress: compress! });
}

async function kdumpFile(name: string, from: KernelDump, options: WriteOptions = {}): Promise<Uint8Array> {
  const sink = new MemorySink();
  await kdump(from, sink, options);
  writeFileSync(path(name), sink.bytes);
  return sink.bytes;
}

async function elf(from: ElfCore, dumped: PageBitmap): Promise<Uint8Array> {
  const sink = new MemorySink();
  const image = { ...from.image, pageSize: PAGE, notes: from.noteBytes, loads: from.loads };
  await writeElf(sink, image, { dumped, read: (physical, length) => from.read(physical, length) });
  return sink.bytes;
}

/** Pages of the dump by state; those that can be read must be the ELF dump's. */
async function pagesOf(dump: KernelDump): Promise<{ kept: number[]; zero: number }> {
  const kept: number[] = [];
  let zero = 0;
  for (let pfn = 0; pfn * PAGE < core.end; pfn++) {
    const state = await dump.pageState(pfn);
    if (state !== "present" && state !== "zero") continue;
    const wanted = await core.read(pfn * PAGE, PAGE);
    if (Buffer.compare(await dump.read(pfn * PAGE, PAGE), wanted) !== 0)
      throw new Error(`page ${pfn} differs`);
    kept.push(pfn);
    if (state === "zero") zero++;
  }
  return { kept, zero };
}

async function logOf(dump: KernelDump): Promise<string> {
  let text = "";
  for await (const record of kernelLog(dump).records((problem) => expect(problem).toBe(""))) {
    text += dmesgText(record);
  }
  return text;
}

const debugged = (name: string): BootDump => {
  const json = { vmlinux: whole.vmlinux } as BootDump["json"];
  return { ...whole, vmcore: path(name), json, remove: () => {} };
};

describeStock(["makedumpfile"], "formats", () => {
  beforeAll(async () => {
    const options = { memory: "16M", seed: 11, workload: 60, cpus: 2, append: "crashkernel=1M" };
    whole = makeDump({ options, wanted: () => true });
    vmcore = readFileSync(whole.vmcore);
    core = await ElfCore.open(new MemoryBytes("vmcore", vmcore));
    for (const level of [0, 1, 31]) {
      for (const flag of ["", "-c", "-l", "-E"]) {
        const flags = flag === "" ? [] : [flag];
        makedumpfile(...flags, "-d", String(level), whole.vmcore, `stock${flag}${level}`);
      }
    }
  }, 120_000);
  afterAll(() => {
    if (whole !== undefined) rmSync(whole.directory, { recursive: true, force: true });
  });

  it("without compression are makedumpfile's, byte for byte", async () => {
    for (const level of [0, 1]) {
      const made = await kdumpFile("ours", core, { level });
      expect(Buffer.compare(made, bytesOf(`stock${level}`))).toBe(0);
    }
    const filtered = await open("stock-l31");
    expect(Buffer.compare(await kdumpFile("ours", filtered), bytesOf("stock31"))).toBe(0);
  });

  it("in ELF form are makedumpfile's, byte for byte", async () => {
    const { dumped } = await core.pages();
    expect(Buffer.compare(await elf(core, dumped), bytesOf("stock-E0"))).toBe(0);
    for (const level of [1, 31]) {
      const filtered = await open(`stock-l${level}`);
      const { dumped: kept } = await filtered.pages();
      for (let pfn = 0; pfn < kept.pages; pfn++) {
        if (kept.has(pfn) && (await filtered.pageState(pfn)) === "zero") kept.remove(pfn);
      }
      expect(Buffer.compare(await elf(core, kept), bytesOf(`stock-E${level}`))).toBe(0);
    }
  });

  it.each(["", "-c", "-l"])("by makedumpfile %s are read here, page by page", async (flag) => {
    for (const level of [0, 1, 31]) {
      const dump = await open(`stock${flag}${level}`);
      const { kept, zero } = await pagesOf(dump);
      const { levels, total } = whole.truth.pages;
      const truth = levels[level] ?? { left: total, zero: 0 };
      expect(kept.length).toBe(level === 0 ? total : truth.left + truth.zero);
      if (level === 31) expect(zero).toBe(truth.zero);
      expect(await logOf(dump)).toBe(whole.dmesg);
      expect(dump.problems).toEqual([]);
    }
  });

  it("flattened and split by makedumpfile are read here", async () => {
    const script = (args: string) => `makedumpfile ${args} '${whole.vmcore}' > flat 2>messages`;
    for (const args of ["-F -l -d 31", "-F -c -d 1", "-F -E -d 31"]) {
      expect(stock("sh", ["-c", script(args)], { cwd: whole.directory }).status).toBe(0);
      const dump = await open("flat");
      expect(await logOf(dump)).toBe(whole.dmesg);
      if (!args.includes("-E")) {
        const same = await open(args.includes("-l") ? "stock-l31" : "stock-c1");
        expect(await pagesOf(dump)).toEqual(await pagesOf(same));
      }
    }
    makedumpfile(
      "--split",
      "--splitblock-size",
      "1024",
      "-l",
      "-d",
      "31",
      whole.vmcore,
      "part1",
      "part2",
      "part3",
    );
    const set = await open("part3", "part1", "part2");
    expect(await pagesOf(set)).toEqual(await pagesOf(await open("stock-l31")));
  });

  it("split here are reassembled by makedumpfile", async () => {
    const end = Math.ceil(core.end / PAGE);
    const cuts = [0, 1000, 1001, 3000, end];
    const names = ["a", "b", "c", "d"];
    for (const [index, name] of names.entries()) {
      const split = { startPfn: cuts[index]!, endPfn: cuts[index + 1]! };
      await kdumpFile(name, core, { codec: null, level: 1, split });
    }
    makedumpfile("-f", "--reassemble", ...names, "again");
    const dump = await open("again");
    expect(await pagesOf(dump)).toEqual(await pagesOf(await open("stock1")));
  });

  describeStock(["drgn"], "drgn", () => {
    it.each(CODECS)("opens what is compressed here by %s", async (codec) => {
      await kdumpFile("ours", await open("stock-c31"), { codec });
      const script = `pids = [t.pid.value_() for t in for_each_task(prog)]
print(json.dumps([pids, len(get_dmesg(prog))]))`;
      expect(drgn(debugged("ours"), script)).toEqual(drgn(debugged("stock-c31"), script));
    });
  });

  describeStock(["libkdumpfile"], "the stock libraries", () => {
    /** Packs or unpacks each file of a folder by a library of the system, through Python's ctypes. */
    const LIBRARY = `import ctypes, os, sys
codec, way, folder, limit = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
size, out = ctypes.c_size_t, ctypes.create_string_buffer(1 << 18)
lib = ctypes.CDLL({"lzo": "liblzo2.so.2", "snappy": "libsnappy.so.1", "zstd": "libzstd.so.1"}[codec])
def run(data):
  n = size(limit if way == "unpack" else 1 << 18)
  work = ctypes.create_string_buffer(1 << 18)
  if codec == "zstd":
    lib.ZSTD_compress.restype = size
    n.value = lib.ZSTD_compress(out, n, data, size(len(data)), 1)
  elif codec == "lzo":
    name = lib.lzo1x_1_compress if way == "pack" else lib.lzo1x_decompress_safe
    assert name(data, size(len(data)), out, ctypes.byref(n), work) == 0
  else:
    name = lib.snappy_compress if way == "pack" else lib.snappy_uncompress
    assert name(data, size(len(data)), out, ctypes.byref(n)) == 0
  return out.raw[:n.value]
for name in sorted(os.listdir(folder)):
  with open(os.path.join(folder, name), "rb") as f: data = run(f.read())
  with open(os.path.join(folder, name), "wb") as f: f.write(data)
`;
    const library = (codec: string, way: string, pieces: readonly Uint8Array[]): Uint8Array[] => {
      const folder = path(`${codec}-${way}`);
      mkdirSync(folder, { recursive: true });
      writeFileSync(path("library.py"), LIBRARY);
      const names = pieces.map((_, index) => join(folder, String(index).padStart(6, "0")));
      for (const [index, name] of names.entries()) writeFileSync(name, pieces[index]!);
      const { status, stderr } = run("/usr/bin/python3", [
        path("library.py"),
        codec,
        way,
        folder,
        String(PAGE),
      ]);
      expect([status, stderr]).toEqual([0, ""]);
      return names.map((name) => readFileSync(name));
    };
    const pages = (): Uint8Array[] =>
      Array.from({ length: 300 }, (_, n) =>
        vmcore.subarray(0x3000 + n * 3 * PAGE, 0x3000 + (n * 3 + 1) * PAGE),
      );

    it.each(["lzo", "snappy", "zstd"] as const)("pack by %s what is unpacked here", async (codec) => {
      const codecs = await newCodecs();
      const packed = library(codec, "pack", pages());
      for (const [index, page] of pages().entries()) {
        expect(Buffer.compare(codecs.decompress(codec, packed[index]!, PAGE)!, page)).toBe(0);
      }
    });

    it.each(["lzo", "snappy"] as const)("unpack by %s what is packed here", async (codec) => {
      const codecs = await newCodecs();
      const packed = pages().map((page) => {
        codecs.pages.set(page);
        const bytes = codecs.compress(codec, 1, PAGE, false).slice();
        return { page, stored: bytes.length === PAGE, bytes };
      });
      const smaller = packed.filter(({ stored }) => !stored);
      expect(smaller.length).toBeGreaterThan(100);
      const found = library(
        codec,
        "unpack",
        smaller.map(({ bytes }) => bytes),
      );
      for (const [index, { page }] of smaller.entries()) expect(Buffer.compare(found[index]!, page)).toBe(0);
    });
  });
});
