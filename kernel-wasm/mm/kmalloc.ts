/**
 * kmalloc (mm/slab_common.c, slub.c): caches of 8 to 8192 bytes, whole pages beyond that. Addresses are
 * physical; an allocation of 0 bytes gives ZERO_SIZE_PTR, which may be freed but not used.
 */
import {
  ARCH_KMALLOC_MINALIGN,
  KMALLOC_MAX_CACHE_SIZE,
  KMALLOC_MIN_SIZE,
  KMALLOC_SHIFT_HIGH,
  KMALLOC_SHIFT_LOW,
  NR_SLAB_UNRECLAIMABLE_B,
  PAGE_SIZE,
  SLAB_HWCACHE_ALIGN,
  __GFP_COMP,
  __GFP_ZERO,
} from "../include/generated/constants";
import { sym } from "../include/generated/symbols";
import { strlen } from "../lib/string";
import { PageSlab, compound_order, get_order, page_to_phys, virt_to_head_page } from "./page";
import { __free_pages, alloc_pages } from "./page_alloc";
import { kmem_cache_create } from "./slab_common";
import { kmem_cache_alloc, slab_free } from "./slub";
import { mod_node_page_state } from "./vmstat";

const ZERO_SIZE_PTR: usize = 16;

/** 96 and 192 sit in two indexes below the smallest power of two; a kernel of larger minimum has no 96. */
function kmalloc_index(size: usize): u32 {
  if (KMALLOC_MIN_SIZE <= 32 && size > 64 && size <= 96) return 1;
  if (size > 128 && size <= 192) return 2;
  return size <= KMALLOC_MIN_SIZE ? KMALLOC_SHIFT_LOW : 32 - clz<u32>(<u32>size - 1);
}

function kmalloc_name(index: u32): usize {
  switch (index) {
    case 1:
      return c`kmalloc-96`;
    case 2:
      return c`kmalloc-192`;
    case 3:
      return c`kmalloc-8`;
    case 4:
      return c`kmalloc-16`;
    case 5:
      return c`kmalloc-32`;
    case 6:
      return c`kmalloc-64`;
    case 7:
      return c`kmalloc-128`;
    case 8:
      return c`kmalloc-256`;
    case 9:
      return c`kmalloc-512`;
    case 10:
      return c`kmalloc-1k`;
    case 11:
      return c`kmalloc-2k`;
    case 12:
      return c`kmalloc-4k`;
    default:
      return c`kmalloc-8k`;
  }
}

function create_kmalloc_cache(index: u32, size: u32): void {
  // Powers of two are aligned to themselves.
  const align = index < KMALLOC_SHIFT_LOW ? ARCH_KMALLOC_MINALIGN : max<u32>(ARCH_KMALLOC_MINALIGN, size);
  sym.kmalloc_caches[index] = kmem_cache_create(kmalloc_name(index), size, align, SLAB_HWCACHE_ALIGN, 0);
}

export function create_kmalloc_caches(): void {
  for (let index: u32 = KMALLOC_SHIFT_LOW; index <= KMALLOC_SHIFT_HIGH; index++) {
    create_kmalloc_cache(index, 1 << index);
    if (index == 6 && KMALLOC_MIN_SIZE <= 32) create_kmalloc_cache(1, 96);
    if (index == 7) create_kmalloc_cache(2, 192);
  }
}

function kmalloc_large(size: usize, gfp: u32): usize {
  const order = get_order(size);
  const p = alloc_pages(gfp | __GFP_COMP, order);
  if (isnull(p)) return 0;
  mod_node_page_state(NR_SLAB_UNRECLAIMABLE_B, PAGE_SIZE << order);
  return page_to_phys(p);
}

export function __kmalloc(size: usize, gfp: u32): usize {
  if (size > KMALLOC_MAX_CACHE_SIZE) return kmalloc_large(size, gfp);
  if (!size) return ZERO_SIZE_PTR;
  return kmem_cache_alloc(sym.kmalloc_caches[kmalloc_index(size)], gfp);
}

@inline export function kmalloc(size: usize, gfp: u32): usize {
  return __kmalloc(size, gfp);
}

@inline export function kzalloc(size: usize, gfp: u32): usize {
  return __kmalloc(size, gfp | __GFP_ZERO);
}

/** `n` cleared elements, or 0 also when their size overflows. */
export function kcalloc(n: usize, size: usize, gfp: u32): usize {
  if (size && n > <usize>-1 / size) return 0;
  return kzalloc(n * size, gfp);
}

export function kfree(addr: usize): void {
  if (addr <= ZERO_SIZE_PTR) return;
  const p = virt_to_head_page(addr);
  if (PageSlab(p)) {
    slab_free(p.slab_cache, p, addr);
    return;
  }
  const order = compound_order(p);
  mod_node_page_state(NR_SLAB_UNRECLAIMABLE_B, -<i64>(PAGE_SIZE << order));
  __free_pages(p, order);
}

/** Bytes that an allocation really has. */
export function ksize(addr: usize): usize {
  if (addr <= ZERO_SIZE_PTR) return 0;
  const p = virt_to_head_page(addr);
  return PageSlab(p) ? p.slab_cache.object_size : PAGE_SIZE << compound_order(p);
}

export function kmemdup(from: usize, size: usize, gfp: u32): usize {
  const copy = kmalloc(size, gfp);
  if (copy) memory.copy(copy, from, size);
  return copy;
}

export function kstrdup(s: usize, gfp: u32): usize {
  return s ? kmemdup(s, strlen(s) + 1, gfp) : 0;
}
