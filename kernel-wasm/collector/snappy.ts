/**
 * Snappy's raw format (format_description.txt of google/snappy): a compressor and a bounded decompressor.
 *
 *     the output's length, 7 bits a byte, low first; then elements by the low two bits of their first byte
 *     00  literals: n - 1 in the upper six bits, from 60 on in the next 1-4 bytes
 *     01  4-11 bytes from an 11-bit distance: size - 4 in bits 2-4, the distance's upper bits in 5-7
 *     10  1-64 bytes from the distance in the next two bytes
 *     11  1-64 bytes from the distance in the next four bytes
 */
import { BAD_INPUT, copy_match, match_length, TABLES, TOO_LONG, wild_copy } from "./memory";

const HASH_BITS: u32 = 12;
const TAIL: usize = 15;

@inline function put_literals(op: usize, from: usize, n: usize): usize {
  const code = n - 1;
  if (code < 60) store<u8>(op++, <u8>(code << 2));
  else if (code < 256) {
    store<u16>(op, <u16>(60 << 2) | <u16>(code << 8));
    op += 2;
  } else {
    store<u8>(op, 61 << 2);
    store<u16>(op + 1, <u16>code);
    op += 3;
  }
  wild_copy(op, from, n);
  return op + n;
}

@inline function put_copy(op: usize, distance: usize, size: usize): usize {
  while (size >= 68) {
    store<u32>(op, ((63 << 2) | 2) | (<u32>distance << 8));
    op += 3;
    size -= 64;
  }
  if (size > 64) {
    store<u32>(op, ((59 << 2) | 2) | (<u32>distance << 8));
    op += 3;
    size -= 60;
  }
  if (size < 12 && distance < 2048) {
    store<u16>(op, <u16>(1 | ((size - 4) << 2) | ((distance >> 8) << 5) | ((distance & 255) << 8)));
    return op + 2;
  }
  store<u32>(op, <u32>(((size - 1) << 2) | 2 | (distance << 8)));
  return op + 3;
}

/** Compresses `length` bytes (65536 at most); the result has at most length + length / 6 + 32 bytes. */
export function snappy_compress(input: usize, length: usize, output: usize): usize {
  const end = input + length;
  let op = output;
  let n = length;
  while (n >= 128) {
    store<u8>(op++, <u8>(n | 128));
    n >>= 7;
  }
  store<u8>(op++, <u8>n);
  let literals = input;
  if (length > TAIL + 1) {
    memory.fill(TABLES, 0, 2 << HASH_BITS);
    const limit = end - TAIL;
    let ip = input + 1;
    while (ip < limit) {
      const sequence = load<u32>(ip);
      const entry = TABLES + (<usize>((sequence * 0x9e3779b1) >> (32 - HASH_BITS)) << 1);
      const match = input + load<u16>(entry);
      store<u16>(entry, <u16>(ip - input));
      if (load<u32>(match) != sequence) {
        ip += 1 + ((ip - literals) >> 5);
        continue;
      }
      if (ip != literals) op = put_literals(op, literals, ip - literals);
      const size: usize = 4 + match_length(match + 4, ip + 4, end);
      op = put_copy(op, ip - match, size);
      ip += size;
      literals = ip;
    }
  }
  if (end > literals) op = put_literals(op, literals, end - literals);
  return op - output;
}

/** Decompresses into at most `limit` bytes; the bytes written, or an error below 0. */
export function snappy_decompress(input: usize, length: usize, output: usize, limit: usize): i32 {
  let ip = input;
  const end = input + length;
  let wanted: u64 = 0;
  for (let shift: u64 = 0; ; shift += 7) {
    if (ip >= end || shift > 28) return BAD_INPUT;
    const byte = load<u8>(ip++);
    wanted |= <u64>(byte & 127) << shift;
    if (byte < 128) break;
  }
  if (wanted > <u64>limit) return TOO_LONG;
  let op = output;
  const stop = output + <usize>wanted;
  while (ip < end) {
    const tag = <u32>load<u8>(ip++);
    const kind = tag & 3;
    if (kind == 0) {
      let n = <usize>(tag >> 2);
      if (n >= 60) {
        const bytes = n - 59;
        if (bytes > end - ip) return BAD_INPUT;
        n = 0;
        for (let i: usize = 0; i < bytes; i++) n |= <usize>load<u8>(ip + i) << (i << 3);
        ip += bytes;
        if (n == 0xffffffff) return BAD_INPUT;
      }
      n++;
      if (n > end - ip || n > stop - op) return BAD_INPUT;
      wild_copy(op, ip, n);
      ip += n;
      op += n;
      continue;
    }
    let size: usize;
    let distance: usize;
    if (kind == 1) {
      if (ip >= end) return BAD_INPUT;
      size = 4 + ((tag >> 2) & 7);
      distance = (<usize>(tag >> 5) << 8) | load<u8>(ip++);
    } else {
      const bytes: usize = kind == 2 ? 2 : 4;
      if (bytes > end - ip) return BAD_INPUT;
      size = 1 + (tag >> 2);
      distance = kind == 2 ? <usize>load<u16>(ip) : <usize>load<u32>(ip);
      ip += bytes;
    }
    if (distance == 0 || distance > op - output || size > stop - op) return BAD_INPUT;
    copy_match(op, distance, size);
    op += size;
  }
  return op == stop ? <i32>wanted : BAD_INPUT;
}
