/**
 * The page allocator (mm/page_alloc.c): alloc_pages and __free_pages over the zones of the one node, compound
 * pages, reference counts, and what boot memory becomes. Addresses returned are physical; 0 or null says that
 * there is none.
 */
import {
  CONFIG_CRASH_DUMP,
  GFP_MOVABLE_SHIFT,
  MAX_ORDER,
  PAGE_FLAGS_CHECK_AT_FREE,
  PAGE_FLAGS_CHECK_AT_PREP,
  PAGE_SHIFT,
  PAGE_SIZE,
  PG_head,
  PG_lru,
  TAINT_BAD_PAGE,
  PG_hwpoison,
  PG_reserved,
  PAGE_ALLOC_COSTLY_ORDER,
  __GFP_DIRECT_RECLAIM,
  __GFP_KSWAPD_RECLAIM,
  __GFP_NORETRY,
  __GFP_RETRY_MAYFAIL,
  COMPOUND_PAGE_DTOR,
  NR_FREE_PAGES,
  ALLOCSTALL_DMA,
  MAX_RECLAIM_RETRIES,
  PF_MEMALLOC,
  PGALLOC_DMA,
  PGFREE,
  WMARK_HIGH,
  WMARK_LOW,
  WMARK_MIN,
  ZONELIST_FALLBACK,
  ZONE_DMA,
  ZONE_DMA32,
  ZONE_NORMAL,
  __GFP_ATOMIC,
  __GFP_COMP,
  __GFP_DMA,
  __GFP_DMA32,
  __GFP_HIGH,
  __GFP_MEMALLOC,
  __GFP_MOVABLE,
  __GFP_NOWARN,
  __GFP_RECLAIMABLE,
  __GFP_ZERO,
} from "../include/generated/constants";
import { page, zone } from "../include/generated/structs";
import { sym, this_cpu } from "../include/generated/symbols";
import { atomic_inc, atomic_long_add } from "../lib/atomic";
import { dump_stack } from "../lib/dump_stack";
import { in_interrupt } from "../kernel/irqflags";
import { mutex_trylock, mutex_unlock } from "../kernel/locking/mutex";
import { cpu_relax, spin_lock_irqsave, spin_unlock_irqrestore } from "../kernel/locking/spinlock";
import { add_taint } from "../kernel/panic";
import { pr_alert, pr_info, pr_warn } from "../kernel/printk/printk";

import { __free_one_page, __rmqueue, zone_has_block } from "./buddy";
import { free_range_end, next_free_range } from "./memblock";
import {
  NODE_DATA,
  PageCompound,
  PageHead,
  clear_page_flag,
  compound_head,
  compound_order,
  get_order,
  nth_page,
  page_flag,
  page_mapcount_reset,
  page_to_pfn,
  page_to_phys,
  page_zone,
  pfn_to_page,
  phys_to_page,
  put_page_testzero,
  set_page_count,
  set_page_flag,
} from "./page";
import { init_page_range } from "./page_init";
import { get_pageblock_migratetype } from "./pageblock";
import { wake_all_kswapds } from "./kswapd";
import { lru_cache_del } from "./swap";
import { count_vm_event, count_vm_events } from "./vm_event";
import { try_to_free_pages, zone_reclaimable_pages } from "./vmscan";
import { totalram_pages_add } from "./vmstat";

export { get_order } from "./page";

const ALLOC_NO_WATERMARKS: u32 = 4;
const ALLOC_HARDER: u32 = 0x10;
const ALLOC_HIGH: u32 = 0x20;
const ALLOC_WMARK_MASK: u32 = 3;
/** page.mapping of a compound page's tail. */
const TAIL_MAPPING: u64 = 0xdead000000000400;

@inline function gfp_migratetype(gfp: u32): i32 {
  return <i32>((gfp & (__GFP_MOVABLE | __GFP_RECLAIMABLE)) >> GFP_MOVABLE_SHIFT);
}

@inline function gfp_zone(gfp: u32): i32 {
  return gfp & __GFP_DMA ? ZONE_DMA : gfp & __GFP_DMA32 ? ZONE_DMA32 : ZONE_NORMAL;
}

