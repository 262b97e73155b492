/**
 * /proc/PID/task, a directory for each thread of a process (fs/proc/base.c); and what it and the process's
 * own tell of a task: syscall, personality. Processes here have one thread each.
 */
import {
  ENOENT,
  ENOMEM,
  PROC_DYNAMIC_FIRST,
  S_IFDIR,
  TASK_RUNNING,
} from "../../include/generated/constants";
import {
  dentry,
  dir_context,
  file,
  inode,
  pid,
  seq_file,
  task_struct,
} from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { ERR_PTR } from "../../include/err";
import { task_pt_regs } from "../../arch/kernel/current";
import { interrupted_syscall } from "../../arch/kernel/signal";
import { put_task_stack, put_task_struct } from "../../kernel/fork";
import { put_pid } from "../../kernel/pid";
import { find_get_task_by_vpid, try_get_task_stack } from "../../kernel/sched/task";
import { snprintf } from "../../lib/vsprintf";
import { dir_emit, dir_emit_dots, dir_number, dt_type } from "../readdir";
import { seq_printf, seq_puts } from "../seq_file";
import {
  PROC_I,
  get_proc_task,
  get_task_pid,
  name_to_int,
  proc_base_instantiate,
  proc_pid_make_inode,
} from "./base";

const NUMBER_SIZE: usize = 12;

/** A thread of the process whose directory this is. */
export function proc_task_lookup(dir: inode, d: dentry, flags: u32): dentry {
  const leader = get_proc_task(dir);
  if (isnull(leader)) return ERR_PTR<dentry>(-ENOENT);
  const number = name_to_int(d.d_name.name, d.d_name.len);
  const tgid = leader.tgid;
  put_task_struct(leader);
  const task = number < 0 ? changetype<task_struct>(0) : find_get_task_by_vpid(number);
  if (isnull(task)) return ERR_PTR<dentry>(-ENOENT);
  const p = task.tgid == tgid ? get_task_pid(task) : changetype<pid>(0);
  put_task_struct(task);
  if (isnull(p)) return ERR_PTR<dentry>(-ENOENT);
  const node = proc_pid_make_inode(dir.i_sb, p, S_IFDIR | 0o555);
  put_pid(p);
  if (isnull(node)) return ERR_PTR<dentry>(-ENOMEM);
  PROC_I(node).entry = PROC_I(dir).entry;
  return proc_base_instantiate(d, node);
}

export function proc_task_readdir(filp: file, ctx: dir_context): i32 {
  if (!dir_emit_dots(filp, ctx)) return 0;
  const leader = get_proc_task(filp.f_inode);
  if (isnull(leader)) return -ENOENT;
  const tid = leader.pid;
  put_task_struct(leader);
  if (ctx.pos > 2) return 0;
  const name = dir_number(ctx);
  const len = snprintf(name, NUMBER_SIZE, c`%d`, tid);
  if (dir_emit(ctx, name, len, <u64>tid + PROC_DYNAMIC_FIRST, dt_type(S_IFDIR))) ctx.pos += 1;
  return 0;
}

/** The call that a task sleeps in, its arguments, sp and pc; -1: in none. */
export function proc_pid_syscall(m: seq_file, task: task_struct): i32 {
  const running = task.on_cpu != 0 || task.__state == TASK_RUNNING;
  if (running || !try_get_task_stack(task)) {
    // The dead have no registers.
    seq_puts(m, running ? c`running\n` : c`-1 0x0 0x0\n`);
    return 0;
  }
  const regs = task_pt_regs(task);
  const inside = <i64>regs.orig_ax >= 0 && !interrupted_syscall(regs);
  if (inside) {
    seq_printf(
      m, c`%ld 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx\n`, regs.orig_ax, regs.di, regs.si, regs.dx,
      regs.r10, regs.r8, regs.r9, regs.sp, regs.ip,
    );
  } else seq_printf(m, c`-1 0x%lx 0x%lx\n`, regs.sp, regs.ip);
  put_task_stack(task);
  return 0;
}

export function proc_pid_personality(m: seq_file, task: task_struct): i32 {
  seq_printf(m, c`%08x\n`, task.personality);
  return 0;
}

export function proc_task_init(): void {
  sym.proc_task_inode_operations.lookup = fnptr(proc_task_lookup);
  sym.proc_task_operations.iterate_shared = fnptr(proc_task_readdir);
  sym.proc_task_operations.llseek = sym.proc_dir_operations.llseek;
}
