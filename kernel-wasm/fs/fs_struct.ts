/** A task's root and working directory (fs/fs_struct.c). */
import { CLONE_FS, ENOMEM, GFP_KERNEL } from "../include/generated/constants";
import { fs_struct, path, task_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { spin_lock, spin_lock_init, spin_unlock } from "../kernel/locking/spinlock";
import { task_lock, task_unlock } from "../kernel/sched/task";
import { kfree, kzalloc } from "../mm/slub";
import { path_get, path_put } from "./namespace";

/** A path with references, into one that holds none. */
function copy_path(to: path, from: path): void {
  path_get(from);
  to.mnt_va = from.mnt_va;
  to.dentry_va = from.dentry_va;
}

/** A task's root directory, with references. */
export function get_fs_root(fs: fs_struct, root: path): void {
  spin_lock(fs.lock);
  copy_path(root, fs.root);
  spin_unlock(fs.lock);
}

export function get_fs_pwd(fs: fs_struct, pwd: path): void {
  spin_lock(fs.lock);
  copy_path(pwd, fs.pwd);
  spin_unlock(fs.lock);
}

export function copy_fs(flags: u32, p: task_struct): i32 {
  const old = p.fs;
  if (flags & CLONE_FS) {
    spin_lock(old.lock);
    old.users += 1;
    spin_unlock(old.lock);
    return 0;
  }
  const fs = changetype<fs_struct>(kzalloc(fs_struct.SIZE, GFP_KERNEL));
  if (isnull(fs)) return -ENOMEM;
  fs.users = 1;
  spin_lock_init(fs.lock);
  spin_lock(old.lock);
  fs.umask = old.umask;
  copy_path(fs.root, old.root);
  copy_path(fs.pwd, old.pwd);
  spin_unlock(old.lock);
  p.fs = fs;
  return 0;
}

export function free_fs_struct(fs: fs_struct): void {
  spin_lock(fs.lock);
  fs.users -= 1;
  const last = fs.users == 0;
  spin_unlock(fs.lock);
  if (!last) return;
  path_put(fs.root);
  path_put(fs.pwd);
  if (changetype<usize>(fs) != sym.addr_of_init_fs()) kfree(changetype<usize>(fs));
}

export function exit_fs(t: task_struct): void {
  const fs = t.fs;
  if (isnull(fs)) return;
  task_lock(t);
  t.fs_va = 0;
  task_unlock(t);
  free_fs_struct(fs);
}
