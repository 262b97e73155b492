/**
 * Pipes (fs/pipe.c): a ring of pages between two open files of one inode of pipefs. Reading an empty pipe and
 * writing a full one sleep and start over; restart_block.done is what a write has put in already. The ring
 * and the numbers of users are guarded by pipe->mutex, which nobody sleeps with.
 */
import {
  EAGAIN,
  EFAULT,
  EINVAL,
  EMFILE,
  ENFILE,
  ENOMEM,
  EPIPE,
  ERESTARTSYS,
  FMODE_READ,
  FMODE_WRITE,
  GFP_KERNEL,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  PAGE_SIZE,
  PIPEFS_MAGIC,
  PIPE_DEF_BUFFERS,
  SIGPIPE,
  SI_USER,
  S_IFIFO,
  TASK_INTERRUPTIBLE,
} from "../include/generated/constants";
import {
  dentry,
  file,
  file_system_type,
  inode,
  pipe_buffer,
  pipe_inode_info,
  restart_block,
  super_block,
} from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { IS_ERR, PTR_ERR } from "../include/err";
import { get_current } from "../arch/kernel/current";
import { copy_from_buf, copy_to_buf, copy_to_user } from "../arch/lib/usercopy";
import { mutex_init, mutex_lock, mutex_unlock } from "../kernel/locking/mutex";
import { schedule } from "../kernel/sched/core";
import { finish_wait, init_waitqueue_head, prepare_to_wait, wake_up_all } from "../kernel/sched/wait";
import { send_sig, signal_pending } from "../kernel/signal";
import { page_to_phys } from "../mm/page";
import { alloc_page, put_page } from "../mm/page_alloc";
import { kfree, kzalloc } from "../mm/slub";
import { d_alloc, d_instantiate, d_make_root, dget, dput } from "./dcache";
import { fd_install, get_unused_fd_flags, put_unused_fd } from "./file";
import { alloc_empty_file, fput } from "./file_table";
import { get_next_ino, iput, new_inode } from "./inode";
import { mntget, vfs_kern_mount } from "./namespace";
import { mount_nodev, register_filesystem } from "./super";

/** What a try says that has nothing to do yet. */
const MUST_WAIT: i64 = i64.MIN_VALUE;

@inline
function info(filp: file): pipe_inode_info {
  return changetype<pipe_inode_info>(filp.private_data);
}

@inline
function slot(pipe: pipe_inode_info, at: u32): pipe_buffer {
  return changetype<pipe_buffer>(
    changetype<usize>(pipe.bufs) + (at & (pipe.ring_size - 1)) * pipe_buffer.SIZE,
  );
}

function free_pipe_info(pipe: pipe_inode_info): void {
  for (; pipe.tail != pipe.head; pipe.tail++) put_page(slot(pipe, pipe.tail).page);
  kfree(changetype<usize>(pipe.bufs));
  kfree(changetype<usize>(pipe));
}

function alloc_pipe_info(): pipe_inode_info {
  const pipe = changetype<pipe_inode_info>(kzalloc(pipe_inode_info.SIZE, GFP_KERNEL));
  if (isnull(pipe)) return pipe;
  const bufs = kzalloc(PIPE_DEF_BUFFERS * pipe_buffer.SIZE, GFP_KERNEL);
  if (!bufs) {
    kfree(changetype<usize>(pipe));
    return changetype<pipe_inode_info>(0);
  }
  pipe.bufs = changetype<pipe_buffer>(bufs);
  pipe.ring_size = PIPE_DEF_BUFFERS;
  pipe.max_usage = PIPE_DEF_BUFFERS;
  mutex_init(pipe.mutex);
  init_waitqueue_head(pipe.rd_wait);
  init_waitqueue_head(pipe.wr_wait);
  return pipe;
}

/** Takes up to `count` bytes out; what could be copied. */
function drain(pipe: pipe_inode_info, buf: u64, count: usize): i64 {
  let done: usize = 0;
  while (pipe.tail != pipe.head && done < count) {
    const b = slot(pipe, pipe.tail);
    const len = min<usize>(b.len, count - done);
    if (copy_to_buf(buf + done, page_to_phys(b.page) + b.offset, len)) return done ? done : -EFAULT;
    done += len;
    b.offset += len;
    b.len -= len;
    if (b.len) continue;
    put_page(b.page);
    b.page_va = 0;
    pipe.tail++;
  }
  return done;
}

