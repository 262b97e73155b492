/**
 * Where things lie in the memory of the codecs' module, which is its own and has a fixed size, and what its
 * functions say when an input is bad.
 *
 *     0x000000  constants
 *     0x004000  tables of the running codec, made anew for each call
 *     0x084000  of compress_pages: a u32 for each page, what became of it
 *     0x094000  page descriptors, 24 bytes each
 *     0x100000  input: IN_SIZE bytes, then a margin that may be read but holds nothing
 *     0x280000  output: OUT_SIZE bytes, then a margin for copies that overshoot
 *     0x400000  end
 *
 * A decompressor trusts nothing: it reads from [in, in + length), refers back no further than the output's
 * first byte, and ends with BAD_INPUT before it would write beyond the output's limit. The margins let copies
 * move 16 bytes at a time; what overshoots is overwritten or never looked at.
 */

export const TABLES: usize = 0x4000;
export const SIZES: usize = 0x84000;
export const DESCRIPTORS: usize = 0x94000;
export const IN: usize = 0x100000;
export const IN_SIZE: usize = 0x160000;
export const OUT: usize = 0x280000;
export const OUT_SIZE: usize = 0x160000;
export const END: usize = 0x400000;

/** The input is damaged: it refers to what is not there, or ends too early. */
export const BAD_INPUT: i32 = -1;
/** The output would be longer than the caller allows. */
export const TOO_LONG: i32 = -2;
/** A feature of the format that no dump has: a dictionary. */
export const UNSUPPORTED: i32 = -3;

/** Copies `length` bytes, 16 at a time; up to 15 bytes behind either end are touched. */
@inline export function wild_copy(to: usize, from: usize, length: usize): void {
  let at: usize = 0;
  do {
    v128.store(to + at, v128.load(from + at));
    at += 16;
  } while (at < length);
}

/** Copies `length` bytes from `distance` bytes back; they may overlap, and then repeat. */
@inline export function copy_match(to: usize, distance: usize, length: usize): void {
  const from = to - distance;
  if (distance >= 16) {
    wild_copy(to, from, length);
  } else if (distance >= 8) {
    let at: usize = 0;
    do {
      store<u64>(to + at, load<u64>(from + at));
      at += 8;
    } while (at < length);
  } else if (distance == 1) {
    memory.fill(to, load<u8>(from), length);
  } else {
    for (let at: usize = 0; at < length; at++) store<u8>(to + at, load<u8>(from + at));
  }
}

/** How many bytes are equal from `a` and `b` on, before `b` reaches `end`. */
@inline export function match_length(a: usize, b: usize, end: usize): usize {
  const start = b;
  while (b + 8 <= end) {
    const difference = load<u64>(a) ^ load<u64>(b);
    if (difference != 0) return b - start + <usize>(ctz(difference) >> 3);
    a += 8;
    b += 8;
  }
  while (b < end && load<u8>(a) == load<u8>(b)) {
    a++;
    b++;
  }
  return b - start;
}
