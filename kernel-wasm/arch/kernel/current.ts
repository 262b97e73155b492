/** The running task, and where things lie on a kernel stack (arch/x86/include/asm/{current,processor}.h). */
import { PT_REGS_SIZE, STACK_END_MAGIC, THREAD_SIZE } from "../../include/generated/constants";
import { pt_regs, task_struct } from "../../include/generated/structs";
import { this_cpu } from "../../include/generated/symbols";

@inline
export function get_current(): task_struct {
  return this_cpu.current_task;
}

/** Top of a task's kernel stack, physical. */
@inline
export function task_top_of_stack(t: task_struct): usize {
  return t.stack + THREAD_SIZE;
}

/** User registers: the 168 bytes at the stack's top, which the system call entry fills. */
@inline
export function task_pt_regs(t: task_struct): pt_regs {
  return changetype<pt_regs>(task_top_of_stack(t) - PT_REGS_SIZE);
}

export function set_task_stack_end_magic(t: task_struct): void {
  store<u64>(t.stack, STACK_END_MAGIC);
}
