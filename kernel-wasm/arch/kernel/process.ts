/**
 * Switching between tasks and coming back (arch/x86/kernel/process_64.c, entry_64.S). A switch leaves the old
 * task's stack as Linux does, thread.sp at an inactive_task_frame under the call chain, and ends in the
 * machine, which starts over at cpu_resume() on the new task's stack:
 *
 *     __schedule -> __switch_to_asm -> __switch_to -> hw.switch_to()    never returns
 *     cpu_resume -> ret_from_fork -> kthread, kernel_init, ...   a kernel thread: its function, from the top
 *     cpu_resume -> entry_SYSCALL_64_after_hwframe               a user task in a system call: once more
 *     cpu_resume -> cpu_startup_entry                            the idle task
 */
import {
  CONFIG_CRASH_DUMP,
  KERNEL_CS,
  PAGE_OFFSET,
  PF_IDLE,
  PF_KTHREAD,
  PT_REGS_SIZE,
  SIGNAL_CLD_MASK,
  USER_CS,
  USER_DS,
  X86_EFLAGS_FIXED,
  X86_EFLAGS_IF,
  _TIF_NEED_RESCHED,
} from "../../include/generated/constants";
import { fork_frame, inactive_task_frame, pt_regs, task_struct } from "../../include/generated/structs";
import { this_cpu } from "../../include/generated/symbols";
import { finish_task_switch, schedule, schedule_tail } from "../../kernel/sched/core";
import { signal_pending } from "../../kernel/signal";
import { cpu_startup_entry } from "../../kernel/sched/idle";
import { finish_sleep } from "../../kernel/sched/sleep";
import { entry_SYSCALL_64_after_hwframe } from "../entry/syscall";
import { get_current, task_pt_regs, task_top_of_stack } from "./current";
import { arch_do_signal_or_restart, interrupted_syscall } from "./signal";
import { load_sp0 } from "./tss";

@external("hw", "switch_to") declare function hw_switch_to(): void;

/**
 * The new task's stack: pt_regs all zero at the top, below it the frame that makes it start in ret_from_fork
 * with its function in bx and the argument in r12. Both also stay in pt_regs, which a kernel thread has no
 * other use for: its function runs from the top at each wake-up.
 */
export function copy_thread(p: task_struct, fn: u64, arg: u64): void {
  const regs = task_pt_regs(p);
  memory.fill(changetype<usize>(regs), 0, pt_regs.SIZE);
  regs.bx = fn;
  regs.r12 = arg;
  regs.orig_ax = -1;
  const frame = changetype<fork_frame>(task_top_of_stack(p) - fork_frame.SIZE).frame;
  frame.r15 = 0;
  frame.r14 = 0;
  frame.r13 = 0;
  frame.r12 = arg;
  frame.bx = fn;
  frame.bp = 0;
  frame.ret_addr = fnptr(ret_from_fork);
  p.thread.sp = PAGE_OFFSET + <u64>changetype<usize>(frame);
}

/** A child in user mode: its parent's registers with rax 0, and its own stack pointer when one is given. */
export function copy_user_thread(p: task_struct, sp: u64): void {
  const regs = task_pt_regs(p);
  memory.copy(changetype<usize>(regs), changetype<usize>(task_pt_regs(get_current())), pt_regs.SIZE);
  regs.ax = 0;
  // Not in a system call: it must not be made again.
  regs.orig_ax = -1;
  if (sp) regs.sp = sp;
  const frame = changetype<fork_frame>(task_top_of_stack(p) - fork_frame.SIZE).frame;
  memory.fill(changetype<usize>(frame), 0, inactive_task_frame.SIZE);
  frame.ret_addr = fnptr(ret_from_fork);
  p.thread.sp = PAGE_OFFSET + <u64>changetype<usize>(frame);
}

/**
 * Frameless: the caller's call has put the return address at sp - 8, which becomes the frame's ret_addr, so
 * nothing may be called before sp is below it.
 */
export function __switch_to_asm(prev: task_struct, next: task_struct): void {
  const caller = get_sp();
  const at = caller - inactive_task_frame.SIZE;
  set_sp(at);
  const frame = changetype<inactive_task_frame>(at);
  frame.r15 = 0;
  frame.r14 = 0;
  frame.r13 = 0;
  frame.r12 = 0;
  frame.bx = 0;
  frame.bp = PAGE_OFFSET + <u64>caller;
  prev.thread.sp = PAGE_OFFSET + <u64>at;
  __switch_to(prev, next);
}

function __switch_to(prev: task_struct, next: task_struct): void {
  this_cpu.current_task = next;
  this_cpu.switched_from = prev;
  load_sp0(next);
  hw_switch_to();
}

/**
 * Where the machine enters after a switch: sp is at the top of the new task's stack. The idle task has no
 * registers of a user there.
 */
export function cpu_resume(): void {
  const t = get_current();
  if (t.flags & PF_IDLE) {
    finish_task_switch(this_cpu.switched_from);
    cpu_startup_entry();
  }
  set_sp(get_sp() - PT_REGS_SIZE);
  if (t.flags & PF_KTHREAD) {
    ret_from_fork();
  } else {
    finish_task_switch(this_cpu.switched_from);
    if (!CONFIG_CRASH_DUMP) finish_sleep(t);
    const regs = task_pt_regs(t);
    const inside = <i64>regs.orig_ax >= 0 && (CONFIG_CRASH_DUMP || !interrupted_syscall(regs));
    if (inside) entry_SYSCALL_64_after_hwframe(regs);
    else syscall_exit_to_user_mode(regs);
  }
}

/** A kernel thread's first frame. Its function returns only after execve made it a user task. */
export function ret_from_fork(): void {
  schedule_tail(this_cpu.switched_from);
  const regs = task_pt_regs(get_current());
  call_indirect<i32>(text_index(regs.bx), pa(regs.r12));
  syscall_exit_to_user_mode(regs);
}

/**
 * A signal waits or has interrupted the call; or the parent is to hear that the task, once stopped, goes on.
 */
@inline
function signal_work(t: task_struct, regs: pt_regs): bool {
  if (CONFIG_CRASH_DUMP) return false;
  return signal_pending(t) || interrupted_syscall(regs) || (t.signal.flags & SIGNAL_CLD_MASK) != 0;
}

/**
 * The way back to the user. A task that yields, stops or dies here has finished its system call: it is not
 * dispatched again, but comes back to here. orig_ax is -1 then; in a call that a signal has interrupted ax
 * says so (interrupted_syscall).
 */
export function syscall_exit_to_user_mode(regs: pt_regs): void {
  const t = get_current();
  while (true) {
    if (signal_work(t, regs)) {
      if (!CONFIG_CRASH_DUMP) arch_do_signal_or_restart(regs);
    } else if (t.thread_info.flags & _TIF_NEED_RESCHED) {
      regs.orig_ax = -1;
      schedule();
    } else return;
  }
}

/** The registers of a program about to begin (execve). */
export function start_thread(regs: pt_regs, new_ip: u64, new_sp: u64): void {
  memory.fill(changetype<usize>(regs), 0, pt_regs.SIZE);
  regs.orig_ax = -1;
  regs.ip = new_ip;
  regs.sp = new_sp;
  regs.cs = USER_CS;
  regs.ss = USER_DS;
  regs.flags = X86_EFLAGS_IF | X86_EFLAGS_FIXED;
}

@inline
export function user_mode(regs: pt_regs): bool {
  return (regs.cs & 3) != 0 && regs.cs != KERNEL_CS;
}
