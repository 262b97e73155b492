/**
 * Bitmaps: arrays of u64 words at a physical address, bit N in word N / 64 (include/linux/bitmap.h, find.h).
 */

@inline export function test_bit(nr: usize, map: usize): bool {
  return (load<u8>(map + (nr >> 3)) & (<u8>1 << <u8>(nr & 7))) != 0;
}

@inline export function __set_bit(nr: usize, map: usize): void {
  const at = map + (nr >> 3);
  store<u8>(at, load<u8>(at) | (<u8>1 << <u8>(nr & 7)));
}

@inline export function __clear_bit(nr: usize, map: usize): void {
  const at = map + (nr >> 3);
  store<u8>(at, load<u8>(at) & ~(<u8>1 << <u8>(nr & 7)));
}

/** Bytes of a bitmap of `bits` bits: whole words. */
@inline export function bitmap_size(bits: usize): usize {
  return ((bits + 63) >> 6) << 3;
}

export function bitmap_set(map: usize, start: usize, count: usize): void {
  for (let i: usize = 0; i < count; i++) __set_bit(start + i, map);
}

export function bitmap_clear(map: usize, start: usize, count: usize): void {
  for (let i: usize = 0; i < count; i++) __clear_bit(start + i, map);
}

export function bitmap_weight(map: usize, bits: usize): u32 {
  let n: u64 = 0;
  let i: usize = 0;
  for (; i + 64 <= bits; i += 64) n += popcnt(load<u64>(map + (i >> 3)));
  if (i < bits) n += popcnt(load<u64>(map + (i >> 3)) & ((<u64>1 << <u64>(bits - i)) - 1));
  return <u32>n;
}

/** First bit at or behind `from` that has the value of `flip`'s complement; `bits` when there is none. */
function find_next(map: usize, bits: usize, from: usize, flip: u64): usize {
  if (from >= bits) return bits;
  let word = (load<u64>(map + ((from >> 6) << 3)) ^ flip) & (<u64>-1 << <u64>(from & 63));
  let base = from & ~63;
  while (!word) {
    base += 64;
    if (base >= bits) return bits;
    word = load<u64>(map + (base >> 3)) ^ flip;
  }
  return min(base + <usize>ctz(word), bits);
}

export function find_next_bit(map: usize, bits: usize, from: usize): usize {
  return find_next(map, bits, from, 0);
}

export function find_next_zero_bit(map: usize, bits: usize, from: usize): usize {
  return find_next(map, bits, from, <u64>-1);
}

@inline export function find_first_bit(map: usize, bits: usize): usize {
  return find_next(map, bits, 0, 0);
}

@inline export function find_first_zero_bit(map: usize, bits: usize): usize {
  return find_next(map, bits, 0, <u64>-1);
}

/** Start of the first run of `count` zero bits, or `bits` and more when there is none. */
export function bitmap_find_next_zero_area(
  map: usize,
  bits: usize,
  from: usize,
  count: usize,
  align: usize,
): usize {
  let start = (find_next_zero_bit(map, bits, from) + align - 1) & ~(align - 1);
  while (start + count <= bits) {
    const used = find_next_bit(map, start + count, start);
    if (used >= start + count) return start;
    start = (find_next_zero_bit(map, bits, used + 1) + align - 1) & ~(align - 1);
  }
  return bits;
}
