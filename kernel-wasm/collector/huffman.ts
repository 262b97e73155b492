/**
 * The literals of a Zstandard block (RFC 8878, 3.1.1.3.1 and 4.2): stored, one byte repeated, or by a Huffman
 * code of at most 11 bits, described before them or kept from the block before.
 */
import { bits_finished, bits_open, bits_overrun, bits_peek, bits_skip, bits_take } from "./bits";
import { read_fse } from "./fse";
import { TABLES } from "./memory";

const CODE_BITS_MAX: u32 = 11;
const LITERALS_MAX: usize = 128 * 1024;
/** Entries of the code (u16: symbol, bits << 8), weights of the symbols, the weights' own table of states. */
const CODE: usize = TABLES + 0x4000;
const WEIGHTS: usize = TABLES + 0x5000;
const WEIGHT_STATES: usize = TABLES + 0x5200;
const RANKS: usize = TABLES + 0x5400;
const LITERALS: usize = TABLES + 0x8000;

/** 0: the frame has had no code yet. */
let code_bits: u32 = 0;
let at_literals: usize = 0;
let size_literals: usize = 0;

export function reset_literals(): void {
  code_bits = 0;
}

/** Where the literals of the last read_literals lie, and how many they are. */
export function literals_at(): usize {
  return at_literals;
}

export function literals_size(): usize {
  return size_literals;
}

/** Weights coded by two states that take turns. The number of weights, 0 when they are damaged. */
function fse_weights(at: usize, end: usize): u32 {
  const table = read_fse(at, end, WEIGHT_STATES, 12, 6);
  if (table < 0) return 0;
  const log = <u32>table & 15;
  if (!bits_open(at + <usize>(table >> 4), end)) return 0;
  let first = load<u32>(WEIGHT_STATES + (<usize>bits_take(log) << 2));
  let second = load<u32>(WEIGHT_STATES + (<usize>bits_take(log) << 2));
  if (bits_overrun()) return 0;
  for (let n: u32 = 0; n < 254; ) {
    store<u8>(WEIGHTS + n++, <u8>first);
    const more = (first >> 8) & 0xff;
    first = load<u32>(WEIGHT_STATES + (<usize>((first >> 16) + bits_take(more)) << 2));
    // The stream ends where a state would take more bits than it has: the other one's symbol is the last.
    if (bits_overrun()) {
      store<u8>(WEIGHTS + n++, <u8>second);
      return n;
    }
    const other = first;
    first = second;
    second = other;
  }
  return 0;
}

/** Reads a code's description; where the input goes on, 0 when it is damaged. */
function read_code(at: usize, end: usize): usize {
  if (at >= end) return 0;
  const header = <u32>load<u8>(at++);
  let weights: u32;
  if (header >= 128) {
    weights = header - 127;
    const bytes = (weights + 1) >> 1;
    if (bytes > end - at) return 0;
    for (let i: u32 = 0; i < weights; i++) {
      const pair = <u32>load<u8>(at + (i >> 1));
      store<u8>(WEIGHTS + i, <u8>((i & 1) != 0 ? pair & 15 : pair >> 4));
    }
    at += bytes;
  } else {
    if (header > end - at) return 0;
    weights = fse_weights(at, at + header);
    if (weights == 0) return 0;
    at += header;
  }
  let sum: u32 = 0;
  for (let i: u32 = 0; i < weights; i++) {
    const weight = <u32>load<u8>(WEIGHTS + i);
    if (weight > CODE_BITS_MAX) return 0;
    if (weight > 0) sum += 1 << (weight - 1);
  }
  if (sum == 0) return 0;
  const bits: u32 = 32 - clz(sum);
  if (bits > CODE_BITS_MAX) return 0;
  // The last symbol has the weight that fills the sum up to a power of two.
  const rest = ((<u32>1) << bits) - sum;
  if (popcnt(rest) != 1) return 0;
  store<u8>(WEIGHTS + weights++, <u8>(ctz(rest) + 1));

  memory.fill(RANKS, 0, 64);
  for (let i: u32 = 0; i < weights; i++) {
    const weight = <u32>load<u8>(WEIGHTS + i);
    if (weight == 0) continue;
    const rank = RANKS + (weight << 2);
    store<u32>(rank, load<u32>(rank) + (1 << (weight - 1)));
  }
  let start: u32 = 0;
  for (let weight: u32 = 1; weight <= bits; weight++) {
    const entries = load<u32>(RANKS + (weight << 2));
    store<u32>(RANKS + (weight << 2), start);
    start += entries;
  }
  for (let i: u32 = 0; i < weights; i++) {
    const weight = <u32>load<u8>(WEIGHTS + i);
    if (weight == 0) continue;
    const rank = RANKS + (weight << 2);
    const from = load<u32>(rank);
    const entries: u32 = 1 << (weight - 1);
    const entry = <u16>(i | ((bits + 1 - weight) << 8));
    for (let k: u32 = 0; k < entries; k++) store<u16>(CODE + (<usize>(from + k) << 1), entry);
    store<u32>(rank, from + entries);
  }
  code_bits = bits;
  return at;
}

