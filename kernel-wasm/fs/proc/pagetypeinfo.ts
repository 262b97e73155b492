/**
 * /proc/pagetypeinfo (mm/vmstat.c): each zone's free pages by order and migrate type, and its pageblocks by
 * type. Production only.
 */
import {
  MAX_NR_ZONES,
  MAX_ORDER,
  MIGRATE_CMA,
  MIGRATE_HIGHATOMIC,
  MIGRATE_MOVABLE,
  MIGRATE_RECLAIMABLE,
  MIGRATE_TYPES,
  MIGRATE_UNMOVABLE,
  PAGEBLOCK_NR_PAGES,
  PAGEBLOCK_ORDER,
} from "../../include/generated/constants";
import { list_head, seq_file, zone } from "../../include/generated/structs";
import { spin_lock_irqsave, spin_unlock_irqrestore } from "../../kernel/locking/spinlock";
import { list_is_head } from "../../lib/list";
import { NODE_DATA, page_zone, pfn_to_page, pfn_valid } from "../../mm/page";
import { get_pageblock_migratetype } from "../../mm/pageblock";
import { seq_printf, seq_putc } from "../seq_file";

/** Counting goes no further: it has the zone's lock. */
const COUNT_MAX: u64 = 100000;

function migratetype_name(type: i32): usize {
  if (type == MIGRATE_UNMOVABLE) return c`Unmovable`;
  if (type == MIGRATE_MOVABLE) return c`Movable`;
  if (type == MIGRATE_RECLAIMABLE) return c`Reclaimable`;
  if (type == MIGRATE_HIGHATOMIC) return c`HighAtomic`;
  return type == MIGRATE_CMA ? c`CMA` : c`Isolate`;
}

/** Entries of a free list, with the zone's lock. */
function count_free(head: list_head): u64 {
  let n: u64 = 0;
  for (let at = head.next; n < COUNT_MAX && !list_is_head(at, head); at = at.next) n++;
  return n;
}

function show_free(m: seq_file, z: zone): void {
  for (let type = 0; type < MIGRATE_TYPES; type++) {
    seq_printf(m, c`Node %4d, zone %8s, type %12s `, NODE_DATA(0).node_id, z.name, migratetype_name(type));
    for (let order: usize = 0; order < MAX_ORDER; order++) {
      const flags = spin_lock_irqsave(z.lock);
      const n = count_free(z.free_area[order].free_list[type]);
      spin_unlock_irqrestore(z.lock, flags);
      seq_printf(m, c`%s%6lu `, n == COUNT_MAX ? c`>` : c``, n);
    }
    seq_putc(m, 0x0a);
  }
}

/** Pageblocks of a type that begin in the zone. */
function count_blocks(z: zone, type: i32): u64 {
  const end = z.zone_start_pfn + z.spanned_pages;
  let n: u64 = 0;
  for (let pfn = z.zone_start_pfn; pfn < end; pfn = (pfn | (PAGEBLOCK_NR_PAGES - 1)) + 1) {
    if (!pfn_valid(<usize>pfn)) continue;
    const p = pfn_to_page(<usize>pfn);
    if (page_zone(p) == z && get_pageblock_migratetype(p) == type) n++;
  }
  return n;
}

function show_blocks(m: seq_file, z: zone): void {
  seq_printf(m, c`Node %d, zone %8s `, NODE_DATA(0).node_id, z.name);
  for (let type = 0; type < MIGRATE_TYPES; type++) seq_printf(m, c`%12lu `, count_blocks(z, type));
  seq_putc(m, 0x0a);
}

export function pagetypeinfo_show(m: seq_file, v: usize): i32 {
  seq_printf(m, c`Page block order: %d\nPages per block:  %lu\n\n`, PAGEBLOCK_ORDER, PAGEBLOCK_NR_PAGES);
  seq_printf(m, c`%-43s `, c`Free pages count per migrate type at order`);
  for (let order = 0; order < MAX_ORDER; order++) seq_printf(m, c`%6d `, order);
  seq_putc(m, 0x0a);
  for (let i: usize = 0; i < MAX_NR_ZONES; i++) {
    const z = NODE_DATA(0).node_zones[i];
    if (z.present_pages) show_free(m, z);
  }
  seq_printf(m, c`\n%-23s`, c`Number of blocks type `);
  for (let type = 0; type < MIGRATE_TYPES; type++) seq_printf(m, c`%12s `, migratetype_name(type));
  seq_putc(m, 0x0a);
  for (let i: usize = 0; i < MAX_NR_ZONES; i++) {
    const z = NODE_DATA(0).node_zones[i];
    if (z.present_pages) show_blocks(m, z);
  }
  return 0;
}
