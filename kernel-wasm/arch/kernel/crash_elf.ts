/**
 * The ELF core headers that the capture kernel gets (elfcorehdr): where the notes are and what memory there
 * is.
 *
 *     PT_NOTE   one for each possible CPU's crash_notes, one for VMCOREINFO
 *     PT_LOAD   low 640 KiB   direct map, p_offset in the backup copy
 *               [_text, _end) kernel image addresses
 *               other RAM     direct map, without the crash region
 *
 * p_offset is a physical address here. Linux lists the image twice; stock tools miscount then (disjoint
 * p_paddr is the one layout that all of them read right), so here each page stands once.
 */
import {
  CRASH_CORE_NOTE_BYTES,
  CRASH_MAX_RANGES,
  EI_CLASS,
  EI_DATA,
  EI_VERSION,
  ELF_CORE_HEADER_ALIGN,
  ELFCLASS64,
  ELFDATA2LSB,
  ELFMAG,
  EM_X86_64,
  ENOMEM,
  ET_CORE,
  EV_CURRENT,
  GFP_KERNEL,
  IORESOURCE_SYSTEM_RAM,
  KEXEC_BACKUP_SRC_END,
  KEXEC_BACKUP_SRC_START,
  PAGE_OFFSET,
  PAGE_SIZE,
  PF_R,
  PF_W,
  PF_X,
  PT_LOAD,
  PT_NOTE,
  VMCOREINFO_NOTE_SIZE,
} from "../../include/generated/constants";
import { crash_mem, elf64_hdr, elf64_phdr, kimage, resource } from "../../include/generated/structs";
import { percpu, sym } from "../../include/generated/symbols";
import { paddr_vmcoreinfo_note } from "../../kernel/crash_core";
import { kfree, kzalloc } from "../../mm/slub";

@inline
function is_system_ram(res: resource): bool {
  return (res.flags & IORESOURCE_SYSTEM_RAM) == IORESOURCE_SYSTEM_RAM;
}

/** Appends [start, end], both inclusive, at `at`. */
function insert_range(mem: crash_mem, at: u32, start: u64, end: u64): i32 {
  if (mem.nr_ranges == mem.max_nr_ranges) return -ENOMEM;
  for (let i = mem.nr_ranges; i > at; i--) {
    mem.ranges[i].start = mem.ranges[i - 1].start;
    mem.ranges[i].end = mem.ranges[i - 1].end;
  }
  mem.ranges[at].start = start;
  mem.ranges[at].end = end;
  mem.nr_ranges++;
  return 0;
}

function remove_range(mem: crash_mem, at: u32): void {
  mem.nr_ranges--;
  for (let i = at; i < mem.nr_ranges; i++) {
    mem.ranges[i].start = mem.ranges[i + 1].start;
    mem.ranges[i].end = mem.ranges[i + 1].end;
  }
}

/** Takes [start, end] out; a range that it cuts in two needs one more place. */
export function crash_exclude_mem_range(mem: crash_mem, start: u64, end: u64): i32 {
  for (let i: u32 = 0; i < mem.nr_ranges; ) {
    const range = mem.ranges[i];
    const first = range.start;
    const last = range.end;
    if (end < first || start > last) {
      i++;
    } else if (start <= first && end >= last) {
      remove_range(mem, i);
    } else if (start <= first) {
      range.start = end + 1;
      i++;
    } else {
      range.end = start - 1;
      i++;
      if (end < last) {
        const error = insert_range(mem, i, end + 1, last);
        if (error) return error;
      }
    }
  }
  return 0;
}

/**
 * The first System RAM in the low 640 KiB: purgatory copies it away, since the next kernel may use that
 * memory.
 */
export function determine_backup_region(image: kimage): void {
  for (let res = sym.iomem_resource.child; !isnull(res); res = res.sibling) {
    if (!is_system_ram(res) || res.start > KEXEC_BACKUP_SRC_END || res.end < KEXEC_BACKUP_SRC_START) continue;
    image.arch.backup_src_start = res.start;
    image.arch.backup_src_sz = min<u64>(res.end, KEXEC_BACKUP_SRC_END) + 1 - res.start;
    return;
  }
}

/** System RAM without the crash regions, whole pages. */
function fill_up_crash_elf_data(mem: crash_mem): i32 {
  mem.max_nr_ranges = CRASH_MAX_RANGES;
  for (let res = sym.iomem_resource.child; !isnull(res); res = res.sibling) {
    if (!is_system_ram(res)) continue;
    const start = (res.start + PAGE_SIZE - 1) & ~<u64>(PAGE_SIZE - 1);
    const end = (res.end + 1) & ~<u64>(PAGE_SIZE - 1);
    if (start >= end) continue;
    const error = insert_range(mem, mem.nr_ranges, start, end - 1);
    if (error) return error;
  }
  const error = crash_exclude_mem_range(mem, sym.crashk_res.start, sym.crashk_res.end);
  if (error || sym.crashk_low_res.end == 0) return error;
  return crash_exclude_mem_range(mem, sym.crashk_low_res.start, sym.crashk_low_res.end);
}

