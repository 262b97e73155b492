/**
 * The buddy system of a zone: free blocks of 2^order pages on lists by order and migrate type, and the counts
 * that go with them (mm/page_alloc.c). A free block's head has page type buddy and its order in `private`;
 * NR_FREE_PAGES is exact at every moment. Lists, counts, and what a free block's head says are changed with
 * zone.lock held and interrupts off; the functions in __ expect that of their callers.
 */
import {
  MAX_ORDER,
  MIGRATE_MOVABLE,
  MIGRATE_PCPTYPES,
  MIGRATE_RECLAIMABLE,
  MIGRATE_TYPES,
  MIGRATE_UNMOVABLE,
  NR_FREE_PAGES,
  PAGEBLOCK_NR_PAGES,
  PAGEBLOCK_ORDER,
} from "../include/generated/constants";
import { free_area, list_head, page, zone } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { spin_lock_irqsave, spin_unlock_irqrestore } from "../kernel/locking/spinlock";
import { list_add, list_add_tail, list_del, list_empty, list_move_tail } from "../lib/list";
import {
  PageBuddy,
  __ClearPageBuddy,
  __SetPageBuddy,
  buddy_order,
  nth_page,
  page_to_pfn,
  page_zone,
  pfn_to_page,
} from "./page";
import { get_pageblock_migratetype, set_pageblock_migratetype } from "./pageblock";
import { is_shuffle_order, shuffle_pick_tail } from "./shuffle";
import { mod_zone_page_state } from "./vmstat";

const NO_PAGE: usize = 0;

@inline function set_buddy_order(p: page, order: u32): void {
  p.private_ = order;
  __SetPageBuddy(p);
}

function del_page_from_free_list(p: page, z: zone, order: u32): void {
  list_del(p.lru);
  __ClearPageBuddy(p);
  p.private_ = 0;
  z.free_area[order].nr_free -= 1;
}

function add_to_free_list(p: page, z: zone, order: u32, migratetype: i32, tail: bool): void {
  const area = z.free_area[order];
  const list = area.free_list[migratetype];
  if (tail) list_add_tail(p.lru, list);
  else list_add(p.lru, list);
  area.nr_free += 1;
}

/** Whether the block at `pfn` is free, whole, of this order and in this zone. */
function page_is_buddy(z: zone, pfn: usize, order: u32): bool {
  if (pfn - <usize>z.zone_start_pfn >= <usize>z.spanned_pages) return false;
  const p = pfn_to_page(pfn);
  return PageBuddy(p) && buddy_order(p) == order && changetype<usize>(page_zone(p)) == changetype<usize>(z);
}

/** Likely to merge again soon: such a block goes to the list's end, so that its buddy may come free first. */
function buddy_merge_likely(z: zone, pfn: usize, order: u32): bool {
  if (order >= MAX_ORDER - 2) return false;
  const combined = pfn & ~(<usize>1 << order);
  return page_is_buddy(z, combined ^ (<usize>2 << order), order + 1);
}

/**
 * Puts a block back, joined with its free buddies. `to_tail`: memory that boot hands over, to be used last.
 */
export function __free_one_page(
  p: page,
  at_pfn: usize,
  z: zone,
  at_order: u32,
  migratetype: i32,
  to_tail: bool,
): void {
  let pfn = at_pfn;
  let order = at_order;
  mod_zone_page_state(z, NR_FREE_PAGES, <i64>1 << order);
  while (order < MAX_ORDER - 1) {
    const buddy_pfn = pfn ^ (<usize>1 << order);
    if (!page_is_buddy(z, buddy_pfn, order)) break;
    del_page_from_free_list(pfn_to_page(buddy_pfn), z, order);
    pfn &= buddy_pfn;
    order++;
  }
  const block = pfn_to_page(pfn);
  set_buddy_order(block, order);
  let tail = to_tail;
  if (!tail) tail = is_shuffle_order(order) ? shuffle_pick_tail() : buddy_merge_likely(z, pfn, order);
  add_to_free_list(block, z, order, migratetype, tail);
}

