/**
 * User pages (mm/memory.c): made by page faults, shared by fork until one side writes (copy on write), given
 * up with their mapping. Page table entries change under mm.page_table_lock; that a mapping stays is what
 * mmap_lock, held by every caller here, is for.
 */
import {
  CONFIG_CRASH_DUMP,
  EFAULT,
  ENOMEM,
  GFP_HIGHUSER_MOVABLE,
  MM_SWAPENTS,
  PAGE_SIZE,
  PGFAULT,
  PGREUSE,
  PG_uptodate,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
  VM_EXEC,
  VM_PFNMAP,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_RW,
} from "../include/generated/constants";
import { mm_struct, page, vm_area_struct } from "../include/generated/structs";
import {
  mk_pte,
  pte_page,
  pte_present,
  pte_write,
  unmap_user_page,
  user_pte,
  user_pte_slot,
  user_pte_alloc,
} from "../arch/mm/pgtable";
import { down_read, up_read } from "../kernel/locking/rwsem";
import { spin_lock, spin_unlock } from "../kernel/locking/spinlock";
import { atomic_long_dec, atomic_long_inc } from "../lib/atomic";
import { trylock_page, unlock_page } from "./filemap";
import { do_fault, wp_page_shared } from "./filemap_fault";
import { vma_lookup } from "./mmap";
import { page_count, page_to_phys, set_page_flag } from "./page";
import { alloc_page, get_page, put_page } from "./page_alloc";
import {
  PageAnon,
  anon_vma_prepare,
  page_add_new_anon_rmap,
  page_dup_rmap,
  page_mapcount,
  page_move_anon_rmap,
  page_remove_rmap,
} from "./rmap";
import { do_swap_page } from "./swap_fault";
import {
  PageSwapCache,
  free_swap_and_cache,
  free_swap_cache,
  reuse_swap_page,
  swap_duplicate,
} from "./swapfile";
import { is_swap_pte, pte_to_swp_entry } from "./swapops";
import { count_vm_event } from "./vm_event";

/** PROT_* of a mapping's flags. */
export function prot_of(flags: u64): u32 {
  let prot = flags & VM_READ ? PROT_READ : 0;
  if (flags & VM_WRITE) prot |= PROT_WRITE;
  if (flags & VM_EXEC) prot |= PROT_EXEC;
  return prot;
}

@inline export function pgd_of(vma: vm_area_struct): usize {
  return changetype<usize>(vma.vm_mm.pgd);
}

/** Puts an entry where none is; false when another fault was first. The caller holds page_table_lock. */
@inline export function set_pte_if_none(pte: usize, value: u64): bool {
  if (load<u64>(pte) != 0) return false;
  store<u64>(pte, value);
  return true;
}

/** A page for a mapping of the program's own, its contents to be made. Null: no memory. */
export function alloc_anon_page(vma: vm_area_struct): page {
  if (anon_vma_prepare(vma)) return changetype<page>(0);
  const p = alloc_page(GFP_HIGHUSER_MOVABLE);
  if (!isnull(p)) set_page_flag(p, PG_uptodate);
  return p;
}

function do_anonymous_page(vma: vm_area_struct, addr: usize): i32 {
  const pte = user_pte_alloc(pgd_of(vma), addr);
  if (!pte) return -ENOMEM;
  const p = alloc_anon_page(vma);
  if (isnull(p)) return -ENOMEM;
  memory.fill(page_to_phys(p), 0, PAGE_SIZE);
  const mm = vma.vm_mm;
  spin_lock(mm.page_table_lock);
  const first = set_pte_if_none(pte, mk_pte(p, prot_of(vma.vm_flags)));
  if (first) page_add_new_anon_rmap(p, vma, addr);
  spin_unlock(mm.page_table_lock);
  if (!first) put_page(p);
  return 0;
}

/** The last user of a shared page has it for its own. */
function wp_page_reuse(vma: vm_area_struct, pte: usize, entry: u64): void {
  count_vm_event(PGREUSE);
  page_move_anon_rmap(pte_page(entry), vma);
  store<u64>(pte, entry | (_PAGE_RW | _PAGE_DIRTY | _PAGE_ACCESSED));
}

