/**
 * makedumpfile's core as a component: a kdump-compressed dump of the pages that a dump level keeps. Its bytes
 * are those that `wkdump makedumpfile` writes on the same engine.
 */
import { bitmap_size, write_headers } from "./kdump";
import { DESCRIPTORS, IN, IN_SIZE, OUT, OUT_SIZE, SIZES } from "./memory";
import { codec, level, read_options } from "./options";
import { compress_pages, page_descriptors, STORED, store_pages, ZERO, ZSTD } from "./pages";
import { begin, say, say_number, text_at, text_size } from "./text";
import {
  alloc,
  CODEC_ZSTD,
  compress,
  describe,
  error_at,
  error_size,
  header,
  packed_bytes,
  packed_length,
  packed_sizes,
  page_states,
  progress,
  read_pages,
  returned,
  write,
} from "./world";

export { cabi_realloc } from "./world";

/** What the host reads and writes at once; pages are compressed by as many. */
const BATCH_SIZE: u32 = 1024 * 1024;
/** Page states that are asked for at once. */
const STATES: u64 = 1024 * 1024;
const STATE_MISSING: u8 = 0;
const STATE_KEPT: u8 = 1;
const DESCRIPTOR_SIZE: u32 = 24;
/** Descriptors are few bytes a batch: they wait until there are so many. */
const DESCRIPTORS_KEPT: usize = 256 * 1024;

function failed(): usize {
  return returned(true, error_at(), error_size());
}

/** Fills the bitmaps of pages that exist and that are kept. The pages kept, -1: failed. */
function read_states(end: u64, exist: usize, kept: usize): i64 {
  let count: i64 = 0;
  for (let first: u64 = 0; first < end; first += STATES) {
    const pages = <u32>min(STATES, end - first);
    if (!page_states(level, first, pages, IN)) return -1;
    for (let n: u32 = 0; n < pages; n++) {
      const state = load<u8>(IN + n);
      if (state == STATE_MISSING) continue;
      const byte = <usize>((first + n) >> 3);
      const bit = <u8>(<u32>1 << (n & 7));
      store<u8>(exist + byte, load<u8>(exist + byte) | bit);
      if (state != STATE_KEPT) continue;
      store<u8>(kept + byte, load<u8>(kept + byte) | bit);
      count++;
    }
  }
  return count;
}

/** The first page from `page` on that is in the bitmap, or `end`. */
function next_page(bitmap: usize, page: u64, end: u64): u64 {
  while (page < end) {
    const rest = load<u8>(bitmap + <usize>(page >> 3)) >> <u8>(page & 7);
    if (rest != 0) return min(end, page + ctz<u32>(rest));
    page = (page | 7) + 1;
  }
  return end;
}

/** What became of a batch in pack(): where its bytes lie, and how many they are. */
let packed: usize = 0;
let packed_size: usize = 0;

/** Packs the pages in the input area; false: the host failed. */
function pack(pages: u32, page_size: u32): bool {
  const find_zero = (level & 1) != 0;
  if (codec != 0 && codec != ZSTD) {
    packed = OUT;
    packed_size = compress_pages(codec, pages, page_size, find_zero);
    return true;
  }
  packed = IN;
  packed_size = store_pages(pages, page_size, find_zero);
  if (codec == 0 || packed_size == 0) return true;
  if (!compress(CODEC_ZSTD, IN, packed_size, page_size, OUT, OUT_SIZE)) return false;
  packed = packed_bytes();
  packed_size = packed_length();
  let from = packed_sizes();
  for (let n: u32 = 0; n < pages; n++) {
    const entry = SIZES + (n << 2);
    if (load<u32>(entry) == ZERO) continue;
    const size = load<u32>(from);
    store<u32>(entry, size < page_size ? size : page_size | STORED);
    from += 4;
  }
  return true;
}

/** Pages of zeros that were found. */
let zeros: u64 = 0;

/** Writes descriptors, from `at` of the file on, and data of the `count` pages kept. False: failed. */
function write_pages(kept: usize, end: u64, count: u64, page_size: u32, at: u64): bool {
  const most = BATCH_SIZE / page_size;
  const numbers = alloc(<usize>most << 3);
  const descriptors = alloc(DESCRIPTORS_KEPT);
  let waiting: usize = 0;
  let data = at + count * DESCRIPTOR_SIZE;
  const zero_at = data;
  if ((level & 1) != 0) {
    // All pages of zeros share this one.
    if (!write(data, alloc(page_size), page_size)) return false;
    data += page_size;
  }
  let done: u64 = 0;
  for (let page = next_page(kept, 0, end); page < end; ) {
    let pages: u32 = 0;
    for (; page < end && pages < most; page = next_page(kept, page + 1, end)) {
      store<u64>(numbers + (<usize>pages << 3), page);
      pages++;
    }
    if (!read_pages(numbers, pages, IN, IN_SIZE) || !pack(pages, page_size)) return false;
    zeros += page_descriptors(codec, pages, page_size, data, zero_at);
    if (packed_size > 0 && !write(data, packed, packed_size)) return false;
    data += packed_size;
    const size = <usize>pages * DESCRIPTOR_SIZE;
    if (waiting + size > DESCRIPTORS_KEPT) {
      if (!write(at, descriptors, waiting)) return false;
      at += waiting;
      waiting = 0;
    }
    memory.copy(descriptors + waiting, DESCRIPTORS, size);
    waiting += size;
    done += pages;
    progress(done, count);
  }
  return waiting == 0 || write(at, descriptors, waiting);
}

/** The component's export: `args` has `count` texts. The address of a result<string, string>. */
export function run(args: usize, count: usize): usize {
  if (!read_options(args, count)) return returned(true, text_at(), text_size());
  const record = describe();
  if (record == 0) return failed();
  const page_size = header.page_size(record);
  const end = header.end_page(record);
  level |= header.dump_level(record);
  const bitmap = bitmap_size(record);
  const exist = alloc(2 * bitmap);
  const kept = exist + bitmap;
  const pages = read_states(end, exist, kept);
  if (pages < 0) return failed();
  const bitmaps = write_headers(record, level, codec);
  if (bitmaps == 0 || !write(bitmaps, exist, 2 * bitmap)) return failed();
  if (!write_pages(kept, end, pages, page_size, bitmaps + 2 * bitmap)) return failed();
  begin();
  say_number(pages - zeros);
  say(" pages saved, ");
  say_number(zeros);
  say(" more are zeros");
  return returned(false, text_at(), text_size());
}
