/**
 * What writers do with many pages at a time: find those of zeros, compress the others, and make the page
 * descriptors of what came out. All stand in the input area of memory.ts, one behind the other.
 */
import { zlib_compress } from "./deflate";
import { lzo1x_compress } from "./lzo1x";
import { DESCRIPTORS, IN, OUT, SIZES } from "./memory";
import { snappy_compress } from "./snappy";

/** Page descriptors' flags (include/linux/diskdump of makedumpfile: DUMP_DH_COMPRESSED_*). */
export const ZLIB: u32 = 1;
export const LZO: u32 = 2;
export const SNAPPY: u32 = 4;
export const ZSTD: u32 = 32;

/** The size of a page that is stored as it is, because compressing does not make it smaller. */
export const STORED: u32 = 0x80000000;
/** The size of a page of zeros, which has no bytes in the output. */
export const ZERO: u32 = 0x40000000;

/** struct page_desc: offset, size, flags and page_flags, of 8, 4, 4 and 8 bytes. */
const PAGE_DESC_SIZE: usize = 24;

export function sizes(): usize {
  return SIZES;
}

export function descriptors(): usize {
  return DESCRIPTORS;
}

/** Whether all bytes of [at, at + size) are zero; size is a multiple of 64. */
export function is_zero(at: usize, size: usize): bool {
  const end = at + size;
  for (; at < end; at += 64) {
    const low = v128.or(v128.load(at), v128.load(at, 16));
    const high = v128.or(v128.load(at, 32), v128.load(at, 48));
    if (v128.any_true(v128.or(low, high))) return false;
  }
  return true;
}

/**
 * Takes `pages` pages of `size` bytes (1024 to 65536) from the input, compresses each by itself (zlib, LZO
 * or snappy; any other codec: stores it) and puts them one behind the other into the output. `sizes` has for
 * each the bytes there, with STORED when they are the page itself; with `find_zero`, ZERO for a page of
 * zeros, which is left out. Returns the bytes of output. All pages together must have OUT_SIZE - 0x40000
 * bytes at most.
 */
export function compress_pages(codec: u32, pages: u32, size: u32, find_zero: bool): usize {
  let from = IN;
  let to = OUT;
  /** Where the first page of zeros went: the others are packed alike. */
  let zeros: usize = 0;
  let zeros_entry: u32 = 0;
  for (let page: u32 = 0; page < pages; page++, from += size) {
    const entry = SIZES + (page << 2);
    const zero = is_zero(from, size);
    if (zero && find_zero) {
      store<u32>(entry, ZERO);
      continue;
    }
    if (zero && zeros != 0) {
      const bytes: usize = zeros_entry & ~STORED;
      memory.copy(to, zeros, bytes);
      store<u32>(entry, zeros_entry);
      to += bytes;
      continue;
    }
    const start = to;
    let packed: usize = size;
    if (codec == LZO) packed = lzo1x_compress(from, size, to);
    else if (codec == SNAPPY) packed = snappy_compress(from, size, to);
    else if (codec == ZLIB) packed = zlib_compress(from, size, to);
    if (packed < size) {
      store<u32>(entry, <u32>packed);
      to += packed;
    } else {
      memory.copy(to, from, size);
      store<u32>(entry, size | STORED);
      to += size;
    }
    if (zero) {
      zeros = start;
      zeros_entry = load<u32>(entry);
    }
  }
  return to - OUT;
}

/**
 * The same without a codec, in place: the pages that are not left out as zeros move together in the input,
 * where nothing is copied before the first that is. Returns their bytes.
 */
export function store_pages(pages: u32, size: u32, find_zero: bool): usize {
  let from = IN;
  let to = IN;
  for (let page: u32 = 0; page < pages; page++, from += size) {
    const entry = SIZES + (page << 2);
    if (find_zero && is_zero(from, size)) {
      store<u32>(entry, ZERO);
      continue;
    }
    if (to != from) memory.copy(to, from, size);
    store<u32>(entry, size | STORED);
    to += size;
  }
  return to - IN;
}

/**
 * Writes the page descriptors of the `pages` pages that `sizes` describes, whose bytes lie in the file from
 * offset `at` on, to `descriptors`. Those that are compressed are so by `codec`; a page of zeros has its
 * bytes at `zero_at`. Returns the pages of zeros.
 */
export function page_descriptors(codec: u32, pages: u32, size: u32, at: u64, zero_at: u64): u32 {
  let to = DESCRIPTORS;
  let zeros: u32 = 0;
  for (let page: u32 = 0; page < pages; page++, to += PAGE_DESC_SIZE) {
    const entry = load<u32>(SIZES + (page << 2));
    const zero = entry == ZERO;
    const stored = entry >= ZERO;
    const bytes = zero ? size : entry & ~STORED;
    store<u64>(to, zero ? zero_at : at);
    store<u32>(to, bytes, 8);
    store<u32>(to, stored ? 0 : codec, 12);
    store<u64>(to, 0, 16);
    if (zero) zeros++;
    else at += bytes;
  }
  return zeros;
}
