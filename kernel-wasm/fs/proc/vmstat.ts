/**
 * The page allocator's counters (mm/vmstat.c): /proc/vmstat, zoneinfo, buddyinfo, pagetypeinfo.
 */
import {
  MAX_NR_ZONES,
  MAX_ORDER,
  MIGRATE_TYPES,
  NR_FREE_PAGES,
  NR_VM_NODE_STAT_ITEMS,
  NR_VM_ZONE_STAT_ITEMS,
  PAGEBLOCK_NR_PAGES,
  WMARK_HIGH,
  WMARK_LOW,
  WMARK_MIN,
} from "../../include/generated/constants";
import { list_head, seq_file, zone } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { spin_lock_irqsave, spin_unlock_irqrestore } from "../../kernel/locking/spinlock";
import { list_is_head } from "../../lib/list";
import { NODE_DATA, page_zone, pfn_to_page } from "../../mm/page";
import { get_pageblock_migratetype } from "../../mm/pageblock";
import { seq_printf, seq_puts } from "../seq_file";
import { show_vm_events } from "./vm_events";

/** enum zone_stat_item, in its order. */
function zone_item_name(item: u32): usize {
  switch (item) {
    case 0: return c`nr_free_pages`;
    case 1: return c`nr_zone_inactive_anon`;
    case 2: return c`nr_zone_active_anon`;
    case 3: return c`nr_zone_inactive_file`;
    case 4: return c`nr_zone_active_file`;
    case 5: return c`nr_zone_unevictable`;
    case 6: return c`nr_zone_write_pending`;
    case 7: return c`nr_mlock`;
    case 8: return c`nr_bounce`;
    case 9: return c`nr_zspages`;
    default: return c`nr_free_cma`;
  }
}

/** enum node_stat_item, in its order. */
function node_item_name(item: u32): usize {
  switch (item) {
    case 0: return c`nr_inactive_anon`;
    case 1: return c`nr_active_anon`;
    case 2: return c`nr_inactive_file`;
    case 3: return c`nr_active_file`;
    case 4: return c`nr_unevictable`;
    case 5: return c`nr_slab_reclaimable`;
    case 6: return c`nr_slab_unreclaimable`;
    case 7: return c`nr_isolated_anon`;
    case 8: return c`nr_isolated_file`;
    case 9: return c`workingset_nodes`;
    case 10: return c`workingset_refault_anon`;
    case 11: return c`workingset_refault_file`;
    case 12: return c`workingset_activate_anon`;
    case 13: return c`workingset_activate_file`;
    case 14: return c`workingset_restore_anon`;
    case 15: return c`workingset_restore_file`;
    case 16: return c`workingset_nodereclaim`;
    case 17: return c`nr_anon_pages`;
    case 18: return c`nr_mapped`;
    case 19: return c`nr_file_pages`;
    case 20: return c`nr_dirty`;
    case 21: return c`nr_writeback`;
    case 22: return c`nr_writeback_temp`;
    case 23: return c`nr_shmem`;
    case 24: return c`nr_shmem_hugepages`;
    case 25: return c`nr_shmem_pmdmapped`;
    case 26: return c`nr_file_hugepages`;
    case 27: return c`nr_file_pmdmapped`;
    case 28: return c`nr_anon_transparent_hugepages`;
    case 29: return c`nr_vmscan_write`;
    case 30: return c`nr_vmscan_immediate_reclaim`;
    case 31: return c`nr_dirtied`;
    case 32: return c`nr_written`;
    case 33: return c`nr_kernel_misc_reclaimable`;
    case 34: return c`nr_foll_pin_acquired`;
    case 35: return c`nr_foll_pin_released`;
    case 36: return c`nr_kernel_stack`;
    case 37: return c`nr_page_table_pages`;
    default: return c`nr_swapcached`;
  }
}

/** One line a counter, by `format`. */
function show_zone_items(m: seq_file, format: usize, counters: usize): void {
  for (let i: u32 = 0; i < NR_VM_ZONE_STAT_ITEMS; i++) {
    seq_printf(m, format, zone_item_name(i), max<i64>(load<i64>(counters + (i << 3)), 0));
  }
}

function show_node_items(m: seq_file, format: usize, counters: usize): void {
  for (let i: u32 = 0; i < NR_VM_NODE_STAT_ITEMS; i++) {
    seq_printf(m, format, node_item_name(i), max<i64>(load<i64>(counters + (i << 3)), 0));
  }
}

export function vmstat_proc_show(m: seq_file, v: usize): i32 {
  const format = c`%s %lu\n`;
  show_zone_items(m, format, sym.addr_of_vm_zone_stat());
  show_node_items(m, format, sym.addr_of_vm_node_stat());
  show_vm_events(m);
  return 0;
}

