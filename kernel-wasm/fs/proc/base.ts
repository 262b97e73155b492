/**
 * /proc/PID (fs/proc/base.c, self.c): a directory a process, made when a path leads there. Its inodes keep
 * the struct pid; what they show is asked of the task that has it then, ESRCH when there is none any more.
 * The task is held by a reference meanwhile; its files, memory and directories are reached under task_lock.
 */
import {
  ENOENT,
  ENOMEM,
  ESRCH,
  GFP_KERNEL,
  PAGE_SIZE,
  PIDTYPE_PID,
  PROC_DYNAMIC_FIRST,
  PROC_ROOT_INO,
  S_IFDIR,
} from "../../include/generated/constants";
import {
  dentry,
  dir_context,
  file,
  inode,
  nameidata,
  path,
  pid,
  pid_entry,
  proc_dir_entry,
  proc_inode,
  seq_file,
  super_block,
  task_struct,
} from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { ERR_PTR, IS_ERR, PTR_ERR } from "../../include/err";
import { get_current } from "../../arch/kernel/current";
import { read_lock, read_unlock } from "../../kernel/locking/qrwlock";
import { find_vpid, pid_task, put_pid } from "../../kernel/pid";
import { put_task_struct } from "../../kernel/fork";
import { find_get_task_by_vpid, get_pid_task } from "../../kernel/sched/task";
import { idr_get_next_id } from "../../lib/idr";
import { refcount_inc } from "../../lib/refcount";
import { memcmp } from "../../lib/string";
import { snprintf } from "../../lib/vsprintf";
import { __get_free_page, free_page } from "../../mm/page_alloc";
import { kfree, kmalloc, kzalloc } from "../../mm/slub";
import { d_path } from "../d_path";
import { d_add } from "../dcache";
import { S_ISDIR, get_next_ino, new_inode } from "../inode";
import { nd_jump_link } from "../namei";
import { path_put } from "../namespace";
import { dir_emit, dir_emit_dots, dir_number, dt_type } from "../readdir";
import { seq_lseek, seq_read, single_open, single_release } from "../seq_file";
import { readlink_copy } from "../stat";
import { fd_path } from "./fd";
import { proc_lookup, proc_readdir, proc_symlink } from "./generic";
import { tgid_base_init } from "./tgid";

/** Positions of /proc's processes follow all static entries. */
const FIRST_PROCESS_ENTRY: i64 = 256;
const NUMBER_SIZE: usize = 12;

@inline
export function PROC_I(node: inode): proc_inode {
  return changetype<proc_inode>(node.i_private);
}

/** The process behind an inode of /proc/PID, for put_task_struct(); or null: it has ended. */
export function get_proc_task(node: inode): task_struct {
  return get_pid_task(PROC_I(node).pid, PIDTYPE_PID);
}

export function proc_pid_make_inode(sb: super_block, p: pid, mode: u32): inode {
  const ei = changetype<proc_inode>(kzalloc(proc_inode.SIZE, GFP_KERNEL));
  const node = isnull(ei) ? changetype<inode>(0) : new_inode(sb);
  if (isnull(node)) {
    kfree(changetype<usize>(ei));
    return node;
  }
  refcount_inc(p.count);
  ei.pid = p;
  node.i_ino = get_next_ino();
  node.i_mode = <u16>mode;
  node.i_nlink = S_ISDIR(mode) ? 2 : 1;
  node.i_private = changetype<usize>(ei);
  return node;
}

/** What /proc/PID's inodes hold; those of static entries have numbers of their own. */
export function proc_evict_inode(node: inode): void {
  if (node.i_ino >= PROC_DYNAMIC_FIRST || node.i_ino == PROC_ROOT_INO) return;
  put_pid(PROC_I(node).pid);
  kfree(node.i_private);
}

export function pid_revalidate(d: dentry, flags: u32): i32 {
  read_lock(sym.tasklist_lock);
  const task = pid_task(PROC_I(d.d_inode).pid, PIDTYPE_PID);
  read_unlock(sym.tasklist_lock);
  return isnull(task) ? 0 : 1;
}

/** Gives a name below /proc/PID its inode; null, as lookup operations return it. */
export function proc_pid_instantiate(d: dentry, node: inode): dentry {
  d.d_op_va = va(sym.addr_of_pid_dentry_operations());
  d_add(d, node);
  return changetype<dentry>(0);
}

/** A decimal number without leading zeros, or -1. */
export function name_to_int(name: usize, len: usize): i32 {
  if (len == 0 || len > 9 || (len > 1 && load<u8>(name) == 0x30)) return -1;
  let n = 0;
  for (let i: usize = 0; i < len; i++) {
    const digit = <u32>load<u8>(name + i) - 0x30;
    if (digit > 9) return -1;
    n = n * 10 + <i32>digit;
  }
  return n;
}

