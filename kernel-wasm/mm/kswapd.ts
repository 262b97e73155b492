/**
 * kswapd (mm/vmscan.c): the kernel thread that frees memory before somebody has to wait for it. It is woken
 * when an allocation finds no zone above its low mark, and works until one is above its high one. When it
 * frees nothing MAX_RECLAIM_RETRIES times in a row, it is left alone until somebody else does.
 */
import {
  DEF_PRIORITY,
  GFP_KERNEL,
  MAX_NR_ZONES,
  MAX_RECLAIM_RETRIES,
  PAGEOUTRUN,
  PF_KSWAPD,
  PF_MEMALLOC,
  SWAP_CLUSTER_MAX,
  TASK_INTERRUPTIBLE,
  WMARK_HIGH,
  WMARK_LOW,
} from "../include/generated/constants";
import { IS_ERR } from "../include/err";
import { get_current } from "../arch/kernel/current";
import { kthread_run } from "../kernel/kthread";
import { pr_err } from "../kernel/printk/printk";
import { schedule } from "../kernel/sched/core";
import { finish_wait, init_waitqueue_head, prepare_to_wait, wake_up } from "../kernel/sched/wait";
import { list_empty_careful } from "../lib/list";
import { NODE_DATA } from "./page";
import { count_vm_event } from "./vm_event";
import { begin_reclaim, pgdat_balanced, shrink_node } from "./vmscan";

/** Frees memory until a zone that may serve `highest` is above its high mark, or no more is to be had. */
function balance_pgdat(order: i32, highest: i32): void {
  count_vm_event(PAGEOUTRUN);
  let freed: u64 = 0;
  for (let priority = DEF_PRIORITY; priority >= 1 && !pgdat_balanced(WMARK_HIGH, highest); ) {
    const sc = begin_reclaim(GFP_KERNEL, <u32>order, highest, SWAP_CLUSTER_MAX);
    sc.priority = <i8>priority;
    shrink_node(sc);
    freed += sc.nr_reclaimed;
    if (!sc.nr_reclaimed) priority--;
  }
  if (!freed && !pgdat_balanced(WMARK_HIGH, highest)) NODE_DATA(0).kswapd_failures += 1;
}

/** The thread. On the queue before it looks whether there is something to do. */
export function kswapd(unused: usize): i32 {
  const pgdat = NODE_DATA(0);
  get_current().flags |= PF_MEMALLOC | PF_KSWAPD;
  while (true) {
    prepare_to_wait(pgdat.kswapd_wait, TASK_INTERRUPTIBLE);
    const highest = <i32>pgdat.kswapd_highest_zoneidx;
    const order = pgdat.kswapd_order;
    if (highest == MAX_NR_ZONES) {
      schedule();
      continue;
    }
    finish_wait(get_current());
    pgdat.kswapd_highest_zoneidx = MAX_NR_ZONES;
    pgdat.kswapd_order = 0;
    balance_pgdat(order, highest);
  }
}

/** An allocation of zones up to `highest` has found too little. From any context. */
export function wake_all_kswapds(order: u32, highest: i32): void {
  const pgdat = NODE_DATA(0);
  if (pgdat.kswapd_va == 0 || pgdat.kswapd_failures >= MAX_RECLAIM_RETRIES) return;
  if (pgdat_balanced(WMARK_LOW, highest)) return;
  const asked = <i32>pgdat.kswapd_highest_zoneidx;
  if (asked == MAX_NR_ZONES || asked < highest) pgdat.kswapd_highest_zoneidx = highest;
  if (pgdat.kswapd_order < <i32>order) pgdat.kswapd_order = <i32>order;
  if (!list_empty_careful(pgdat.kswapd_wait.head)) wake_up(pgdat.kswapd_wait);
}

/** device_initcall */
export function kswapd_init(): i32 {
  const pgdat = NODE_DATA(0);
  init_waitqueue_head(pgdat.kswapd_wait);
  pgdat.kswapd_highest_zoneidx = MAX_NR_ZONES;
  const t = kthread_run(fnptr(kswapd), 0, c`kswapd%d`, pgdat.node_id);
  if (IS_ERR(t)) pr_err(c`Failed to start kswapd on node %d\n`, pgdat.node_id);
  else pgdat.kswapd = t;
  return 0;
}
