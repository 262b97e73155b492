/**
 * writePages: descriptors and data of the pages of a kdump-compressed dump, behind its headers and bitmaps
 * (kdump-writer.ts).
 */
import { BATCH_SIZE, CODECS, type Codec } from "./codecs.ts";
import type { PageCompressor } from "./compress.ts";
import { setField } from "./elf-header.ts";
import { PAGE_DESC } from "./kdump-header.ts";
import type { KdumpImage } from "./kdump-writer.ts";
import type { PageBitmap } from "./page-bitmap.ts";
import { BufferedWriter, type ByteSink } from "./sink.ts";

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

/** Writes the pages from offset `at` of the file on. Throws the sink's errors and those of reading. */
export async function writePages(
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
