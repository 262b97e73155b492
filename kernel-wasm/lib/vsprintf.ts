/**
 * Formatting (lib/vsprintf.c): vsnprintf and its wrappers. Up to ten arguments travel as u64 parameters, in
 * wasm locals, so that formatting needs no scratch memory and nests freely (printk inside printk, a trap
 * inside either). Nothing here writes outside [buf, buf + size).
 *
 * Arguments: integers widened to 64 bits (the conversion's length modifier narrows them again); `%s` a
 * physical address; `%p` and `%px` a virtual address; `%pS`, `%ps`, `%pB` a text address.
 */
import { isdigit } from "./ctype";
import { sprint_symbol, SYMBOL_BUILD_BACKTRACE, SYMBOL_NAME_ONLY, SYMBOL_OFFSET } from "../kernel/kallsyms";

const SIGN: u32 = 1;
const LEFT: u32 = 2;
const PLUS: u32 = 4;
const SPACE: u32 = 8;
const ZEROPAD: u32 = 16;
const SMALL: u32 = 32;
const SPECIAL: u32 = 64;

const MAX_ARGUMENTS: u32 = 10;

/** Puts a character where it fits and moves on: the position counts what the whole text would need. */
@inline
function put(at: usize, end: usize, c: u32): usize {
  if (at < end) store<u8>(at, c as u8);
  return at + 1;
}

function fill(at: usize, end: usize, c: u32, count: i32): usize {
  for (; count > 0; count--) at = put(at, end, c);
  return at;
}

function digits_of(value: u64, base: u32): i32 {
  let n = 0;
  do {
    n++;
    value /= base as u64;
  } while (value != 0);
  return n;
}

function number(at: usize, end: usize, value: u64, base: u32, width: i32, precision: i32, flags: u32): usize {
  let sign: u32 = 0;
  if (flags & SIGN) {
    if ((value as i64) < 0) {
      sign = 45;
      value = 0 - value;
    } else if (flags & PLUS) sign = 43;
    else if (flags & SPACE) sign = 32;
  }
  const prefix = flags & SPECIAL && base != 10 ? (base == 16 ? 2 : 1) : 0;
  const digits = precision == 0 && value == 0 ? 0 : digits_of(value, base);
  let zeros = precision > digits ? precision - digits : 0;
  let blanks = width - digits - zeros - prefix - (sign ? 1 : 0);
  if (flags & ZEROPAD && !(flags & LEFT) && precision < 0 && blanks > 0) {
    zeros = blanks;
    blanks = 0;
  }
  if (!(flags & LEFT)) {
    at = fill(at, end, 32, blanks);
    blanks = 0;
  }
  if (sign) at = put(at, end, sign);
  if (prefix) {
    at = put(at, end, 48);
    if (prefix == 2) at = put(at, end, 88 | (flags & SMALL));
  }
  at = fill(at, end, 48, zeros);
  for (let place = digits - 1; place >= 0; place--) {
    const digit = (value % base) as u32;
    put(at + place, end, digit < 10 ? 48 + digit : (55 + digit) | (flags & SMALL));
    value /= base as u64;
  }
  return fill(at + digits, end, 32, blanks);
}

function string(at: usize, end: usize, text: usize, width: i32, precision: i32, flags: u32): usize {
  if (!text) text = c`(null)`;
  let length = 0;
  while ((precision < 0 || length < precision) && load<u8>(text + length)) length++;
  if (!(flags & LEFT)) at = fill(at, end, 32, width - length);
  for (let i = 0; i < length; i++) at = put(at, end, load<u8>(text + i));
  return flags & LEFT ? fill(at, end, 32, width - length) : at;
}

/** `%p` with the letter after it. Addresses are shown plainly: the dump shows them anyway. */
function pointer(at: usize, end: usize, kind: u32, value: u64, width: i32, flags: u32): usize {
  if (kind == 83) return sprint_symbol(at, end, value, SYMBOL_OFFSET);
  if (kind == 115) return sprint_symbol(at, end, value, SYMBOL_NAME_ONLY);
  if (kind == 66) return sprint_symbol(at, end, value, SYMBOL_BUILD_BACKTRACE);
  return number(at, end, value, 16, width > 0 ? width : 16, -1, flags | SMALL | ZEROPAD);
}

@inline
function narrow(value: u64, size: u32, signed: bool): u64 {
  if (size == 8) return value;
  if (size == 4) return signed ? ((value as i32) as i64) as u64 : ((value as u32) as u64);
  if (size == 2) return signed ? ((value as i16) as i64) as u64 : ((value as u16) as u64);
  return signed ? ((value as i8) as i64) as u64 : ((value as u8) as u64);
}

/**
 * Formats into buf and ends the text with NUL when size > 0. Returns the length that the whole text has,
 * without the NUL, whether it fitted or not; (0, 0, ...) only measures.
 */
