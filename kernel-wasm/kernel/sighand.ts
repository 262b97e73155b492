/**
 * What the threads of a process share about signals: its actions (sighand_struct), and what is pending for
 * all of it, with its limits and its timer (signal_struct); made by fork, given up by execve and exit
 * (kernel/fork.c).
 */
import {
  CLONE_SIGHAND,
  CONFIG_CRASH_DUMP,
  CONFIG_SMP,
  ENOMEM,
  GFP_KERNEL,
} from "../include/generated/constants";
import { sighand_struct, signal_struct, task_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { list_add_tail } from "../lib/list";
import { refcount_dec_and_test, refcount_inc, refcount_read } from "../lib/refcount";
import { kfree, kmem_cache_alloc, kmem_cache_free, kzalloc } from "../mm/slub";
import { init_sighand_struct, init_signal_struct } from "./init_task";
import { write_lock_irqsave, write_unlock_irqrestore } from "./locking/qrwlock";
import { spin_lock, spin_lock_irqsave, spin_unlock, spin_unlock_irqrestore } from "./locking/spinlock";
import { task_lock, task_unlock } from "./sched/task";
import { init_real_timer } from "./time/itimer";

export function copy_sighand(flags: u32, p: task_struct): i32 {
  const old = p.sighand;
  if (flags & CLONE_SIGHAND) {
    refcount_inc(old.count);
    return 0;
  }
  const sighand = changetype<sighand_struct>(kmem_cache_alloc(sym.sighand_cachep, GFP_KERNEL));
  if (isnull(sighand)) return -ENOMEM;
  const irq = spin_lock_irqsave(old.siglock);
  memory.copy(changetype<usize>(sighand), changetype<usize>(old), sighand_struct.SIZE);
  spin_unlock_irqrestore(old.siglock, irq);
  init_sighand_struct(sighand);
  p.sighand = sighand;
  return 0;
}

/**
 * Leaves a shared sighand for one of its own (execve). Who signals this task finds its siglock through
 * t->sighand with tasklist_lock for reading, so that it changes only under the lock for writing.
 */
export function unshare_sighand(t: task_struct): i32 {
  const old = t.sighand;
  // The capture kernel's init has been alone from the start.
  if (CONFIG_CRASH_DUMP || refcount_read(old.count) == 1) return 0;
  const fresh = changetype<sighand_struct>(kmem_cache_alloc(sym.sighand_cachep, GFP_KERNEL));
  if (isnull(fresh)) return -ENOMEM;
  const irq = write_lock_irqsave(sym.tasklist_lock);
  spin_lock(old.siglock);
  memory.copy(changetype<usize>(fresh), changetype<usize>(old), sighand_struct.SIZE);
  init_sighand_struct(fresh);
  t.sighand = fresh;
  spin_unlock(old.siglock);
  write_unlock_irqrestore(sym.tasklist_lock, irq);
  __cleanup_sighand(old);
  return 0;
}

export function __cleanup_sighand(sighand: sighand_struct): void {
  if (refcount_dec_and_test(sighand.count)) kmem_cache_free(sym.sighand_cachep, changetype<usize>(sighand));
}

export function copy_signal(p: task_struct, orig: task_struct): i32 {
  const sig = changetype<signal_struct>(kzalloc(signal_struct.SIZE, GFP_KERNEL));
  if (isnull(sig)) return -ENOMEM;
  init_signal_struct(sig);
  if (!CONFIG_CRASH_DUMP) {
    init_real_timer(sig);
    sig.oom_score_adj = orig.signal.oom_score_adj;
    sig.oom_score_adj_min = orig.signal.oom_score_adj_min;
  }
  if (CONFIG_SMP) task_lock(orig.group_leader);
  memory.copy(changetype<usize>(sig.rlim), changetype<usize>(orig.signal.rlim), 256);
  if (CONFIG_SMP) task_unlock(orig.group_leader);
  list_add_tail(p.thread_node, sig.thread_head);
  p.signal = sig;
  return 0;
}

export function put_signal_struct(sig: signal_struct): void {
  if (refcount_dec_and_test(sig.sigcnt)) kfree(changetype<usize>(sig));
}
