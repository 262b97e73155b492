/**
 * Prefix codes of deflate (RFC 1951, 3.2.2) from how often each symbol occurs: Huffman's, made shorter where
 * a code would be longer than the format allows. Frequencies are u32 each; a code is a u32, its bits reversed
 * as deflate writes them, and its length in the upper half.
 */
import { TABLES } from "./memory";

/** Symbols by their frequency, as frequency << 9 | symbol; where symbols of each frequency begin. */
const SORTED: usize = TABLES + 0x60000;
const STARTS: usize = TABLES + 0x61000;
/** Weights and parents of the tree's inner nodes. */
const WEIGHTS: usize = TABLES + 0x62000;
const PARENTS: usize = TABLES + 0x63000;
/** How many codes have each length; the next code of each. */
const COUNTS: usize = TABLES + 0x64000;
const NEXT: usize = TABLES + 0x64100;

/** Frequencies from this one on are sorted by comparing: few symbols of a page are so frequent. */
const FREQUENT: u32 = 64;
const SYMBOL: u32 = 511;

/** Puts the symbols that occur into SORTED; how many they are. */
function sort(frequencies: usize, symbols: u32): u32 {
  memory.fill(STARTS, 0, (FREQUENT + 1) << 2);
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const at = STARTS + (min(load<u32>(frequencies + (symbol << 2)), FREQUENT) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
  let total: u32 = 0;
  for (let frequency: u32 = 1; frequency <= FREQUENT; frequency++) {
    const at = STARTS + (frequency << 2);
    const count = load<u32>(at);
    store<u32>(at, total);
    total += count;
  }
  const often = SORTED + (load<u32>(STARTS + (FREQUENT << 2)) << 2);
  let end = often;
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const frequency = load<u32>(frequencies + (symbol << 2));
    if (frequency == 0) continue;
    const entry = (frequency << 9) | symbol;
    if (frequency < FREQUENT) {
      const at = STARTS + (frequency << 2);
      const place = load<u32>(at);
      store<u32>(SORTED + (place << 2), entry);
      store<u32>(at, place + 1);
      continue;
    }
    let place = end;
    for (; place > often && load<u32>(place - 4) > entry; place -= 4) store<u32>(place, load<u32>(place - 4));
    store<u32>(place, entry);
    end += 4;
  }
  return total;
}

/** Fills COUNTS for `count` symbols in SORTED, two or more. */
function count_lengths(count: u32, longest: u32): void {
  let leaf: u32 = 0;
  let first: u32 = 0;
  const inner = count - 1;
  for (let node: u32 = 0; node < inner; node++) {
    let weight: u32 = 0;
    for (let child = 0; child < 2; child++) {
      const lightest = leaf < count ? load<u32>(SORTED + (leaf << 2)) >> 9 : u32.MAX_VALUE;
      if (first < node && load<u32>(WEIGHTS + (first << 2)) < lightest) {
        weight += load<u32>(WEIGHTS + (first << 2));
        store<u32>(PARENTS + (first << 2), node);
        first++;
      } else {
        weight += lightest;
        leaf++;
      }
    }
    store<u32>(WEIGHTS + (node << 2), weight);
  }
  memory.fill(COUNTS, 0, 64);
  // Of each inner node from the root down, PARENTS becomes the depth: a code of that length becomes two.
  store<u32>(PARENTS + ((inner - 1) << 2), 0);
  store<u32>(COUNTS + 4, 2);
  for (let node = <i32>inner - 2; node >= 0; node--) {
    const at = PARENTS + (<usize>node << 2);
    let depth = load<u32>(PARENTS + (load<u32>(at) << 2)) + 1;
    store<u32>(at, depth);
    if (depth >= longest) {
      depth = longest - 1;
      while (load<u32>(COUNTS + (depth << 2)) == 0) depth--;
    }
    store<u32>(COUNTS + (depth << 2), load<u32>(COUNTS + (depth << 2)) - 1);
    store<u32>(COUNTS + ((depth + 1) << 2), load<u32>(COUNTS + ((depth + 1) << 2)) + 2);
  }
}

/**
 * Makes codes of at most `longest` bits (15 or less) for `symbols` symbols (286 or less). At least two get
 * one, though they may not occur: the format's older readers want it so.
 */
export function prefix_code(frequencies: usize, symbols: u32, longest: u32, codes: usize): void {
  let count = sort(frequencies, symbols);
  for (let symbol: u32 = 0; count < 2; symbol++) {
    const at = frequencies + (symbol << 2);
    if (load<u32>(at) != 0) continue;
    store<u32>(at, 1);
    count = sort(frequencies, symbols);
  }
  count_lengths(count, longest);
  memory.fill(codes, 0, symbols << 2);
  // The rarest have the longest codes.
  let place = SORTED;
  for (let length = longest; length > 0; length--) {
    for (let n = load<u32>(COUNTS + (length << 2)); n > 0; n--, place += 4) {
      store<u32>(codes + ((load<u32>(place) & SYMBOL) << 2), length << 16);
    }
  }
  let code: u32 = 0;
  for (let length: u32 = 1; length <= longest; length++) {
    code = (code + (length > 1 ? load<u32>(COUNTS + ((length - 1) << 2)) : 0)) << 1;
    store<u32>(NEXT + (length << 2), code);
  }
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const at = codes + (symbol << 2);
    const length = load<u32>(at) >> 16;
    if (length == 0) continue;
    const next = NEXT + (length << 2);
    const own = load<u32>(next);
    store<u32>(next, own + 1);
    store<u32>(at, (length << 16) | (reverse(own) >> (16 - length)));
  }
}

/** 16 bits, the last one first. */
@inline function reverse(bits: u32): u32 {
  bits = ((bits & 0x5555) << 1) | ((bits >> 1) & 0x5555);
  bits = ((bits & 0x3333) << 2) | ((bits >> 2) & 0x3333);
  bits = ((bits & 0x0f0f) << 4) | ((bits >> 4) & 0x0f0f);
  return ((bits & 0x00ff) << 8) | (bits >> 8);
}
