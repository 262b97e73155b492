/**
 * zlib streams (RFC 1950) of deflated data (RFC 1951), decompressed within bounds. Codes of up to FAST bits
 * are found by one look at a table, longer ones by counting through their lengths, as canonical codes allow.
 */
import { BAD_INPUT, copy_match, TABLES, TOO_LONG, UNSUPPORTED } from "./memory";

const FAST: u32 = 10;
const CODES_MAX: usize = 320;
/**
 * A code's tables: u16 by FAST bits (symbol << 4 | length), how many codes a length has, symbols in order.
 */
const COUNT: usize = 2 << FAST;
const SYMBOLS: usize = COUNT + 32;
const CODE_SIZE: usize = SYMBOLS + 2 * CODES_MAX;
const LITERALS: usize = TABLES;
const DISTANCES: usize = TABLES + CODE_SIZE;
const LENGTHS: usize = TABLES + 2 * CODE_SIZE;
const NEXT: usize = LENGTHS + CODES_MAX;
const LENGTH_CODES: usize = NEXT + 64;

/** Base and extra bits of lengths and distances. */
const BASES: usize = LENGTH_CODES + CODE_SIZE;

let ip: usize = 0;
let end: usize = 0;
let bits: u64 = 0;
let count: u32 = 0;

/** Fills the bit buffer; behind the input's end come zeros, which `overrun` tells of. */
@inline function refill(): void {
  if (end - ip >= 8 && ip < end) {
    bits |= load<u64>(ip) << count;
    ip += (63 - count) >> 3;
    count |= 56;
    return;
  }
  while (count <= 56) {
    if (ip < end) bits |= <u64>load<u8>(ip) << count;
    ip++;
    count += 8;
  }
}

@inline function overrun(): bool {
  return ip > end + (count >> 3);
}

@inline function take(n: u32): u32 {
  const value = <u32>(bits & ((<u64>1 << n) - 1));
  bits >>= n;
  count -= n;
  return value;
}

/** Makes the tables of the code whose n lengths lie at `lengths`; false for lengths that no code has. */
function make_code(code: usize, lengths: usize, n: u32): bool {
  memory.fill(code, 0, SYMBOLS);
  for (let i: u32 = 0; i < n; i++) {
    const at = code + COUNT + (<usize>load<u8>(lengths + i) << 1);
    store<u16>(at, load<u16>(at) + 1);
  }
  const unused = load<u16>(code + COUNT);
  store<u16>(code + COUNT, 0);
  let left: i32 = 1;
  let first: u32 = 0;
  let offset: u32 = 0;
  for (let length: u32 = 1; length < 16; length++) {
    const codes = <u32>load<u16>(code + COUNT + (length << 1));
    left = (left << 1) - <i32>codes;
    if (left < 0) return false;
    first <<= 1;
    // NEXT: the next code of a length, and where its symbols lie.
    store<u16>(NEXT + (length << 2), <u16>first);
    store<u16>(NEXT + (length << 2) + 2, <u16>offset);
    first += codes;
    offset += codes;
  }
  // Incomplete codes are only allowed for one code of one bit, or none at all.
  if (left > 0 && n - unused > 1) return false;
  for (let symbol: u32 = 0; symbol < n; symbol++) {
    const length = <u32>load<u8>(lengths + symbol);
    if (length == 0) continue;
    const next = NEXT + (length << 2);
    const value = <u32>load<u16>(next);
    store<u16>(next, <u16>(value + 1));
    const place = <u32>load<u16>(next, 2);
    store<u16>(next + 2, <u16>(place + 1));
    store<u16>(code + SYMBOLS + (place << 1), <u16>symbol);
    if (length > FAST) continue;
    let reversed: u32 = 0;
    for (let i: u32 = 0; i < length; i++) reversed |= ((value >> i) & 1) << (length - 1 - i);
    const entry = <u16>((symbol << 4) | length);
    for (let i = reversed; i < 1 << FAST; i += 1 << length) store<u16>(code + (i << 1), entry);
  }
  return true;
}

/** The next symbol, or 0xffff when the bits are no code. */
@inline function symbol(code: usize): u32 {
  const entry = <u32>load<u16>(code + (<usize>(bits & ((1 << FAST) - 1)) << 1));
  if (entry != 0) {
    take(entry & 15);
    return entry >> 4;
  }
  return slow_symbol(code);
}

function slow_symbol(code: usize): u32 {
  let value: u32 = 0;
  let first: u32 = 0;
  let index: u32 = 0;
  for (let length: u32 = 1; length < 16; length++) {
    value |= <u32>(bits >> (length - 1)) & 1;
    const codes = <u32>load<u16>(code + COUNT + (length << 1));
    if (value - first < codes) {
      take(length);
      return load<u16>(code + SYMBOLS + ((index + value - first) << 1));
    }
    index += codes;
    first = (first + codes) << 1;
    value <<= 1;
  }
  return 0xffff;
}

/** Base (u16) and extra bits (u16) of the 29 lengths, then of the 30 distances. */
function make_bases(): void {
  let base: u32 = 3;
  for (let i: u32 = 0; i < 28; i++) {
    const extra: u32 = i < 8 ? 0 : (i >> 2) - 1;
    store<u32>(BASES + (i << 2), base | (extra << 16));
    base += 1 << extra;
  }
  store<u32>(BASES + (28 << 2), 258);
  base = 1;
  for (let i: u32 = 0; i < 30; i++) {
    const extra: u32 = i < 4 ? 0 : (i >> 1) - 1;
    store<u32>(BASES + 128 + (i << 2), base | (extra << 16));
    base += 1 << extra;
  }
}

