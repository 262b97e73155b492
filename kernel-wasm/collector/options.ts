/**
 * The component's arguments: makedumpfile's -d -c -l -p -z, read as getopt(3) reads them. Input and output
 * are not among them: the host has both.
 */
import { LZO, SNAPPY, ZLIB, ZSTD } from "./pages";
import { begin, say, say_bytes } from "./text";

const LEVEL_MAX: u32 = 31;

/** The dump level, and what the pages are compressed with: a flag of page descriptors, 0 for nothing. */
export let level: u32 = 0;
export let codec: u32 = 0;

const DASH: u8 = 0x2d;
const D: u8 = 0x64;

function codec_of(option: u8): u32 {
  if (option == 0x63) return ZLIB;
  if (option == 0x6c) return LZO;
  if (option == 0x70) return SNAPPY;
  return option == 0x7a ? ZSTD : 0;
}

/** False, and a sentence (text.ts), when the bytes are no level. */
function take_level(at: usize, size: usize): bool {
  let value: u32 = 0;
  let good = size > 0 && size <= 2;
  for (let i: usize = 0; good && i < size; i++) {
    const digit = <u32>load<u8>(at + i) - 0x30;
    good = digit <= 9;
    value = value * 10 + digit;
  }
  if (good && value <= LEVEL_MAX) {
    level = value;
    return true;
  }
  begin();
  say("Dump_level(");
  say_bytes(at, size);
  say(") is invalid.");
  return false;
}

/** One argument and, as the value of -d, the next; how many were taken. 0, and a sentence: wrong. */
function take(args: usize, count: usize): usize {
  const at = load<usize>(args);
  const size = load<usize>(args + 4);
  if (size < 2 || load<u8>(at) != DASH) {
    begin();
    say("unexpected operand ");
    say_bytes(at, size);
    say(": the host has named input and output");
    return 0;
  }
  for (let i: usize = 1; i < size; i++) {
    const option = load<u8>(at + i);
    if (option == D) {
      if (i + 1 < size) return take_level(at + i + 1, size - i - 1) ? 1 : 0;
      if (count < 2) {
        begin();
        say("option requires an argument -- 'd'");
        return 0;
      }
      return take_level(load<usize>(args + 8), load<usize>(args + 12)) ? 2 : 0;
    }
    const found = codec_of(option);
    if (found == 0) {
      begin();
      say("invalid option -- '");
      say_bytes(at + i, 1);
      say("': there are -d LEVEL, -c, -l, -p and -z");
      return 0;
    }
    codec = found;
  }
  return 1;
}

/** Reads `count` texts (address, length); false, and a sentence (text.ts), when they are wrong. */
export function read_options(args: usize, count: usize): bool {
  for (let n: usize = 0; n < count; ) {
    const taken = take(args + (n << 3), count - n);
    if (taken == 0) return false;
    n += taken;
  }
  return true;
}