/** A copy takes the page's place. The caller has a reference to `old`. */
function wp_page_copy(vma: vm_area_struct, addr: usize, pte: usize, entry: u64, old: page): i32 {
  const p = alloc_anon_page(vma);
  if (isnull(p)) return -ENOMEM;
  memory.copy(page_to_phys(p), page_to_phys(old), PAGE_SIZE);
  const mm = vma.vm_mm;
  spin_lock(mm.page_table_lock);
  const same = load<u64>(pte) == entry;
  if (same) {
    store<u64>(pte, mk_pte(p, prot_of(vma.vm_flags)));
    page_remove_rmap(old, vma);
    page_add_new_anon_rmap(p, vma, addr);
  }
  spin_unlock(mm.page_table_lock);
  if (same) free_swap_cache(old);
  // What the entry held on to: the old page, or, when the entry was not taken, the new one.
  put_page(same ? old : p);
  return 0;
}

/** Whether nobody but this mapping has an anonymous page. A place in a swap area is given up for it. */
function wp_can_reuse(p: page): bool {
  if (!PageSwapCache(p)) return page_mapcount(p) == 1 && page_count(p) == 1;
  if (page_count(p) != 2 || !trylock_page(p)) return false;
  const own = reuse_swap_page(p);
  unlock_page(p);
  return own;
}

/** A write to a page that is mapped to be read: by fork, or because it is a file's. */
function do_wp_page(vma: vm_area_struct, addr: usize, pte: usize): i32 {
  const mm = vma.vm_mm;
  spin_lock(mm.page_table_lock);
  const entry = load<u64>(pte);
  if (!pte_present(entry) || pte_write(entry)) {
    spin_unlock(mm.page_table_lock);
    return 0;
  }
  const p = pte_page(entry);
  if (vma.vm_flags & VM_SHARED) {
    get_page(p);
    spin_unlock(mm.page_table_lock);
    wp_page_shared(vma, pte, entry);
    put_page(p);
    return 0;
  }
  if (PageAnon(p) && wp_can_reuse(p)) {
    wp_page_reuse(vma, pte, entry);
    spin_unlock(mm.page_table_lock);
    return 0;
  }
  get_page(p);
  spin_unlock(mm.page_table_lock);
  const err = wp_page_copy(vma, addr, pte, entry, p);
  put_page(p);
  return err;
}

/** Makes a page where none is present: a new one, one of the file's, or one that is in a swap area. */
function handle_pte_fault(vma: vm_area_struct, addr: usize, write: bool): i32 {
  if (!CONFIG_CRASH_DUMP) {
    const slot = user_pte_slot(pgd_of(vma), addr);
    const entry = slot ? load<u64>(slot) : 0;
    if (is_swap_pte(entry)) return do_swap_page(vma, addr, slot, entry, write);
  }
  return vma.vm_ops_va != 0 ? do_fault(vma, addr, write) : do_anonymous_page(vma, addr);
}

/** Makes one access to a page of a mapping that allows it possible; 0 or an error. */
export function handle_mm_fault(vma: vm_area_struct, addr: usize, write: bool): i32 {
  if (!CONFIG_CRASH_DUMP) count_vm_event(PGFAULT);
  let pte = user_pte(pgd_of(vma), addr);
  if (!pte) {
    const err = handle_pte_fault(vma, addr, write);
    if (err || CONFIG_CRASH_DUMP) return err;
    pte = user_pte(pgd_of(vma), addr);
  }
  // Nothing is shared in the capture kernel.
  if (CONFIG_CRASH_DUMP || !write || !pte || pte_write(load<u64>(pte))) return 0;
  return do_wp_page(vma, addr, pte);
}

/**
 * The page fault of an access to `addr` that wants one of these rights: VM_WRITE, VM_EXEC, or VM_ACCESS_FLAGS
 * to read, as what can be written or run can be read on x86. -EFAULT where nothing is mapped, or not so.
 */
export function fault_in_user(mm: mm_struct, addr: usize, rights: u64): i32 {
  down_read(mm.mmap_lock);
  const vma = vma_lookup(mm, addr);
  const denied = isnull(vma) || (vma.vm_flags & rights) == 0;
  const err = denied ? -EFAULT : handle_mm_fault(vma, addr & ~(PAGE_SIZE - 1), rights == VM_WRITE);
  up_read(mm.mmap_lock);
  return err;
}

/** Makes all pages of [start, end), which is mapped. */
export function mm_populate(mm: mm_struct, start: u64, end: u64): i32 {
  let err = 0;
  down_read(mm.mmap_lock);
  for (let at = <usize>start; !err && at < <usize>end; at += PAGE_SIZE) {
    const vma = vma_lookup(mm, at);
    // A private mapping gets pages of its own.
    const write = !isnull(vma) && (vma.vm_flags & (VM_WRITE | VM_SHARED)) == VM_WRITE;
    err = isnull(vma) ? -EFAULT : handle_mm_fault(vma, at, write);
  }
  up_read(mm.mmap_lock);
  return err;
}

