/**
 * The LRU lists (mm/swap.c): a page on one carries PG_lru and counts in its zone's and the node's statistics.
 * Anonymous pages are PG_swapbacked, used ones PG_active; pages of a file that lives in memory alone cannot
 * be evicted (PG_unevictable). Which list a page is on follows from its flags, changed under lru_lock.
 */
import {
  AS_UNEVICTABLE,
  CONFIG_CRASH_DUMP,
  LRU_INACTIVE_ANON,
  LRU_INACTIVE_FILE,
  LRU_UNEVICTABLE,
  NR_LRU_BASE,
  NR_ZONE_LRU_BASE,
  PAGE_MAPPING_ANON,
  PGACTIVATE,
  PG_active,
  PG_lru,
  PG_referenced,
  PG_swapbacked,
  PG_unevictable,
  UNEVICTABLE_PGCULLED,
} from "../include/generated/constants";
import { page } from "../include/generated/structs";
import { spin_lock_irqsave, spin_unlock_irqrestore } from "../kernel/locking/spinlock";
import { list_add, list_del } from "../lib/list";
import { NODE_DATA, clear_page_flag, page_flag, set_page_flag } from "./page";
import { count_vm_event } from "./vm_event";
import { mod_lruvec_page_state } from "./vmstat";

function page_lru(p: page): i32 {
  if (!CONFIG_CRASH_DUMP && page_flag(p, PG_unevictable)) return LRU_UNEVICTABLE;
  const inactive = page_flag(p, PG_swapbacked) ? LRU_INACTIVE_ANON : LRU_INACTIVE_FILE;
  return !CONFIG_CRASH_DUMP && page_flag(p, PG_active) ? inactive + 1 : inactive;
}

@inline function account(p: page, lru: i32, delta: i64): void {
  mod_lruvec_page_state(p, NR_ZONE_LRU_BASE + lru, NR_LRU_BASE + lru, delta);
}

/** With lru_lock: at the head of the list that its flags name. */
export function add_page_to_lru_list(p: page): void {
  const lru = page_lru(p);
  set_page_flag(p, PG_lru);
  list_add(p.lru, NODE_DATA(0).__lruvec.lists[lru]);
  account(p, lru, 1);
}

/** With lru_lock. */
export function del_page_from_lru_list(p: page): void {
  list_del(p.lru);
  clear_page_flag(p, PG_lru);
  account(p, page_lru(p), -1);
}

function page_evictable(p: page): bool {
  if (p.mapping_va == 0 || p.mapping_va & PAGE_MAPPING_ANON) return true;
  return (p.mapping.flags & (1 << AS_UNEVICTABLE)) == 0;
}

/** A new page, which is inactive until it is used again. */
export function lru_cache_add(p: page): void {
  const lruvec = NODE_DATA(0).__lruvec;
  if (!CONFIG_CRASH_DUMP && !page_evictable(p)) {
    set_page_flag(p, PG_unevictable);
    count_vm_event(UNEVICTABLE_PGCULLED);
  }
  const flags = spin_lock_irqsave(lruvec.lru_lock);
  add_page_to_lru_list(p);
  spin_unlock_irqrestore(lruvec.lru_lock, flags);
}

/** Off its list, if it is on one: the page is about to be something else. */
export function lru_cache_del(p: page): void {
  const lruvec = NODE_DATA(0).__lruvec;
  const flags = spin_lock_irqsave(lruvec.lru_lock);
  if (page_flag(p, PG_lru)) {
    del_page_from_lru_list(p);
    if (!CONFIG_CRASH_DUMP) {
      clear_page_flag(p, PG_active);
      clear_page_flag(p, PG_unevictable);
    }
  }
  spin_unlock_irqrestore(lruvec.lru_lock, flags);
}

/** A page of a file was read: the second time makes it active. */
export function mark_page_accessed(p: page): void {
  if (!page_flag(p, PG_referenced)) {
    set_page_flag(p, PG_referenced);
    return;
  }
  if (page_flag(p, PG_active) || page_flag(p, PG_unevictable)) return;
  const lruvec = NODE_DATA(0).__lruvec;
  const flags = spin_lock_irqsave(lruvec.lru_lock);
  if (page_flag(p, PG_lru)) {
    del_page_from_lru_list(p);
    set_page_flag(p, PG_active);
    add_page_to_lru_list(p);
    clear_page_flag(p, PG_referenced);
    count_vm_event(PGACTIVATE);
  }
  spin_unlock_irqrestore(lruvec.lru_lock, flags);
}
