/**
 * The table of /proc/PID's entries, and the short ones among them (tgid_base_stuff of fs/proc/base.c).
 */
import {
  EFAULT,
  ENOENT,
  ENOMEM,
  GFP_KERNEL,
  PAGE_SIZE,
  PID_ENTRIES_MAX,
  RLIM_NLIMITS,
  S_IFDIR,
  S_IFLNK,
  S_IFREG,
  TASK_COMM_LEN,
  ESRCH,
} from "../../include/generated/constants";
import {
  file,
  file_operations,
  inode_operations,
  mm_struct,
  path,
  pid_entry,
  seq_file,
  task_struct,
} from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { copy_from_buf } from "../../arch/lib/usercopy";
import { follow_user } from "../../arch/mm/pgtable";
import { mmput, put_task_struct } from "../../kernel/fork";
import { read_lock, read_unlock } from "../../kernel/locking/qrwlock";
import { down_read, up_read } from "../../kernel/locking/rwsem";
import { panic } from "../../kernel/panic";
import { get_task_mm, task_lock, task_unlock } from "../../kernel/sched/task";
import { strlen } from "../../lib/string";
import { snprintf } from "../../lib/vsprintf";
import { handle_mm_fault } from "../../mm/memory";
import { vma_lookup } from "../../mm/mmap";
import { kfree, kmalloc, kzalloc } from "../../mm/slub";
import { get_fs_pwd, get_fs_root } from "../fs_struct";
import { path_get, show_mountinfo, show_vfsmounts } from "../namespace";
import { seq_printf, seq_putc, seq_puts, seq_write } from "../seq_file";
import { proc_pid_stat, proc_pid_statm, proc_pid_status, task_call_sites } from "./array";
import { get_proc_task } from "./base";
import { proc_fd_init } from "./fd";
import { oom_score_adj_write, proc_oom_score, proc_oom_score_adj } from "./oom";
import { proc_pid_smaps } from "./smaps";
import { proc_pid_personality, proc_pid_syscall, proc_task_init } from "./task";
import { proc_pid_maps } from "./task_mmu";

/** Room for a limit in digits. */
const LIMIT_SIZE: usize = 24;

/** Bytes [start, end) of a process's memory, as far as they are there. */
function seq_user_memory(m: seq_file, mm: mm_struct, start: u64, end: u64): void {
  down_read(mm.mmap_lock);
  while (start < end) {
    const left = <u64>PAGE_SIZE - (start & (PAGE_SIZE - 1));
    const len = min<u64>(left, end - start);
    const at = follow_user(changetype<usize>(mm.pgd), <usize>start, false);
    if (at) {
      seq_write(m, at, <usize>len);
      start += len;
      continue;
    }
    const vma = vma_lookup(mm, start);
    if (isnull(vma) || handle_mm_fault(vma, <usize>start & ~(PAGE_SIZE - 1), false)) break;
  }
  up_read(mm.mmap_lock);
}

export function proc_pid_cmdline(m: seq_file, task: task_struct): i32 {
  const mm = get_task_mm(task);
  if (isnull(mm)) return 0;
  seq_user_memory(m, mm, mm.arg_start, mm.arg_end);
  mmput(mm);
  return 0;
}

export function proc_pid_environ(m: seq_file, task: task_struct): i32 {
  const mm = get_task_mm(task);
  if (isnull(mm)) return 0;
  seq_user_memory(m, mm, mm.env_start, mm.env_end);
  mmput(mm);
  return 0;
}

export function proc_pid_comm(m: seq_file, task: task_struct): i32 {
  task_lock(task);
  seq_puts(m, task.comm);
  task_unlock(task);
  seq_putc(m, 0x0a);
  return 0;
}

