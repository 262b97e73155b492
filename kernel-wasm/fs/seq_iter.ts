/**
 * Files of many records (the iterators of fs/seq_file.c): `start(m, pos)` finds record number pos, `next(m,
 * v, pos)` the one behind v, `show(m, v)` prints one; 0 is the end. A page of text at a time is kept, so
 * that a file may be longer than what the kernel could hold at once.
 */
import { EFAULT, ENOMEM, GFP_KERNEL, PAGE_SIZE } from "../include/generated/constants";
import { file, inode, proc_ops, seq_file, seq_operations } from "../include/generated/structs";
import { copy_to_buf } from "../arch/lib/usercopy";
import { mutex_init, mutex_lock, mutex_unlock } from "../kernel/locking/mutex";
import { kfree, kmalloc, kzalloc } from "../mm/slub";
import { seq_has_overflowed, seq_lseek, single_release } from "./seq_file";

/** For a file's open operation. */
export function seq_open(filp: file, start: u64, next: u64, show: u64): i32 {
  const m = changetype<seq_file>(kzalloc(seq_file.SIZE + seq_operations.SIZE, GFP_KERNEL));
  if (isnull(m)) return -ENOMEM;
  const op = changetype<seq_operations>(changetype<usize>(m) + seq_file.SIZE);
  op.start = start;
  op.next = next;
  op.show = show;
  m.op = op;
  m.file = filp;
  mutex_init(m.lock);
  filp.private_data = changetype<usize>(m);
  return 0;
}

function grow(m: seq_file): bool {
  m.size = m.size ? m.size << 1 : PAGE_SIZE;
  kfree(m.buf);
  m.buf = kmalloc(<usize>m.size, GFP_KERNEL);
  return m.buf != 0;
}

/** Fills the buffer with whole records from number m.index on; 0 is success, also at the end. */
function fill(m: seq_file): i32 {
  m.from = 0;
  m.count = 0;
  if (!m.buf && !grow(m)) return -ENOMEM;
  let v = call_indirect<usize>(text_index(m.op.start), m, m.index);
  while (v) {
    const whole = m.count;
    const err = call_indirect<i32>(text_index(m.op.show), m, v);
    if (err) return err;
    if (!seq_has_overflowed(m)) {
      m.index += 1;
      v = call_indirect<usize>(text_index(m.op.next), m, v, m.index);
      continue;
    }
    m.count = whole;
    if (whole) break;
    // Not even one record fits.
    if (!grow(m)) return -ENOMEM;
  }
  return 0;
}

/** Like seq_open(), with `size` bytes for the records' own use at m.private, freed with the file. */
export function seq_open_private(filp: file, start: u64, next: u64, show: u64, size: usize): i32 {
  const room = kzalloc(size, GFP_KERNEL);
  if (!room) return -ENOMEM;
  const err = seq_open(filp, start, next, show);
  if (err) kfree(room);
  else changetype<seq_file>(filp.private_data).private_ = room;
  return err;
}

export function seq_release_private(node: inode, filp: file): i32 {
  kfree(changetype<seq_file>(filp.private_data).private_);
  return single_release(node, filp);
}

/** Text from `pos` on; a position that was not read last starts over and skips. */
export function seq_read_iter(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const m = changetype<seq_file>(filp.private_data);
  mutex_lock(m.lock);
  const n = read_records(m, buf, count, pos);
  mutex_unlock(m.lock);
  return n;
}

function read_records(m: seq_file, buf: u64, count: usize, pos: i64): i64 {
  if (pos != m.read_pos) {
    m.index = 0;
    m.count = 0;
    m.read_pos = 0;
  }
  let done: usize = 0;
  while (done < count) {
    if (m.count == 0) {
      const err = fill(m);
      if (err) return err;
      if (m.count == 0) break;
    }
    const skip = pos + done - m.read_pos;
    const n = min<usize>(<usize>m.count, skip > 0 ? <usize>min<i64>(skip, m.count) : count - done);
    if (skip <= 0) {
      if (copy_to_buf(buf + done, m.buf + <usize>m.from, n)) return done ? done : -EFAULT;
      done += n;
    }
    m.from += n;
    m.count -= n;
    m.read_pos += n;
  }
  return done;
}

/** proc_ops of such a file, whose open operation calls seq_open(). */
export function seq_proc_ops(ops: proc_ops, open: u64): proc_ops {
  ops.proc_open = open;
  ops.proc_read = fnptr(seq_read_iter);
  ops.proc_lseek = fnptr(seq_lseek);
  ops.proc_release = fnptr(single_release);
  return ops;
}
