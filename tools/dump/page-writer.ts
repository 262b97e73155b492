/**
 * writePages: descriptors and data of the pages of a kdump-compressed dump, behind its headers and bitmaps
 * (kdump-writer.ts). packPages is what each thread that helps does: it takes batches of the chain (chain.ts),
 * reads, compresses and writes each.
 */
import { Chain, ChainStopped } from "./chain.ts";
import { BATCH_SIZE, type Codec } from "./codecs.ts";
import type { PageCompressor } from "./compress.ts";
import { PAGE_DESC } from "./kdump-header.ts";
import type { KdumpImage } from "./kdump-writer.ts";
import type { MemorySource } from "./memory-source.ts";
import type { PageBitmap } from "./page-bitmap.ts";
import type { ByteSink } from "./sink.ts";

export interface KdumpPages {
  /** The pages that memory has. */
  exist: PageBitmap;
  /** Those of them that are dumped; pages of zeros, which dump level 1 leaves out, among them. */
  dumped: PageBitmap;
  read: MemorySource["read"];
  codec: Codec | null;
  compress: PageCompressor;
  /** Told after batches how many pages of this file are done. */
  progress?(pages: number): Promise<void>;
  /** Threads that pack beside this one. */
  crew?: Crew;
}

/** Threads that know the dump and the file, and wait for work. */
export interface Crew {
  /**
   * They do packPages too. Resolves when all are through, rejects with the error of one that could not go on;
   * the chain is stopped then.
   */
  pack(work: PackWork): Promise<void>;
  /** Gives this thread the time to hear whether one of them has died. */
  listen(): Promise<void>;
}

/** Where the pages go, and how. */
export interface PackPlan {
  pageSize: number;
  /** The page behind the last one of this file. */
  end: number;
  /** Pages of zeros are left out: they share their data, at offset `zeroAt` of the file. */
  findZero: boolean;
  zeroAt: number;
  /** Offset of the page descriptors. */
  descriptors: number;
  codec: Codec | null;
}

/**
 * What another thread needs to know: memory of the Chain and of the PageBitmap, and pages that this is for.
 */
export interface PackWork {
  plan: PackPlan;
  chain: SharedArrayBuffer;
  dumped: SharedArrayBuffer;
  pages: number;
}

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
  const { dumped, codec, crew, progress } = pages;
  const findZero = (dumpLevel & 1) !== 0;
  // Each file of a split set has room for the descriptors of all.
  const zeroAt = at + dumped.count() * PAGE_DESC.size;
  if (findZero) await sink.write(zeroAt, new Uint8Array(pageSize));
  const data = zeroAt + (findZero ? pageSize : 0);
  const start = split?.startPfn ?? 0;
  const end = Math.min(split?.endPfn ?? dumped.pages, dumped.pages);
  const size = batchSize(pageSize);
  const chain = Chain.of(dumped, { start, end, size, at: data, shared: crew !== undefined });
  const plan: PackPlan = { pageSize, end, findZero, zeroAt, descriptors: at, codec };
  const others = crew?.pack(workOf(plan, chain, dumped));
  // One that died stops the rest; who it was is told below.
  others?.catch(() => chain.stop());
  try {
    await packPages(plan, chain, dumped, {
      ...pages,
      sink,
      packed: async () => progress?.(chain.done * size),
      idle: async () => crew?.listen(),
    });
  } catch (error) {
    if (!(error instanceof ChainStopped)) {
      await others?.catch(() => {});
      throw error;
    }
  }
  // Threads that came too late to do anything are not waited for.
  if (chain.done < chain.batches) await others;
  return { zero: chain.zero, bytes: chain.end };
}

/** Pages of a batch. */
function batchSize(pageSize: number): number {
  return Math.floor(BATCH_SIZE / pageSize);
}

function workOf(plan: PackPlan, chain: Chain, dumped: PageBitmap): PackWork {
  const memory = new SharedArrayBuffer(dumped.bytes.length);
  new Uint8Array(memory).set(dumped.bytes);
  return { plan, chain: chain.memory as SharedArrayBuffer, dumped: memory, pages: dumped.pages };
}

/** What a thread has of its own. */
export interface Packer {
  read: MemorySource["read"];
  compress: PageCompressor;
  sink: ByteSink;
  /** Called after each batch. */
  packed?(): Promise<void>;
  /** Called now and then while others are slower. */
  idle?(): Promise<void>;
}

/**
 * Reads, compresses and writes batches of the chain as long as there are any. Throws the sink's errors and
 * those of reading, of which that of the earliest batch is the one that stops the chain; the other threads
 * get ChainStopped.
 */
export async function packPages(
  plan: PackPlan,
  chain: Chain,
  dumped: PageBitmap,
  packer: Packer,
): Promise<void> {
  const { compress, sink } = packer;
  const size = batchSize(plan.pageSize);
  for (let batch = chain.take(); batch !== null; batch = chain.take()) {
    let data: Uint8Array;
    try {
      const count = await readBatch(plan, dumped, chain.first(batch), size, packer);
      data = compress.compress(count, plan.pageSize, plan.findZero);
    } catch (error) {
      await chain.turn(batch, packer.idle);
      chain.stop();
      throw error;
    }
    await chain.turn(batch, packer.idle);
    const at = chain.place(data.length);
    const { bytes, zero } = compress.descriptors(at, plan.zeroAt);
    try {
      // Descriptors first: of data that finds no more room the beginning can be read.
      await sink.write(plan.descriptors + batch * size * PAGE_DESC.size, bytes);
      if (data.length > 0) await sink.write(at, data);
    } catch (error) {
      chain.stop();
      throw error;
    }
    chain.finish(zero);
    await packer.packed?.();
  }
}

/** Reads up to `size` dumped pages from `first` on to where they are compressed, neighbours at once. */
async function readBatch(
  { pageSize, end }: PackPlan,
  dumped: PageBitmap,
  first: number,
  size: number,
  { read, compress }: Packer,
): Promise<number> {
  let count = 0;
  for (let from = first; from < end && count < size; ) {
    let to = from + 1;
    while (to < end && count + (to - from) < size && dumped.has(to)) to++;
    const length = (to - from) * pageSize;
    const place = compress.pages.subarray(count * pageSize, count * pageSize + length);
    const bytes = await read(from * pageSize, length, place);
    if (bytes !== place) place.set(bytes);
    count += to - from;
    from = dumped.next(to);
  }
  return count;
}
