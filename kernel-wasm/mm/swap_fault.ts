/** Faults on pages that are in a swap area (do_swap_page() of mm/memory.c). */
import {
  EFAULT,
  ENOMEM,
  MM_SWAPENTS,
  PG_uptodate,
  PROT_WRITE,
  _PAGE_USER,
} from "../include/generated/constants";
import { page, vm_area_struct } from "../include/generated/structs";
import { mk_pte } from "../arch/mm/pgtable";
import { spin_lock, spin_unlock } from "../kernel/locking/spinlock";
import { atomic_long_dec } from "../lib/atomic";
import { lock_page, unlock_page } from "./filemap";
import { prot_of } from "./memory";
import { page_flag } from "./page";
import { put_page } from "./page_alloc";
import { anon_vma_prepare, page_add_anon_rmap, page_move_anon_rmap } from "./rmap";
import { read_swap_cache } from "./swap_state";
import { PageSwapCache, reuse_swap_page, swap_free, try_to_free_swap, vm_swap_full } from "./swapfile";
import { pte_to_swp_entry } from "./swapops";

/** With the page's lock: the entry `value` at `pte` becomes one that maps the page; false when it is gone. */
function map_swap_page(vma: vm_area_struct, addr: usize, pte: usize, value: u64, p: page, write: bool): bool {
  const mm = vma.vm_mm;
  const entry = pte_to_swp_entry(value);
  if (!PageSwapCache(p) || p.private_ != entry) return false;
  spin_lock(mm.page_table_lock);
  const same = load<u64>(pte) == value;
  if (same) {
    // The entry that goes is the one user that is left: the page is this mapping's own.
    const own = write && reuse_swap_page(p);
    page_add_anon_rmap(p, vma, addr);
    if (own) page_move_anon_rmap(p, vma);
    const prot = prot_of(vma.vm_flags);
    const mapped = mk_pte(p, own ? prot : prot & ~PROT_WRITE);
    // swapoff and fork bring pages back that the program has no right to.
    store<u64>(pte, prot ? mapped : mapped & ~<u64>_PAGE_USER);
    atomic_long_dec(mm.rss_stat.count[MM_SWAPENTS]);
  }
  spin_unlock(mm.page_table_lock);
  return same;
}

/** Brings a swap entry's page back; 0 also when somebody else was faster. A write may still be denied. */
export function do_swap_page(vma: vm_area_struct, addr: usize, pte: usize, value: u64, write: bool): i32 {
  if (anon_vma_prepare(vma)) return -ENOMEM;
  const entry = pte_to_swp_entry(value);
  const p = read_swap_cache(entry);
  if (isnull(p)) return load<u64>(pte) == value ? -ENOMEM : 0;
  lock_page(p);
  if (!page_flag(p, PG_uptodate)) {
    unlock_page(p);
    put_page(p);
    return -EFAULT;
  }
  const mapped = map_swap_page(vma, addr, pte, value, p, write);
  if (mapped) {
    swap_free(entry);
    if (vm_swap_full()) try_to_free_swap(p);
  }
  unlock_page(p);
  // The page table entry has taken over the reference.
  if (!mapped) put_page(p);
  return 0;
}
