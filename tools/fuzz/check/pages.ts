/**
 * Struct pages against the page allocator: every free block is on the list of its order and nowhere else, and
 * the counters are the sums.
 */
import {
  constants,
  free_area,
  page as layout,
  list_head,
  lruvec,
  pglist_data,
  zone as zoneLayout,
} from "../../../build/generated/offsets.ts";
import { type CrashedKernel, hex, Inconsistency } from "../../crashed/kernel.ts";
import { type Guard, type Part, spinlock, strict } from "./in-flight.ts";

/** page_type of the first page of a free block. */
const BUDDY = 0xffffff7f;
const MAPCOUNT_NONE = 0xffffffff;
const MIGRATE_TYPES = (free_area.nr_free - free_area.free_list) / list_head.SIZE;
const ZONES = constants.__MAX_NR_ZONES;
const { MAX_ORDER, NR_FREE_PAGES, PG_lru, PG_reserved, PG_slab, NR_INACTIVE_ANON, NR_UNEVICTABLE } =
  constants;

/** Pages of a zone that are on its free lists, marked in `free`. */
function freeOfZone(kernel: CrashedKernel, zone: number, free: Uint8Array): number {
  let pages = 0;
  for (let order = 0; order < MAX_ORDER; order++) {
    const area = zone + zoneLayout.free_area + order * free_area.SIZE;
    let blocks = 0;
    for (let type = 0; type < MIGRATE_TYPES; type++) {
      const head = area + free_area.free_list + type * list_head.SIZE;
      const what = `free list of order ${order}, type ${type}`;
      for (const entry of kernel.list(head, what)) {
        freeBlock(kernel, entry - layout.lru, order, what, free);
        blocks++;
      }
    }
    const counted = kernel.u64(area + free_area.nr_free);
    if (blocks !== counted) {
      throw new Inconsistency(`order ${order} has ${blocks} free blocks, nr_free says ${counted}`);
    }
    pages += blocks << order;
  }
  const counted = kernel.s64(zone + zoneLayout.vm_stat + NR_FREE_PAGES * 8);
  if (counted !== pages) {
    throw new Inconsistency(`${pages} pages on a zone's free lists, its NR_FREE_PAGES says ${counted}`);
  }
  return pages;
}

function freeBlock(kernel: CrashedKernel, at: number, order: number, what: string, free: Uint8Array): void {
  const pfn = kernel.pfnOf(at);
  const name = `${what}: page ${hex(pfn)}`;
  if (!Number.isInteger(pfn) || pfn + (1 << order) > free.length)
    throw new Inconsistency(`${name} is no page`);
  if (pfn % (1 << order) !== 0) throw new Inconsistency(`${name} is not aligned`);
  if (kernel.u32(at + layout.page_type) !== BUDDY) throw new Inconsistency(`${name} is not marked as free`);
  if (kernel.u64(at + layout.private) !== order) {
    throw new Inconsistency(`${name} says order ${kernel.u64(at + layout.private)}`);
  }
  for (let i = pfn; i < pfn + (1 << order); i++) {
    if (free[i] !== 0) throw new Inconsistency(`page ${hex(i)} is free twice`);
    free[i] = 1;
    const state = kernel.pageAt(i);
    const count = kernel.s32(state + layout._refcount);
    if (count !== 0) throw new Inconsistency(`free page ${hex(i)} has ${count} references`);
    const flags = kernel.u32(state + layout.flags);
    if ((flags & ((1 << PG_lru) | (1 << PG_slab) | (1 << PG_reserved))) !== 0) {
      throw new Inconsistency(`free page ${hex(i)} has flags ${hex(flags)}`);
    }
  }
}

/** Who takes pages off the free lists, or puts them there. */
const CHANGES_FREE =
  /^(rmqueue|free_one_page|__free_pages|free_pages|__free_pages_core|take_page_off_buddy)$/;
const CHANGES_LRU = /^(lru_cache_add|lru_cache_del|put_page)$/;

/**
 * Every page: what its struct says agrees with the lists and the counters. `part`: what the operations under
 * way excuse; nothing without it.
 */
