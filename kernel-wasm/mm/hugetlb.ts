/**
 * The pool of huge pages (mm/hugetlb.c): compound pages of 2 MiB with hugetlb's destructor, reserved at boot
 * (hugepages=N) or while the machine runs:
 *
 *     /sys/kernel/mm/hugepages/hugepages-2048kB/{nr,free,resv,surplus}_hugepages
 *
 * All of them wait in the pool, with no reference; /proc/meminfo tells their number.
 */
import {
  COMPOUND_PAGE_DTOR,
  EINVAL,
  GFP_HIGHUSER,
  HPAGE_SIZE,
  HTLB_BUDDY_PGALLOC,
  HTLB_BUDDY_PGALLOC_FAIL,
  HUGETLB_PAGE_DTOR,
  HUGETLB_PAGE_ORDER,
  __GFP_COMP,
  __GFP_NORETRY,
  __GFP_NOWARN,
} from "../include/generated/constants";
import { hstate, kernfs_node, page } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { sysfs_create_file, sysfs_find_dir } from "../fs/sysfs";
import { mutex_init, mutex_lock, mutex_unlock } from "../kernel/locking/mutex";
import { spin_lock_irq, spin_unlock_irq } from "../kernel/locking/spinlock";
import { pr_info, pr_warn } from "../kernel/printk/printk";
import { INIT_LIST_HEAD, list_add, list_del } from "../lib/list";
import { kstrtoull, simple_strtoul } from "../lib/string";
import { snprintf } from "../lib/vsprintf";
import { nth_page, page_count, set_page_count } from "./page";
import { __free_pages, alloc_pages } from "./page_alloc";
import { count_vm_event } from "./vm_event";

const TEXT_SIZE: u32 = 4096;

@inline function default_hstate(): hstate {
  return sym.hstates[0];
}

/** hugepages= */
export function hugepages_setup(value: usize): i32 {
  sym.default_hstate_max_huge_pages = simple_strtoul(value, 0, 0);
  return 1;
}

function alloc_fresh_huge_page(h: hstate): bool {
  const p = alloc_pages(GFP_HIGHUSER | __GFP_COMP | __GFP_NORETRY | __GFP_NOWARN, HUGETLB_PAGE_ORDER);
  count_vm_event(isnull(p) ? HTLB_BUDDY_PGALLOC_FAIL : HTLB_BUDDY_PGALLOC);
  if (isnull(p)) return false;
  nth_page(p, 1).compound_dtor = HUGETLB_PAGE_DTOR;
  set_page_count(p, 0);
  spin_lock_irq(sym.hugetlb_lock);
  list_add(p.lru, h.hugepage_freelists[0]);
  h.nr_huge_pages += 1;
  h.nr_huge_pages_node[0] += 1;
  h.free_huge_pages += 1;
  h.free_huge_pages_node[0] += 1;
  spin_unlock_irq(sym.hugetlb_lock);
  return true;
}

/** A free page leaves the pool. With hugetlb_lock. */
function remove_hugetlb_page(h: hstate, p: page): void {
  list_del(p.lru);
  h.nr_huge_pages -= 1;
  h.nr_huge_pages_node[0] -= 1;
  h.free_huge_pages -= 1;
  h.free_huge_pages_node[0] -= 1;
  nth_page(p, 1).compound_dtor = COMPOUND_PAGE_DTOR;
  set_page_count(p, 1);
}

/** Gives a free page of the pool back to the page allocator; false when there is none. */
function free_pool_huge_page(h: hstate): bool {
  spin_lock_irq(sym.hugetlb_lock);
  const some = h.free_huge_pages != 0;
  const p = page.from_lru(h.hugepage_freelists[0].next);
  if (some) remove_hugetlb_page(h, p);
  spin_unlock_irq(sym.hugetlb_lock);
  if (some) __free_pages(p, HUGETLB_PAGE_ORDER);
  return some;
}