function proc_pid_lookup(dir: inode, d: dentry): dentry {
  const number = name_to_int(d.d_name.name, d.d_name.len);
  const task = number < 0 ? changetype<task_struct>(0) : find_get_task_by_vpid(number);
  if (isnull(task)) return ERR_PTR<dentry>(-ENOENT);
  const p = get_task_pid(task);
  put_task_struct(task);
  if (isnull(p)) return ERR_PTR<dentry>(-ENOENT);
  const node = proc_pid_make_inode(dir.i_sb, p, S_IFDIR | 0o555);
  put_pid(p);
  if (isnull(node)) return ERR_PTR<dentry>(-ENOMEM);
  return proc_base_instantiate(d, node);
}

/** The directory of a process, or of a thread. */
export function proc_base_instantiate(d: dentry, node: inode): dentry {
  node.i_op = sym.proc_tgid_base_inode_operations;
  node.i_fop = sym.proc_tgid_base_operations;
  return proc_pid_instantiate(d, node);
}

/** A task's number with a reference; null when it has given it back. */
export function get_task_pid(task: task_struct): pid {
  read_lock(sym.tasklist_lock);
  const p = task.thread_pid;
  if (!isnull(p)) refcount_inc(p.count);
  read_unlock(sym.tasklist_lock);
  return p;
}

/** The lowest number from `nr` on that a process has, or a negative error. */
function next_tgid(nr: u32): i32 {
  let found: i32 = -ENOENT;
  read_lock(sym.tasklist_lock);
  for (;;) {
    found = idr_get_next_id(sym.init_pid_ns.idr, nr);
    if (found < 0 || !isnull(pid_task(find_vpid(found), PIDTYPE_PID))) break;
    nr = <u32>found + 1;
  }
  read_unlock(sym.tasklist_lock);
  return found;
}

/** Static entries first, then processes. */
export function proc_root_lookup(dir: inode, d: dentry, flags: u32): dentry {
  const found = proc_lookup(dir, d, flags);
  return IS_ERR(found) && PTR_ERR(found) == -ENOENT ? proc_pid_lookup(dir, d) : found;
}

export function proc_root_readdir(filp: file, ctx: dir_context): i32 {
  if (ctx.pos < FIRST_PROCESS_ENTRY) {
    const err = proc_readdir(filp, ctx);
    if (err || ctx.error) return err;
    ctx.pos = FIRST_PROCESS_ENTRY + 1;
  }
  const name = dir_number(ctx);
  while (true) {
    const nr = next_tgid(<u32>(ctx.pos - FIRST_PROCESS_ENTRY));
    if (nr < 0) return 0;
    ctx.pos = FIRST_PROCESS_ENTRY + nr;
    const len = snprintf(name, NUMBER_SIZE, c`%d`, nr);
    if (!dir_emit(ctx, name, len, <u64>nr + PROC_DYNAMIC_FIRST, dt_type(S_IFDIR))) return 0;
    ctx.pos += 1;
  }
}

/** A thread's directory is known by the entry that its inode has: the process's `task`. */
function nr_entries(dir: inode): usize {
  return <usize>sym.nr_tgid_base_stuff - (isnull(PROC_I(dir).entry) ? 0 : 1);
}

/** /proc/PID/NAME; /proc/PID/task/TID has all but the last of these, which is `task`. */
export function proc_tgid_base_lookup(dir: inode, d: dentry, flags: u32): dentry {
  const task = get_proc_task(dir);
  if (isnull(task)) return ERR_PTR<dentry>(-ENOENT);
  put_task_struct(task);
  for (let i: usize = 0; i < nr_entries(dir); i++) {
    const entry: pid_entry = sym.tgid_base_stuff[i];
    if (entry.len != d.d_name.len || memcmp(entry.name, d.d_name.name, entry.len) != 0) continue;
    const node = proc_pid_make_inode(dir.i_sb, PROC_I(dir).pid, entry.mode);
    if (isnull(node)) return ERR_PTR<dentry>(-ENOMEM);
    PROC_I(node).entry = entry;
    if (entry.get_link != 0) node.i_op = sym.proc_pid_link_inode_operations;
    else {
      node.i_op = entry.iop;
      node.i_fop = isnull(entry.fop) ? sym.proc_single_file_operations : entry.fop;
    }
    return proc_pid_instantiate(d, node);
  }
  return ERR_PTR<dentry>(-ENOENT);
}

export function proc_tgid_base_readdir(filp: file, ctx: dir_context): i32 {
  if (!dir_emit_dots(filp, ctx)) return 0;
  while (ctx.pos - 2 < <i64>nr_entries(filp.f_inode)) {
    const entry: pid_entry = sym.tgid_base_stuff[<usize>(ctx.pos - 2)];
    const ino = filp.f_inode.i_ino + ctx.pos;
    if (!dir_emit(ctx, entry.name, entry.len, ino, dt_type(entry.mode))) return 0;
    ctx.pos += 1;
  }
  return 0;
}

