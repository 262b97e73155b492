/**
 * Files whose text a function makes (fs/seq_file.c), whole at the first read and kept until the file is
 * closed or read from its start again: `show(m: seq_file, v: usize): i32` prints with seq_printf(). Its lock
 * is for tasks that share the open file.
 */
import { EFAULT, ENOMEM, GFP_KERNEL, PAGE_SIZE } from "../include/generated/constants";
import { dentry, file, inode, mount, seq_file, seq_operations } from "../include/generated/structs";
import { copy_to_buf } from "../arch/lib/usercopy";
import { mutex_init, mutex_lock, mutex_unlock } from "../kernel/locking/mutex";
import { strlen } from "../lib/string";
import { vsnprintf } from "../lib/vsprintf";
import { kfree, kmalloc, kzalloc } from "../mm/slub";
import { generic_file_llseek } from "./read_write";

const BUF_MAX: usize = 0x400000;

/** Overflow: the text does not fit, and the buffer must grow. */
function set_overflow(m: seq_file): void {
  m.count = m.size;
}

export function seq_has_overflowed(m: seq_file): bool {
  return m.count == m.size;
}

export function seq_printf(
  m: seq_file, fmt: usize, a0: u64 = 0, a1: u64 = 0, a2: u64 = 0, a3: u64 = 0, a4: u64 = 0,
  a5: u64 = 0, a6: u64 = 0, a7: u64 = 0, a8: u64 = 0, a9: u64 = 0,
): void {
  const room = <u32>(m.size - m.count);
  const len = <u32>vsnprintf(m.buf + <usize>m.count, room, fmt, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9);
  if (len < room) m.count += len;
  else set_overflow(m);
}

/** Bytes as they are. */
export function seq_write(m: seq_file, data: usize, len: usize): void {
  if (m.count + len >= m.size) {
    set_overflow(m);
    return;
  }
  memory.copy(m.buf + <usize>m.count, data, len);
  m.count += len;
}

export function seq_puts(m: seq_file, text: usize): void {
  seq_write(m, text, strlen(text));
}

export function seq_putc(m: seq_file, ch: u8): void {
  if (m.count + 1 >= m.size) {
    set_overflow(m);
    return;
  }
  store<u8>(m.buf + <usize>m.count, ch);
  m.count += 1;
}

/** A name with those above it, in its own file system. */
function seq_dentry(m: seq_file, d: dentry): void {
  if (d.d_parent == d) return;
  seq_dentry(m, d.d_parent);
  seq_putc(m, 0x2f);
  seq_puts(m, d.d_name.name);
}

/** Where a mount lies in the tree; nothing for the root's. */
function seq_mountpoint(m: seq_file, mnt: mount): void {
  if (mnt.mnt_parent == mnt) return;
  seq_mountpoint(m, mnt.mnt_parent);
  seq_dentry(m, mnt.mnt_mountpoint);
}

/** Where a mount's root lies in the tree. */
export function seq_path_root(m: seq_file, mnt: mount): void {
  if (mnt.mnt_parent == mnt) seq_putc(m, 0x2f);
  else seq_mountpoint(m, mnt);
}

/** Opens a file whose text `show` makes; `data` becomes m.private_. */
export function single_open(filp: file, show: u64, data: usize): i32 {
  const m = changetype<seq_file>(kzalloc(seq_file.SIZE + seq_operations.SIZE, GFP_KERNEL));
  if (isnull(m)) return -ENOMEM;
  const op = changetype<seq_operations>(changetype<usize>(m) + seq_file.SIZE);
  op.show = show;
  m.op = op;
  m.file = filp;
  m.private_ = data;
  mutex_init(m.lock);
  filp.private_data = changetype<usize>(m);
  return 0;
}

/** Runs show() until its text fits. */
function generate(m: seq_file): i32 {
  if (!m.buf) {
    m.size = PAGE_SIZE;
    m.buf = kmalloc(PAGE_SIZE, GFP_KERNEL);
  }
  while (m.buf) {
    m.count = 0;
    const err = call_indirect<i32>(text_index(m.op.show), m, <usize>0);
    if (err) return err;
    if (!seq_has_overflowed(m)) {
      m.index = 1;
      return 0;
    }
    kfree(m.buf);
    m.size <<= 1;
    m.buf = <usize>m.size > BUF_MAX ? 0 : kmalloc(<usize>m.size, GFP_KERNEL);
  }
  return -ENOMEM;
}

export function seq_read(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const m = changetype<seq_file>(filp.private_data);
  mutex_lock(m.lock);
  const n = single_read(m, buf, count, pos);
  mutex_unlock(m.lock);
  return n;
}

function single_read(m: seq_file, buf: u64, count: usize, pos: i64): i64 {
  if (pos == 0 || m.index == 0) {
    const err = generate(m);
    if (err) return err;
  }
  if (pos >= <i64>m.count) return 0;
  const n = min<usize>(count, <usize>(m.count - pos));
  return copy_to_buf(buf, m.buf + <usize>pos, n) ? -EFAULT : n;
}

export function seq_lseek(filp: file, offset: i64, whence: i32): i64 {
  return generic_file_llseek(filp, offset, whence);
}

export function single_release(node: inode, filp: file): i32 {
  const m = changetype<seq_file>(filp.private_data);
  kfree(m.buf);
  kfree(changetype<usize>(m));
  return 0;
}
