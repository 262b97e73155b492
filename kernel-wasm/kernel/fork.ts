/**
 * New tasks (kernel/fork.c): kernel threads, and a user task's children by clone, fork and vfork. A kernel
 * stack is zeroed before use: what an earlier task left there would look like frames to a debugger.
 *
 * A child starts in user mode with its parent's registers, rax being 0. What it does there is the machine's
 * business (runtime/user/context.ts).
 */
import {
  CONFIG_CRASH_DUMP,
  CLONE_FILES,
  CLONE_FS,
  CLONE_SIGHAND,
  CLONE_UNTRACED,
  CLONE_VFORK,
  CLONE_VM,
  CSIGNAL,
  EAGAIN,
  EINTR,
  EINVAL,
  ENOMEM,
  ERESTARTNOINTR,
  GFP_KERNEL,
  PF_FORKNOEXEC,
  PF_IDLE,
  PF_SIGNALED,
  PF_WQ_WORKER,
  PIDTYPE_PGID,
  PIDTYPE_PID,
  PIDTYPE_SID,
  PIDTYPE_TGID,
  RLIMIT_SIGPENDING,
  SIGCHLD,
  SLAB_HWCACHE_ALIGN,
  SLAB_PANIC,
  STACK_VFORK_OFFSET,
  TASK_KILLABLE,
  TASK_SIZE_MAX,
  THREAD_SIZE,
  THREAD_SIZE_ORDER,
  USER_MMAP_BASE,
  _TIF_NEED_RESCHED,
  _TIF_SIGPENDING,
} from "../include/generated/constants";
import {
  completion,
  mm_struct,
  pid,
  sighand_struct,
  task_struct,
  vm_area_struct,
} from "../include/generated/structs";
import { sym, this_cpu } from "../include/generated/symbols";
import { ERR_PTR, IS_ERR, PTR_ERR } from "../include/err";
import { get_current, set_task_stack_end_magic } from "../arch/kernel/current";
import { pgd_alloc, pgd_free } from "../arch/mm/pgtable";
import { copy_thread, copy_user_thread } from "../arch/kernel/process";
import { copy_files, put_files_struct } from "../fs/file";
import { copy_fs, free_fs_struct } from "../fs/fs_struct";
import { atomic_dec_and_test, atomic_inc, atomic_set } from "../lib/atomic";
import { INIT_LIST_HEAD, list_add_tail } from "../lib/list";
import { get_random_u32 } from "../lib/random";
import { refcount_dec_and_test, refcount_set } from "../lib/refcount";
import { __get_free_pages, free_pages } from "../mm/page_alloc";
import { kmem_cache_alloc, kmem_cache_create, kmem_cache_free } from "../mm/slub";
import { dup_mmap, exit_mmap } from "../mm/mmap";
import { copy_creds, exit_creds } from "./cred";
import { init_task_lists } from "./init_task";
import { write_lock_irqsave, write_unlock_irqrestore } from "./locking/qrwlock";
import { init_rwsem } from "./locking/rwsem";
import { spin_lock_init } from "./locking/spinlock";
import { copy_namespaces, exit_task_namespaces } from "./nsproxy";
import { alloc_pid, attach_pid, free_pid, init_task_pid, pid_nr } from "./pid";
import { init_idle, sched_fork, schedule, wake_up_new_task } from "./sched/core";
import { cpu_startup_entry } from "./sched/idle";
import { find_get_task_by_vpid, task_lock, task_unlock } from "./sched/task";
import { finish_wait, init_completion, try_wait_for_completion } from "./sched/wait";
import { fatal_signal_pending, init_sigpending, signal_pending, signals_init } from "./signal";
import { __cleanup_sighand, copy_sighand, copy_signal, put_signal_struct } from "./sighand";
import { sas_ss_reset } from "./signal_calls";
import { ktime_get } from "./time";

