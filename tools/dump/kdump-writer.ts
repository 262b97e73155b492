/**
 * writeKdump: a kdump-compressed dump, header version 6, byte for byte as makedumpfile 1.7 lays it out (but
 * for what the compressors make). kdump-header.ts draws the format.
 */
import { BATCH_SIZE, CODECS, type Codec } from "./codecs.ts";
import type { PageCompressor } from "./compress.ts";
import { setField } from "./elf-header.ts";
import {
  type Extent,
  HEADER_VERSION,
  KDUMP_SIGNATURE,
  KDUMP64,
  PAGE_DESC,
  type SubField,
  UTSNAME,
  UTSNAME_LENGTH,
  UTSNAME_OFFSET,
} from "./kdump-header.ts";
import type { PageBitmap } from "./page-bitmap.ts";
import { BufferedWriter, type ByteSink } from "./sink.ts";

/** What the headers of a dump say. */
export interface KdumpImage {
  utsname: Record<(typeof UTSNAME)[number], string>;
  timestamp: { seconds: bigint; microseconds: bigint };
  pageSize: number;
  /** One more than the highest pfn: the length of the bitmaps. */
  maxMapnr: number;
  nrCpus: number;
  physBase: bigint;
  dumpLevel: number;
  /** The ELF notes as they are, and where VMCOREINFO's text lies in them. */
  notes: Uint8Array;
  vmcoreinfo: Extent;
  /** A file of a split set: the pages that it holds. */
  split?: { startPfn: number; endPfn: number };
}

export interface KdumpPages {
  /** The pages that memory has. */
  exist: PageBitmap;
  /** Those of them that are dumped; pages of zeros, which dump level 1 leaves out, among them. */
  dumped: PageBitmap;
  /** As MemorySource.read. */
  read(physical: number, length: number): Promise<Uint8Array>;
  codec: Codec | null;
  compress: PageCompressor;
  /** Told after each batch how many pages of this file are done. */
  progress?(pages: number): void;
}

/** What buffers hold before they are written: makedumpfile's own size. */
const BUFFER_SIZE = 64 * 1024;

export interface Written {
  /** Pages of zeros, which share one descriptor. */
  zero: number;
  /** Bytes of the file. */
  bytes: number;
}

/** Writes the dump, or one file of a split set. Throws the sink's errors and those of reading. */
export async function writeKdump(sink: ByteSink, image: KdumpImage, pages: KdumpPages): Promise<Written> {
  const { pageSize, maxMapnr } = image;
  const subBlocks = Math.ceil((KDUMP64.subHeaderSize + image.notes.length) / pageSize);
  const bitmapBlocks = Math.ceil(maxMapnr / 8 / pageSize);
  await sink.write(0, header(image, subBlocks, bitmapBlocks * 2, pages.codec));
  await sink.write(pageSize, subHeader(image, subBlocks));
  const bitmaps = (1 + subBlocks) * pageSize;
  for (const [index, bitmap] of [pages.exist, pages.dumped].entries()) {
    const padded = new Uint8Array(bitmapBlocks * pageSize);
    padded.set(bitmap.bytes);
    await sink.write(bitmaps + index * padded.length, padded);
  }
  const descriptors = bitmaps + 2 * bitmapBlocks * pageSize;
  return writePages(sink, image, pages, descriptors);
}

function header(image: KdumpImage, subBlocks: number, bitmapBlocks: number, codec: Codec | null): Uint8Array {
  const bytes = new Uint8Array(image.pageSize);
  const view = new DataView(bytes.buffer);
  put(bytes, 0, KDUMP_SIGNATURE);
  for (const [index, member] of UTSNAME.entries()) {
    put(bytes, UTSNAME_OFFSET + index * UTSNAME_LENGTH, image.utsname[member].slice(0, UTSNAME_LENGTH - 1));
  }
  const fields: [keyof typeof KDUMP64.header, number | bigint][] = [
    ["version", HEADER_VERSION],
    ["seconds", image.timestamp.seconds],
    ["microseconds", image.timestamp.microseconds],
    ["status", codec === null ? 0 : CODECS[codec]],
    ["blockSize", image.pageSize],
    ["subHdrSize", subBlocks],
    ["bitmapBlocks", bitmapBlocks],
    ["maxMapnr", image.maxMapnr % 2 ** 32],
    ["nrCpus", image.nrCpus],
  ];
  for (const [name, value] of fields) setField(view, KDUMP64.header[name], 0, value);
  return bytes;
}

