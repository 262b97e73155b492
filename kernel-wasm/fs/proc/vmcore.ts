/**
 * /proc/vmcore (fs/proc/vmcore.c): the crashed kernel's memory as an ELF core file.
 *
 *     [ELF header, program headers, to a page][all notes, to a page][each PT_LOAD's range, whole pages]
 *
 * Headers and notes are copied when this kernel boots: the notes of all CPUs become one PT_NOTE. The loads
 * are read from old memory where they lie; nothing is copied before somebody reads. mmap(2) maps the same
 * memory, page by page.
 */
import {
  EAGAIN,
  EFAULT,
  EI_CLASS,
  EI_VERSION,
  EINVAL,
  ELFCLASS64,
  ELFMAG,
  EM_X86_64,
  ENOMEM,
  EPERM,
  ET_CORE,
  EV_CURRENT,
  GFP_KERNEL,
  PAGE_SHIFT,
  PAGE_SIZE,
  PT_LOAD,
  PT_NOTE,
  VM_DONTDUMP,
  VM_DONTEXPAND,
  VM_EXEC,
  VM_IO,
  VM_MAYEXEC,
  VM_MAYWRITE,
  VM_MIXEDMAP,
  VM_PFNMAP,
  VM_WRITE,
  _PAGE_ACCESSED,
  _PAGE_NX,
  _PAGE_PRESENT,
  _PAGE_USER,
  __GFP_ZERO,
} from "../../include/generated/constants";
import {
  elf64_hdr,
  elf64_note,
  elf64_phdr,
  file,
  hostfs_extent,
  proc_dir_entry,
  vm_area_struct,
  vmcore,
} from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { copy_to_buf } from "../../arch/lib/usercopy";
import { user_pte_alloc } from "../../arch/mm/pgtable";
import { ELFCORE_ADDR_ERR, is_vmcore_usable, oldmem_check } from "../../kernel/crash_dump";
import { pr_warn } from "../../kernel/printk/printk";
import { INIT_LIST_HEAD, list_add_tail, list_del, list_empty } from "../../lib/list";
import { alloc_pages_exact, free_pages_exact } from "../../mm/page_alloc";
import { kfree, kzalloc } from "../../mm/slub";
import { default_llseek } from "../read_write";
import { proc_create } from "./generic";

@inline
function page_up(n: u64): u64 {
  return (n + PAGE_SIZE - 1) & ~<u64>(PAGE_SIZE - 1);
}

@inline
function align4(n: u64): u64 {
  return (n + 3) & ~<u64>3;
}

@inline
function phdr_at(buf: usize, i: usize): elf64_phdr {
  return changetype<elf64_phdr>(buf + elf64_hdr.SIZE + i * elf64_phdr.SIZE);
}

/**
 * What the notes of one PT_NOTE really take: up to the empty one, or to the first that does not fit into
 * `max`.
 */
function real_note_size(notes: usize, max: u64): u64 {
  let real: u64 = 0;
  while (real + elf64_note.SIZE <= max) {
    const note = changetype<elf64_note>(notes + <usize>real);
    if (note.n_namesz == 0) break;
    const size = elf64_note.SIZE + align4(note.n_namesz) + align4(note.n_descsz);
    if (real + size > max) {
      pr_warn(
        c`Warning: Exceeded p_memsz, dropping PT_NOTE entry n_namesz=0x%x, n_descsz=0x%x\n`,
        note.n_namesz,
        note.n_descsz,
      );
      break;
    }
    real += size;
  }
  if (real == 0) pr_warn(c`Warning: Zero PT_NOTE entries found\n`);
  return real;
}

