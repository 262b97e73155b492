/**
 * Reclaim (mm/vmscan.c): pages come off the tails of the LRU lists; what was used lately goes back, a clean
 * page of a file is dropped, an anonymous one written to its place in a swap area. Who needs memory does it
 * (try_to_free_pages), or kswapd before anybody has to. It runs to its end and waits for nothing: locks that
 * somebody may hold who waits for memory are only tried. Pages of files that are dirty stay: nobody writes
 * them back but who asks for it.
 */
import {
  DEF_PRIORITY,
  LRU_ACTIVE_ANON,
  LRU_ACTIVE_FILE,
  LRU_INACTIVE_ANON,
  LRU_INACTIVE_FILE,
  MAX_NR_ZONES,
  NR_FREE_PAGES,
  NR_ISOLATED_ANON,
  NR_ISOLATED_FILE,
  NR_ZONE_LRU_BASE,
  PAGE_SHIFT,
  PF_KSWAPD,
  PGACTIVATE,
  PGDEACTIVATE,
  PGREFILL,
  PGSCAN_ANON,
  PGSCAN_DIRECT,
  PGSCAN_FILE,
  PGSCAN_KSWAPD,
  PGSTEAL_ANON,
  PGSTEAL_DIRECT,
  PGSTEAL_FILE,
  PGSTEAL_KSWAPD,
  PG_active,
  PG_swapbacked,
  PG_swapcache,
  SWAP_CLUSTER_MAX,
} from "../include/generated/constants";
import { page, scan_control, zone } from "../include/generated/structs";
import { sym, this_cpu } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";
import { spin_lock_irqsave, spin_unlock_irqrestore } from "../kernel/locking/spinlock";
import { atomic_inc_not_zero } from "../lib/atomic";
import { list_empty, list_move } from "../lib/list";
import { lru_pages } from "./meminfo";
import { int_sqrt } from "./mm_init";
import { NODE_DATA, clear_page_flag, page_flag, set_page_flag } from "./page";
import { memalloc_noreclaim_restore, memalloc_noreclaim_save, put_page } from "./page_alloc";
import { page_referenced } from "./rmap_walk";
import { PAGE_ACTIVATE, PAGE_FREED, shrink_page } from "./shrink_page";
import { add_page_to_lru_list, del_page_from_lru_list } from "./swap";
import { total_swapcache_pages } from "./swap_state";
import { get_nr_swap_pages } from "./swapfile";
import { count_vm_event } from "./vm_event";
import { mod_node_page_state } from "./vmstat";

const GIB_SHIFT: u64 = 30;
/** Of the swappiness: how much rather anonymous pages are taken than pages of files. */
const SWAPPINESS_MAX: u64 = 200;

@inline function current_is_kswapd(): bool {
  return (get_current().flags & PF_KSWAPD) != 0;
}

@inline function is_file_lru(lru: i32): bool {
  return lru >= LRU_INACTIVE_FILE;
}

/** Whether anonymous pages can go: to a free place, or to the one that they have already. */
@inline function can_reclaim_anon_pages(): bool {
  return get_nr_swap_pages() > 0 || total_swapcache_pages() > 0;
}

/** Pages of a zone that reclaim may get: those of files, and with swap space anonymous ones. */
export function zone_reclaimable_pages(z: zone): u64 {
  let pages: i64 = get_nr_swap_pages() > 0 ? 0 : <i64>total_swapcache_pages();
  for (let lru = LRU_INACTIVE_ANON; lru <= LRU_ACTIVE_FILE; lru++) {
    if (is_file_lru(lru) || get_nr_swap_pages() > 0) pages += z.vm_stat[NR_ZONE_LRU_BASE + lru].counter;
  }
  return <u64>max<i64>(pages, 0);
}

/** With all places taken only a page that has one already can go: who maps the others is not looked up. */
@inline function has_no_place(p: page, file: bool): bool {
  return !file && !page_flag(p, PG_swapcache) && get_nr_swap_pages() <= 0;
}

