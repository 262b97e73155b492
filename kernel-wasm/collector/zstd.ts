/**
 * Zstandard frames (RFC 8878), decompressed within bounds: what ZSTD_compress makes of a page. No
 * dictionaries; a checksum at the end is passed over, as pages are checked by nobody in the other formats
 * either. Literals are huffman.ts's, tables of states fse.ts's.
 */
import { bits_finished, bits_open, bits_overrun, bits_take } from "./bits";
import { fse_entries, make_fse, read_fse, rle_fse } from "./fse";
import { literals_at, literals_size, read_literals, reset_literals } from "./huffman";
import { BAD_INPUT, copy_match, TABLES, TOO_LONG, UNSUPPORTED, wild_copy } from "./memory";

const MAGIC: u32 = 0xfd2fb528;
const BLOCK_MAX: usize = 128 * 1024;

/** The three tables of a frame; they stay for blocks that repeat them. */
const LENGTHS: usize = TABLES;
const OFFSETS: usize = TABLES + 0x1000;
const MATCHES: usize = TABLES + 0x2000;

const LENGTH_CODES: u32 = 36;
const OFFSET_CODES: u32 = 32;
const MATCH_CODES: u32 = 53;

const LENGTH_DEFAULT = memory.data<i8>([
  4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1,
  -1, -1, -1,
]);
const OFFSET_DEFAULT = memory.data<i8>([
  1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1,
]);
const MATCH_DEFAULT = memory.data<i8>([
  1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
  1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
]);
const LENGTH_BASE = memory.data<u32>([
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 128,
  256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536,
]);
const LENGTH_EXTRA = memory.data<u8>([
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13,
  14, 15, 16,
]);
const MATCH_BASE = memory.data<u32>([
  3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
  30, 31, 32, 33, 34, 35, 37, 39, 41, 43, 47, 51, 59, 67, 83, 99, 131, 259, 515, 1027, 2051, 4099, 8195,
  16387, 32771, 65539,
]);
const MATCH_EXTRA = memory.data<u8>([
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1,
  1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
]);

/** Accuracy of the three tables; 0xff when a frame has none yet. */
let length_log: u32 = 0xff;
let offset_log: u32 = 0xff;
let match_log: u32 = 0xff;
/** The last three distances. */
let repeat1: usize = 1;
let repeat2: usize = 4;
let repeat3: usize = 8;

/** What read_table gives: where the input goes on (0: damaged), and the table's accuracy. */
let table_log: u32 = 0;

function read_table(
  mode: u32,
  at: usize,
  end: usize,
  table: usize,
  codes: u32,
  most: u32,
  given: usize,
  given_codes: u32,
  given_log: u32,
  previous: u32,
): usize {
  if (mode == 0) {
    for (let i: u32 = 0; i < given_codes; i++) store<i16>(fse_entries() + (i << 1), load<i8>(given + i));
    make_fse(table, given_codes, given_log);
    table_log = given_log;
    return at;
  }
  if (mode == 1) {
    if (at >= end || load<u8>(at) >= codes) return 0;
    rle_fse(table, load<u8>(at));
    table_log = 0;
    return at + 1;
  }
  if (mode == 2) {
    const log = read_fse(at, end, table, codes, most);
    if (log < 0) return 0;
    table_log = <u32>log & 15;
    return at + <usize>(log >> 4);
  }
  if (previous == 0xff) return 0;
  table_log = previous;
  return at;
}

/** The distance that an offset value stands for, after which it is the last one; 0 for none. */
function distance_of(value: usize, literals: usize): usize {
  let distance: usize;
  if (value > 3) distance = value - 3;
  else {
    const which = literals == 0 ? value + 1 : value;
    if (which == 1) return repeat1;
    if (which == 2) distance = repeat2;
    else {
      distance = which == 3 ? repeat3 : repeat1 - 1;
      repeat3 = repeat2;
    }
    repeat2 = repeat1;
    repeat1 = distance;
    return distance;
  }
  repeat3 = repeat2;
  repeat2 = repeat1;
  repeat1 = distance;
  return distance;
}

