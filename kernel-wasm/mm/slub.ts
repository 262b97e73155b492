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
 *
 * A kmem_cache_cpu is touched by its CPU alone, with interrupts off. Lock order: slab_mutex, list_lock, the
 * slab's bit lock (slab_page.ts). Who freezes a slab owns it; the others may only free into it.
 */
import {
  CONFIG_BASE_SMALL,
  CONFIG_BUG_ON_DATA_CORRUPTION,
  CONFIG_CRASH_DUMP,
  TID_STEP,
  __GFP_ZERO,
} from "../include/generated/constants";
import { kmem_cache, kmem_cache_cpu, page } from "../include/generated/structs";
import { BUG, WARN } from "../lib/bug";
import { local_irq_restore, local_irq_save } from "../kernel/irqflags";
import {
  spin_lock, spin_lock_irqsave, spin_unlock, spin_unlock_irqrestore,
} from "../kernel/locking/spinlock";
import { pr_warn } from "../kernel/printk/printk";
import { list_is_head } from "../lib/list";
import { PageSlab, virt_to_head_page } from "./page";
import { this_cpu_ptr } from "./percpu";
import {
  SLAB_FROZEN,
  __cmpxchg_double_slab,
  add_partial,
  counters_full,
  counters_inuse,
  discard_slab,
  get_node,
  new_slab,
  remove_partial,
} from "./slab_page";

export { kmem_cache_create, kmem_cache_destroy, kmem_cache_init } from "./slab_common";
export { kcalloc, kfree, kmalloc, kmemdup, ksize, kstrdup, kzalloc } from "./kmalloc";
export { get_node, oo_objects, oo_order } from "./slab_page";

@inline export function kmem_cache_has_cpu_partial(s: kmem_cache): bool {
  return !CONFIG_BASE_SMALL && s.cpu_partial != 0;
}

@inline function this_cpu_slab(s: kmem_cache): kmem_cache_cpu {
  return changetype<kmem_cache_cpu>(this_cpu_ptr(s.cpu_slab_va));
}

@inline export function get_freepointer(s: kmem_cache, object: usize): usize {
  return pa(load<u64>(object + s.offset));
}

@inline export function set_freepointer(s: kmem_cache, object: usize, next: usize): void {
  // The object is its own successor: it was freed twice in a row.
  if (CONFIG_BUG_ON_DATA_CORRUPTION && object == next) BUG(c`mm/slub.ts`, 63);
  store<u64>(object + s.offset, va(next));
}

/** Whether a slab without objects in use goes back to the page allocator: the node has enough of them. */
@inline function enough_partial(s: kmem_cache): bool {
  return get_node(s).nr_partial >= s.min_partial;
}

/**
 * A CPU gives a slab up, with the objects that only it could take: they go back to the slab, which goes to
 * the partial list, to the page allocator, or on no list when it is full. With interrupts off.
 */
function deactivate_slab(s: kmem_cache, p: page, freelist: usize): void {
  const n = get_node(s);
  const tail = p.freelist_va != 0;
  let last: usize = 0;
  let count: u64 = 0;
  for (let object = freelist; object; object = get_freepointer(s, object)) {
    last = object;
    count++;
  }
  let discard = false;
  for (let done = false; !done; ) {
    const prior = p.freelist_va;
    const old = p.counters;
    const counters = (old - count) & ~SLAB_FROZEN;
    if (last) set_freepointer(s, last, pa(prior));
    const objects = last ? va(freelist) : prior;
    discard = !counters_inuse(counters) && enough_partial(s);
    const listed = !discard && objects != 0;
    if (listed) spin_lock(n.list_lock);
    done = __cmpxchg_double_slab(p, prior, old, objects, counters);
    if (listed) {
      if (done) add_partial(n, p, tail);
      spin_unlock(n.list_lock);
    }
  }
  if (discard) discard_slab(s, p);
}

/** Takes the CPU's slab away from it. With interrupts off, by the CPU itself or when the cache ends. */
export function flush_slab(s: kmem_cache, c: kmem_cache_cpu): void {
  const p = c.page;
  if (isnull(p)) return;
  const freelist = c.freelist;
  c.freelist_va = 0;
  c.page_va = 0;
  c.tid += TID_STEP;
  deactivate_slab(s, p, freelist);
}

