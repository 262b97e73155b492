/**
 * Call traces and the death of the kernel (arch/x86/kernel/dumpstack.c). A stack holds {saved rbp, return
 * address} records. That of an exception's handler, whose return address is in asm_exc_*, has the pt_regs for
 * the record above it; that of an interrupt's, in asm_sysvec_*, the address of the pt_regs. A user task's
 * pt_regs are at the stack's top.
 */
import {
  CONFIG_KEXEC_CORE,
  CONFIG_MODULES,
  CONFIG_SMP,
  LOGLEVEL_DEFAULT,
  PF_KTHREAD,
  PT_REGS_SIZE,
  SIGSEGV,
  STACK_TYPE_TASK,
  TAINT_DIE,
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
import { stack_end, stack_type, stack_type_name } from "./dumpstack_64";
import { is_interrupt_entry } from "./irq";
import { user_mode } from "./process";
import { __show_regs, is_kernel_text, stack_address } from "./process_regs";
import { is_exception_entry } from "./traps";

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
  printk_level(level, c`Call Trace:\n`);
  let type = stack_type(stack);
  printk_level(level, c` <%s>\n`, stack_type_name(type));
  let at = stack;
  while (at && at + 16 <= stack_end(at)) {
    const address = load<u64>(at + 8);
    if (!is_kernel_text(address)) break;
    const end = stack_end(at);
    let next = stack_address(load<u64>(at));
    const entry = kallsyms_symbol_start(address);
    if (is_exception_entry(entry)) {
      // Behind the record are the registers, or the word that leads to them on the stack before this one.
      if (is_interrupt_entry(entry)) {
        next = stack_address(load<u64>(next));
        type = change_stack(type, next, level);
      }
      printk_level(level, c` %pB\n`, address);
      if (!next) break;
      const regs = changetype<pt_regs>(next);
      if (user_mode(regs)) break;
      __show_regs(regs, false, level);
      next = stack_address(regs.sp);
      type = change_stack(type, next, level);
    } else {
      printk_level(level, c` %pB\n`, address);
      if (next <= at || next + 16 > end) break;
    }
    at = next;
  }
  // What a system call came with; an interrupted kernel thread has none.
  if (type == STACK_TYPE_TASK && !isnull(task) && !(task.flags & PF_KTHREAD)) {
    const regs = task_pt_regs(task);
    if (user_mode(regs)) __show_regs(regs, false, level);
  }
  printk_level(level, c` </%s>\n`, stack_type_name(type));
}

/** The type of the stack that `at` is on, said when it is another than before. */
function change_stack(before: i32, at: usize, level: i32): i32 {
  const type = at ? stack_type(at) : before;
  if (type == before) return type;
  printk_level(level, c` </%s>\n`, stack_type_name(before));
  printk_level(level, c` <%s>\n`, stack_type_name(type));
  return type;
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
  return stack_type(get_sp()) != STACK_TYPE_TASK;
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