/** Sizes how many tasks the machine may hold: their stacks take an eighth of memory at most. */
export function fork_init(): void {
  sym.task_struct_cachep = kmem_cache_create(c`task_struct`, task_struct.SIZE, 64, SLAB_PANIC, 0);
  const pages = <u64>sym._totalram_pages.counter;
  let max_threads = (pages << 12) / (THREAD_SIZE * 8);
  if (max_threads < 20) max_threads = 20;
  sym.max_threads = <i32>max_threads;
  sym.init_signals.rlim[6].rlim_cur = max_threads / 2;
  sym.init_signals.rlim[6].rlim_max = max_threads / 2;
  sym.init_signals.rlim[RLIMIT_SIGPENDING].rlim_cur = max_threads / 2;
  sym.init_signals.rlim[RLIMIT_SIGPENDING].rlim_max = max_threads / 2;
  if (!CONFIG_CRASH_DUMP) signals_init();
}

export function proc_caches_init(): void {
  const flags = SLAB_HWCACHE_ALIGN | SLAB_PANIC;
  sym.sighand_cachep = kmem_cache_create(c`sighand_cache`, sighand_struct.SIZE, 0, flags, 0);
  sym.mm_cachep = kmem_cache_create(c`mm_struct`, mm_struct.SIZE, 0, flags, 0);
  sym.vm_area_cachep = kmem_cache_create(c`vm_area_struct`, vm_area_struct.SIZE, 0, SLAB_PANIC, 0);
}

function alloc_thread_stack(): usize {
  const stack = __get_free_pages(GFP_KERNEL, THREAD_SIZE_ORDER);
  if (stack) memory.fill(stack, 0, THREAD_SIZE);
  return stack;
}

/** A copy of the running task with a stack of its own. Null when memory is short. */
function dup_task_struct(orig: task_struct): task_struct {
  const p = changetype<task_struct>(kmem_cache_alloc(sym.task_struct_cachep, GFP_KERNEL));
  if (isnull(p)) return p;
  const stack = alloc_thread_stack();
  if (!stack) {
    kmem_cache_free(sym.task_struct_cachep, changetype<usize>(p));
    return changetype<task_struct>(0);
  }
  memory.copy(changetype<usize>(p), changetype<usize>(orig), task_struct.SIZE);
  p.stack = stack;
  // A string cannot be the way to the end of it: one byte is NUL.
  p.stack_canary = (((get_random_u32() as u64) << 32) | (get_random_u32() as u64)) & ~<u64>0xff;
  set_task_stack_end_magic(p);
  spin_lock_init(p.alloc_lock);
  p.thread_info.flags &= ~<u64>(_TIF_NEED_RESCHED | _TIF_SIGPENDING);
  p.cpus_ptr = p.cpus_mask;
  refcount_set(p.stack_refcount, 1);
  // One is its parent's who waits for it, the other that of the CPU that runs it (finish_task_switch).
  refcount_set(p.usage, 2);
  return p;
}

/**
 * What a dead task is known by goes with the last reference, not with release_task(): its CPU may still be on
 * the way from exit_notify() to the switch when its parent, on another CPU, has reaped it.
 */
export function __put_task_struct(t: task_struct): void {
  exit_creds(t);
  if (t.signal_va != 0) put_signal_struct(t.signal);
  kmem_cache_free(sym.task_struct_cachep, changetype<usize>(t));
}

@inline
export function put_task_struct(t: task_struct): void {
  if (refcount_dec_and_test(t.usage)) __put_task_struct(t);
}

/**
 * A zombie has no stack any more: the CPU that has left it gives it back (finish_task_switch). Who looks at
 * the stack of a task that may end meanwhile has a reference to it (try_get_task_stack).
 */
export function put_task_stack(t: task_struct): void {
  if (!CONFIG_CRASH_DUMP && !refcount_dec_and_test(t.stack_refcount)) return;
  free_pages(t.stack, THREAD_SIZE_ORDER);
  t.stack_va = 0;
}

