/**
 * Linux's lib/string.c and the number parsers of lib/vsprintf.c, lib/cmdline.c and lib/kstrtox.c, over NUL-
 * terminated ASCII at physical addresses. An `endp` is the address of a `char *` in memory, which gets the
 * virtual address of the first character not read; 0 when nobody asks.
 */
import { digit_value, isspace, tolower } from "./ctype";
import { EINVAL, ERANGE } from "../include/generated/constants";

@inline export function memcpy(to: usize, from: usize, n: usize): void {
  memory.copy(to, from, n);
}

@inline export function memset(at: usize, byte: u8, n: usize): void {
  memory.fill(at, byte, n);
}

/** Negative, 0 or positive, as the first differing byte says. */
export function memcmp(a: usize, b: usize, n: usize): i32 {
  for (let i: usize = 0; i < n; i++) {
    const d = <i32>load<u8>(a + i) - <i32>load<u8>(b + i);
    if (d) return d;
  }
  return 0;
}

/** Address of the first `byte` in `n` bytes at `at`, or 0. */
export function memchr(at: usize, byte: u8, n: usize): usize {
  for (let i: usize = 0; i < n; i++) if (load<u8>(at + i) == byte) return at + i;
  return 0;
}

export function strlen(s: usize): usize {
  let end = s;
  while (load<u8>(end)) end++;
  return end - s;
}

export function strnlen(s: usize, max: usize): usize {
  let n: usize = 0;
  while (n < max && load<u8>(s + n)) n++;
  return n;
}

export function strcmp(a: usize, b: usize): i32 {
  let i: usize = 0;
  while (load<u8>(a + i) && load<u8>(a + i) == load<u8>(b + i)) i++;
  return <i32>load<u8>(a + i) - <i32>load<u8>(b + i);
}

export function strncmp(a: usize, b: usize, n: usize): i32 {
  for (let i: usize = 0; i < n; i++) {
    const x = load<u8>(a + i);
    const d = <i32>x - <i32>load<u8>(b + i);
    if (d || !x) return d;
  }
  return 0;
}

export function strcasecmp(a: usize, b: usize): i32 {
  let i: usize = 0;
  while (true) {
    const x = tolower(load<u8>(a + i));
    const d = <i32>x - <i32>tolower(load<u8>(b + i));
    if (d || !x) return d;
    i++;
  }
}

export function strchr(s: usize, c: u8): usize {
  const at = strchrnul(s, c);
  return load<u8>(at) == c ? at : 0;
}

export function strrchr(s: usize, c: u8): usize {
  let at = s + strlen(s);
  while (at > s && load<u8>(at) != c) at--;
  return load<u8>(at) == c ? at : 0;
}

/** First `c`, or the terminating NUL. */
export function strchrnul(s: usize, c: u8): usize {
  let at = s;
  while (load<u8>(at) && load<u8>(at) != c) at++;
  return at;
}

export function strstr(s: usize, what: usize): usize {
  const n = strlen(what);
  let at = s;
  while (strncmp(at, what, n)) {
    if (!load<u8>(at)) return 0;
    at++;
  }
  return at;
}

export function str_has_prefix(s: usize, prefix: usize): usize {
  const n = strlen(prefix);
  return strncmp(s, prefix, n) == 0 ? n : 0;
}

/** Copies at most size - 1 bytes and a NUL; returns the source's length, so that truncation can be seen. */
export function strlcpy(to: usize, from: usize, size: usize): usize {
  const length = strlen(from);
  if (size) {
    const n = min(length, size - 1);
    memory.copy(to, from, n);
    store<u8>(to + n, 0);
  }
  return length;
}

/** Like strlcpy, but returns the bytes copied, or -E2BIG's value when they did not fit. */
export function strscpy(to: usize, from: usize, size: usize): i32 {
  if (!size) return -7;
  const n = strnlen(from, size);
  if (n == size) {
    memory.copy(to, from, size - 1);
    store<u8>(to + size - 1, 0);
    return -7;
  }
  memory.copy(to, from, n + 1);
  return <i32>n;
}

export function strlcat(to: usize, from: usize, size: usize): usize {
  const have = strnlen(to, size);
  return have == size ? size + strlen(from) : have + strlcpy(to + have, from, size - have);
}

export function skip_spaces(s: usize): usize {
  let at = s;
  while (isspace(load<u8>(at))) at++;
  return at;
}

/** Cuts white space at both ends, in place; returns the new start. */
export function strim(s: usize): usize {
  let end = s + strlen(s);
  while (end > s && isspace(load<u8>(end - 1))) end--;
  store<u8>(end, 0);
  return skip_spaces(s);
}

/** Equal but for a newline at the end of either: what sysfs and procfs writes look like. */
export function sysfs_streq(a: usize, b: usize): bool {
  let i: usize = 0;
  while (load<u8>(a + i) && load<u8>(a + i) == load<u8>(b + i)) i++;
  const x = load<u8>(a + i);
  const y = load<u8>(b + i);
  if (x == y) return true;
  if (!x && y == 10) return !load<u8>(b + i + 1);
  if (!y && x == 10) return !load<u8>(a + i + 1);
  return false;
}

