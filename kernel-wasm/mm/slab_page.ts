/**
 * Slabs (mm/slub.c): blocks of pages cut into a cache's objects, their state in struct page, and the node's
 * list of those that are nobody's. `freelist` and `counters` (objects in use, all objects, frozen) change
 * together, as Linux's cmpxchg_double() changes them; wasm has none of that width, so this is Linux's other
 * way, under the page's bit lock. The list and nr_partial are guarded by list_lock.
 */
import {
  CONFIG_SLAB_FREELIST_RANDOM,
  CONFIG_SMP,
  NR_SLAB_RECLAIMABLE_B,
  NR_SLAB_UNRECLAIMABLE_B,
  OO_MASK,
  OO_SHIFT,
  PAGE_SIZE,
  PG_locked,
  PG_slab,
  SLAB_RECLAIM_ACCOUNT,
  __GFP_DIRECT_RECLAIM,
  __GFP_NOFAIL,
  __GFP_NOWARN,
  __GFP_ZERO,
} from "../include/generated/constants";
import { kmem_cache, kmem_cache_node, page } from "../include/generated/structs";
import { preempt_disable, preempt_enable } from "../kernel/locking/preempt";
import { cpu_relax } from "../kernel/locking/spinlock";
import { atomic_long_add, clear_bit, test_and_set_bit } from "../lib/atomic";
import { list_add, list_add_tail, list_del } from "../lib/list";
import { __free_pages, alloc_pages } from "./page_alloc";
import { clear_page_flag, compound_order, page_mapcount_reset, page_to_phys, set_page_flag } from "./page";
import { random_offset, random_start } from "./slab_random";
import { set_freepointer } from "./slub";
import { mod_node_page_state } from "./vmstat";

/** In page.counters: inuse is the low half, frozen the word's top bit, objects what lies between. */
export const SLAB_FROZEN: u64 = 1 << 31;
const INUSE_MASK: u64 = 0xffff;

@inline export function counters_inuse(counters: u64): u32 {
  return <u32>(counters & INUSE_MASK);
}

/** The same with all objects in use. */
@inline export function counters_full(counters: u64): u64 {
  return (counters & ~INUSE_MASK) | ((counters >> 16) & 0x7fff);
}

@inline export function oo_order(x: u32): u32 {
  return x >> OO_SHIFT;
}

@inline export function oo_objects(x: u32): u32 {
  return x & OO_MASK;
}

@inline export function get_node(s: kmem_cache): kmem_cache_node {
  return s.node[0];
}

function slab_lock(p: page): void {
  preempt_disable();
  while (test_and_set_bit(PG_locked, page.addr_of_flags(p))) cpu_relax();
}

function slab_unlock(p: page): void {
  clear_bit(PG_locked, page.addr_of_flags(p));
  preempt_enable();
}

/** Both words at once, if they are still the old ones. With interrupts off. */
export function __cmpxchg_double_slab(
  p: page,
  freelist_old: u64,
  counters_old: u64,
  freelist: u64,
  counters: u64,
): bool {
  if (CONFIG_SMP) slab_lock(p);
  const same = !CONFIG_SMP || (p.freelist_va == freelist_old && p.counters == counters_old);
  if (same) {
    p.freelist_va = freelist;
    p.counters = counters;
  }
  if (CONFIG_SMP) slab_unlock(p);
  return same;
}

function account_slab_page(p: page, s: kmem_cache, sign: i64): void {
  const item = s.flags & SLAB_RECLAIM_ACCOUNT ? NR_SLAB_RECLAIMABLE_B : NR_SLAB_UNRECLAIMABLE_B;
  mod_node_page_state(item, sign * <i64>(PAGE_SIZE << compound_order(p)));
}

function setup_object(s: kmem_cache, object: usize, next: usize): void {
  set_freepointer(s, object, next);
  if (s.ctor) call_indirect<void>(text_index(s.ctor), object);
}

/** Chains a slab's objects, in the cache's random order when the slab has its usual size; the first one. */
function chain_objects(s: kmem_cache, at: usize, oo: u32): usize {
  const count = oo_objects(oo);
  const shuffled = CONFIG_SLAB_FREELIST_RANDOM && s.random_seq_va != 0 && oo == s.oo.x;
  const start = shuffled ? random_start(s) : 0;
  const first = at + (shuffled ? random_offset(s, start, 0) : 0);
  let object = first;
  for (let n: u32 = 1; n < count; n++) {
    const next = at + (shuffled ? random_offset(s, start, n) : n * s.size);
    setup_object(s, object, next);
    object = next;
  }
  setup_object(s, object, 0);
  return first;
}

/** The node's counts; the very first slab of all holds the node structs themselves. */
function count_slab(s: kmem_cache, sign: i64, objects: i64): void {
  const n = get_node(s);
  if (isnull(n)) return;
  atomic_long_add(sign, n.nr_slabs);
  atomic_long_add(sign * objects, n.total_objects);
}

/** A new slab, all its objects on page.freelist, frozen and counted; null when there is no memory. */
export function new_slab(s: kmem_cache, gfp: u32): page {
  const flags = (gfp & ~(__GFP_ZERO | __GFP_NOFAIL)) | s.allocflags;
  let oo = s.oo.x;
  const may_shrink = oo_order(oo) > oo_order(s.min.x);
  let p = alloc_pages(may_shrink ? (flags | __GFP_NOWARN) & ~__GFP_DIRECT_RECLAIM : flags, oo_order(oo));
  if (isnull(p) && may_shrink) {
    oo = s.min.x;
    p = alloc_pages(flags, oo_order(oo));
  }
  if (isnull(p)) return p;
  p.counters = 0;
  p.objects = oo_objects(oo);
  p.inuse = oo_objects(oo);
  p.frozen = 1;
  p.slab_cache = s;
  p.freelist = chain_objects(s, page_to_phys(p), oo);
  set_page_flag(p, PG_slab);
  account_slab_page(p, s, 1);
  count_slab(s, 1, oo_objects(oo));
  return p;
}

export function discard_slab(s: kmem_cache, p: page): void {
  count_slab(s, -1, p.objects);
  account_slab_page(p, s, -1);
  clear_page_flag(p, PG_slab);
  p.slab_cache_va = 0;
  page_mapcount_reset(p);
  __free_pages(p, compound_order(p));
}

/** With list_lock. */
export function add_partial(n: kmem_cache_node, p: page, tail: bool): void {
  n.nr_partial += 1;
  if (tail) list_add_tail(p.slab_list, n.partial);
  else list_add(p.slab_list, n.partial);
}

/** With list_lock. */
export function remove_partial(n: kmem_cache_node, p: page): void {
  list_del(p.slab_list);
  n.nr_partial -= 1;
}
