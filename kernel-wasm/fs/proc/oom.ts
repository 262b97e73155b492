/**
 * /proc/PID/oom_score, and oom_score_adj, which moves it (fs/proc/base.c): the OOM killer takes the task with
 * the highest.
 */
import {
  EFAULT,
  EINVAL,
  ENOMEM,
  ESRCH,
  GFP_KERNEL,
  OOM_SCORE_ADJ_MAX,
  OOM_SCORE_ADJ_MIN,
} from "../../include/generated/constants";
import { file, seq_file, task_struct } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { copy_from_buf } from "../../arch/lib/usercopy";
import { put_task_struct } from "../../kernel/fork";
import { read_lock, read_unlock } from "../../kernel/locking/qrwlock";
import { task_lock, task_unlock } from "../../kernel/sched/task";
import { kstrtoint } from "../../lib/string";
import { oom_points } from "../../mm/oom_kill";
import { kfree, kzalloc } from "../../mm/slub";
import { totalram_pages } from "../../mm/vmstat";
import { seq_printf } from "../seq_file";
import { get_proc_task } from "./base";

/** PROC_NUMBUF. */
const NUMBER_SIZE: usize = 13;

/** 0 for one that is never taken; else about 667 and a thousandth for each of memory's. */
export function proc_oom_score(m: seq_file, task: task_struct): i32 {
  read_lock(sym.tasklist_lock);
  task_lock(task);
  const points = task.signal_va == 0 ? i64.MIN_VALUE : oom_points(task);
  task_unlock(task);
  read_unlock(sym.tasklist_lock);
  const score = points == i64.MIN_VALUE ? 0 : (1000 + points * 1000 / <i64>totalram_pages()) * 2 / 3;
  seq_printf(m, c`%lu\n`, score);
  return 0;
}

export function proc_oom_score_adj(m: seq_file, task: task_struct): i32 {
  seq_printf(m, c`%d\n`, task.signal.oom_score_adj);
  return 0;
}

/** The number in `text`, of a task's; -EINVAL when it is none, or out of range. */
function set_oom_adj(task: task_struct, text: usize): i32 {
  const err = kstrtoint(text, 0, text);
  const adj = load<i32>(text);
  if (err) return err;
  if (adj < OOM_SCORE_ADJ_MIN || adj > OOM_SCORE_ADJ_MAX) return -EINVAL;
  // All tasks are root's: the smallest value moves with it.
  task.signal.oom_score_adj = <i16>adj;
  task.signal.oom_score_adj_min = <i16>adj;
  return 0;
}

export function oom_score_adj_write(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const text = kzalloc(NUMBER_SIZE + 3, GFP_KERNEL);
  if (!text) return -ENOMEM;
  let result: i64 = <i64>count;
  if (copy_from_buf(text, buf, min<usize>(count, NUMBER_SIZE - 1))) result = -EFAULT;
  else {
    const task = get_proc_task(filp.f_inode);
    const err = isnull(task) ? -ESRCH : set_oom_adj(task, text);
    if (!isnull(task)) put_task_struct(task);
    if (err) result = err;
  }
  kfree(text);
  return result;
}