/** A page of the pool that is to be taken apart: false when it is none. */
export function dissolve_free_huge_page(head: page): bool {
  const h = default_hstate();
  spin_lock_irq(sym.hugetlb_lock);
  const free = nth_page(head, 1).compound_dtor == HUGETLB_PAGE_DTOR && page_count(head) == 0;
  if (free) {
    remove_hugetlb_page(h, head);
    h.max_huge_pages -= 1;
  }
  spin_unlock_irq(sym.hugetlb_lock);
  if (free) __free_pages(head, HUGETLB_PAGE_ORDER);
  return free;
}

/** Grows or shrinks the pool as far as memory allows. */
export function set_max_huge_pages(count: u64): void {
  const h = default_hstate();
  mutex_lock(h.resize_lock);
  while (h.nr_huge_pages < count && alloc_fresh_huge_page(h)) {}
  while (h.nr_huge_pages > count && free_pool_huge_page(h)) {}
  h.max_huge_pages = h.nr_huge_pages;
  mutex_unlock(h.resize_lock);
}

function nr_hugepages_show(kn: kernfs_node, buf: usize): i64 {
  return snprintf(buf, TEXT_SIZE, c`%lu\n`, default_hstate().nr_huge_pages);
}

function nr_hugepages_store(kn: kernfs_node, buf: usize, count: usize): i64 {
  if (kstrtoull(buf, 10, sym.addr_of_mm_sysfs_value())) return -EINVAL;
  set_max_huge_pages(sym.mm_sysfs_value);
  return count;
}

function free_hugepages_show(kn: kernfs_node, buf: usize): i64 {
  return snprintf(buf, TEXT_SIZE, c`%lu\n`, default_hstate().free_huge_pages);
}

function resv_hugepages_show(kn: kernfs_node, buf: usize): i64 {
  return snprintf(buf, TEXT_SIZE, c`%lu\n`, default_hstate().resv_huge_pages);
}

function surplus_hugepages_show(kn: kernfs_node, buf: usize): i64 {
  return snprintf(buf, TEXT_SIZE, c`%lu\n`, default_hstate().surplus_huge_pages);
}

function hugetlb_sysfs_init(): void {
  const mm = sysfs_find_dir(c`mm`, sym.kernel_kobj);
  const dir = sysfs_find_dir(default_hstate().name, sysfs_find_dir(c`hugepages`, mm));
  if (isnull(dir)) return;
  const store = fnptr(nr_hugepages_store);
  sysfs_create_file(dir, c`nr_hugepages`, 0o644, fnptr(nr_hugepages_show), store);
  sysfs_create_file(dir, c`free_hugepages`, 0o444, fnptr(free_hugepages_show), 0);
  sysfs_create_file(dir, c`resv_hugepages`, 0o444, fnptr(resv_hugepages_show), 0);
  sysfs_create_file(dir, c`surplus_hugepages`, 0o444, fnptr(surplus_hugepages_show), 0);
}

/** subsys_initcall: the one size, and what hugepages= asks for. */
export function hugetlb_init(): i32 {
  const h = default_hstate();
  sym.hugetlb_max_hstate = 1;
  mutex_init(h.resize_lock);
  h.order = HUGETLB_PAGE_ORDER;
  h.mask = ~<u64>(HPAGE_SIZE - 1);
  INIT_LIST_HEAD(h.hugepage_activelist);
  INIT_LIST_HEAD(h.hugepage_freelists[0]);
  snprintf(h.name, 32, c`hugepages-%lukB`, HPAGE_SIZE >> 10);
  const wanted = sym.default_hstate_max_huge_pages;
  set_max_huge_pages(wanted);
  if (h.nr_huge_pages < wanted) {
    pr_warn(
      c`HugeTLB: allocating %lu of page size %s failed.  Only allocated %lu hugepages.\n`,
      wanted, c`2.00 MiB`, h.nr_huge_pages,
    );
  }
  pr_info(
    c`HugeTLB registered %s page size, pre-allocated %ld pages\n`, c`2.00 MiB`, h.free_huge_pages,
  );
  hugetlb_sysfs_init();
  return 0;
}

/** Pages of 4 KiB that the pool holds. */
export function hugetlb_total_pages(): u64 {
  return default_hstate().nr_huge_pages << (HUGETLB_PAGE_ORDER as u64);
}
