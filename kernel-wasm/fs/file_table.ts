/** Open files (fs/file_table.c). */
import { ENOMEM, FMODE_READ, FMODE_WRITE, GFP_KERNEL, O_ACCMODE } from "../include/generated/constants";
import { file } from "../include/generated/structs";
import { ERR_PTR } from "../include/err";
import { get_current } from "../arch/kernel/current";
import { get_cred, put_cred } from "../kernel/cred";
import { kfree, kzalloc } from "../mm/slub";
import { path_put } from "./namespace";

/** A file that is not open yet, one reference. ERR_PTR when memory is short. */
export function alloc_empty_file(flags: i32): file {
  const filp = changetype<file>(kzalloc(file.SIZE, GFP_KERNEL));
  if (isnull(filp)) return ERR_PTR<file>(-ENOMEM);
  filp.f_count.counter = 1;
  filp.f_flags = flags;
  const access = flags & O_ACCMODE;
  filp.f_mode = (access != 1 ? FMODE_READ : 0) | (access != 0 ? FMODE_WRITE : 0);
  filp.f_cred = get_cred(get_current().cred);
  return filp;
}

export function get_file(filp: file): file {
  filp.f_count.counter += 1;
  return filp;
}

/** The last reference closes the file. */
export function fput(filp: file): void {
  filp.f_count.counter -= 1;
  if (filp.f_count.counter > 0) return;
  if (filp.f_op_va != 0 && filp.f_op.release != 0) {
    call_indirect<i32>(text_index(filp.f_op.release), filp.f_inode, filp);
  }
  if (filp.f_path.dentry_va != 0) path_put(filp.f_path);
  put_cred(filp.f_cred);
  kfree(changetype<usize>(filp));
}