/** Halves a block down to `low`; the upper halves go back to the lists. */
function expand(z: zone, p: page, low: u32, high: u32, migratetype: i32): void {
  for (let order = high; order > low; ) {
    order--;
    const half = nth_page(p, <usize>1 << order);
    add_to_free_list(half, z, order, migratetype, false);
    set_buddy_order(half, order);
  }
}

@inline function first_page(area: free_area, migratetype: i32): page {
  const list = area.free_list[migratetype];
  return list_empty(list) ? changetype<page>(NO_PAGE) : page.from_lru(list.next);
}

function __rmqueue_smallest(z: zone, order: u32, migratetype: i32): page {
  for (let current = order; current < MAX_ORDER; current++) {
    const p = first_page(z.free_area[current], migratetype);
    if (isnull(p)) continue;
    del_page_from_free_list(p, z, current);
    expand(z, p, order, current, migratetype);
    return p;
  }
  return changetype<page>(NO_PAGE);
}

function __take_page_off_buddy(z: zone, pfn: usize): bool {
  for (let order: u32 = 0; order < MAX_ORDER; order++) {
    let head = pfn & ~((<usize>1 << order) - 1);
    const p = pfn_to_page(head);
    if (!PageBuddy(p) || buddy_order(p) < order) continue;
    let size = buddy_order(p);
    del_page_from_free_list(p, z, size);
    const type = get_pageblock_migratetype(p);
    while (size) {
      size--;
      const upper = head + (<usize>1 << size);
      const half = pfn < upper ? upper : head;
      if (pfn >= upper) head = upper;
      add_to_free_list(pfn_to_page(half), z, size, type, false);
      set_buddy_order(pfn_to_page(half), size);
    }
    mod_zone_page_state(z, NR_FREE_PAGES, -1);
    return true;
  }
  return false;
}

/**
 * Takes one page out of the free block that holds it; the rest of the block stays free, in pieces. False when
 * the page is not free.
 */
export function take_page_off_buddy(z: zone, pfn: usize): bool {
  const flags = spin_lock_irqsave(z.lock);
  const taken = __take_page_off_buddy(z, pfn);
  spin_unlock_irqrestore(z.lock, flags);
  return taken;
}

/** Which other type lends blocks, by preference; MIGRATE_TYPES ends the list. */
function fallback_type(migratetype: i32, i: i32): i32 {
  if (i > 1 || migratetype >= MIGRATE_PCPTYPES) return MIGRATE_TYPES;
  switch (migratetype) {
    case MIGRATE_UNMOVABLE:
      return i ? MIGRATE_MOVABLE : MIGRATE_RECLAIMABLE;
    case MIGRATE_MOVABLE:
      return i ? MIGRATE_UNMOVABLE : MIGRATE_RECLAIMABLE;
    default:
      return i ? MIGRATE_MOVABLE : MIGRATE_UNMOVABLE;
  }
}

/** Moves a pageblock's free blocks to another type's lists; returns how many pages. */
function move_freepages_block(z: zone, p: page, migratetype: i32): usize {
  const start = max(page_to_pfn(p) & ~(<usize>PAGEBLOCK_NR_PAGES - 1), <usize>z.zone_start_pfn);
  const stop = (start | (PAGEBLOCK_NR_PAGES - 1)) + 1;
  const end = min(stop, <usize>(z.zone_start_pfn + z.spanned_pages));
  let moved: usize = 0;
  for (let pfn = start; pfn < end; ) {
    const q = pfn_to_page(pfn);
    if (!PageBuddy(q)) {
      pfn++;
      continue;
    }
    const order = buddy_order(q);
    list_move_tail(q.lru, z.free_area[order].free_list[migratetype]);
    moved += <usize>1 << order;
    pfn += <usize>1 << order;
  }
  return moved;
}

/** A large or unmovable theft takes the whole pageblock, so that types mix as little as possible. */
@inline function can_steal_fallback(order: u32, start_type: i32): bool {
  return (
    order >= PAGEBLOCK_ORDER / 2 ||
    start_type == MIGRATE_RECLAIMABLE ||
    start_type == MIGRATE_UNMOVABLE ||
    sym.page_group_by_mobility_disabled != 0
  );
}