/** Takes the page at a list's tail off it, with a reference; null when there is none to be had. */
function isolate_lru_page(lru: i32): page {
  const lruvec = NODE_DATA(0).__lruvec;
  const head = lruvec.lists[lru];
  const flags = spin_lock_irqsave(lruvec.lru_lock);
  let p = changetype<page>(0);
  if (!list_empty(head)) {
    p = page.from_lru(head.prev);
    if (atomic_inc_not_zero(p._refcount)) {
      del_page_from_lru_list(p);
    } else {
      // Its last user is about to take it off.
      list_move(p.lru, head);
      p = changetype<page>(0);
    }
  }
  spin_unlock_irqrestore(lruvec.lru_lock, flags);
  if (!isnull(p)) mod_node_page_state(is_file_lru(lru) ? NR_ISOLATED_FILE : NR_ISOLATED_ANON, 1);
  return p;
}

/** Back to the head of the list that the page's flags name. */
function putback_lru_page(p: page): void {
  const lruvec = NODE_DATA(0).__lruvec;
  const flags = spin_lock_irqsave(lruvec.lru_lock);
  add_page_to_lru_list(p);
  spin_unlock_irqrestore(lruvec.lru_lock, flags);
  put_page(p);
}

@inline function end_isolation(file: bool): void {
  mod_node_page_state(file ? NR_ISOLATED_FILE : NR_ISOLATED_ANON, -1);
}

/** Looks at up to `nr` pages of an inactive list, and frees what it can. */
function shrink_inactive_list(nr: u64, sc: scan_control, lru: i32): void {
  const file = is_file_lru(lru);
  const kswapd = current_is_kswapd();
  for (let scanned: u64 = 0; scanned < nr; scanned++) {
    const p = isolate_lru_page(lru);
    if (isnull(p)) return;
    if (has_no_place(p, file)) {
      end_isolation(file);
      putback_lru_page(p);
      continue;
    }
    sc.nr_scanned += 1;
    count_vm_event(kswapd ? PGSCAN_KSWAPD : PGSCAN_DIRECT);
    count_vm_event(file ? PGSCAN_FILE : PGSCAN_ANON);
    const result = shrink_page(p, sc.gfp_mask);
    end_isolation(file);
    if (result == PAGE_ACTIVATE) {
      set_page_flag(p, PG_active);
      count_vm_event(PGACTIVATE);
    }
    if (result == PAGE_FREED) {
      put_page(p);
      sc.nr_reclaimed += 1;
      count_vm_event(kswapd ? PGSTEAL_KSWAPD : PGSTEAL_DIRECT);
      count_vm_event(file ? PGSTEAL_FILE : PGSTEAL_ANON);
    } else putback_lru_page(p);
  }
}

/** Makes up to `nr` pages of an active list inactive. Which of them are used, their turn there shows. */
function shrink_active_list(nr: u64, lru: i32): void {
  const file = is_file_lru(lru);
  for (let scanned: u64 = 0; scanned < nr; scanned++) {
    const p = isolate_lru_page(lru);
    if (isnull(p)) return;
    if (!has_no_place(p, file)) {
      count_vm_event(PGREFILL);
      if (page_flag(p, PG_swapbacked)) page_referenced(p);
      clear_page_flag(p, PG_active);
      count_vm_event(PGDEACTIVATE);
    }
    end_isolation(file);
    putback_lru_page(p);
  }
}

/** Linux's ratio: of a small machine half may be active, of a large one more. */
function inactive_is_low(inactive_lru: i32): bool {
  const inactive = lru_pages(inactive_lru);
  const active = lru_pages(inactive_lru + 1);
  const gib = (inactive + active) >> (GIB_SHIFT - PAGE_SHIFT);
  return inactive * (gib ? int_sqrt(10 * gib) : 1) < active;
}