/** A program header at `at`; returns where the next one goes. */
function put_phdr(at: usize, type: u32, flags: u32, offset: u64, vaddr: u64, paddr: u64, size: u64): usize {
  const phdr = changetype<elf64_phdr>(at);
  phdr.p_type = type;
  phdr.p_flags = flags;
  phdr.p_offset = offset;
  phdr.p_vaddr = vaddr;
  phdr.p_paddr = paddr;
  phdr.p_filesz = size;
  phdr.p_memsz = size;
  phdr.p_align = 0;
  return at + elf64_phdr.SIZE;
}

/** ELF header and program headers of the ranges in `mem`, which become `image.elf_headers`. */
function crash_prepare_elf64_headers(image: kimage, mem: crash_mem): i32 {
  const cpus = <u32>popcnt<u64>(sym.__cpu_possible_mask.bits[0]);
  const text = <u64>sym__text();
  const text_end = <u64>sym__end();
  const nr_phdr = cpus + 1 + 1 + mem.nr_ranges;
  const bytes = elf64_hdr.SIZE + nr_phdr * elf64_phdr.SIZE;
  const elf_sz = (bytes + ELF_CORE_HEADER_ALIGN - 1) & ~(ELF_CORE_HEADER_ALIGN - 1);
  const buf = kzalloc(elf_sz, GFP_KERNEL);
  if (buf == 0) return -ENOMEM;

  const ehdr = changetype<elf64_hdr>(buf);
  store<u32>(ehdr.e_ident, ELFMAG);
  store<u8>(ehdr.e_ident + EI_CLASS, ELFCLASS64);
  store<u8>(ehdr.e_ident + EI_DATA, ELFDATA2LSB);
  store<u8>(ehdr.e_ident + EI_VERSION, EV_CURRENT);
  ehdr.e_type = ET_CORE;
  ehdr.e_machine = EM_X86_64;
  ehdr.e_version = EV_CURRENT;
  ehdr.e_phoff = elf64_hdr.SIZE;
  ehdr.e_ehsize = <u16>elf64_hdr.SIZE;
  ehdr.e_phentsize = <u16>elf64_phdr.SIZE;
  ehdr.e_phnum = <u16>nr_phdr;

  let at = buf + elf64_hdr.SIZE;
  for (let cpu: u32 = 0; cpu < 64; cpu++) {
    if (((sym.__cpu_possible_mask.bits[0] >> cpu) & 1) == 0) continue;
    const note = <u64>percpu.addr_of_crash_note_buf(cpu);
    at = put_phdr(at, PT_NOTE, 0, note, 0, note, CRASH_CORE_NOTE_BYTES);
  }
  const vmcoreinfo = paddr_vmcoreinfo_note();
  at = put_phdr(at, PT_NOTE, 0, vmcoreinfo, 0, vmcoreinfo, VMCOREINFO_NOTE_SIZE);

  const rwx: u32 = PF_R | PF_W | PF_X;
  let image_done = false;
  for (let i: u32 = 0; i < mem.nr_ranges; i++) {
    const start = mem.ranges[i].start;
    const size = mem.ranges[i].end + 1 - start;
    if (start > text && !image_done) {
      at = put_phdr(at, PT_LOAD, rwx, text, va(<usize>text), text, text_end - text);
      image_done = true;
    }
    const offset = start == image.arch.backup_src_start ? image.arch.backup_load_addr : start;
    at = put_phdr(at, PT_LOAD, rwx, offset, PAGE_OFFSET + start, start, size);
  }
  if (!image_done) put_phdr(at, PT_LOAD, rwx, text, va(<usize>text), text, text_end - text);
  image.elf_headers = buf;
  image.elf_headers_sz = elf_sz;
  return 0;
}

/** Makes image.elf_headers; the backup region has its place already. */
export function prepare_elf_headers(image: kimage): i32 {
  const mem = changetype<crash_mem>(kzalloc(crash_mem.SIZE, GFP_KERNEL));
  if (isnull(mem)) return -ENOMEM;
  let error = fill_up_crash_elf_data(mem);
  if (!error) error = crash_exclude_mem_range(mem, sym__text(), <u64>sym__end() - 1);
  if (!error) error = crash_prepare_elf64_headers(image, mem);
  kfree(changetype<usize>(mem));
  return error;
}
