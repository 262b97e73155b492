/** Whole files into kernel memory (fs/kernel_read_file.c). */
import {
  EBADF,
  EFBIG,
  EINVAL,
  EIO,
  ENOMEM,
  FMODE_READ,
  GFP_KERNEL,
  KMALLOC_MAX_SIZE,
} from "../include/generated/constants";
import { file } from "../include/generated/structs";
import { kfree, kmalloc } from "../mm/slub";
import { fget } from "./file";
import { fput } from "./file_table";
import { S_ISREG } from "./inode";
import { kernel_read } from "./read_write";

/**
 * Reads all of a regular file; the kmalloc'ed buffer's address goes to the pointer member at `to`. Bytes or
 * an error.
 */
export function kernel_read_file(filp: file, to: usize): i64 {
  const node = filp.f_inode;
  if (!S_ISREG(node.i_mode)) return -EINVAL;
  const size = node.i_size;
  if (size <= 0) return -EINVAL;
  if (size > KMALLOC_MAX_SIZE) return -EFBIG;
  const buf = kmalloc(<usize>size, GFP_KERNEL);
  if (!buf) return -ENOMEM;
  let pos: i64 = 0;
  while (pos < size) {
    const n = kernel_read(filp, buf + <usize>pos, <usize>(size - pos), pos);
    if (n <= 0) {
      kfree(buf);
      return n < 0 ? n : -EIO;
    }
    pos += n;
  }
  store<u64>(to, va(buf));
  return size;
}

export function kernel_read_file_from_fd(fd: i32, to: usize): i64 {
  const filp = fget(fd);
  if (isnull(filp)) return -EBADF;
  const size = filp.f_mode & FMODE_READ ? kernel_read_file(filp, to) : -EBADF;
  fput(filp);
  return size;
}
