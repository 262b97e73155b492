/**
 * File systems and their superblocks (fs/filesystems.c, fs/super.c). A file system registers a
 * file_system_type whose `mount` makes the superblock, mostly by mount_nodev() with a function that fills it:
 *
 *     fill_super(sb: super_block, data: usize): i32     sets s_magic, s_op, s_d_op, s_root
 */
import {
  EBUSY,
  ENOMEM,
  GFP_KERNEL,
  PAGE_SHIFT,
  PAGE_SIZE,
} from "../include/generated/constants";
import { dentry, file_system_type, super_block } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { ERR_PTR } from "../include/err";
import { INIT_LIST_HEAD, list_add_tail, list_del_init } from "../lib/list";
import { strcmp, strscpy } from "../lib/string";
import { kfree, kzalloc } from "../mm/slub";
import { dget } from "./dcache";

export function register_filesystem(type: file_system_type): i32 {
  if (!isnull(get_fs_type(type.name))) return -EBUSY;
  INIT_LIST_HEAD(type.fs_supers);
  type.next_va = sym.file_systems_va;
  sym.file_systems = type;
  return 0;
}

export function get_fs_type(name: usize): file_system_type {
  let type = sym.file_systems;
  while (!isnull(type) && strcmp(type.name, name) != 0) type = type.next;
  return type;
}

function alloc_super(type: file_system_type, flags: i32): super_block {
  const sb = changetype<super_block>(kzalloc(super_block.SIZE, GFP_KERNEL));
  if (isnull(sb)) return sb;
  INIT_LIST_HEAD(sb.s_mounts);
  INIT_LIST_HEAD(sb.s_inodes);
  INIT_LIST_HEAD(sb.s_umount.wait_list);
  sb.s_count = 1;
  sb.s_active.counter = 1;
  sb.s_type = type;
  sb.s_flags = flags;
  sb.s_blocksize = PAGE_SIZE;
  sb.s_blocksize_bits = PAGE_SHIFT;
  sb.s_maxbytes = i64.MAX_VALUE;
  sym.anon_dev_next += 1;
  sb.s_dev = sym.anon_dev_next;
  strscpy(sb.s_id, type.name, 32);
  list_add_tail(sb.s_list, sym.super_blocks);
  return sb;
}

/** A superblock without a device; returns its root dentry or an ERR_PTR. */
export function mount_nodev(type: file_system_type, flags: i32, data: usize, fill_super: u64): dentry {
  const sb = alloc_super(type, flags);
  if (isnull(sb)) return ERR_PTR<dentry>(-ENOMEM);
  const err = call_indirect<i32>(text_index(fill_super), sb, data);
  if (err) {
    list_del_init(sb.s_list);
    kfree(changetype<usize>(sb));
    return ERR_PTR<dentry>(err);
  }
  return dget(sb.s_root);
}