/** Whether a zone would keep its reserve after an allocation of this size. */
export function zone_watermark_ok(
  z: zone,
  order: u32,
  mark: u64,
  highest_zoneidx: i32,
  alloc_flags: u32,
  type: i32,
): bool {
  const free = z.vm_stat[NR_FREE_PAGES].counter - (<i64>1 << order) + 1;
  let least = <i64>mark;
  if (alloc_flags & ALLOC_HIGH) least -= least / 2;
  if (alloc_flags & ALLOC_HARDER) least -= least / 4;
  if (free <= least + z.lowmem_reserve[highest_zoneidx]) return false;
  return order == 0 || zone_has_block(z, order, type);
}

/** A block off a zone's lists, or null. */
function rmqueue(z: zone, order: u32, type: i32): page {
  const flags = spin_lock_irqsave(z.lock);
  const p = __rmqueue(z, order, type);
  spin_unlock_irqrestore(z.lock, flags);
  return p;
}

/** A block back to its zone's lists; `to_tail`: to be used last. */
function free_one_page(z: zone, p: page, pfn: usize, order: u32, to_tail: bool): void {
  const flags = spin_lock_irqsave(z.lock);
  __free_one_page(p, pfn, z, order, get_pageblock_migratetype(p), to_tail);
  spin_unlock_irqrestore(z.lock, flags);
}

function get_page_from_freelist(gfp: u32, order: u32, alloc_flags: u32): page {
  const highest = gfp_zone(gfp);
  const type = gfp_migratetype(gfp);
  const zonelist = NODE_DATA(0).node_zonelists[ZONELIST_FALLBACK];
  for (let i: usize = 0; !isnull(zonelist._zonerefs[i].zone); i++) {
    const ref = zonelist._zonerefs[i];
    const z = ref.zone;
    if (ref.zone_idx > highest) continue;
    const mark = z._watermark[alloc_flags & ALLOC_WMARK_MASK] + z.watermark_boost;
    const enough = zone_watermark_ok(z, order, mark, highest, alloc_flags, type);
    if (!enough && !(alloc_flags & ALLOC_NO_WATERMARKS)) continue;
    const p = rmqueue(z, order, type);
    if (isnull(p)) continue;
    if (!CONFIG_CRASH_DUMP) count_vm_events(PGALLOC_DMA + ref.zone_idx, (1 as u64) << (order as u64));
    return p;
  }
  return changetype<page>(0);
}

/** The message and call trace of an allocation that failed. */
export function warn_alloc(gfp: u32, order: u32): void {
  const comm = this_cpu.current_task.comm;
  pr_warn(c`%s: page allocation failure: order:%u, mode:0x%x, nodemask=(null)\n`, comm, order, gfp);
  dump_stack();
}

/** From here on what the running task allocates may take the last pages: it is about to free more. */
export function memalloc_noreclaim_save(): u32 {
  const t = this_cpu.current_task;
  const before = t.flags & PF_MEMALLOC;
  t.flags |= PF_MEMALLOC;
  return before;
}

export function memalloc_noreclaim_restore(before: u32): void {
  const t = this_cpu.current_task;
  t.flags = (t.flags & ~PF_MEMALLOC) | before;
}

/** What an allocation that found too little may take of a zone's reserve. */
function gfp_to_alloc_flags(gfp: u32): u32 {
  let flags: u32 = WMARK_MIN;
  if (gfp & __GFP_HIGH) flags |= ALLOC_HIGH;
  if (gfp & __GFP_ATOMIC) flags |= ALLOC_HARDER;
  if (gfp & __GFP_MEMALLOC) flags |= ALLOC_NO_WATERMARKS;
  if (!CONFIG_CRASH_DUMP && this_cpu.current_task.flags & PF_MEMALLOC && !in_interrupt()) {
    flags |= ALLOC_NO_WATERMARKS;
  }
  return flags;
}

