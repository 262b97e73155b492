/** ramfs (fs/ramfs/inode.c): files in the page cache alone. rootfs and /dev are of this kind. */
import {
  ATTR_SIZE,
  AS_UNEVICTABLE,
  CONFIG_CRASH_DUMP,
  ENOMEM,
  ENOSPC,
  GFP_KERNEL,
  RAMFS_MAGIC,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
} from "../../include/generated/constants";
import { dentry, file_system_type, iattr, inode, super_block } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import {
  generic_file_get_extents,
  generic_file_read,
  generic_file_write,
  truncate_inode_pages,
} from "../../mm/filemap";
import { __set_page_dirty_no_writeback, generic_file_mmap, simple_readpage } from "../../mm/filemap_fault";
import { strlen } from "../../lib/string";
import { kfree, kmalloc } from "../../mm/slub";
import { d_make_root } from "../dcache";
import {
  S_ISDIR,
  S_ISLNK,
  S_ISREG,
  get_next_ino,
  init_special_inode,
  inode_update_mtime,
  iput,
  new_inode,
} from "../inode";
import { d_pin, noop_fsync, simple_lookup, simple_rename, simple_rmdir, simple_unlink } from "../libfs";
import { generic_file_llseek } from "../read_write";
import { mount_nodev, register_filesystem } from "../super";

export function ramfs_get_inode(sb: super_block, mode: u32, dev: u32): inode {
  const node = new_inode(sb);
  if (isnull(node)) return node;
  node.i_ino = get_next_ino();
  node.i_mode = <u16>mode;
  // mapping_set_unevictable(): there is nowhere to bring its pages.
  if (!CONFIG_CRASH_DUMP) node.i_mapping.flags |= 1 << AS_UNEVICTABLE;
  if (S_ISDIR(mode)) {
    node.i_op = sym.ramfs_dir_inode_operations;
    node.i_fop = sym.simple_dir_operations;
    node.i_nlink = 2;
  } else if (S_ISREG(mode)) {
    node.i_op = sym.ramfs_file_inode_operations;
    node.i_fop = sym.ramfs_file_operations;
    node.i_data.a_ops = sym.ram_aops;
  } else if (CONFIG_CRASH_DUMP || !S_ISLNK(mode)) {
    init_special_inode(node, mode, dev);
  } else {
    node.i_op = sym.simple_symlink_inode_operations;
  }
  return node;
}

export function ramfs_mknod(dir: inode, d: dentry, mode: u32, dev: u32): i32 {
  const node = ramfs_get_inode(dir.i_sb, mode, dev);
  if (isnull(node)) return -ENOSPC;
  d_pin(d, node);
  inode_update_mtime(dir);
  return 0;
}

export function ramfs_create(dir: inode, d: dentry, mode: u32, excl: i32): i32 {
  return ramfs_mknod(dir, d, mode, 0);
}

export function ramfs_mkdir(dir: inode, d: dentry, mode: u32): i32 {
  const err = ramfs_mknod(dir, d, (mode & ~S_IFMT) | S_IFDIR, 0);
  if (!err) dir.i_nlink += 1;
  return err;
}

/** The text lies in the inode's own memory. */
export function ramfs_symlink(dir: inode, d: dentry, target: usize): i32 {
  const node = ramfs_get_inode(dir.i_sb, S_IFLNK | 0o777, 0);
  if (isnull(node)) return -ENOSPC;
  const len = strlen(target);
  const text = kmalloc(len + 1, GFP_KERNEL);
  if (!text) {
    iput(node);
    return -ENOMEM;
  }
  memory.copy(text, target, len + 1);
  node.i_link = text;
  node.i_size = len;
  d_pin(d, node);
  inode_update_mtime(dir);
  return 0;
}

/** The last reference to a link takes its text. */
export function ramfs_evict_inode(node: inode): void {
  if (S_ISLNK(node.i_mode)) kfree(node.i_link);
}

export function simple_setattr(d: dentry, attr: iattr): i32 {
  if (attr.ia_valid & ATTR_SIZE) {
    const node = d.d_inode;
    const shorter = attr.ia_size < node.i_size;
    node.i_size = attr.ia_size;
    if (shorter) truncate_inode_pages(node.i_mapping, attr.ia_size);
    inode_update_mtime(node);
  }
  return 0;
}

export function ramfs_fill_super(sb: super_block, data: usize): i32 {
  sb.s_magic = RAMFS_MAGIC;
  if (!CONFIG_CRASH_DUMP) sb.s_op = sym.ramfs_ops;
  const root = d_make_root(ramfs_get_inode(sb, S_IFDIR | 0o755, 0));
  if (isnull(root)) return -ENOMEM;
  sb.s_root = root;
  return 0;
}

export function ramfs_mount(type: file_system_type, flags: i32, dev_name: usize, data: usize): dentry {
  return mount_nodev(type, flags, data, fnptr(ramfs_fill_super));
}

function register(type: file_system_type, name: usize): void {
  type.name = name;
  type.mount = fnptr(ramfs_mount);
  register_filesystem(type);
}

export function init_ramfs_fs(): void {
  const dir = sym.ramfs_dir_inode_operations;
  dir.lookup = fnptr(simple_lookup);
  dir.create = fnptr(ramfs_create);
  dir.mkdir = fnptr(ramfs_mkdir);
  dir.mknod = fnptr(ramfs_mknod);
  dir.unlink = fnptr(simple_unlink);
  dir.rmdir = fnptr(simple_rmdir);
  dir.rename = fnptr(simple_rename);
  if (!CONFIG_CRASH_DUMP) {
    dir.symlink = fnptr(ramfs_symlink);
    sym.ramfs_ops.evict_inode = fnptr(ramfs_evict_inode);
  }
  sym.ramfs_file_inode_operations.setattr = fnptr(simple_setattr);
  const file = sym.ramfs_file_operations;
  file.llseek = fnptr(generic_file_llseek);
  file.read = fnptr(generic_file_read);
  file.write = fnptr(generic_file_write);
  if (!CONFIG_CRASH_DUMP) {
    file.mmap = fnptr(generic_file_mmap);
    sym.ram_aops.readpage = fnptr(simple_readpage);
    sym.ram_aops.set_page_dirty = fnptr(__set_page_dirty_no_writeback);
  }
  file.fsync = fnptr(noop_fsync);
  file.get_extents = fnptr(generic_file_get_extents);
  register(sym.ramfs_fs_type, c`ramfs`);
  register(sym.rootfs_fs_type, c`rootfs`);
  register(sym.dev_fs_type, c`devtmpfs`);
}
