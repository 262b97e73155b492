/**
 * Inodes (fs/inode.c): a file's identity, whatever its names. i_rwsem (inode_lock) guards what is in the
 * file, or the names in the directory.
 */
import {
  CONFIG_CRASH_DUMP,
  GFP_KERNEL,
  MINORBITS,
  PAGE_SHIFT,
  S_IFBLK,
  S_IFCHR,
  S_IFMT,
} from "../include/generated/constants";
import { inode, super_block } from "../include/generated/structs";
import { sym, this_cpu } from "../include/generated/symbols";
import { down_write, down_write_trylock, init_rwsem, up_write } from "../kernel/locking/rwsem";
import { spin_lock, spin_lock_init, spin_unlock } from "../kernel/locking/spinlock";
import { ktime_get_real } from "../kernel/time";
import { atomic_dec_and_test, atomic_inc, atomic_inc_not_zero } from "../lib/atomic";
import { INIT_LIST_HEAD, list_add, list_del_init, list_is_head } from "../lib/list";
import { xa_init_flags } from "../lib/xarray";
import { truncate_inode_pages } from "../mm/filemap";
import { kfree, kzalloc } from "../mm/slub";

@inline
export function S_ISDIR(mode: u32): bool {
  return (mode & S_IFMT) == 0o040000;
}

@inline
export function S_ISREG(mode: u32): bool {
  return (mode & S_IFMT) == 0o100000;
}

@inline
export function S_ISLNK(mode: u32): bool {
  return (mode & S_IFMT) == 0o120000;
}

@inline
export function S_ISCHR(mode: u32): bool {
  return (mode & S_IFMT) == S_IFCHR;
}

export function MKDEV(major: u32, minor: u32): u32 {
  return (major << MINORBITS) | minor;
}

export function get_next_ino(): u64 {
  return atomic.add<u64>(sym.addr_of_last_ino(), 1) + 1;
}

/** A fresh inode of a file system, one reference, no operations. Null when memory is short. */
export function new_inode(sb: super_block): inode {
  const node = changetype<inode>(kzalloc(inode.SIZE, GFP_KERNEL));
  if (!isnull(node)) init_inode(node, sb);
  return node;
}

/** Makes a cleared inode one of `sb`, where it is part of something larger. */
export function init_inode(node: inode, sb: super_block): void {
  node.i_sb = sb;
  node.i_nlink = 1;
  spin_lock_init(node.i_lock);
  init_rwsem(node.i_rwsem);
  node.i_blkbits = PAGE_SHIFT;
  node.i_count.counter = 1;
  node.i_mapping = node.i_data;
  node.i_data.host = node;
  node.i_data.gfp_mask = GFP_KERNEL;
  init_rwsem(node.i_data.i_mmap_rwsem);
  xa_init_flags(node.i_data.i_pages, 0);
  INIT_LIST_HEAD(node.i_data.private_list);
  INIT_LIST_HEAD(node.i_lru);
  inode_set_times(node);
  if (!CONFIG_CRASH_DUMP) this_cpu.nr_inodes += 1;
  spin_lock(sb.s_inode_list_lock);
  list_add(node.i_sb_list, sb.s_inodes);
  spin_unlock(sb.s_inode_list_lock);
}

function inode_set_times(node: inode): void {
  const now = ktime_get_real();
  node.i_atime.tv_sec = now / 1000000000;
  node.i_atime.tv_nsec = now % 1000000000;
  memory.copy(changetype<usize>(node.i_mtime), changetype<usize>(node.i_atime), 16);
  memory.copy(changetype<usize>(node.i_ctime), changetype<usize>(node.i_atime), 16);
}

/** A write happened: file_update_time. */
export function inode_update_mtime(node: inode): void {
  const now = ktime_get_real();
  node.i_mtime.tv_sec = now / 1000000000;
  node.i_mtime.tv_nsec = now % 1000000000;
  memory.copy(changetype<usize>(node.i_ctime), changetype<usize>(node.i_mtime), 16);
}

@inline
export function inode_lock(node: inode): void {
  down_write(node.i_rwsem);
}

@inline
export function inode_unlock(node: inode): void {
  up_write(node.i_rwsem);
}

@inline
export function inode_trylock(node: inode): bool {
  return down_write_trylock(node.i_rwsem);
}

export function ihold(node: inode): void {
  atomic_inc(node.i_count);
}

/** The last reference takes the pages with it, then the file system's own part (evict_inode). */
export function iput(node: inode): void {
  if (isnull(node)) return;
  if (!atomic_dec_and_test(node.i_count)) return;
  truncate_inode_pages(node.i_mapping, 0);
  const sb = node.i_sb;
  if (sb.s_op_va != 0 && sb.s_op.evict_inode != 0) call_indirect<void>(text_index(sb.s_op.evict_inode), node);
  spin_lock(sb.s_inode_list_lock);
  list_del_init(node.i_sb_list);
  spin_unlock(sb.s_inode_list_lock);
  if (!CONFIG_CRASH_DUMP) this_cpu.nr_inodes -= 1;
  kfree(changetype<usize>(node));
}

/**
 * The inode of a superblock behind `from` (null: the first) that is in use, with a reference; that of `from`
 * is given up. Null at the end.
 */
export function next_inode(sb: super_block, from: inode): inode {
  const head = sb.s_inodes;
  let found = changetype<inode>(0);
  spin_lock(sb.s_inode_list_lock);
  let at = isnull(from) ? head.next : from.i_sb_list.next;
  for (; isnull(found) && !list_is_head(at, head); at = at.next) {
    const node = inode.from_i_sb_list(at);
    if (atomic_inc_not_zero(node.i_count)) found = node;
  }
  spin_unlock(sb.s_inode_list_lock);
  iput(from);
  return found;
}

export function init_special_inode(node: inode, mode: u32, rdev: u32): void {
  node.i_mode = <u16>mode;
  if (!CONFIG_CRASH_DUMP && (mode & S_IFMT) == S_IFBLK) node.i_fop = sym.def_blk_fops;
  else node.i_fop = sym.def_chr_fops;
  node.i_rdev = rdev;
}
