/**
 * The system call table (arch/x86/entry/syscall_64.c): number to __x64_sys_ function, which takes its
 * arguments out of the registers di, si, dx, r10, r8, r9. Users have 32-bit registers: a size or descriptor
 * is a u32.
 */
import {
  CONFIG_CRASH_DUMP,
  CONFIG_KEXEC_FILE,
  AT_FDCWD,
  EBADF,
  ENOSYS,
  __NR_brk,
  __NR_clock_gettime,
  __NR_close,
  __NR_copy_file_range,
  __NR_exit,
  __NR_exit_group,
  __NR_fstat,
  __NR_fsync,
  __NR_getdents64,
  __NR_getpid,
  __NR_kexec_file_load,
  __NR_lseek,
  __NR_lstat,
  __NR_mkdir,
  __NR_mmap,
  __NR_mprotect,
  __NR_munmap,
  __NR_open,
  __NR_openat,
  __NR_pread64,
  __NR_read,
  __NR_readlink,
  __NR_reboot,
  __NR_rename,
  __NR_renameat2,
  __NR_rmdir,
  __NR_sched_yield,
  __NR_stat,
  __NR_symlink,
  __NR_time,
  __NR_uname,
  __NR_unlink,
  __NR_write,
} from "../../include/generated/constants";
import { pt_regs } from "../../include/generated/structs";
import { IS_ERR, PTR_ERR } from "../../include/err";
import { close_fd } from "../../fs/file";
import { x64_process_call } from "./syscall_process";
import { getname, putname } from "../../fs/namei";
import { do_mkdir, do_renameat2, do_symlink, do_unlink } from "../../fs/names";
import { do_sys_openat2 } from "../../fs/open";
import { ksys_copy_file_range, ksys_lseek, ksys_pread64, ksys_read, ksys_write } from "../../fs/read_write";
import { ksys_getdents64 } from "../../fs/readdir";
import { do_fstat, do_readlink, do_stat } from "../../fs/stat";
import { do_fsync } from "../../fs/sync";
import { do_exit, do_group_exit } from "../../kernel/exit";
import { __x64_sys_kexec_file_load } from "../../kernel/kexec_file";
import { __do_sys_reboot } from "../../kernel/reboot";
import { do_sched_yield } from "../../kernel/sched/core";
import { sys_clock_gettime, sys_newuname, sys_time } from "../../kernel/sys";
import { ksys_mmap_pgoff } from "../../mm/do_mmap";
import { do_brk } from "../../mm/mmap";
import { do_mprotect } from "../../mm/mprotect";
import { __vm_munmap } from "../../mm/munmap";
import { get_current } from "../kernel/current";

export function __x64_sys_read(regs: pt_regs): i64 {
  return ksys_read(<u32>regs.di, regs.si, <usize>regs.dx);
}

export function __x64_sys_write(regs: pt_regs): i64 {
  return ksys_write(<u32>regs.di, regs.si, <usize>regs.dx);
}

export function __x64_sys_open(regs: pt_regs): i64 {
  return do_sys_openat2(regs.di, <i32>regs.si, <u32>regs.dx);
}

export function __x64_sys_openat(regs: pt_regs): i64 {
  return <i32>regs.di == AT_FDCWD ? do_sys_openat2(regs.si, <i32>regs.dx, <u32>regs.r10) : -EBADF;
}

function __x64_sys_close(regs: pt_regs): i64 {
  return close_fd(<u32>regs.di);
}

function __x64_sys_stat(regs: pt_regs): i64 {
  return do_stat(regs.di, regs.si);
}

function __x64_sys_lstat(regs: pt_regs): i64 {
  return do_stat(regs.di, regs.si, 0);
}

function __x64_sys_readlink(regs: pt_regs): i64 {
  return do_readlink(regs.di, regs.si, <i32>regs.dx);
}

function __x64_sys_symlink(regs: pt_regs): i64 {
  const target = getname(regs.di);
  if (IS_ERR(target)) return PTR_ERR(target);
  const name = getname(regs.si);
  let err = IS_ERR(name) ? PTR_ERR(name) : 0;
  if (!err) {
    err = do_symlink(target, name);
    putname(name);
  }
  putname(target);
  return err;
}

function __x64_sys_fstat(regs: pt_regs): i64 {
  return do_fstat(<u32>regs.di, regs.si);
}

/** The offset is signed in a 32-bit register; the high half comes in r10. */
function __x64_sys_lseek(regs: pt_regs): i64 {
  return ksys_lseek(<u32>regs.di, (<i64>regs.r10 << 32) | <i64>regs.si, <i32>regs.dx);
}

function __x64_sys_brk(regs: pt_regs): i64 {
  return do_brk(regs.di);
}

/** The offset counts in pages, as that of mmap2(2): an offset in bytes would have no room in r9. */
export function __x64_sys_mmap(regs: pt_regs): i64 {
  return ksys_mmap_pgoff(regs.di, regs.si, <u32>regs.dx, <u32>regs.r10, <u32>regs.r8, regs.r9);
}

function __x64_sys_munmap(regs: pt_regs): i64 {
  return __vm_munmap(regs.di, regs.si);
}

/** Offset: r10, its high half r8. */
function __x64_sys_pread64(regs: pt_regs): i64 {
  return ksys_pread64(<u32>regs.di, regs.si, <usize>regs.dx, (<i64>regs.r8 << 32) | <i64>regs.r10);
}

/** Finished before it sleeps: what follows the sleep is only the return to the user. */
export function __x64_sys_sched_yield(regs: pt_regs): i64 {
  regs.ax = 0;
  regs.orig_ax = -1;
  do_sched_yield();
  return 0;
}