/** Gives each PT_NOTE its real size; the sum, or a negative error. */
function update_note_header_size_elf64(buf: usize): i64 {
  let sum: u64 = 0;
  for (let i: usize = 0; i < changetype<elf64_hdr>(buf).e_phnum; i++) {
    const phdr = phdr_at(buf, i);
    if (phdr.p_type != PT_NOTE) continue;
    if (oldmem_check(phdr.p_offset, phdr.p_memsz) != 0) return -EFAULT;
    phdr.p_memsz = real_note_size(<usize>phdr.p_offset, phdr.p_memsz);
    sum += phdr.p_memsz;
  }
  return <i64>sum;
}

/** All notes into one buffer, and one PT_NOTE in front of the loads, in place of the others. */
function merge_note_headers_elf64(buf: usize): i32 {
  const ehdr = changetype<elf64_hdr>(buf);
  const sum = update_note_header_size_elf64(buf);
  if (sum < 0) return <i32>sum;
  sym.elfnotes_sz = page_up(<u64>sum);
  sym.elfnotes_buf = sum == 0 ? 0 : alloc_pages_exact(<usize>sym.elfnotes_sz, GFP_KERNEL | __GFP_ZERO);
  if (sum != 0 && sym.elfnotes_buf == 0) return -ENOMEM;

  let at = sym.elfnotes_buf;
  let kept: usize = 1;
  let loads = false;
  // Notes come first (Linux moves the tail over them and relies on that); a list in another order is a
  // damaged one.
  const phnum = <usize>ehdr.e_phnum;
  for (let i: usize = 0; i < phnum; i++) {
    const phdr = phdr_at(buf, i);
    if (phdr.p_type != PT_NOTE) {
      loads = true;
      if (kept > i) return -EINVAL;
      const to = changetype<usize>(phdr_at(buf, kept));
      if (kept != i) memory.copy(to, changetype<usize>(phdr), elf64_phdr.SIZE);
      kept++;
    } else {
      if (loads) return -EINVAL;
      memory.copy(at, <usize>phdr.p_offset, <usize>phdr.p_memsz);
      at += <usize>phdr.p_memsz;
    }
  }
  if (kept > phnum) return -EINVAL;
  memory.fill(changetype<usize>(phdr_at(buf, kept)), 0, (phnum - kept) * elf64_phdr.SIZE);
  ehdr.e_phnum = <u16>kept;
  sym.elfcorebuf_sz = page_up(elf64_hdr.SIZE + kept * elf64_phdr.SIZE);

  const merged = phdr_at(buf, 0);
  merged.p_type = PT_NOTE;
  merged.p_flags = 0;
  merged.p_offset = sym.elfcorebuf_sz;
  merged.p_vaddr = 0;
  merged.p_paddr = 0;
  merged.p_filesz = <u64>sum;
  merged.p_memsz = <u64>sum;
  merged.p_align = 4;
  return 0;
}

/** A list entry for each load; its p_offset becomes an offset in the file. */
function process_ptload_program_headers_elf64(buf: usize): i32 {
  let offset = sym.elfcorebuf_sz + sym.elfnotes_sz;
  for (let i: usize = 0; i < changetype<elf64_hdr>(buf).e_phnum; i++) {
    const phdr = phdr_at(buf, i);
    if (phdr.p_type != PT_LOAD) continue;
    const paddr = phdr.p_offset;
    const start = paddr & ~<u64>(PAGE_SIZE - 1);
    const end = page_up(paddr + phdr.p_memsz);
    if (end < start || offset + (end - start) < offset) return -EINVAL;
    const part = changetype<vmcore>(kzalloc(vmcore.SIZE, GFP_KERNEL));
    if (isnull(part)) return -ENOMEM;
    part.paddr = start;
    part.size = end - start;
    part.offset = offset;
    list_add_tail(part.list, sym.vmcore_list);
    phdr.p_offset = offset + (paddr - start);
    offset += end - start;
  }
  sym.vmcore_size = offset;
  return 0;
}

function not_sane(): i32 {
  pr_warn(c`Warning: Core image elf header is not sane\n`);
  return -EINVAL;
}

