/**
 * A compressor for zlib streams (RFC 1950) of deflate (RFC 1951), one block with codes of its own for a page:
 * matches are looked for as in lzo1x.ts, which is fast, and what comes out gets prefix codes.
 *
 *     2 bytes          78 01
 *     3 bits           last block, with codes of its own
 *     14 bits          how many codes for literals and lengths, distances, and code lengths there are
 *     ...              the codes' lengths, in a code of their own, then literals, lengths and distances
 *     4 bytes          Adler-32 of the page, high byte first
 */
import { match_length, TABLES } from "./memory";
import { prefix_code } from "./prefix-code";

const HASH_BITS: u32 = 12;
/** Where positions lie by their hash; 8 bytes for each match: literals before it, its length and distance. */
const HASH: usize = TABLES;
const MATCHES: usize = TABLES + 0x10000;
/** Frequencies and codes of literals and lengths, of distances, and of code lengths. */
const LITERAL_COUNTS: usize = TABLES + 0x68000;
const DISTANCE_COUNTS: usize = TABLES + 0x68800;
const LENGTH_COUNTS: usize = TABLES + 0x68a00;
const LITERALS: usize = TABLES + 0x69000;
const DISTANCES: usize = TABLES + 0x69800;
const LENGTHS: usize = TABLES + 0x69a00;
/** The lengths of codes as they are written: symbol, and its extra bits in the upper half. */
const ITEMS: usize = TABLES + 0x6a000;

const LITERAL_SYMBOLS: u32 = 286;
const DISTANCE_SYMBOLS: u32 = 30;
const LENGTH_SYMBOLS: u32 = 19;
const END_OF_BLOCK: u32 = 256;
/** With literals of 12 bits at most, four fit into what the bit buffer has room for. */
const LITERAL_BITS: u32 = 12;
const DISTANCE_BITS: u32 = 15;
const LENGTH_BITS: u32 = 7;
/** The order in which the lengths of LENGTHS come, five bits each. */
const ORDER = memory.data<u8>([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]);

const MATCH_MAX: usize = 258;
const DISTANCE_MAX: usize = 32768;
/** The last bytes are literals: the hash reads four. */
const TAIL: usize = 8;

const ADLER_BASE: u32 = 65521;
/** Bytes after which the sums of Adler-32 still fit. */
const ADLER_RUN: usize = 5552;

/** Adler-32 of `length` bytes, a multiple of 16. */
export function adler32(at: usize, length: usize): u32 {
  let a: u32 = 1;
  let b: u32 = 0;
  const upper = i16x8(16, 15, 14, 13, 12, 11, 10, 9);
  const lower = i16x8(8, 7, 6, 5, 4, 3, 2, 1);
  for (let end = at + length; at < end; ) {
    const stop = min(end, at + ADLER_RUN);
    b += a * <u32>(stop - at);
    /** Sums of bytes; of those sums before each step; of bytes by how often they count in their step. */
    let sums = i32x4.splat(0);
    let before = i32x4.splat(0);
    let weighted = i32x4.splat(0);
    for (; at < stop; at += 16) {
      const bytes = v128.load(at);
      before = i32x4.add(before, sums);
      sums = i32x4.add(sums, i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(bytes)));
      weighted = i32x4.add(weighted, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(bytes), upper));
      weighted = i32x4.add(weighted, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(bytes), lower));
    }
    a = (a + across(sums)) % ADLER_BASE;
    b = (b % ADLER_BASE + across(weighted) % ADLER_BASE + (across(before) % ADLER_BASE) * 16) % ADLER_BASE;
  }
  return (b << 16) | a;
}

@inline function across(four: v128): u32 {
  const two = i32x4.extract_lane(four, 0) + i32x4.extract_lane(four, 1);
  return <u32>(two + i32x4.extract_lane(four, 2) + i32x4.extract_lane(four, 3));
}

@inline function bump(table: usize, symbol: u32): void {
  const at = table + (symbol << 2);
  store<u32>(at, load<u32>(at) + 1);
}

/** The symbol of a match's length, less 3; its extra bits are the length's lower ones. */
@inline function length_symbol(length: u32): u32 {
  if (length < 8) return 257 + length;
  if (length == 255) return 285;
  const bits = 29 - clz(length);
  return 261 + (bits << 2) + ((length >> bits) & 3);
}

@inline function length_extra(length: u32): u32 {
  return length < 8 || length == 255 ? 0 : 29 - clz(length);
}

/** The same of a distance, less 1. */
@inline function distance_symbol(distance: u32): u32 {
  if (distance < 4) return distance;
  const bits = 30 - clz(distance);
  return (bits << 1) + 2 + ((distance >> bits) & 1);
}

@inline function distance_extra(distance: u32): u32 {
  return distance < 4 ? 0 : 30 - clz(distance);
}

