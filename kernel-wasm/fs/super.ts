/**
 * File systems and their superblocks (fs/filesystems.c, fs/super.c). A file system registers a
 * file_system_type whose `mount` makes the superblock, mostly by mount_nodev() with a function that fills it:
 *
 *     fill_super(sb: super_block, data: usize): i32     sets s_magic, s_op, s_d_op, s_root
 *
 * sb_lock guards the list of superblocks, file_systems_lock that of types. A superblock is never taken down.
 */
import {
  CONFIG_CRASH_DUMP,
  CONFIG_SMP,
  EBUSY,
  ENOMEM,
  GFP_KERNEL,
  PAGE_SHIFT,
  PAGE_SIZE,
} from "../include/generated/constants";
import { dentry, file_system_type, list_lru_node, super_block } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { ERR_PTR } from "../include/err";
import { read_lock, read_unlock, write_lock, write_unlock } from "../kernel/locking/qrwlock";
import { mutex_init } from "../kernel/locking/mutex";
import { down_read, down_write, init_rwsem, up_read, up_write } from "../kernel/locking/rwsem";
import { spin_lock, spin_unlock } from "../kernel/locking/spinlock";
import { INIT_LIST_HEAD, list_add_tail, list_del_init, list_is_head } from "../lib/list";
import { strcmp, strscpy } from "../lib/string";
import { kfree, kzalloc } from "../mm/slub";
import { dget } from "./dcache";

export function register_filesystem(type: file_system_type): i32 {
  INIT_LIST_HEAD(type.fs_supers);
  write_lock(sym.file_systems_lock);
  const known = !isnull(find_filesystem(type.name));
  if (!known) {
    type.next_va = sym.file_systems_va;
    sym.file_systems = type;
  }
  write_unlock(sym.file_systems_lock);
  return known ? -EBUSY : 0;
}

function find_filesystem(name: usize): file_system_type {
  let type = sym.file_systems;
  while (!isnull(type) && strcmp(type.name, name) != 0) type = type.next;
  return type;
}

export function get_fs_type(name: usize): file_system_type {
  read_lock(sym.file_systems_lock);
  const type = find_filesystem(name);
  read_unlock(sym.file_systems_lock);
  return type;
}

/** The list of a superblock's unused dentries, for one node of memory. */
function init_dentry_lru(sb: super_block): bool {
  const node = changetype<list_lru_node>(kzalloc(list_lru_node.SIZE, GFP_KERNEL));
  if (isnull(node)) return false;
  INIT_LIST_HEAD(node.lru.list);
  sb.s_dentry_lru.node = node;
  return true;
}

/** With s_umount, which says that it is not ready. */
function alloc_super(type: file_system_type, flags: i32): super_block {
  const sb = changetype<super_block>(kzalloc(super_block.SIZE, GFP_KERNEL));
  if (isnull(sb)) return sb;
  if (!CONFIG_CRASH_DUMP && !init_dentry_lru(sb)) {
    kfree(changetype<usize>(sb));
    return changetype<super_block>(0);
  }
  INIT_LIST_HEAD(sb.s_mounts);
  INIT_LIST_HEAD(sb.s_inodes);
  init_rwsem(sb.s_umount);
  mutex_init(sb.s_vfs_rename_mutex);
  down_write(sb.s_umount);
  sb.s_count = 1;
  sb.s_active.counter = 1;
  sb.s_type = type;
  sb.s_flags = flags;
  sb.s_blocksize = PAGE_SIZE;
  sb.s_blocksize_bits = PAGE_SHIFT;
  sb.s_maxbytes = i64.MAX_VALUE;
  strscpy(sb.s_id, type.name, 32);
  spin_lock(sym.sb_lock);
  sym.anon_dev_next += 1;
  sb.s_dev = sym.anon_dev_next;
  list_add_tail(sb.s_list, sym.super_blocks);
  spin_unlock(sym.sb_lock);
  return sb;
}

/** A superblock without a device; returns its root dentry or an ERR_PTR. */
export function mount_nodev(type: file_system_type, flags: i32, data: usize, fill_super: u64): dentry {
  const sb = alloc_super(type, flags);
  if (isnull(sb)) return ERR_PTR<dentry>(-ENOMEM);
  const err = call_indirect<i32>(text_index(fill_super), sb, data);
  up_write(sb.s_umount);
  if (err) {
    spin_lock(sym.sb_lock);
    __put_super(sb);
    spin_unlock(sym.sb_lock);
    return ERR_PTR<dentry>(err);
  }
  return dget(sb.s_root);
}

/** Gives up a reference; with the last one the superblock goes. The caller has sb_lock. */
function __put_super(sb: super_block): void {
  sb.s_count -= 1;
  if (CONFIG_SMP && sb.s_count) return;
  list_del_init(sb.s_list);
  if (!CONFIG_CRASH_DUMP) kfree(changetype<usize>(sb.s_dentry_lru.node));
  kfree(changetype<usize>(sb));
}

/** Calls `f(sb: super_block): u64` for each superblock that is ready; the sum. */
export function iterate_supers(f: u64): u64 {
  const head = sym.super_blocks;
  let sum: u64 = 0;
  spin_lock(sym.sb_lock);
  for (let at = head.next; !list_is_head(at, head); ) {
    const sb = super_block.from_s_list(at);
    sb.s_count += 1;
    spin_unlock(sym.sb_lock);
    down_read(sb.s_umount);
    if (sb.s_root_va != 0) sum += call_indirect<u64>(text_index(f), sb);
    up_read(sb.s_umount);
    spin_lock(sym.sb_lock);
    at = at.next;
    __put_super(sb);
  }
  spin_unlock(sym.sb_lock);
  return sum;
}