function fixed_codes(): void {
  memory.fill(LENGTHS, 8, 144);
  memory.fill(LENGTHS + 144, 9, 112);
  memory.fill(LENGTHS + 256, 7, 24);
  memory.fill(LENGTHS + 280, 8, 8);
  make_code(LITERALS, LENGTHS, 288);
  // All 32, so that the code is complete; 30 and 31 are refused where they are used.
  memory.fill(LENGTHS, 5, 32);
  make_code(DISTANCES, LENGTHS, 32);
}

/** The order in which the code lengths' own lengths come. */
const ORDER = memory.data<u8>([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]);

function dynamic_codes(): bool {
  refill();
  const literals = take(5) + 257;
  const distances = take(5) + 1;
  const lengths = take(4) + 4;
  if (literals > 286 || distances > 30) return false;
  memory.fill(LENGTHS, 0, 19);
  for (let i: u32 = 0; i < lengths; i++) {
    refill();
    store<u8>(LENGTHS + load<u8>(ORDER + i), <u8>take(3));
  }
  if (!make_code(LENGTH_CODES, LENGTHS, 19)) return false;
  const all = literals + distances;
  let previous: u32 = 0;
  for (let i: u32 = 0; i < all; ) {
    refill();
    const code = symbol(LENGTH_CODES);
    let value: u32 = 0;
    let times: u32 = 1;
    if (code < 16) value = code;
    else if (code == 16) {
      if (i == 0) return false;
      value = previous;
      times = 3 + take(2);
    } else if (code == 17) times = 3 + take(3);
    else if (code == 18) times = 11 + take(7);
    else return false;
    if (i + times > all || overrun()) return false;
    memory.fill(LENGTHS + i, <u8>value, times);
    previous = value;
    i += times;
  }
  // Without an end of block the block would have none.
  if (load<u8>(LENGTHS + 256) == 0) return false;
  return make_code(LITERALS, LENGTHS, literals) && make_code(DISTANCES, LENGTHS + literals, distances);
}

function adler32(at: usize, length: usize): u32 {
  let a: u32 = 1;
  let b: u32 = 0;
  while (length > 0) {
    // The most that can be added up before b overflows.
    const run = min<usize>(length, 5552);
    const stop = at + run;
    for (; at < stop; at++) {
      a += load<u8>(at);
      b += a;
    }
    a %= 65521;
    b %= 65521;
    length -= run;
  }
  return (b << 16) | a;
}

/** Decompresses into at most `limit` bytes; the bytes written, or an error below 0. */
export function zlib_decompress(input: usize, length: usize, output: usize, limit: usize): i32 {
  if (length < 6) return BAD_INPUT;
  const header = (<u32>load<u8>(input) << 8) | load<u8>(input + 1);
  if ((header & 0x0f00) != 0x0800 || header % 31 != 0) return BAD_INPUT;
  if ((header & 0x20) != 0) return UNSUPPORTED;
  ip = input + 2;
  end = input + length;
  bits = 0;
  count = 0;
  make_bases();
  let op = output;
  const stop = output + limit;
  let last: u32;
  do {
    refill();
    last = take(1);
    const kind = take(2);
    if (kind == 0) {
      // Back to the byte behind the header's: whole bytes of the buffer were not used.
      ip -= count >> 3;
      bits = 0;
      count = 0;
      if (ip > end || end - ip < 4) return BAD_INPUT;
      const size = <usize>load<u16>(ip);
      if ((size ^ <usize>load<u16>(ip + 2)) != 0xffff || size > end - ip - 4) return BAD_INPUT;
      if (size > stop - op) return TOO_LONG;
      memory.copy(op, ip + 4, size);
      ip += 4 + size;
      op += size;
      continue;
    }
    if (kind == 3) return BAD_INPUT;
    if (kind == 1) fixed_codes();
    else if (!dynamic_codes()) return BAD_INPUT;
    while (true) {
      refill();
      const code = symbol(LITERALS);
      if (code < 256) {
        if (op >= stop) return TOO_LONG;
        store<u8>(op++, <u8>code);
        if (overrun()) return BAD_INPUT;
        continue;
      }
      if (code == 256) break;
      if (code > 285) return BAD_INPUT;
      const base = load<u32>(BASES + (<usize>(code - 257) << 2));
      const size = <usize>(base & 0xffff) + take(base >> 16);
      const far = symbol(DISTANCES);
      if (far > 29) return BAD_INPUT;
      refill();
      const start = load<u32>(BASES + 128 + (<usize>far << 2));
      const distance = <usize>(start & 0xffff) + take(start >> 16);
      if (distance > op - output || overrun()) return BAD_INPUT;
      if (size > stop - op) return TOO_LONG;
      copy_match(op, distance, size);
      op += size;
    }
    if (overrun()) return BAD_INPUT;
  } while (!last);
  ip -= count >> 3;
  if (ip > end || end - ip < 4) return BAD_INPUT;
  if (bswap(load<u32>(ip)) != adler32(output, op - output)) return BAD_INPUT;
  return <i32>(op - output);
}