/** The parent's address space or a copy of it; kernel threads have none. */
function copy_mm(flags: u32, p: task_struct): i32 {
  const old = p.mm;
  p.mm_va = 0;
  p.active_mm_va = 0;
  if (CONFIG_CRASH_DUMP || isnull(old)) return 0;
  let mm = old;
  if (flags & CLONE_VM) atomic_inc(mm.mm_users);
  else {
    mm = dup_mm(old);
    if (isnull(mm)) return -ENOMEM;
    mm.owner = p;
  }
  p.mm = mm;
  p.active_mm = mm;
  return 0;
}

/** Resources by name, each undone by its own function when a later one fails. */
function copy_resources(flags: u32, p: task_struct, orig: task_struct): i32 {
  // Until they are its own, those that p has are the parent's, for __put_task_struct() too.
  p.signal_va = 0;
  copy_creds(p);
  let err = copy_files(flags, p);
  if (err) return err;
  err = copy_fs(flags, p);
  if (err) {
    put_files_struct(p.files);
    return err;
  }
  err = copy_sighand(flags, p);
  if (!err) {
    err = copy_signal(p, orig);
    if (!err) err = copy_mm(flags, p);
    if (err) __cleanup_sighand(p.sighand);
  }
  if (err) {
    free_fs_struct(p.fs);
    put_files_struct(p.files);
    return err;
  }
  copy_namespaces(p);
  return 0;
}

/** A child that is not to be: it has all that copy_resources() gave it, and is on no list. */
function cancel_fork(p: task_struct): void {
  exit_task_namespaces(p);
  if (p.mm_va != 0) mmput(p.mm);
  free_fs_struct(p.fs);
  put_files_struct(p.files);
  __cleanup_sighand(p.sighand);
  free_unborn(p);
}

/** A task that has never run: nothing but its memory is left. */
function free_unborn(p: task_struct): void {
  put_task_stack(p);
  refcount_set(p.usage, 1);
  put_task_struct(p);
}

/**
 * With tasklist_lock for writing, from where on others see it, and signal it: it is TASK_NEW, which no
 * wake-up finds, until wake_up_new_task().
 */
function attach_task(p: task_struct, number: pid): void {
  const leader = p.real_parent;
  init_task_pid(p, PIDTYPE_PID, number);
  init_task_pid(p, PIDTYPE_TGID, number);
  init_task_pid(p, PIDTYPE_PGID, leader.signal.pids[PIDTYPE_PGID]);
  init_task_pid(p, PIDTYPE_SID, leader.signal.pids[PIDTYPE_SID]);
  if (p.pid == 1) sym.init_pid_ns.child_reaper = p;
  list_add_tail(p.sibling, p.real_parent.children);
  list_add_tail(p.tasks, sym.init_task.tasks);
  attach_pid(p, PIDTYPE_TGID);
  attach_pid(p, PIDTYPE_PGID);
  attach_pid(p, PIDTYPE_SID);
  attach_pid(p, PIDTYPE_PID);
  sym.nr_threads += 1;
  sym.total_forks += 1;
  this_cpu.process_counts += 1;
}

/**
 * A new task, not started: a kernel thread that will run `fn(arg)`; with no `fn`, a child in user mode with
 * its stack pointer at `arg`, or its parent's for 0. `parent`, its father in the process tree, is whom it
 * shares with or is copied from: current, or kthreadd, in whose name a kernel thread is made. ERR_PTR when
 * memory or numbers are short.
 */
