/**
 * The first task (init/init_task.c): what Linux initialises statically. setup_init_task() makes the running
 * code, on the boot CPU's stack behind _end, init_task; it is called before anything that asks for the
 * current task.
 */
import {
  CONFIG_CRASH_DUMP,
  CONFIG_NR_CPUS,
  DEFAULT_PRIO,
  PF_KTHREAD,
  RLIMIT_NOFILE,
  RLIMIT_NPROC,
  RLIMIT_STACK,
  RLIM_NLIMITS,
  TASK_RUNNING,
  THREAD_SIZE,
} from "../include/generated/constants";
import { sighand_struct, signal_struct, task_struct } from "../include/generated/structs";
import { sym, this_cpu } from "../include/generated/symbols";
import { set_task_stack_end_magic } from "../arch/kernel/current";
import { load_TR_desc, setup_cpu_tss } from "../arch/kernel/tss";
import { atomic_set } from "../lib/atomic";
import { INIT_HLIST_NODE, INIT_LIST_HEAD, list_add } from "../lib/list";
import { refcount_set } from "../lib/refcount";
import { strscpy } from "../lib/string";
import { spin_lock_init } from "./locking/spinlock";
import { init_waitqueue_head } from "./sched/wait";
import { init_sigpending } from "./signal";

const RLIM_INFINITY: u64 = 0xffffffffffffffff;

/** Resets what every task's lists must be before it is linked anywhere. */
export function init_task_lists(t: task_struct): void {
  INIT_LIST_HEAD(t.children);
  INIT_LIST_HEAD(t.sibling);
  INIT_LIST_HEAD(t.thread_group);
  INIT_LIST_HEAD(t.tasks);
  for (let i: usize = 0; i < 4; i++) INIT_HLIST_NODE(t.pid_links[i]);
}

export function init_signal_struct(sig: signal_struct): void {
  refcount_set(sig.sigcnt, 1);
  atomic_set(sig.live, 1);
  sig.nr_threads = 1;
  INIT_LIST_HEAD(sig.thread_head);
  init_waitqueue_head(sig.wait_chldexit);
  init_sigpending(sig.shared_pending);
}

export function init_sighand_struct(sighand: sighand_struct): void {
  refcount_set(sighand.count, 1);
  spin_lock_init(sighand.siglock);
  init_waitqueue_head(sighand.signalfd_wqh);
}

/** INIT_RLIMITS. */
function init_rlimits(sig: signal_struct): void {
  for (let i: usize = 0; i < RLIM_NLIMITS; i++) {
    sig.rlim[i].rlim_cur = RLIM_INFINITY;
    sig.rlim[i].rlim_max = RLIM_INFINITY;
  }
  sig.rlim[RLIMIT_STACK].rlim_cur = 8 << 20;
  sig.rlim[RLIMIT_NPROC].rlim_cur = 0;
  sig.rlim[RLIMIT_NPROC].rlim_max = 0;
  sig.rlim[RLIMIT_NOFILE].rlim_cur = 1024;
  sig.rlim[RLIMIT_NOFILE].rlim_max = 4096;
}

function setup_init_pid(t: task_struct): void {
  const pid = sym.init_struct_pid;
  refcount_set(pid.count, 1);
  init_waitqueue_head(pid.wait_pidfd);
  pid.numbers[0].nr = 0;
  pid.numbers[0].ns = sym.init_pid_ns;
  t.thread_pid = pid;
  for (let i: usize = 0; i < 4; i++) t.signal.pids[i] = pid;
}

function setup_init_cred(): void {
  const cred = sym.init_cred;
  atomic_set(cred.usage, 4);
  cred.cap_permitted.cap[0] = 0xffffffff;
  cred.cap_permitted.cap[1] = 0x1ff;
  cred.cap_effective.cap[0] = 0xffffffff;
  cred.cap_effective.cap[1] = 0x1ff;
  cred.cap_bset.cap[0] = 0xffffffff;
  cred.cap_bset.cap[1] = 0x1ff;
}

function setup_init_mm(): void {
  const mm = sym.init_mm;
  atomic_set(mm.mm_users, 2);
  atomic_set(mm.mm_count, 1);
  mm.pgd_va = va(sym.addr_of_swapper_pg_dir());
  INIT_LIST_HEAD(mm.mmlist);
}

/** task_state_array of fs/proc/array.c: debuggers take the letter of a state from here. */
function setup_task_state_array(): void {
  const names = sym.task_state_array;
  names[0] = c`R (running)`;
  names[1] = c`S (sleeping)`;
  names[2] = c`D (disk sleep)`;
  names[3] = c`T (stopped)`;
  names[4] = c`t (tracing stop)`;
  names[5] = c`X (dead)`;
  names[6] = c`Z (zombie)`;
  names[7] = c`P (parked)`;
  names[8] = c`I (idle)`;
}

/** The running code, on the stack that sp points into, becomes init_task of this CPU. */
export function setup_init_task(): void {
  const t = sym.init_task;
  const cpu = get_cpu();
  const mask = <u64>((1 << CONFIG_NR_CPUS) - 1);
  t.__state = TASK_RUNNING;
  t.stack_va = 0xffff888000000000 + <u64>((get_sp() - 1) & ~(THREAD_SIZE - 1));
  refcount_set(t.usage, 2);
  refcount_set(t.stack_refcount, 1);
  t.flags = PF_KTHREAD;
  t.prio = DEFAULT_PRIO;
  t.static_prio = DEFAULT_PRIO;
  t.normal_prio = DEFAULT_PRIO;
  t.nr_cpus_allowed = CONFIG_NR_CPUS;
  t.cpus_ptr = t.cpus_mask;
  t.cpus_mask.bits[0] = mask;
  t.active_mm = sym.init_mm;
  init_task_lists(t);
  t.real_parent = t;
  t.parent = t;
  t.group_leader = t;
  t.real_cred = sym.init_cred;
  t.cred = sym.init_cred;
  strscpy(t.comm, c`swapper`, 16);
  t.fs = sym.init_fs;
  t.files = sym.init_files;
  t.signal = sym.init_signals;
  t.sighand = sym.init_sighand;
  t.nsproxy = sym.init_nsproxy;
  init_sigpending(t.pending);
  init_signal_struct(sym.init_signals);
  init_rlimits(sym.init_signals);
  init_sighand_struct(sym.init_sighand);
  list_add(t.thread_node, sym.init_signals.thread_head);
  setup_init_pid(t);
  setup_init_cred();
  setup_init_mm();
  if (!CONFIG_CRASH_DUMP) setup_task_state_array();
  atomic_set(sym.init_nsproxy.count, 1);
  sym.init_nsproxy.uts_ns = sym.init_uts_ns;
  sym.init_nsproxy.pid_ns_for_children = sym.init_pid_ns;
  this_cpu.current_task = t;
  set_task_stack_end_magic(t);
}

/**
 * The boot CPU is there: its number, masks, and the TSS that holds its kernel stack (boot_cpu_init,
 * cpu_init).
 */
export function boot_cpu_init(): void {
  const bit = <u64>1 << get_cpu();
  sym.__cpu_online_mask.bits[0] |= bit;
  sym.__cpu_active_mask.bits[0] |= bit;
  sym.__cpu_present_mask.bits[0] |= bit;
  sym.__cpu_possible_mask.bits[0] |= bit;
}

/** cpu_init(): the per-CPU areas stand. */
export function cpu_init(): void {
  setup_cpu_tss();
  load_TR_desc();
}
