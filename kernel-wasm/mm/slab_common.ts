/**
 * Caches: their geometry, their creation and end, and how the first two come about (mm/slab_common.c and the
 * second half of mm/slub.c). A kmem_cache is itself an object of the cache kmem_cache, its node part one of
 * kmem_cache_node.
 */
import {
  CONFIG_BASE_SMALL,
  CONFIG_SMP,
  DOWN,
  GFP_KERNEL,
  GFP_NOWAIT,
  MAX_OBJS_PER_PAGE,
  MAX_ORDER,
  MAX_PARTIAL,
  MIN_PARTIAL,
  OO_SHIFT,
  PAGE_ALLOC_COSTLY_ORDER,
  PAGE_SIZE,
  PARTIAL,
  SLAB_HWCACHE_ALIGN,
  SLAB_PANIC,
  SLAB_RECLAIM_ACCOUNT,
  SLAB_TYPESAFE_BY_RCU,
  UP,
  __GFP_COMP,
  __GFP_RECLAIMABLE,
} from "../include/generated/constants";
import { kmem_cache, kmem_cache_cpu, kmem_cache_node, page } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { local_irq_restore, local_irq_save } from "../kernel/irqflags";
import { mutex_init, mutex_lock, mutex_unlock } from "../kernel/locking/mutex";
import { spin_lock_irqsave, spin_unlock_irqrestore } from "../kernel/locking/spinlock";
import { panic } from "../kernel/panic";
import { pr_info } from "../kernel/printk/printk";
import { atomic_long_read } from "../lib/atomic";
import { INIT_LIST_HEAD, list_add, list_del, list_is_head } from "../lib/list";
import { create_kmalloc_caches, kfree } from "./kmalloc";
import { __alloc_percpu, free_percpu, per_cpu_ptr, this_cpu_ptr } from "./percpu";
import { get_order } from "./page";
import { init_cache_random_seq, init_freelist_randomization } from "./slab_random";
import { add_partial, discard_slab, get_node, new_slab, remove_partial } from "./slab_page";
import {
  __unfreeze_partials,
  flush_slab,
  get_freepointer,
  kmem_cache_alloc,
  kmem_cache_free,
  kmem_cache_zalloc,
} from "./slub";

const CACHE_LINE: u32 = 64;
const WORD: u32 = 8;
const NO_CACHE: usize = 0;

@inline function align_up(n: u32, to: u32): u32 {
  return (n + to - 1) & ~(to - 1);
}

@inline function fls(x: u32): u32 {
  return 32 - clz<u32>(x);
}

@inline function order_objects(order: u32, size: u32): u32 {
  return (PAGE_SIZE << order) / size;
}

@inline function oo_make(order: u32, size: u32): u32 {
  return (order << OO_SHIFT) + order_objects(order, size);
}

/** Smallest order for at least `min_objects` that wastes no more than a `fraction`-th of the slab. */
function slab_order(size: u32, min_objects: u32, max_order: u32, fraction: u32): u32 {
  if (order_objects(0, size) > MAX_OBJS_PER_PAGE) return get_order(size * MAX_OBJS_PER_PAGE) - 1;
  let order = get_order(min_objects * size);
  while (order <= max_order && (PAGE_SIZE << order) % size > (PAGE_SIZE << order) / fraction) order++;
  return order;
}

function calculate_order(size: u32): u32 {
  const max_order = sym.slub_max_order;
  let objects = min(sym.slub_min_objects, order_objects(max_order, size));
  for (; objects > 1; objects--) {
    for (let fraction: u32 = 16; fraction >= 4; fraction /= 2) {
      const order = slab_order(size, objects, max_order, fraction);
      if (order <= max_order) return order;
    }
  }
  const order = slab_order(size, 1, max_order, 1);
  return order <= max_order ? order : slab_order(size, 1, MAX_ORDER, 1);
}

function calculate_alignment(flags: u32, align: u32, size: u32): u32 {
  let least = align;
  if (flags & SLAB_HWCACHE_ALIGN) {
    let line = CACHE_LINE;
    while (size <= line / 2) line /= 2;
    least = max(least, line);
  }
  return align_up(max(least, WORD), WORD);
}

/** Objects of `object_size`: where their free pointer lies, how far apart they are, how many make a slab. */
function calculate_sizes(s: kmem_cache): void {
  let size = align_up(s.object_size, WORD);
  s.inuse = size;
  if (s.flags & SLAB_TYPESAFE_BY_RCU || s.ctor) {
    // A free object keeps its contents: the pointer lies behind it.
    s.offset = size;
    size += WORD;
  } else {
    s.offset = (s.object_size / 2) & ~(WORD - 1);
  }
  size = align_up(size, s.align);
  s.size = size;
  set_reciprocal(s, size);
  const order = calculate_order(size);
  if (order >= MAX_ORDER) panic(c`Cannot create slab %s size=%u\n`, s.name, size);
  s.allocflags = order ? __GFP_COMP : 0;
  if (s.flags & SLAB_RECLAIM_ACCOUNT) s.allocflags |= __GFP_RECLAIMABLE;
  s.oo.x = oo_make(order, size);
  s.min.x = oo_make(get_order(size), size);
  s.max.x = s.oo.x;
}