/** Whether reclaim could bring a zone above its reserve, if it got all that there is to be had. */
function should_reclaim_retry(gfp: u32, order: u32): bool {
  const highest = gfp_zone(gfp);
  const zonelist = NODE_DATA(0).node_zonelists[ZONELIST_FALLBACK];
  for (let i: usize = 0; !isnull(zonelist._zonerefs[i].zone); i++) {
    const ref = zonelist._zonerefs[i];
    if (ref.zone_idx > highest) continue;
    const z = ref.zone;
    const available = <i64>zone_reclaimable_pages(z) + z.vm_stat[NR_FREE_PAGES].counter;
    const least = <i64>z._watermark[WMARK_MIN] + z.lowmem_reserve[highest];
    if (available - (<i64>1 << order) + 1 > least) return true;
  }
  return false;
}

/**
 * Frees memory until there is a block, the caller's own work first, then the killer's. The first time around
 * used pages only become unused ones; a block of several pages may come of single ones, though not for ever.
 * Who frees memory does not wait for memory.
 */
function __alloc_pages_reclaim(gfp: u32, order: u32): page {
  const none = changetype<page>(0);
  if (!(gfp & __GFP_DIRECT_RECLAIM) || this_cpu.current_task.flags & PF_MEMALLOC) return none;
  for (let tries = 0; tries < MAX_RECLAIM_RETRIES; ) {
    count_vm_event(ALLOCSTALL_DMA + gfp_zone(gfp));
    const progress = try_to_free_pages(gfp, order, gfp_zone(gfp));
    const p = get_page_from_freelist(gfp, order, gfp_to_alloc_flags(gfp));
    if (!isnull(p)) return p;
    const again = !(gfp & __GFP_NORETRY) && order <= PAGE_ALLOC_COSTLY_ORDER;
    if (!again || !should_reclaim_retry(gfp, order)) break;
    tries = progress && !order ? 0 : tries + 1;
  }
  return __alloc_pages_may_oom(gfp, order);
}

/**
 * Has the out-of-memory killer (mm/oom_kill.ts) make memory free, as long as it can; one CPU at a time, the
 * others wait for what it gets. Who allocates on the killer's own behalf gets nothing.
 */
function __alloc_pages_may_oom(gfp: u32, order: u32): page {
  let p = changetype<page>(0);
  if (!(gfp & __GFP_DIRECT_RECLAIM) || gfp & (__GFP_NORETRY | __GFP_RETRY_MAYFAIL)) return p;
  if (order > PAGE_ALLOC_COSTLY_ORDER || sym.oom_handler == 0) return p;
  for (let more = true; isnull(p) && more; ) {
    if (<u64>sym.oom_lock.owner.counter == this_cpu.current_task_va) return p;
    if (mutex_trylock(sym.oom_lock)) {
      // Another CPU may have freed enough meanwhile.
      p = get_page_from_freelist(gfp, order, WMARK_HIGH);
      if (isnull(p)) more = call_indirect<i32>(text_index(sym.oom_handler), gfp, order) != 0;
      mutex_unlock(sym.oom_lock);
    } else cpu_relax();
    if (isnull(p) && more) p = get_page_from_freelist(gfp, order, WMARK_MIN);
  }
  return p;
}

/** 2^order pages, or null; with __GFP_ZERO cleared, with __GFP_COMP as one compound page. */
export function __alloc_pages(gfp: u32, order: u32): page {
  if (order >= MAX_ORDER) return changetype<page>(0);
  let p = get_page_from_freelist(gfp, order, WMARK_LOW);
  if (isnull(p)) {
    if (!CONFIG_CRASH_DUMP && gfp & __GFP_KSWAPD_RECLAIM) wake_all_kswapds(order, gfp_zone(gfp));
    p = get_page_from_freelist(gfp, order, gfp_to_alloc_flags(gfp));
  }
  if (!CONFIG_CRASH_DUMP && isnull(p)) p = __alloc_pages_reclaim(gfp, order);
  if (isnull(p)) {
    if (!(gfp & __GFP_NOWARN)) warn_alloc(gfp, order);
    return p;
  }
  prep_new_page(p, order, gfp);
  return p;
}

function prep_new_page(p: page, order: u32, gfp: u32): void {
  p.private_ = 0;
  set_page_count(p, 1);
  if (gfp & __GFP_ZERO) memory.fill(page_to_phys(p), 0, PAGE_SIZE << order);
  if (order && gfp & __GFP_COMP) prep_compound_page(p, order);
}