/** Whether a hexadecimal number with its 0x starts at `at`. */
function has_hex_prefix(at: usize): bool {
  return load<u8>(at) == 48 && (load<u8>(at + 1) | 32) == 120 && digit_value(load<u8>(at + 2)) < 16;
}

function number_base(at: usize, base: u32): u32 {
  if (base) return base;
  return has_hex_prefix(at) ? 16 : load<u8>(at) == 48 ? 8 : 10;
}

/** 0x and 0 prefixes count when base is 0 (16: 0x only). */
export function simple_strtoull(s: usize, endp: usize, base: u32): u64 {
  const radix = number_base(s, base);
  let at = radix == 16 && has_hex_prefix(s) ? s + 2 : s;
  let value: u64 = 0;
  for (; ; at++) {
    const d = digit_value(load<u8>(at));
    if (d >= radix) break;
    value = value * radix + d;
  }
  if (endp) store<u64>(endp, va(at));
  return value;
}

@inline export function simple_strtoul(s: usize, endp: usize, base: u32): u64 {
  return simple_strtoull(s, endp, base);
}

export function simple_strtol(s: usize, endp: usize, base: u32): i64 {
  return load<u8>(s) == 45 ? -simple_strtoull(s + 1, endp, base) : simple_strtoull(s, endp, base);
}

/** What the kstrto* family demands: digits to the end but for one newline, at most `limit`. */
function check_number(s: usize, base: u32, limit: u64): i32 {
  const radix = number_base(s, base);
  const first = radix == 16 && has_hex_prefix(s) ? s + 2 : s;
  let at = first;
  let value: u64 = 0;
  for (; ; at++) {
    const d = digit_value(load<u8>(at));
    if (d >= radix) break;
    if (d > limit || value > (limit - d) / radix) return -ERANGE;
    value = value * radix + d;
  }
  if (at == first) return -EINVAL;
  if (load<u8>(at) == 10) at++;
  return load<u8>(at) ? -EINVAL : 0;
}

/** A whole number and nothing else; 0, -EINVAL or -ERANGE. The u64 result goes to `out`. */
export function kstrtoull(s: usize, base: u32, out: usize): i32 {
  const at = load<u8>(s) == 43 ? s + 1 : s;
  const error = check_number(at, base, u64.MAX_VALUE);
  if (!error) store<u64>(out, simple_strtoull(at, 0, base));
  return error;
}

/** Into a long at `out`. */
export function kstrtoll(s: usize, base: u32, out: usize): i32 {
  if (load<u8>(s) == 45) {
    const error = check_number(s + 1, base, 0x8000000000000000);
    if (!error) store<u64>(out, 0 - simple_strtoull(s + 1, 0, base));
    return error;
  }
  const at = load<u8>(s) == 43 ? s + 1 : s;
  const error = check_number(at, base, i64.MAX_VALUE);
  if (!error) store<u64>(out, simple_strtoull(at, 0, base));
  return error;
}

/** Into an int at `out`. */
export function kstrtoint(s: usize, base: u32, out: usize): i32 {
  const sign = load<u8>(s) == 45;
  const at = sign || load<u8>(s) == 43 ? s + 1 : s;
  const error = check_number(at, base, sign ? 0x80000000 : 0x7fffffff);
  if (error) return error;
  const value = <i32>simple_strtoull(at, 0, base);
  store<i32>(out, sign ? -value : value);
  return 0;
}

/** y, Y, 1, on, On are true; n, N, 0, of(f) false: into a byte at `out`. */
export function kstrtobool(s: usize, out: usize): i32 {
  const a = load<u8>(s) | 32;
  const b = a ? load<u8>(s + 1) | 32 : 0;
  if (a == 121 || load<u8>(s) == 49 || (a == 111 && b == 110)) store<u8>(out, 1);
  else if (a == 110 || load<u8>(s) == 48 || (a == 111 && b == 102)) store<u8>(out, 0);
  else return -EINVAL;
  return 0;
}

/** A number with an optional K, M, G, T, P or E. */
export function memparse(s: usize, endp: usize): u64 {
  const radix = number_base(s, 0);
  let at = radix == 16 ? s + 2 : s;
  while (digit_value(load<u8>(at)) < radix) at++;
  const shift = suffix_shift(load<u8>(at) | 32);
  if (endp) store<u64>(endp, va(shift ? at + 1 : at));
  return simple_strtoull(s, 0, 0) << shift;
}

function suffix_shift(c: u8): u64 {
  switch (c) {
    case 107:
      return 10;
    case 109:
      return 20;
    case 103:
      return 30;
    case 116:
      return 40;
    case 112:
      return 50;
    case 101:
      return 60;
    default:
      return 0;
  }
}
