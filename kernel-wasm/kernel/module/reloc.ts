/**
 * Symbols and relocations of a module (kernel/module/main.c, arch/x86/kernel/module.c). x86's relocations
 * make the skeleton in .text and the pointers in data right; those of WebAssembly's object files, which
 * .rela.wasm holds, the code that runs: padded LEB128 constants.
 */
import {
  ENOENT,
  ENOEXEC,
  R_WASM_MEMORY_ADDR_SLEB,
  R_WASM_MEMORY_ADDR_SLEB64,
  R_WASM_TABLE_INDEX_REL_SLEB,
  R_WASM_TABLE_INDEX_SLEB,
  R_X86_64_32,
  R_X86_64_64,
  R_X86_64_PLT32,
  SHF_ALLOC,
  SHN_LORESERVE,
  SHN_UNDEF,
  SHT_RELA,
} from "../../include/generated/constants";
import { elf64_rela, elf64_shdr, elf64_sym, kernel_symbol, load_info } from "../../include/generated/structs";
import { strcmp } from "../../lib/string";
import { pr_err, pr_warn } from "../printk/printk";
import { file_bytes, section, symbol, symbol_count, symbol_name } from "./layout";

const NOT_IN_TABLE: u32 = 0xffffffff;

/** The kernel's symbol of that name, of those that modules may use; 0 when there is none. */
export function find_symbol(name: usize): u64 {
  let low: usize = 0;
  const first = sym___start___ksymtab();
  let high: usize = (sym___stop___ksymtab() - first) / kernel_symbol.SIZE;
  while (low < high) {
    const middle = (low + high) >> 1;
    const it = first + middle * kernel_symbol.SIZE;
    const entry = changetype<kernel_symbol>(it);
    const order = strcmp(name, it + 4 + entry.name_offset);
    if (order == 0) return va(it + entry.value_offset);
    if (order < 0) high = middle;
    else low = middle + 1;
  }
  return 0;
}

/** Makes every symbol's value its address. 0 or -ENOENT. */
export function simplify_symbols(info: load_info): i32 {
  let ret = 0;
  for (let i: u32 = 1; i < symbol_count(info); i++) {
    const it = symbol(info, i);
    const index: u32 = it.st_shndx;
    if (index >= SHN_LORESERVE) continue;
    if (index != SHN_UNDEF) {
      it.st_value += section(info, index).sh_addr;
      continue;
    }
    const name = symbol_name(info, it);
    if (strcmp(name, c`__table_base`) == 0) {
      it.st_value = info.table_base;
      continue;
    }
    it.st_value = find_symbol(name);
    if (it.st_value) continue;
    pr_warn(c`%s: Unknown symbol %s (err %d)\n`, info.mod.name, name, -ENOENT);
    ret = -ENOENT;
  }
  return ret;
}

/** An i32 or i64 as signed LEB128 in `bytes` bytes. */
function put_sleb(at: usize, value: i64, bytes: u32): void {
  for (let i: u32 = 1; i < bytes; i++) {
    store<u8>(at++, <u8>(value & 0x7f) | 0x80);
    value >>= 7;
  }
  store<u8>(at, <u8>(value & 0x7f));
}

function apply_x86(loc: usize, place: u64, rela: elf64_rela, value: u64): bool {
  switch (rela.r_type) {
    case R_X86_64_64:
      store<u64>(loc, value);
      return true;
    case R_X86_64_32:
      if (value >> 32) return false;
      store<u32>(loc, <u32>value);
      return true;
    case R_X86_64_PLT32: {
      const way = <i64>(value - place);
      if (way != <i64>(<i32>way)) return false;
      store<i32>(loc, <i32>way);
      return true;
    }
    default:
      return false;
  }
}

function apply_wasm(loc: usize, rela: elf64_rela, it: elf64_sym): bool {
  switch (rela.r_type) {
    case R_WASM_TABLE_INDEX_SLEB: {
      const slot = text_slot(it.st_value);
      if (slot == NOT_IN_TABLE) return false;
      put_sleb(loc, <i32>slot, 5);
      return true;
    }
    case R_WASM_MEMORY_ADDR_SLEB:
      put_sleb(loc, <i32>(pa(it.st_value) + <usize>rela.r_addend), 5);
      return true;
    case R_WASM_TABLE_INDEX_REL_SLEB:
      put_sleb(loc, <i32>(it.st_value + rela.r_addend), 5);
      return true;
    case R_WASM_MEMORY_ADDR_SLEB64:
      put_sleb(loc, it.st_value + rela.r_addend, 10);
      return true;
    default:
      return false;
  }
}

/** Bytes that a relocation writes; 0 for an unknown one. */
function reloc_size(type: u32, wasm: bool): u32 {
  if (wasm) return type == R_WASM_MEMORY_ADDR_SLEB64 ? 10 : 5;
  return type == R_X86_64_64 ? 8 : 4;
}

function apply_relocate_add(info: load_info, table: elf64_shdr): i32 {
  const target = section(info, table.sh_info);
  const wasm = table.sh_info == info.index.wasm;
  const end = file_bytes(info, table) + <usize>table.sh_size;
  for (let at = file_bytes(info, table); at < end; at += elf64_rela.SIZE) {
    const rela = changetype<elf64_rela>(at);
    const size = reloc_size(rela.r_type, wasm);
    if (rela.r_sym >= symbol_count(info) || target.sh_size < size || rela.r_offset > target.sh_size - size) {
      pr_err(c`%s: Invalid relocation target in section %u\n`, info.mod.name, table.sh_info);
      return -ENOEXEC;
    }
    const it = symbol(info, rela.r_sym);
    const place = target.sh_addr + rela.r_offset;
    const value = it.st_value + rela.r_addend;
    const done = wasm ? apply_wasm(pa(place), rela, it) : apply_x86(pa(place), place, rela, value);
    if (done) continue;
    pr_err(c`%s: Unknown rela relocation or overflow: %u, value %llx\n`, info.mod.name, rela.r_type, value);
    return -ENOEXEC;
  }
  return 0;
}

export function apply_relocations(info: load_info): i32 {
  for (let i: u32 = 1; i < info.hdr.e_shnum; i++) {
    const it = section(info, i);
    if (it.sh_type != SHT_RELA || !(section(info, it.sh_info).sh_flags & SHF_ALLOC)) continue;
    const err = apply_relocate_add(info, it);
    if (err) return err;
  }
  return 0;
}
