/**
 * A module's file (kernel/module/main.c): whether it is one, what its sections are, and where they go in
 * module space. Nothing of the file is believed: each offset and index is looked at once, here.
 */
import {
  ELFCLASS64,
  ELFDATA2LSB,
  ELFMAG,
  EI_CLASS,
  EI_DATA,
  EM_X86_64,
  ENOEXEC,
  ET_REL,
  MODULE_NAME_LEN,
  PAGE_SIZE,
  R_X86_64_32,
  SHF_ALLOC,
  SHF_EXECINSTR,
  SHF_WRITE,
  SHN_LORESERVE,
  SHN_UNDEF,
  SHT_NOBITS,
  SHT_RELA,
  SHT_STRTAB,
  SHT_SYMTAB,
} from "../../include/generated/constants";
import { elf64_rela, elf64_shdr, elf64_sym, load_info, module_ } from "../../include/generated/structs";
import { module_alloc, module_table_base } from "../../arch/kernel/module";
import { memcmp, strcmp, strlen } from "../../lib/string";
import { pr_err, pr_warn } from "../printk/printk";

/** Sections of a module are few; so a damaged count is seen at once. */
const SECTIONS_MAX: u32 = 256;
const SIZE_MAX: u64 = 0x40000000;
const SLOTS_MAX: u32 = 0x10000;

@inline
export function section(info: load_info, index: u32): elf64_shdr {
  return changetype<elf64_shdr>(changetype<usize>(info.sechdrs) + index * elf64_shdr.SIZE);
}

/** Where a section's bytes are in the file. */
@inline
export function file_bytes(info: load_info, it: elf64_shdr): usize {
  return changetype<usize>(info.hdr) + <usize>it.sh_offset;
}

@inline
export function section_name(info: load_info, it: elf64_shdr): usize {
  return info.secstrings + it.sh_name;
}

/** The number of the loaded section of that name; 0 for none. */
export function find_sec(info: load_info, name: usize): u32 {
  for (let i: u32 = 1; i < info.hdr.e_shnum; i++) {
    const it = section(info, i);
    if (it.sh_flags & SHF_ALLOC && strcmp(section_name(info, it), name) == 0) return i;
  }
  return 0;
}

export function symbol(info: load_info, index: u32): elf64_sym {
  return changetype<elf64_sym>(file_bytes(info, section(info, info.index.sym)) + index * elf64_sym.SIZE);
}

export function symbol_count(info: load_info): u32 {
  return <u32>(section(info, info.index.sym).sh_size / elf64_sym.SIZE);
}

@inline
export function symbol_name(info: load_info, it: elf64_sym): usize {
  return info.strtab + it.st_name;
}

function is_inside(info: load_info, offset: u64, size: u64): bool {
  return offset <= info.len && size <= info.len - offset;
}

function is_string_table(info: load_info, it: elf64_shdr): bool {
  if (it.sh_type != SHT_STRTAB || it.sh_size == 0) return false;
  return load<u8>(file_bytes(info, it) + <usize>it.sh_size - 1) == 0;
}

/** 0, or -ENOEXEC after saying what is wrong. */
export function elf_validity_check(info: load_info): i32 {
  const hdr = info.hdr;
  if (info.len < <u64>64) return -ENOEXEC;
  if (load<u32>(changetype<usize>(hdr)) != ELFMAG) {
    pr_err(c`Invalid ELF header magic: != %s\n`, c`\x7fELF`);
    return -ENOEXEC;
  }
  if (hdr.e_type != ET_REL) {
    pr_err(c`Invalid ELF header type: %u != %u\n`, hdr.e_type, ET_REL);
    return -ENOEXEC;
  }
  const ident = hdr.e_ident;
  const wide = load<u8>(ident + EI_CLASS) == ELFCLASS64;
  if (hdr.e_machine != EM_X86_64 || !wide || load<u8>(ident + EI_DATA) != ELFDATA2LSB) {
    pr_err(c`Invalid architecture in ELF header: %u\n`, hdr.e_machine);
    return -ENOEXEC;
  }
  if (hdr.e_shentsize != elf64_shdr.SIZE) {
    pr_err(c`Invalid ELF section header size\n`);
    return -ENOEXEC;
  }
  const count: u32 = hdr.e_shnum;
  if (count == 0 || count > SECTIONS_MAX || !is_inside(info, hdr.e_shoff, count * elf64_shdr.SIZE)) {
    pr_err(c`Invalid ELF section header overflow\n`);
    return -ENOEXEC;
  }
  info.sechdrs = changetype<elf64_shdr>(changetype<usize>(hdr) + <usize>hdr.e_shoff);
  if (hdr.e_shstrndx == SHN_UNDEF || hdr.e_shstrndx >= count) {
    pr_err(c`Invalid ELF section name index: %d || e_shstrndx (%d) >= e_shnum (%d)\n`,
      hdr.e_shstrndx, hdr.e_shstrndx, count);
    return -ENOEXEC;
  }
  return check_sections(info, count);
}