/** How many pages of a list to look at, by the priority and the swappiness. */
function get_scan_count(lru: i32, sc: scan_control): u64 {
  const file = is_file_lru(lru);
  if (!file && !can_reclaim_anon_pages()) return 0;
  const size = lru_pages(lru);
  // At the last try each list is looked at to its end.
  if (sc.priority == 0) return size;
  const scan = size >> <u64>sc.priority;
  // With plenty of pages of files that were used once only, anonymous ones are left alone.
  const trim = lru_pages(LRU_INACTIVE_FILE) >> <u64>sc.priority != 0 && !inactive_is_low(LRU_INACTIVE_FILE);
  if (trim) return file ? scan : 0;
  const weight = file ? SWAPPINESS_MAX - <u64>sym.vm_swappiness : <u64>sym.vm_swappiness;
  return (scan * weight + SWAPPINESS_MAX - 1) / SWAPPINESS_MAX;
}

function shrink_list(lru: i32, nr: u64, sc: scan_control): void {
  if (lru == LRU_ACTIVE_ANON || lru == LRU_ACTIVE_FILE) {
    if (inactive_is_low(lru - 1)) shrink_active_list(nr, lru);
  } else shrink_inactive_list(nr, sc, lru);
}

/** Once over all lists at the priority: a 2^priority-th part of each. */
export function shrink_node(sc: scan_control): void {
  const before = sc.nr_reclaimed;
  for (let lru = LRU_INACTIVE_ANON; lru <= LRU_ACTIVE_FILE; lru++) {
    let left = get_scan_count(lru, sc);
    while (left && sc.nr_reclaimed < sc.nr_to_reclaim) {
      const some = min<u64>(left, SWAP_CLUSTER_MAX);
      shrink_list(lru, some, sc);
      left -= some;
    }
  }
  // Keeps pages coming to the inactive list, where their use is seen.
  const anon = can_reclaim_anon_pages() && inactive_is_low(LRU_INACTIVE_ANON);
  if (anon) shrink_active_list(SWAP_CLUSTER_MAX, LRU_ACTIVE_ANON);
  if (sc.nr_reclaimed > before) NODE_DATA(0).kswapd_failures = 0;
}

/** This CPU's: a task that reclaims is not interrupted by another one that does. */
export function begin_reclaim(gfp: u32, order: u32, highest: i32, target: u64): scan_control {
  const sc = this_cpu.scan_control;
  sc.nr_to_reclaim = target;
  sc.nr_scanned = 0;
  sc.nr_reclaimed = 0;
  sc.gfp_mask = gfp;
  sc.order = <i8>order;
  sc.reclaim_idx = <i8>highest;
  return sc;
}

/** Direct reclaim: frees some pages for an allocation; how many, at least as far as can be had. */
export function try_to_free_pages(gfp: u32, order: u32, highest: i32): u64 {
  const flags = memalloc_noreclaim_save();
  const sc = begin_reclaim(gfp, order, highest, max<u64>(SWAP_CLUSTER_MAX, (1 as u64) << (order as u64)));
  for (let priority = DEF_PRIORITY; priority >= 0; priority--) {
    sc.priority = <i8>priority;
    shrink_node(sc);
    if (sc.nr_reclaimed >= sc.nr_to_reclaim) break;
  }
  const freed = sc.nr_reclaimed;
  memalloc_noreclaim_restore(flags);
  return freed;
}

/** Free pages that a zone may give before it is at `mark`. */
export function zone_above(z: zone, mark: i32, highest: i32): bool {
  return z.vm_stat[NR_FREE_PAGES].counter > <i64>z._watermark[mark] + z.lowmem_reserve[highest];
}

/** Whether some zone up to `highest` has more free than its mark says. */
export function pgdat_balanced(mark: i32, highest: i32): bool {
  for (let i: i32 = 0; i <= highest && i < MAX_NR_ZONES; i++) {
    const z = NODE_DATA(0).node_zones[i];
    if (z.managed_pages.counter && zone_above(z, mark, highest)) return true;
  }
  return false;
}