/** With pipe->mutex. */
function try_read(filp: file, pipe: pipe_inode_info, buf: u64, count: usize): i64 {
  if (pipe.tail != pipe.head) return drain(pipe, buf, count);
  if (!pipe.writers) return 0;
  return filp.f_flags & O_NONBLOCK ? -EAGAIN : MUST_WAIT;
}

export function pipe_read(filp: file, buf: u64, count: usize, pos: i64): i64 {
  if (!count) return 0;
  const pipe = info(filp);
  const t = get_current();
  while (true) {
    mutex_lock(pipe.mutex);
    const done = try_read(filp, pipe, buf, count);
    if (done == MUST_WAIT) prepare_to_wait(pipe.rd_wait, TASK_INTERRUPTIBLE);
    mutex_unlock(pipe.mutex);
    if (done != MUST_WAIT || signal_pending(t)) {
      finish_wait(t);
      if (done > 0) wake_up_all(pipe.wr_wait);
      return done == MUST_WAIT ? -ERESTARTSYS : done;
    }
    schedule();
  }
}

/** Bytes less than a page that fit behind what was written last go there. */
function merge(pipe: pipe_inode_info, buf: u64, len: usize): i64 {
  if (!len || pipe.tail == pipe.head) return 0;
  const b = slot(pipe, pipe.head - 1);
  const end = b.offset + b.len;
  if (end + len > PAGE_SIZE) return 0;
  if (copy_from_buf(page_to_phys(b.page) + end, buf, len)) return -EFAULT;
  b.len += len;
  return len;
}

/** A page of the ring for the next bytes. */
function append(pipe: pipe_inode_info, buf: u64, len: usize): i64 {
  const p = alloc_page(GFP_KERNEL);
  if (isnull(p)) return -ENOMEM;
  if (copy_from_buf(page_to_phys(p), buf, len)) {
    put_page(p);
    return -EFAULT;
  }
  const b = slot(pipe, pipe.head);
  b.page = p;
  b.offset = 0;
  b.len = len;
  pipe.head++;
  return len;
}

/**
 * Puts in what fits, with pipe->mutex; `from` bytes were put in before. The number of all bytes that are in;
 * less than `count`: it must wait, unless there is an error, which is negative.
 */
function try_write(pipe: pipe_inode_info, buf: u64, count: usize, from: usize): i64 {
  if (!pipe.readers) return -EPIPE;
  let done = from;
  let err: i64 = done ? 0 : merge(pipe, buf, count & (PAGE_SIZE - 1));
  if (err > 0) done = <usize>err;
  while (err >= 0 && done < count && pipe.head - pipe.tail < pipe.max_usage) {
    err = append(pipe, buf + done, min<usize>(count - done, PAGE_SIZE));
    if (err > 0) done += <usize>err;
  }
  if (done != from) wake_up_all(pipe.rd_wait);
  return err < 0 && !done ? err : done;
}

export function pipe_write(filp: file, buf: u64, count: usize, pos: i64): i64 {
  if (!count) return 0;
  const pipe = info(filp);
  const t = get_current();
  while (true) {
    const before = t.restart_block.done;
    mutex_lock(pipe.mutex);
    const n = try_write(pipe, buf, count, <usize>before);
    const full = n >= 0 && n < <i64>count && pipe.head - pipe.tail == pipe.max_usage;
    const wait = full && (filp.f_flags & O_NONBLOCK) == 0;
    if (wait) prepare_to_wait(pipe.wr_wait, TASK_INTERRUPTIBLE);
    mutex_unlock(pipe.mutex);
    if (!wait || signal_pending(t)) {
      finish_wait(t);
      if (n == -EPIPE) send_sig(SIGPIPE, SI_USER, t);
      if (n > 0) return n;
      if (before) return before;
      return n < 0 ? n : wait ? -ERESTARTSYS : -EAGAIN;
    }
    t.restart_block.done = <u64>n;
    schedule();
  }
}

/** The other side learns that nobody is left here. */
export function pipe_release(node: inode, filp: file): i32 {
  const pipe = info(filp);
  mutex_lock(pipe.mutex);
  if (filp.f_mode & FMODE_READ) pipe.readers -= 1;
  if (filp.f_mode & FMODE_WRITE) pipe.writers -= 1;
  wake_up_all(pipe.rd_wait);
  wake_up_all(pipe.wr_wait);
  pipe.files -= 1;
  const last = pipe.files == 0;
  mutex_unlock(pipe.mutex);
  if (last) free_pipe_info(pipe);
  return 0;
}

