/**
 * System call entry (arch/x86/entry/entry_64.S, common.c). The machine enters with sp at the top of the
 * task's kernel stack; the user's registers go to the 168 bytes there, and the call chain below them. Also
 * run again for a task that slept in a system call: pt_regs holds all it needs.
 */
import {
  CONFIG_CRASH_DUMP,
  ENOSYS,
  NR_syscalls,
  PT_REGS_SIZE,
  USER_CS,
  USER_DS,
  USER_SYSCALL_RETURN,
  X86_EFLAGS_FIXED,
  X86_EFLAGS_IF,
  __NR_restart_syscall,
} from "../../include/generated/constants";
import { pt_regs } from "../../include/generated/structs";
import { tick_do_update_jiffies64 } from "../../kernel/time";
import { get_current } from "../kernel/current";
import { syscall_exit_to_user_mode } from "../kernel/process";
import { x64_sys_call } from "./syscall_64";

/**
 * Frameless. Arguments are the registers of the syscall ABI: rax, rdi, rsi, rdx, r10, r8, r9; the stack
 * pointer stays. rbx is the program's: which of its continuations made the call.
 */
export function entry_SYSCALL_64(
  nr: i32,
  a0: u32,
  a1: u32,
  a2: u32,
  a3: u32,
  a4: u32,
  a5: u32,
  bx: u32,
): void {
  const at = get_sp() - PT_REGS_SIZE;
  set_sp(at);
  const regs = changetype<pt_regs>(at);
  regs.r15 = 0;
  regs.r14 = 0;
  regs.r13 = 0;
  regs.r12 = 0;
  regs.bp = 0;
  regs.bx = bx;
  regs.r11 = X86_EFLAGS_IF | X86_EFLAGS_FIXED;
  regs.r10 = a3;
  regs.r9 = a5;
  regs.r8 = a4;
  regs.ax = -ENOSYS;
  regs.cx = USER_SYSCALL_RETURN;
  regs.dx = a2;
  regs.si = a1;
  regs.di = a0;
  regs.orig_ax = <u32>nr;
  regs.ip = USER_SYSCALL_RETURN;
  regs.cs = USER_CS;
  regs.flags = X86_EFLAGS_IF | X86_EFLAGS_FIXED;
  regs.ss = USER_DS;
  if (!CONFIG_CRASH_DUMP) {
    const block = get_current().restart_block;
    if (nr != __NR_restart_syscall) block.fn = 0;
    block.done = 0;
  }
  entry_SYSCALL_64_after_hwframe(regs);
}

export function entry_SYSCALL_64_after_hwframe(regs: pt_regs): void {
  do_syscall_64(regs, <u32>regs.orig_ax);
}

export function do_syscall_64(regs: pt_regs, nr: u32): void {
  // Without a tick, each entry brings the time up to date.
  if (CONFIG_CRASH_DUMP) tick_do_update_jiffies64();
  regs.ax = nr < NR_syscalls ? x64_sys_call(regs, nr) : -ENOSYS;
  syscall_exit_to_user_mode(regs);
}
