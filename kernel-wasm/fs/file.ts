/**
 * Descriptor tables (fs/file.c): 64 descriptors in files_struct itself, then tables of twice the size up to
 * the limit. file_lock guards the table; its owner reads it without when nobody shares it.
 *
 * Two ways from a number to an open file: fget() takes a reference for fput(). fdget(), for the one file that
 * a system call works on, takes one only when the table is shared, for fdput(); a call that sleeps and starts
 * over keeps it, and meets the same file again whatever the number has become.
 *
 * The capture kernel has the first 64 descriptors alone, and all of its tasks share them.
 */
import {
  CLONE_FILES,
  CONFIG_CRASH_DUMP,
  EBADF,
  EBUSY,
  EMFILE,
  ENOMEM,
  FMODE_ATOMIC_POS,
  GFP_KERNEL,
  NR_OPEN_DEFAULT,
  O_CLOEXEC,
  RLIMIT_NOFILE,
} from "../include/generated/constants";
import { fdtable, file, files_struct, task_struct } from "../include/generated/structs";
import { sym, this_cpu } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";
import { mutex_lock, mutex_unlock } from "../kernel/locking/mutex";
import { spin_lock, spin_lock_init, spin_unlock } from "../kernel/locking/spinlock";
import { task_lock, task_unlock } from "../kernel/sched/task";
import { atomic_dec_and_test, atomic_inc, atomic_long_read, atomic_read } from "../lib/atomic";
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
  if (CONFIG_CRASH_DUMP || changetype<usize>(fdt) == changetype<usize>(files.fdtab)) return;
  kfree(fdt.fd);
  kfree(fdt.open_fds);
  kfree(changetype<usize>(fdt));
}

/** A table of twice the size. The caller has file_lock, which is dropped while memory is found. */
function expand_files(files: files_struct): i32 {
  if (CONFIG_CRASH_DUMP) return -EMFILE;
  const old = files.fdt;
  const nr = old.max_fds * 2;
  spin_unlock(files.file_lock);
  const fdt = alloc_fdtable(nr);
  spin_lock(files.file_lock);
  if (isnull(fdt)) return -ENOMEM;
  if (files.fdt != old) {
    // Another task has done it meanwhile.
    free_fdtable(files, fdt);
    return 0;
  }
  memory.copy(fdt.fd, old.fd, old.max_fds << 3);
  memory.copy(fdt.open_fds, old.open_fds, old.max_fds >> 3);
  memory.copy(fdt.close_on_exec, old.close_on_exec, old.max_fds >> 3);
  files.fdt = fdt;
  free_fdtable(files, old);
  return 0;
}

/** The lowest free descriptor, reserved. -EMFILE at the limit. */
export function get_unused_fd_flags(flags: i32): i32 {
  const files = get_current().files;
  spin_lock(files.file_lock);
  const fd = alloc_fd(files, flags);
  spin_unlock(files.file_lock);
  return fd;
}

function alloc_fd(files: files_struct, flags: i32): i32 {
  const limit = CONFIG_CRASH_DUMP ? 0 : <u32>get_current().signal.rlim[RLIMIT_NOFILE].rlim_cur;
  let fdt = files.fdt;
  let fd = <u32>find_next_zero_bit(fdt.open_fds, fdt.max_fds, files.next_fd);
  while (!CONFIG_CRASH_DUMP && fd < limit && fd >= fdt.max_fds) {
    const err = expand_files(files);
    if (err) return err;
    fdt = files.fdt;
    fd = <u32>find_next_zero_bit(fdt.open_fds, fdt.max_fds, files.next_fd);
  }
  if (fd >= (CONFIG_CRASH_DUMP ? <u32>NR_OPEN_DEFAULT : limit)) return -EMFILE;
  __set_bit(fd, fdt.open_fds);
  if (flags & O_CLOEXEC) __set_bit(fd, fdt.close_on_exec);
  else __clear_bit(fd, fdt.close_on_exec);
  files.next_fd = fd + 1;
  return <i32>fd;
}

function __put_unused_fd(files: files_struct, fd: u32): void {
  __clear_bit(fd, files.fdt.open_fds);
  if (fd < files.next_fd) files.next_fd = fd;
}

export function put_unused_fd(fd: u32): void {
  const files = get_current().files;
  spin_lock(files.file_lock);
  __put_unused_fd(files, fd);
  spin_unlock(files.file_lock);
}

export function fd_install(fd: u32, filp: file): void {
  const files = get_current().files;
  spin_lock(files.file_lock);
  store<u64>(slot(files.fdt, fd), va(changetype<usize>(filp)));
  spin_unlock(files.file_lock);
}

function __fget(files: files_struct, fd: u32): file {
  const fdt = files.fdt;
  return fd < fdt.max_fds ? fd_file(fdt, fd) : changetype<file>(0);
}

/** The file of a descriptor of some table, with a reference. Null: it is closed. */
export function files_lookup(files: files_struct, fd: u32): file {
  spin_lock(files.file_lock);
  const filp = __fget(files, fd);
  if (!isnull(filp)) get_file(filp);
  spin_unlock(files.file_lock);
  return filp;
}

/** The file of one of the task's descriptors, with a reference. Null: EBADF. */
export function fget(fd: u32): file {
  return files_lookup(get_current().files, fd);
}

/** The file that a system call works on, for fdput(). Null: EBADF. */
export function fdget(fd: u32): file {
  const t = get_current();
  const files = t.files;
  if (CONFIG_CRASH_DUMP) return __fget(files, fd);
  if (t.restart_block.filp_va != 0) return t.restart_block.filp;
  if (atomic_read(files.count) == 1) return __fget(files, fd);
  const filp = files_lookup(files, fd);
  t.restart_block.filp = filp;
  return filp;
}