function get_pipe_inode(): inode {
  const node = new_inode(sym.pipe_mnt.mnt_sb);
  if (isnull(node)) return node;
  const pipe = alloc_pipe_info();
  if (isnull(pipe)) {
    iput(node);
    return changetype<inode>(0);
  }
  pipe.files = 2;
  pipe.readers = 1;
  pipe.writers = 1;
  node.i_ino = get_next_ino();
  node.i_mode = S_IFIFO | 0o600;
  node.i_fop = sym.pipefifo_fops;
  node.i_private = changetype<usize>(pipe);
  return node;
}

/** One end: an open file of the pipe's dentry, whose reference it takes over. */
function alloc_end(d: dentry, flags: i32): file {
  const filp = alloc_empty_file(flags);
  if (IS_ERR(filp)) return filp;
  filp.f_path.mnt = mntget(sym.pipe_mnt);
  filp.f_path.dentry = d;
  filp.f_inode = d.d_inode;
  filp.f_mapping = d.d_inode.i_mapping;
  filp.f_op = sym.pipefifo_fops;
  filp.private_data = d.d_inode.i_private;
  return filp;
}

/** Both ends as files; the dentry's and the pipe's references are theirs. 0 or an error. */
function create_pipe_files(fds: usize, flags: i32): i32 {
  const node = get_pipe_inode();
  if (isnull(node)) return -ENFILE;
  const pipe = changetype<pipe_inode_info>(node.i_private);
  const d = d_alloc(changetype<dentry>(0), c``, 0, node.i_sb);
  if (isnull(d)) {
    free_pipe_info(pipe);
    iput(node);
    return -ENOMEM;
  }
  d_instantiate(d, node);
  const reader = alloc_end(d, O_RDONLY | (flags & O_NONBLOCK));
  if (IS_ERR(reader)) {
    free_pipe_info(pipe);
    dput(d);
    return PTR_ERR(reader);
  }
  const writer = alloc_end(dget(d), O_WRONLY | (flags & O_NONBLOCK));
  if (IS_ERR(writer)) {
    pipe.files = 1;
    dput(d);
    fput(reader);
    return PTR_ERR(writer);
  }
  return install(fds, reader, writer, flags);
}

function install(user_fds: usize, reader: file, writer: file, flags: i32): i32 {
  const a = get_unused_fd_flags(flags & O_CLOEXEC);
  const b = a < 0 ? a : get_unused_fd_flags(flags & O_CLOEXEC);
  const t = get_current();
  t.restart_block.expires = <u64><u32>a | (<u64><u32>b << 32);
  let err = b < 0 ? -EMFILE : 0;
  if (!err && copy_to_user(user_fds, restart_block.addr_of_expires(t.restart_block), 8)) err = -EFAULT;
  if (!err) {
    fd_install(a, reader);
    fd_install(b, writer);
    return 0;
  }
  if (a >= 0) put_unused_fd(a);
  if (b >= 0) put_unused_fd(b);
  fput(reader);
  fput(writer);
  return err;
}

/** pipe2(2): two descriptors, to read from and to write to. */
export function do_pipe2(fds: u64, flags: i32): i64 {
  if (flags & ~(O_CLOEXEC | O_NONBLOCK)) return -EINVAL;
  return create_pipe_files(<usize>fds, flags);
}

export function pipefs_fill_super(sb: super_block, data: usize): i32 {
  sb.s_magic = PIPEFS_MAGIC;
  // Nothing looks pipes up: a dentry goes with its last user.
  sb.s_d_op = sym.simple_dentry_operations;
  const root = new_inode(sb);
  if (isnull(root)) return -ENOMEM;
  root.i_mode = 0o040000;
  root.i_ino = get_next_ino();
  sb.s_root = d_make_root(root);
  return isnull(sb.s_root) ? -ENOMEM : 0;
}

export function pipefs_mount(type: file_system_type, flags: i32, dev_name: usize, data: usize): dentry {
  return mount_nodev(type, flags, data, fnptr(pipefs_fill_super));
}

/** fs_initcall: pipefs is mounted in no name space. */
export function init_pipe_fs(): i32 {
  const ops = sym.pipefifo_fops;
  ops.read = fnptr(pipe_read);
  ops.write = fnptr(pipe_write);
  ops.release = fnptr(pipe_release);
  sym.pipe_fs_type.name = c`pipefs`;
  sym.pipe_fs_type.mount = fnptr(pipefs_mount);
  const err = register_filesystem(sym.pipe_fs_type);
  if (err) return err;
  const m = vfs_kern_mount(sym.pipe_fs_type, 0, c`pipefs`, 0);
  if (IS_ERR(m)) return PTR_ERR(m);
  sym.pipe_mnt = m.mnt;
  return 0;
}
