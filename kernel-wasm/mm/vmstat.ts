/**
 * Counters of pages by zone and node, kept exact at every change (mm/vmstat.c without its per-CPU
 * differentials: each change is atomic).
 */
import {
  NR_FREE_PAGES,
  NR_SLAB_RECLAIMABLE_B,
  NR_SLAB_UNRECLAIMABLE_B,
  PAGE_SHIFT,
} from "../include/generated/constants";
import { page, zone } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { atomic_long_add } from "../lib/atomic";
import { NODE_DATA, page_zone } from "./page";

export function mod_zone_page_state(z: zone, item: i32, delta: i64): void {
  atomic_long_add(delta, z.vm_stat[item]);
  atomic_long_add(delta, sym.vm_zone_stat[item]);
}

/** Slab items are counted in bytes by the callers and in pages here. */
export function mod_node_page_state(item: i32, delta: i64): void {
  const in_bytes = item == NR_SLAB_RECLAIMABLE_B || item == NR_SLAB_UNRECLAIMABLE_B;
  const pages = in_bytes ? delta >> PAGE_SHIFT : delta;
  atomic_long_add(pages, NODE_DATA(0).vm_stat[item]);
  atomic_long_add(pages, sym.vm_node_stat[item]);
}

@inline export function mod_lruvec_page_state(p: page, zone_item: i32, node_item: i32, delta: i64): void {
  mod_zone_page_state(page_zone(p), zone_item, delta);
  mod_node_page_state(node_item, delta);
}

@inline export function global_zone_page_state(item: i32): u64 {
  return <u64>max<i64>(sym.vm_zone_stat[item].counter, 0);
}

@inline export function global_node_page_state_pages(item: i32): u64 {
  return <u64>max<i64>(sym.vm_node_stat[item].counter, 0);
}

@inline export function nr_free_pages(): u64 {
  return global_zone_page_state(NR_FREE_PAGES);
}

@inline export function totalram_pages(): u64 {
  return <u64>sym._totalram_pages.counter;
}

@inline export function totalram_pages_add(count: i64): void {
  atomic_long_add(count, sym._totalram_pages);
}
