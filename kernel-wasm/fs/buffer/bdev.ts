/**
 * Block devices as files (block/bdev.c, block/fops.c, block/genhd.c): reads and writes of /dev/ram0 go
 * through the page cache of the device's own inode, which belongs to the file system "bdev".
 */
import {
  BDEVFS_MAGIC,
  EFAULT,
  EIO,
  ENOMEM,
  ENOSPC,
  ENXIO,
  GFP_KERNEL,
  MINORBITS,
  PAGE_SHIFT,
  PAGE_SIZE,
  PG_dirty,
  PG_private,
  SEEK_CUR,
  SEEK_END,
  SEEK_SET,
  EINVAL,
  SLAB_PANIC,
  S_IFBLK,
  S_IFDIR,
} from "../../include/generated/constants";
import {
  address_space,
  bdev_inode,
  block_device,
  dentry,
  file,
  file_system_type,
  gendisk,
  inode,
  page,
  super_block,
} from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { IS_ERR, PTR_ERR } from "../../include/err";
import { copy_from_buf, copy_to_buf, fault_in_user_range } from "../../arch/lib/usercopy";
import { rwsem_is_mine } from "../../kernel/locking/rwsem";
import { spin_lock, spin_unlock } from "../../kernel/locking/spinlock";
import { panic } from "../../kernel/panic";
import { INIT_LIST_HEAD, list_add_tail, list_is_head } from "../../lib/list";
import { snprintf } from "../../lib/vsprintf";
import { xa_find } from "../../lib/xarray";
import {
  add_to_page_cache_lru,
  filemap_get_page,
  filemap_remove,
  find_get_page,
  lock_page,
  unlock_page,
} from "../../mm/filemap";
import { generic_file_mmap } from "../../mm/filemap_fault";
import { page_count, page_flag, page_to_phys } from "../../mm/page";
import { get_page, put_page } from "../../mm/page_alloc";
import { page_mapcount } from "../../mm/rmap";
import { mark_page_accessed } from "../../mm/swap";
import { kfree, kmem_cache_create, kmem_cache_zalloc, kzalloc } from "../../mm/slub";
import { d_make_root } from "../dcache";
import { MKDEV, init_inode, inode_lock, inode_unlock, new_inode } from "../inode";
import { do_mknod } from "../names";
import { mount_nodev, register_filesystem } from "../super";
import {
  __set_page_dirty_buffers,
  block_read_range,
  block_write_begin,
  block_write_end,
  block_write_full_page,
  buffer_init,
  create_page_buffers,
  try_to_free_buffers,
} from "./buffer";

const NAME_MAX: u32 = 48;

export function bd_fill_super(sb: super_block, data: usize): i32 {
  sb.s_magic = BDEVFS_MAGIC;
  const root_inode = new_inode(sb);
  if (isnull(root_inode)) return -ENOMEM;
  root_inode.i_mode = S_IFDIR;
  const root = d_make_root(root_inode);
  if (isnull(root)) return -ENOMEM;
  sb.s_root = root;
  return 0;
}

export function bd_mount(type: file_system_type, flags: i32, dev_name: usize, data: usize): dentry {
  return mount_nodev(type, flags, data, fnptr(bd_fill_super));
}

/** The file system of the devices' inodes; call before the first add_disk(). */
export function bdev_cache_init(): void {
  buffer_init();
  INIT_LIST_HEAD(sym.block_disks);
  sym.bdev_cachep = kmem_cache_create(c`bdev_cache`, <u32>bdev_inode.SIZE, 0, SLAB_PANIC, 0);
  sym.bd_type.name = c`bdev`;
  sym.bd_type.mount = fnptr(bd_mount);
  register_filesystem(sym.bd_type);
  const root = bd_mount(sym.bd_type, 0, 0, 0);
  if (IS_ERR(root)) panic(c`Cannot create bdev pseudo-fs`);
  sym.blockdev_superblock = root.d_sb;
  const fops = sym.def_blk_fops;
  sym.def_blk_aops.readpage = fnptr(blkdev_readpage);
  sym.def_blk_aops.set_page_dirty = fnptr(__set_page_dirty_buffers);
  fops.mmap = fnptr(generic_file_mmap);
  fops.open = fnptr(blkdev_open);
  fops.llseek = fnptr(blkdev_llseek);
  fops.read = fnptr(blkdev_read_iter);
  fops.write = fnptr(blkdev_write_iter);
  fops.fsync = fnptr(blkdev_fsync);
}