function show_zone(m: seq_file, z: zone): void {
  seq_printf(m, c`Node %d, zone %8s`, NODE_DATA(0).node_id, z.name);
  let first = true;
  for (let i: usize = 0; i < MAX_NR_ZONES; i++) {
    if (NODE_DATA(0).node_zones[i].present_pages == 0) continue;
    first = NODE_DATA(0).node_zones[i] == z;
    break;
  }
  if (first) {
    seq_puts(m, c`\n  per-node stats`);
    const stats = changetype<usize>(NODE_DATA(0).vm_stat[0]);
    show_node_items(m, c`\n      %-12s %lu`, stats);
  }
  seq_printf(
    m, c`\n  pages free     %lu\n        boost    %lu\n        min      %lu\n        low      %lu`,
    z.vm_stat[NR_FREE_PAGES].counter, z.watermark_boost, z._watermark[WMARK_MIN], z._watermark[WMARK_LOW],
  );
  seq_printf(
    m, c`\n        high     %lu\n        spanned  %lu\n        present  %lu\n        managed  %lu`,
    z._watermark[WMARK_HIGH], z.spanned_pages, z.present_pages, z.managed_pages.counter,
  );
  seq_printf(m, c`\n        cma      %lu\n        protection: (%ld`, z.cma_pages, z.lowmem_reserve[0]);
  for (let i: usize = 1; i < MAX_NR_ZONES; i++) seq_printf(m, c`, %ld`, z.lowmem_reserve[i]);
  seq_puts(m, c`)`);
  if (z.present_pages == 0) {
    seq_puts(m, c`\n`);
    return;
  }
  const stats = changetype<usize>(z.vm_stat[0]);
  show_zone_items(m, c`\n      %-12s %lu`, stats);
  seq_printf(m, c`\n  node_unreclaimable:  0\n  start_pfn:           %lu\n`, z.zone_start_pfn);
}

export function zoneinfo_proc_show(m: seq_file, v: usize): i32 {
  for (let i: usize = 0; i < MAX_NR_ZONES; i++) {
    const z = NODE_DATA(0).node_zones[i];
    const flags = spin_lock_irqsave(z.lock);
    show_zone(m, z);
    spin_unlock_irqrestore(z.lock, flags);
  }
  return 0;
}

export function buddyinfo_proc_show(m: seq_file, v: usize): i32 {
  for (let i: usize = 0; i < MAX_NR_ZONES; i++) {
    const z = NODE_DATA(0).node_zones[i];
    if (z.present_pages == 0) continue;
    seq_printf(m, c`Node %d, zone %8s `, NODE_DATA(0).node_id, z.name);
    const flags = spin_lock_irqsave(z.lock);
    for (let order: usize = 0; order < MAX_ORDER; order++) {
      seq_printf(m, c`%6lu `, z.free_area[order].nr_free);
    }
    spin_unlock_irqrestore(z.lock, flags);
    seq_puts(m, c`\n`);
  }
  return 0;
}

/** enum migratetype, in its order. */
function migratetype_name(type: usize): usize {
  switch (<i32>type) {
    case 0: return c`Unmovable`;
    case 1: return c`Movable`;
    case 2: return c`Reclaimable`;
    case 3: return c`HighAtomic`;
    case 4: return c`CMA`;
    default: return c`Isolate`;
  }
}

/** Longer lists are not counted to their end: the lock is held meanwhile. */
const LIST_COUNT_MAX: u64 = 100000;

function count_list(head: list_head): u64 {
  let count: u64 = 0;
  for (let l = head.next; !list_is_head(l, head) && count < LIST_COUNT_MAX; l = l.next) count++;
  return count;
}

function pagetypeinfo_showfree(m: seq_file, z: zone): void {
  for (let type: usize = 0; type < MIGRATE_TYPES; type++) {
    const name = migratetype_name(type);
    seq_printf(m, c`Node %4d, zone %8s, type %12s `, NODE_DATA(0).node_id, z.name, name);
    for (let order: usize = 0; order < MAX_ORDER; order++) {
      const flags = spin_lock_irqsave(z.lock);
      const count = count_list(z.free_area[order].free_list[type]);
      spin_unlock_irqrestore(z.lock, flags);
      seq_printf(m, c`%s%6lu `, count == LIST_COUNT_MAX ? c`>` : c``, count);
    }
    seq_puts(m, c`\n`);
  }
}

/** Pageblocks of a zone that have this type. */
function count_blocks(z: zone, type: usize): u64 {
  const start = <usize>z.zone_start_pfn;
  const end = start + <usize>z.spanned_pages;
  let count: u64 = 0;
  for (let pfn = start & ~(<usize>PAGEBLOCK_NR_PAGES - 1); pfn < end; pfn += PAGEBLOCK_NR_PAGES) {
    const p = pfn_to_page(max(pfn, start));
    if (changetype<usize>(page_zone(p)) != changetype<usize>(z)) continue;
    if (get_pageblock_migratetype(p) == <i32>type) count++;
  }
  return count;
}

export function pagetypeinfo_proc_show(m: seq_file, v: usize): i32 {
  seq_printf(m, c`Page block order: %d\nPages per block:  %lu\n\n`, sym.pageblock_order, PAGEBLOCK_NR_PAGES);
  seq_printf(m, c`%-43s `, c`Free pages count per migrate type at order`);
  for (let order = 0; order < MAX_ORDER; order++) seq_printf(m, c`%6d `, order);
  seq_puts(m, c`\n`);
  for (let i: usize = 0; i < MAX_NR_ZONES; i++) {
    const z = NODE_DATA(0).node_zones[i];
    if (z.present_pages) pagetypeinfo_showfree(m, z);
  }
  seq_printf(m, c`\n%-23s`, c`Number of blocks type `);
  for (let type: usize = 0; type < MIGRATE_TYPES; type++) seq_printf(m, c`%12s `, migratetype_name(type));
  seq_puts(m, c`\n`);
  for (let i: usize = 0; i < MAX_NR_ZONES; i++) {
    const z = NODE_DATA(0).node_zones[i];
    if (z.present_pages == 0) continue;
    seq_printf(m, c`Node %d, zone %8s `, NODE_DATA(0).node_id, z.name);
    for (let type: usize = 0; type < MIGRATE_TYPES; type++) seq_printf(m, c`%12lu `, count_blocks(z, type));
    seq_puts(m, c`\n`);
  }
  return 0;
}