function zap_page(vma: vm_area_struct, addr: usize): void {
  const mm = vma.vm_mm;
  spin_lock(mm.page_table_lock);
  const p = unmap_user_page(pgd_of(vma), addr);
  if (!isnull(p)) page_remove_rmap(p, vma);
  const swapped = CONFIG_CRASH_DUMP || !isnull(p) ? 0 : zap_swap_pte(vma, addr);
  spin_unlock(mm.page_table_lock);
  if (swapped) free_swap_and_cache(swapped);
  if (isnull(p)) return;
  if (!CONFIG_CRASH_DUMP) free_swap_cache(p);
  put_page(p);
}

/** Takes a swap entry out of the tables and returns it; 0: there is none. */
function zap_swap_pte(vma: vm_area_struct, addr: usize): u64 {
  const slot = user_pte_slot(pgd_of(vma), addr);
  const value = slot ? load<u64>(slot) : 0;
  if (!is_swap_pte(value)) return 0;
  store<u64>(slot, 0);
  atomic_long_dec(vma.vm_mm.rss_stat.count[MM_SWAPENTS]);
  return pte_to_swp_entry(value);
}

/** Entries for what is no page of this kernel's: old memory. */
function zap_pfn_range(vma: vm_area_struct, start: u64, end: u64): void {
  for (let at = <usize>start; at < <usize>end; at += PAGE_SIZE) {
    const pte = user_pte(pgd_of(vma), at);
    if (pte) store<u64>(pte, 0);
  }
}

export function zap_page_range(vma: vm_area_struct, start: u64, end: u64): void {
  if (CONFIG_CRASH_DUMP && vma.vm_flags & VM_PFNMAP) return zap_pfn_range(vma, start, end);
  for (let at = <usize>start; at < <usize>end; at += PAGE_SIZE) zap_page(vma, at);
}

/** Takes the anonymous pages of an address space whose tasks are being killed (__oom_reap_task_mm). */
export function reap_anonymous(mm: mm_struct): void {
  for (let vma = mm.mmap; !isnull(vma); vma = vma.vm_next) {
    if (vma.vm_ops_va == 0) zap_page_range(vma, vma.vm_start, vma.vm_end);
  }
}

/** The child shares the parent's page; one that may be written, neither may write from now on. */
function copy_present_pte(to: vm_area_struct, dst: usize, src: usize): void {
  // Of a shared mapping both may write.
  const entry = to.vm_flags & VM_SHARED ? load<u64>(src) : load<u64>(src) & ~<u64>_PAGE_RW;
  const p = pte_page(entry);
  store<u64>(src, entry);
  get_page(p);
  page_dup_rmap(p, to);
  store<u64>(dst, entry);
}

/** It shares the place in the swap area; -ENOMEM when as many as can share it already. */
function copy_nonpresent_pte(to: vm_area_struct, dst: usize, value: u64): i32 {
  const err = swap_duplicate(pte_to_swp_entry(value));
  if (err) return err;
  store<u64>(dst, value);
  atomic_long_inc(to.vm_mm.rss_stat.count[MM_SWAPENTS]);
  return 0;
}

function copy_pte(to: vm_area_struct, from: vm_area_struct, addr: usize): i32 {
  const dst = user_pte_alloc(pgd_of(to), addr);
  if (!dst) return -ENOMEM;
  const mm = from.vm_mm;
  while (true) {
    spin_lock(mm.page_table_lock);
    const src = user_pte_slot(pgd_of(from), addr);
    const value = load<u64>(src);
    let err = 0;
    if (pte_present(value)) copy_present_pte(to, dst, src);
    else if (is_swap_pte(value)) err = copy_nonpresent_pte(to, dst, value);
    spin_unlock(mm.page_table_lock);
    if (!err) return 0;
    // A page in memory can be shared by any number.
    err = do_swap_page(from, addr, src, value, false);
    if (err) return err;
  }
}

/** What fork does with the pages of one mapping. */
export function copy_page_range(to: vm_area_struct, from: vm_area_struct): i32 {
  for (let at = <usize>from.vm_start; at < <usize>from.vm_end; at += PAGE_SIZE) {
    const src = user_pte_slot(pgd_of(from), at);
    if (!src || load<u64>(src) == 0) continue;
    const err = copy_pte(to, from, at);
    if (err) return err;
  }
  return 0;
}
