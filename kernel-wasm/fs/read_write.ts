/** Reading, writing, seeking and copying open files (fs/read_write.c). */
import {
  CONFIG_SMP,
  EBADF,
  EFAULT,
  EINVAL,
  EISDIR,
  ENOMEM,
  EOVERFLOW,
  ESPIPE,
  FMODE_LSEEK,
  FMODE_PREAD,
  FMODE_READ,
  FMODE_WRITE,
  GFP_KERNEL,
  HOSTFS_EXTENTS_MAX,
  MAX_RW_COUNT,
  O_APPEND,
  PAGE_SIZE,
  SEEK_CUR,
  SEEK_END,
  SEEK_SET,
} from "../include/generated/constants";
import { file } from "../include/generated/structs";
import { access_ok, copy_from_user, copy_to_user } from "../arch/lib/usercopy";
import { kfree, kmalloc } from "../mm/slub";
import { __get_free_page, free_page } from "../mm/page_alloc";
import { fdget, fdget_pos, fdput, fdput_pos, fget } from "./file";
import { fput } from "./file_table";
import { S_ISDIR, S_ISREG } from "./inode";

/** llseek by the inode's size. */
export function generic_file_llseek(filp: file, offset: i64, whence: i32): i64 {
  if (whence == SEEK_END) offset += filp.f_inode.i_size;
  else if (whence == SEEK_CUR) offset += filp.f_pos;
  else if (whence != SEEK_SET) return -EINVAL;
  if (offset < 0) return -EINVAL;
  filp.f_pos = offset;
  return offset;
}

export function default_llseek(filp: file, offset: i64, whence: i32): i64 {
  return generic_file_llseek(filp, offset, whence);
}

export function vfs_llseek(filp: file, offset: i64, whence: i32): i64 {
  if ((filp.f_mode & FMODE_LSEEK) == 0) return -ESPIPE;
  return call_indirect<i64>(text_index(filp.f_op.llseek), filp, offset, whence);
}

/** One call of the file's read; `buf` is a user's or a kernel address. */
function __vfs_read(filp: file, buf: u64, count: usize, pos: i64): i64 {
  if (filp.f_op.read == 0) return S_ISDIR(filp.f_inode.i_mode) ? -EISDIR : -EINVAL;
  if (pos < 0) return -EINVAL;
  return call_indirect<i64>(text_index(filp.f_op.read), filp, buf, min<usize>(count, MAX_RW_COUNT), pos);
}

export function vfs_read(filp: file, buf: u64, count: usize, pos: i64): i64 {
  if ((filp.f_mode & FMODE_READ) == 0) return S_ISDIR(filp.f_inode.i_mode) ? -EISDIR : -EBADF;
  if (!access_ok(buf, count)) return -EFAULT;
  return __vfs_read(filp, buf, count, pos);
}

/** Reads into kernel memory at a virtual address, which may be one of vmalloc(). */
export function __kernel_read(filp: file, buf: u64, count: usize, pos: i64): i64 {
  return __vfs_read(filp, buf, count, pos);
}

/** Reads into kernel memory at physical `buf`. */
export function kernel_read(filp: file, buf: usize, count: usize, pos: i64): i64 {
  return __vfs_read(filp, va(buf), count, pos);
}

function __vfs_write(filp: file, buf: u64, count: usize, pos: i64): i64 {
  if (filp.f_op.write == 0) return -EINVAL;
  if (pos < 0) return -EINVAL;
  return call_indirect<i64>(text_index(filp.f_op.write), filp, buf, min<usize>(count, MAX_RW_COUNT), pos);
}

export function vfs_write(filp: file, buf: u64, count: usize, pos: i64): i64 {
  if ((filp.f_mode & FMODE_WRITE) == 0) return -EBADF;
  if (!access_ok(buf, count)) return -EFAULT;
  return __vfs_write(filp, buf, count, pos);
}

export function kernel_write(filp: file, buf: usize, count: usize, pos: i64): i64 {
  return __vfs_write(filp, va(buf), count, pos);
}

/** A file's offset moves by what was transferred; with O_APPEND it ends up at the end. */
function advance(filp: file, pos: i64, done: i64): void {
  if (done > 0) filp.f_pos = pos + done;
}

export function ksys_read(fd: u32, buf: u64, count: usize): i64 {
  const filp = fdget_pos(fd);
  if (isnull(filp)) return -EBADF;
  const pos = filp.f_pos;
  const done = vfs_read(filp, buf, count, pos);
  advance(filp, pos, done);
  fdput_pos(filp);
  return done;
}

export function ksys_write(fd: u32, buf: u64, count: usize): i64 {
  const filp = fdget_pos(fd);
  if (isnull(filp)) return -EBADF;
  const pos = filp.f_flags & O_APPEND ? filp.f_inode.i_size : filp.f_pos;
  const done = vfs_write(filp, buf, count, pos);
  advance(filp, pos, done);
  fdput_pos(filp);
  return done;
}

export function ksys_pread64(fd: u32, buf: u64, count: usize, pos: i64): i64 {
  if (pos < 0) return -EINVAL;
  const filp = fdget(fd);
  if (isnull(filp)) return -EBADF;
  const done = filp.f_mode & FMODE_PREAD ? vfs_read(filp, buf, count, pos) : -ESPIPE;
  fdput(filp);
  return done;
}

export function ksys_lseek(fd: u32, offset: i64, whence: i32): i64 {
  const filp = fdget_pos(fd);
  if (isnull(filp)) return -EBADF;
  const to = vfs_llseek(filp, offset, whence);
  fdput_pos(filp);
  return to;
}