function steal_suitable_fallback(z: zone, p: page, order: u32, start_type: i32): void {
  if (order >= PAGEBLOCK_ORDER) {
    for (let i: usize = 0; i < <usize>1 << (order - PAGEBLOCK_ORDER); i++) {
      set_pageblock_migratetype(nth_page(p, i << PAGEBLOCK_ORDER), start_type);
    }
  } else if (can_steal_fallback(order, start_type)) {
    const moved = move_freepages_block(z, p, start_type);
    if (moved >= PAGEBLOCK_NR_PAGES / 2 || sym.page_group_by_mobility_disabled) {
      set_pageblock_migratetype(p, start_type);
    }
    return;
  }
  list_move_tail(p.lru, z.free_area[order].free_list[start_type]);
}

/** Takes the largest block of another type over into `start_type`'s lists. */
function __rmqueue_fallback(z: zone, order: u32, start_type: i32): bool {
  for (let current = MAX_ORDER - 1; current >= <i32>order; current--) {
    const area = z.free_area[current];
    if (!area.nr_free) continue;
    for (let i = 0; ; i++) {
      const type = fallback_type(start_type, i);
      if (type == MIGRATE_TYPES) break;
      const p = first_page(area, type);
      if (isnull(p)) continue;
      steal_suitable_fallback(z, p, current, start_type);
      return true;
    }
  }
  return false;
}

/** A free block of exactly 2^order pages off the lists, or null. */
export function __rmqueue(z: zone, order: u32, migratetype: i32): page {
  let p = __rmqueue_smallest(z, order, migratetype);
  while (isnull(p) && __rmqueue_fallback(z, order, migratetype)) {
    p = __rmqueue_smallest(z, order, migratetype);
  }
  if (!isnull(p)) mod_zone_page_state(z, NR_FREE_PAGES, -(<i64>1 << order));
  return p;
}

/** Whether a list of `order` or more has a block that this type may take: a look, without the lock. */
export function zone_has_block(z: zone, order: u32, migratetype: i32): bool {
  for (let o = order; o < MAX_ORDER; o++) {
    const area = z.free_area[o];
    if (!area.nr_free) continue;
    for (let type = 0; type < MIGRATE_PCPTYPES; type++) if (!list_empty(area.free_list[type])) return true;
    if (!list_empty(area.free_list[migratetype])) return true;
  }
  return false;
}

/**
 * Walks a zone's lists: every block marked, aligned, linked both ways and counted. Returns 0, or a number
 * that says which of these is broken (1 page type, 2 order, 3 alignment, 4 link, 5 nr_free, 6 NR_FREE_PAGES,
 * 7 a buddy left unmerged).
 */
export function check_zone(z: zone): i32 {
  let pages: u64 = 0;
  for (let order: u32 = 0; order < MAX_ORDER; order++) {
    const area = z.free_area[order];
    let blocks: u64 = 0;
    for (let type: usize = 0; type < MIGRATE_TYPES; type++) {
      const head = area.free_list[type];
      let prev: list_head = head;
      for (let l = head.next; changetype<usize>(l) != changetype<usize>(head); prev = l, l = l.next) {
        const p = page.from_lru(l);
        const pfn = page_to_pfn(p);
        if (!PageBuddy(p)) return 1;
        if (buddy_order(p) != order) return 2;
        if (pfn & ((<usize>1 << order) - 1)) return 3;
        if (changetype<usize>(l.prev) != changetype<usize>(prev)) return 4;
        if (order < MAX_ORDER - 1 && page_is_buddy(z, pfn ^ (<usize>1 << order), order)) return 7;
        blocks++;
      }
    }
    if (blocks != area.nr_free) return 5;
    pages += blocks << order;
  }
  return pages == <u64>z.vm_stat[NR_FREE_PAGES].counter ? 0 : 6;
}
