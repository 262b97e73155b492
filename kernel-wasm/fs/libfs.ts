/** What simple file systems share (fs/libfs.c): directories that live in the dentry tree alone. */
import { ENOTEMPTY } from "../include/generated/constants";
import { dentry, dir_context, file, inode } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { d_add, dget, dput, next_positive, simple_empty } from "./dcache";
import { dir_emit, dir_emit_dots, dt_type } from "./readdir";
import { generic_file_llseek } from "./read_write";

/** All names are in the tree: one that is not does not exist. */
export function simple_lookup(dir: inode, d: dentry, flags: u32): dentry {
  d_add(d, changetype<inode>(0));
  return changetype<dentry>(0);
}

export function simple_unlink(dir: inode, d: dentry): i32 {
  d.d_inode.i_nlink -= 1;
  // The reference that kept the name in memory.
  dput(d);
  return 0;
}

export function simple_rmdir(dir: inode, d: dentry): i32 {
  if (!simple_empty(d)) return -ENOTEMPTY;
  d.d_inode.i_nlink -= 1;
  dir.i_nlink -= 1;
  return simple_unlink(dir, d);
}

export function simple_rename(old_dir: inode, from: dentry, new_dir: inode, to: dentry, flags: u32): i32 {
  if (to.d_inode_va != 0) simple_unlink(new_dir, to);
  return 0;
}

/** Positions count the children from 2 on. */
export function dcache_readdir(filp: file, ctx: dir_context): i32 {
  if (!dir_emit_dots(filp, ctx)) return 0;
  const dir = filp.f_path.dentry;
  let d = next_positive(dir, changetype<dentry>(0));
  for (let pos: i64 = 2; !isnull(d); pos++) {
    if (pos == ctx.pos) {
      const node = d.d_inode;
      if (!dir_emit(ctx, d.d_name.name, d.d_name.len, node.i_ino, dt_type(node.i_mode))) break;
      ctx.pos += 1;
    }
    d = next_positive(dir, d);
  }
  dput(d);
  return 0;
}

export function noop_fsync(filp: file, start: i64, end: i64, datasync: i32): i32 {
  return 0;
}

/** Keeps a name in memory: the file has no other home. */
export function d_pin(d: dentry, node: inode): void {
  d_add(d, node);
  dget(d);
}

export function libfs_init(): void {
  const ops = sym.simple_dir_operations;
  ops.llseek = fnptr(generic_file_llseek);
  ops.iterate_shared = fnptr(dcache_readdir);
  ops.fsync = fnptr(noop_fsync);
}