function check_sections(info: load_info, count: u32): i32 {
  for (let i: u32 = 1; i < count; i++) {
    const it = section(info, i);
    if (it.sh_type != SHT_NOBITS && !is_inside(info, it.sh_offset, it.sh_size)) {
      pr_err(c`Invalid ELF section offset/size in module (section %u type %u)\n`, i, it.sh_type);
      return -ENOEXEC;
    }
    const align = it.sh_addralign;
    if (it.sh_size >= SIZE_MAX || (align & (align - 1)) != 0 || align > PAGE_SIZE) {
      pr_err(c`Invalid ELF section size or alignment in module (section %u)\n`, i);
      return -ENOEXEC;
    }
  }
  const names = section(info, info.hdr.e_shstrndx);
  if (!is_string_table(info, names)) {
    pr_err(c`ELF Spec violation: section name table isn't null terminated\n`);
    return -ENOEXEC;
  }
  info.secstrings = file_bytes(info, names);
  for (let i: u32 = 1; i < count; i++) {
    const it = section(info, i);
    if (it.sh_name >= names.sh_size || (it.sh_type == SHT_RELA && !is_relocation_table(info, it, count))) {
      pr_err(c`Invalid ELF section header in module (section %u)\n`, i);
      return -ENOEXEC;
    }
  }
  return 0;
}

/** Of a section that exists; what its entries say is checked when they are applied. */
function is_relocation_table(info: load_info, it: elf64_shdr, count: u32): bool {
  return it.sh_info < count && it.sh_size % elf64_rela.SIZE == 0 &&
    section(info, it.sh_info).sh_type != SHT_NOBITS;
}

/** Finds the sections by their names. 0 or -ENOEXEC. */
export function setup_load_info(info: load_info): i32 {
  const count: u32 = info.hdr.e_shnum;
  for (let i: u32 = 1; i < count; i++) {
    const it = section(info, i);
    if (it.sh_type != SHT_SYMTAB) continue;
    if (it.sh_link == 0 || it.sh_link >= count) return -ENOEXEC;
    if (!is_string_table(info, section(info, it.sh_link))) return -ENOEXEC;
    info.index.sym = i;
    info.index.str = it.sh_link;
    info.strtab = file_bytes(info, section(info, it.sh_link));
  }
  info.index.info = find_sec(info, c`.modinfo`);
  info.index.text = find_sec(info, c`.text`);
  info.index.wasm = find_sec(info, c`.wasm`);
  info.index.mod = find_sec(info, c`.gnu.linkonce.this_module`);
  if (!info.index.mod || section(info, info.index.mod).sh_size != module_.SIZE) {
    pr_warn(c`%s: No module found in object\n`, c`(missing .gnu.linkonce.this_module section)`);
    return -ENOEXEC;
  }
  info.mod = changetype<module_>(file_bytes(info, section(info, info.index.mod)));
  const name = info.mod.name;
  if (!load<u8>(name) || load<u8>(name + MODULE_NAME_LEN - 1)) return -ENOEXEC;
  info.name = name;
  if (!info.index.sym) {
    pr_warn(c`%s: module has no symbols (stripped?)\n`, name);
    return -ENOEXEC;
  }
  if (!info.index.wasm || !info.index.text || !is_terminated(info, info.index.info)) return -ENOEXEC;
  return check_symbols(info);
}

/** .modinfo: NUL-terminated texts. */
function is_terminated(info: load_info, index: u32): bool {
  if (!index) return true;
  const it = section(info, index);
  return it.sh_type != SHT_NOBITS && it.sh_size != 0 &&
    load<u8>(file_bytes(info, it) + <usize>it.sh_size - 1) == 0;
}

function check_symbols(info: load_info): i32 {
  const strings = section(info, info.index.str).sh_size;
  for (let i: u32 = 0; i < symbol_count(info); i++) {
    const it = symbol(info, i);
    const index: u32 = it.st_shndx;
    if (it.st_name >= strings || (index >= info.hdr.e_shnum && index < SHN_LORESERVE)) return -ENOEXEC;
  }
  return 0;
}

