/**
 * The dumps that are damaged: one of each format, made of a dump that somebody has, each with the places
 * where damage says most.
 */
import { hostCompressors } from "../../runtime/adapter/compressors.ts";
import type { ByteSource } from "../dump/bytes.ts";
import type { Codec } from "../dump/codecs.ts";
import { pageCompressor } from "../dump/compress.ts";
import { kdumpImage } from "../dump/describe.ts";
import { ElfCore } from "../dump/elf.ts";
import { DumpError } from "../dump/error.ts";
import { FLAT_HEADER_SIZE, FLAT_RECORD_SIZE } from "../dump/flattened.ts";
import { FlattenedWriter } from "../dump/flattened-writer.ts";
import { writeKdump } from "../dump/kdump-writer.ts";
import type { KernelDump } from "../dump/memory-source.ts";
import { openDump } from "../dump/open.ts";
import { type ByteSink, MemorySink } from "../dump/sink.ts";

/** The largest dump that is worth damaging: each process makes all formats of it in memory. */
export const SIZE_MAX = 128 * 1024 * 1024;
/** Bytes of a header's kind that damage aims at. */
const HEADERS = 8192;
/** How many records' headers of a flattened dump. */
const RECORDS = 64;

export interface Range {
  offset: number;
  size: number;
}

export interface Victim {
  /** "lzo, flattened". */
  name: string;
  bytes: Uint8Array;
  /** Headers, bitmaps, descriptors. */
  hot: readonly Range[];
}

/** Throws DumpError when the dump cannot be read, or is too large. */
export async function makeVictims(source: ByteSource): Promise<Victim[]> {
  if (source.size > SIZE_MAX) {
    throw new DumpError(
      source.name,
      `${source.size} bytes to damage`,
      `Give a dump of ${SIZE_MAX} bytes at most.`,
    );
  }
  const dump = await openDump([source]);
  const victims: Victim[] = [];
  if (dump instanceof ElfCore) {
    const bytes = new Uint8Array(source.size);
    for (let at = 0; at < bytes.length; ) {
      const count = await source.pread(bytes.subarray(at), at);
      if (count <= 0) break;
      at += count;
    }
    victims.push({ name: "ELF", bytes, hot: [{ offset: 0, size: Math.min(bytes.length, HEADERS * 2) }] });
  }
  const codecs: (Codec | null)[] = [null, "zlib", "lzo", "snappy", "zstd"];
  for (const codec of codecs) {
    const sink = new MemorySink();
    if (!(await compress(dump, codec, sink))) continue;
    victims.push({ name: codec ?? "stored", bytes: sink.bytes, hot: kdumpPlaces(sink.bytes) });
  }
  victims.push(await flatten(dump));
  return victims;
}

/** False when the engine has no such compressor. */
async function compress(dump: KernelDump, codec: Codec | null, sink: ByteSink): Promise<boolean> {
  const packer = await pageCompressor(codec, hostCompressors());
  if (packer === null) return false;
  const read = (physical: number, length: number) => dump.read(physical, length);
  await writeKdump(sink, await kdumpImage(dump, 1), {
    ...(await dump.pages()),
    read,
    codec,
    compress: packer,
  });
  return true;
}

async function flatten(dump: KernelDump): Promise<Victim> {
  const parts: Uint8Array[] = [];
  const headers: Range[] = [{ offset: 0, size: 32 }];
  let at = 0;
  const writer = new FlattenedWriter(async (bytes) => {
    if (bytes.length === FLAT_RECORD_SIZE && at >= FLAT_HEADER_SIZE)
      headers.push({ offset: at, size: bytes.length });
    parts.push(bytes.slice());
    at += bytes.length;
  });
  await compress(dump, "lzo", writer);
  await writer.end();
  const bytes = new Uint8Array(at);
  let to = 0;
  for (const part of parts) {
    bytes.set(part, to);
    to += part.length;
  }
  const all = [...headers.slice(0, RECORDS), { offset: FLAT_HEADER_SIZE, size: HEADERS }];
  return { name: "lzo, flattened", bytes, hot: all };
}

/** Header, sub header, both bitmaps, descriptors, the first pages. */
function kdumpPlaces(bytes: Uint8Array): Range[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const block = view.getUint32(428, true);
  const bitmaps = (1 + view.getUint32(432, true)) * block;
  const descriptors = bitmaps + view.getUint32(436, true) * block;
  const places = [
    { offset: 400, size: 64 },
    { offset: block, size: 104 },
    { offset: block, size: HEADERS },
    { offset: bitmaps, size: descriptors - bitmaps },
    { offset: descriptors, size: HEADERS },
    { offset: descriptors, size: bytes.length - descriptors },
  ];
  return places.map(({ offset, size }) => ({ offset, size: Math.min(size, bytes.length - offset) }));
}
