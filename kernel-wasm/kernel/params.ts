/**
 * The kernel command line (kernel/params.c, lib/cmdline.c): parse_args cuts it into `name[=value]` words,
 * quotes kept together, and hands each to a callback `(name: usize, value: usize) => i32`; value is 0 when
 * there is no `=`.
 */
import { isspace } from "../lib/ctype";

const QUOTE: u8 = 34;
const EQUALS: u8 = 61;

/** Where the word at `args` ends: at the first space outside of quotes, or at the NUL. */
function word_end(args: usize): usize {
  let quoted = false;
  for (; load<u8>(args); args++) {
    const ch = load<u8>(args);
    if (ch == QUOTE) quoted = !quoted;
    else if (isspace(ch) && !quoted) break;
  }
  return args;
}

/** Position of the word's `=`, or 0. */
function find_equals(args: usize, end: usize): usize {
  for (let at = args; at < end; at++) if (load<u8>(at) == EQUALS) return at;
  return 0;
}

/** Stops at `--`, and returns what follows it, or 0. A callback's result is not looked at. */
export function parse_args(args: usize, callback: u64): usize {
  while (true) {
    while (isspace(load<u8>(args))) args++;
    if (!load<u8>(args)) return 0;
    const end = word_end(args);
    const more = load<u8>(end) != 0;
    store<u8>(end, 0);
    let name = args;
    const last = end - 1;
    if (load<u8>(name) == QUOTE) {
      name++;
      if (last >= name && load<u8>(last) == QUOTE) store<u8>(last, 0);
    }
    let value = find_equals(name, end);
    if (value) {
      store<u8>(value++, 0);
      if (load<u8>(value) == QUOTE) {
        value++;
        if (load<u8>(last) == QUOTE && last >= value) store<u8>(last, 0);
      }
    }
    args = more ? end + 1 : end;
    if (load<u8>(name) == 45 && load<u8>(name + 1) == 45 && !load<u8>(name + 2)) return args;
    call_indirect<i32>(text_index(callback), name, value);
  }
}

/** Names compare with '-' and '_' the same. */
export function parameq(a: usize, b: usize): bool {
  while (load<u8>(a) && dash_less(load<u8>(a)) == dash_less(load<u8>(b))) {
    a++;
    b++;
  }
  return load<u8>(a) == load<u8>(b);
}

function dash_less(ch: u8): u8 {
  return ch == 45 ? 95 : ch;
}