/**
 * Division by size as a multiplication (include/linux/reciprocal_div.h): debuggers find an object's index
 * with it.
 */
function set_reciprocal(s: kmem_cache, size: u32): void {
  const l = fls(size - 1);
  s.reciprocal_size.m = <u32>(((<u64>1 << 32) * ((<u64>1 << <u64>l) - size)) / size + 1);
  s.reciprocal_size.sh1 = <u8>min<u32>(l, 1);
  s.reciprocal_size.sh2 = <u8>(l ? l - 1 : 0);
}

/** How many free slabs a node and a CPU may keep; a kernel of a few pages keeps none. */
function set_partial(s: kmem_cache): void {
  if (CONFIG_BASE_SMALL) return;
  const log = fls(s.size) - 1;
  s.min_partial = min<u32>(max<u32>(log / 2, MIN_PARTIAL), MAX_PARTIAL);
  s.cpu_partial = s.size >= PAGE_SIZE ? 2 : s.size >= 1024 ? 6 : s.size >= 256 ? 13 : 30;
}

function init_kmem_cache_node(n: kmem_cache_node): void {
  // An unlocked list_lock is zero, too.
  memory.fill(changetype<usize>(n), 0, kmem_cache_node.SIZE);
  INIT_LIST_HEAD(n.partial);
  INIT_LIST_HEAD(n.full);
}

/** The node part of the cache that holds node parts: by hand, from its first slab. */
function early_kmem_cache_node_alloc(s: kmem_cache): void {
  const p = new_slab(s, GFP_NOWAIT);
  if (isnull(p)) panic(c`SLUB: no memory for the first slab\n`);
  const n = changetype<kmem_cache_node>(p.freelist);
  p.freelist = get_freepointer(s, p.freelist);
  p.inuse = 1;
  p.frozen = 0;
  init_kmem_cache_node(n);
  s.node[0] = n;
  n.nr_slabs.counter = 1;
  n.total_objects.counter = p.objects;
  add_partial(n, p, false);
}

function kmem_cache_open(s: kmem_cache): bool {
  calculate_sizes(s);
  set_partial(s);
  s.remote_node_defrag_ratio = 1000;
  if (sym.slab_state == DOWN) early_kmem_cache_node_alloc(s);
  else {
    const n = changetype<kmem_cache_node>(kmem_cache_alloc(sym.kmem_cache_node, GFP_KERNEL));
    if (isnull(n)) return false;
    init_kmem_cache_node(n);
    s.node[0] = n;
  }
  const cpu_slab = __alloc_percpu(kmem_cache_cpu.SIZE, 16);
  if (!cpu_slab) return false;
  s.cpu_slab_va = cpu_slab;
  if (sym.slab_state >= UP) init_cache_random_seq(s);
  for (let cpu: u32 = 0; cpu < sym.nr_cpu_ids; cpu++) {
    changetype<kmem_cache_cpu>(per_cpu_ptr(cpu_slab, cpu)).tid = cpu;
  }
  return true;
}

function set_cache(s: kmem_cache, name: usize, size: u32, align: u32, flags: u32, ctor: u64): void {
  s.name = name;
  s.object_size = size;
  s.align = calculate_alignment(flags, align, size);
  s.flags = flags;
  s.ctor = ctor;
  s.refcount = 1;
}

function create_boot_cache(s: kmem_cache, name: usize, size: u32): void {
  set_cache(s, name, size, 0, SLAB_HWCACHE_ALIGN, 0);
  s.refcount = -1;
  if (!kmem_cache_open(s)) panic(c`Creation of kmalloc slab %s size=%u failed.\n`, name, size);
}

/** Moves a static cache into an object of its own and tells its slabs: the CPU's, and those on the list. */
function bootstrap(from: kmem_cache): kmem_cache {
  const s = changetype<kmem_cache>(kmem_cache_zalloc(sym.kmem_cache, GFP_NOWAIT));
  memory.copy(changetype<usize>(s), changetype<usize>(from), kmem_cache.SIZE);
  const c = changetype<kmem_cache_cpu>(this_cpu_ptr(s.cpu_slab_va));
  if (c.page_va) c.page.slab_cache = s;
  const head = get_node(s).partial;
  for (let l = head.next; !list_is_head(l, head); l = l.next) {
    page.from_slab_list(l).slab_cache = s;
  }
  list_add(s.list, sym.slab_caches);
  return s;
}