/** The first 15 characters become the task's name. */
export function comm_write(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const text = kzalloc(TASK_COMM_LEN, GFP_KERNEL);
  if (!text) return -ENOMEM;
  const task = get_proc_task(filp.f_inode);
  const n = min<usize>(count, TASK_COMM_LEN - 1);
  let result: i64 = isnull(task) ? -ESRCH : copy_from_buf(text, buf, n) ? -EFAULT : <i64>count;
  if (result >= 0) {
    // As a shell writes it, with a newline.
    const len = strlen(text);
    if (len && load<u8>(text + len - 1) == 0x0a) store<u8>(text + len - 1, 0);
    task_lock(task);
    memory.copy(task.comm, text, TASK_COMM_LEN);
    task_unlock(task);
  }
  if (!isnull(task)) put_task_struct(task);
  kfree(text);
  return result;
}

export function proc_pid_mounts(m: seq_file, task: task_struct): i32 {
  return show_vfsmounts(m, 0);
}

export function proc_pid_mountinfo(m: seq_file, task: task_struct): i32 {
  return show_mountinfo(m, 0);
}

/** Where a task sleeps, newest call first. */
export function proc_pid_stack(m: seq_file, task: task_struct): i32 {
  return task_call_sites(m, task, 64, c`[<0>] %pB\n`);
}

/** The function that called schedule(), 0 for a task that runs. */
export function proc_pid_wchan(m: seq_file, task: task_struct): i32 {
  const before = m.count;
  task_call_sites(m, task, 1, c`%ps`);
  if (m.count == before) seq_putc(m, 0x30);
  return 0;
}

function limit_name(i: usize): usize {
  switch (<i32>i) {
    case 0: return c`Max cpu time              %-20s %-20s seconds   \n`;
    case 1: return c`Max file size             %-20s %-20s bytes     \n`;
    case 2: return c`Max data size             %-20s %-20s bytes     \n`;
    case 3: return c`Max stack size            %-20s %-20s bytes     \n`;
    case 4: return c`Max core file size        %-20s %-20s bytes     \n`;
    case 5: return c`Max resident set          %-20s %-20s bytes     \n`;
    case 6: return c`Max processes             %-20s %-20s processes \n`;
    case 7: return c`Max open files            %-20s %-20s files     \n`;
    case 8: return c`Max locked memory         %-20s %-20s bytes     \n`;
    case 9: return c`Max address space         %-20s %-20s bytes     \n`;
    case 10: return c`Max file locks            %-20s %-20s locks     \n`;
    case 11: return c`Max pending signals       %-20s %-20s signals   \n`;
    case 12: return c`Max msgqueue size         %-20s %-20s bytes     \n`;
    case 13: return c`Max nice priority         %-20s %-20s           \n`;
    case 14: return c`Max realtime priority     %-20s %-20s           \n`;
    default: return c`Max realtime timeout      %-20s %-20s us        \n`;
  }
}

/** /proc/PID/limits prints numbers as text, since one of them is a word. */
export function proc_pid_limits(m: seq_file, task: task_struct): i32 {
  seq_puts(m, c`Limit                     Soft Limit           Hard Limit           Units     \n`);
  const text = kmalloc(2 * LIMIT_SIZE, GFP_KERNEL);
  if (!text) return -ENOMEM;
  // What a task shares with its group goes with it, under this lock.
  read_lock(sym.tasklist_lock);
  for (let i: usize = 0; i < RLIM_NLIMITS && task.signal_va != 0; i++) {
    const limit = task.signal.rlim[i];
    const soft = limit_text(text, limit.rlim_cur);
    const hard = limit_text(text + LIMIT_SIZE, limit.rlim_max);
    seq_printf(m, limit_name(i), soft, hard);
  }
  read_unlock(sym.tasklist_lock);
  kfree(text);
  return 0;
}

function limit_text(text: usize, value: u64): usize {
  if (value == u64.MAX_VALUE) return c`unlimited`;
  snprintf(text, <u32>LIMIT_SIZE, c`%lu`, value);
  return text;
}

export function proc_cwd_link(task: task_struct, to: path): i32 {
  task_lock(task);
  const gone = task.fs_va == 0;
  if (!gone) get_fs_pwd(task.fs, to);
  task_unlock(task);
  return gone ? -ENOENT : 0;
}