/** Slabs of a CPU's partial list become nobody's. */
export function __unfreeze_partials(s: kmem_cache, first: page): void {
  const n = get_node(s);
  let empty = changetype<page>(0);
  const flags = spin_lock_irqsave(n.list_lock);
  for (let p = first; !isnull(p); ) {
    const next = p.next;
    let counters: u64 = 0;
    let freelist: u64 = 0;
    let old: u64 = 0;
    do {
      freelist = p.freelist_va;
      old = p.counters;
      counters = old & ~SLAB_FROZEN;
    } while (!__cmpxchg_double_slab(p, freelist, old, freelist, counters));
    if (!counters_inuse(counters) && enough_partial(s)) {
      p.next = empty;
      empty = p;
    } else add_partial(n, p, true);
    p = next;
  }
  spin_unlock_irqrestore(n.list_lock, flags);
  while (!isnull(empty)) {
    const p = empty;
    empty = p.next;
    discard_slab(s, p);
  }
}

/** Keeps a slab that the caller froze, with free objects, for this CPU; too many of them go to the node. */
function put_cpu_partial(s: kmem_cache, p: page, drain: bool): void {
  const flags = local_irq_save();
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
  local_irq_restore(flags);
  if (!isnull(unfreeze)) __unfreeze_partials(s, unfreeze);
}

/**
 * Freezes a slab of the node's partial list and takes it off; `mode`: with its objects, whose first comes
 * back. With list_lock; 0 when it could not be had.
 */
function acquire_slab(s: kmem_cache, p: page, mode: bool): u64 {
  const freelist = p.freelist_va;
  const counters = p.counters;
  const frozen = (mode ? counters_full(counters) : counters) | SLAB_FROZEN;
  if (!__cmpxchg_double_slab(p, freelist, counters, mode ? 0 : freelist, frozen)) return 0;
  remove_partial(get_node(s), p);
  return freelist;
}

/**
 * Slabs off the node's partial list: the first becomes the CPU's, more go to its partial list. Its objects,
 * or 0. With interrupts off.
 */
function get_partial(s: kmem_cache, c: kmem_cache_cpu): usize {
  const n = get_node(s);
  // A look without the lock: who misses a slab that just came makes a new one.
  if (!n.nr_partial) return 0;
  let object: u64 = 0;
  let available: u32 = 0;
  spin_lock(n.list_lock);
  const head = n.partial;
  for (let l = head.next; !list_is_head(l, head); ) {
    const p = page.from_slab_list(l);
    l = l.next;
    available += p.objects - p.inuse;
    const first = acquire_slab(s, p, object == 0);
    if (!first) break;
    if (!object) {
      object = first;
      c.page = p;
    } else if (!CONFIG_BASE_SMALL) {
      put_cpu_partial(s, p, false);
    }
    if (!kmem_cache_has_cpu_partial(s) || available > s.cpu_partial / 2) break;
  }
  spin_unlock(n.list_lock);
  return pa(object);
}

/**
 * What others freed into the CPU's slab; without any the slab is full and no longer the CPU's. With
 * interrupts off.
 */
function get_freelist(p: page): usize {
  let freelist: u64 = 0;
  let old: u64 = 0;
  let counters: u64 = 0;
  do {
    freelist = p.freelist_va;
    old = p.counters;
    counters = counters_full(old) & ~SLAB_FROZEN;
    if (freelist) counters |= SLAB_FROZEN;
  } while (!__cmpxchg_double_slab(p, freelist, old, 0, counters));
  return pa(freelist);
}

/**
 * Objects that the CPU need not ask the page allocator for: the present slab's, a frozen one's, a partial
 * one's. With interrupts off.
 */
function next_freelist(s: kmem_cache, c: kmem_cache_cpu): usize {
  while (c.page_va || (!CONFIG_BASE_SMALL && c.partial_va)) {
    if (!CONFIG_BASE_SMALL && !c.page_va) {
      const frozen = c.partial;
      c.page = frozen;
      c.partial = frozen.next;
    }
    const object = c.freelist ? c.freelist : get_freelist(c.page);
    if (object) return object;
    c.page_va = 0;
  }
  return get_partial(s, c);
}

