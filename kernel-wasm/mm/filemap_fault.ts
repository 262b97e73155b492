/**
 * Pages of mapped files (filemap_fault() of mm/filemap.c, do_fault() of mm/memory.c): a read maps the page of
 * the cache, a write to a shared mapping too, a write to a private one a copy of it.
 *
 * A fault does not take the inode's lock, which whoever copies from or to user memory may have. It enters the
 * page with the page's own lock, under which the page is still the file's, and within its size.
 */
import {
  CONFIG_CRASH_DUMP,
  EIO,
  ENOMEM,
  ENOEXEC,
  PAGE_SHIFT,
  PAGE_SIZE,
  PG_dirty,
  PG_uptodate,
  PROT_WRITE,
  VM_SHARED,
  _PAGE_DIRTY,
  _PAGE_RW,
} from "../include/generated/constants";
import { address_space, file, page, vm_area_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { ERR_PTR, IS_ERR, PTR_ERR } from "../include/err";
import { mk_pte, pte_page, user_pte_alloc } from "../arch/mm/pgtable";
import { spin_lock, spin_unlock } from "../kernel/locking/spinlock";
import {
  add_to_page_cache_lru,
  delete_from_page_cache,
  filemap_get_page,
  lock_page,
  unlock_page,
} from "./filemap";
import { alloc_anon_page, pgd_of, prot_of, set_pte_if_none } from "./memory";
import { page_flag, page_to_phys, set_page_flag } from "./page";
import { put_page } from "./page_alloc";
import { page_add_file_rmap, page_add_new_anon_rmap } from "./rmap";
import { is_shmem } from "./shmem";
import { count_major_fault } from "./vm_event";

/** readpage of what lives in the cache alone: a page that was not there is a hole. */
export function simple_readpage(mapping: address_space, p: page): i32 {
  set_page_flag(p, PG_uptodate);
  return 0;
}

export function __set_page_dirty_no_writeback(p: page): i32 {
  if (page_flag(p, PG_dirty)) return 0;
  set_page_flag(p, PG_dirty);
  return 1;
}

/** mmap of files in the page cache. */
export function generic_file_mmap(filp: file, vma: vm_area_struct): i32 {
  const ops = filp.f_mapping.a_ops;
  if (isnull(ops) || ops.readpage == 0) return -ENOEXEC;
  vma.vm_ops = sym.generic_file_vm_ops;
  return 0;
}

function beyond_end(mapping: address_space, index: u64): bool {
  return index >= (<u64>mapping.host.i_size + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

function read_page(mapping: address_space, p: page): i32 {
  return call_indirect<i32>(text_index(mapping.a_ops.readpage), mapping, p);
}

/** The page, with a reference; made when the file has none there. */
function cached_page(mapping: address_space, index: u64): page {
  while (true) {
    const p = filemap_get_page(mapping, index);
    if (!isnull(p) || CONFIG_CRASH_DUMP) return p;
    if (!CONFIG_CRASH_DUMP && !is_shmem(mapping)) count_major_fault();
    const made = add_to_page_cache_lru(mapping, index);
    if (IS_ERR(made) && PTR_ERR(made) == -ENOMEM) return made;
  }
}

/** vm_ops.fault. -EIO: the access is behind the file's end, or the page cannot be read (SIGBUS). */
export function filemap_fault(vma: vm_area_struct, index: u64): page {
  const mapping = vma.vm_file.f_mapping;
  while (true) {
    if (beyond_end(mapping, index)) return ERR_PTR<page>(-EIO);
    const p = cached_page(mapping, index);
    if (isnull(p)) return ERR_PTR<page>(-EIO);
    if (IS_ERR(p)) return p;
    if (!page_flag(p, PG_uptodate)) {
      const err = read_page(mapping, p);
      if (err) {
        put_page(p);
        return ERR_PTR<page>(err);
      }
    }
    lock_page(p);
    const same = changetype<usize>(p.mapping) == changetype<usize>(mapping);
    const beyond = beyond_end(mapping, index);
    if (same && !beyond) return p;
    unlock_page(p);
    // Truncation may have been at this index before the page was.
    if (same) delete_from_page_cache(mapping, index);
    put_page(p);
  }
}

/** filemap_fault's address can be taken once there is a text. */
export function pagecache_init(): void {
  sym.generic_file_vm_ops.fault = fnptr(filemap_fault);
}

function fault_page(vma: vm_area_struct, addr: usize): page {
  const index = vma.vm_pgoff + ((<u64>addr - vma.vm_start) >> PAGE_SHIFT);
  const fault = vma.vm_ops.fault;
  return fault ? call_indirect<page>(text_index(fault), vma, index) : ERR_PTR<page>(-EIO);
}

function set_page_dirty(p: page): void {
  const fn = p.mapping.a_ops.set_page_dirty;
  if (fn) call_indirect<i32>(text_index(fn), p);
}

/** The file's own page. With `write`, which only a shared mapping has, it is to be written. */
function map_file_page(vma: vm_area_struct, addr: usize, write: bool): i32 {
  const pte = user_pte_alloc(pgd_of(vma), addr);
  if (!pte) return -ENOMEM;
  const p = fault_page(vma, addr);
  if (IS_ERR(p)) return PTR_ERR(p);
  let prot = prot_of(vma.vm_flags);
  if (!write) prot &= ~PROT_WRITE;
  const mm = vma.vm_mm;
  spin_lock(mm.page_table_lock);
  const first = set_pte_if_none(pte, mk_pte(p, prot));
  if (first) page_add_file_rmap(p, vma);
  spin_unlock(mm.page_table_lock);
  if (first && write) set_page_dirty(p);
  unlock_page(p);
  // The entry has taken over the reference.
  if (!first) put_page(p);
  return 0;
}

/** A copy, made before the page has been mapped at all. */
function do_cow_fault(vma: vm_area_struct, addr: usize): i32 {
  const pte = user_pte_alloc(pgd_of(vma), addr);
  const copy = pte ? alloc_anon_page(vma) : changetype<page>(0);
  if (isnull(copy)) return -ENOMEM;
  const p = fault_page(vma, addr);
  if (IS_ERR(p)) {
    put_page(copy);
    return PTR_ERR(p);
  }
  memory.copy(page_to_phys(copy), page_to_phys(p), PAGE_SIZE);
  const mm = vma.vm_mm;
  spin_lock(mm.page_table_lock);
  const first = set_pte_if_none(pte, mk_pte(copy, prot_of(vma.vm_flags)));
  if (first) page_add_new_anon_rmap(copy, vma, addr);
  spin_unlock(mm.page_table_lock);
  unlock_page(p);
  put_page(p);
  if (!first) put_page(copy);
  return 0;
}

/** A fault where nothing is in the page table. */
export function do_fault(vma: vm_area_struct, addr: usize, write: bool): i32 {
  if (CONFIG_CRASH_DUMP || !write || vma.vm_flags & VM_SHARED) {
    return map_file_page(vma, addr, !CONFIG_CRASH_DUMP && write);
  }
  return do_cow_fault(vma, addr);
}

/** The first write to a page of a shared mapping that has been read: `entry` is what maps it. */
export function wp_page_shared(vma: vm_area_struct, pte: usize, entry: u64): void {
  const p = pte_page(entry);
  lock_page(p);
  const mm = vma.vm_mm;
  spin_lock(mm.page_table_lock);
  // Gone from the table, or from the file: the access is made again.
  const same = load<u64>(pte) == entry;
  if (same) store<u64>(pte, entry | (_PAGE_RW | _PAGE_DIRTY));
  spin_unlock(mm.page_table_lock);
  if (same) set_page_dirty(p);
  unlock_page(p);
}