/** A compressed block. Returns the new end of the output, or an error as a negative i32. */
function block(at: usize, end: usize, output: usize, op: usize, stop: usize): isize {
  let ip = read_literals(at, end);
  if (ip == 0 || ip >= end) return BAD_INPUT;
  let literals = literals_at();
  let left = literals_size();
  let sequences = <u32>load<u8>(ip++);
  if (sequences == 0) {
    if (ip != end) return BAD_INPUT;
  } else {
    if (sequences >= 128) {
      if (sequences == 255) {
        if (end - ip < 2) return BAD_INPUT;
        sequences = <u32>load<u16>(ip) + 0x7f00;
        ip += 2;
      } else {
        if (ip >= end) return BAD_INPUT;
        sequences = ((sequences - 128) << 8) + load<u8>(ip++);
      }
    }
    if (ip >= end) return BAD_INPUT;
    const modes = <u32>load<u8>(ip++);
    if ((modes & 3) != 0) return BAD_INPUT;
    ip = read_table(modes >> 6, ip, end, LENGTHS, LENGTH_CODES, 9, LENGTH_DEFAULT, 36, 6, length_log);
    if (ip == 0) return BAD_INPUT;
    length_log = table_log;
    ip = read_table((modes >> 4) & 3, ip, end, OFFSETS, OFFSET_CODES, 8, OFFSET_DEFAULT, 29, 5, offset_log);
    if (ip == 0) return BAD_INPUT;
    offset_log = table_log;
    ip = read_table((modes >> 2) & 3, ip, end, MATCHES, MATCH_CODES, 9, MATCH_DEFAULT, 53, 6, match_log);
    if (ip == 0) return BAD_INPUT;
    match_log = table_log;

    if (!bits_open(ip, end)) return BAD_INPUT;
    // An entry: symbol, bits of the next state, base of the next state.
    let length_state = load<u32>(LENGTHS + (<usize>bits_take(length_log) << 2));
    let offset_state = load<u32>(OFFSETS + (<usize>bits_take(offset_log) << 2));
    let match_state = load<u32>(MATCHES + (<usize>bits_take(match_log) << 2));
    while (true) {
      const offset_code = offset_state & 0xff;
      const value = (<usize>1 << offset_code) + bits_take(offset_code);
      const match_code = match_state & 0xff;
      const size = load<u32>(MATCH_BASE + (match_code << 2)) + bits_take(load<u8>(MATCH_EXTRA + match_code));
      const length_code = length_state & 0xff;
      const run =
        load<u32>(LENGTH_BASE + (length_code << 2)) + bits_take(load<u8>(LENGTH_EXTRA + length_code));
      if (bits_overrun()) return BAD_INPUT;
      const distance = distance_of(value, run);
      if (run > left || run > stop - op) return run > left ? BAD_INPUT : TOO_LONG;
      wild_copy(op, literals, run);
      op += run;
      literals += run;
      left -= run;
      if (distance == 0 || distance > op - output) return BAD_INPUT;
      if (size > stop - op) return TOO_LONG;
      copy_match(op, distance, size);
      op += size;
      if (--sequences == 0) break;
      length_state = load<u32>(
        LENGTHS + (<usize>((length_state >> 16) + bits_take((length_state >> 8) & 0xff)) << 2),
      );
      match_state = load<u32>(
        MATCHES + (<usize>((match_state >> 16) + bits_take((match_state >> 8) & 0xff)) << 2),
      );
      offset_state = load<u32>(
        OFFSETS + (<usize>((offset_state >> 16) + bits_take((offset_state >> 8) & 0xff)) << 2),
      );
    }
    if (!bits_finished()) return BAD_INPUT;
  }
  if (left > stop - op) return TOO_LONG;
  wild_copy(op, literals, left);
  return op + left;
}

/** Decompresses one frame into at most `limit` bytes; the bytes written, or an error below 0. */
export function zstd_decompress(input: usize, length: usize, output: usize, limit: usize): i32 {
  if (length < 9 || load<u32>(input) != MAGIC) return BAD_INPUT;
  const end = input + length;
  const descriptor = <u32>load<u8>(input + 4);
  if ((descriptor & 8) != 0) return BAD_INPUT;
  if ((descriptor & 3) != 0) return UNSUPPORTED;
  const single = (descriptor & 0x20) != 0;
  const size_flag = descriptor >> 6;
  let ip = input + 5 + (single ? 0 : 1) + (size_flag == 0 ? (single ? 1 : 0) : 1 << size_flag);
  length_log = offset_log = match_log = 0xff;
  repeat1 = 1;
  repeat2 = 4;
  repeat3 = 8;
  reset_literals();
  let op = output;
  const stop = output + limit;
  let last: u32;
  do {
    if (ip > end || end - ip < 3) return BAD_INPUT;
    const header = <u32>load<u16>(ip) | (<u32>load<u8>(ip + 2) << 16);
    ip += 3;
    last = header & 1;
    const kind = (header >> 1) & 3;
    const size = <usize>(header >> 3);
    if (kind == 3 || size > BLOCK_MAX) return BAD_INPUT;
    const stored: usize = kind == 1 ? 1 : size;
    if (stored > end - ip) return BAD_INPUT;
    if (kind == 2) {
      const next = block(ip, ip + size, output, op, stop);
      if (next < 0) return <i32>next;
      op = <usize>next;
    } else {
      if (size > stop - op) return TOO_LONG;
      if (kind == 0) memory.copy(op, ip, size);
      else memory.fill(op, load<u8>(ip), size);
      op += size;
    }
    ip += stored;
  } while (!last);
  if ((descriptor & 4) != 0) ip += 4;
  return ip == end ? <i32>(op - output) : BAD_INPUT;
}
