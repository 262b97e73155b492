/**
 * Tables of finite state entropy (RFC 8878, 4.1). An entry has 4 bytes: the symbol, the number of bits that
 * the next state takes from the stream, and (u16) what these bits are added to.
 */
import { TABLES } from "./memory";

/** Probabilities (i16 by symbol; -1: less than one), and the next state of each symbol (u16). */
const PROBABILITIES: usize = TABLES + 0x3000;
const NEXT: usize = PROBABILITIES + 512;

/** Where make_fse takes the probabilities from. */
export function fse_entries(): usize {
  return PROBABILITIES;
}

/** Makes the table of 2^log states from the probabilities of `codes` symbols. */
export function make_fse(table: usize, codes: u32, log: u32): void {
  const size: u32 = 1 << log;
  let high = size - 1;
  for (let s: u32 = 0; s < codes; s++) {
    const probability = <i32>load<i16>(PROBABILITIES + (s << 1));
    if (probability == -1) {
      store<u8>(table + (<usize>high << 2), <u8>s);
      high--;
    }
    store<u16>(NEXT + (s << 1), <u16>(probability == -1 ? 1 : probability));
  }
  const step = (size >> 1) + (size >> 3) + 3;
  let at: u32 = 0;
  for (let s: u32 = 0; s < codes; s++) {
    const probability = <i32>load<i16>(PROBABILITIES + (s << 1));
    for (let i = 0; i < probability; i++) {
      store<u8>(table + (<usize>at << 2), <u8>s);
      do at = (at + step) & (size - 1);
      while (at > high);
    }
  }
  for (let state: u32 = 0; state < size; state++) {
    const entry = table + (<usize>state << 2);
    const next = NEXT + (<usize>load<u8>(entry) << 1);
    const value = <u32>load<u16>(next);
    store<u16>(next, <u16>(value + 1));
    const bits = log - (31 - clz(value));
    store<u8>(entry + 1, <u8>bits);
    store<u16>(entry + 2, <u16>((value << bits) - size));
  }
}

/** The table of a symbol that always comes. */
export function rle_fse(table: usize, symbol: u32): void {
  store<u32>(table, symbol);
}

/** Up to 25 bits at bit `at` of [start, end); zeros behind the end. */
function bits_at(start: usize, end: usize, at: u32): u32 {
  const byte = start + (at >> 3);
  if (end - byte >= 4 && byte < end) return load<u32>(byte) >> (at & 7);
  let value: u32 = 0;
  for (let i: usize = 0; byte + i < end && i < 4; i++) value |= <u32>load<u8>(byte + i) << <u32>(i << 3);
  return value >> (at & 7);
}

/**
 * Reads a description of at most `codes` symbols and accuracy `most`, and makes its table. Returns the bytes
 * read << 4 | accuracy, or -1 when it is damaged.
 */
export function read_fse(start: usize, end: usize, table: usize, codes: u32, most: u32): i32 {
  const log = (bits_at(start, end, 0) & 15) + 5;
  if (log > most) return -1;
  let at: u32 = 4;
  let left: i32 = (1 << log) + 1;
  let threshold: i32 = 1 << log;
  let bits = log + 1;
  let symbol: u32 = 0;
  while (left > 1) {
    if (symbol >= codes || start + (at >> 3) > end) return -1;
    const value = <i32>bits_at(start, end, at);
    const cut = 2 * threshold - 1 - left;
    let probability = value & (threshold - 1);
    if (probability < cut) at += bits - 1;
    else {
      probability = value & (2 * threshold - 1);
      if (probability >= threshold) probability -= cut;
      at += bits;
    }
    probability--;
    left -= probability < 0 ? -probability : probability;
    store<i16>(PROBABILITIES + (symbol++ << 1), <i16>probability);
    if (probability == 0) {
      // Two bits say how many more symbols of probability 0 follow; 3: three, and two bits again.
      while (true) {
        const zeros = bits_at(start, end, at) & 3;
        at += 2;
        if (symbol + zeros > codes) return -1;
        for (let i: u32 = 0; i < zeros; i++) store<i16>(PROBABILITIES + (symbol++ << 1), 0);
        if (zeros != 3) break;
      }
    }
    while (left < threshold && threshold > 1) {
      bits--;
      threshold >>= 1;
    }
  }
  if (left != 1) return -1;
  const read = (at + 7) >> 3;
  if (start + read > end) return -1;
  make_fse(table, symbol, log);
  return <i32>((read << 4) | log);
}