/**
 * Hands the memory that holds the input to the output file, which moves it by DMA. Bytes, 0 when there is
 * none.
 */
function copy_extents(from: file, pos_in: i64, to: file, pos_out: i64, len: u64, extents: usize): i64 {
  const get = text_index(from.f_op.get_extents);
  const n = call_indirect<i64>(get, from, pos_in, len, extents, <i32>HOSTFS_EXTENTS_MAX);
  if (n <= 0) return n;
  return call_indirect<i64>(text_index(to.f_op.write_extents), to, pos_out, extents, <i32>n);
}

/** Through a page of the kernel's. */
function copy_bounce(from: file, pos_in: i64, to: file, pos_out: i64, len: u64, page: usize): i64 {
  const got = kernel_read(from, page, <usize>min<u64>(len, PAGE_SIZE), pos_in);
  return got <= 0 ? got : kernel_write(to, page, <usize>got, pos_out);
}

function copy_loop(from: file, pos_in: i64, to: file, pos_out: i64, len: u64, scratch: usize): i64 {
  const direct = from.f_op.get_extents != 0 && to.f_op.write_extents != 0;
  let done: u64 = 0;
  while (done < len) {
    const left = len - done;
    let n: i64 = 0;
    if (direct) n = copy_extents(from, pos_in + done, to, pos_out + done, left, scratch);
    if (n == 0) n = copy_bounce(from, pos_in + done, to, pos_out + done, left, scratch);
    if (n < 0 && done == 0) return n;
    if (n <= 0) break;
    done += n;
  }
  return done;
}

/** generic_copy_file_checks: what may be copied, or a negative error. */
function copy_file_checks(from: file, pos_in: i64, to: file, pos_out: i64, len: u64, flags: u32): i64 {
  if (flags) return -EINVAL;
  const in_mode = from.f_inode.i_mode;
  const out_mode = to.f_inode.i_mode;
  if (S_ISDIR(in_mode) || S_ISDIR(out_mode)) return -EISDIR;
  if (!S_ISREG(in_mode) || !S_ISREG(out_mode)) return -EINVAL;
  if (!(from.f_mode & FMODE_READ) || !(to.f_mode & FMODE_WRITE) || to.f_flags & O_APPEND) return -EBADF;
  if (pos_in < 0 || pos_out < 0) return -EINVAL;
  if (pos_in + <i64>len < pos_in || pos_out + <i64>len < pos_out) return -EOVERFLOW;
  const size = from.f_inode.i_size;
  const count = pos_in >= size ? 0 : min<i64>(len, size - pos_in);
  // The same file: source and destination must not overlap.
  if (from.f_inode == to.f_inode && pos_out + count > pos_in && pos_out < pos_in + count) return -EINVAL;
  return count;
}

/** Copies between regular files, at explicit offsets. Bytes, 0 at the input's end. */
export function vfs_copy_file_range(
  from: file,
  pos_in: i64,
  to: file,
  pos_out: i64,
  len: u64,
  flags: u32,
): i64 {
  const count = copy_file_checks(from, pos_in, to, pos_out, len, flags);
  if (count <= 0) return count;
  const scratch = __get_free_page(GFP_KERNEL);
  if (!scratch) return -ENOMEM;
  const done = copy_loop(from, pos_in, to, pos_out, min<u64>(count, MAX_RW_COUNT), scratch);
  free_page(scratch);
  return done;
}

/** A user's loff_t. */
function get_offset(user: u64, to: usize): bool {
  return copy_from_user(to, user, 8) == 0;
}

export function ksys_copy_file_range(
  fd_in: u32,
  off_in: u64,
  fd_out: u32,
  off_out: u64,
  len: u64,
  flags: u32,
): i64 {
  // Without other tasks no file goes meanwhile.
  const from = CONFIG_SMP ? fget(fd_in) : fdget(fd_in);
  const to = CONFIG_SMP ? fget(fd_out) : fdget(fd_out);
  const both = !isnull(from) && !isnull(to);
  const done = both ? copy_between(from, off_in, to, off_out, len, flags) : -EBADF;
  if (CONFIG_SMP && !isnull(from)) fput(from);
  if (CONFIG_SMP && !isnull(to)) fput(to);
  return done;
}

/** Offsets are the files' own, or the user's when given; those move on, and not the files'. */
function copy_between(from: file, off_in: u64, to: file, off_out: u64, len: u64, flags: u32): i64 {
  const offsets = kmalloc(16, GFP_KERNEL);
  if (!offsets) return -ENOMEM;
  store<i64>(offsets, from.f_pos);
  store<i64>(offsets, to.f_pos, 8);
  let done: i64 = -EFAULT;
  if ((!off_in || get_offset(off_in, offsets)) && (!off_out || get_offset(off_out, offsets + 8))) {
    const pos_in = load<i64>(offsets);
    const pos_out = load<i64>(offsets, 8);
    done = vfs_copy_file_range(from, pos_in, to, pos_out, len, flags);
    if (done > 0) {
      store<i64>(offsets, pos_in + done);
      store<i64>(offsets, pos_out + done, 8);
      if (!off_in) from.f_pos = pos_in + done;
      else if (copy_to_user(off_in, offsets, 8)) done = -EFAULT;
      if (!off_out) to.f_pos = pos_out + done;
      else if (copy_to_user(off_out, offsets + 8, 8)) done = -EFAULT;
    }
  }
  kfree(offsets);
  return done;
}
