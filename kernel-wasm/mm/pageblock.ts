/**
 * Migrate types of pageblocks: PB_migrate bits in the section's usage map (mm/page_alloc.c, pageblock-
 * flags.h).
 */
import {
  MIGRATE_MOVABLE,
  MIGRATE_PCPTYPES,
  MIGRATE_UNMOVABLE,
  NR_PAGEBLOCK_BITS,
  PAGEBLOCK_ORDER,
  PAGES_PER_SECTION,
} from "../include/generated/constants";
import { mem_section_usage, page } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { page_to_pfn } from "./page";
import { pfn_to_section } from "./sparse";

const MIGRATE_MASK: u64 = 7;

@inline function flags_word(pfn: usize): usize {
  const block = (pfn & (PAGES_PER_SECTION - 1)) >> PAGEBLOCK_ORDER;
  const usage = pfn_to_section(pfn).usage;
  return changetype<usize>(usage.pageblock_flags) + (((block * NR_PAGEBLOCK_BITS) >> 6) << 3);
}

@inline function flags_shift(pfn: usize): u64 {
  const block = (pfn & (PAGES_PER_SECTION - 1)) >> PAGEBLOCK_ORDER;
  return <u64>((block * NR_PAGEBLOCK_BITS) & 63);
}

/** Bytes of a section's usage: its subsection map and four bits a pageblock. */
export function mem_section_usage_size(): usize {
  const bits = <usize>(PAGES_PER_SECTION >> PAGEBLOCK_ORDER) * NR_PAGEBLOCK_BITS;
  return mem_section_usage.SIZE + (((bits + 63) >> 6) << 3);
}

export function get_pageblock_migratetype(p: page): i32 {
  const pfn = page_to_pfn(p);
  return <i32>((load<u64>(flags_word(pfn)) >> flags_shift(pfn)) & MIGRATE_MASK);
}

export function set_pageblock_migratetype(p: page, migratetype: i32): void {
  const pfn = page_to_pfn(p);
  // Without mobility grouping all of the movable and reclaimable types are one.
  const one_type = sym.page_group_by_mobility_disabled && migratetype < MIGRATE_PCPTYPES;
  const type = one_type ? MIGRATE_UNMOVABLE : migratetype;
  const at = flags_word(pfn);
  store<u64>(at, (load<u64>(at) & ~(MIGRATE_MASK << flags_shift(pfn))) | (<u64>type << flags_shift(pfn)));
}

/** Every block starts movable, as in memmap_init. */
export function init_pageblocks(start_pfn: usize, end_pfn: usize): void {
  for (let pfn = start_pfn; pfn < end_pfn; pfn = (pfn | ((1 << PAGEBLOCK_ORDER) - 1)) + 1) {
    const at = flags_word(pfn);
    const shift = flags_shift(pfn);
    store<u64>(at, (load<u64>(at) & ~(MIGRATE_MASK << shift)) | (<u64>MIGRATE_MOVABLE << shift));
  }
}
