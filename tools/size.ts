/** Sizes and addresses as Linux writes them: 64M, 1G, 0x400000, 017. */

const UNITS: Record<string, number> = { "": 0, K: 10, M: 20, G: 30, T: 40, P: 50, E: 60 };

/**
 * The number that memparse() of Linux's lib/cmdline.c would read from the whole of `text`: decimal,
 * hexadecimal after 0x, octal after 0, then an optional K M G T P E in either case. Undefined when it is no
 * such number, or above 2^53.
 */
export function parseSize(text: string): number | undefined {
  const match = /^(0[xX][0-9a-fA-F]+|[0-9]+)([kKmMgGtTpPeE]?)$/.exec(text);
  if (match === null) return undefined;
  const digits = match[1]!;
  let value: number;
  if (/^0[xX]/.test(digits)) value = Number.parseInt(digits.slice(2), 16);
  else if (digits.startsWith("0")) value = /[89]/.test(digits) ? Number.NaN : Number.parseInt(digits, 8);
  else value = Number(digits);
  const size = value * 2 ** UNITS[match[2]!.toUpperCase()]!;
  return Number.isSafeInteger(size) ? size : undefined;
}

/** The shortest exact form: 67108864 is 64M, 4097 is 4097. */
export function formatSize(size: number): string {
  for (const unit of ["E", "P", "T", "G", "M", "K"]) {
    const factor = 2 ** UNITS[unit]!;
    if (size >= factor && size % factor === 0) return `${size / factor}${unit}`;
  }
  return String(size);
}

/** For people: 66.4 MiB. */
export function readableSize(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
