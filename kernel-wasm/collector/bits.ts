/**
 * Bits read from a stream's end towards its start, as Zstandard has them: the highest set bit of the last
 * byte says where they begin. One stream is open at a time. Bits before the stream's start are zero.
 */
let start: usize = 0;
/** Bits that are left; below 0 when more were taken than there were. */
let left: i32 = 0;

/** False when [at, end) holds no stream. */
export function bits_open(at: usize, end: usize): bool {
  if (at >= end) return false;
  const last = <u32>load<u8>(end - 1);
  if (last == 0) return false;
  start = at;
  left = <i32>((end - at) << 3) - <i32>clz(last << 24) - 1;
  return true;
}

/** The next n bits (32 at most), not yet taken. */
@inline export function bits_peek(n: u32): u32 {
  const at = left - <i32>n;
  if (at >= 0) return <u32>((load<u64>(start + (at >> 3)) >> <u64>(at & 7)) & ((<u64>1 << n) - 1));
  return at < -32 ? 0 : <u32>((load<u64>(start) & ((<u64>1 << max(left, 0)) - 1)) << -at);
}

@inline export function bits_skip(n: u32): void {
  left -= n;
}

@inline export function bits_take(n: u32): u32 {
  const value = bits_peek(n);
  left -= n;
  return value;
}

@inline export function bits_overrun(): bool {
  return left < 0;
}

@inline export function bits_finished(): bool {
  return left == 0;
}