function parse_crash_elf_headers(): i32 {
  const addr = sym.elfcorehdr_addr;
  if (oldmem_check(addr, elf64_hdr.SIZE) != 0) return -EFAULT;
  const ehdr = changetype<elf64_hdr>(<usize>addr);
  const ident = ehdr.e_ident;
  if (load<u32>(ident) != ELFMAG) {
    pr_warn(c`Warning: Core image elf header not found\n`);
    return -EINVAL;
  }
  if (
    load<u8>(ident + EI_CLASS) != ELFCLASS64 ||
    load<u8>(ident + EI_VERSION) != EV_CURRENT ||
    ehdr.e_type != ET_CORE ||
    ehdr.e_machine != EM_X86_64 ||
    ehdr.e_version != EV_CURRENT ||
    ehdr.e_ehsize != elf64_hdr.SIZE ||
    ehdr.e_phentsize != elf64_phdr.SIZE ||
    ehdr.e_phnum == 0
  ) {
    return not_sane();
  }
  const size = elf64_hdr.SIZE + <usize>ehdr.e_phnum * elf64_phdr.SIZE;
  if (oldmem_check(addr, size) != 0) return -EFAULT;
  sym.elfcorebuf_sz_orig = size;
  sym.elfcorebuf = alloc_pages_exact(size, GFP_KERNEL | __GFP_ZERO);
  if (sym.elfcorebuf == 0) return -ENOMEM;
  memory.copy(sym.elfcorebuf, <usize>addr, size);
  let error = merge_note_headers_elf64(sym.elfcorebuf);
  if (!error) error = process_ptload_program_headers_elf64(sym.elfcorebuf);
  return error == -EINVAL ? not_sane() : error;
}

/** Gives back what a failed parse took. */
function free_elfcorebuf(): void {
  while (!list_empty(sym.vmcore_list)) {
    const part = vmcore.from_list(sym.vmcore_list.next);
    list_del(part.list);
    kfree(changetype<usize>(part));
  }
  if (sym.elfnotes_buf != 0) free_pages_exact(sym.elfnotes_buf, <usize>sym.elfnotes_sz);
  if (sym.elfcorebuf != 0) free_pages_exact(sym.elfcorebuf, <usize>sym.elfcorebuf_sz_orig);
  sym.elfnotes_buf = 0;
  sym.elfcorebuf = 0;
}

/**
 * Finds position `pos` of the file: address and bytes that follow there go to vmcore_place_*. False at the
 * end.
 */
function vmcore_place(pos: u64): bool {
  const notes_end = sym.elfcorebuf_sz + sym.elfnotes_sz;
  if (pos < sym.elfcorebuf_sz) return place(<u64>sym.elfcorebuf + pos, sym.elfcorebuf_sz - pos);
  if (pos < notes_end) return place(<u64>sym.elfnotes_buf + pos - sym.elfcorebuf_sz, notes_end - pos);
  const head = sym.vmcore_list;
  for (let at = head.next; at != head; at = at.next) {
    const part = vmcore.from_list(at);
    const into = pos - part.offset;
    if (pos >= <u64>part.offset && into < part.size) return place(part.paddr + into, part.size - into);
  }
  return false;
}

function place(paddr: u64, len: u64): bool {
  sym.vmcore_place_paddr = paddr;
  sym.vmcore_place_len = len;
  return true;
}

/**
 * Up to `count` bytes from `pos`; 0 at the end. A range that is no memory is EFAULT, unless something was
 * read before it.
 */
export function read_vmcore(f: file, buf: u64, count: usize, pos: i64): i64 {
  let done: usize = 0;
  while (done < count && vmcore_place(<u64>pos + done)) {
    const part = <usize>min<u64>(sym.vmcore_place_len, count - done);
    const paddr = sym.vmcore_place_paddr;
    if (oldmem_check(paddr, part) != 0 || copy_to_buf(buf + done, <usize>paddr, part) != 0) {
      return done != 0 ? done : -EFAULT;
    }
    done += part;
  }
  return done;
}

