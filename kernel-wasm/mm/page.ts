/**
 * struct page's zone, flags, types, compound state and reference count (include/linux/mm.h, page-flags.h,
 * page_ref.h).
 */
import {
  NODES_PGSHIFT,
  PAGE_SHIFT,
  PAGE_SIZE,
  PAGE_TYPE_BASE,
  PG_buddy,
  PG_head,
  PG_lru,
  PG_offline,
  PG_reserved,
  PG_slab,
  PG_table,
  ZONES_PGSHIFT,
  ZONES_SHIFT,
} from "../include/generated/constants";
import { page, pglist_data, zone } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { atomic_dec_and_test, clear_bit, set_bit } from "../lib/atomic";
import { nth_page, phys_to_page } from "./memory_model";

export { nth_page, page_to_pfn, page_to_phys, pfn_to_page, pfn_valid, phys_to_page } from "./memory_model";

@inline export function NODE_DATA(nid: usize): pglist_data {
  return sym.node_data[nid];
}

@inline export function page_zonenum(p: page): usize {
  return <usize>(p.flags >> ZONES_PGSHIFT) & ((1 << ZONES_SHIFT) - 1);
}

@inline export function page_zone(p: page): zone {
  return NODE_DATA(0).node_zones[page_zonenum(p)];
}

@inline export function page_flags_of(zone_index: usize, nid: usize): u64 {
  return (<u64>zone_index << ZONES_PGSHIFT) | (<u64>nid << NODES_PGSHIFT);
}

@inline export function page_flag(p: page, bit: i32): bool {
  return ((p.flags >> <u64>bit) & 1) != 0;
}

/** Atomic: others may change other flags of the page. */
@inline export function set_page_flag(p: page, bit: i32): void {
  set_bit(bit, page.addr_of_flags(p));
}

@inline export function clear_page_flag(p: page, bit: i32): void {
  clear_bit(bit, page.addr_of_flags(p));
}

@inline export function PageReserved(p: page): bool {
  return page_flag(p, PG_reserved);
}

@inline export function PageSlab(p: page): bool {
  return page_flag(p, PG_slab);
}

@inline export function PageLRU(p: page): bool {
  return page_flag(p, PG_lru);
}

@inline export function PageHead(p: page): bool {
  return page_flag(p, PG_head);
}

@inline export function PageTail(p: page): bool {
  return (p.compound_head & 1) != 0;
}

@inline export function PageCompound(p: page): bool {
  return PageHead(p) || PageTail(p);
}

@inline export function compound_head(p: page): page {
  const head = p.compound_head;
  return head & 1 ? changetype<page>(pa(head - 1)) : p;
}

@inline export function virt_to_head_page(addr: usize): page {
  return compound_head(phys_to_page(addr));
}

/** 0 for a page that heads nothing. */
@inline export function compound_order(p: page): u32 {
  return PageHead(p) ? <u32>nth_page(p, 1).compound_order : 0;
}

// A page type is a cleared bit of _mapcount, which is -1 for a page that is not mapped.
@inline function page_has_type(p: page, type: u32): bool {
  return (p.page_type & (PAGE_TYPE_BASE | type)) == PAGE_TYPE_BASE;
}

@inline export function PageBuddy(p: page): bool {
  return page_has_type(p, PG_buddy);
}

@inline export function __SetPageBuddy(p: page): void {
  p.page_type &= ~PG_buddy;
}

@inline export function __ClearPageBuddy(p: page): void {
  p.page_type |= PG_buddy;
}

@inline export function __SetPageOffline(p: page): void {
  p.page_type &= ~PG_offline;
}

@inline export function __ClearPageOffline(p: page): void {
  p.page_type |= PG_offline;
}

@inline export function __SetPageTable(p: page): void {
  p.page_type &= ~PG_table;
}

@inline export function __ClearPageTable(p: page): void {
  p.page_type |= PG_table;
}

@inline export function buddy_order(p: page): u32 {
  return <u32>p.private_;
}

@inline export function page_count(p: page): i32 {
  return compound_head(p)._refcount.counter;
}

@inline export function set_page_count(p: page, count: i32): void {
  p._refcount.counter = count;
}

/** Drops a reference; whether it was the last one. */
@inline export function put_page_testzero(p: page): bool {
  return atomic_dec_and_test(p._refcount);
}

@inline export function page_mapcount_reset(p: page): void {
  p._mapcount.counter = -1;
}

/** Order of the smallest block that holds `size` bytes. */
export function get_order(size: usize): u32 {
  return size <= PAGE_SIZE ? 0 : 32 - clz<u32>((<u32>size - 1) >> PAGE_SHIFT);
}
