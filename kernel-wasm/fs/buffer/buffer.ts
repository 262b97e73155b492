/**
 * Buffer heads (fs/buffer.c): the blocks of a page in a block device's cache. They hang in a ring on
 * page.private, the page carries PG_private and one reference more. Who reads or writes a device has its
 * inode's lock, which guards its pages' rings; a ring goes with the page's lock too, since a page that is
 * mapped becomes dirty with that alone. BH_Lock is on a buffer while its block moves.
 */
import {
  BH_Dirty,
  BH_Lock,
  BH_Mapped,
  BH_Uptodate,
  EIO,
  ENOMEM,
  GFP_NOFS,
  NR_FILE_DIRTY,
  PAGE_SHIFT,
  PAGE_SIZE,
  PG_dirty,
  PG_private,
  PGPGIN,
  PGPGOUT,
  PG_uptodate,
  SECTOR_SHIFT,
  SLAB_PANIC,
  SLAB_RECLAIM_ACCOUNT,
  __GFP_ZERO,
} from "../../include/generated/constants";
import { block_device, buffer_head, page } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { cpu_relax } from "../../kernel/locking/spinlock";
import { clear_bit, set_bit, test_and_set_bit } from "../../lib/atomic";
import { INIT_LIST_HEAD } from "../../lib/list";
import { clear_page_flag, page_flag, page_to_phys, set_page_flag } from "../../mm/page";
import { get_page, put_page } from "../../mm/page_alloc";
import { kmem_cache_alloc, kmem_cache_create, kmem_cache_free } from "../../mm/slub";
import { page_mkclean } from "../../mm/i_mmap";
import { page_mapcount } from "../../mm/rmap";
import { count_vm_events } from "../../mm/vm_event";
import { mod_node_page_state } from "../../mm/vmstat";

export function buffer_init(): void {
  const flags = SLAB_RECLAIM_ACCOUNT | SLAB_PANIC;
  sym.bh_cachep = kmem_cache_create(c`buffer_head`, <u32>buffer_head.SIZE, 0, flags, 0);
}

@inline export function page_buffers(p: page): buffer_head {
  return changetype<buffer_head>(pa(p.private_));
}

@inline function buffer_flag(bh: buffer_head, bit: i32): bool {
  return ((bh.b_state >> <u64>bit) & 1) != 0;
}

@inline function set_buffer_flag(bh: buffer_head, bit: i32): void {
  set_bit(bit, buffer_head.addr_of_b_state(bh));
}

/** A buffer for the block of `size` bytes at `offset` of a page. */
function alloc_buffer(p: page, bdev: block_device, offset: usize, size: usize): buffer_head {
  const bh = changetype<buffer_head>(kmem_cache_alloc(sym.bh_cachep, GFP_NOFS | __GFP_ZERO));
  if (isnull(bh)) return bh;
  INIT_LIST_HEAD(bh.b_assoc_buffers);
  bh.b_page = p;
  bh.b_data = page_to_phys(p) + offset;
  bh.b_size = size;
  bh.b_bdev = bdev;
  bh.b_blocknr = ((p.index << PAGE_SHIFT) + offset) / size;
  set_buffer_flag(bh, BH_Mapped);
  if (page_flag(p, PG_uptodate)) set_buffer_flag(bh, BH_Uptodate);
  // Written through a mapping while it had no buffers.
  if (page_flag(p, PG_dirty)) set_buffer_flag(bh, BH_Dirty);
  return bh;
}

function free_ring(first: buffer_head): void {
  let bh = first;
  while (!isnull(bh)) {
    const next = bh.b_this_page;
    kmem_cache_free(sym.bh_cachep, changetype<usize>(bh));
    bh = next;
    if (changetype<usize>(bh) == changetype<usize>(first)) break;
  }
}

/** The page's ring, made when it has none; null: no memory. */
export function create_page_buffers(p: page, bdev: block_device, size: usize): buffer_head {
  if (page_flag(p, PG_private)) return page_buffers(p);
  let first = changetype<buffer_head>(0);
  let last = first;
  for (let offset = <isize>(PAGE_SIZE - size); offset >= 0; offset -= <isize>size) {
    const bh = alloc_buffer(p, bdev, offset, size);
    if (isnull(bh)) {
      free_ring(first);
      return bh;
    }
    bh.b_this_page = first;
    if (isnull(last)) last = bh;
    first = bh;
  }
  last.b_this_page = first;
  get_page(p);
  p.private_ = va(changetype<usize>(first));
  set_page_flag(p, PG_private);
  return first;
}

/** Takes clean buffers off a page; false when one is dirty. */
export function try_to_free_buffers(p: page): bool {
  const first = page_buffers(p);
  let bh = first;
  do {
    if (buffer_flag(bh, BH_Dirty)) return false;
    bh = bh.b_this_page;
  } while (changetype<usize>(bh) != changetype<usize>(first));
  p.private_ = 0;
  clear_page_flag(p, PG_private);
  free_ring(first);
  put_page(p);
  return true;
}