/** Makes a disk of so many bytes known: its inode, and its node in /dev. */
export function add_disk(disk: gendisk, bytes: u64): i32 {
  const both = changetype<bdev_inode>(kmem_cache_zalloc(sym.bdev_cachep, GFP_KERNEL));
  if (isnull(both)) return -ENOMEM;
  const node = both.vfs_inode;
  init_inode(node, sym.blockdev_superblock);
  node.i_mode = S_IFBLK;
  node.i_rdev = MKDEV(disk.major, disk.first_minor);
  node.i_ino = node.i_rdev;
  node.i_size = bytes;
  node.i_data.a_ops = sym.def_blk_aops;
  const bdev = both.bdev;
  bdev.bd_dev = node.i_rdev;
  bdev.bd_inode = node;
  bdev.bd_disk = disk;
  disk.part0 = bdev;
  list_add_tail(disk.list, sym.block_disks);
  const path = kzalloc(NAME_MAX, GFP_KERNEL);
  if (!path) return -ENOMEM;
  snprintf(path, NAME_MAX, c`/dev/%s`, disk.disk_name);
  const err = do_mknod(path, S_IFBLK | 0o660, node.i_rdev);
  kfree(path);
  return err;
}

/** The device of a number, or null. */
export function blkdev_get_no_open(dev: u32): block_device {
  const head = sym.block_disks;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const disk = gendisk.from_list(at);
    const minor = dev & ((1 << MINORBITS) - 1);
    if (<u32>disk.major == dev >> MINORBITS && <u32>disk.first_minor == minor) return disk.part0;
  }
  return changetype<block_device>(0);
}

@inline function bdev_of(filp: file): block_device {
  return changetype<block_device>(filp.private_data);
}

@inline function block_size(bdev: block_device): usize {
  return <usize>1 << bdev.bd_inode.i_blkbits;
}

export function blkdev_open(node: inode, filp: file): i32 {
  const bdev = blkdev_get_no_open(node.i_rdev);
  if (isnull(bdev)) return -ENXIO;
  inode_lock(bdev.bd_inode);
  bdev.bd_openers += 1;
  inode_unlock(bdev.bd_inode);
  filp.private_data = changetype<usize>(bdev);
  filp.f_mapping = bdev.bd_inode.i_mapping;
  return 0;
}

export function blkdev_llseek(filp: file, offset: i64, whence: i32): i64 {
  const size = bdev_of(filp).bd_inode.i_size;
  let to = offset;
  if (whence == SEEK_END) to += size;
  else if (whence == SEEK_CUR) to += filp.f_pos;
  else if (whence != SEEK_SET) return -EINVAL;
  if (to < 0 || to > size) return -EINVAL;
  filp.f_pos = to;
  return to;
}

@inline function piece(at: i64, left: i64): usize {
  return <usize>min<i64>(PAGE_SIZE - (at & (PAGE_SIZE - 1)), left);
}

export function blkdev_read_iter(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const bdev = bdev_of(filp);
  fault_in_user_range(buf, count, true);
  inode_lock(bdev.bd_inode);
  const n = bdev_read(bdev, buf, count, pos);
  inode_unlock(bdev.bd_inode);
  return n;
}

/** The page at an index, made when there is none, with a reference: the work on it may need memory. */
function grab_bdev_page(mapping: address_space, index: u64): page {
  const found = filemap_get_page(mapping, index);
  if (!isnull(found)) return found;
  const p = add_to_page_cache_lru(mapping, index);
  if (!IS_ERR(p)) get_page(p);
  return p;
}

function bdev_read(bdev: block_device, buf: u64, count: usize, pos: i64): i64 {
  const mapping = bdev.bd_inode.i_mapping;
  const end = min<i64>(pos + count, bdev.bd_inode.i_size);
  let at = pos;
  let err: i64 = 0;
  while (at < end && !err) {
    const len = piece(at, end - at);
    const index = <u64>at >> PAGE_SHIFT;
    const p = grab_bdev_page(mapping, index);
    if (IS_ERR(p)) {
      err = PTR_ERR(p);
      break;
    }
    mark_page_accessed(p);
    const first = create_page_buffers(p, bdev, block_size(bdev));
    err = isnull(first) ? -ENOMEM : block_read_range(p, first, 0, PAGE_SIZE);
    if (!err) {
      const left = copy_to_buf(buf + (at - pos), page_to_phys(p) + (<usize>at & (PAGE_SIZE - 1)), len);
      at += len - left;
      if (left) err = -EFAULT;
    }
    put_page(p);
  }
  return at > pos ? at - pos : err;
}

export function blkdev_write_iter(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const bdev = bdev_of(filp);
  fault_in_user_range(buf, count, false);
  inode_lock(bdev.bd_inode);
  const n = bdev_write(bdev, buf, count, pos);
  inode_unlock(bdev.bd_inode);
  return n;
}

