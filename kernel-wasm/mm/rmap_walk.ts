/**
 * Walks over the page table entries that map an anonymous page (rmap_walk() of mm/rmap.c): who has used it,
 * and taking it out of all of them. The anon_vma's lock is only tried: whoever has it may be waiting for
 * memory.
 */
import {
  ENOMEM,
  MM_SWAPENTS,
  PAGE_MAPPING_ANON,
  PAGE_SHIFT,
  PG_dirty,
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
} from "../include/generated/constants";
import { anon_vma, anon_vma_chain, page, vm_area_struct } from "../include/generated/structs";
import { pte_page, pte_present, user_pte_slot } from "../arch/mm/pgtable";
import { down_read_trylock, up_read } from "../kernel/locking/rwsem";
import { spin_lock, spin_unlock } from "../kernel/locking/spinlock";
import { atomic_long_inc } from "../lib/atomic";
import { rb_first, rb_next } from "../lib/rbtree";
import { set_page_flag } from "./page";
import { put_page } from "./page_alloc";
import { page_mapcount, page_remove_rmap } from "./rmap";
import { swap_duplicate } from "./swapfile";
import { swp_entry_to_pte } from "./swapops";

/** Where a mapping would have the page; 0: it does not reach so far. */
function vma_address(p: page, vma: vm_area_struct): usize {
  const pages = (vma.vm_end - vma.vm_start) >> PAGE_SHIFT;
  if (p.index < vma.vm_pgoff || p.index - vma.vm_pgoff >= pages) return 0;
  return <usize>(vma.vm_start + ((p.index - vma.vm_pgoff) << PAGE_SHIFT));
}

/**
 * The anon_vma of a page that is mapped, with its root's lock; null when it cannot be had. While the page is
 * mapped its anon_vma lives, and there is no poll between that look and the lock.
 */
function page_lock_anon_vma_read(p: page): anon_vma {
  const none = changetype<anon_vma>(0);
  if ((p.mapping_va & PAGE_MAPPING_ANON) == 0 || page_mapcount(p) == 0) return none;
  const av = changetype<anon_vma>(pa(p.mapping_va - PAGE_MAPPING_ANON));
  return down_read_trylock(av.root.rwsem) ? av : none;
}

/** The entry that maps the page in a mapping, with page_table_lock; 0, and no lock, when there is none. */
function page_vma_mapped(p: page, vma: vm_area_struct): usize {
  const addr = vma_address(p, vma);
  const pte = addr ? user_pte_slot(changetype<usize>(vma.vm_mm.pgd), addr) : 0;
  if (!pte) return 0;
  spin_lock(vma.vm_mm.page_table_lock);
  const entry = load<u64>(pte);
  if (pte_present(entry) && changetype<usize>(pte_page(entry)) == changetype<usize>(p)) return pte;
  spin_unlock(vma.vm_mm.page_table_lock);
  return 0;
}

/** Entries through which the page was used since the last look; -1: no look is possible now. */
export function page_referenced(p: page): i32 {
  const av = page_lock_anon_vma_read(p);
  if (isnull(av)) return -1;
  let referenced = 0;
  for (let node = rb_first(av.rb_root.rb_root); !isnull(node); node = rb_next(node)) {
    const vma = anon_vma_chain.from_rb(node).vma;
    const pte = page_vma_mapped(p, vma);
    if (!pte) continue;
    const entry = load<u64>(pte);
    if (entry & _PAGE_ACCESSED) {
      store<u64>(pte, entry & ~<u64>_PAGE_ACCESSED);
      referenced++;
    }
    spin_unlock(vma.vm_mm.page_table_lock);
  }
  up_read(av.root.rwsem);
  return referenced;
}

/** The page's place takes its place. With page_table_lock. */
function try_to_unmap_one(p: page, vma: vm_area_struct, pte: usize): i32 {
  const entry = load<u64>(pte);
  if (swap_duplicate(p.private_)) return -ENOMEM;
  if (entry & _PAGE_DIRTY) set_page_flag(p, PG_dirty);
  store<u64>(pte, swp_entry_to_pte(p.private_));
  atomic_long_inc(vma.vm_mm.rss_stat.count[MM_SWAPENTS]);
  page_remove_rmap(p, vma);
  put_page(p);
  return 0;
}

/**
 * Swap entries take the place of all entries that map a page of the swap cache; false when it is still mapped
 * somewhere. With the page's lock.
 */
export function try_to_unmap(p: page): bool {
  const av = page_lock_anon_vma_read(p);
  if (isnull(av)) return page_mapcount(p) == 0;
  for (let node = rb_first(av.rb_root.rb_root); !isnull(node); node = rb_next(node)) {
    const vma = anon_vma_chain.from_rb(node).vma;
    const pte = page_vma_mapped(p, vma);
    if (!pte) continue;
    const err = try_to_unmap_one(p, vma, pte);
    spin_unlock(vma.vm_mm.page_table_lock);
    if (err) break;
  }
  up_read(av.root.rwsem);
  return page_mapcount(p) == 0;
}