function ___slab_alloc(s: kmem_cache, gfp: u32, c: kmem_cache_cpu): usize {
  let flags = local_irq_save();
  let object = next_freelist(s, c);
  if (!object) {
    local_irq_restore(flags);
    const p = new_slab(s, gfp);
    if (isnull(p)) return 0;
    flags = local_irq_save();
    // Nobody else knows the new slab; but an interrupt may have got the CPU another one.
    object = p.freelist;
    p.freelist_va = 0;
    if (!CONFIG_CRASH_DUMP) flush_slab(s, c);
    c.page = p;
  }
  c.freelist_va = load<u64>(object + s.offset);
  c.tid += TID_STEP;
  local_irq_restore(flags);
  return object;
}

/** An object, or 0; cleared with __GFP_ZERO. */
export function kmem_cache_alloc(s: kmem_cache, gfp: u32): usize {
  const c = this_cpu_slab(s);
  const flags = local_irq_save();
  let object = c.freelist;
  const fast = object != 0 && c.page_va != 0;
  if (fast) {
    c.freelist_va = load<u64>(object + s.offset);
    c.tid += TID_STEP;
  }
  local_irq_restore(flags);
  if (!fast) object = ___slab_alloc(s, gfp, c);
  if (object && gfp & __GFP_ZERO) memory.fill(object, 0, s.object_size);
  return object;
}

@inline export function kmem_cache_zalloc(s: kmem_cache, gfp: u32): usize {
  return kmem_cache_alloc(s, gfp | __GFP_ZERO);
}

/** An object of a slab that is not this CPU's. */
function __slab_free(s: kmem_cache, p: page, object: usize): void {
  const n = get_node(s);
  const cpu_partial = kmem_cache_has_cpu_partial(s);
  const flags = local_irq_save();
  let prior: u64 = 0;
  let old: u64 = 0;
  let counters: u64 = 0;
  let listed = false;
  do {
    if (listed) spin_unlock(n.list_lock);
    prior = p.freelist_va;
    old = p.counters;
    set_freepointer(s, object, pa(prior));
    counters = old - 1;
    // A slab of somebody's stays where it is; a full one becomes this CPU's to wait; the rest is the node's.
    listed = !(old & SLAB_FROZEN) && (!counters_inuse(counters) || !prior);
    if (listed && cpu_partial && !prior) {
      counters |= SLAB_FROZEN;
      listed = false;
    }
    if (listed) spin_lock(n.list_lock);
  } while (!__cmpxchg_double_slab(p, prior, old, va(object), counters));
  if (listed) {
    const empty = !counters_inuse(counters) && enough_partial(s);
    if (empty && prior) remove_partial(n, p);
    else if (!empty && !prior) add_partial(n, p, true);
    spin_unlock(n.list_lock);
    if (empty) discard_slab(s, p);
  } else if (cpu_partial && (counters & ~old) & SLAB_FROZEN) {
    put_cpu_partial(s, p, true);
  }
  local_irq_restore(flags);
}

export function slab_free(s: kmem_cache, p: page, object: usize): void {
  const c = this_cpu_slab(s);
  const flags = local_irq_save();
  const mine = changetype<usize>(c.page) == changetype<usize>(p);
  if (mine) {
    set_freepointer(s, object, c.freelist);
    c.freelist = object;
    c.tid += TID_STEP;
  }
  local_irq_restore(flags);
  if (!mine) __slab_free(s, p, object);
}

/** The cache that an object is really of, which the caller did not name; null when it is no object at all. */
export function cache_from_obj(s: kmem_cache, p: page): kmem_cache {
  if (!PageSlab(p)) {
    WARN(true, c`mm/slub.ts`, 331, c`virt_to_cache: Object is not a Slab page!\n`);
    return changetype<kmem_cache>(0);
  }
  pr_warn(c`cache_from_obj: Wrong slab cache. %s but object is from %s\n`, s.name, p.slab_cache.name);
  WARN(true, c`mm/slub.ts`, 335, 0);
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
