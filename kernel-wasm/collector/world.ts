/**
 * The collector's world (collector.wit) as the canonical ABI of components has it: the functions that it
 * imports, `cabi_realloc`, by which what they return gets into this memory, and where that is.
 *
 * Behind the codecs' memory (memory.ts) lies what stays until the end. What a call returns goes to an area
 * that the caller names, and is overwritten by the next call that names it.
 */
import { END } from "./memory";

@external("wkdump:collector/dump@0.1.0", "describe") declare function dump_describe(result: usize): void;
@external("wkdump:collector/dump@0.1.0", "read-pages")
declare function dump_read_pages(pages: usize, count: usize, result: usize): void;
@external("wkdump:collector/dump@0.1.0", "page-states")
declare function dump_page_states(level: u32, first: u64, count: u32, result: usize): void;
@external("wkdump:collector/output@0.1.0", "write")
declare function output_write(offset: u64, bytes: usize, size: usize, result: usize): void;
@external("wkdump:collector/output@0.1.0", "progress")
declare function output_progress(done: u64, total: u64): void;
@external("wkdump:collector/codecs@0.1.0", "compress")
declare function codecs_compress(codec: u32, pages: usize, size: usize, page_size: u32, result: usize): void;

/** Where imports put their results, the largest of which is 144 bytes; and run() its own. */
const RESULT: usize = 0x100;
const RUN_RESULT: usize = 0x200;

const WASM_PAGE: usize = 0x10000;

/** What stays: from here on nothing is given out yet. */
let free: usize = 0;
/** What a call returns goes here, when it is not 0. */
let area: usize = 0;
let area_end: usize = 0;

/** Memory that stays, zeroed. It traps when the host gives no more. */
export function alloc(size: usize): usize {
  if (free == 0) {
    // The linker has put constants behind what the codecs use.
    if (__heap_base < END) unreachable();
    free = __heap_base;
  }
  const at = (free + 15) & ~15;
  free = at + size;
  const have = <usize>memory.size() * WASM_PAGE;
  if (free > have && memory.grow(<i32>((free - have + WASM_PAGE - 1) / WASM_PAGE)) < 0) unreachable();
  return at;
}

export function cabi_realloc(old: usize, old_size: usize, align: usize, size: usize): usize {
  let at: usize;
  if (area == 0) at = alloc(size);
  else {
    at = (area + align - 1) & ~(align - 1);
    area = at + size;
    if (area > area_end) unreachable();
  }
  memory.copy(at, old, min(old_size, size));
  return at;
}

function into(at: usize, size: usize): void {
  area = at;
  area_end = at + size;
}

/** Of a result: whether it is the error, whose text error_at() and error_size() then are. */
let error_text: usize = 0;
let error_length: usize = 0;

export function error_at(): usize {
  return error_text;
}

export function error_size(): usize {
  return error_length;
}

/** `payload`: where in the result the payload begins. */
function failed(payload: usize): bool {
  area = 0;
  if (load<u8>(RESULT) == 0) return false;
  error_text = load<usize>(RESULT + payload);
  error_length = load<usize>(RESULT + payload + 4);
  return true;
}

/** The address of the record `header`, which stays; 0: failed. */
export function describe(): usize {
  const record = alloc(HEADER_SIZE);
  area = 0;
  dump_describe(RESULT);
  if (failed(8)) return 0;
  memory.copy(record, RESULT + 8, HEADER_SIZE);
  return record;
}

const HEADER_SIZE: usize = 136;

/** Members of the record; text and lists are an address and a length. */
export namespace header {
  @inline export function page_size(at: usize): u32 {
    return load<u32>(at);
  }
  @inline export function end_page(at: usize): u64 {
    return load<u64>(at, 8);
  }
  /** Six texts, one behind the other. */
  @inline export function utsname(at: usize): usize {
    return at + 24;
  }
  @inline export function seconds(at: usize): u64 {
    return load<u64>(at, 72);
  }
  @inline export function microseconds(at: usize): u64 {
    return load<u64>(at, 80);
  }
  @inline export function cpus(at: usize): u32 {
    return load<u32>(at, 88);
  }
  @inline export function phys_base(at: usize): u64 {
    return load<u64>(at, 96);
  }
  @inline export function dump_level(at: usize): u32 {
    return load<u32>(at, 104);
  }
  @inline export function notes(at: usize): usize {
    return load<usize>(at, 116);
  }
  @inline export function notes_size(at: usize): usize {
    return load<usize>(at, 120);
  }
  @inline export function vmcoreinfo_offset(at: usize): u32 {
    return load<u32>(at, 124);
  }
  @inline export function vmcoreinfo_size(at: usize): u32 {
    return load<u32>(at, 128);
  }
}

/** Reads the `count` pages whose u64 numbers lie at `pages` to [at, at + size). False: failed. */
export function read_pages(pages: usize, count: usize, at: usize, size: usize): bool {
  into(at, size);
  dump_read_pages(pages, count, RESULT);
  return !failed(4);
}

/** Puts a state for each page to [at, at + count). False: failed. */
export function page_states(level: u32, first: u64, count: u32, at: usize): bool {
  into(at, count);
  dump_page_states(level, first, count, RESULT);
  return !failed(4);
}

/** False: failed. */
export function write(offset: u64, bytes: usize, size: usize): bool {
  area = 0;
  output_write(offset, bytes, size, RESULT);
  return !failed(4);
}

export function progress(done: u64, total: u64): void {
  output_progress(done, total);
}

/** What compress() gave: sizes (u32) and bytes of the pages. */
export function packed_sizes(): usize {
  return load<usize>(RESULT + 4);
}

export function packed_bytes(): usize {
  return load<usize>(RESULT + 12);
}

export function packed_length(): usize {
  return load<usize>(RESULT + 16);
}

/** Of the enum `codec`. The others are this module's own. */
export const CODEC_ZSTD: u32 = 3;

/** The host compresses the pages in [pages, pages + size) to [at, at + room). False: failed. */
export function compress(
  codec: u32,
  pages: usize,
  size: usize,
  page_size: u32,
  at: usize,
  room: usize,
): bool {
  into(at, room);
  codecs_compress(codec, pages, size, page_size, RESULT);
  return !failed(4);
}

/** What run() returns: a text, as what is to be said or as the error. */
export function returned(error: bool, text: usize, length: usize): usize {
  store<u32>(RUN_RESULT, error ? 1 : 0);
  store<usize>(RUN_RESULT + 4, text);
  store<usize>(RUN_RESULT + 8, length);
  return RUN_RESULT;
}