/** seq_file's show of all text files of /proc/PID. */
export function proc_single_show(m: seq_file, v: usize): i32 {
  const node = m.file.f_inode;
  const task = get_proc_task(node);
  if (isnull(task)) return -ESRCH;
  const err = call_indirect<i32>(text_index(PROC_I(node).entry.show), m, task);
  put_task_struct(task);
  return err;
}

export function proc_pid_single_open(node: inode, filp: file): i32 {
  return single_open(filp, fnptr(proc_single_show), 0);
}

/**
 * Where a link of /proc/PID leads: the path of an object of the task's, with references, to be freed with
 * put_link_path(); or an ERR_PTR.
 */
function get_link_path(node: inode): path {
  const task = get_proc_task(node);
  if (isnull(task)) return ERR_PTR<path>(-ENOENT);
  const to = changetype<path>(kzalloc(path.SIZE, GFP_KERNEL));
  let err = -ENOMEM;
  if (!isnull(to)) {
    const ei = PROC_I(node);
    if (isnull(ei.entry)) err = fd_path(task, ei.fd, to);
    else err = call_indirect<i32>(text_index(ei.entry.get_link), task, to);
  }
  put_task_struct(task);
  if (!err) return to;
  kfree(changetype<usize>(to));
  return ERR_PTR<path>(err);
}

function put_link_path(to: path): void {
  path_put(to);
  kfree(changetype<usize>(to));
}

export function proc_pid_get_link(d: dentry, nd: nameidata): usize {
  const to = get_link_path(d.d_inode);
  if (IS_ERR(to)) return changetype<usize>(to);
  nd_jump_link(nd, to);
  put_link_path(to);
  return 0;
}

export function proc_pid_readlink(d: dentry, user: u64, size: i32): i32 {
  const to = get_link_path(d.d_inode);
  if (IS_ERR(to)) return PTR_ERR(to);
  const page = __get_free_page(GFP_KERNEL);
  const n = page ? readlink_copy(user, size, d_path(to, page, PAGE_SIZE)) : -ENOMEM;
  if (page) free_page(page);
  put_link_path(to);
  return n;
}

/** /proc/self: the number of whoever asks. */
export function proc_self_get_link(d: dentry, nd: nameidata): usize {
  const text = kmalloc(NUMBER_SIZE, GFP_KERNEL);
  if (!text) return ERR_PTR<usize>(-ENOMEM);
  snprintf(text, NUMBER_SIZE, c`%d`, get_current().tgid);
  return text;
}

export function proc_self_readlink(d: dentry, user: u64, size: i32): i32 {
  const text = proc_self_get_link(d, changetype<nameidata>(0));
  if (IS_ERR(text)) return PTR_ERR(text);
  const n = readlink_copy(user, size, text);
  kfree(text);
  return n;
}

/** Operations, and the links of /proc itself. */
export function proc_base_init(): void {
  const none = changetype<proc_dir_entry>(0);
  sym.pid_dentry_operations.d_revalidate = fnptr(pid_revalidate);
  sym.pid_dentry_operations.d_delete = sym.simple_dentry_operations.d_delete;
  sym.proc_sops.evict_inode = fnptr(proc_evict_inode);
  sym.proc_root_inode_operations.lookup = fnptr(proc_root_lookup);
  sym.proc_root_inode_operations.getattr = sym.proc_file_inode_operations.getattr;
  sym.proc_root_operations.iterate_shared = fnptr(proc_root_readdir);
  sym.proc_root_operations.llseek = sym.proc_dir_operations.llseek;
  sym.proc_tgid_base_inode_operations.lookup = fnptr(proc_tgid_base_lookup);
  sym.proc_tgid_base_operations.iterate_shared = fnptr(proc_tgid_base_readdir);
  sym.proc_tgid_base_operations.llseek = sym.proc_dir_operations.llseek;
  const files = sym.proc_single_file_operations;
  files.open = fnptr(proc_pid_single_open);
  files.read = fnptr(seq_read);
  files.llseek = fnptr(seq_lseek);
  files.release = fnptr(single_release);
  tgid_base_init();
  sym.proc_pid_link_inode_operations.get_link = fnptr(proc_pid_get_link);
  sym.proc_pid_link_inode_operations.readlink = fnptr(proc_pid_readlink);
  sym.proc_self_inode_operations.get_link = fnptr(proc_self_get_link);
  sym.proc_self_inode_operations.readlink = fnptr(proc_self_readlink);
  proc_symlink(c`self`, none, 0, sym.proc_self_inode_operations);
  proc_symlink(c`mounts`, none, c`self/mounts`);
}
