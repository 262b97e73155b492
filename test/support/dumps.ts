/**
 * Mock dumps in makedumpfile's formats: made of a mock ELF core (vmcore.ts, log.ts) by the writers of
 * tools/dump, and of small pieces where a test wants what no writer of ours makes.
 */
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import type { Codec } from "../../tools/dump/codecs.ts";
import { pageCompressor } from "../../tools/dump/compress.ts";
import { FlattenedWriter } from "../../tools/dump/flattened-writer.ts";
import type { KdumpImage } from "../../tools/dump/kdump-writer.ts";
import { writeKdump } from "../../tools/dump/kdump-writer.ts";
import { openDump } from "../../tools/dump/open.ts";
import { MemorySink } from "../../tools/dump/sink.ts";
import { imageAddress, MOCK, type MockVmcore, mockPrb } from "./log.ts";
import { bytesOf, concat, elfCore, prstatusNote } from "./vmcore.ts";

export const UTSNAME = {
  sysname: "Linux",
  nodename: "mock",
  release: "5.15.0-mock",
  version: "#1",
  machine: "x86_64",
  domainname: "(none)",
};

export interface CompressOptions {
  codec?: Codec | null;
  level?: number;
  /** Pages to leave out. */
  exclude?: readonly number[];
  split?: { startPfn: number; endPfn: number };
  image?: Partial<KdumpImage>;
}

/** An ELF core without VMCOREINFO: half of its 16 pages are zeros. */
export function muteCore(): Uint8Array {
  const memory = new Uint8Array(0x10000);
  for (let at = 0x4000; at < 0xc000; at++) memory[at] = at >> 4;
  return elfCore({ notes: prstatusNote(1), loads: [{ virtual: 0n, physical: 0n, data: memory }] });
}

/** A kdump-compressed dump of an ELF core; zero pages share a descriptor at odd levels. */
export async function compressed(core: Uint8Array, options: CompressOptions = {}): Promise<Uint8Array> {
  const { codec = "lzo", level = 1, exclude = [], split, image } = options;
  const dump = await openDump([new MemoryBytes("core", core)]);
  const { exist, dumped } = await dump.pages();
  for (const pfn of exclude) dumped.remove(pfn);
  const note = dump.notes.find(({ name }) => name === "VMCOREINFO")!;
  const sink = new MemorySink();
  const whole: KdumpImage = {
    utsname: UTSNAME,
    timestamp: { seconds: 1700000000n, microseconds: 0n },
    pageSize: 4096,
    maxMapnr: exist.pages,
    nrCpus: 1,
    physBase: 0n,
    dumpLevel: level,
    notes: dump.noteBytes,
    eraseinfo: new Uint8Array(0),
    vmcoreinfo: {
      offset: note.descriptor.byteOffset - dump.noteBytes.byteOffset,
      size: note.descriptor.length,
    },
    ...(split === undefined ? {} : { split }),
    ...image,
  };
  const compress = await pageCompressor(codec);
  const read = (physical: number, length: number) => dump.read(physical, length);
  await writeKdump(sink, whole, { exist, dumped, read, codec, compress: compress! });
  return sink.bytes.slice();
}

/** A flattened dump of a file, in pieces of `size` bytes in the order that `order` gives their numbers. */
export async function flattened(
  file: Uint8Array,
  size = 4096,
  order: (pieces: number[]) => number[] = (pieces) => pieces,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const writer = new FlattenedWriter(async (bytes) => void parts.push(bytes.slice()));
  const pieces = Array.from({ length: Math.ceil(file.length / size) }, (_, n) => n);
  for (const n of order(pieces)) await writer.write(n * size, file.subarray(n * size, (n + 1) * size));
  await writer.end();
  return concat(...parts);
}

/** A mock kernel with a log and a name, as a kdump-compressed dump's header wants one. */
export function namedKernel(): MockVmcore {
  const kernel = mockPrb();
  kernel.log.add("first");
  kernel.log.add("two\nlines", { ts_nsec: 1_000_000_000n });
  kernel.memory.bytes.set(bytesOf("Linux"), NAME_AT);
  kernel.memory.bytes.fill(0x5a, MOCK.text + 0x10000, MOCK.text + 0x20000);
  const name = imageAddress(NAME_AT).toString(16);
  kernel.lines.push(`SYMBOL(init_uts_ns)=${name}`, "OFFSET(uts_namespace.name)=0");
  return kernel;
}

const NAME_AT = 0x30000;
