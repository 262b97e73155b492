/** Whole files into kernel memory (fs/kernel_read_file.c). */
import {
  EBADF,
  EFBIG,
  EINVAL,
  EIO,
  ENOMEM,
  FMODE_READ,
} from "../include/generated/constants";
import { file } from "../include/generated/structs";
import { vfree, vmalloc } from "../mm/vmalloc";
import { fget } from "./file";
import { fput } from "./file_table";
import { S_ISREG } from "./inode";
import { __kernel_read } from "./read_write";

/** INT_MAX of Linux's callers. */
const LIMIT: i64 = 0x7fffffff;

/**
 * Reads all of a regular file; the vmalloc'ed buffer's address goes to the pointer member at `to`. Bytes or
 * an error.
 */
export function kernel_read_file(filp: file, to: usize): i64 {
  const node = filp.f_inode;
  if (!S_ISREG(node.i_mode)) return -EINVAL;
  const size = node.i_size;
  if (size <= 0) return -EINVAL;
  if (size > LIMIT) return -EFBIG;
  const buf = vmalloc(<u64>size);
  if (!buf) return -ENOMEM;
  let pos: i64 = 0;
  while (pos < size) {
    const n = __kernel_read(filp, buf + <u64>pos, <usize>(size - pos), pos);
    if (n <= 0) {
      vfree(buf);
      return n < 0 ? n : -EIO;
    }
    pos += n;
  }
  store<u64>(to, buf);
  return size;
}

export function kernel_read_file_from_fd(fd: i32, to: usize): i64 {
  const filp = fget(fd);
  if (isnull(filp)) return -EBADF;
  const size = filp.f_mode & FMODE_READ ? kernel_read_file(filp, to) : -EBADF;
  fput(filp);
  return size;
}
