/**
 * The page cache (mm/filemap.c): a file's pages by index in its address_space. For file systems that live in
 * it alone (ramfs), a page that is not there is a hole, which reads as zeros and is made by a write.
 *
 * Order of locks: i_rwsem, the page's, i_pages.xa_lock, lru_lock. A writer holds i_rwsem; readers take
 * references, so that a page which is truncated under them stays theirs to the end of the copy.
 */
import {
  CONFIG_CRASH_DUMP,
  CONFIG_SMP,
  EEXIST,
  EFAULT,
  EFBIG,
  ENOMEM,
  NR_FILE_PAGES,
  NR_SHMEM,
  O_APPEND,
  PAGE_SHIFT,
  PAGE_SIZE,
  PG_dirty,
  PG_locked,
  PG_swapbacked,
  PG_uptodate,
} from "../include/generated/constants";
import { address_space, file, hostfs_extent, inode, page } from "../include/generated/structs";
import { ERR_PTR, IS_ERR, PTR_ERR } from "../include/err";
import { clear_buf, copy_from_buf, copy_to_buf } from "../arch/lib/usercopy";
import { inode_update_mtime } from "../fs/inode";
import { preempt_disable, preempt_enable } from "../kernel/locking/preempt";
import { down_write, up_write } from "../kernel/locking/rwsem";
import { cpu_relax, spin_lock, spin_unlock } from "../kernel/locking/spinlock";
import { clear_bit, test_and_set_bit } from "../lib/atomic";
import { xa_erase, xa_find, xa_load, xa_store } from "../lib/xarray";
import { unmap_mapping_pages } from "./i_mmap";
import { clear_page_flag, page_flag, page_to_phys, set_page_flag } from "./page";
import {
  alloc_page,
  get_page,
  memalloc_noreclaim_restore,
  memalloc_noreclaim_save,
  put_page,
} from "./page_alloc";
import { page_mapcount } from "./rmap";
import { is_shmem } from "./shmem";
import { lru_cache_add, lru_cache_del } from "./swap";
import { mod_node_page_state } from "./vmstat";

/** Waits for the page: who has it does not sleep. */
export function lock_page(p: page): void {
  if (!CONFIG_SMP) return;
  preempt_disable();
  while (test_and_set_bit(PG_locked, page.addr_of_flags(p))) cpu_relax();
}

/** False when somebody else has it. */
export function trylock_page(p: page): bool {
  preempt_disable();
  const locked = !test_and_set_bit(PG_locked, page.addr_of_flags(p));
  if (!locked) preempt_enable();
  return locked;
}

export function unlock_page(p: page): void {
  if (!CONFIG_SMP) return;
  clear_bit(PG_locked, page.addr_of_flags(p));
  preempt_enable();
}

/** The page at an index, for who has the inode's lock: without a reference of its own; null for a hole. */
export function find_get_page(mapping: address_space, index: u64): page {
  spin_lock(mapping.i_pages.xa_lock);
  const p = changetype<page>(pa(xa_load(mapping.i_pages, index)));
  spin_unlock(mapping.i_pages.xa_lock);
  return p;
}

/** The page at an index, with a reference: it may leave the cache, but stays what it is. */
export function filemap_get_page(mapping: address_space, index: u64): page {
  spin_lock(mapping.i_pages.xa_lock);
  const p = changetype<page>(pa(xa_load(mapping.i_pages, index)));
  if (!isnull(p)) get_page(p);
  spin_unlock(mapping.i_pages.xa_lock);
  return p;
}

/** -EEXIST: a fault of a mapping was first, which does not take the inode's lock. */
function __filemap_add(mapping: address_space, p: page, index: u64): i32 {
  // The page was to be had, so what the tree needs for it is.
  const flags = CONFIG_CRASH_DUMP ? 0 : memalloc_noreclaim_save();
  spin_lock(mapping.i_pages.xa_lock);
  const there = !CONFIG_CRASH_DUMP && xa_load(mapping.i_pages, index) != 0;
  const err = there ? -EEXIST : xa_store(mapping.i_pages, index, va(changetype<usize>(p)));
  if (!err) {
    p.mapping = mapping;
    p.index = index;
    mapping.nrpages += 1;
  }
  spin_unlock(mapping.i_pages.xa_lock);
  if (!CONFIG_CRASH_DUMP) memalloc_noreclaim_restore(flags);
  return err;
}

/**
 * A cleared page enters the cache and the lru, or the one that entered meanwhile; or an ERR_PTR. With the
 * inode's lock.
 */
export function add_to_page_cache_lru(mapping: address_space, index: u64): page {
  const p = alloc_page(mapping.gfp_mask);
  if (isnull(p)) return ERR_PTR<page>(-ENOMEM);
  memory.fill(page_to_phys(p), 0, PAGE_SIZE);
  const shmem = is_shmem(mapping);
  if (shmem) {
    // Nothing else holds what it holds, not even zeros.
    set_page_flag(p, PG_swapbacked);
    set_page_flag(p, PG_uptodate);
    set_page_flag(p, PG_dirty);
  }
  const err = __filemap_add(mapping, p, index);
  if (err) {
    put_page(p);
    if (err != -EEXIST) return ERR_PTR<page>(err);
    const other = find_get_page(mapping, index);
    return isnull(other) ? add_to_page_cache_lru(mapping, index) : other;
  }
  mod_node_page_state(NR_FILE_PAGES, 1);
  if (shmem) mod_node_page_state(NR_SHMEM, 1);
  lru_cache_add(p);
  return p;
}

