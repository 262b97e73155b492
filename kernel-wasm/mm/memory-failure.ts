/**
 * Poisoned pages (mm/memory-failure.c): a page with a hardware error is taken out of use for good. A program
 * asks for it by a physical address:
 *
 *     echo 0x1234000 > /sys/devices/system/memory/hard_offline_page
 *
 * Free pages leave the buddy system, pages of files leave the page cache, free huge pages are taken apart
 * first; single pages of the kernel's own only get the mark. Refused (EBUSY) are anonymous and mapped pages,
 * since there is no reverse mapping by which to find the programs that would have to be killed, and pages of
 * the kernel's compound pages (slabs, stacks), since dump tools look for the mark in no tail page.
 */
import {
  EBUSY,
  EINVAL,
  ENXIO,
  PAGE_MAPPING_ANON,
  PAGE_SHIFT,
  PG_dirty,
  PG_hwpoison,
  PG_private,
  PG_reserved,
  PG_slab,
} from "../include/generated/constants";
import { kernfs_node, page } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { sysfs_create_file, sysfs_find_dir } from "../fs/sysfs";
import { block_invalidate_page } from "../fs/buffer/buffer";
import { mutex_init, mutex_lock, mutex_unlock } from "../kernel/locking/mutex";
import { down_write, up_write } from "../kernel/locking/rwsem";
import { pr_err } from "../kernel/printk/printk";
import { atomic_long_inc, test_and_set_bit } from "../lib/atomic";
import { kstrtoull } from "../lib/string";
import { take_page_off_buddy } from "./buddy";
import { delete_from_page_cache } from "./filemap";
import { dissolve_free_huge_page } from "./hugetlb";
import {
  PageHead,
  PageLRU,
  compound_head,
  page_flag,
  page_zone,
  pfn_to_page,
  pfn_valid,
  set_page_count,
} from "./page";

function action_result(pfn: usize, what: usize, result: usize): void {
  pr_err(c`Memory failure: %#lx: recovery action for %s: %s\n`, pfn, what, result);
}

/** The mark and the count; false when the page has them already. */
function poison(p: page): bool {
  if (test_and_set_bit(PG_hwpoison, page.addr_of_flags(p))) return false;
  atomic_long_inc(sym.num_poisoned_pages);
  return true;
}

/** A free page: out of its block, with the reference that keeps it from coming back. */
function poison_free_page(p: page, pfn: usize, what: usize): bool {
  if (!take_page_off_buddy(page_zone(p), pfn)) return false;
  set_page_count(p, 1);
  poison(p);
  action_result(pfn, what, c`Recovered`);
  return true;
}

/**
 * A page of a file, out of the cache with what was written there last. Who has buffers on it holds the lock
 * of the device's inode, which never goes.
 */
function poison_cache_page(p: page, pfn: usize): void {
  const dirty = page_flag(p, PG_dirty);
  const mapping = p.mapping;
  const buffers = page_flag(p, PG_private);
  poison(p);
  if (buffers) {
    down_write(mapping.host.i_rwsem);
    if (page_flag(p, PG_private)) block_invalidate_page(p);
  }
  // The cache's reference is dropped, and the mark keeps the page out of the buddy system.
  delete_from_page_cache(mapping, p.index);
  if (buffers) up_write(mapping.host.i_rwsem);
  action_result(pfn, dirty ? c`dirty LRU page` : c`clean LRU page`, c`Recovered`);
}

/** 0, -ENXIO without memory there, -EBUSY when the page is in use by a program. One at a time. */
export function memory_failure(pfn: usize): i32 {
  mutex_lock(sym.mf_mutex);
  const err = handle_memory_failure(pfn);
  mutex_unlock(sym.mf_mutex);
  return err;
}

function handle_memory_failure(pfn: usize): i32 {
  if (!pfn_valid(pfn)) {
    pr_err(c`Memory failure: %#lx: memory outside kernel control\n`, pfn);
    return -ENXIO;
  }
  const p = pfn_to_page(pfn);
  if (page_flag(p, PG_hwpoison)) {
    pr_err(c`Memory failure: %#lx: already hardware poisoned\n`, pfn);
    return 0;
  }
  if (poison_free_page(p, pfn, c`free buddy page`)) return 0;
  const head = compound_head(p);
  if (changetype<usize>(head) != changetype<usize>(p) || PageHead(p)) {
    if (dissolve_free_huge_page(head)) {
      poison_free_page(p, pfn, c`free huge page`);
      return 0;
    }
  }
  if (!page_flag(head, PG_slab) && PageLRU(p)) {
    if (p.mapping_va & PAGE_MAPPING_ANON || p._mapcount.counter >= 0) {
      action_result(pfn, c`already mapped page`, c`Failed`);
      return -EBUSY;
    }
    poison_cache_page(p, pfn);
    return 0;
  }
  if (changetype<usize>(head) != changetype<usize>(p) || PageHead(p)) {
    action_result(pfn, c`kernel compound page`, c`Ignored`);
    return -EBUSY;
  }
  const reserved = page_flag(p, PG_reserved);
  poison(p);
  action_result(pfn, reserved ? c`reserved kernel page` : c`kernel page`, c`Ignored`);
  return -EBUSY;
}

function hard_offline_page_store(kn: kernfs_node, buf: usize, count: usize): i64 {
  if (kstrtoull(buf, 0, sym.addr_of_mm_sysfs_value())) return -EINVAL;
  const pfn = sym.mm_sysfs_value >> PAGE_SHIFT;
  const err = pfn >> 32 ? -ENXIO : memory_failure(<usize>pfn);
  return err ? <i64>err : <i64>count;
}

/** device_initcall */
export function memory_failure_init(): i32 {
  mutex_init(sym.mf_mutex);
  const devices = sysfs_find_dir(c`devices`, sym.sysfs_root);
  const dir = sysfs_find_dir(c`memory`, sysfs_find_dir(c`system`, devices));
  if (isnull(dir)) return 0;
  sysfs_create_file(dir, c`hard_offline_page`, 0o200, 0, fnptr(hard_offline_page_store));
  return 0;
}
