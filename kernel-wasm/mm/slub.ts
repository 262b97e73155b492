/**
 * SLUB (mm/slub.c): caches of equal objects in slabs of 2^order pages. Free objects of a slab are chained
 * through the words at kmem_cache.offset, by virtual address, as debuggers read them. Each CPU allocates from
 * its own slab (kmem_cache_cpu.page, frozen) without touching the node's lists.
 *
 *     c->freelist      objects that only this CPU takes
 *     page->freelist   objects freed into a slab by others
 *     c->partial       frozen slabs waiting for this CPU
 *     node->partial    slabs with free objects, nobody's
 *
 * A full slab is on no list. inuse counts the objects that are not on page->freelist.
 */
import {
  CONFIG_BASE_SMALL,
  CONFIG_BUG_ON_DATA_CORRUPTION,
  CONFIG_SLAB_FREELIST_RANDOM,
  NR_SLAB_RECLAIMABLE_B,
  NR_SLAB_UNRECLAIMABLE_B,
  OO_MASK,
  OO_SHIFT,
  PAGE_SIZE,
  PG_slab,
  SLAB_RECLAIM_ACCOUNT,
  TID_STEP,
  __GFP_DIRECT_RECLAIM,
  __GFP_NOFAIL,
  __GFP_NOWARN,
  __GFP_ZERO,
} from "../include/generated/constants";
import { kmem_cache, kmem_cache_cpu, kmem_cache_node, page } from "../include/generated/structs";
import { BUG, WARN } from "../lib/bug";
import { pr_warn } from "../kernel/printk/printk";
import { list_add, list_add_tail, list_del } from "../lib/list";
import { __free_pages, alloc_pages } from "./page_alloc";
import {
  PageSlab,
  clear_page_flag,
  compound_order,
  page_mapcount_reset,
  page_to_phys,
  set_page_flag,
  virt_to_head_page,
} from "./page";
import { this_cpu_ptr } from "./percpu";
import { random_offset, random_start } from "./slab_random";
import { mod_node_page_state } from "./vmstat";

export { kmem_cache_create, kmem_cache_destroy, kmem_cache_init } from "./slab_common";
export { kcalloc, kfree, kmalloc, kmemdup, ksize, kstrdup, kzalloc } from "./kmalloc";

@inline export function oo_order(x: u32): u32 {
  return x >> OO_SHIFT;
}

@inline export function oo_objects(x: u32): u32 {
  return x & OO_MASK;
}

@inline export function kmem_cache_has_cpu_partial(s: kmem_cache): bool {
  return !CONFIG_BASE_SMALL && s.cpu_partial != 0;
}

@inline export function get_node(s: kmem_cache): kmem_cache_node {
  return s.node[0];
}

@inline function this_cpu_slab(s: kmem_cache): kmem_cache_cpu {
  return changetype<kmem_cache_cpu>(this_cpu_ptr(s.cpu_slab_va));
}

@inline export function get_freepointer(s: kmem_cache, object: usize): usize {
  return pa(load<u64>(object + s.offset));
}

@inline function set_freepointer(s: kmem_cache, object: usize, next: usize): void {
  // The object is its own successor: it was freed twice in a row.
  if (CONFIG_BUG_ON_DATA_CORRUPTION && object == next) BUG(c`mm/slub.ts`, 77);
  store<u64>(object + s.offset, va(next));
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
  const n = get_node(s);
  // The very first slab of all holds the node structs themselves.
  if (!isnull(n)) {
    n.nr_slabs.counter += 1;
    n.total_objects.counter += p.objects;
  }
  return p;
}

export function discard_slab(s: kmem_cache, p: page): void {
  const n = get_node(s);
  n.nr_slabs.counter -= 1;
  n.total_objects.counter -= p.objects;
  account_slab_page(p, s, -1);
  clear_page_flag(p, PG_slab);
  p.slab_cache_va = 0;
  page_mapcount_reset(p);
  __free_pages(p, compound_order(p));
}

export function add_partial(n: kmem_cache_node, p: page, tail: bool): void {
  n.nr_partial += 1;
  if (tail) list_add_tail(p.slab_list, n.partial);
  else list_add(p.slab_list, n.partial);
}

function remove_partial(n: kmem_cache_node, p: page): void {
  list_del(p.slab_list);
  n.nr_partial -= 1;
}

/** A slab that is nobody's: to the partial list, back to the page allocator, or on no list when full. */
function release_slab(s: kmem_cache, p: page, tail: bool): void {
  const n = get_node(s);
  p.frozen = 0;
  if (!p.inuse && n.nr_partial >= s.min_partial) discard_slab(s, p);
  else if (p.freelist_va) add_partial(n, p, tail);
}

/** Takes the CPU's slab away from it; its free objects go back to the slab. */
export function flush_slab(s: kmem_cache, c: kmem_cache_cpu): void {
  const p = c.page;
  if (isnull(p)) return;
  for (let object = c.freelist; object; ) {
    const next = get_freepointer(s, object);
    set_freepointer(s, object, p.freelist);
    p.freelist = object;
    p.inuse -= 1;
    object = next;
  }
  c.freelist_va = 0;
  c.page_va = 0;
  c.tid += TID_STEP;
  release_slab(s, p, false);
}

export function unfreeze_partials(s: kmem_cache, first: page): void {
  let p = first;
  while (!isnull(p)) {
    const next = p.next;
    release_slab(s, p, true);
    p = next;
  }
}

