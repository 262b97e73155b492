/**
 * getdents64(2) (fs/readdir.c). Directories call dir_emit() for each entry from ctx.pos on, until it says no.
 */
import {
  CONFIG_SMP,
  EBADF,
  EFAULT,
  EINVAL,
  ENOMEM,
  ENOTDIR,
  GFP_KERNEL,
  NAME_MAX,
} from "../include/generated/constants";
import { dentry, dir_context, file, linux_dirent64 } from "../include/generated/structs";
import { copy_to_user } from "../arch/lib/usercopy";
import { kfree, kzalloc } from "../mm/slub";
import { dget_parent, dput } from "./dcache";
import { fdget_pos, fdput_pos } from "./file";
import { S_ISDIR, inode_lock, inode_unlock } from "./inode";

/** Bytes of a record before its name. */
const NAME_OFFSET: usize = 19;
const MAX_RECORD: usize = 24 + NAME_MAX;
const NUMBER_SIZE: usize = 16;

/** True when the entry was taken; the caller then moves ctx.pos on. `type` is DT_*. */
export function dir_emit(ctx: dir_context, name: usize, len: usize, ino: u64, type: u32): bool {
  return call_indirect<i32>(text_index(ctx.actor), ctx, name, <i32>len, ctx.pos, ino, type) == 0;
}

/** DT_* of a mode. */
export function dt_type(mode: u32): u32 {
  return (mode >> 12) & 15;
}

/** Room for a number's digits, for directories whose names are numbers. */
export function dir_number(ctx: dir_context): usize {
  return changetype<usize>(ctx) + dir_context.SIZE + MAX_RECORD;
}

/** `.` and `..` at positions 0 and 1. */
export function dir_emit_dots(filp: file, ctx: dir_context): bool {
  const here: dentry = filp.f_path.dentry;
  if (ctx.pos == 0) {
    if (!dir_emit(ctx, c`.`, 1, here.d_inode.i_ino, 4)) return false;
    ctx.pos = 1;
  }
  if (ctx.pos == 1) {
    const parent = CONFIG_SMP ? dget_parent(here) : here.d_parent;
    const taken = dir_emit(ctx, c`..`, 2, parent.d_inode.i_ino, 4);
    if (CONFIG_SMP) dput(parent);
    if (!taken) return false;
    ctx.pos = 2;
  }
  return true;
}

/** dir_context.actor: appends a record to the user's buffer; non-zero when it is full or bad. */
export function filldir64(ctx: dir_context, name: usize, len: i32, offset: i64, ino: u64, type: u32): i32 {
  const reclen = (NAME_OFFSET + <usize>len + 1 + 7) & ~7;
  if (reclen > <usize>ctx.count) {
    ctx.error = ctx.buf == ctx.buf_start ? -EINVAL : 0;
    return 1;
  }
  const record = changetype<linux_dirent64>(changetype<usize>(ctx) + dir_context.SIZE);
  memory.fill(changetype<usize>(record), 0, reclen);
  record.d_ino = ino;
  record.d_off = offset + 1;
  record.d_reclen = <u16>reclen;
  record.d_type = <u8>type;
  memory.copy(changetype<usize>(record) + NAME_OFFSET, name, len);
  if (copy_to_user(ctx.buf, changetype<usize>(record), reclen)) {
    ctx.error = -EFAULT;
    return 1;
  }
  ctx.buf += reclen;
  ctx.count -= reclen;
  return 0;
}

export function ksys_getdents64(fd: u32, user: u64, count: u32): i64 {
  const filp = fdget_pos(fd);
  if (isnull(filp)) return -EBADF;
  const result = iterate_dir(filp, user, count);
  fdput_pos(filp);
  return result;
}

/** The directory's lock, not shared, keeps its names where they are. */
function iterate_dir(filp: file, user: u64, count: u32): i64 {
  if (!S_ISDIR(filp.f_inode.i_mode) || filp.f_op.iterate_shared == 0) return -ENOTDIR;
  const room = dir_context.SIZE + MAX_RECORD + NUMBER_SIZE;
  const ctx = changetype<dir_context>(kzalloc(room, GFP_KERNEL));
  if (isnull(ctx)) return -ENOMEM;
  ctx.actor = fnptr(filldir64);
  ctx.pos = filp.f_pos;
  ctx.buf = user;
  ctx.buf_start = user;
  ctx.count = count;
  inode_lock(filp.f_inode);
  const err = call_indirect<i32>(text_index(filp.f_op.iterate_shared), filp, ctx);
  inode_unlock(filp.f_inode);
  filp.f_pos = ctx.pos;
  const filled = <i64>(ctx.buf - user);
  const result: i64 = err ? err : filled ? filled : ctx.error;
  kfree(changetype<usize>(ctx));
  return result;
}