export function prep_compound_page(p: page, order: u32): void {
  set_page_flag(p, PG_head);
  for (let i: usize = 1; i < <usize>1 << order; i++) {
    const tail = nth_page(p, i);
    tail.mapping_va = TAIL_MAPPING;
    tail.compound_head = va(changetype<usize>(p)) | 1;
  }
  const first = nth_page(p, 1);
  first.compound_dtor = COMPOUND_PAGE_DTOR;
  first.compound_order = <u8>order;
  first.compound_mapcount.counter = -1;
  first.compound_nr = 1 << order;
}

export function alloc_pages(gfp: u32, order: u32): page {
  return __alloc_pages(gfp, order);
}

export function alloc_page(gfp: u32): page {
  return __alloc_pages(gfp, 0);
}

export function __get_free_pages(gfp: u32, order: u32): usize {
  const p = __alloc_pages(gfp, order);
  return isnull(p) ? 0 : page_to_phys(p);
}

@inline export function __get_free_page(gfp: u32): usize {
  return __get_free_pages(gfp, 0);
}

@inline export function get_zeroed_page(gfp: u32): usize {
  return __get_free_pages(gfp | __GFP_ZERO, 0);
}

/** A page whose state says that it is in use or damaged: it is reported and never given out again. */
export function bad_page(p: page, reason: usize): void {
  pr_alert(c`BUG: Bad page state in process %s  pfn:%05lx\n`, this_cpu.current_task.comm, page_to_pfn(p));
  pr_warn(
    c`page:%px refcount:%d mapcount:%d mapping:%px index:0x%lx pfn:0x%lx\n`,
    va(changetype<usize>(p)),
    p._refcount.counter,
    p._mapcount.counter + 1,
    p.mapping_va,
    p.index,
    page_to_pfn(p),
  );
  pr_warn(c`flags: 0x%lx\npage dumped because: %s\n`, p.flags, reason);
  dump_stack();
  page_mapcount_reset(p);
  add_taint(TAINT_BAD_PAGE);
}

function bad_reason(p: page): usize {
  if (p._mapcount.counter != -1) return c`nonzero mapcount`;
  if (p.mapping_va) return c`non-NULL mapping`;
  if (p._refcount.counter) return c`nonzero _refcount`;
  return p.flags & PAGE_FLAGS_CHECK_AT_FREE ? c`PAGE_FLAGS_CHECK_AT_FREE flag(s) set` : 0;
}

/** Makes the pages anonymous again; false when one of them may not go back. */
function free_pages_prepare(p: page, order: u32): bool {
  if (p.flags & (<u64>1 << PG_hwpoison)) return false;
  if (order && PageHead(p)) {
    nth_page(p, 1).compound_mapcount.counter = 0;
    nth_page(p, 1).compound_nr = 0;
    for (let i: usize = 1; i < <usize>1 << order; i++) {
      const tail = nth_page(p, i);
      tail.compound_head = 0;
      tail.mapping_va = 0;
    }
  }
  if (p.mapping_va & 3) p.mapping_va = 0;
  let good = true;
  for (let i: usize = 0; i < <usize>1 << order; i++) {
    const q = nth_page(p, i);
    const reason = bad_reason(q);
    if (reason) {
      bad_page(q, reason);
      good = false;
    }
    q.flags &= ~<u64>PAGE_FLAGS_CHECK_AT_PREP;
  }
  return good;
}

function free_the_page(p: page, order: u32): void {
  if (!free_pages_prepare(p, order)) return;
  if (!CONFIG_CRASH_DUMP) count_vm_events(PGFREE, (1 as u64) << (order as u64));
  free_one_page(page_zone(p), p, page_to_pfn(p), order, false);
}

/** Drops a reference; the last one frees 2^order pages. */
export function __free_pages(p: page, order: u32): void {
  if (put_page_testzero(p)) free_the_page(p, order);
}

export function free_pages(addr: usize, order: u32): void {
  if (addr) __free_pages(phys_to_page(addr), order);
}

