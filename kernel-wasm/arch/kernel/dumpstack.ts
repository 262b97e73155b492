/**
 * Call traces and the death of the kernel (arch/x86/kernel/dumpstack.c). A stack holds {saved rbp, return
 * address} records; an exception's pt_regs follow directly on the record whose return address is in
 * asm_exc_*, a user task's pt_regs are at the stack's top.
 */
import {
  CONFIG_KEXEC_CORE,
  CONFIG_MODULES,
  CONFIG_SMP,
  LOGLEVEL_DEFAULT,
  PF_KTHREAD,
  PT_REGS_SIZE,
  SIGSEGV,
  TAINT_DIE,
  THREAD_SIZE,
} from "../../include/generated/constants";
import { pt_regs, task_struct } from "../../include/generated/structs";
import { sym, this_cpu } from "../../include/generated/symbols";
import { cpu_relax } from "../../kernel/locking/spinlock";
import { make_task_dead } from "../../kernel/exit";
import { kallsyms_symbol_start } from "../../kernel/kallsyms";
import { in_interrupt as in_irq } from "../../kernel/irqflags";
import { crash_kexec, kexec_should_crash } from "../../kernel/kexec_core";
import { print_modules } from "../../kernel/module/main";
import { oops_enter, oops_exit } from "../../kernel/oops";
import { add_taint, console_verbose, panic } from "../../kernel/panic";
import { bust_spinlocks } from "../../kernel/printk/console";
import { pr_emerg, printk, printk_level, printk_reset_recursion } from "../../kernel/printk/printk";
import { dump_stack_print_info } from "../../lib/dump_stack";
import { task_pt_regs } from "./current";
import { user_mode } from "./process";
import { __show_regs, is_kernel_text, stack_address } from "./process_regs";
import { is_exception_entry } from "./traps";

/** The end of the stack that an address lies in. Above a task's records are its user registers, then this. */
@inline function stack_top(at: usize): usize {
  return (at & ~(THREAD_SIZE - 1)) + THREAD_SIZE;
}

/**
 * Where the newest record of a task is that does not run: in its inactive_task_frame, {bp, ret_addr} last.
 */
function inactive_record(task: task_struct): usize {
  const frame = stack_address(task.thread.sp);
  return frame ? frame + 40 : 0;
}

/**
 * Prints `Call Trace:` of a task, from the frame record at `stack`; 0 takes the running function's own, or
 * where a sleeping task switched away.
 */
export function show_trace_log_lvl(task: task_struct, stack: usize, level: i32): void {
  const current = this_cpu.current_task;
  if (!stack) stack = isnull(task) || task == current ? get_sp() : inactive_record(task);
  if (isnull(task)) task = current;
  const base = isnull(task) ? stack & ~(THREAD_SIZE - 1) : task.stack;
  printk_level(level, c`Call Trace:\n`);
  let on_task = (stack & ~(THREAD_SIZE - 1)) == base;
  printk_level(level, on_task ? c` <TASK>\n` : c` <#DF>\n`);
  let at = stack;
  while (at && at + 16 <= stack_top(at)) {
    const address = load<u64>(at + 8);
    if (!is_kernel_text(address)) break;
    printk_level(level, c` %pB\n`, address);
    let next = stack_address(load<u64>(at));
    if (is_exception_entry(kallsyms_symbol_start(address))) {
      const regs = changetype<pt_regs>(at + 16);
      if (user_mode(regs)) break;
      __show_regs(regs, false, level);
      next = stack_address(regs.sp);
      if (next && !on_task && (next & ~(THREAD_SIZE - 1)) == base) {
        printk_level(level, c` </#DF>\n <TASK>\n`);
        on_task = true;
      }
    } else if (next <= at || next + 16 > stack_top(at)) break;
    at = next;
  }
  // What a system call came with; an interrupted kernel thread has none.
  if (on_task && !isnull(task) && !(task.flags & PF_KTHREAD)) {
    const regs = task_pt_regs(task);
    if (user_mode(regs)) __show_regs(regs, false, level);
  }
  printk_level(level, on_task ? c` </TASK>\n` : c` </#DF>\n`);
}

export function show_stack(task: task_struct, stack: usize, level: i32): void {
  show_trace_log_lvl(task, stack, level);
}

/** Everything about an exception: who, where, registers, and the way there when it was in the kernel. */
export function show_regs(regs: pt_regs): void {
  dump_stack_print_info(LOGLEVEL_DEFAULT);
  __show_regs(regs, !user_mode(regs), LOGLEVEL_DEFAULT);
  if (!user_mode(regs)) show_trace_log_lvl(this_cpu.current_task, stack_address(regs.sp), LOGLEVEL_DEFAULT);
}

export function oops_begin(): void {
  oops_enter();
  const cpu = get_cpu() as i32;
  // Another CPU's oops goes first; a nested one of this CPU goes on.
  const owner = sym.addr_of_die_lock_owner();
  while (atomic.cmpxchg<i32>(owner, -1, cpu) != -1 && atomic.load<i32>(owner) != cpu) cpu_relax();
  sym.die_nest_count += 1;
  console_verbose();
  bust_spinlocks(true);
}

/** In an interrupt, or on a stack of the CPU's own, and not the task's: a double fault's. */
function in_interrupt(): bool {
  if (in_irq()) return true;
  const current = this_cpu.current_task;
  return !isnull(current) && (get_sp() & ~(THREAD_SIZE - 1)) != current.stack;
}

/** Ends an oops: into the capture kernel, into panic, or with the task killed by `signr`. */
export function oops_end(regs: pt_regs, signr: i32): void {
  if (CONFIG_KEXEC_CORE) {
    const crash = !isnull(regs) && kexec_should_crash(this_cpu.current_task, in_interrupt());
    if (crash) crash_kexec(changetype<usize>(regs));
  }
  bust_spinlocks(false);
  sym.die_nest_count -= 1;
  add_taint(TAINT_DIE);
  if (!sym.die_nest_count) atomic.store<i32>(sym.addr_of_die_lock_owner(), -1);
  oops_exit();
  // The first oops is the one that matters: show it again, last.
  __show_regs(sym.exec_summary_regs, true, LOGLEVEL_DEFAULT);
  if (!signr) return;
  if (in_interrupt()) panic(c`Fatal exception in interrupt`);
  if (sym.panic_on_oops) panic(c`Fatal exception`);
  printk_reset_recursion();
  rewind_stack_and_make_dead(signr);
}

/** The stack below the task's registers is given up: the task ends as if it had called exit itself. */
function rewind_stack_and_make_dead(signr: i32): void {
  const current = this_cpu.current_task;
  set_sp(changetype<usize>(task_pt_regs(current)));
  make_task_dead(signr);
}

/** `Oops: ...`, then the registers. */
export function __die(name: usize, regs: pt_regs, error_code: u64): void {
  if (!sym.die_counter) {
    memory.copy(changetype<usize>(sym.exec_summary_regs), changetype<usize>(regs), PT_REGS_SIZE);
  }
  sym.die_counter += 1;
  pr_emerg(
    c`Oops: %s: %04llx [#%d]%s\n`, name, error_code & 0xffff, sym.die_counter, CONFIG_SMP ? c` SMP` : c``,
  );
  show_regs(regs);
  if (CONFIG_MODULES) print_modules();
  else printk(c`Modules linked in:\n`);
}

export function die(name: usize, regs: pt_regs, error_code: u64): void {
  oops_begin();
  __die(name, regs, error_code);
  oops_end(regs, SIGSEGV);
}