function bdev_write(bdev: block_device, buf: u64, count: usize, pos: i64): i64 {
  const mapping = bdev.bd_inode.i_mapping;
  const end = min<i64>(pos + count, bdev.bd_inode.i_size);
  if (count && pos >= end) return -ENOSPC;
  let at = pos;
  let err: i64 = 0;
  while (at < end && !err) {
    const len = piece(at, end - at);
    const index = <u64>at >> PAGE_SHIFT;
    const offset = <usize>at & (PAGE_SIZE - 1);
    const p = grab_bdev_page(mapping, index);
    if (IS_ERR(p)) {
      err = PTR_ERR(p);
      break;
    }
    err = block_write_begin(p, bdev, block_size(bdev), offset, offset + len);
    if (!err) {
      const left = copy_from_buf(page_to_phys(p) + offset, buf + (at - pos), len);
      const copied = len - left;
      if (copied) block_write_end(p, offset, offset + copied);
      at += copied;
      if (left) err = -EFAULT;
    }
    put_page(p);
  }
  return at > pos ? at - pos : err;
}

/** Writes every dirty page of a device's cache to the device. */
export function __sync_blockdev(bdev: block_device): i32 {
  inode_lock(bdev.bd_inode);
  const err = write_pages(bdev);
  inode_unlock(bdev.bd_inode);
  return err;
}

function write_pages(bdev: block_device): i32 {
  const mapping = bdev.bd_inode.i_mapping;
  for (let i = xa_find(mapping.i_pages, 0); i != u64.MAX_VALUE; i = xa_find(mapping.i_pages, i + 1)) {
    const p = find_get_page(mapping, i);
    if (!page_flag(p, PG_dirty)) continue;
    lock_page(p);
    const err = page_flag(p, PG_dirty) ? block_write_full_page(p, bdev, block_size(bdev)) : 0;
    unlock_page(p);
    if (err) return err;
  }
  return 0;
}

export function blkdev_fsync(filp: file, start: i64, end: i64, datasync: i32): i32 {
  return __sync_blockdev(bdev_of(filp));
}

/** Blocks of another size from now on: what the cache has is written, and dropped (kill_bdev()). */
export function set_blocksize(bdev: block_device, bits: u8): i32 {
  const node = bdev.bd_inode;
  inode_lock(node);
  const err = write_pages(bdev);
  if (!err) {
    invalidate_mapping_pages(node.i_mapping);
    node.i_blkbits = bits;
  }
  inode_unlock(node);
  return err;
}

/** With the inode's lock. What is dirty, mapped or in somebody's hands stays. */
export function invalidate_mapping_pages(mapping: address_space): u64 {
  let dropped: u64 = 0;
  for (let i = xa_find(mapping.i_pages, 0); i != u64.MAX_VALUE; i = xa_find(mapping.i_pages, i + 1)) {
    const p = filemap_get_page(mapping, i);
    if (isnull(p)) continue;
    lock_page(p);
    // References of the cache, of the buffers, and this one: a fault that has the page has one more.
    const idle = page_count(p) == (page_flag(p, PG_private) ? 3 : 2) && page_mapcount(p) == 0;
    const clean = !page_flag(p, PG_dirty) && (!idle || !page_flag(p, PG_private) || try_to_free_buffers(p));
    if (idle && clean && filemap_remove(mapping, i, p)) dropped++;
    unlock_page(p);
    put_page(p);
  }
  return dropped;
}

/** readpage; -EIO when it is this task itself that has the device's lock. */
export function blkdev_readpage(mapping: address_space, p: page): i32 {
  const bdev = bdev_inode.from_vfs_inode(mapping.host).bdev;
  if (rwsem_is_mine(mapping.host.i_rwsem)) return -EIO;
  inode_lock(bdev.bd_inode);
  const first = create_page_buffers(p, bdev, block_size(bdev));
  const err = isnull(first) ? -ENOMEM : block_read_range(p, first, 0, PAGE_SIZE);
  inode_unlock(bdev.bd_inode);
  return err;
}

/** Pages that all devices' caches hold: "Buffers" of /proc/meminfo. */
export function nr_blockdev_pages(): u64 {
  const sb = sym.blockdev_superblock;
  const head = sb.s_inodes;
  let pages: u64 = 0;
  spin_lock(sb.s_inode_list_lock);
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    pages += inode.from_i_sb_list(at).i_mapping.nrpages;
  }
  spin_unlock(sb.s_inode_list_lock);
  return pages;
}
