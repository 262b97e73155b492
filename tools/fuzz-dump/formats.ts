/** The dumps that are damaged: one of each format, codec and kind of log, made of one that somebody has. */
import { hostCompressors } from "../../runtime/adapter/compressors.ts";
import { type ByteSource, MemoryBytes, readExactly } from "../dump/bytes.ts";
import type { Codec } from "../dump/codecs.ts";
import { pageCompressor } from "../dump/compress.ts";
import { kdumpImage } from "../dump/describe.ts";
import { ElfCore } from "../dump/elf.ts";
import { writeElf } from "../dump/elf-writer.ts";
import { DumpError } from "../dump/error.ts";
import { FlattenedWriter } from "../dump/flattened-writer.ts";
import { PAGE_DESC } from "../dump/kdump-header.ts";
import { writeKdump } from "../dump/kdump-writer.ts";
import type { KernelDump } from "../dump/memory-source.ts";
import { openDump } from "../dump/open.ts";
import type { PageBitmap } from "../dump/page-bitmap.ts";
import { MemorySink } from "../dump/sink.ts";
import { excludePages } from "../makedumpfile/filter.ts";
import { type LogForm, olderLog } from "./older-log.ts";
import { elfPlaces, type KernelPlace, kdumpPlaces, kernelPlaces, recordPlaces } from "./places.ts";
import { type Place, type Victim, type VictimFile, viewOf } from "./victim.ts";

/** The largest dump that is worth damaging: each process makes all formats of it in memory. */
export const SIZE_MAX = 32 * 1024 * 1024;
const CODECS: readonly (Codec | null)[] = [null, "zlib", "lzo", "snappy", "zstd"];
const LEVEL = 31;
const FLAT_PIECE = 64 * 1024;
/** EI_CLASS. */
const ELF32 = 1;

/** Throws DumpError when the dump cannot be read, or is too large. */
export async function makeVictims(source: ByteSource): Promise<Victim[]> {
  if (source.size > SIZE_MAX) {
    const advice = `Give a dump of ${SIZE_MAX} bytes at most.`;
    throw new DumpError(source.name, `${source.size} bytes to damage`, advice);
  }
  const dump = await openDump([source]);
  const kernel = await kernelPlaces(dump);
  const { exist, dumped } = await dump.pages();
  const filtered = (await dump.pages()).dumped;
  let level = LEVEL;
  try {
    await excludePages(dump, LEVEL, exist, filtered);
  } catch (error) {
    if (!(error instanceof DumpError)) throw error;
    // A kernel without a memory map: only zeros can be left out.
    level = 1;
  }
  const victims: Victim[] = [];
  const add = (name: string, ...files: VictimFile[]): void => void victims.push({ name, files });
  if (dump instanceof ElfCore) {
    const whole = await readExactly(source, 0, source.size, "the dump");
    add("ELF", await elfFile(whole, kernel));
    add("ELF32", await elfFile(await writeCore(dump, dumped, ELF32), kernel));
    add("ELF, filtered", await elfFile(await writeCore(dump, filtered, dump.image.class), kernel));
    for (const form of ["printk_log", "characters"] satisfies LogForm[]) {
      const older = await olderLog(whole, dump, form);
      if (older !== null) add(`ELF, ${form}`, await elfFile(older.bytes, [...kernel, ...older.places]));
    }
    add("ELF, flattened", await flatten(whole, elfPlaces(whole)));
  }
  for (const codec of CODECS) {
    const bytes = await compress(dump, codec, codec === null ? 1 : level, codec === null ? dumped : filtered);
    if (bytes === null) continue;
    const places = codec === null ? storedPlaces(bytes, kernel, dumped) : [];
    add(codec ?? "stored", { bytes, places: [...kdumpPlaces(bytes), ...places] });
    if (codec === "lzo") add("lzo, flattened", await flatten(bytes, kdumpPlaces(bytes)));
  }
  const set = await splitSet(dump, "lzo", level, filtered, [0.4, 0.7]);
  const others = await splitSet(dump, "zlib", 1, dumped, [0.5]);
  victims.push({ name: "lzo, split", files: set, others });
  return victims;
}

