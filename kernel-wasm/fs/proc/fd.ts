/**
 * /proc/PID/fd (fs/proc/fd.c): a link for each open descriptor, which leads to the file itself.
 * Production only.
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
import { snprintf } from "../../lib/vsprintf";
import { files_lookup } from "../file";
import { dir_emit, dir_emit_dots, dt_type } from "../readdir";
import {
  PROC_I,
  ctx_scratch,
  get_proc_task,
  name_to_int,
  proc_pid_instantiate,
  proc_pid_make_inode,
} from "./base";

function task_file(task: task_struct, fd: u32): file {
  return isnull(task) || task.files_va == 0 ? changetype<file>(0) : files_lookup(task.files, fd);
}

/** Where a descriptor's file lies, or null when it is closed. */
export function fd_path(task: task_struct, fd: u32): path {
  const filp = task_file(task, fd);
  return isnull(filp) ? changetype<path>(0) : filp.f_path;
}

export function proc_lookupfd(dir: inode, d: dentry, flags: u32): dentry {
  const fd = name_to_int(d.d_name.name, d.d_name.len);
  const task = get_proc_task(dir);
  const filp = fd < 0 ? changetype<file>(0) : task_file(task, fd);
  if (isnull(filp)) return ERR_PTR<dentry>(-ENOENT);
  const mode = (filp.f_mode & FMODE_READ ? 0o500 : 0) | (filp.f_mode & FMODE_WRITE ? 0o300 : 0);
  const node = proc_pid_make_inode(dir.i_sb, PROC_I(dir).pid, S_IFLNK | mode);
  if (isnull(node)) return ERR_PTR<dentry>(-ENOMEM);
  PROC_I(node).fd = fd;
  PROC_I(node).entry = changetype<pid_entry>(0);
  node.i_op = sym.proc_pid_link_inode_operations;
  node.i_size = 64;
  return proc_pid_instantiate(d, node);
}

export function proc_readfd(filp: file, ctx: dir_context): i32 {
  if (!dir_emit_dots(filp, ctx)) return 0;
  const task = get_proc_task(filp.f_inode);
  if (isnull(task) || task.files_va == 0) return -ENOENT;
  for (; ctx.pos - 2 < <i64>task.files.fdt.max_fds; ctx.pos += 1) {
    const fd = <u32>(ctx.pos - 2);
    if (isnull(task_file(task, fd))) continue;
    const name = ctx_scratch();
    const len = snprintf(name, 12, c`%u`, fd);
    if (!dir_emit(ctx, name, len, filp.f_inode.i_ino + ctx.pos, dt_type(S_IFLNK))) return 0;
  }
  return 0;
}

export function proc_fd_init(): void {
  sym.proc_fd_inode_operations.lookup = fnptr(proc_lookupfd);
  sym.proc_fd_operations.iterate_shared = fnptr(proc_readfd);
  sym.proc_fd_operations.llseek = sym.proc_dir_operations.llseek;
}
