/**
 * CONFIG_SHUFFLE_PAGE_ALLOCATOR (mm/shuffle.c): the free lists of largest blocks in random order after boot,
 * and freed blocks of that size at a random end. Two seeds of the machine then allocate differently from the
 * first page on.
 */
import {
  CONFIG_SHUFFLE_PAGE_ALLOCATOR,
  MAX_NR_ZONES,
  MAX_ORDER,
  MIGRATE_TYPES,
  SHUFFLE_ORDER,
} from "../include/generated/constants";
import { page, zone } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { spin_lock_irqsave, spin_unlock_irqrestore } from "../kernel/locking/spinlock";
import { pr_info } from "../kernel/printk/printk";
import { list_empty, list_swap } from "../lib/list";
import { get_random_u32 } from "../lib/random";
import {
  NODE_DATA,
  PageBuddy,
  buddy_order,
  page_to_phys,
  page_zone,
  pfn_to_page,
  pfn_valid,
} from "./page";
import { get_pageblock_migratetype } from "./pageblock";

/** Tries to find a partner before a block stays where it is. */
const SHUFFLE_RETRY = 10;

@inline export function is_shuffle_order(order: u32): bool {
  return CONFIG_SHUFFLE_PAGE_ALLOCATOR && order >= SHUFFLE_ORDER;
}

/**
 * One random bit; 64 are drawn at a time. Without a lock of its own: two zones at once may draw a bit twice,
 * or go past 0, never past the next 64.
 */
export function shuffle_pick_tail(): bool {
  if ((sym.shuffle_rand_bits & 63) == 0) {
    sym.shuffle_rand = (<u64>get_random_u32() << 32) | get_random_u32();
    sym.shuffle_rand_bits = 64;
  }
  const bit = (sym.shuffle_rand & 1) != 0;
  sym.shuffle_rand >>= 1;
  sym.shuffle_rand_bits -= 1;
  return bit;
}

/** A free block of `order` at `pfn` in `z`, or null. */
function shuffle_valid_page(z: zone, pfn: usize, order: u32): page {
  if (!pfn_valid(pfn)) return changetype<page>(0);
  const p = pfn_to_page(pfn);
  if (changetype<usize>(page_zone(p)) != changetype<usize>(z) || !PageBuddy(p)) return changetype<page>(0);
  return buddy_order(p) == order ? p : changetype<page>(0);
}

function __shuffle_zone(z: zone): void {
  const block: usize = 1 << SHUFFLE_ORDER;
  const start = (<usize>z.zone_start_pfn + block - 1) & ~(block - 1);
  const end = <usize>(z.zone_start_pfn + z.spanned_pages);
  if (end <= start) return;
  const blocks = (end - start) / block;
  for (let i = start; i + block <= end; i += block) {
    const a = shuffle_valid_page(z, i, SHUFFLE_ORDER);
    if (isnull(a)) continue;
    let b = changetype<page>(0);
    for (let retry = 0; retry < SHUFFLE_RETRY && isnull(b); retry++) {
      const j = start + (get_random_u32() % blocks) * block;
      if (j != i) b = shuffle_valid_page(z, j, SHUFFLE_ORDER);
    }
    if (isnull(b) || get_pageblock_migratetype(a) != get_pageblock_migratetype(b)) continue;
    list_swap(a.lru, b.lru);
  }
}

function shuffle_zone(z: zone): void {
  const flags = spin_lock_irqsave(z.lock);
  __shuffle_zone(z);
  spin_unlock_irqrestore(z.lock, flags);
}

/** The block of the largest size that the zone allocates from first: where boots differ, their logs do. */
function show_first_block(z: zone): void {
  for (let order: i32 = MAX_ORDER - 1; order >= 0; order--) {
    for (let type: usize = 0; type < MIGRATE_TYPES; type++) {
      const list = z.free_area[order].free_list[type];
      if (list_empty(list)) continue;
      const at = page_to_phys(page.from_lru(list.next));
      pr_info(c`page_alloc: zone %s shuffled, order-%d blocks begin at 0x%08lx\n`, z.name, order, at);
      return;
    }
  }
}

export function shuffle_free_memory(): void {
  if (!CONFIG_SHUFFLE_PAGE_ALLOCATOR) return;
  for (let i: usize = 0; i < MAX_NR_ZONES; i++) {
    const z = NODE_DATA(0).node_zones[i];
    if (!z.managed_pages.counter) continue;
    shuffle_zone(z);
    show_first_block(z);
  }
}