function decode_stream(at: usize, end: usize, to: usize, size: usize): bool {
  if (!bits_open(at, end)) return false;
  const width = code_bits;
  for (let i: usize = 0; i < size; i++) {
    const entry = <u32>load<u16>(CODE + (<usize>bits_peek(width) << 1));
    store<u8>(to + i, <u8>entry);
    bits_skip(entry >> 8);
    if (bits_overrun()) return false;
  }
  return bits_finished();
}

/** Reads the literals section at the start of a block; where the sequences begin, 0 when it is damaged. */
export function read_literals(at: usize, end: usize): usize {
  if (at >= end) return 0;
  // The shortest header has one byte; what is read behind the input's end is not used.
  const header = load<u64>(at);
  const kind = <u32>header & 3;
  const format = <u32>(header >> 2) & 3;
  if (kind < 2) {
    const bytes: usize = (format & 1) == 0 ? 1 : format == 1 ? 2 : 3;
    const low = <usize>header & (bytes == 1 ? 0xff : bytes == 2 ? 0xffff : 0xffffff);
    const size = low >> (bytes == 1 ? 3 : 4);
    at += bytes;
    const stored: usize = kind == 1 ? 1 : size;
    if (at > end || stored > end - at || size > LITERALS_MAX) return 0;
    if (kind == 0) at_literals = at;
    else {
      memory.fill(LITERALS, load<u8>(at), size);
      at_literals = LITERALS;
    }
    size_literals = size;
    return at + stored;
  }
  const width: u64 = format < 2 ? 10 : format == 2 ? 14 : 18;
  const mask = (<u64>1 << width) - 1;
  const size = <usize>((header >> 4) & mask);
  const packed = <usize>((header >> (4 + width)) & mask);
  at += format < 2 ? 3 : <usize>format + 2;
  if (at > end || packed > end - at || size > LITERALS_MAX) return 0;
  const stop = at + packed;
  if (kind == 2) {
    at = read_code(at, stop);
    if (at == 0) return 0;
  } else if (code_bits == 0) return 0;
  at_literals = LITERALS;
  size_literals = size;
  if (format == 0) return decode_stream(at, stop, LITERALS, size) ? stop : 0;
  if (stop - at < 6 || at > stop) return 0;
  const part = (size + 3) >> 2;
  if (part * 3 > size) return 0;
  let from = at + 6;
  let to = LITERALS;
  for (let stream: usize = 0; stream < 4; stream++) {
    const bytes = stream < 3 ? <usize>load<u16>(at + (stream << 1)) : stop - from;
    if (from > stop || bytes > stop - from) return 0;
    const count = stream < 3 ? part : size - part * 3;
    if (!decode_stream(from, from + bytes, to, count)) return 0;
    from += bytes;
    to += part;
  }
  return stop;
}