export function fdput(filp: file): void {
  if (CONFIG_CRASH_DUMP) return;
  const block = get_current().restart_block;
  if (block.filp_va == 0) return;
  block.filp_va = 0;
  fput(filp);
}

/** fdget() for a call that moves the file's offset: one at a time when others have the file too. */
export function fdget_pos(fd: u32): file {
  const filp = fdget(fd);
  if (!isnull(filp) && needs_pos_lock(filp)) mutex_lock(filp.f_pos_lock);
  return filp;
}

/** Whether it was locked is seen by its owner: who shares the file may have closed it since. */
export function fdput_pos(filp: file): void {
  if (!CONFIG_CRASH_DUMP && <u64>filp.f_pos_lock.owner.counter == this_cpu.current_task_va) {
    mutex_unlock(filp.f_pos_lock);
  }
  fdput(filp);
}

@inline
function needs_pos_lock(filp: file): bool {
  return !CONFIG_CRASH_DUMP && (filp.f_mode & FMODE_ATOMIC_POS) != 0 && atomic_long_read(filp.f_count) > 1;
}

export function close_fd(fd: u32): i32 {
  const files = get_current().files;
  spin_lock(files.file_lock);
  const filp = __fget(files, fd);
  if (!isnull(filp)) {
    store<u64>(slot(files.fdt, fd), 0);
    __put_unused_fd(files, fd);
  }
  spin_unlock(files.file_lock);
  if (isnull(filp)) return -EBADF;
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
  if (isnull(filp)) return -EBADF;
  const fd = get_unused_fd_flags(0);
  if (fd >= 0) fd_install(fd, filp);
  else fput(filp);
  return fd;
}

/** dup2(2) and dup3(2): `newfd` names the same open file as `oldfd`; what it was before is closed. */
export function ksys_dup3(oldfd: u32, newfd: u32, flags: i32): i32 {
  const t = get_current();
  const files = t.files;
  const filp = fget(oldfd);
  if (isnull(filp)) return -EBADF;
  let err = newfd >= <u32>t.signal.rlim[RLIMIT_NOFILE].rlim_cur ? -EBADF : 0;
  if (err || oldfd == newfd) {
    fput(filp);
    return err ? err : <i32>newfd;
  }
  spin_lock(files.file_lock);
  while (!err && newfd >= files.fdt.max_fds) err = expand_files(files);
  const fdt = files.fdt;
  const before = err ? changetype<file>(0) : fd_file(fdt, newfd);
  // A number that another task's open has reserved is not free.
  if (!err && isnull(before) && test_bit(newfd, fdt.open_fds)) err = -EBUSY;
  if (!err) {
    __set_bit(newfd, fdt.open_fds);
    if (flags & O_CLOEXEC) __set_bit(newfd, fdt.close_on_exec);
    else __clear_bit(newfd, fdt.close_on_exec);
    store<u64>(slot(fdt, newfd), va(changetype<usize>(filp)));
  }
  spin_unlock(files.file_lock);
  if (err) fput(filp);
  else if (!isnull(before)) fput(before);
  return err ? err : <i32>newfd;
}

function dup_fd(old: files_struct): files_struct {
  const none = changetype<files_struct>(0);
  const files = changetype<files_struct>(kzalloc(files_struct.SIZE, GFP_KERNEL));
  if (isnull(files)) return files;
  files.count.counter = 1;
  spin_lock_init(files.file_lock);
  init_fdtab(files);
  spin_lock(old.file_lock);
  while (files.fdt.max_fds < old.fdt.max_fds) {
    // The old table may grow while memory is found.
    spin_unlock(old.file_lock);
    spin_lock(files.file_lock);
    const err = expand_files(files);
    spin_unlock(files.file_lock);
    if (err) {
      free_fdtable(files, files.fdt);
      kfree(changetype<usize>(files));
      return none;
    }
    spin_lock(old.file_lock);
  }
  const to = files.fdt;
  const from = old.fdt;
  memory.copy(to.open_fds, from.open_fds, from.max_fds >> 3);
  memory.copy(to.close_on_exec, from.close_on_exec, from.max_fds >> 3);
  for (let fd: u32 = 0; fd < from.max_fds; fd++) {
    const filp = fd_file(from, fd);
    if (!isnull(filp)) store<u64>(slot(to, fd), va(changetype<usize>(get_file(filp))));
    // Reserved by another task, which will install its file in the old table.
    else __clear_bit(fd, to.open_fds);
  }
  files.next_fd = 0;
  spin_unlock(old.file_lock);
  return files;
}

export function copy_files(flags: u32, p: task_struct): i32 {
  const old = p.files;
  if (CONFIG_CRASH_DUMP || flags & CLONE_FILES) {
    atomic_inc(old.count);
    return 0;
  }
  const files = dup_fd(old);
  if (isnull(files)) return -ENOMEM;
  p.files = files;
  return 0;
}

export function put_files_struct(files: files_struct): void {
  if (!atomic_dec_and_test(files.count)) return;
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
  task_lock(t);
  t.files_va = 0;
  task_unlock(t);
  // An oops in a call that had taken a reference.
  if (!CONFIG_CRASH_DUMP) fdput(t.restart_block.filp);
  put_files_struct(files);
}

/** execve closes what was opened with O_CLOEXEC. */
export function do_close_on_exec(): void {
  const files = get_current().files;
  for (let fd: u32 = 0; fd < files.fdt.max_fds; fd++) {
    spin_lock(files.file_lock);
    const close = test_bit(fd, files.fdt.close_on_exec);
    spin_unlock(files.file_lock);
    if (close) close_fd(fd);
  }
}
