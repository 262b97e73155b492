/**
 * What creates, removes and renames names (the other half of fs/namei.c). Names are kernel strings.
 */
import {
  CONFIG_CRASH_DUMP,
  CONFIG_SMP,
  DCACHE_MOUNTED,
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  EXDEV,
  LAST_DOT,
  LAST_NORM,
  LOOKUP_PARENT,
  RENAME_NOREPLACE,
  S_DEAD,
  S_IFDIR,
} from "../include/generated/constants";
import { dentry, inode, nameidata } from "../include/generated/structs";
import { ERR_PTR, IS_ERR, PTR_ERR } from "../include/err";
import { get_current } from "../arch/kernel/current";
import { mutex_lock, mutex_unlock } from "../kernel/locking/mutex";
import { d_ancestor, d_delete, d_move, dput, simple_empty } from "./dcache";
import { S_ISDIR, ihold, inode_lock, inode_unlock, iput } from "./inode";
import { is_dead, kern_path, lookup_last, put_nameidata } from "./namei";

/** The capture kernel works in a tree that it has made itself. */
@inline
function is_mountpoint(d: dentry): bool {
  return !CONFIG_CRASH_DUMP && (d.d_flags & DCACHE_MOUNTED) != 0;
}

/**
 * Prepares a name that shall be made: the negative dentry, its directory locked until end_create(); or an
 * ERR_PTR.
 */
function start_create(nd: nameidata): dentry {
  if (nd.last_type != LAST_NORM) return ERR_PTR<dentry>(-EEXIST);
  const dir = nd.path.dentry.d_inode;
  inode_lock(dir);
  const d = lookup_last(nd);
  let err = IS_ERR(d) ? PTR_ERR(d) : d.d_inode_va != 0 ? -EEXIST : 0;
  if (!err && is_dead(dir)) err = -ENOENT;
  if (!err) return d;
  inode_unlock(dir);
  if (!IS_ERR(d)) dput(d);
  return ERR_PTR<dentry>(err);
}

function end_create(nd: nameidata, d: dentry): void {
  inode_unlock(nd.path.dentry.d_inode);
  dput(d);
}

export function do_mkdir(name: usize, mode: u32): i32 {
  const nd = kern_path(name, LOOKUP_PARENT);
  if (IS_ERR(nd)) return PTR_ERR(nd);
  const d = start_create(nd);
  let err = IS_ERR(d) ? PTR_ERR(d) : 0;
  if (!err) {
    const dir = nd.path.dentry.d_inode;
    const bits = (mode & 0o1777 & ~get_current().fs.umask) | S_IFDIR;
    err = dir.i_op.mkdir == 0 ? -EPERM : call_indirect<i32>(text_index(dir.i_op.mkdir), dir, d, bits);
    end_create(nd, d);
  }
  put_nameidata(nd);
  return err;
}

/** A device node or an empty regular file. */
export function do_mknod(name: usize, mode: u32, dev: u32): i32 {
  const nd = kern_path(name, LOOKUP_PARENT);
  if (IS_ERR(nd)) return PTR_ERR(nd);
  const d = start_create(nd);
  let err = IS_ERR(d) ? PTR_ERR(d) : 0;
  if (!err) {
    const dir = nd.path.dentry.d_inode;
    err = dir.i_op.mknod == 0 ? -EPERM : call_indirect<i32>(text_index(dir.i_op.mknod), dir, d, mode, dev);
    end_create(nd, d);
  }
  put_nameidata(nd);
  return err;
}

/** A symbolic link whose text is `target`. */
export function do_symlink(target: usize, name: usize): i32 {
  const nd = kern_path(name, LOOKUP_PARENT);
  if (IS_ERR(nd)) return PTR_ERR(nd);
  const d = start_create(nd);
  let err = IS_ERR(d) ? PTR_ERR(d) : 0;
  if (!err) {
    const dir = nd.path.dentry.d_inode;
    err = dir.i_op.symlink == 0 ? -EPERM : call_indirect<i32>(text_index(dir.i_op.symlink), dir, d, target);
    end_create(nd, d);
  }
  put_nameidata(nd);
  return err;
}

/** vfs_unlink, vfs_rmdir: the file is locked too, so that nothing is made in a directory that goes. */
function vfs_remove(dir: inode, d: dentry, directory: bool): i32 {
  const node = d.d_inode;
  const op = directory ? dir.i_op.rmdir : dir.i_op.unlink;
  if (directory && !S_ISDIR(node.i_mode)) return -ENOTDIR;
  if (!directory && S_ISDIR(node.i_mode)) return -EISDIR;
  if (op == 0) return -EPERM;
  inode_lock(node);
  let err = is_mountpoint(d) ? -EBUSY : 0;
  if (!err) err = call_indirect<i32>(text_index(op), dir, d);
  if (CONFIG_SMP && !err && directory) node.i_flags |= S_DEAD;
  inode_unlock(node);
  if (!err) d_delete(d);
  return err;
}

