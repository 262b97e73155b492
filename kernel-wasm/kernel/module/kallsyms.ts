/**
 * Symbols of modules (kernel/module/kallsyms.c): each module keeps those that lie in its memory, for
 * backtraces, /proc/kallsyms and debuggers.
 */
import {
  MODULES_VADDR,
  MODULE_SPACE_SIZE,
  MODULE_STATE_UNFORMED,
  SHF_EXECINSTR,
  SHF_WRITE,
  SHT_NOBITS,
} from "../../include/generated/constants";
import { elf64_sym, load_info, module_ } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { list_is_head } from "../../lib/list";
import { strlen } from "../../lib/string";
import { is_core_symbol, section, symbol, symbol_count, symbol_name } from "./layout";

/** As nm names the kind of section. */
function elf_type(info: load_info, it: elf64_sym): u8 {
  const flags = section(info, it.st_shndx).sh_flags;
  if (flags & SHF_EXECINSTR) return 0x74;
  if (section(info, it.st_shndx).sh_type == SHT_NOBITS) return 0x62;
  return flags & SHF_WRITE ? 0x64 : 0x72;
}

/** Copies the symbols that stay into the module; the values are addresses by now. */
export function add_kallsyms(mod: module_, info: load_info): void {
  const base = mod.core_layout.base;
  const kallsyms = mod.core_kallsyms;
  kallsyms.symtab = changetype<elf64_sym>(base + <usize>info.symoffs);
  kallsyms.strtab = base + <usize>info.stroffs;
  kallsyms.typetab = base + <usize>info.typeoffs;
  kallsyms.num_symtab = info.core_syms;
  let name = kallsyms.strtab + 1;
  let count: u32 = 1;
  for (let i: u32 = 1; i < symbol_count(info); i++) {
    const from = symbol(info, i);
    if (!is_core_symbol(info, from)) continue;
    const to = module_symbol(mod, count);
    memory.copy(changetype<usize>(to), changetype<usize>(from), elf64_sym.SIZE);
    to.st_name = <u32>(name - kallsyms.strtab);
    const len = strlen(symbol_name(info, from)) + 1;
    memory.copy(name, symbol_name(info, from), len);
    name += len;
    store<u8>(kallsyms.typetab + count, elf_type(info, from));
    count++;
  }
  mod.kallsyms = kallsyms;
}

@inline
export function module_symbol(mod: module_, index: u32): elf64_sym {
  return changetype<elf64_sym>(changetype<usize>(mod.core_kallsyms.symtab) + index * elf64_sym.SIZE);
}

/** The module whose memory holds the address; null for none. */
export function __module_address(addr: u64): module_ {
  if (addr - MODULES_VADDR >= MODULE_SPACE_SIZE) return changetype<module_>(0);
  const head = sym.modules;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const mod = module_.from_list(at);
    if (mod.state == MODULE_STATE_UNFORMED) continue;
    if (addr - mod.core_layout.base_va < mod.core_layout.size) return mod;
  }
  return changetype<module_>(0);
}

export function is_module_text_address(addr: u64): bool {
  const mod = __module_address(addr);
  return !isnull(mod) && addr - mod.core_layout.base_va < mod.core_layout.text_size;
}

/** The number of the last symbol at or below the address, of the module that it lies in; 0 for none. */
export function find_kallsyms_symbol(mod: module_, addr: u64): u32 {
  let best: u32 = 0;
  for (let i: u32 = 1; i < mod.core_kallsyms.num_symtab; i++) {
    const value = module_symbol(mod, i).st_value;
    if (value <= addr && (!best || value > module_symbol(mod, best).st_value)) best = i;
  }
  return best;
}

/** Bytes from the symbol to the next one, or to the end of the text or of the module. */
export function module_symbol_size(mod: module_, index: u32): u64 {
  const start = module_symbol(mod, index).st_value;
  const text_end = mod.core_layout.base_va + mod.core_layout.text_size;
  let next = start < text_end ? text_end : mod.core_layout.base_va + mod.core_layout.size;
  for (let i: u32 = 1; i < mod.core_kallsyms.num_symtab; i++) {
    const value = module_symbol(mod, i).st_value;
    if (value > start && value < next) next = value;
  }
  return next - start;
}

@inline
export function module_symbol_name(mod: module_, index: u32): usize {
  return mod.core_kallsyms.strtab + module_symbol(mod, index).st_name;
}
