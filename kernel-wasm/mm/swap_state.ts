/**
 * The swap cache (mm/swap_state.c): pages that have a place in a swap area, by place, in the address_spaces
 * of the area, one for 64 MiB. Such a page has PG_swapcache, its entry in `private`, and a reference of the
 * cache's; its mapping stays the anon_vma. All changes are under the page's lock.
 */
import {
  EEXIST,
  ENOMEM,
  GFP_HIGHUSER_MOVABLE,
  GFP_KERNEL,
  NR_FILE_PAGES,
  NR_SWAPCACHE,
  PG_dirty,
  PG_swapbacked,
  PG_swapcache,
  PG_uptodate,
  SWAP_ADDRESS_SPACE_PAGES,
  SWAP_ADDRESS_SPACE_SHIFT,
} from "../include/generated/constants";
import { address_space, page } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { spin_lock, spin_unlock } from "../kernel/locking/spinlock";
import { xa_erase, xa_init_flags, xa_store } from "../lib/xarray";
import { filemap_get_page, lock_page, unlock_page } from "./filemap";
import { clear_page_flag, set_page_flag } from "./page";
import {
  alloc_page,
  get_page,
  memalloc_noreclaim_restore,
  memalloc_noreclaim_save,
  put_page,
} from "./page_alloc";
import { swap_readpage } from "./page_io";
import { kfree, kzalloc } from "./slub";
import { lru_cache_add } from "./swap";
import { get_swap_page, put_swap_page, swapcache_prepare } from "./swapfile";
import { swp_offset, swp_type } from "./swapops";
import { count_major_fault } from "./vm_event";
import { global_node_page_state_pages, mod_node_page_state } from "./vmstat";

export function swap_address_space(entry: u64): address_space {
  const spaces = changetype<usize>(sym.swapper_spaces[swp_type(entry)]);
  const index = swp_offset(entry) >> SWAP_ADDRESS_SPACE_SHIFT;
  return changetype<address_space>(spaces + index * address_space.SIZE);
}

@inline export function total_swapcache_pages(): u64 {
  return global_node_page_state_pages(NR_SWAPCACHE);
}

/** For an area of `pages`. */
export function init_swap_address_space(type: u32, pages: u32): i32 {
  const nr = (pages + SWAP_ADDRESS_SPACE_PAGES - 1) >> SWAP_ADDRESS_SPACE_SHIFT;
  const spaces = kzalloc(nr * address_space.SIZE, GFP_KERNEL);
  if (!spaces) return -ENOMEM;
  for (let i: u32 = 0; i < nr; i++) {
    xa_init_flags(changetype<address_space>(spaces + i * address_space.SIZE).i_pages, 0);
  }
  sym.nr_swapper_spaces[type] = nr;
  sym.swapper_spaces[type] = changetype<address_space>(spaces);
  return 0;
}

export function exit_swap_address_space(type: u32): void {
  const spaces = changetype<usize>(sym.swapper_spaces[type]);
  sym.swapper_spaces[type] = changetype<address_space>(0);
  sym.nr_swapper_spaces[type] = 0;
  kfree(spaces);
}

/** The place is the cache's already (SWAP_HAS_CACHE). With the page's lock. */
function add_to_swap_cache(p: page, entry: u64): i32 {
  const space = swap_address_space(entry);
  // What the tree needs is little, and the way to free memory.
  const flags = memalloc_noreclaim_save();
  spin_lock(space.i_pages.xa_lock);
  const err = xa_store(space.i_pages, swp_offset(entry), va(changetype<usize>(p)));
  if (!err) {
    get_page(p);
    p.private_ = entry;
    set_page_flag(p, PG_swapcache);
    space.nrpages += 1;
  }
  spin_unlock(space.i_pages.xa_lock);
  memalloc_noreclaim_restore(flags);
  if (err) return err;
  mod_node_page_state(NR_FILE_PAGES, 1);
  mod_node_page_state(NR_SWAPCACHE, 1);
  return 0;
}

/** With the page's and the tree's lock; the cache's reference and the place remain to be given up. */
export function __delete_from_swap_cache(p: page, entry: u64): void {
  const space = swap_address_space(entry);
  xa_erase(space.i_pages, swp_offset(entry));
  clear_page_flag(p, PG_swapcache);
  p.private_ = 0;
  space.nrpages -= 1;
  mod_node_page_state(NR_FILE_PAGES, -1);
  mod_node_page_state(NR_SWAPCACHE, -1);
}

/** With the page's lock; its place is free when no page table entry stands for it. */
export function delete_from_swap_cache(p: page): void {
  const entry = p.private_;
  const space = swap_address_space(entry);
  spin_lock(space.i_pages.xa_lock);
  __delete_from_swap_cache(p, entry);
  spin_unlock(space.i_pages.xa_lock);
  put_swap_page(entry);
  put_page(p);
}

/** Gives an anonymous page a place; false without one. The page is dirty: the place holds nothing yet. */
export function add_to_swap(p: page): bool {
  const entry = get_swap_page();
  if (!entry) return false;
  if (add_to_swap_cache(p, entry)) {
    put_swap_page(entry);
    return false;
  }
  set_page_flag(p, PG_dirty);
  return true;
}

/** The page in the cache, with a reference, or null. */
export function lookup_swap_cache(entry: u64): page {
  const space = swap_address_space(entry);
  if (isnull(space)) return changetype<page>(0);
  return filemap_get_page(space, swp_offset(entry));
}

/**
 * The page, with a reference, from the cache or from the area (a major fault); null without memory, or when
 * the place has become free meanwhile. The area is memory: nothing is read ahead.
 */
export function read_swap_cache(entry: u64): page {
  while (true) {
    const found = lookup_swap_cache(entry);
    if (!isnull(found)) return found;
    const p = alloc_page(GFP_HIGHUSER_MOVABLE);
    if (isnull(p)) return p;
    const err = swapcache_prepare(entry);
    if (err) {
      put_page(p);
      // Another CPU reads it, or has just let it go: look again.
      if (err == -EEXIST) continue;
      return changetype<page>(0);
    }
    lock_page(p);
    set_page_flag(p, PG_swapbacked);
    if (add_to_swap_cache(p, entry)) {
      put_swap_page(entry);
      unlock_page(p);
      put_page(p);
      return changetype<page>(0);
    }
    lru_cache_add(p);
    swap_readpage(p);
    set_page_flag(p, PG_uptodate);
    unlock_page(p);
    count_major_fault();
    return p;
  }
}