function subHeader(image: KdumpImage, blocks: number): Uint8Array {
  const { pageSize, notes, vmcoreinfo, split } = image;
  const bytes = new Uint8Array(blocks * pageSize);
  const view = new DataView(bytes.buffer);
  const notesAt = pageSize + KDUMP64.subHeaderSize;
  const fields: [SubField, number | bigint][] = [
    ["physBase", image.physBase],
    ["dumpLevel", image.dumpLevel],
    ["split", split === undefined ? 0 : 1],
    ["startPfn", split?.startPfn ?? 0],
    ["endPfn", split?.endPfn ?? 0],
    ["offsetVmcoreinfo", vmcoreinfo.size === 0 ? 0 : notesAt + vmcoreinfo.offset],
    ["sizeVmcoreinfo", vmcoreinfo.size],
    ["offsetNote", notes.length === 0 ? 0 : notesAt],
    ["sizeNote", notes.length],
    ["startPfn64", split?.startPfn ?? 0],
    ["endPfn64", split?.endPfn ?? 0],
    ["maxMapnr64", image.maxMapnr],
  ];
  for (const [name, value] of fields) {
    const [field] = KDUMP64.sub[name];
    setField(view, field, 0, BigInt.asUintN(field[1] * 8, BigInt(value)));
  }
  bytes.set(notes, KDUMP64.subHeaderSize);
  return bytes;
}

async function writePages(
  sink: ByteSink,
  image: KdumpImage,
  pages: KdumpPages,
  at: number,
): Promise<Written> {
  const { pageSize, dumpLevel, split } = image;
  const { dumped, codec } = pages;
  const descriptors = new BufferedWriter(sink, at, BUFFER_SIZE);
  // Each file of a split set has room for the descriptors of all.
  const data = new BufferedWriter(sink, at + dumped.count() * PAGE_DESC.size, BUFFER_SIZE);
  const findZero = (dumpLevel & 1) !== 0;
  const zeroAt = data.position;
  let zero = 0;
  if (findZero) await data.append(new Uint8Array(pageSize));

  const descriptor = new Uint8Array(PAGE_DESC.size);
  const view = new DataView(descriptor.buffer);
  const batch = new Uint8Array(BATCH_SIZE);
  const end = Math.min(split?.endPfn ?? dumped.pages, dumped.pages);
  let pfn = dumped.next(split?.startPfn ?? 0);
  for (let done = 0; pfn < end; ) {
    const pfns: number[] = [];
    for (; pfn < end && (pfns.length + 1) * pageSize <= BATCH_SIZE; pfn = dumped.next(pfn + 1))
      pfns.push(pfn);
    await readPages(pages, pfns, pageSize, batch);
    for (const page of pages.compress(batch.subarray(0, pfns.length * pageSize), pageSize, findZero)) {
      setField(view, PAGE_DESC.offset, 0, page.zero ? zeroAt : data.position);
      setField(view, PAGE_DESC.bytes, 0, page.zero ? pageSize : page.bytes.length);
      setField(view, PAGE_DESC.flags, 0, page.zero || page.stored || codec === null ? 0 : CODECS[codec]);
      if (page.zero) zero++;
      await descriptors.append(descriptor);
      await data.append(page.bytes);
    }
    done += pfns.length;
    pages.progress?.(done);
  }
  await descriptors.flush();
  await data.flush();
  return { zero, bytes: data.position };
}

/** Reads the pages into `batch`, neighbours at once. */
async function readPages(
  pages: KdumpPages,
  pfns: readonly number[],
  pageSize: number,
  batch: Uint8Array,
): Promise<void> {
  for (let from = 0; from < pfns.length; ) {
    let to = from + 1;
    while (to < pfns.length && pfns[to] === pfns[to - 1]! + 1) to++;
    batch.set(await pages.read(pfns[from]! * pageSize, (to - from) * pageSize), from * pageSize);
    from = to;
  }
}

function put(bytes: Uint8Array, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
}
