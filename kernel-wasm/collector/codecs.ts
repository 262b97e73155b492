/**
 * The codecs' module: what tools/dump calls for pages. One page at a time for readers (`decompress`), many at
 * a time for writers (`compress_pages`), always from the input area to the output area of memory.ts.
 */
import { zlib_decompress } from "./inflate";
import { lzo1x_compress, lzo1x_decompress } from "./lzo1x";
import { IN, IN_SIZE, OUT, OUT_SIZE, TABLES, UNSUPPORTED } from "./memory";
import { snappy_compress, snappy_decompress } from "./snappy";
import { zstd_decompress } from "./zstd";

/** Page descriptors' flags (include/linux/diskdump of makedumpfile: DUMP_DH_COMPRESSED_*). */
const ZLIB: u32 = 1;
const LZO: u32 = 2;
const SNAPPY: u32 = 4;
const ZSTD: u32 = 32;

/** compress_pages writes a u32 for each page here: the bytes it has in the output. */
const SIZES: usize = TABLES + 0x80000;
/** The size of a page that is stored as it is, because compressing does not make it smaller. */
const STORED: u32 = 0x80000000;
/** The size of a page of zeros, which has no bytes in the output. */
const ZERO: u32 = 0x40000000;

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

export function sizes(): usize {
  return SIZES;
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

/** Whether all bytes of [at, at + size) are zero; size is a multiple of 64. */
function is_zero(at: usize, size: usize): bool {
  const end = at + size;
  for (; at < end; at += 64) {
    const low = v128.or(v128.load(at), v128.load(at, 16));
    const high = v128.or(v128.load(at, 32), v128.load(at, 48));
    if (v128.any_true(v128.or(low, high))) return false;
  }
  return true;
}

/**
 * Takes `pages` pages of `size` bytes (1024 to 65536) from the input, compresses each by itself (LZO or
 * snappy; any other codec: stores it) and puts them one behind the other into the output. `sizes` has for
 * each the bytes there, with STORED when they are the page itself; with `find_zero`, ZERO for a page of
 * zeros, which is left out. Returns the bytes of output. All pages together must have OUT_SIZE - 0x40000
 * bytes at most.
 */
export function compress_pages(codec: u32, pages: u32, size: u32, find_zero: bool): usize {
  let from = IN;
  let to = OUT;
  for (let page: u32 = 0; page < pages; page++, from += size) {
    const entry = SIZES + (page << 2);
    if (find_zero && is_zero(from, size)) {
      store<u32>(entry, ZERO);
      continue;
    }
    let packed: usize = size;
    if (codec == LZO) packed = lzo1x_compress(from, size, to);
    else if (codec == SNAPPY) packed = snappy_compress(from, size, to);
    if (packed < size) {
      store<u32>(entry, <u32>packed);
      to += packed;
    } else {
      memory.copy(to, from, size);
      store<u32>(entry, size | STORED);
      to += size;
    }
  }
  return to - OUT;
}
