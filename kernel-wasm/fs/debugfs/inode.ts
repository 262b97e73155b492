/**
 * debugfs (fs/debugfs/inode.c): files that drivers make for developers, mounted at /sys/kernel/debug. One
 * superblock, made at boot; a mount is another way to its root. A file's operations are the driver's own.
 */
import { DEBUGFS_MAGIC, ENOMEM, S_IFDIR, S_IFREG } from "../../include/generated/constants";
import {
  dentry,
  file_operations,
  file_system_type,
  inode,
  super_block,
} from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { IS_ERR, PTR_ERR } from "../../include/err";
import { strlen } from "../../lib/string";
import { d_alloc, d_make_root, dget } from "../dcache";
import { get_next_ino, new_inode } from "../inode";
import { d_pin, simple_lookup } from "../libfs";
import { mount_nodev, register_filesystem } from "../super";
import { sysfs_create_dir } from "../sysfs";

function debugfs_get_inode(sb: super_block, mode: u32): inode {
  const node = new_inode(sb);
  if (isnull(node)) return node;
  node.i_ino = get_next_ino();
  node.i_mode = <u16>mode;
  if ((mode & S_IFDIR) != 0) {
    node.i_op = sym.debugfs_dir_inode_operations;
    node.i_fop = sym.simple_dir_operations;
    node.i_nlink = 2;
  }
  return node;
}

/** A name in `parent` (null: the root), pinned; null when memory is short. */
function debugfs_create(name: usize, mode: u32, parent: dentry): dentry {
  const dir = isnull(parent) ? sym.debugfs_sb.s_root : parent;
  const d = d_alloc(dir, name, strlen(name), sym.debugfs_sb);
  if (isnull(d)) return d;
  const node = debugfs_get_inode(sym.debugfs_sb, mode);
  if (isnull(node)) return changetype<dentry>(0);
  d_pin(d, node);
  return d;
}

export function debugfs_create_dir(name: usize, parent: dentry): dentry {
  const d = debugfs_create(name, S_IFDIR | 0o755, parent);
  if (!isnull(d)) d.d_parent.d_inode.i_nlink += 1;
  return d;
}

export function debugfs_create_file(name: usize, mode: u32, parent: dentry, fops: file_operations): dentry {
  const d = debugfs_create(name, S_IFREG | mode, parent);
  if (!isnull(d)) d.d_inode.i_fop = fops;
  return d;
}

export function debug_fill_super(sb: super_block, data: usize): i32 {
  sb.s_magic = DEBUGFS_MAGIC;
  const root = d_make_root(debugfs_get_inode(sb, S_IFDIR | 0o700));
  if (isnull(root)) return -ENOMEM;
  sb.s_root = root;
  sym.debugfs_sb = sb;
  return 0;
}

export function debug_mount(type: file_system_type, flags: i32, dev_name: usize, data: usize): dentry {
  if (isnull(sym.debugfs_sb)) return mount_nodev(type, flags, data, fnptr(debug_fill_super));
  return dget(sym.debugfs_sb.s_root);
}

/** core_initcall, before anything is mounted: /sys/kernel/debug, and the superblock. */
export function debugfs_init(): i32 {
  if (isnull(sysfs_create_dir(c`debug`, sym.kernel_kobj))) return -ENOMEM;
  sym.debugfs_dir_inode_operations.lookup = fnptr(simple_lookup);
  const type = sym.debug_fs_type;
  type.name = c`debugfs`;
  type.mount = fnptr(debug_mount);
  const err = register_filesystem(type);
  if (err) return err;
  const root = debug_mount(type, 0, c`debugfs`, 0);
  return IS_ERR(root) ? PTR_ERR(root) : 0;
}