@inline function put_match(to: usize, literals: usize, length: usize, distance: usize): usize {
  store<u32>(to, <u32>literals);
  store<u16>(to, <u16>(length - 3), 4);
  store<u16>(to, <u16>(distance - 1), 6);
  bump(LITERAL_COUNTS, length_symbol(<u32>length - 3));
  bump(DISTANCE_COUNTS, distance_symbol(<u32>distance - 1));
  return to + 8;
}

function count_literals(from: usize, to: usize): void {
  for (; from < to; from++) bump(LITERAL_COUNTS, load<u8>(from));
}

/** Fills MATCHES and counts symbols; where MATCHES ends. */
function find_matches(input: usize, length: usize): usize {
  const end = input + length;
  const limit = end - TAIL;
  let to = MATCHES;
  let literals = input;
  memory.fill(HASH, 0, 2 << HASH_BITS);
  memory.fill(LITERAL_COUNTS, 0, LITERAL_SYMBOLS << 2);
  memory.fill(DISTANCE_COUNTS, 0, DISTANCE_SYMBOLS << 2);
  let ip = input + 1;
  while (ip < limit) {
    const sequence = load<u32>(ip);
    const entry = HASH + (<usize>((sequence * 0x9e3779b1) >> (32 - HASH_BITS)) << 1);
    const match = input + load<u16>(entry);
    store<u16>(entry, <u16>(ip - input));
    const distance = ip - match;
    if (load<u32>(match) != sequence || distance > DISTANCE_MAX) {
      ip += 1 + ((ip - literals) >> 5);
      continue;
    }
    count_literals(literals, ip);
    let run = ip - literals;
    let size: usize = 4 + match_length(match + 4, ip + 4, end);
    ip += size;
    literals = ip;
    while (size > MATCH_MAX) {
      // What is left of it must be a match again.
      const part = size - MATCH_MAX < 3 ? MATCH_MAX - 3 : MATCH_MAX;
      to = put_match(to, run, part, distance);
      size -= part;
      run = 0;
    }
    to = put_match(to, run, size, distance);
  }
  count_literals(literals, end);
  bump(LITERAL_COUNTS, END_OF_BLOCK);
  return to;
}

/** Bits of all that have a code of `codes`. */
function bits_of(counts: usize, codes: usize, symbols: u32): u32 {
  let sum: u32 = 0;
  for (let at: usize = 0; at < symbols << 2; at += 4) {
    sum += load<u32>(counts + at) * (load<u32>(codes + at) >> 16);
  }
  return sum;
}

/** Symbols up to the last one that has a code, `least` or more. */
function used(codes: usize, symbols: u32, least: u32): u32 {
  while (symbols > least && load<u32>(codes + ((symbols - 1) << 2)) == 0) symbols--;
  return symbols;
}

@inline function put_item(to: usize, symbol: u32, extra: u32): usize {
  bump(LENGTH_COUNTS, symbol);
  store<u32>(to, symbol | (extra << 16));
  return to + 4;
}

/** The length of a code: of literals first, then of distances. */
@inline function length_at(index: u32, literals: u32): u32 {
  const at = index < literals ? LITERALS + (index << 2) : DISTANCES + ((index - literals) << 2);
  return load<u32>(at) >> 16;
}

/** Fills ITEMS; where they end. */
function describe_codes(literals: u32, distances: u32): usize {
  memory.fill(LENGTH_COUNTS, 0, LENGTH_SYMBOLS << 2);
  const all = literals + distances;
  let to = ITEMS;
  for (let index: u32 = 0; index < all; ) {
    const length = length_at(index, literals);
    let run: u32 = 1;
    while (index + run < all && length_at(index + run, literals) == length) run++;
    index += run;
    if (length == 0) {
      for (; run >= 11; run -= min(run, 138)) to = put_item(to, 18, min(run, 138) - 11);
      if (run >= 3) {
        to = put_item(to, 17, run - 3);
        run = 0;
      }
    } else {
      to = put_item(to, length, 0);
      run--;
      for (; run >= 3; run -= min(run, 6)) to = put_item(to, 16, min(run, 6) - 3);
    }
    for (; run > 0; run--) to = put_item(to, length, 0);
  }
  return to;
}

/** Extra bits of symbols 16, 17 and 18 of a code length. */
@inline function item_extra(symbol: u32): u32 {
  return symbol < 16 ? 0 : symbol == 16 ? 2 : symbol == 17 ? 3 : 7;
}

/**
 * Compresses `length` bytes (1024 to 65536, a multiple of 16) into a zlib stream; its size, or `length` when
 * it would not be smaller, and then nothing of use was written.
 */