function remove(nd: nameidata, directory: bool): i32 {
  if (nd.last_type != LAST_NORM) {
    if (!directory) return -EISDIR;
    return nd.last_type == LAST_DOT ? -EINVAL : -EBUSY;
  }
  const dir = nd.path.dentry.d_inode;
  inode_lock(dir);
  const d = lookup_last(nd);
  let err = IS_ERR(d) ? PTR_ERR(d) : d.d_inode_va == 0 ? -ENOENT : 0;
  const node = err ? changetype<inode>(0) : d.d_inode;
  // The file outlives its directory's lock.
  if (CONFIG_SMP && !err) ihold(node);
  if (!err) err = vfs_remove(dir, d, directory);
  inode_unlock(dir);
  if (!IS_ERR(d)) dput(d);
  if (CONFIG_SMP) iput(node);
  return err;
}

/** unlink(2), or rmdir(2) for a directory. */
export function do_unlink(name: usize, directory: bool): i32 {
  const nd = kern_path(name, LOOKUP_PARENT);
  if (IS_ERR(nd)) return PTR_ERR(nd);
  const err = remove(nd, directory);
  put_nameidata(nd);
  return err;
}

function rename_checks(from: dentry, to: dentry, flags: u32): i32 {
  const old = from.d_inode;
  const target = to.d_inode;
  if (isnull(old)) return -ENOENT;
  if (isnull(target)) return 0;
  if (flags & RENAME_NOREPLACE) return -EEXIST;
  if (S_ISDIR(old.i_mode)) {
    if (!S_ISDIR(target.i_mode)) return -ENOTDIR;
    return simple_empty(to) ? 0 : -ENOTEMPTY;
  }
  return S_ISDIR(target.i_mode) ? -EISDIR : 0;
}

/** vfs_rename: the file system first, then the tree. The directories are locked, and what is replaced. */
function vfs_rename(old_dir: inode, from: dentry, new_dir: inode, to: dentry, flags: u32): i32 {
  let err = rename_checks(from, to, flags);
  if (err) return err;
  if (from.d_inode_va == to.d_inode_va) return 0;
  if (old_dir.i_op.rename == 0) return -EPERM;
  if (is_mountpoint(from) || is_mountpoint(to)) return -EBUSY;
  const replaced = to.d_inode;
  if (CONFIG_SMP && !isnull(replaced)) {
    ihold(replaced);
    inode_lock(replaced);
    if (S_ISDIR(replaced.i_mode) && !simple_empty(to)) err = -ENOTEMPTY;
  }
  if (!err) err = call_indirect<i32>(text_index(old_dir.i_op.rename), old_dir, from, new_dir, to, flags);
  if (!err) d_move(from, to);
  if (CONFIG_SMP && !isnull(replaced)) {
    if (!err && S_ISDIR(replaced.i_mode)) replaced.i_flags |= S_DEAD;
    inode_unlock(replaced);
    iput(replaced);
  }
  return err;
}

/**
 * Locks the directories of a rename: one above the other first, else by address. One rename between
 * directories at a time, so that what lies above what does not change meanwhile.
 */
function lock_rename(a: dentry, b: dentry): void {
  if (!CONFIG_SMP) return;
  if (a == b) {
    inode_lock(a.d_inode);
    return;
  }
  mutex_lock(a.d_sb.s_vfs_rename_mutex);
  const a_first = d_ancestor(a, b) || (!d_ancestor(b, a) && changetype<usize>(a) < changetype<usize>(b));
  inode_lock(a_first ? a.d_inode : b.d_inode);
  inode_lock(a_first ? b.d_inode : a.d_inode);
}

function unlock_rename(a: dentry, b: dentry): void {
  if (!CONFIG_SMP) return;
  inode_unlock(a.d_inode);
  if (a == b) return;
  inode_unlock(b.d_inode);
  mutex_unlock(a.d_sb.s_vfs_rename_mutex);
}

/** Between locked directories. */
function rename_locked(from: nameidata, to: nameidata, flags: u32): i32 {
  const old = lookup_last(from);
  if (IS_ERR(old)) return PTR_ERR(old);
  const target = lookup_last(to);
  let err = IS_ERR(target) ? PTR_ERR(target) : 0;
  if (!err) {
    // A directory cannot move below itself.
    if (d_ancestor(old, to.path.dentry)) err = -EINVAL;
    else err = vfs_rename(from.path.dentry.d_inode, old, to.path.dentry.d_inode, target, flags);
    dput(target);
  }
  dput(old);
  return err;
}

function rename_between(from: nameidata, to: nameidata, flags: u32): i32 {
  if (from.path.mnt != to.path.mnt) return -EXDEV;
  if (from.last_type != LAST_NORM) return -EBUSY;
  if (to.last_type != LAST_NORM) return flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
  lock_rename(from.path.dentry, to.path.dentry);
  const err = rename_locked(from, to, flags);
  unlock_rename(from.path.dentry, to.path.dentry);
  return err;
}

export function do_renameat2(from: usize, to: usize, flags: u32): i32 {
  if (flags & ~RENAME_NOREPLACE) return -EINVAL;
  const old = kern_path(from, LOOKUP_PARENT);
  if (IS_ERR(old)) return PTR_ERR(old);
  const target = kern_path(to, LOOKUP_PARENT);
  if (IS_ERR(target)) {
    put_nameidata(old);
    return PTR_ERR(target);
  }
  const err = rename_between(old, target, flags);
  put_nameidata(target);
  put_nameidata(old);
  return err;
}
