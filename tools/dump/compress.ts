/**
 * Compressing of pages for writers: LZO and snappy in WebAssembly (codecs.ts), zlib and zstd by functions of
 * the host, which the command that writes hands over.
 */
import { type Codec, newCodecs, type PackedPage } from "./codecs.ts";

/** Compressors of the host, for a page each; one that an engine has not is absent. */
export interface HostCompressors {
  /** A zlib stream (RFC 1950), level 1. */
  zlib?(page: Uint8Array): Uint8Array;
  /** A Zstandard frame, level 1. */
  zstd?(page: Uint8Array): Uint8Array;
}

/**
 * Compresses the pages of `size` bytes that `pages` holds one behind the other, BATCH_SIZE bytes at most. A
 * page that would not get smaller is stored. What it returns is valid until the next call.
 */
export type PageCompressor = (pages: Uint8Array, size: number, findZero: boolean) => PackedPage[];

/**
 * A compressor for one writer. Null as codec stores pages as they are. Null is returned when this host has no
 * such compressor.
 */
export async function pageCompressor(
  codec: Codec | null,
  host: HostCompressors = {},
): Promise<PageCompressor | null> {
  const codecs = await newCodecs();
  if (codec === null || codec === "lzo" || codec === "snappy") {
    return (pages, size, findZero) => codecs.compressPages(codec, pages, size, findZero);
  }
  const compress = host[codec];
  if (compress === undefined) return null;
  return (pages, size, findZero) =>
    codecs.compressPages(null, pages, size, findZero).map((page, index) => {
      if (page.zero) return page;
      const bytes = compress(pages.subarray(index * size, (index + 1) * size));
      return bytes.length < size ? { bytes, stored: false, zero: false } : page;
    });
}
