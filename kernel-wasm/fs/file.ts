/**
 * Descriptor tables (fs/file.c): 64 descriptors in files_struct itself, then tables of twice the size up to
 * the limit.
 */
import {
  CLONE_FILES,
  EBADF,
  EMFILE,
  ENOMEM,
  GFP_KERNEL,
  NR_OPEN_DEFAULT,
  O_CLOEXEC,
  RLIMIT_NOFILE,
} from "../include/generated/constants";
import { fdtable, file, files_struct, task_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";
import { __clear_bit, __set_bit, find_next_zero_bit, test_bit } from "../lib/bitmap";
import { kfree, kzalloc } from "../mm/slub";
import { fput, get_file } from "./file_table";

/** Points a fresh files_struct at its built-in table. */
function init_fdtab(files: files_struct): void {
  const fdt = files.fdtab;
  fdt.max_fds = NR_OPEN_DEFAULT;
  fdt.fd_va = va(changetype<usize>(files.fd_array));
  fdt.close_on_exec_va = va(changetype<usize>(files.close_on_exec_init));
  fdt.open_fds_va = va(changetype<usize>(files.open_fds_init));
  fdt.full_fds_bits_va = va(changetype<usize>(files.full_fds_bits_init));
  files.fdt = fdt;
}

export function files_init(): void {
  const files = sym.init_files;
  files.count.counter = 1;
  init_fdtab(files);
}

@inline
function slot(fdt: fdtable, fd: u32): usize {
  return fdt.fd + (fd << 3);
}

function fd_file(fdt: fdtable, fd: u32): file {
  return changetype<file>(pa(load<u64>(slot(fdt, fd))));
}

/** A table of `nr` descriptors (a multiple of 64): struct, pointers and bitmaps in one piece each. */
function alloc_fdtable(nr: u32): fdtable {
  const fdt = changetype<fdtable>(kzalloc(fdtable.SIZE, GFP_KERNEL));
  const fds = kzalloc(nr << 3, GFP_KERNEL);
  const bits = kzalloc((nr >> 3) * 2 + 8 + (nr >> 9), GFP_KERNEL);
  if (isnull(fdt) || !fds || !bits) {
    kfree(changetype<usize>(fdt));
    kfree(fds);
    kfree(bits);
    return changetype<fdtable>(0);
  }
  fdt.max_fds = nr;
  fdt.fd = fds;
  fdt.open_fds = bits;
  fdt.close_on_exec = bits + (nr >> 3);
  fdt.full_fds_bits = bits + (nr >> 3) * 2;
  return fdt;
}

function free_fdtable(files: files_struct, fdt: fdtable): void {
  if (changetype<usize>(fdt) == changetype<usize>(files.fdtab)) return;
  kfree(fdt.fd);
  kfree(fdt.open_fds);
  kfree(changetype<usize>(fdt));
}

function expand_files(files: files_struct): i32 {
  const old = files.fdt;
  const nr = old.max_fds * 2;
  const fdt = alloc_fdtable(nr);
  if (isnull(fdt)) return -ENOMEM;
  memory.copy(fdt.fd, old.fd, old.max_fds << 3);
  memory.copy(fdt.open_fds, old.open_fds, old.max_fds >> 3);
  memory.copy(fdt.close_on_exec, old.close_on_exec, old.max_fds >> 3);
  files.fdt = fdt;
  free_fdtable(files, old);
  return 0;
}

/** The lowest free descriptor, reserved. -EMFILE at the limit. */
export function get_unused_fd_flags(flags: i32): i32 {
  const t = get_current();
  const files = t.files;
  const limit = <u32>t.signal.rlim[RLIMIT_NOFILE].rlim_cur;
  let fdt = files.fdt;
  const fd = <u32>find_next_zero_bit(fdt.open_fds, fdt.max_fds, files.next_fd);
  if (fd >= limit) return -EMFILE;
  if (fd >= fdt.max_fds) {
    const err = expand_files(files);
    if (err) return err;
    fdt = files.fdt;
  }
  __set_bit(fd, fdt.open_fds);
  if (flags & O_CLOEXEC) __set_bit(fd, fdt.close_on_exec);
  else __clear_bit(fd, fdt.close_on_exec);
  files.next_fd = fd + 1;
  return <i32>fd;
}

export function put_unused_fd(fd: u32): void {
  const files = get_current().files;
  __clear_bit(fd, files.fdt.open_fds);
  if (fd < files.next_fd) files.next_fd = fd;
}

export function fd_install(fd: u32, filp: file): void {
  store<u64>(slot(get_current().files.fdt, fd), va(changetype<usize>(filp)));
}

/** The file of a descriptor, without a reference of its own: one task, one thread. Null: EBADF. */
export function fget(fd: u32): file {
  const fdt = get_current().files.fdt;
  return fd < fdt.max_fds ? fd_file(fdt, fd) : changetype<file>(0);
}

/** The file of another task's descriptor. */
export function files_lookup(files: files_struct, fd: u32): file {
  const fdt = files.fdt;
  return fd < fdt.max_fds ? fd_file(fdt, fd) : changetype<file>(0);
}

export function close_fd(fd: u32): i32 {
  const filp = fget(fd);
  if (isnull(filp)) return -EBADF;
  store<u64>(slot(get_current().files.fdt, fd), 0);
  put_unused_fd(fd);
  fput(filp);
  return 0;
}

/** The lowest free descriptor becomes a second name of an open file (init_dup). */
export function init_dup(filp: file): i32 {
  const fd = get_unused_fd_flags(0);
  if (fd >= 0) fd_install(fd, get_file(filp));
  return fd;
}

/** dup(2). */
export function ksys_dup(oldfd: u32): i32 {
  const filp = fget(oldfd);
  return isnull(filp) ? -EBADF : init_dup(filp);
}

/** dup2(2) and dup3(2): `newfd` names the same open file as `oldfd`; what it was before is closed. */
export function ksys_dup3(oldfd: u32, newfd: u32, flags: i32): i32 {
  const filp = fget(oldfd);
  if (isnull(filp)) return -EBADF;
  const t = get_current();
  if (newfd >= <u32>t.signal.rlim[RLIMIT_NOFILE].rlim_cur) return -EBADF;
  if (oldfd == newfd) return <i32>newfd;
  const files = t.files;
  while (newfd >= files.fdt.max_fds) {
    const err = expand_files(files);
    if (err) return err;
  }
  get_file(filp);
  close_fd(newfd);
  const fdt = files.fdt;
  __set_bit(newfd, fdt.open_fds);
  if (flags & O_CLOEXEC) __set_bit(newfd, fdt.close_on_exec);
  else __clear_bit(newfd, fdt.close_on_exec);
  fd_install(newfd, filp);
  return <i32>newfd;
}

function dup_fd(old: files_struct): files_struct {
  const files = changetype<files_struct>(kzalloc(files_struct.SIZE, GFP_KERNEL));
  if (isnull(files)) return files;
  files.count.counter = 1;
  init_fdtab(files);
  while (files.fdt.max_fds < old.fdt.max_fds) {
    if (expand_files(files)) {
      free_fdtable(files, files.fdt);
      kfree(changetype<usize>(files));
      return changetype<files_struct>(0);
    }
  }
  const to = files.fdt;
  const from = old.fdt;
  files.next_fd = old.next_fd;
  memory.copy(to.open_fds, from.open_fds, from.max_fds >> 3);
  memory.copy(to.close_on_exec, from.close_on_exec, from.max_fds >> 3);
  for (let fd: u32 = 0; fd < from.max_fds; fd++) {
    const filp = fd_file(from, fd);
    if (!isnull(filp)) store<u64>(slot(to, fd), va(changetype<usize>(get_file(filp))));
  }
  return files;
}

export function copy_files(flags: u32, p: task_struct): i32 {
  const old = p.files;
  if (flags & CLONE_FILES) {
    old.count.counter += 1;
    return 0;
  }
  const files = dup_fd(old);
  if (isnull(files)) return -ENOMEM;
  p.files = files;
  return 0;
}

export function put_files_struct(files: files_struct): void {
  files.count.counter -= 1;
  if (files.count.counter > 0) return;
  const fdt = files.fdt;
  for (let fd: u32 = 0; fd < fdt.max_fds; fd++) {
    const filp = fd_file(fdt, fd);
    if (!isnull(filp)) fput(filp);
  }
  free_fdtable(files, fdt);
  if (changetype<usize>(files) != sym.addr_of_init_files()) kfree(changetype<usize>(files));
}

export function exit_files(t: task_struct): void {
  const files = t.files;
  if (isnull(files)) return;
  t.files_va = 0;
  put_files_struct(files);
}

/** execve closes what was opened with O_CLOEXEC. */
export function do_close_on_exec(): void {
  const fdt = get_current().files.fdt;
  for (let fd: u32 = 0; fd < fdt.max_fds; fd++) if (test_bit(fd, fdt.close_on_exec)) close_fd(fd);
}