/** Null when the engine has no such compressor. */
async function compress(
  dump: KernelDump,
  codec: Codec | null,
  level: number,
  dumped: PageBitmap,
  split?: { startPfn: number; endPfn: number },
): Promise<Uint8Array | null> {
  const packer = await pageCompressor(codec, hostCompressors());
  if (packer === null) return null;
  const read = (physical: number, length: number) => dump.read(physical, length);
  const { exist } = await dump.pages();
  const sink = new MemorySink();
  const image = { ...(await kdumpImage(dump, level)), ...(split === undefined ? {} : { split }) };
  await writeKdump(sink, image, { exist, dumped, read, codec, compress: packer });
  return sink.bytes.slice();
}

/** Files of pages up to each part of memory, and the rest. */
async function splitSet(
  dump: KernelDump,
  codec: Codec,
  level: number,
  dumped: PageBitmap,
  parts: readonly number[],
): Promise<VictimFile[]> {
  const cuts = [0, ...parts.map((part) => Math.floor(dumped.pages * part)), dumped.pages];
  const files: VictimFile[] = [];
  for (let n = 0; n + 1 < cuts.length; n++) {
    const bytes = (await compress(dump, codec, level, dumped, { startPfn: cuts[n]!, endPfn: cuts[n + 1]! }))!;
    files.push({ bytes, places: kdumpPlaces(bytes) });
  }
  return files;
}

async function writeCore(dump: ElfCore, dumped: PageBitmap, elfClass: 1 | 2): Promise<Uint8Array> {
  const sink = new MemorySink();
  const { pageSize, noteBytes: notes, loads } = dump;
  const read = (physical: number, length: number) => dump.read(physical, length);
  await writeElf(sink, { ...dump.image, class: elfClass, pageSize, notes, loads }, { dumped, read });
  return sink.bytes.slice();
}

async function elfFile(bytes: Uint8Array, kernel: readonly KernelPlace[]): Promise<VictimFile> {
  const { loads } = await ElfCore.open(new MemoryBytes("core", bytes));
  const places: Place[] = elfPlaces(bytes);
  for (const { kind, physical, size } of kernel) {
    for (const load of loads) {
      const within = physical - (load.physical ?? 0);
      if (load.physical === null || within < 0 || within + size > load.fileSize) continue;
      places.push({ kind, offset: load.offset + within, size });
    }
  }
  return { bytes, places };
}

/** Places in pages that are stored as they are. */
function storedPlaces(bytes: Uint8Array, kernel: readonly KernelPlace[], dumped: PageBitmap): Place[] {
  const { offset: descriptors } = kdumpPlaces(bytes).find(({ kind }) => kind === "descriptors")!;
  const view = viewOf(bytes);
  const offsets = new Map<number, number>();
  let at = descriptors;
  for (let pfn = dumped.next(0); pfn < dumped.pages; pfn = dumped.next(pfn + 1)) {
    offsets.set(pfn, Number(view.getBigUint64(at + PAGE_DESC.offset[0], true)));
    at += PAGE_DESC.size;
  }
  const places: Place[] = [];
  for (const { kind, physical, size } of kernel) {
    const page = offsets.get(Math.floor(physical / 4096));
    const within = physical % 4096;
    if (page !== undefined) places.push({ kind, offset: page + within, size: Math.min(size, 4096 - within) });
  }
  return places;
}

/** Pieces of the second half between those of the first, as descriptors and data come; the first again. */
async function flatten(file: Uint8Array, inner: readonly Place[]): Promise<VictimFile> {
  const sink = new MemorySink();
  const writer = new FlattenedWriter((bytes) => sink.write(sink.bytes.length, bytes));
  const places: Place[] = [];
  const piece = async (n: number): Promise<void> => {
    const start = n * FLAT_PIECE;
    const end = Math.min(start + FLAT_PIECE, file.length);
    await writer.write(start, file.subarray(start, end));
    const shift = sink.bytes.length - end;
    for (const place of inner) {
      const size = Math.min(place.offset + place.size, end) - place.offset;
      if (place.offset >= start && size > 0) places.push({ ...place, offset: place.offset + shift, size });
    }
  };
  const count = Math.ceil(file.length / FLAT_PIECE);
  const half = Math.ceil(count / 2);
  for (let n = 0; n < half; n++) {
    await piece(n);
    if (half + n < count) await piece(half + n);
  }
  await piece(0);
  await writer.end();
  const bytes = sink.bytes.slice();
  return { bytes, places: [...recordPlaces(bytes), ...places] };
}
