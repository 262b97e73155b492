/**
 * The LRU lists (mm/swap.c): a page on one carries PG_lru and counts in its zone's and the node's statistics.
 */
import {
  LRU_ACTIVE_ANON,
  LRU_INACTIVE_FILE,
  NR_LRU_BASE,
  NR_ZONE_LRU_BASE,
  PG_lru,
  PG_swapbacked,
} from "../include/generated/constants";
import { page } from "../include/generated/structs";
import { spin_lock_irqsave, spin_unlock_irqrestore } from "../kernel/locking/spinlock";
import { list_add, list_del } from "../lib/list";
import { NODE_DATA, clear_page_flag, page_flag, set_page_flag } from "./page";
import { mod_lruvec_page_state } from "./vmstat";

function page_lru(p: page): i32 {
  return page_flag(p, PG_swapbacked) ? LRU_ACTIVE_ANON : LRU_INACTIVE_FILE;
}

/** Anonymous pages are mapped, so they start active; pages of files inactive. */
export function lru_cache_add(p: page): void {
  const lru = page_lru(p);
  const lruvec = NODE_DATA(0).__lruvec;
  set_page_flag(p, PG_lru);
  const flags = spin_lock_irqsave(lruvec.lru_lock);
  list_add(p.lru, lruvec.lists[lru]);
  spin_unlock_irqrestore(lruvec.lru_lock, flags);
  mod_lruvec_page_state(p, NR_ZONE_LRU_BASE + lru, NR_LRU_BASE + lru, 1);
}

export function lru_cache_del(p: page): void {
  if (!page_flag(p, PG_lru)) return;
  const lru = page_lru(p);
  const lruvec = NODE_DATA(0).__lruvec;
  const flags = spin_lock_irqsave(lruvec.lru_lock);
  list_del(p.lru);
  spin_unlock_irqrestore(lruvec.lru_lock, flags);
  clear_page_flag(p, PG_lru);
  mod_lruvec_page_state(p, NR_ZONE_LRU_BASE + lru, NR_LRU_BASE + lru, -1);
}
