/** A task's root and working directory (fs/fs_struct.c). */
import { CLONE_FS, ENOMEM, GFP_KERNEL } from "../include/generated/constants";
import { fs_struct, task_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { kfree, kzalloc } from "../mm/slub";
import { path_get, path_put } from "./namespace";

export function copy_fs(flags: u32, p: task_struct): i32 {
  const old = p.fs;
  if (flags & CLONE_FS) {
    old.users += 1;
    return 0;
  }
  const fs = changetype<fs_struct>(kzalloc(fs_struct.SIZE, GFP_KERNEL));
  if (isnull(fs)) return -ENOMEM;
  memory.copy(changetype<usize>(fs), changetype<usize>(old), fs_struct.SIZE);
  fs.users = 1;
  path_get(fs.root);
  path_get(fs.pwd);
  p.fs = fs;
  return 0;
}

export function free_fs_struct(fs: fs_struct): void {
  fs.users -= 1;
  if (fs.users > 0) return;
  path_put(fs.root);
  path_put(fs.pwd);
  if (changetype<usize>(fs) != sym.addr_of_init_fs()) kfree(changetype<usize>(fs));
}

export function exit_fs(t: task_struct): void {
  const fs = t.fs;
  if (isnull(fs)) return;
  t.fs_va = 0;
  free_fs_struct(fs);
}