/** A page that leaves the cache whatever its buffers hold: what was not written is lost. */
export function block_invalidate_page(p: page): void {
  const first = page_buffers(p);
  let bh = first;
  do {
    clear_bit(BH_Dirty, buffer_head.addr_of_b_state(bh));
    bh = bh.b_this_page;
  } while (changetype<usize>(bh) != changetype<usize>(first));
  if (page_flag(p, PG_dirty)) {
    clear_page_flag(p, PG_dirty);
    mod_node_page_state(NR_FILE_DIRTY, -1);
  }
  try_to_free_buffers(p);
}

/** The holder does not sleep, so who waits spins. */
function lock_buffer(bh: buffer_head): void {
  while (test_and_set_bit(BH_Lock, buffer_head.addr_of_b_state(bh))) cpu_relax();
}

function unlock_buffer(bh: buffer_head): void {
  clear_bit(BH_Lock, buffer_head.addr_of_b_state(bh));
}

function transfer(bh: buffer_head, write: bool): i32 {
  const bdev = bh.b_bdev;
  const sector = bh.b_blocknr * (bh.b_size >> SECTOR_SHIFT);
  const fn = text_index(bdev.bd_disk.fops.rw_block);
  count_vm_events(write ? PGPGOUT : PGPGIN, bh.b_size >> SECTOR_SHIFT);
  lock_buffer(bh);
  const err = call_indirect<i32>(fn, bdev, sector, bh.b_data, <u32>bh.b_size, write ? 1 : 0);
  unlock_buffer(bh);
  return err;
}

/** Brings the blocks that overlap [from, to) of a page and are not up to date in from the device. */
export function block_read_range(p: page, first: buffer_head, from: usize, to: usize): i32 {
  let bh = first;
  let at: usize = 0;
  do {
    const end = at + <usize>bh.b_size;
    if (at < to && end > from && !buffer_flag(bh, BH_Uptodate)) {
      if (transfer(bh, false)) return -EIO;
      set_buffer_flag(bh, BH_Uptodate);
    }
    at = end;
    bh = bh.b_this_page;
  } while (changetype<usize>(bh) != changetype<usize>(first));
  if (from == 0 && to == PAGE_SIZE) set_page_flag(p, PG_uptodate);
  return 0;
}

/** Before a write to [from, to): blocks that it covers only in part are read, the rest need not be. */
export function block_write_begin(p: page, bdev: block_device, size: usize, from: usize, to: usize): i32 {
  const first = create_page_buffers(p, bdev, size);
  if (isnull(first)) return -ENOMEM;
  let bh = first;
  let at: usize = 0;
  do {
    const end = at + <usize>bh.b_size;
    if (at < to && end > from && (from > at || to < end) && !buffer_flag(bh, BH_Uptodate)) {
      if (transfer(bh, false)) return -EIO;
      set_buffer_flag(bh, BH_Uptodate);
    }
    at = end;
    bh = bh.b_this_page;
  } while (changetype<usize>(bh) != changetype<usize>(first));
  return 0;
}

/** After it: what was written is up to date and dirty; the page is up to date when all its blocks are. */
export function block_write_end(p: page, from: usize, to: usize): void {
  const first = page_buffers(p);
  let bh = first;
  let at: usize = 0;
  let all = true;
  do {
    const end = at + <usize>bh.b_size;
    if (at < to && end > from) {
      set_buffer_flag(bh, BH_Uptodate);
      set_buffer_flag(bh, BH_Dirty);
    }
    if (!buffer_flag(bh, BH_Uptodate)) all = false;
    at = end;
    bh = bh.b_this_page;
  } while (changetype<usize>(bh) != changetype<usize>(first));
  if (all) set_page_flag(p, PG_uptodate);
  if (page_flag(p, PG_dirty)) return;
  set_page_flag(p, PG_dirty);
  mod_node_page_state(NR_FILE_DIRTY, 1);
}

/** A page is written through a mapping: all its blocks are dirty. With the page's lock. */
export function __set_page_dirty_buffers(p: page): i32 {
  if (page_flag(p, PG_private)) {
    const first = page_buffers(p);
    let bh = first;
    do {
      set_buffer_flag(bh, BH_Dirty);
      bh = bh.b_this_page;
    } while (changetype<usize>(bh) != changetype<usize>(first));
  }
  if (page_flag(p, PG_dirty)) return 0;
  set_page_flag(p, PG_dirty);
  mod_node_page_state(NR_FILE_DIRTY, 1);
  return 1;
}

/**
 * Writes a page's dirty blocks to the device. With the page's lock: from then on the next write through a
 * mapping is a fault again, which makes it dirty.
 */
export function block_write_full_page(p: page, bdev: block_device, size: usize): i32 {
  const first = create_page_buffers(p, bdev, size);
  if (isnull(first)) return -ENOMEM;
  if (page_mapcount(p) > 0) page_mkclean(p);
  let bh = first;
  do {
    if (buffer_flag(bh, BH_Dirty)) {
      const err = transfer(bh, true);
      if (err) return err;
      clear_bit(BH_Dirty, buffer_head.addr_of_b_state(bh));
    }
    bh = bh.b_this_page;
  } while (changetype<usize>(bh) != changetype<usize>(first));
  clear_page_flag(p, PG_dirty);
  mod_node_page_state(NR_FILE_DIRTY, -1);
  return 0;
}
