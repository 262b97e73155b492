/**
 * LZO1X, the format of Linux's Documentation/staging/lzo.rst: a compressor in the manner of LZO1X-1 and a
 * bounded decompressor. S is the number of literals (0-3) that follow a match, kept in the match's own bytes.
 *
 *     first byte 17 + n    n literals first
 *     0000LLLL             after S = 0: a run of 3 + L literals (L = 0: 18 + 255 for each zero byte + byte)
 *                          after S = 1..3: 2 bytes from (next << 2) + D + 1, the byte being 0000DDSS
 *                          after a run: 3 bytes from (next << 2) + D + 2049
 *     0001HLLL D..DSS      2 + L bytes from 16384 + (H << 14) + D, D of 14 bits; a D of 0 ends the stream
 *     001LLLLL D..DSS      2 + L bytes from D + 1
 *     01LDDDSS, 1LLDDDSS   (byte >> 5) + 1 bytes from (next << 3) + D + 1
 */
import { BAD_INPUT, copy_match, match_length, TABLES, TOO_LONG, wild_copy } from "./memory";

const HASH_BITS: u32 = 12;
/** The farthest match that is coded: with D = 0 in the far form the stream would end. */
const FAR: usize = 0x4000;
const DISTANCE_MAX: usize = 0xbfff;
/** A match must not reach into the last bytes: the hash reads four. */
const TAIL: usize = 20;

@inline function extend(op: usize, n: usize): usize {
  while (n > 255) {
    store<u8>(op++, 0);
    n -= 255;
  }
  store<u8>(op++, <u8>n);
  return op;
}

/** The literals [from, from + n) at op, behind a match whose S lies at op - 2. Returns the new op. */
@inline function put_literals(op: usize, from: usize, n: usize): usize {
  if (n <= 3) {
    store<u8>(op - 2, load<u8>(op - 2) | <u8>n);
    store<u32>(op, load<u32>(from));
    return op + n;
  }
  if (n <= 18) store<u8>(op++, <u8>(n - 3));
  else {
    store<u8>(op++, 0);
    op = extend(op, n - 18);
  }
  wild_copy(op, from, n);
  return op + n;
}

/** Compresses `length` bytes (65536 at most); the result has at most length + length / 16 + 67 bytes. */
export function lzo1x_compress(input: usize, length: usize, output: usize): usize {
  const end = input + length;
  let op = output;
  let literals = input;
  if (length > TAIL) {
    memory.fill(TABLES, 0, 2 << HASH_BITS);
    const limit = end - TAIL;
    // The first run has four literals or more: nothing stands before it that could hold an S.
    let ip = input + 4;
    while (true) {
      const sequence = load<u32>(ip);
      const entry = TABLES + (<usize>((sequence * 0x9e3779b1) >> (32 - HASH_BITS)) << 1);
      const match = input + load<u16>(entry);
      store<u16>(entry, <u16>(ip - input));
      let distance = ip - match;
      if (load<u32>(match) != sequence || distance > DISTANCE_MAX) {
        ip += 1 + ((ip - literals) >> 5);
        if (ip >= limit) break;
        continue;
      }
      if (ip != literals) op = put_literals(op, literals, ip - literals);
      const size: usize = 4 + match_length(match + 4, ip + 4, limit);
      ip += size;
      literals = ip;
      if (size <= 8 && distance <= 0x800) {
        distance--;
        store<u8>(op, <u8>(((size - 1) << 5) | ((distance & 7) << 2)));
        store<u8>(op + 1, <u8>(distance >> 3));
        op += 2;
      } else {
        let code: u32;
        let most: usize;
        if (distance <= FAR) {
          distance--;
          code = 32;
          most = 33;
        } else {
          distance -= FAR;
          code = 16 | <u32>((distance >> 11) & 8);
          most = 9;
        }
        if (size <= most) store<u8>(op++, <u8>(code | <u32>(size - 2)));
        else {
          store<u8>(op++, <u8>code);
          op = extend(op, size - most);
        }
        store<u16>(op, <u16>(distance << 2));
        op += 2;
      }
      if (ip >= limit) break;
    }
  }
  const rest = end - literals;
  if (rest > 0) {
    if (op == output && rest <= 238) {
      store<u8>(op++, <u8>(17 + rest));
      wild_copy(op, literals, rest);
      op += rest;
    } else op = put_literals(op, literals, rest);
  }
  store<u8>(op, 0x11);
  store<u16>(op + 1, 0);
  return op + 3 - output;
}

/** Decompresses into at most `limit` bytes; the bytes written, or an error below 0. */
export function lzo1x_decompress(input: usize, length: usize, output: usize, limit: usize): i32 {
  let ip = input;
  const end = input + length;
  let op = output;
  const stop = output + limit;
  /** Literals behind the last match; 4 after a run. */
  let state: u32 = 0;
  if (length < 3) return BAD_INPUT;
  if (load<u8>(ip) > 17) {
    const run = <usize>load<u8>(ip++) - 17;
    if (run + 1 > end - ip) return BAD_INPUT;
    if (run > stop - op) return TOO_LONG;
    wild_copy(op, ip, run);
    ip += run;
    op += run;
    state = run < 4 ? <u32>run : 4;
  }
  while (ip < end) {
    const code = <u32>load<u8>(ip++);
    let size: usize;
    let distance: usize;
    if (code >= 64) {
      if (ip >= end) return BAD_INPUT;
      size = (code >> 5) + 1;
      distance = (<usize>load<u8>(ip++) << 3) + ((code >> 2) & 7) + 1;
      state = code & 3;
    } else if (code >= 16) {
      const mask: u32 = code >= 32 ? 31 : 7;
      size = code & mask;
      if (size == 0) {
        size = mask;
        while (ip < end && load<u8>(ip) == 0) {
          size += 255;
          ip++;
        }
        if (ip >= end) return BAD_INPUT;
        size += load<u8>(ip++);
      }
      size += 2;
      if (end - ip < 2) return BAD_INPUT;
      const word = <u32>load<u16>(ip);
      ip += 2;
      distance = word >> 2;
      state = word & 3;
      if (code >= 32) distance++;
      else {
        distance += ((code & 8) << 11);
        if (distance == 0) return ip == end ? <i32>(op - output) : BAD_INPUT;
        distance += FAR;
      }
    } else if (state == 0) {
      let run = <usize>code;
      if (run == 0) {
        run = 15;
        while (ip < end && load<u8>(ip) == 0) {
          run += 255;
          ip++;
        }
        if (ip >= end) return BAD_INPUT;
        run += load<u8>(ip++);
      }
      run += 3;
      if (run > end - ip) return BAD_INPUT;
      if (run > stop - op) return TOO_LONG;
      wild_copy(op, ip, run);
      ip += run;
      op += run;
      state = 4;
      continue;
    } else {
      if (ip >= end) return BAD_INPUT;
      distance = (<usize>load<u8>(ip++) << 2) + (code >> 2) + 1;
      size = 2;
      if (state == 4) {
        distance += 2048;
        size = 3;
      }
      state = code & 3;
    }
    if (distance > op - output) return BAD_INPUT;
    if (size + state > <usize>(stop - op)) return TOO_LONG;
    copy_match(op, distance, size);
    op += size;
    if (state != 0) {
      if (<usize>state > end - ip) return BAD_INPUT;
      store<u32>(op, load<u32>(ip));
      ip += state;
      op += state;
    }
  }
  return BAD_INPUT;
}
