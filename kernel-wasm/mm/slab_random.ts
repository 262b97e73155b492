/**
 * CONFIG_SLAB_FREELIST_RANDOM (mm/slab_common.c, slub.c): the objects of a new slab are chained in a random
 * order, so that two seeds of the machine give out different addresses on machines of any size. Each cache
 * keeps one random sequence of offsets; a slab starts somewhere in it.
 */
import { CONFIG_SLAB_FREELIST_RANDOM, GFP_KERNEL, OO_MASK } from "../include/generated/constants";
import { kmem_cache } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { get_random_u32 } from "../lib/random";
import { kcalloc } from "./kmalloc";

/**
 * Gives a cache its sequence: a shuffle of its objects' offsets within a slab. Without memory it has none.
 */
export function init_cache_random_seq(s: kmem_cache): void {
  const count = s.oo.x & OO_MASK;
  if (!CONFIG_SLAB_FREELIST_RANDOM || s.random_seq_va || count < 2) return;
  const seq = kcalloc(count, 4, GFP_KERNEL);
  if (!seq) return;
  for (let i: u32 = 0; i < count; i++) store<u32>(seq + i * 4, i * s.size);
  for (let i = count - 1; i > 0; i--) {
    const j = get_random_u32() % (i + 1);
    const offset = load<u32>(seq + i * 4);
    store<u32>(seq + i * 4, load<u32>(seq + j * 4));
    store<u32>(seq + j * 4, offset);
  }
  s.random_seq = seq;
}

/** For the caches that were there before kmalloc worked. */
export function init_freelist_randomization(): void {
  const head = sym.slab_caches;
  for (let l = head.next; changetype<usize>(l) != changetype<usize>(head); l = l.next) {
    init_cache_random_seq(kmem_cache.from_list(l));
  }
}

/** Where a slab of `objects` begins in its cache's sequence. */
export function random_start(s: kmem_cache): u32 {
  return get_random_u32() % (s.oo.x & OO_MASK);
}

/** The n-th object's offset for a slab that began at `start`. */
export function random_offset(s: kmem_cache, start: u32, n: u32): u32 {
  const count = s.oo.x & OO_MASK;
  return load<u32>(s.random_seq + ((start + n) % count) * 4);
}