export function copy_process(flags: u32, fn: u64, arg: u64, parent: task_struct): task_struct {
  if (sym.nr_threads >= sym.max_threads) return ERR_PTR<task_struct>(-EAGAIN);
  const p = dup_task_struct(parent);
  if (isnull(p)) return ERR_PTR<task_struct>(-ENOMEM);
  p.flags &= ~(PF_IDLE | PF_WQ_WORKER | PF_SIGNALED);
  p.flags |= PF_FORKNOEXEC;
  init_task_lists(p);
  init_sigpending(p.pending);
  p.utime = 0;
  p.stime = 0;
  p.gtime = 0;
  p.nvcsw = 0;
  p.nivcsw = 0;
  p.exit_state = 0;
  p.last_switch_count = 0;
  p.last_switch_time = 0;
  p.vfork_done_va = 0;
  p.set_child_tid_va = 0;
  p.clear_child_tid_va = 0;
  p.restart_block.fn = 0;
  if (!CONFIG_CRASH_DUMP) {
    p.restore_sigmask = 0;
    // The child of a vfork has a stack of its own.
    if ((flags & (CLONE_VM | CLONE_VFORK)) == CLONE_VM) sas_ss_reset(p);
  }
  sched_fork(p);
  const err = copy_resources(flags, p, parent);
  if (err) {
    free_unborn(p);
    return ERR_PTR<task_struct>(err);
  }
  if (fn) copy_thread(p, fn, arg);
  else copy_user_thread(p, arg);
  const number = alloc_pid();
  if (IS_ERR(number)) {
    cancel_fork(p);
    return ERR_PTR<task_struct>(PTR_ERR(number));
  }
  p.pid = pid_nr(number);
  p.tgid = p.pid;
  p.group_leader = p;
  p.exit_signal = flags & CSIGNAL;
  p.real_parent = parent;
  p.parent = parent;
  p.start_time = ktime_get();
  p.start_boottime = p.start_time;
  const irq = write_lock_irqsave(sym.tasklist_lock);
  // A signal that ends the parent was meant for the child as well: kill(2) of a group either finds the child
  // on the list, or has marked the parent before.
  const killed = !CONFIG_CRASH_DUMP && fatal_signal_pending(get_current());
  if (!killed) attach_task(p, number);
  write_unlock_irqrestore(sym.tasklist_lock, irq);
  if (!killed) return p;
  free_pid(number);
  cancel_fork(p);
  return ERR_PTR<task_struct>(-EINTR);
}

/** The idle task of a CPU about to start: pid 0, in no list of tasks. ERR_PTR when memory is short. */
export function fork_idle(cpu: u32): task_struct {
  const p = dup_task_struct(sym.init_task);
  if (isnull(p)) return ERR_PTR<task_struct>(-ENOMEM);
  init_task_lists(p);
  init_sigpending(p.pending);
  p.group_leader = p;
  // Kernel threads borrow an address space from whom they follow; the first to run on a CPU follows nobody.
  p.mm_va = 0;
  atomic_inc(sym.init_mm.mm_count);
  p.active_mm = sym.init_mm;
  copy_thread(p, fnptr(cpu_startup_entry), 0);
  init_idle(p, cpu);
  return p;
}

/** A kernel thread that runs `fn(arg)` at once. Returns its number or a negative error. */
export function kernel_thread(fn: u64, arg: usize, flags: u32): i32 {
  const p = copy_process(flags | CLONE_VM | CLONE_UNTRACED, fn, va(arg), get_current());
  if (IS_ERR(p)) return PTR_ERR(p);
  // It may be gone when this CPU looks again.
  const pid = p.pid;
  wake_up_new_task(p);
  return pid;
}

/** What a child may share; threads of one process, tracing and name spaces are not here. */
const CLONE_ALLOWED: u32 = CSIGNAL | CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_VFORK |
  CLONE_UNTRACED;

@inline
function vfork_completion(t: task_struct): completion {
  return changetype<completion>(t.stack + STACK_VFORK_OFFSET);
}

/**
 * The parent of a vfork sleeps until the child has an address space of its own or is gone; then the child's
 * number. A signal that ends the parent cuts the wait short: the completion goes with the parent's stack, so
 * the child is told under its task_lock to forget it; mm_release() completes it under the same lock.
 */
