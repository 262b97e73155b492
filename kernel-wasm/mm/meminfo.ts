/** What /proc/meminfo adds up: pages on LRU lists, and what a new program could get (si_mem_available). */
import {
  LRU_ACTIVE_FILE,
  LRU_INACTIVE_FILE,
  MAX_NR_ZONES,
  NR_INACTIVE_ANON,
  NR_KERNEL_MISC_RECLAIMABLE,
  NR_SLAB_RECLAIMABLE_B,
  WMARK_LOW,
} from "../include/generated/constants";
import { sym } from "../include/generated/symbols";
import { NODE_DATA } from "./page";
import { global_node_page_state_pages, nr_free_pages } from "./vmstat";

/** Pages on one LRU list. */
@inline export function lru_pages(lru: i32): u64 {
  return global_node_page_state_pages(NR_INACTIVE_ANON + lru);
}

/** Pages that a new program could get without swapping: free, and half of what could be reclaimed. */
export function si_mem_available(): u64 {
  let low: i64 = 0;
  for (let i: usize = 0; i < MAX_NR_ZONES; i++) low += <i64>NODE_DATA(0).node_zones[i]._watermark[WMARK_LOW];
  let available = <i64>nr_free_pages() - <i64>sym.totalreserve_pages;
  const file = <i64>(lru_pages(LRU_ACTIVE_FILE) + lru_pages(LRU_INACTIVE_FILE));
  available += file - min(file / 2, low);
  const misc = global_node_page_state_pages(NR_KERNEL_MISC_RECLAIMABLE);
  const slab = <i64>(global_node_page_state_pages(NR_SLAB_RECLAIMABLE_B) + misc);
  available += slab - min(slab / 2, low);
  return <u64>max<i64>(available, 0);
}
