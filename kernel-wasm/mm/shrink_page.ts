/**
 * What becomes of one page that reclaim has taken off its list (shrink_page_list() of mm/vmscan.c).
 */
import { PG_dirty, PG_private, __GFP_IO } from "../include/generated/constants";
import { page } from "../include/generated/structs";
import { try_to_free_buffers } from "../fs/buffer/buffer";
import { inode_trylock, inode_unlock } from "../fs/inode";
import { rwsem_is_mine } from "../kernel/locking/rwsem";
import { spin_lock, spin_unlock } from "../kernel/locking/spinlock";
import { filemap_remove, trylock_page, unlock_page } from "./filemap";
import { page_count, page_flag } from "./page";
import { put_page } from "./page_alloc";
import { swap_writepage } from "./page_io";
import { PageAnon, page_mapcount } from "./rmap";
import { page_referenced, try_to_unmap } from "./rmap_walk";
import { __delete_from_swap_cache, add_to_swap, swap_address_space } from "./swap_state";
import { PageSwapCache, put_swap_page, try_to_free_swap, vm_swap_full } from "./swapfile";

/** The caller's reference is the last one. */
export const PAGE_FREED = 0;
/** Back to the list that it was on. */
export const PAGE_KEEP = 1;
export const PAGE_ACTIVATE = 2;

/** The swap cache lets a clean page go that nobody else has. */
function remove_swap_mapping(p: page): i32 {
  const entry = p.private_;
  const space = swap_address_space(entry);
  spin_lock(space.i_pages.xa_lock);
  const ours = page_count(p) == 2 && !page_flag(p, PG_dirty);
  if (ours) __delete_from_swap_cache(p, entry);
  spin_unlock(space.i_pages.xa_lock);
  if (!ours) return PAGE_KEEP;
  put_swap_page(entry);
  put_page(p);
  return PAGE_FREED;
}

/** Used, or not to be had. What is in memory anyway needs no place in a full area. */
function activate(p: page): i32 {
  if (vm_swap_full()) try_to_free_swap(p);
  return PAGE_ACTIVATE;
}

/** To its place in a swap area, out of all page tables, and out of the swap cache. */
function shrink_anon_page(p: page, gfp: u32): i32 {
  if (page_mapcount(p)) {
    const referenced = page_referenced(p);
    if (referenced) return referenced < 0 ? PAGE_KEEP : activate(p);
  }
  if (!PageSwapCache(p)) {
    // Not mapped yet, or no longer.
    if (!page_mapcount(p)) return PAGE_KEEP;
    if (!(gfp & __GFP_IO) || !add_to_swap(p)) return PAGE_ACTIVATE;
  }
  if (!try_to_unmap(p)) return activate(p);
  if (page_flag(p, PG_dirty) && swap_writepage(p)) return activate(p);
  if (PageSwapCache(p)) return remove_swap_mapping(p);
  return page_count(p) == 1 ? PAGE_FREED : PAGE_KEEP;
}

/** Out of its file, when it is clean and nobody maps it; its buffers go first. */
function shrink_file_page(p: page): i32 {
  const mapping = p.mapping;
  if (isnull(mapping)) return PAGE_KEEP;
  const buffers = page_flag(p, PG_private);
  if (page_flag(p, PG_dirty) || page_mapcount(p)) return PAGE_ACTIVATE;
  // While the page is locked and in the file, the inode stays. Who has its lock and needs memory has
  // references to the pages that it is at.
  const ours = rwsem_is_mine(mapping.host.i_rwsem);
  if (!ours && !inode_trylock(mapping.host)) return PAGE_KEEP;
  let result = PAGE_KEEP;
  // The cache's, the buffers' and the caller's reference.
  if (!page_flag(p, PG_dirty) && page_count(p) == (buffers ? 3 : 2) && (!buffers || try_to_free_buffers(p))) {
    if (filemap_remove(mapping, p.index, p)) result = PAGE_FREED;
  }
  if (!ours) inode_unlock(mapping.host);
  return result;
}

/** One of the above: with PAGE_FREED the page is nobody else's any more. */
export function shrink_page(p: page, gfp: u32): i32 {
  if (!trylock_page(p)) return PAGE_KEEP;
  const anon = PageAnon(p) || PageSwapCache(p);
  const result = anon ? shrink_anon_page(p, gfp) : shrink_file_page(p);
  unlock_page(p);
  return result;
}
