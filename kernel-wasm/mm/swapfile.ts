/**
 * Places of swap areas and who uses them (mm/swapfile.c). An area's swap_map has a byte for each page: how
 * many page table entries stand for it, and SWAP_HAS_CACHE while the swap cache has the page; 0 is a free
 * place. There are no continuation pages: what SWAP_MAP_MAX entries share stays in memory. The locks are
 * each area's, innermost of all.
 */
import {
  EEXIST,
  ENOENT,
  ENOMEM,
  SWAP_HAS_CACHE,
  SWAP_MAP_BAD,
  SWAP_MAP_MAX,
  SWP_WRITEOK,
  PG_dirty,
  PG_swapcache,
} from "../include/generated/constants";
import { page, swap_info_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { spin_lock, spin_unlock } from "../kernel/locking/spinlock";
import { atomic_long_dec, atomic_long_inc } from "../lib/atomic";
import { trylock_page, unlock_page } from "./filemap";
import { page_flag, set_page_flag } from "./page";
import { put_page } from "./page_alloc";
import { page_mapcount } from "./rmap";
import { delete_from_swap_cache, lookup_swap_cache } from "./swap_state";
import { swp_entry, swp_offset, swp_type } from "./swapops";

/** The area that an entry lies in. */
@inline export function swap_info_of(entry: u64): swap_info_struct {
  return sym.swap_info[swp_type(entry)];
}

@inline export function get_nr_swap_pages(): i64 {
  return sym.nr_swap_pages.counter;
}

/** More than half is in use: then nothing stays there that is in memory too. */
@inline export function vm_swap_full(): bool {
  return get_nr_swap_pages() * 2 < sym.total_swap_pages;
}

@inline function map_at(si: swap_info_struct, offset: u32): u32 {
  return load<u8>(si.swap_map + offset);
}

@inline function set_map(si: swap_info_struct, offset: u32, value: u32): void {
  store<u8>(si.swap_map + offset, <u8>value);
}

/** A free place from cluster_next on, round to it again; 0: none. With the area's lock. */
function scan_swap_map(si: swap_info_struct): u32 {
  if ((si.flags & SWP_WRITEOK) == 0 || si.inuse_pages == si.pages) return 0;
  const next = max(si.cluster_next, si.lowest_bit);
  for (let at = next; at <= si.highest_bit; at++) if (!map_at(si, at)) return at;
  for (let at = si.lowest_bit; at < si.cluster_next; at++) if (!map_at(si, at)) return at;
  return 0;
}

/** Takes a place in an area for the swap cache; 0: it is full. */
function alloc_from(si: swap_info_struct): u64 {
  spin_lock(si.lock);
  const offset = scan_swap_map(si);
  if (offset) {
    set_map(si, offset, SWAP_HAS_CACHE);
    si.cluster_next = offset + 1;
    si.inuse_pages += 1;
    atomic_long_dec(sym.nr_swap_pages);
    if (offset == si.lowest_bit) si.lowest_bit += 1;
    if (offset == si.highest_bit) si.highest_bit -= 1;
    if (si.inuse_pages == si.pages) {
      si.lowest_bit = si.max;
      si.highest_bit = 0;
    }
  }
  spin_unlock(si.lock);
  return offset ? swp_entry(<u32>si.type, offset) : 0;
}

/** A place for one page, in the area of the highest priority that has one; 0 when all are full. */
export function get_swap_page(): u64 {
  let below = i32.MAX_VALUE;
  while (true) {
    let best = changetype<swap_info_struct>(0);
    let found = i32.MIN_VALUE;
    for (let type: u32 = 0; type < sym.nr_swapfiles; type++) {
      const si = sym.swap_info[type];
      const prio = <i32>si.prio;
      if ((si.flags & SWP_WRITEOK) == 0 || prio >= below || prio <= found) continue;
      best = si;
      found = prio;
    }
    if (isnull(best)) return 0;
    const entry = alloc_from(best);
    if (entry) return entry;
    below = found;
  }
}

/** Takes one use off a place, an entry's (1) or the cache's (SWAP_HAS_CACHE); what uses are left. */
function swap_entry_put(entry: u64, usage: u32): u32 {
  const si = swap_info_of(entry);
  const offset = swp_offset(entry);
  spin_lock(si.lock);
  const left = map_at(si, offset) - usage;
  set_map(si, offset, left);
  if (!left) {
    if (offset < si.lowest_bit) si.lowest_bit = offset;
    if (offset > si.highest_bit) si.highest_bit = offset;
    si.inuse_pages -= 1;
    atomic_long_inc(sym.nr_swap_pages);
  }
  spin_unlock(si.lock);
  return left;
}

/** A page table entry gives its place up. */
export function swap_free(entry: u64): void {
  swap_entry_put(entry, 1);
}

/** So does the swap cache. */
export function put_swap_page(entry: u64): void {
  swap_entry_put(entry, SWAP_HAS_CACHE);
}

/** One more page table entry for a place; -ENOMEM: as many as it can have are there. */
export function swap_duplicate(entry: u64): i32 {
  const si = swap_info_of(entry);
  const offset = swp_offset(entry);
  spin_lock(si.lock);
  const value = map_at(si, offset);
  const full = (value & ~SWAP_HAS_CACHE) >= SWAP_MAP_MAX;
  if (!full) set_map(si, offset, value + 1);
  spin_unlock(si.lock);
  return full ? -ENOMEM : 0;
}

/** Before a page is read into the swap cache. -EEXIST: another is at it; -ENOENT: the place is free now. */
export function swapcache_prepare(entry: u64): i32 {
  const si = swap_info_of(entry);
  if (isnull(si)) return -ENOENT;
  const offset = swp_offset(entry);
  spin_lock(si.lock);
  const value = offset < si.max ? map_at(si, offset) : SWAP_MAP_BAD;
  const err = value == 0 || value == SWAP_MAP_BAD ? -ENOENT : value & SWAP_HAS_CACHE ? -EEXIST : 0;
  if (!err) set_map(si, offset, value | SWAP_HAS_CACHE);
  spin_unlock(si.lock);
  return err;
}

/** Page table entries that stand for a place. */
export function swp_swapcount(entry: u64): i32 {
  return <i32>(map_at(swap_info_of(entry), swp_offset(entry)) & ~SWAP_HAS_CACHE);
}

@inline export function PageSwapCache(p: page): bool {
  return page_flag(p, PG_swapcache);
}

/**
 * Whether a page has one user, mapping or entry, who may then write to it: its place is out of date from
 * then on. With the page's lock.
 */
export function reuse_swap_page(p: page): bool {
  if (!PageSwapCache(p)) return page_mapcount(p) <= 1;
  if (page_mapcount(p) + swp_swapcount(p.private_) > 1) return false;
  delete_from_swap_cache(p);
  set_page_flag(p, PG_dirty);
  return true;
}

/** Gives up the place of a page in memory that no page table entry stands for. With the page's lock. */
export function try_to_free_swap(p: page): bool {
  if (!PageSwapCache(p) || swp_swapcount(p.private_)) return false;
  delete_from_swap_cache(p);
  set_page_flag(p, PG_dirty);
  return true;
}

/** A mapping of the page is gone: without any, and without entries, it leaves the swap cache too. */
export function free_swap_cache(p: page): void {
  if (!PageSwapCache(p) || page_mapcount(p) || !trylock_page(p)) return;
  try_to_free_swap(p);
  unlock_page(p);
}

/** A page table entry that stands for a place is gone; the last one takes an unmapped page along. */
export function free_swap_and_cache(entry: u64): void {
  if (swap_entry_put(entry, 1) != SWAP_HAS_CACHE) return;
  const p = lookup_swap_cache(entry);
  if (isnull(p)) return;
  if (trylock_page(p)) {
    if (PageSwapCache(p) && p.private_ == entry && (!page_mapcount(p) || vm_swap_full())) try_to_free_swap(p);
    unlock_page(p);
  }
  put_page(p);
}
