/** Showing tasks: sysrq t and w, panic_print (sched_show_task, show_state_filter of kernel/sched/core.c). */
import { CONFIG_CRASH_DUMP, LOGLEVEL_INFO, TASK_RUNNING } from "../../include/generated/constants";
import { task_struct } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { show_stack } from "../../arch/kernel/dumpstack";
import { put_task_stack } from "../fork";
import { read_lock, read_unlock } from "../locking/qrwlock";
import { try_get_task_stack } from "./task";
import { pr_cont, pr_info } from "../printk/printk";

/** The letter for a task's state, as in task_state_array: its lowest bit counts. */
function task_state_to_char(task: task_struct): u32 {
  const state = (task.__state | (task.exit_state as u32)) & 0x7f;
  const index = state ? 1 + ctz<u32>(state) : 0;
  return load<u8>(c`RSDTtXZPI` + index);
}

export function sched_show_task(task: task_struct): void {
  // A zombie's stack is gone already.
  if (CONFIG_CRASH_DUMP ? !task.stack : !try_get_task_stack(task)) return;
  pr_info(c`task:%-15.15s state:%c`, task.comm, task_state_to_char(task));
  if (task.__state == TASK_RUNNING) pr_cont(c`  running task    `);
  const parent = task.real_parent;
  pr_cont(
    c` stack:%5lu pid:%5d ppid:%6d flags:0x%08llx\n`, 0, task.pid, isnull(parent) ? 0 : parent.pid,
    task.thread_info.flags,
  );
  show_stack(task, 0, LOGLEVEL_INFO);
  if (!CONFIG_CRASH_DUMP) put_task_stack(task);
}

/**
 * All tasks whose state has one of the bits; TASK_RUNNING (0) means every task. Who has tasklist_lock in a
 * panic or an oops may never let it go: then the list is walked as it is.
 */
export function show_state_filter(state_filter: u32): void {
  const locked = !sym.oops_in_progress;
  if (locked) read_lock(sym.tasklist_lock);
  let task = sym.init_task;
  do {
    if (!state_filter || task.__state & state_filter) sched_show_task(task);
    task = task_struct.from_tasks(task.tasks.next);
  } while (task != sym.init_task);
  if (locked) read_unlock(sym.tasklist_lock);
}