export function zlib_compress(input: usize, length: usize, output: usize): usize {
  const last = find_matches(input, length);
  prefix_code(LITERAL_COUNTS, LITERAL_SYMBOLS, LITERAL_BITS, LITERALS);
  prefix_code(DISTANCE_COUNTS, DISTANCE_SYMBOLS, DISTANCE_BITS, DISTANCES);
  // Without extra bits and the codes themselves it is too long already.
  const least = bits_of(LITERAL_COUNTS, LITERALS, LITERAL_SYMBOLS);
  if (least >= <u32>length << 3) return length;
  const literals = used(LITERALS, LITERAL_SYMBOLS, 257);
  const distances = used(DISTANCES, DISTANCE_SYMBOLS, 1);
  const items = describe_codes(literals, distances);
  prefix_code(LENGTH_COUNTS, LENGTH_SYMBOLS, LENGTH_BITS, LENGTHS);
  let lengths = LENGTH_SYMBOLS;
  while (lengths > 4 && load<u32>(LENGTHS + (<usize>load<u8>(ORDER + lengths - 1) << 2)) == 0) lengths--;

  store<u16>(output, 0x0178);
  let op = output + 2;
  let bits: u64 = 5 | (<u64>(literals - 257) << 3) | (<u64>(distances - 1) << 8) | (<u64>(lengths - 4) << 13);
  let count: u64 = 17;
  for (let n: u32 = 0; n < lengths; n++) {
    bits |= <u64>(load<u32>(LENGTHS + (<usize>load<u8>(ORDER + n) << 2)) >> 16) << count;
    count += 3;
    store<u64>(op, bits);
    op += <usize>(count >> 3);
    bits >>= count & ~7;
    count &= 7;
  }
  for (let item = ITEMS; item < items; item += 4) {
    const symbol = <u32>load<u16>(item);
    const code = load<u32>(LENGTHS + (symbol << 2));
    bits |= <u64>(code & 0xffff) << count;
    count += code >> 16;
    bits |= <u64>load<u16>(item, 2) << count;
    count += item_extra(symbol);
    store<u64>(op, bits);
    op += <usize>(count >> 3);
    bits >>= count & ~7;
    count &= 7;
  }
  let from = input;
  for (let match = MATCHES; ; match += 8) {
    let run = match < last ? <usize>load<u32>(match) : input + length - from;
    for (; run >= 4; run -= 4, from += 4) {
      const first = load<u32>(LITERALS + (<usize>load<u8>(from) << 2));
      const second = load<u32>(LITERALS + (<usize>load<u8>(from, 1) << 2));
      const third = load<u32>(LITERALS + (<usize>load<u8>(from, 2) << 2));
      const fourth = load<u32>(LITERALS + (<usize>load<u8>(from, 3) << 2));
      bits |= <u64>(first & 0xffff) << count;
      count += first >> 16;
      bits |= <u64>(second & 0xffff) << count;
      count += second >> 16;
      bits |= <u64>(third & 0xffff) << count;
      count += third >> 16;
      bits |= <u64>(fourth & 0xffff) << count;
      count += fourth >> 16;
      store<u64>(op, bits);
      op += <usize>(count >> 3);
      bits >>= count & ~7;
      count &= 7;
    }
    for (; run > 0; run--, from++) {
      const code = load<u32>(LITERALS + (<usize>load<u8>(from) << 2));
      bits |= <u64>(code & 0xffff) << count;
      count += code >> 16;
    }
    store<u64>(op, bits);
    op += <usize>(count >> 3);
    bits >>= count & ~7;
    count &= 7;
    if (match >= last) break;
    const size = <u32>load<u16>(match, 4);
    const distance = <u32>load<u16>(match, 6);
    from += size + 3;
    const size_code = load<u32>(LITERALS + (length_symbol(size) << 2));
    bits |= <u64>(size_code & 0xffff) << count;
    count += size_code >> 16;
    const size_bits = length_extra(size);
    bits |= <u64>(size & ((1 << size_bits) - 1)) << count;
    count += size_bits;
    const distance_code = load<u32>(DISTANCES + (distance_symbol(distance) << 2));
    bits |= <u64>(distance_code & 0xffff) << count;
    count += distance_code >> 16;
    const distance_bits = distance_extra(distance);
    bits |= <u64>(distance & ((1 << distance_bits) - 1)) << count;
    count += distance_bits;
    store<u64>(op, bits);
    op += <usize>(count >> 3);
    bits >>= count & ~7;
    count &= 7;
  }
  const end = load<u32>(LITERALS + (END_OF_BLOCK << 2));
  bits |= <u64>(end & 0xffff) << count;
  count += end >> 16;
  store<u64>(op, bits);
  op += <usize>((count + 7) >> 3);
  store<u32>(op, bswap(adler32(input, length)));
  op += 4;
  return min(op - output, length);
}
