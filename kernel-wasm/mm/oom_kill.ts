/**
 * The out-of-memory killer (mm/oom_kill.c): when an allocation that may wait finds nothing, the task with the
 * most memory is killed. Nobody can wait here in the middle of a call, so the victim's anonymous pages are
 * taken at once, which in Linux is the oom_reaper's job; the task itself ends when it runs next.
 */
import {
  MM_ANONPAGES,
  MM_FILEPAGES,
  MM_SWAPENTS,
  OOM_KILL,
  OOM_SCORE_ADJ_MIN,
  PAGE_SHIFT,
  PF_EXITING,
  PF_KTHREAD,
  SIGKILL,
  SI_KERNEL,
} from "../include/generated/constants";
import { mm_struct, oom_control, task_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";
import { is_global_init } from "../kernel/exit";
import { mmdrop, put_task_struct } from "../kernel/fork";
import { read_lock, read_unlock } from "../kernel/locking/qrwlock";
import { down_read_trylock, up_read } from "../kernel/locking/rwsem";
import { panic } from "../kernel/panic";
import { pr_err, pr_info, pr_warn } from "../kernel/printk/printk";
import { get_task_struct, task_lock, task_unlock } from "../kernel/sched/task";
import { fatal_signal_pending, send_signal } from "../kernel/signal";
import { atomic_inc } from "../lib/atomic";
import { dump_stack } from "../lib/dump_stack";
import { show_mem } from "../lib/show_mem";
import { reap_anonymous } from "./memory";
import { count_vm_event } from "./vm_event";
import { totalram_pages } from "./vmstat";

const KB_SHIFT: u64 = PAGE_SHIFT - 10;

function rss(mm: mm_struct, member: i32): u64 {
  return <u64>max<i64>(mm.rss_stat.count[member].counter, 0);
}

function total_rss(mm: mm_struct): u64 {
  return rss(mm, MM_ANONPAGES) + rss(mm, MM_FILEPAGES);
}

function unkillable(t: task_struct): bool {
  return is_global_init(t) || (t.flags & PF_KTHREAD) != 0 || t.mm_va == 0;
}

/**
 * Pages that the task's end would free; -1 for one that cannot be killed or is dying already. With the task's
 * lock, or it may give its mm back meanwhile.
 */
function oom_badness(t: task_struct): i64 {
  if (unkillable(t) || t.flags & PF_EXITING || fatal_signal_pending(t)) return -1;
  return <i64>(total_rss(t.mm) + rss(t.mm, MM_SWAPENTS));
}

/**
 * With the task's oom_score_adj, in thousandths of memory, as Linux's oom_badness() counts; i64.MIN_VALUE for
 * one that is not to be killed.
 */
export function oom_points(t: task_struct): i64 {
  const badness = oom_badness(t);
  const adj = <i64>t.signal.oom_score_adj;
  if (badness < 0 || adj == OOM_SCORE_ADJ_MIN) return i64.MIN_VALUE;
  return badness + adj * (<i64>(totalram_pages() + sym.total_swap_pages) / 1000);
}

/** The chosen one comes with a reference. */
function select_bad_process(oc: oom_control): void {
  oc.chosen_va = 0;
  oc.chosen_points = i64.MIN_VALUE;
  read_lock(sym.tasklist_lock);
  const first = sym.init_task;
  let t = task_struct.from_tasks(first.tasks.next);
  while (changetype<usize>(t) != changetype<usize>(first)) {
    task_lock(t);
    const points = oom_points(t);
    task_unlock(t);
    if (points > oc.chosen_points) {
      oc.chosen = t;
      oc.chosen_points = points;
    }
    t = task_struct.from_tasks(t.tasks.next);
  }
  if (oc.chosen_va != 0) get_task_struct(oc.chosen);
  read_unlock(sym.tasklist_lock);
}

function dump_tasks(): void {
  pr_info(c`Tasks state (memory values in pages):\n`);
  pr_info(c`[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name\n`);
  const first = sym.init_task;
  read_lock(sym.tasklist_lock);
  let t = task_struct.from_tasks(first.tasks.next);
  while (changetype<usize>(t) != changetype<usize>(first)) {
    task_lock(t);
    if (!unkillable(t)) {
      const mm = t.mm;
      pr_info(
        c`[%7d] %5d %5d %8lu %8lu %8ld %8lu         %5d %s\n`,
        t.pid, 0, t.tgid, mm.total_vm, total_rss(mm), 0, rss(mm, MM_SWAPENTS), t.signal.oom_score_adj, t.comm,
      );
    }
    task_unlock(t);
    t = task_struct.from_tasks(t.tasks.next);
  }
  read_unlock(sym.tasklist_lock);
}

function dump_header(oc: oom_control): void {
  const comm = get_current().comm;
  pr_warn(
    c`%s invoked oom-killer: gfp_mask=%#x, order=%d, oom_score_adj=%d\n`, comm, oc.gfp_mask, oc.order,
    get_current().signal.oom_score_adj,
  );
  dump_stack();
  show_mem();
  dump_tasks();
}

/** Kills the chosen one, unless it has ended by itself while others were told of it. */
export function oom_kill_process(oc: oom_control): void {
  const victim = oc.chosen;
  dump_header(oc);
  task_lock(victim);
  const mm = victim.mm;
  if (!isnull(mm)) atomic_inc(mm.mm_count);
  task_unlock(victim);
  if (isnull(mm)) return;
  pr_info(
    c`oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),global_oom,task=%s,pid=%d,uid=%d\n`,
    victim.comm, victim.pid, 0,
  );
  pr_err(
    c`Out of memory: Killed process %d (%s) total-vm:%lukB, anon-rss:%lukB, file-rss:%lukB, UID:%d\n`,
    victim.pid,
    victim.comm,
    mm.total_vm << KB_SHIFT,
    rss(mm, MM_ANONPAGES) << KB_SHIFT,
    rss(mm, MM_FILEPAGES) << KB_SHIFT,
    0,
  );
  count_vm_event(OOM_KILL);
  // Who has been reaped has no handlers any more.
  read_lock(sym.tasklist_lock);
  if (victim.sighand_va != 0) send_signal(SIGKILL, SI_KERNEL, victim);
  read_unlock(sym.tasklist_lock);
  // The caller's own pages may be what it is copying to: they go when it returns to user mode and dies.
  if (changetype<usize>(mm) != changetype<usize>(get_current().mm)) oom_reap_task(victim, mm);
  mmdrop(mm);
}

/** Not when the victim is at its mappings on another CPU: then it ends soon enough by itself. */
function oom_reap_task(victim: task_struct, mm: mm_struct): void {
  if (!down_read_trylock(mm.mmap_lock)) return;
  reap_anonymous(mm);
  up_read(mm.mmap_lock);
  pr_info(
    c`oom_reaper: reaped process %d (%s), now anon-rss:%lukB, file-rss:%lukB, shmem-rss:0kB\n`,
    victim.pid, victim.comm, rss(mm, MM_ANONPAGES) << KB_SHIFT, rss(mm, MM_FILEPAGES) << KB_SHIFT,
  );
}

/** late_initcall: from here on there are tasks to choose from. */
export function oom_init(): i32 {
  sym.oom_handler = fnptr(out_of_memory);
  return 0;
}

/**
 * 1 when memory came free, so that the allocation is to be tried again; 0 for a caller that is dying itself:
 * it must fail and end.
 */
export function out_of_memory(gfp: u32, order: u32): i32 {
  const current = get_current();
  if (sym.oom_in_progress || fatal_signal_pending(current)) return 0;
  sym.oom_in_progress = true;
  const oc = sym.oom_control;
  oc.gfp_mask = gfp;
  oc.order = order;
  select_bad_process(oc);
  if (sym.sysctl_panic_on_oom) {
    dump_header(oc);
    const how = sym.sysctl_panic_on_oom == 2 ? c`compulsory` : c`system-wide`;
    panic(c`Out of memory: %s panic_on_oom is enabled\n`, how);
  }
  if (oc.chosen_va == 0) {
    dump_header(oc);
    pr_warn(c`Out of memory and no killable processes...\n`);
    panic(c`System is deadlocked on memory\n`);
  }
  const victim = oc.chosen;
  const other = changetype<usize>(victim.mm) != changetype<usize>(current.mm);
  oom_kill_process(oc);
  put_task_struct(victim);
  sym.oom_in_progress = false;
  return other ? 1 : 0;
}