function __x64_sys_getpid(regs: pt_regs): i64 {
  return get_current().tgid;
}

function __x64_sys_exit(regs: pt_regs): i64 {
  do_exit((<i32>regs.di & 0xff) << 8);
  return 0;
}

export function __x64_sys_exit_group(regs: pt_regs): i64 {
  do_group_exit((<i32>regs.di & 0xff) << 8);
  return 0;
}

function __x64_sys_uname(regs: pt_regs): i64 {
  return sys_newuname(regs.di);
}

export function __x64_sys_fsync(regs: pt_regs): i64 {
  return do_fsync(<u32>regs.di, 0);
}

function rename(from: u64, to: u64, flags: u32): i64 {
  const old = getname(from);
  if (IS_ERR(old)) return PTR_ERR(old);
  const name = getname(to);
  let err = IS_ERR(name) ? PTR_ERR(name) : 0;
  if (!err) {
    err = do_renameat2(old, name, flags);
    putname(name);
  }
  putname(old);
  return err;
}

function __x64_sys_rename(regs: pt_regs): i64 {
  return rename(regs.di, regs.si, 0);
}

function __x64_sys_renameat2(regs: pt_regs): i64 {
  if (<i32>regs.di != AT_FDCWD || <i32>regs.dx != AT_FDCWD) return -EBADF;
  return rename(regs.si, regs.r10, <u32>regs.r8);
}

function __x64_sys_mkdir(regs: pt_regs): i64 {
  const name = getname(regs.di);
  if (IS_ERR(name)) return PTR_ERR(name);
  const err = do_mkdir(name, <u32>regs.si);
  putname(name);
  return err;
}

function unlink(user: u64, directory: bool): i64 {
  const name = getname(user);
  if (IS_ERR(name)) return PTR_ERR(name);
  const err = do_unlink(name, directory);
  putname(name);
  return err;
}

function __x64_sys_rmdir(regs: pt_regs): i64 {
  return unlink(regs.di, true);
}

function __x64_sys_unlink(regs: pt_regs): i64 {
  return unlink(regs.di, false);
}

export function __x64_sys_reboot(regs: pt_regs): i64 {
  return __do_sys_reboot(<u32>regs.di, <u32>regs.si, <u32>regs.dx);
}

function __x64_sys_time(regs: pt_regs): i64 {
  return sys_time(regs.di);
}

function __x64_sys_getdents64(regs: pt_regs): i64 {
  return ksys_getdents64(<u32>regs.di, regs.si, <u32>regs.dx);
}

function __x64_sys_clock_gettime(regs: pt_regs): i64 {
  return sys_clock_gettime(<u32>regs.di, regs.si);
}

export function __x64_sys_copy_file_range(regs: pt_regs): i64 {
  return ksys_copy_file_range(<u32>regs.di, regs.si, <u32>regs.dx, regs.r10, regs.r8, <u32>regs.r9);
}

/** The result for the user's ax. */
export function x64_sys_call(regs: pt_regs, nr: u32): i64 {
  switch (nr) {
    case __NR_read: return __x64_sys_read(regs);
    case __NR_write: return __x64_sys_write(regs);
    case __NR_open: return __x64_sys_open(regs);
    case __NR_close: return __x64_sys_close(regs);
    case __NR_stat: return __x64_sys_stat(regs);
    case __NR_fstat: return __x64_sys_fstat(regs);
    case __NR_lstat: return CONFIG_CRASH_DUMP ? -ENOSYS : __x64_sys_lstat(regs);
    case __NR_lseek: return __x64_sys_lseek(regs);
    case __NR_mmap: return __x64_sys_mmap(regs);
    case __NR_mprotect: return CONFIG_CRASH_DUMP ? -ENOSYS : do_mprotect(regs.di, regs.si, <u32>regs.dx);
    case __NR_munmap: return __x64_sys_munmap(regs);
    case __NR_brk: return __x64_sys_brk(regs);
    case __NR_pread64: return __x64_sys_pread64(regs);
    case __NR_sched_yield: return __x64_sys_sched_yield(regs);
    case __NR_getpid: return __x64_sys_getpid(regs);
    case __NR_exit: return __x64_sys_exit(regs);
    case __NR_uname: return __x64_sys_uname(regs);
    case __NR_fsync: return __x64_sys_fsync(regs);
    case __NR_rename: return __x64_sys_rename(regs);
    case __NR_mkdir: return __x64_sys_mkdir(regs);
    case __NR_rmdir: return __x64_sys_rmdir(regs);
    case __NR_unlink: return __x64_sys_unlink(regs);
    case __NR_symlink: return CONFIG_CRASH_DUMP ? -ENOSYS : __x64_sys_symlink(regs);
    case __NR_readlink: return CONFIG_CRASH_DUMP ? -ENOSYS : __x64_sys_readlink(regs);
    case __NR_reboot: return __x64_sys_reboot(regs);
    case __NR_time: return __x64_sys_time(regs);
    case __NR_getdents64: return __x64_sys_getdents64(regs);
    case __NR_clock_gettime: return __x64_sys_clock_gettime(regs);
    case __NR_exit_group: return __x64_sys_exit_group(regs);
    case __NR_openat: return __x64_sys_openat(regs);
    case __NR_renameat2: return __x64_sys_renameat2(regs);
    case __NR_kexec_file_load: return CONFIG_KEXEC_FILE ? __x64_sys_kexec_file_load(regs) : -ENOSYS;
    case __NR_copy_file_range: return __x64_sys_copy_file_range(regs);
    default: return CONFIG_CRASH_DUMP ? -ENOSYS : x64_process_call(regs, nr);
  }
}
