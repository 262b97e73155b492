/** Opening and truncating (fs/open.c). */
import {
  ATTR_SIZE,
  EINVAL,
  ENODEV,
  FMODE_ATOMIC_POS,
  FMODE_LSEEK,
  FMODE_PREAD,
  FMODE_PWRITE,
  FMODE_READ,
  FMODE_WRITE,
  O_CREAT,
  O_EXCL,
  O_NOCTTY,
  O_TRUNC,
  GFP_KERNEL,
  ENOMEM,
} from "../include/generated/constants";
import { dentry, file, iattr, path } from "../include/generated/structs";
import { IS_ERR, PTR_ERR } from "../include/err";
import { kfree, kzalloc } from "../mm/slub";
import { fd_install, get_unused_fd_flags, put_unused_fd } from "./file";
import { S_ISDIR, S_ISREG, inode_lock, inode_unlock } from "./inode";
import { getname, path_openat, putname } from "./namei";
import { path_get, path_put } from "./namespace";

/** Binds a file to what the walk found and lets the file system open it. */
function do_dentry_open(filp: file): i32 {
  const node = filp.f_path.dentry.d_inode;
  filp.f_inode = node;
  filp.f_mapping = node.i_mapping;
  if (node.i_fop_va == 0) return -ENODEV;
  filp.f_op = node.i_fop;
  filp.f_mode |= FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE;
  if (S_ISREG(node.i_mode) || S_ISDIR(node.i_mode)) filp.f_mode |= FMODE_ATOMIC_POS;
  if (filp.f_op.open != 0) {
    const err = call_indirect<i32>(text_index(filp.f_op.open), node, filp);
    if (err) return err;
  }
  if (filp.f_op.read == 0 && filp.f_op.iterate_shared == 0) filp.f_mode &= ~FMODE_READ;
  if (filp.f_op.write == 0) filp.f_mode &= ~FMODE_WRITE;
  if (filp.f_op.llseek == 0) filp.f_mode &= ~FMODE_LSEEK;
  filp.f_flags &= ~(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC);
  return 0;
}

export function vfs_open(at: path, filp: file): i32 {
  path_get(at);
  filp.f_path.mnt_va = at.mnt_va;
  filp.f_path.dentry_va = at.dentry_va;
  const err = do_dentry_open(filp);
  if (err) {
    path_put(at);
    filp.f_path.mnt_va = 0;
    filp.f_path.dentry_va = 0;
    filp.f_op_va = 0;
  }
  return err;
}

/** A stream: no offset to seek or to give (terminals, pipes). For use in an open operation. */
export function nonseekable_open(filp: file): i32 {
  filp.f_mode &= ~(FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE);
  return 0;
}

/** Opens by a kernel string, without a descriptor. A file or an ERR_PTR; close with fput(). */
export function filp_open(name: usize, flags: i32, mode: u32): file {
  return path_openat(name, flags, mode);
}

/** open(2) by a user's string: a descriptor or a negative error. */
export function do_sys_openat2(user: u64, flags: i32, mode: u32): i32 {
  const name = getname(user);
  if (IS_ERR(name)) return PTR_ERR(name);
  const fd = get_unused_fd_flags(flags);
  if (fd >= 0) {
    const filp = path_openat(name, flags, mode);
    if (IS_ERR(filp)) {
      put_unused_fd(fd);
      putname(name);
      return PTR_ERR(filp);
    }
    fd_install(fd, filp);
  }
  putname(name);
  return fd;
}

export function do_truncate(d: dentry, length: i64): i32 {
  if (length < 0) return -EINVAL;
  const node = d.d_inode;
  if (node.i_op_va == 0 || node.i_op.setattr == 0) return 0;
  const attr = changetype<iattr>(kzalloc(iattr.SIZE, GFP_KERNEL));
  if (isnull(attr)) return -ENOMEM;
  attr.ia_valid = ATTR_SIZE;
  attr.ia_size = length;
  inode_lock(node);
  const err = call_indirect<i32>(text_index(node.i_op.setattr), d, attr);
  inode_unlock(node);
  kfree(changetype<usize>(attr));
  return err;
}
