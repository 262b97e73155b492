/** File attributes for the user (fs/stat.c). */
import {
  EBADF,
  EFAULT,
  EINVAL,
  ENOMEM,
  GFP_KERNEL,
  LOOKUP_FOLLOW,
  PAGE_SIZE,
} from "../include/generated/constants";
import { dentry, inode, stat } from "../include/generated/structs";
import { IS_ERR, PTR_ERR } from "../include/err";
import { copy_to_user } from "../arch/lib/usercopy";
import { kfree, kzalloc } from "../mm/slub";
import { strlen } from "../lib/string";
import { fdget, fdput } from "./file";
import { S_ISLNK } from "./inode";
import { getname, kern_path, put_nameidata, putname } from "./namei";

function cp_new_stat(node: inode, user: u64): i32 {
  const st = changetype<stat>(kzalloc(stat.SIZE, GFP_KERNEL));
  if (isnull(st)) return -ENOMEM;
  st.st_dev = node.i_sb.s_dev;
  st.st_ino = node.i_ino;
  st.st_nlink = node.i_nlink;
  st.st_mode = node.i_mode;
  st.st_uid = node.i_uid.val;
  st.st_gid = node.i_gid.val;
  st.st_rdev = node.i_rdev;
  st.st_size = node.i_size;
  st.st_blksize = PAGE_SIZE;
  st.st_blocks = node.i_mapping.nrpages << 3;
  st.st_atime = node.i_atime.tv_sec;
  st.st_atime_nsec = node.i_atime.tv_nsec;
  st.st_mtime = node.i_mtime.tv_sec;
  st.st_mtime_nsec = node.i_mtime.tv_nsec;
  st.st_ctime = node.i_ctime.tv_sec;
  st.st_ctime_nsec = node.i_ctime.tv_nsec;
  const left = copy_to_user(user, changetype<usize>(st), stat.SIZE);
  kfree(changetype<usize>(st));
  return left ? -EFAULT : 0;
}

/** vfs_getattr: the file system brings the inode up to date first. */
function report(node: inode, user: u64): i32 {
  if (node.i_op_va != 0 && node.i_op.getattr != 0) {
    const err = call_indirect<i32>(text_index(node.i_op.getattr), node);
    if (err) return err;
  }
  return cp_new_stat(node, user);
}

export function do_fstat(fd: u32, user: u64): i32 {
  const filp = fdget(fd);
  if (isnull(filp)) return -EBADF;
  const err = report(filp.f_inode, user);
  fdput(filp);
  return err;
}

/** With `flags` 0, a link itself (lstat). */
export function do_stat(path: u64, user: u64, flags: u32 = LOOKUP_FOLLOW): i32 {
  const name = getname(path);
  if (IS_ERR(name)) return PTR_ERR(name);
  const nd = kern_path(name, flags);
  let err = IS_ERR(nd) ? PTR_ERR(nd) : 0;
  if (!err) {
    err = report(nd.path.dentry.d_inode, user);
    put_nameidata(nd);
  }
  putname(name);
  return err;
}

/** readlink(2): the text of a link, cut to `size`, without a NUL. */
export function do_readlink(path: u64, user: u64, size: i32): i32 {
  if (size <= 0) return -EINVAL;
  const name = getname(path);
  if (IS_ERR(name)) return PTR_ERR(name);
  const nd = kern_path(name, 0);
  let err = IS_ERR(nd) ? PTR_ERR(nd) : 0;
  if (!err) {
    err = vfs_readlink(nd.path.dentry, user, size);
    put_nameidata(nd);
  }
  putname(name);
  return err;
}

/** A link that is a name for something open shows where that is, when it is asked for its text. */
function vfs_readlink(d: dentry, user: u64, size: i32): i32 {
  const node = d.d_inode;
  if (!S_ISLNK(node.i_mode)) return -EINVAL;
  if (node.i_op_va != 0 && node.i_op.readlink != 0) {
    return call_indirect<i32>(text_index(node.i_op.readlink), d, user, size);
  }
  return readlink_copy(user, size, node.i_link);
}

export function readlink_copy(user: u64, size: i32, text: usize): i32 {
  const len = min<i32>(size, <i32>strlen(text));
  return copy_to_user(user, text, len) ? -EFAULT : len;
}
