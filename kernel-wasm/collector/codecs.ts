/**
 * The codecs' module: what tools/dump calls for pages. One page at a time for readers (`decompress`), many at
 * a time for writers (pages.ts), always from the input area to the output area of memory.ts.
 */
import { zlib_decompress } from "./inflate";
import { lzo1x_decompress } from "./lzo1x";
import { IN, IN_SIZE, OUT, OUT_SIZE, UNSUPPORTED } from "./memory";
import { LZO, SNAPPY, ZLIB, ZSTD } from "./pages";
import { snappy_decompress } from "./snappy";
import { zstd_decompress } from "./zstd";

export { compress_pages, descriptors, is_zero, page_descriptors, sizes, store_pages } from "./pages";

export function input(): usize {
  return IN;
}

export function input_size(): usize {
  return IN_SIZE;
}

export function output(): usize {
  return OUT;
}

export function output_size(): usize {
  return OUT_SIZE;
}

/**
 * Decompresses the first `length` bytes of the input into at most `limit` bytes of output. Returns the bytes
 * written; below 0 that the data are damaged (-1), longer than the limit (-2), or of no codec here (-3).
 */
export function decompress(codec: u32, length: usize, limit: usize): i32 {
  if (length > IN_SIZE || limit > OUT_SIZE) return UNSUPPORTED;
  if (codec == ZLIB) return zlib_decompress(IN, length, OUT, limit);
  if (codec == LZO) return lzo1x_decompress(IN, length, OUT, limit);
  if (codec == SNAPPY) return snappy_decompress(IN, length, OUT, limit);
  if (codec == ZSTD) return zstd_decompress(IN, length, OUT, limit);
  return UNSUPPORTED;
}
