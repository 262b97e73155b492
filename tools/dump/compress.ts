/**
 * Compressing of pages for writers: zlib, LZO and snappy in WebAssembly (codecs.ts), zstd by a function of
 * the host, which the command that writes hands over.
 */
import { type Codec, type Compress, newCodecs } from "./codecs.ts";

/** Compressors of the host, for a page each; one that an engine has not is absent. */
export interface HostCompressors {
  /** A Zstandard frame, level 1. */
  zstd?: Compress;
}

/** Of one writer. Views are valid until the next compress(). */
export interface PageCompressor {
  /** BATCH_SIZE bytes: pages are put here, one behind the other. */
  readonly pages: Uint8Array;
  /**
   * Compresses the first `count` of them, each of `size` bytes by itself: the bytes that came out. A page
   * that would not get smaller is stored; with `findZero` pages of zeros have no bytes.
   */
  compress(count: number, size: number, findZero: boolean): Uint8Array;
  /**
   * Their page descriptors, and how many are pages of zeros: their bytes lie at offset `at` of the file, the
   * one page of zeros at `zeroAt`.
   */
  descriptors(at: number, zeroAt: number): { bytes: Uint8Array; zero: number };
}

/**
 * A compressor for one writer. Null as codec stores pages as they are. Null is returned when this host has no
 * such compressor.
 */
export async function pageCompressor(
  codec: Codec | null,
  host: HostCompressors = {},
): Promise<PageCompressor | null> {
  const by = codec === "zstd" ? host.zstd : codec;
  if (by === undefined) return null;
  const codecs = await newCodecs();
  let last = { count: 0, size: 0 };
  return {
    pages: codecs.pages,
    compress: (count, size, findZero) => {
      last = { count, size };
      return codecs.compress(by, count, size, findZero);
    },
    descriptors: (at, zeroAt) => codecs.descriptors(codec, last.count, last.size, at, zeroAt),
  };
}
