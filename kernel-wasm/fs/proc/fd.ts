/**
 * /proc/PID/fd (fs/proc/fd.c): a link for each open descriptor, which leads to the file itself.
 */
import { ENOENT, ENOMEM, FMODE_READ, FMODE_WRITE, S_IFLNK } from "../../include/generated/constants";
import {
  dentry,
  dir_context,
  file,
  inode,
  path,
  pid_entry,
  task_struct,
} from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { ERR_PTR } from "../../include/err";
import { put_task_struct } from "../../kernel/fork";
import { task_lock, task_unlock } from "../../kernel/sched/task";
import { snprintf } from "../../lib/vsprintf";
import { files_lookup } from "../file";
import { fput } from "../file_table";
import { path_get } from "../namespace";
import { dir_emit, dir_emit_dots, dir_number, dt_type } from "../readdir";
import {
  PROC_I,
  get_proc_task,
  name_to_int,
  proc_pid_instantiate,
  proc_pid_make_inode,
} from "./base";

/** An open file of a task, with a reference; null when the descriptor is closed. */
function task_file(task: task_struct, fd: u32): file {
  task_lock(task);
  const filp = task.files_va == 0 ? changetype<file>(0) : files_lookup(task.files, fd);
  task_unlock(task);
  return filp;
}

/** Where a descriptor's file lies: its path, with references, to `to`. */
export function fd_path(task: task_struct, fd: u32, to: path): i32 {
  const filp = task_file(task, fd);
  if (isnull(filp)) return -ENOENT;
  path_get(filp.f_path);
  to.mnt_va = filp.f_path.mnt_va;
  to.dentry_va = filp.f_path.dentry_va;
  fput(filp);
  return 0;
}

/** The mode of the link to a task's open file; 0: there is none. */
function fd_mode(task: task_struct, fd: u32): u32 {
  const filp = task_file(task, fd);
  if (isnull(filp)) return 0;
  const mode = filp.f_mode;
  fput(filp);
  return S_IFLNK | (mode & FMODE_READ ? 0o500 : 0) | (mode & FMODE_WRITE ? 0o300 : 0);
}

export function proc_lookupfd(dir: inode, d: dentry, flags: u32): dentry {
  const fd = name_to_int(d.d_name.name, d.d_name.len);
  const task = get_proc_task(dir);
  if (isnull(task)) return ERR_PTR<dentry>(-ENOENT);
  const mode = fd < 0 ? 0 : fd_mode(task, fd);
  put_task_struct(task);
  if (!mode) return ERR_PTR<dentry>(-ENOENT);
  const node = proc_pid_make_inode(dir.i_sb, PROC_I(dir).pid, mode);
  if (isnull(node)) return ERR_PTR<dentry>(-ENOMEM);
  PROC_I(node).fd = fd;
  PROC_I(node).entry = changetype<pid_entry>(0);
  node.i_op = sym.proc_pid_link_inode_operations;
  node.i_size = 64;
  return proc_pid_instantiate(d, node);
}

/** How many descriptors a task's table has room for. */
function task_max_fds(task: task_struct): u32 {
  task_lock(task);
  const n = task.files_va == 0 ? 0 : task.files.fdt.max_fds;
  task_unlock(task);
  return n;
}

export function proc_readfd(filp: file, ctx: dir_context): i32 {
  if (!dir_emit_dots(filp, ctx)) return 0;
  const task = get_proc_task(filp.f_inode);
  if (isnull(task)) return -ENOENT;
  const name = dir_number(ctx);
  for (; ctx.pos - 2 < <i64>task_max_fds(task); ctx.pos += 1) {
    const fd = <u32>(ctx.pos - 2);
    if (!fd_mode(task, fd)) continue;
    const len = snprintf(name, 12, c`%u`, fd);
    if (!dir_emit(ctx, name, len, filp.f_inode.i_ino + ctx.pos, dt_type(S_IFLNK))) break;
  }
  put_task_struct(task);
  return 0;
}

export function proc_fd_init(): void {
  sym.proc_fd_inode_operations.lookup = fnptr(proc_lookupfd);
  sym.proc_fd_operations.iterate_shared = fnptr(proc_readfd);
  sym.proc_fd_operations.llseek = sym.proc_dir_operations.llseek;
}