export function wait_for_vfork_done(pid: i32): i32 {
  const t = get_current();
  const done = vfork_completion(t);
  while (!try_wait_for_completion(done, TASK_KILLABLE)) {
    if (fatal_signal_pending(t)) {
      const child = find_get_task_by_vpid(pid);
      if (!isnull(child)) {
        task_lock(child);
        if (child.vfork_done == done) child.vfork_done_va = 0;
        task_unlock(child);
        put_task_struct(child);
      }
      finish_wait(t);
      return -EINTR;
    }
    schedule();
  }
  t.restart_block.fn = 0;
  return pid;
}

/** clone(2), fork(2), vfork(2): the child's number. */
export function kernel_clone(flags: u32, stack: u64): i32 {
  const t = get_current();
  // A vfork that slept starts over: its child exists.
  if (t.restart_block.fn != 0) return wait_for_vfork_done(<i32>t.restart_block.done);
  // What was sent before the fork is delivered before it, and to the parent alone.
  if (signal_pending(t)) return -ERESTARTNOINTR;
  if (flags & ~CLONE_ALLOWED || (flags & CLONE_SIGHAND && !(flags & CLONE_VM))) return -EINVAL;
  const p = copy_process(flags, 0, stack, t);
  if (IS_ERR(p)) return PTR_ERR(p);
  const pid = p.pid;
  if (flags & CLONE_VFORK) {
    init_completion(vfork_completion(t));
    p.vfork_done = vfork_completion(t);
    t.restart_block.fn = fnptr(wait_for_vfork_done);
    t.restart_block.done = pid;
  }
  wake_up_new_task(p);
  return flags & CLONE_VFORK ? wait_for_vfork_done(pid) : pid;
}

/** What kthreadd's children share with it. Kernel threads handle no signal, so one sighand does for all. */
export const KTHREAD_CLONE_FLAGS: u32 =
  CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_VM | CLONE_UNTRACED | SIGCHLD;


/** An empty address space with page tables, one user; null when memory is short. */
export function mm_alloc(): mm_struct {
  const mm = changetype<mm_struct>(kmem_cache_alloc(sym.mm_cachep, GFP_KERNEL));
  if (isnull(mm)) return mm;
  memory.fill(changetype<usize>(mm), 0, mm_struct.SIZE);
  const pgd = pgd_alloc();
  if (!pgd) {
    kmem_cache_free(sym.mm_cachep, changetype<usize>(mm));
    return changetype<mm_struct>(0);
  }
  mm.pgd_va = va(pgd);
  atomic_set(mm.mm_users, 1);
  atomic_set(mm.mm_count, 1);
  mm.task_size = TASK_SIZE_MAX;
  mm.mmap_base = USER_MMAP_BASE;
  INIT_LIST_HEAD(mm.mmlist);
  spin_lock_init(mm.page_table_lock);
  spin_lock_init(mm.arg_lock);
  init_rwsem(mm.mmap_lock);
  return mm;
}

/** A copy of an address space, its pages copied too: programs touch their memory without faulting. */
function dup_mm(old: mm_struct): mm_struct {
  const mm = mm_alloc();
  if (isnull(mm)) return mm;
  if (dup_mmap(mm, old) == 0) return mm;
  mmput(mm);
  return changetype<mm_struct>(0);
}

/** One user of the address space fewer; the last takes the mappings and pages with it. */
export function mmput(mm: mm_struct): void {
  if (!atomic_dec_and_test(mm.mm_users)) return;
  exit_mmap(mm);
  mmdrop(mm);
}

export function mmdrop(mm: mm_struct): void {
  if (!atomic_dec_and_test(mm.mm_count)) return;
  pgd_free(changetype<usize>(mm.pgd));
  kmem_cache_free(sym.mm_cachep, changetype<usize>(mm));
}
