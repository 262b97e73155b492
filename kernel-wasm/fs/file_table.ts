/** Open files (fs/file_table.c). */
import {
  CONFIG_CRASH_DUMP,
  ENOMEM,
  FMODE_READ,
  FMODE_WRITE,
  GFP_KERNEL,
  O_ACCMODE,
} from "../include/generated/constants";
import { file } from "../include/generated/structs";
import { this_cpu } from "../include/generated/symbols";
import { ERR_PTR } from "../include/err";
import { get_current } from "../arch/kernel/current";
import { get_cred, put_cred } from "../kernel/cred";
import { mutex_init } from "../kernel/locking/mutex";
import { atomic_long_dec_and_test, atomic_long_inc } from "../lib/atomic";
import { kfree, kzalloc } from "../mm/slub";
import { path_put } from "./namespace";

/** A file that is not open yet, one reference. ERR_PTR when memory is short. */
export function alloc_empty_file(flags: i32): file {
  const filp = changetype<file>(kzalloc(file.SIZE, GFP_KERNEL));
  if (isnull(filp)) return ERR_PTR<file>(-ENOMEM);
  filp.f_count.counter = 1;
  mutex_init(filp.f_pos_lock);
  if (!CONFIG_CRASH_DUMP) this_cpu.nr_files += 1;
  filp.f_flags = flags;
  const access = flags & O_ACCMODE;
  filp.f_mode = (access != 1 ? FMODE_READ : 0) | (access != 0 ? FMODE_WRITE : 0);
  filp.f_cred = get_cred(get_current().cred);
  return filp;
}

export function get_file(filp: file): file {
  atomic_long_inc(filp.f_count);
  return filp;
}

/** The last reference closes the file. */
export function fput(filp: file): void {
  if (!atomic_long_dec_and_test(filp.f_count)) return;
  if (filp.f_op_va != 0 && filp.f_op.release != 0) {
    call_indirect<i32>(text_index(filp.f_op.release), filp.f_inode, filp);
  }
  if (filp.f_path.dentry_va != 0) path_put(filp.f_path);
  put_cred(filp.f_cred);
  if (!CONFIG_CRASH_DUMP) this_cpu.nr_files -= 1;
  kfree(changetype<usize>(filp));
}