/** The value of `tag` in .modinfo, 0 when it is not there. */
export function get_modinfo(info: load_info, tag: usize): usize {
  if (!info.index.info) return 0;
  const it = section(info, info.index.info);
  const end = file_bytes(info, it) + <usize>it.sh_size;
  const len = strlen(tag);
  for (let at = file_bytes(info, it); at < end; at += strlen(at) + 1) {
    if (memcmp(at, tag, len) == 0 && load<u8>(at + len) == 0x3d) return at + len + 1;
  }
  return 0;
}

@inline
function align_up(n: u64, to: u64): u64 {
  return (n + to - 1) & ~(to - 1);
}

/** Gives the sections of one kind their offsets, from `at` on; where they end, page-aligned. */
function layout_group(info: load_info, need: u64, at: u64): u64 {
  const kinds: u64 = SHF_WRITE | SHF_EXECINSTR;
  for (let i: u32 = 1; i < info.hdr.e_shnum; i++) {
    const it = section(info, i);
    if (!(it.sh_flags & SHF_ALLOC) || (it.sh_flags & kinds) != need || i == info.index.info) continue;
    at = align_up(at, it.sh_addralign ? it.sh_addralign : 1);
    it.sh_addr = at;
    at += it.sh_size;
  }
  return align_up(at, PAGE_SIZE);
}

/** Whether kallsyms keeps the symbol: what lies in a section that is loaded. */
export function is_core_symbol(info: load_info, it: elf64_sym): bool {
  const index: u32 = it.st_shndx;
  if (index == SHN_UNDEF || index >= info.hdr.e_shnum || index == info.index.info) return false;
  return (section(info, index).sh_flags & SHF_ALLOC) != 0 && load<u8>(symbol_name(info, it)) != 0;
}

/** Room for the module's own symbol table: symbols, names, types. */
function layout_symtab(info: load_info, at: u64): u64 {
  let names: u64 = 1;
  let count: u32 = 1;
  for (let i: u32 = 1; i < symbol_count(info); i++) {
    const it = symbol(info, i);
    if (!is_core_symbol(info, it)) continue;
    names += strlen(symbol_name(info, it)) + 1;
    count++;
  }
  info.core_syms = count;
  info.symoffs = at;
  info.stroffs = at + count * elf64_sym.SIZE;
  info.typeoffs = info.stroffs + names;
  return align_up(info.typeoffs + count, PAGE_SIZE);
}

/** One more than the highest slot that a function of the module has. */
function count_slots(info: load_info): u32 {
  let slots: i64 = 0;
  for (let i: u32 = 1; i < info.hdr.e_shnum; i++) {
    const it = section(info, i);
    if (it.sh_type != SHT_RELA || it.sh_info != info.index.text) continue;
    const end = file_bytes(info, it) + <usize>it.sh_size;
    for (let at = file_bytes(info, it); at < end; at += elf64_rela.SIZE) {
      const rela = changetype<elf64_rela>(at);
      if (rela.r_type == R_X86_64_32) slots = max<i64>(slots, rela.r_addend + 1);
    }
  }
  return <u32>min<i64>(slots, SLOTS_MAX);
}

/** Memory for the module and its sections in it; info.mod is the one there. Null when there is none. */
export function layout_and_allocate(info: load_info): module_ {
  const text = layout_group(info, SHF_EXECINSTR, 0);
  const ro = layout_group(info, 0, text);
  const rw = layout_group(info, SHF_WRITE, ro);
  const size = layout_symtab(info, rw);
  const base = size > SIZE_MAX ? 0 : module_alloc(<u32>size);
  if (!base) return changetype<module_>(0);
  for (let i: u32 = 1; i < info.hdr.e_shnum; i++) {
    const it = section(info, i);
    if (it.sh_flags & SHF_ALLOC && i != info.index.info) {
      const to = base + <usize>it.sh_addr;
      if (it.sh_type != SHT_NOBITS) memory.copy(to, file_bytes(info, it), <usize>it.sh_size);
      it.sh_addr = va(base) + it.sh_addr;
    } else it.sh_addr = 0;
  }
  const mod = changetype<module_>(pa(section(info, info.index.mod).sh_addr));
  mod.core_layout.base = base;
  mod.core_layout.size = <u32>size;
  mod.core_layout.text_size = <u32>text;
  mod.core_layout.ro_size = <u32>ro;
  mod.core_layout.ro_after_init_size = <u32>ro;
  info.mod = mod;
  info.table_slots = count_slots(info);
  info.table_base = module_table_base(info.table_slots);
  return mod;
}