@inline export function free_page(addr: usize): void {
  free_pages(addr, 0);
}

@inline export function get_page(p: page): void {
  atomic_inc(compound_head(p)._refcount);
}

/** Drops a reference to a page or to the compound page that it is part of. */
export function put_page(p: page): void {
  const head = compound_head(p);
  if (!put_page_testzero(head)) return;
  if (page_flag(head, PG_lru)) lru_cache_del(head);
  free_the_page(head, compound_order(head));
}

/** Makes 2^order single pages, to be freed one by one, of a block that is no compound page. */
export function split_page(p: page, order: u32): void {
  if (PageCompound(p)) return;
  for (let i: usize = 1; i < <usize>1 << order; i++) set_page_count(nth_page(p, i), 1);
}

/** `size` bytes of whole pages: what a power of two takes too much is given back. */
export function alloc_pages_exact(size: usize, gfp: u32): usize {
  const order = get_order(size);
  const p = __alloc_pages(gfp & ~__GFP_COMP, order);
  if (isnull(p)) return 0;
  split_page(p, order);
  const used = (size + PAGE_SIZE - 1) >> PAGE_SHIFT;
  for (let i = used; i < <usize>1 << order; i++) __free_pages(nth_page(p, i), 0);
  return page_to_phys(p);
}

export function free_pages_exact(addr: usize, size: usize): void {
  for (let at: usize = 0; at < size; at += PAGE_SIZE) free_page(addr + at);
}

export function adjust_managed_page_count(p: page, count: i64): void {
  atomic_long_add(count, page_zone(p).managed_pages);
  totalram_pages_add(count);
}

/** A reserved page of boot memory enters the page allocator. */
function __free_pages_core(p: page): void {
  clear_page_flag(p, PG_reserved);
  set_page_count(p, 0);
  adjust_managed_page_count(p, 1);
  free_the_page(p, 0);
}

/** Boot memory that nobody reserved goes to the lists' ends, in blocks as large as fit; returns the pages. */
function __free_memory_core(start: u64, end: u64): u64 {
  let pfn = <usize>((start + PAGE_SIZE - 1) >> PAGE_SHIFT);
  const last = <usize>(end >> PAGE_SHIFT);
  if (pfn >= last) return 0;
  const count = <u64>(last - pfn);
  init_page_range(pfn, last, 0, 0);
  while (pfn < last) {
    let order: u32 = pfn ? min<u32>(MAX_ORDER - 1, ctz<u32>(<u32>pfn)) : MAX_ORDER - 1;
    while (pfn + (<usize>1 << order) > last) order--;
    const p = pfn_to_page(pfn);
    adjust_managed_page_count(p, <i64>1 << order);
    free_one_page(page_zone(p), p, pfn, order, true);
    if (!CONFIG_CRASH_DUMP) count_vm_events(PGFREE, (1 as u64) << (order as u64));
    pfn += <usize>1 << order;
  }
  return count;
}

/** Hands all free memory to the page allocator; returns the number of pages. All the rest stays reserved. */
export function memblock_free_all(): u64 {
  let pages: u64 = 0;
  const node = NODE_DATA(0);
  for (let i: usize = 0; i <= ZONE_NORMAL; i++) node.node_zones[i].managed_pages.counter = 0;
  for (let at = next_free_range(0); at != u64.MAX_VALUE; ) {
    const end = free_range_end(at);
    pages += __free_memory_core(at, end);
    at = next_free_range(end);
  }
  return pages;
}

/** One page that boot had reserved becomes free. */
export function free_reserved_page(p: page): void {
  __free_pages_core(p);
}

/**
 * Gives a reserved range back, in whole pages; returns their number. `what` is for the message, 0 for none.
 */
export function free_reserved_area(start: usize, end: usize, what: usize): u64 {
  let pages: u64 = 0;
  const stop = end & ~(PAGE_SIZE - 1);
  for (let at = (start + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1); at < stop; at += PAGE_SIZE) {
    __free_pages_core(phys_to_page(at));
    pages++;
  }
  if (pages && what) pr_info(c`Freeing %s memory: %ldK\n`, what, pages << (PAGE_SHIFT - 10));
  return pages;
}