export function checkPages(kernel: CrashedKernel, part: Part = strict): void {
  const { end } = kernel.pages;
  const free = new Uint8Array(end);
  const node = kernel.pointer(kernel.symbol("node_data"));
  const zones = Array.from({ length: ZONES }, (_, i) => node + pglist_data.node_zones + i * zoneLayout.SIZE);
  const guard: Guard = {
    what: "free pages",
    locks: zones.map((zone) => spinlock(zone + zoneLayout.lock)),
    functions: CHANGES_FREE,
  };
  part(guard, () => {
    let total = 0;
    for (const zone of zones) {
      if (kernel.u64(zone + zoneLayout.present_pages) !== 0) total += freeOfZone(kernel, zone, free);
    }
    const counted = kernel.s64(kernel.symbol("vm_zone_stat") + NR_FREE_PAGES * 8);
    if (counted !== total) throw new Inconsistency(`${total} free pages, vm_zone_stat says ${counted}`);
    checkUnlisted(kernel, free);
  });
  const lruGuard: Guard = {
    what: "LRU lists",
    locks: [spinlock(node + pglist_data.__lruvec + lruvec.lru_lock)],
    functions: CHANGES_LRU,
  };
  part(lruGuard, () => checkLru(kernel, node, checkUsed(kernel, free)));
}

/** Pages that are on no free list do not say that they were. */
function checkUnlisted(kernel: CrashedKernel, free: Uint8Array): void {
  const { first, end } = kernel.pages;
  for (let pfn = first; pfn < end; pfn++) {
    if (free[pfn] === 1 || kernel.u32(kernel.pageAt(pfn) + layout.page_type) !== BUDDY) continue;
    throw new Inconsistency(`page ${hex(pfn)} is marked as free, but on no list`);
  }
}

/** Pages in use; how many of them have PG_lru. */
function checkUsed(kernel: CrashedKernel, free: Uint8Array): number {
  const { first, end } = kernel.pages;
  let lru = 0;
  for (let pfn = first; pfn < end; pfn++) {
    if (free[pfn] === 1) continue;
    const at = kernel.pageAt(pfn);
    const flags = kernel.u32(at + layout.flags);
    const count = kernel.s32(at + layout._refcount);
    if (count < 0) throw new Inconsistency(`page ${hex(pfn)} has ${count} references`);
    if ((flags & (1 << PG_lru)) !== 0) {
      lru++;
      if (count === 0) throw new Inconsistency(`page ${hex(pfn)} is on an LRU list without a reference`);
    }
    if ((flags & (1 << PG_slab)) !== 0 && (flags & (1 << PG_lru)) !== 0) {
      throw new Inconsistency(`page ${hex(pfn)} is of a slab and on an LRU list`);
    }
    const whole = kernel.u32(at + layout.page_type) === MAPCOUNT_NONE;
    if (whole && (flags & (1 << PG_reserved)) !== 0 && (flags & (1 << PG_slab)) !== 0) {
      throw new Inconsistency(`page ${hex(pfn)} is reserved and of a slab`);
    }
  }
  return lru;
}

/** LRU lists against PG_lru and the node's counters. */
function checkLru(kernel: CrashedKernel, node: number, marked: number): void {
  const counters = kernel.symbol("vm_node_stat");
  let listed = 0;
  for (let item = NR_INACTIVE_ANON; item <= NR_UNEVICTABLE; item++) {
    const head = node + pglist_data.__lruvec + (item - NR_INACTIVE_ANON) * list_head.SIZE;
    let length = 0;
    for (const entry of kernel.list(head, `LRU list ${item}`)) {
      const at = entry - layout.lru;
      if ((kernel.u32(at + layout.flags) & (1 << PG_lru)) === 0) {
        throw new Inconsistency(`page ${hex(kernel.pfnOf(at))} is on an LRU list without PG_lru`);
      }
      length++;
    }
    const counted = kernel.s64(counters + item * 8);
    if (counted !== length) {
      throw new Inconsistency(`LRU list ${item} has ${length} pages, its counter says ${counted}`);
    }
    listed += length;
  }
  if (listed !== marked) throw new Inconsistency(`${marked} pages with PG_lru, ${listed} on the lists`);
}