export function vsnprintf(
  buf: usize, size: u32, fmt: usize,
  a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, a6: u64, a7: u64, a8: u64, a9: u64,
): i32 {
  const end = buf + size;
  let at = buf;
  let taken: u32 = 0;
  for (;;) {
    let ch: u32 = load<u8>(fmt++);
    if (!ch) break;
    if (ch != 37) {
      at = put(at, end, ch);
      continue;
    }
    let flags: u32 = 0;
    for (;;) {
      ch = load<u8>(fmt++);
      if (ch == 45) flags |= LEFT;
      else if (ch == 43) flags |= PLUS;
      else if (ch == 32) flags |= SPACE;
      else if (ch == 35) flags |= SPECIAL;
      else if (ch == 48) flags |= ZEROPAD;
      else break;
    }
    let width: i32 = 0;
    let precision: i32 = -1;
    let conversion: u32 = 0;
    let bytes: u32 = 4;
    // Two rounds at most take a `*` argument (width, precision); the last one takes the value.
    for (let stage = 0; ; ) {
      let star = false;
      if (stage == 0) {
        while (isdigit(ch)) {
          width = width * 10 + ((ch - 48) as i32);
          ch = load<u8>(fmt++);
        }
        star = ch == 42;
        stage = 1;
      } else if (stage == 1) {
        stage = 2;
        if (ch == 46) {
          precision = 0;
          ch = load<u8>(fmt++);
          while (isdigit(ch)) {
            precision = precision * 10 + ((ch - 48) as i32);
            ch = load<u8>(fmt++);
          }
          star = ch == 42;
        }
      }
      if (!star && stage == 1) continue;
      if (!star) {
        if (ch == 104) {
          bytes = 2;
          ch = load<u8>(fmt++);
          if (ch == 104) {
            bytes = 1;
            ch = load<u8>(fmt++);
          }
        } else if (ch == 108 || ch == 76 || ch == 122 || ch == 116) {
          bytes = 8;
          ch = load<u8>(fmt++);
          if (ch == 108) ch = load<u8>(fmt++);
        }
        conversion = ch;
        if (conversion == 37 || conversion == 0 || taken == MAX_ARGUMENTS) break;
      }
      let value: u64;
      switch (taken++) {
        case 0: value = a0; break;
        case 1: value = a1; break;
        case 2: value = a2; break;
        case 3: value = a3; break;
        case 4: value = a4; break;
        case 5: value = a5; break;
        case 6: value = a6; break;
        case 7: value = a7; break;
        case 8: value = a8; break;
        default: value = a9; break;
      }
      if (star) {
        if (stage == 1) {
          width = value as i32;
          if (width < 0) {
            width = -width;
            flags |= LEFT;
          }
        } else precision = value as i32;
        ch = load<u8>(fmt++);
        continue;
      }
      if (conversion == 115) at = string(at, end, value as usize, width, precision, flags);
      else if (conversion == 99) {
        if (!(flags & LEFT)) at = fill(at, end, 32, width - 1);
        at = put(at, end, (value as u32) & 0xff);
        if (flags & LEFT) at = fill(at, end, 32, width - 1);
      } else if (conversion == 112) {
        const kind: u32 = load<u8>(fmt);
        if (kind == 83 || kind == 115 || kind == 66 || kind == 120) fmt++;
        at = pointer(at, end, kind, value, width, flags);
      } else if (conversion == 100 || conversion == 105) {
        at = number(at, end, narrow(value, bytes, true), 10, width, precision, flags | SIGN);
      } else {
        const base: u32 = conversion == 117 ? 10 : conversion == 111 ? 8 : 16;
        if (conversion == 120) flags |= SMALL;
        at = number(at, end, narrow(value, bytes, false), base, width, precision, flags);
      }
      break;
    }
    if (conversion == 0) break;
    if (conversion == 37) at = put(at, end, 37);
  }
  if (size) store<u8>(at < end ? at : end - 1, 0);
  return (at - buf) as i32;
}

/** As vsnprintf, but returns the length of what is in buf. */
export function vscnprintf(
  buf: usize, size: u32, fmt: usize,
  a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, a6: u64, a7: u64, a8: u64, a9: u64,
): i32 {
  const length = vsnprintf(buf, size, fmt, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9);
  if ((length as u32) < size) return length;
  return size ? (size - 1) as i32 : 0;
}

export function snprintf(
  buf: usize, size: u32, fmt: usize, a0: u64 = 0, a1: u64 = 0, a2: u64 = 0, a3: u64 = 0, a4: u64 = 0,
  a5: u64 = 0, a6: u64 = 0, a7: u64 = 0, a8: u64 = 0, a9: u64 = 0,
): i32 {
  return vsnprintf(buf, size, fmt, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9);
}

export function scnprintf(
  buf: usize, size: u32, fmt: usize, a0: u64 = 0, a1: u64 = 0, a2: u64 = 0, a3: u64 = 0, a4: u64 = 0,
  a5: u64 = 0, a6: u64 = 0, a7: u64 = 0, a8: u64 = 0, a9: u64 = 0,
): i32 {
  return vscnprintf(buf, size, fmt, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9);
}
