/** Character classes of ASCII (lib/ctype.c). */

export function isdigit(c: u32): bool {
  return c - 48 < 10;
}

export function isspace(c: u32): bool {
  return c == 32 || c - 9 < 5;
}

export function tolower(c: u32): u32 {
  return c - 65 < 26 ? c + 32 : c;
}

/** The value of a digit of any base up to 36, or 255. */
export function digit_value(c: u32): u32 {
  if (isdigit(c)) return c - 48;
  const letter = (c | 32) - 97;
  return letter < 26 ? letter + 10 : 255;
}