export function kmem_cache_init(): void {
  INIT_LIST_HEAD(sym.slab_caches);
  if (CONFIG_SMP) mutex_init(sym.slab_mutex);
  sym.slub_max_order = CONFIG_BASE_SMALL ? 0 : PAGE_ALLOC_COSTLY_ORDER;
  sym.slub_min_objects = 4 * (fls(sym.nr_cpu_ids) + 1);
  sym.kmem_cache = sym.boot_kmem_cache;
  sym.kmem_cache_node = sym.boot_kmem_cache_node;
  create_boot_cache(sym.boot_kmem_cache_node, c`kmem_cache_node`, <u32>kmem_cache_node.SIZE);
  sym.slab_state = PARTIAL;
  create_boot_cache(sym.boot_kmem_cache, c`kmem_cache`, <u32>kmem_cache.SIZE);
  sym.kmem_cache = bootstrap(sym.boot_kmem_cache);
  sym.kmem_cache_node = bootstrap(sym.boot_kmem_cache_node);
  create_kmalloc_caches();
  sym.slab_state = UP;
  init_freelist_randomization();
  pr_info(
    c`SLUB: HWalign=%d, Order=%u-%u, MinObjects=%u, CPUs=%u, Nodes=%u\n`,
    CACHE_LINE,
    0,
    sym.slub_max_order,
    0,
    sym.nr_cpu_ids,
    sym.nr_node_ids,
  );
}

/**
 * A cache of its own for one kind of object; `ctor`: text address of a function(object), or 0. Null without
 * memory.
 */
export function kmem_cache_create(name: usize, size: u32, align: u32, flags: u32, ctor: u64): kmem_cache {
  const s = changetype<kmem_cache>(kmem_cache_zalloc(sym.kmem_cache, GFP_KERNEL));
  if (!isnull(s)) {
    set_cache(s, name, size, align, flags, ctor);
    mutex_lock(sym.slab_mutex);
    const opened = kmem_cache_open(s);
    if (opened) list_add(s.list, sym.slab_caches);
    mutex_unlock(sym.slab_mutex);
    if (opened) return s;
    free_cache(s);
  }
  if (flags & SLAB_PANIC) panic(c`kmem_cache_create_usercopy: Failed to create slab '%s'. Error -12\n`, name);
  return changetype<kmem_cache>(NO_CACHE);
}

function free_cache(s: kmem_cache): void {
  if (s.random_seq_va) kfree(s.random_seq);
  free_percpu(s.cpu_slab_va);
  kmem_cache_free(sym.kmem_cache_node, changetype<usize>(get_node(s)));
  kmem_cache_free(sym.kmem_cache, changetype<usize>(s));
}

/** Empty slabs of the partial list go back; those with objects stay. */
function free_partial(s: kmem_cache): void {
  const n = get_node(s);
  const head = n.partial;
  let empty = changetype<page>(0);
  const flags = spin_lock_irqsave(n.list_lock);
  for (let l = head.next; !list_is_head(l, head); ) {
    const p = page.from_slab_list(l);
    l = l.next;
    if (p.inuse) continue;
    remove_partial(n, p);
    p.next = empty;
    empty = p;
  }
  spin_unlock_irqrestore(n.list_lock, flags);
  while (!isnull(empty)) {
    const p = empty;
    empty = p.next;
    discard_slab(s, p);
  }
}

/** Gives every slab back; whether none is left. Nobody uses the cache any more, so no CPU minds its part. */
function __kmem_cache_shutdown(s: kmem_cache): bool {
  for (let cpu: u32 = 0; cpu < sym.nr_cpu_ids; cpu++) {
    const c = changetype<kmem_cache_cpu>(per_cpu_ptr(s.cpu_slab_va, cpu));
    const flags = local_irq_save();
    flush_slab(s, c);
    local_irq_restore(flags);
    const partial = c.partial;
    c.partial_va = 0;
    __unfreeze_partials(s, partial);
  }
  free_partial(s);
  return atomic_long_read(get_node(s).nr_slabs) == 0;
}

/** Ends a cache whose objects are all free; with objects left it stays, and says so. */
export function kmem_cache_destroy(s: kmem_cache): void {
  if (isnull(s)) return;
  mutex_lock(sym.slab_mutex);
  const empty = __kmem_cache_shutdown(s);
  if (empty) list_del(s.list);
  else pr_info(c`kmem_cache_destroy %s: Slab cache still has objects\n`, s.name);
  mutex_unlock(sym.slab_mutex);
  if (empty) free_cache(s);
}