/** Keeps a frozen slab with free objects for this CPU; too many of them go to the node. */
function put_cpu_partial(s: kmem_cache, p: page, drain: bool): void {
  const c = this_cpu_slab(s);
  let old = c.partial;
  let unfreeze = changetype<page>(0);
  if (!isnull(old) && drain && old.pobjects > <i32>s.cpu_partial) {
    unfreeze = old;
    old = changetype<page>(0);
  }
  p.pages = (isnull(old) ? 0 : old.pages) + 1;
  p.pobjects = (isnull(old) ? 0 : old.pobjects) + <i32>(p.objects - p.inuse);
  p.next = old;
  c.partial = p;
  if (!isnull(unfreeze)) unfreeze_partials(s, unfreeze);
}

/**
 * Slabs off the node's partial list: the first becomes the CPU's, more go to its partial list. Its objects,
 * or 0.
 */
function get_partial(s: kmem_cache, c: kmem_cache_cpu): usize {
  const n = get_node(s);
  let object: usize = 0;
  let available: u32 = 0;
  while (n.nr_partial) {
    const p = page.from_slab_list(n.partial.next);
    remove_partial(n, p);
    p.frozen = 1;
    if (!object) {
      object = p.freelist;
      c.page = p;
      p.freelist_va = 0;
      p.inuse = p.objects;
    } else {
      available += p.objects - p.inuse;
      put_cpu_partial(s, p, false);
    }
    if (!kmem_cache_has_cpu_partial(s) || available > s.cpu_partial / 2) break;
  }
  return object;
}

/** What others freed into the CPU's slab; without any the slab is full and no longer the CPU's. */
function get_freelist(p: page): usize {
  const object = p.freelist;
  p.freelist_va = 0;
  p.inuse = p.objects;
  p.frozen = object ? 1 : 0;
  return object;
}

/**
 * The objects of the CPU's next slab: the present one refilled, a frozen one, a partial one, or a new one.
 */
function next_freelist(s: kmem_cache, gfp: u32, c: kmem_cache_cpu): usize {
  const current = c.page;
  if (!isnull(current)) {
    const object = get_freelist(current);
    if (object) return object;
    c.page_va = 0;
  }
  const frozen = c.partial;
  if (!isnull(frozen)) {
    c.page = frozen;
    c.partial = frozen.next;
    return get_freelist(frozen);
  }
  const object = get_partial(s, c);
  if (object) return object;
  const p = new_slab(s, gfp);
  if (isnull(p)) return 0;
  const first = p.freelist;
  p.freelist_va = 0;
  c.page = p;
  return first;
}

function __slab_alloc(s: kmem_cache, gfp: u32, c: kmem_cache_cpu): usize {
  const object = next_freelist(s, gfp, c);
  if (!object) return 0;
  c.freelist = get_freepointer(s, object);
  c.tid += TID_STEP;
  return object;
}

/** An object, or 0; cleared with __GFP_ZERO. */
export function kmem_cache_alloc(s: kmem_cache, gfp: u32): usize {
  const c = this_cpu_slab(s);
  let object = c.freelist;
  if (object && c.page_va) {
    c.freelist_va = load<u64>(object + s.offset);
    c.tid += TID_STEP;
  } else {
    object = __slab_alloc(s, gfp, c);
  }
  if (object && gfp & __GFP_ZERO) memory.fill(object, 0, s.object_size);
  return object;
}

@inline export function kmem_cache_zalloc(s: kmem_cache, gfp: u32): usize {
  return kmem_cache_alloc(s, gfp | __GFP_ZERO);
}

/** An object of a slab that is not this CPU's. */
function __slab_free(s: kmem_cache, p: page, object: usize): void {
  const had_free = p.freelist_va != 0;
  set_freepointer(s, object, p.freelist);
  p.freelist = object;
  p.inuse -= 1;
  if (p.frozen) return;
  const n = get_node(s);
  if (!had_free && kmem_cache_has_cpu_partial(s)) {
    p.frozen = 1;
    put_cpu_partial(s, p, true);
  } else if (!p.inuse && n.nr_partial >= s.min_partial) {
    if (had_free) remove_partial(n, p);
    discard_slab(s, p);
  } else if (!had_free) {
    add_partial(n, p, true);
  }
}

export function slab_free(s: kmem_cache, p: page, object: usize): void {
  const c = this_cpu_slab(s);
  if (changetype<usize>(c.page) != changetype<usize>(p)) {
    __slab_free(s, p, object);
    return;
  }
  set_freepointer(s, object, c.freelist);
  c.freelist = object;
  c.tid += TID_STEP;
}

/** The cache that an object is really of, which the caller did not name; null when it is no object at all. */
export function cache_from_obj(s: kmem_cache, p: page): kmem_cache {
  if (!PageSlab(p)) {
    WARN(true, c`mm/slub.ts`, 327, c`virt_to_cache: Object is not a Slab page!\n`);
    return changetype<kmem_cache>(0);
  }
  pr_warn(c`cache_from_obj: Wrong slab cache. %s but object is from %s\n`, s.name, p.slab_cache.name);
  WARN(true, c`mm/slub.ts`, 331, 0);
  return p.slab_cache;
}

export function kmem_cache_free(s: kmem_cache, object: usize): void {
  if (!object) return;
  const p = virt_to_head_page(object);
  const owner = PageSlab(p) ? changetype<usize>(p.slab_cache) : 0;
  if (CONFIG_BUG_ON_DATA_CORRUPTION && owner != changetype<usize>(s)) {
    s = cache_from_obj(s, p);
    if (isnull(s)) return;
  }
  slab_free(s, p, object);
}