export function proc_root_link(task: task_struct, to: path): i32 {
  task_lock(task);
  const gone = task.fs_va == 0;
  if (!gone) get_fs_root(task.fs, to);
  task_unlock(task);
  return gone ? -ENOENT : 0;
}

/** The program's file, for as long as the address space is there. */
export function proc_exe_link(task: task_struct, to: path): i32 {
  const mm = get_task_mm(task);
  if (isnull(mm)) return -ENOENT;
  const filp = mm.exe_file;
  if (!isnull(filp)) {
    path_get(filp.f_path);
    to.mnt_va = filp.f_path.mnt_va;
    to.dentry_va = filp.f_path.dentry_va;
  }
  mmput(mm);
  return isnull(filp) ? -ENOENT : 0;
}

function add(name: usize, mode: u32, show: u64, link: u64): pid_entry {
  const index = sym.nr_tgid_base_stuff++;
  if (index >= PID_ENTRIES_MAX) panic(c`proc: too many entries`);
  const entry: pid_entry = sym.tgid_base_stuff[index];
  entry.name = name;
  entry.len = <u32>strlen(name);
  entry.mode = <u16>mode;
  entry.show = show;
  entry.get_link = link;
  return entry;
}

/** Text that can be written. */
function add_writable(name: usize, show: u64, fop: file_operations, write: u64): void {
  fop.open = sym.proc_single_file_operations.open;
  fop.read = sym.proc_single_file_operations.read;
  fop.llseek = sym.proc_single_file_operations.llseek;
  fop.release = sym.proc_single_file_operations.release;
  fop.write = write;
  add(name, S_IFREG | 0o644, show, 0).fop = fop;
}

function add_directory(name: usize, mode: u32, iop: inode_operations, fop: file_operations): void {
  const entry = add(name, S_IFDIR | mode, 0, 0);
  entry.iop = iop;
  entry.fop = fop;
}

/** After the operations of text files are there. */
export function tgid_base_init(): void {
  proc_fd_init();
  proc_task_init();
  const text = S_IFREG | 0o444;
  const secret = S_IFREG | 0o400;
  add_directory(c`fd`, 0o500, sym.proc_fd_inode_operations, sym.proc_fd_operations);
  add(c`environ`, secret, fnptr(proc_pid_environ), 0);
  add(c`status`, text, fnptr(proc_pid_status), 0);
  add(c`personality`, secret, fnptr(proc_pid_personality), 0);
  add(c`limits`, text, fnptr(proc_pid_limits), 0);
  const comm = sym.proc_pid_set_comm_operations;
  add_writable(c`comm`, fnptr(proc_pid_comm), comm, fnptr(comm_write));
  add(c`syscall`, secret, fnptr(proc_pid_syscall), 0);
  add(c`cmdline`, text, fnptr(proc_pid_cmdline), 0);
  add(c`stat`, text, fnptr(proc_pid_stat), 0);
  add(c`statm`, text, fnptr(proc_pid_statm), 0);
  add(c`maps`, text, fnptr(proc_pid_maps), 0);
  add(c`smaps`, text, fnptr(proc_pid_smaps), 0);
  add(c`cwd`, S_IFLNK | 0o777, 0, fnptr(proc_cwd_link));
  add(c`root`, S_IFLNK | 0o777, 0, fnptr(proc_root_link));
  add(c`exe`, S_IFLNK | 0o777, 0, fnptr(proc_exe_link));
  add(c`mounts`, text, fnptr(proc_pid_mounts), 0);
  add(c`mountinfo`, text, fnptr(proc_pid_mountinfo), 0);
  add(c`wchan`, text, fnptr(proc_pid_wchan), 0);
  add(c`stack`, secret, fnptr(proc_pid_stack), 0);
  add(c`oom_score`, text, fnptr(proc_oom_score), 0);
  const adj = sym.proc_oom_score_adj_operations;
  add_writable(c`oom_score_adj`, fnptr(proc_oom_score_adj), adj, fnptr(oom_score_adj_write));
  // The last: a thread has it not.
  add_directory(c`task`, 0o555, sym.proc_task_inode_operations, sym.proc_task_operations);
}
