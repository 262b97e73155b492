/**
 * Names of text addresses (kernel/kallsyms.c). The link step writes Linux's compressed tables into .rodata:
 * sorted offsets from kallsyms_relative_base, names as token strings with a marker every 256 names. The
 * symbol's type letter is the first character of the expanded name. Nothing here needs scratch memory: names
 * go straight into the output.
 */
import { CONFIG_MODULES } from "../include/generated/constants";
import { module_ } from "../include/generated/structs";
import {
  __module_address,
  find_kallsyms_symbol,
  module_symbol,
  module_symbol_name,
  module_symbol_size,
} from "./module/kallsyms";

export const SYMBOL_OFFSET: u32 = 1;
export const SYMBOL_NAME_ONLY: u32 = 0;
/** The address is a return address: name the function of the call before it. */
export const SYMBOL_BUILD_BACKTRACE: u32 = 3;

@inline
function num_syms(): u32 {
  return load<u32>(sym_kallsyms_num_syms());
}

/** With CONFIG_KALLSYMS_ABSOLUTE_PERCPU, offsets >= 0 are absolute and negative ones relative. */
function kallsyms_sym_address(index: u32): u64 {
  const offset = load<i32>(sym_kallsyms_offsets() + (index << 2));
  if (offset >= 0) return offset as u64;
  return load<u64>(sym_kallsyms_relative_base()) - 1 - ((offset as i64) as u64);
}

/** Where the compressed name of a symbol starts, in kallsyms_names. */
function kallsyms_name_at(index: u32): usize {
  const marker = load<u32>(sym_kallsyms_markers() + ((index >> 8) << 2));
  let at = sym_kallsyms_names() + marker;
  for (let i: u32 = 0; i < (index & 0xff); i++) at += (load<u8>(at) as usize) + 1;
  return at;
}

/** Expands a name (without its type letter) into [at, end); returns the position after it. */
function kallsyms_expand_symbol(name: usize, at: usize, end: usize): usize {
  const tokens = load<u8>(name++) as u32;
  let letter = true;
  for (let i: u32 = 0; i < tokens; i++) {
    const index = sym_kallsyms_token_index() + ((load<u8>(name + i) as usize) << 1);
    let token = sym_kallsyms_token_table() + (load<u16>(index) as usize);
    for (let ch: u32 = load<u8>(token); ch; ch = load<u8>(++token)) {
      if (!letter) {
        if (at < end) store<u8>(at, ch as u8);
        at++;
      }
      letter = false;
    }
  }
  return at;
}

/** The symbol that contains the address, or -1: the last one at or below it, the first of equals. */
function get_symbol_pos(address: u64): i32 {
  let low: u32 = 0;
  let high = num_syms();
  if (!high || address < kallsyms_sym_address(0)) return -1;
  while (high - low > 1) {
    const middle = low + ((high - low) >> 1);
    if (kallsyms_sym_address(middle) <= address) low = middle;
    else high = middle;
  }
  while (low && kallsyms_sym_address(low - 1) == kallsyms_sym_address(low)) low--;
  return low as i32;
}

/** Bytes from the symbol's start to the next symbol's. */
function symbol_size(index: u32): u64 {
  const start = kallsyms_sym_address(index);
  for (let i = index + 1; i < num_syms(); i++) {
    const next = kallsyms_sym_address(i);
    if (next > start) return next - start;
  }
  return va(sym__etext()) - start;
}

function is_kernel_address(address: u64): bool {
  return num_syms() != 0 && address >= 0xffffffff80000000 && address < va(sym__etext());
}

function put_hex(at: usize, end: usize, value: u64): usize {
  let shift = 60;
  while (shift && !(value >> shift)) shift -= 4;
  for (; shift >= 0; shift -= 4) {
    const digit = ((value >> shift) & 15) as u32;
    if (at < end) store<u8>(at, (digit < 10 ? 48 + digit : 87 + digit) as u8);
    at++;
  }
  return at;
}

/** `0x` and the value, after a sign when there is one. */
function put_prefixed(at: usize, end: usize, sign: u32, value: u64): usize {
  if (sign) {
    if (at < end) store<u8>(at, sign as u8);
    at++;
  }
  if (at < end) store<u8>(at, 48);
  if (at + 1 < end) store<u8>(at + 1, 120);
  return put_hex(at + 2, end, value);
}

function put_text(at: usize, end: usize, text: usize): usize {
  for (let ch = load<u8>(text); ch; ch = load<u8>(++text)) {
    if (at < end) store<u8>(at, ch);
    at++;
  }
  return at;
}

/** The same of a symbol of a module, with ` [module]` behind it. */
function sprint_module_symbol(
  mod: module_, at: usize, end: usize, address: u64, back: u64, kind: u32,
): usize {
  const index = find_kallsyms_symbol(mod, address - back);
  if (!index) at = put_prefixed(at, end, 0, address);
  else {
    at = put_text(at, end, module_symbol_name(mod, index));
    if (kind == SYMBOL_NAME_ONLY) return at;
    at = put_prefixed(at, end, 43, address - module_symbol(mod, index).st_value);
    at = put_prefixed(at, end, 47, module_symbol_size(mod, index));
  }
  return put_text(put_text(put_text(at, end, c` [`), end, mod.name), end, c`]`);
}

/** `name+0xoffset/0xsize`, the name alone, or plain hex; returns the position after the text. */
export function sprint_symbol(at: usize, end: usize, address: u64, kind: u32): usize {
  const back: u64 = kind == SYMBOL_BUILD_BACKTRACE ? 1 : 0;
  const index = is_kernel_address(address - back) ? get_symbol_pos(address - back) : -1;
  if (CONFIG_MODULES && index < 0) {
    const mod = __module_address(address - back);
    if (!isnull(mod)) return sprint_module_symbol(mod, at, end, address, back, kind);
  }
  if (index < 0) return put_prefixed(at, end, 0, address);
  at = kallsyms_expand_symbol(kallsyms_name_at(index), at, end);
  if (kind == SYMBOL_NAME_ONLY) return at;
  at = put_prefixed(at, end, 43, address - kallsyms_sym_address(index));
  return put_prefixed(at, end, 47, symbol_size(index));
}

/** Where the symbol starts that contains the address; 0 outside of the kernel's text. */
export function kallsyms_symbol_start(address: u64): u64 {
  const index = is_kernel_address(address) ? get_symbol_pos(address) : -1;
  if (CONFIG_MODULES && index < 0) {
    const mod = __module_address(address);
    const found = isnull(mod) ? 0 : find_kallsyms_symbol(mod, address);
    return found ? module_symbol(mod, found).st_value : 0;
  }
  return index < 0 ? 0 : kallsyms_sym_address(index);
}

export function kallsyms_num_syms(): u32 {
  return num_syms();
}

export function kallsyms_symbol_address(index: u32): u64 {
  return kallsyms_sym_address(index);
}

/** The name of symbol number `index`, with its NUL, into [at, end); returns its type letter. */
export function kallsyms_symbol(index: u32, at: usize, end: usize): u8 {
  const name = kallsyms_name_at(index);
  const after = kallsyms_expand_symbol(name, at, end - 1);
  store<u8>(min(after, end - 1), 0);
  const token = sym_kallsyms_token_index() + ((load<u8>(name + 1) as usize) << 1);
  return load<u8>(sym_kallsyms_token_table() + (load<u16>(token) as usize));
}
