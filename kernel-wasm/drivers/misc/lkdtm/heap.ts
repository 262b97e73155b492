/**
 * LKDTM: memory that was freed, freed wrongly, or not asked for (drivers/misc/lkdtm/heap.c).
 */
import { GFP_KERNEL, PAGE_SIZE } from "../../../include/generated/constants";
import { kmem_cache } from "../../../include/generated/structs";
import { pr_err, pr_info } from "../../../kernel/printk/printk";
import { __get_free_page, free_page } from "../../../mm/page_alloc";
import {
  kfree,
  kmalloc,
  kmem_cache_alloc,
  kmem_cache_create,
  kmem_cache_destroy,
  kmem_cache_free,
} from "../../../mm/slub";
import { memset_vm, vfree, vzalloc } from "../../../mm/vmalloc";
import { CRASHTYPE } from "./core";

const OBJECT: u32 = 1024;
const VALUE: u32 = 0x12345678;

function cache(name: usize): kmem_cache {
  return kmem_cache_create(name, OBJECT, 0, 0, 0);
}

/** The page behind an area is its guard: nothing is mapped there. */
export function lkdtm_VMALLOC_LINEAR_OVERFLOW(): void {
  const one = vzalloc(PAGE_SIZE);
  const two = vzalloc(PAGE_SIZE);
  if (!one || !two) return;
  pr_info(c`lkdtm: Attempting vmalloc linear overflow ...\n`);
  memset_vm(one, 0xaa, PAGE_SIZE + 1);
  vfree(two);
  vfree(one);
}

export function lkdtm_READ_AFTER_FREE(): void {
  const base = kmalloc(OBJECT, GFP_KERNEL);
  if (!base) return;
  // Beside the free list's pointer, which lies in the middle.
  const at = base + OBJECT / 4;
  store<u32>(at, VALUE);
  pr_info(c`lkdtm: Value in memory before free: %x\n`, load<u32>(at));
  kfree(base);
  pr_info(c`lkdtm: Attempting bad read from freed memory\n`);
  const saw = load<u32>(at);
  if (saw != VALUE) pr_info(c`lkdtm: Memory correctly poisoned (%x)\n`, saw);
  else pr_err(c`lkdtm: FAIL: Memory was not poisoned!\n`);
}

export function lkdtm_READ_BUDDY_AFTER_FREE(): void {
  const page = __get_free_page(GFP_KERNEL);
  if (!page) return;
  store<u32>(page, VALUE);
  pr_info(c`lkdtm: Value in memory before free: %x\n`, load<u32>(page));
  free_page(page);
  pr_info(c`lkdtm: Attempting to read from freed memory\n`);
  const saw = load<u32>(page);
  if (saw != VALUE) pr_info(c`lkdtm: Memory correctly poisoned (%x)\n`, saw);
  else pr_err(c`lkdtm: FAIL: Buddy page was not poisoned!\n`);
}

export function lkdtm_WRITE_BUDDY_AFTER_FREE(): void {
  const page = __get_free_page(GFP_KERNEL);
  if (!page) return;
  pr_info(c`lkdtm: Writing to the buddy page before free\n`);
  memory.fill(page, 0x3, PAGE_SIZE);
  free_page(page);
  pr_info(c`lkdtm: Attempting bad write to the buddy page after free\n`);
  memory.fill(page, 0x78, PAGE_SIZE);
}

export function lkdtm_SLAB_FREE_DOUBLE(): void {
  const s = cache(c`lkdtm-heap-double_free`);
  if (isnull(s)) return;
  const val = kmem_cache_alloc(s, GFP_KERNEL);
  if (!val) return;
  memory.fill(val, 0x12, OBJECT);
  pr_info(c`lkdtm: Attempting double slab free ...\n`);
  kmem_cache_free(s, val);
  kmem_cache_free(s, val);
}

export function lkdtm_SLAB_FREE_CROSS(): void {
  const a = cache(c`lkdtm-heap-a`);
  const b = cache(c`lkdtm-heap-b`);
  if (isnull(a) || isnull(b)) return;
  const val = kmem_cache_alloc(a, GFP_KERNEL);
  if (!val) return;
  memory.fill(val, 0x12, OBJECT);
  pr_info(c`lkdtm: Attempting cross-cache slab free ...\n`);
  kmem_cache_free(b, val);
  kmem_cache_destroy(a);
  kmem_cache_destroy(b);
}

export function lkdtm_SLAB_FREE_PAGE(): void {
  const s = cache(c`lkdtm-heap-free_page`);
  const page = __get_free_page(GFP_KERNEL);
  if (isnull(s) || !page) return;
  pr_info(c`lkdtm: Attempting non-Slab slab free ...\n`);
  kmem_cache_free(s, page);
  free_page(page);
  kmem_cache_destroy(s);
}

export function lkdtm_heap_types(): void {
  CRASHTYPE(c`VMALLOC_LINEAR_OVERFLOW`, fnptr(lkdtm_VMALLOC_LINEAR_OVERFLOW));
  CRASHTYPE(c`READ_AFTER_FREE`, fnptr(lkdtm_READ_AFTER_FREE));
  CRASHTYPE(c`WRITE_BUDDY_AFTER_FREE`, fnptr(lkdtm_WRITE_BUDDY_AFTER_FREE));
  CRASHTYPE(c`READ_BUDDY_AFTER_FREE`, fnptr(lkdtm_READ_BUDDY_AFTER_FREE));
  CRASHTYPE(c`SLAB_FREE_DOUBLE`, fnptr(lkdtm_SLAB_FREE_DOUBLE));
  CRASHTYPE(c`SLAB_FREE_CROSS`, fnptr(lkdtm_SLAB_FREE_CROSS));
  CRASHTYPE(c`SLAB_FREE_PAGE`, fnptr(lkdtm_SLAB_FREE_PAGE));
}