/** The page at an index, to be written: uptodate and dirty, since nothing else holds its contents. */
export function grab_cache_page(mapping: address_space, index: u64): page {
  let p = find_get_page(mapping, index);
  if (isnull(p)) p = add_to_page_cache_lru(mapping, index);
  if (IS_ERR(p)) return p;
  set_page_flag(p, PG_uptodate);
  set_page_flag(p, PG_dirty);
  return p;
}

/**
 * Takes a page out of its file, and out of all page tables; false when it is there no more. The cache's
 * reference goes. With the page's lock.
 */
export function filemap_remove(mapping: address_space, index: u64, p: page): bool {
  if (!CONFIG_CRASH_DUMP && page_mapcount(p) > 0) unmap_mapping_pages(mapping, index, index);
  spin_lock(mapping.i_pages.xa_lock);
  const there = changetype<usize>(p.mapping) == changetype<usize>(mapping);
  if (there) {
    xa_erase(mapping.i_pages, index);
    p.mapping_va = 0;
    mapping.nrpages -= 1;
  }
  spin_unlock(mapping.i_pages.xa_lock);
  if (there) {
    lru_cache_del(p);
    clear_page_flag(p, PG_dirty);
  }
  if (!there) return false;
  mod_node_page_state(NR_FILE_PAGES, -1);
  if (!CONFIG_CRASH_DUMP && page_flag(p, PG_swapbacked)) mod_node_page_state(NR_SHMEM, -1);
  put_page(p);
  return true;
}

export function delete_from_page_cache(mapping: address_space, index: u64): void {
  const p = filemap_get_page(mapping, index);
  if (isnull(p)) return;
  lock_page(p);
  filemap_remove(mapping, index, p);
  unlock_page(p);
  put_page(p);
}

/**
 * Drops the pages behind the first `length` bytes, private copies that mappings have of them too, and clears
 * the rest of the last one. The inode's size says `length` already, so no fault brings one back.
 */
export function truncate_inode_pages(mapping: address_space, length: u64): void {
  const first = (length + PAGE_SIZE - 1) >> PAGE_SHIFT;
  if (!CONFIG_CRASH_DUMP) unmap_mapping_pages(mapping, first, u64.MAX_VALUE);
  for (let i = xa_find(mapping.i_pages, first); i != u64.MAX_VALUE; i = xa_find(mapping.i_pages, i + 1)) {
    delete_from_page_cache(mapping, i);
  }
  const within = <usize>length & (PAGE_SIZE - 1);
  if (within == 0) return;
  const p = find_get_page(mapping, length >> PAGE_SHIFT);
  if (isnull(p)) return;
  lock_page(p);
  memory.fill(page_to_phys(p) + within, 0, PAGE_SIZE - within);
  unlock_page(p);
}

@inline
function piece(pos: u64, n: u64): usize {
  const left = <usize>PAGE_SIZE - (<usize>pos & (PAGE_SIZE - 1));
  return n < left ? <usize>n : left;
}

export function generic_file_read(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const node = filp.f_inode;
  if (pos >= node.i_size) return 0;
  const end = min<i64>(pos + count, node.i_size);
  let at = pos;
  while (at < end) {
    const len = piece(at, end - at);
    const p = filemap_get_page(node.i_mapping, at >> PAGE_SHIFT);
    const left = isnull(p)
      ? clear_buf(buf + (at - pos), len)
      : copy_to_buf(buf + (at - pos), page_to_phys(p) + (<usize>at & (PAGE_SIZE - 1)), len);
    if (!isnull(p)) put_page(p);
    at += len - left;
    if (left) break;
  }
  return at == pos ? -EFAULT : at - pos;
}

export function generic_file_write(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const node = filp.f_inode;
  down_write(node.i_rwsem);
  const done = __generic_file_write(filp, node, buf, count, pos);
  up_write(node.i_rwsem);
  return done;
}

function __generic_file_write(filp: file, node: inode, buf: u64, count: usize, pos: i64): i64 {
  const start = filp.f_flags & O_APPEND ? node.i_size : pos;
  if (start < 0 || start + count > node.i_sb.s_maxbytes) return -EFBIG;
  let at = start;
  let err: i64 = 0;
  while (at < start + count) {
    const len = piece(at, start + count - at);
    const p = grab_cache_page(node.i_mapping, at >> PAGE_SHIFT);
    if (IS_ERR(p)) {
      err = PTR_ERR(p);
      break;
    }
    const left = copy_from_buf(page_to_phys(p) + (<usize>at & (PAGE_SIZE - 1)), buf + (at - start), len);
    at += len - left;
    if (left) {
      err = -EFAULT;
      break;
    }
  }
  if (at > node.i_size) node.i_size = at;
  if (at > start) inode_update_mtime(node);
  return at > start ? at - start : err;
}

/** Physical extents of cached pages, one a page; stops at a hole. For copies by DMA. */
export function generic_file_get_extents(
  filp: file,
  pos: i64,
  len: u64,
  extents: usize,
  max_extents: i32,
): i64 {
  const node = filp.f_inode;
  const end = min<i64>(pos + len, node.i_size);
  let n = 0;
  for (let at = pos; at < end && n < max_extents; n++) {
    const p = find_get_page(node.i_mapping, at >> PAGE_SHIFT);
    if (isnull(p)) break;
    const extent = changetype<hostfs_extent>(extents + n * hostfs_extent.SIZE);
    extent.addr = page_to_phys(p) + (<usize>at & (PAGE_SIZE - 1));
    extent.len = piece(at, end - at);
    at += extent.len;
  }
  return n;
}