/** The memory that [pos, pos + len) consists of, for a copy without a copy; the number of extents. */
export function vmcore_get_extents(f: file, pos: i64, len: u64, extents: usize, max_extents: i32): i64 {
  let count: i32 = 0;
  for (let done: u64 = 0; done < len && count < max_extents && vmcore_place(<u64>pos + done); count++) {
    const part = min<u64>(sym.vmcore_place_len, len - done);
    if (oldmem_check(sym.vmcore_place_paddr, part) != 0) return count != 0 ? count : -EFAULT;
    const extent = changetype<hostfs_extent>(extents + <usize>count * hostfs_extent.SIZE);
    extent.addr = sym.vmcore_place_paddr;
    extent.len = part;
    done += part;
  }
  return count;
}

/** Page tables that lead to [paddr, paddr + len), whole pages; none of them is a page of this kernel's. */
function remap_pfn_range(vma: vm_area_struct, addr: u64, paddr: u64, len: u64): i32 {
  const pgd = changetype<usize>(vma.vm_mm.pgd);
  for (let done: u64 = 0; done < len; done += PAGE_SIZE) {
    const pte = user_pte_alloc(pgd, <usize>(addr + done));
    if (!pte) return -ENOMEM;
    store<u64>(pte, (paddr + done) | (_PAGE_PRESENT | _PAGE_USER | _PAGE_ACCESSED | _PAGE_NX));
  }
  return 0;
}

/** Headers and notes from their buffers, the loads from old memory, where they lie. */
export function mmap_vmcore(f: file, vma: vm_area_struct): i32 {
  const size = vma.vm_end - vma.vm_start;
  const start = vma.vm_pgoff << PAGE_SHIFT;
  const end = start + size;
  if (vma.vm_pgoff >> (64 - PAGE_SHIFT) || end < start || end > sym.vmcore_size) return -EINVAL;
  if (vma.vm_flags & (VM_WRITE | VM_EXEC)) return -EPERM;
  vma.vm_flags &= ~<u64>(VM_MAYWRITE | VM_MAYEXEC);
  vma.vm_flags |= VM_MIXEDMAP | VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP;
  vma.vm_ops = sym.vmcore_mmap_ops;
  for (let done: u64 = 0; done < size; ) {
    if (!vmcore_place(start + done)) return -EAGAIN;
    const part = min<u64>(sym.vmcore_place_len, size - done);
    const paddr = sym.vmcore_place_paddr;
    if (oldmem_check(paddr, part) != 0) return -EAGAIN;
    if (remap_pfn_range(vma, vma.vm_start + done, paddr, part)) return -EAGAIN;
    done += part;
  }
  return 0;
}

/** fs_initcall of the capture kernel. */
export function vmcore_init(): i32 {
  INIT_LIST_HEAD(sym.vmcore_list);
  if (!is_vmcore_usable()) return 0;
  const error = parse_crash_elf_headers();
  if (error) {
    free_elfcorebuf();
    sym.elfcorehdr_addr = ELFCORE_ADDR_ERR;
    pr_warn(c`Kdump: vmcore not initialized\n`);
    return error;
  }
  sym.elfcorehdr_addr = ELFCORE_ADDR_ERR;
  const ops = sym.vmcore_proc_ops;
  ops.proc_read = fnptr(read_vmcore);
  ops.proc_lseek = fnptr(default_llseek);
  ops.proc_mmap = fnptr(mmap_vmcore);
  ops.proc_get_extents = fnptr(vmcore_get_extents);
  const entry = proc_create(c`vmcore`, 0o400, changetype<proc_dir_entry>(0), ops);
  if (!isnull(entry)) entry.size = sym.vmcore_size;
  sym.proc_vmcore = entry;
  return 0;
}
