/**
 * The completely fair scheduler (kernel/sched/fair.c): a red-black tree of runnable entities by virtual
 * runtime; the leftmost runs next. The running entity is not in the tree. Runtime is measured with
 * sched_clock, whose jitter comes from the machine's seed: so does the order of tasks that are otherwise
 * equal.
 */
import {
  ENQUEUE_INITIAL,
  ENQUEUE_WAKEUP,
  resched_curr,
} from "./core";
import {
  SCHED_LATENCY_NS,
  SCHED_MIN_GRANULARITY_NS,
  SCHED_WAKEUP_GRANULARITY_NS,
  WEIGHT_NICE_0,
} from "../../include/generated/constants";
import {
  rb_node,
  sched_entity,
  task_struct,
  cfs_rq,
  rq,
} from "../../include/generated/structs";
import { rb_erase_cached, rb_insert_color_cached, rb_link_node } from "../../lib/rbtree";

@inline
function entity_before(a: sched_entity, b: sched_entity): bool {
  return <i64>(a.vruntime - b.vruntime) < 0;
}

/** delta * NICE_0_LOAD / weight: virtual time passes slower for heavier tasks. */
function calc_delta_fair(delta: u64, se: sched_entity): u64 {
  return se.load.weight == WEIGHT_NICE_0 ? delta : (delta * WEIGHT_NICE_0) / se.load.weight;
}

function leftmost(cfs: cfs_rq): sched_entity {
  const node = cfs.tasks_timeline.rb_leftmost;
  return isnull(node) ? changetype<sched_entity>(0) : sched_entity.from_run_node(node);
}

function __enqueue_entity(cfs: cfs_rq, se: sched_entity): void {
  const tree = cfs.tasks_timeline;
  let link = changetype<usize>(tree.rb_root);
  let parent = changetype<rb_node>(0);
  let first = true;
  while (load<u64>(link) != 0) {
    parent = changetype<rb_node>(pa(load<u64>(link)));
    if (entity_before(se, sched_entity.from_run_node(parent))) {
      link = rb_node.addr_of_rb_left(parent);
    } else {
      link = rb_node.addr_of_rb_right(parent);
      first = false;
    }
  }
  rb_link_node(se.run_node, parent, link);
  rb_insert_color_cached(se.run_node, tree, first);
}

function __dequeue_entity(cfs: cfs_rq, se: sched_entity): void {
  rb_erase_cached(se.run_node, cfs.tasks_timeline);
}

/** min_vruntime only grows: it follows the smaller of the running and the leftmost entity. */
function update_min_vruntime(cfs: cfs_rq): void {
  const curr = cfs.curr;
  const left = leftmost(cfs);
  let vruntime = cfs.min_vruntime;
  const running = !isnull(curr) && curr.on_rq != 0;
  if (running) vruntime = curr.vruntime;
  if (!isnull(left) && (!running || <i64>(left.vruntime - vruntime) < 0)) vruntime = left.vruntime;
  if (<i64>(vruntime - cfs.min_vruntime) > 0) cfs.min_vruntime = vruntime;
}

/** Charges the running task for the time since it was last charged. */
export function update_curr(cfs: cfs_rq): void {
  const curr = cfs.curr;
  if (isnull(curr)) return;
  const now = cfs.rq.clock_task;
  const delta = now - curr.exec_start;
  if (<i64>delta <= 0) return;
  curr.exec_start = now;
  curr.sum_exec_runtime += delta;
  cfs.exec_clock += delta;
  curr.vruntime += calc_delta_fair(delta, curr);
  task_struct.from_se(curr).stime += delta;
  update_min_vruntime(cfs);
}

/** A share of the scheduling period for an entity, in virtual time. */
function sched_vslice(cfs: cfs_rq, se: sched_entity): u64 {
  const nr = <u64>cfs.nr_running + 1;
  const period = nr > 8 ? nr * <u64>SCHED_MIN_GRANULARITY_NS : <u64>SCHED_LATENCY_NS;
  return calc_delta_fair(period / nr, se);
}

function place_entity(cfs: cfs_rq, se: sched_entity, initial: bool): void {
  let vruntime = cfs.min_vruntime;
  if (initial) vruntime += sched_vslice(cfs, se);
  else vruntime -= <u64>SCHED_LATENCY_NS >> 1;
  if (<i64>(vruntime - se.vruntime) > 0) se.vruntime = vruntime;
}

export function enqueue_task_fair(q: rq, p: task_struct, flags: i32): void {
  const cfs = q.cfs;
  const se = p.se;
  update_curr(cfs);
  if (flags & ENQUEUE_INITIAL) se.vruntime += cfs.min_vruntime;
  if (flags & ENQUEUE_WAKEUP) place_entity(cfs, se, false);
  se.cfs_rq = cfs;
  if (se != cfs.curr) __enqueue_entity(cfs, se);
  se.on_rq = 1;
  cfs.load.weight += se.load.weight;
  cfs.nr_running += 1;
  cfs.h_nr_running += 1;
}

export function dequeue_task_fair(q: rq, p: task_struct): void {
  const cfs = q.cfs;
  const se = p.se;
  update_curr(cfs);
  if (se != cfs.curr) __dequeue_entity(cfs, se);
  se.on_rq = 0;
  cfs.load.weight -= se.load.weight;
  cfs.nr_running -= 1;
  cfs.h_nr_running -= 1;
  update_min_vruntime(cfs);
}

/** A forked task starts one slice behind; its vruntime is relative until it is queued. */
export function task_fork_fair(q: rq, p: task_struct): void {
  const cfs = q.cfs;
  update_curr(cfs);
  if (!isnull(cfs.curr)) p.se.vruntime = cfs.curr.vruntime;
  place_entity(cfs, p.se, true);
  p.se.vruntime -= cfs.min_vruntime;
}

/** The next to run, without taking it off the tree; null when nobody waits. */
export function pick_next_task_fair(q: rq): task_struct {
  const se = leftmost(q.cfs);
  return isnull(se) ? changetype<task_struct>(0) : task_struct.from_se(se);
}

export function set_next_task_fair(q: rq, p: task_struct): void {
  const se = p.se;
  __dequeue_entity(q.cfs, se);
  se.exec_start = q.clock_task;
  se.prev_sum_exec_runtime = se.sum_exec_runtime;
  q.cfs.curr = se;
}

export function put_prev_task_fair(q: rq, p: task_struct): void {
  const cfs = q.cfs;
  const se = p.se;
  if (se.on_rq) {
    update_curr(cfs);
    __enqueue_entity(cfs, se);
  }
  cfs.curr = changetype<sched_entity>(0);
}

/** A woken task preempts when the running one is ahead of it by more than the wake-up granularity. */
export function check_preempt_wakeup(q: rq, p: task_struct): void {
  const curr = q.cfs.curr;
  update_curr(q.cfs);
  if (isnull(curr) || curr == p.se) return;
  if (<i64>(curr.vruntime - p.se.vruntime) > SCHED_WAKEUP_GRANULARITY_NS) resched_curr(q);
}

/** The running entity has had its share and another one waits. */
export function check_preempt_tick(q: rq): void {
  const cfs = q.cfs;
  const curr = cfs.curr;
  if (isnull(curr) || cfs.nr_running < 2) return;
  const period = cfs.nr_running > 8 ? <u64>cfs.nr_running * SCHED_MIN_GRANULARITY_NS : <u64>SCHED_LATENCY_NS;
  if (curr.sum_exec_runtime - curr.prev_sum_exec_runtime > period / cfs.nr_running) resched_curr(q);
}
