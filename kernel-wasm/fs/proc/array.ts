/** /proc/PID/stat, status, statm, and a task's call chain (fs/proc/array.c). */
import {
  DEFAULT_PRIO,
  MAX_RT_PRIO,
  MM_ANONPAGES,
  MM_FILEPAGES,
  MM_SHMEMPAGES,
  MM_SWAPENTS,
  PAGE_SHIFT,
  PAGE_SIZE,
  PIDTYPE_PGID,
  PIDTYPE_SID,
  RLIMIT_SIGPENDING,
  TASK_IDLE,
  TASK_REPORT_IDLE,
  THREAD_SIZE,
  UCOUNT_RLIMIT_SIGPENDING,
} from "../../include/generated/constants";
import { mm_struct, seq_file, sighand_struct, task_struct } from "../../include/generated/structs";
import { sym, this_cpu } from "../../include/generated/symbols";
import { is_kernel_text, stack_address } from "../../arch/kernel/process_regs";
import { mmput } from "../../kernel/fork";
import { kallsyms_symbol_start } from "../../kernel/kallsyms";
import { read_lock, read_unlock } from "../../kernel/locking/qrwlock";
import { pid_nr } from "../../kernel/pid";
import { __schedule, schedule, schedule_idle } from "../../kernel/sched/core";
import { get_task_mm, task_lock, task_unlock } from "../../kernel/sched/task";
import { atomic64_read } from "../../lib/atomic";
import { seq_printf, seq_puts } from "../seq_file";

const TASK_REPORT: u32 = 0x7f;
const NSEC_PER_CLOCK: u64 = 10000000;
const KB_SHIFT: u64 = PAGE_SHIFT - 10;
const SIG_DFL: u64 = 0;
const SIG_IGN: u64 = 1;

/** `S (sleeping)`. */
function get_task_state(task: task_struct): usize {
  const state = task.__state | <u32>task.exit_state;
  let report = state & TASK_REPORT;
  if ((task.__state & TASK_IDLE) == TASK_IDLE) report = TASK_REPORT_IDLE;
  return sym.task_state_array[report ? 32 - clz<u32>(report) : 0];
}

@inline
function rss(mm: mm_struct, member: i32): u64 {
  return <u64>max<i64>(mm.rss_stat.count[member].counter, 0);
}

function total_rss(mm: mm_struct): u64 {
  return rss(mm, MM_FILEPAGES) + rss(mm, MM_ANONPAGES) + rss(mm, MM_SHMEMPAGES);
}

/** Signals whose action is `ignored`, or neither that nor the default. */
function signal_mask(sighand: sighand_struct, ignored: bool): u64 {
  let mask: u64 = 0;
  if (isnull(sighand)) return mask;
  for (let i: u64 = 0; i < 64; i++) {
    const handler = sighand.action[<usize>i].sa.sa_handler_va;
    if (ignored ? handler == SIG_IGN : handler != SIG_IGN && handler != SIG_DFL) mask |= <u64>1 << i;
  }
  return mask;
}

function parent_nr(task: task_struct): i32 {
  return task.real_parent_va == 0 ? 0 : task.real_parent.tgid;
}

export function proc_pid_stat(m: seq_file, task: task_struct): i32 {
  const mm = get_task_mm(task);
  const user = !isnull(mm);
  // Signals, parents and groups stay while the lists of tasks are locked.
  read_lock(sym.tasklist_lock);
  const sig = task.signal;
  const live = !isnull(sig) && task.sighand_va != 0;
  const pgid = live ? pid_nr(sig.pids[PIDTYPE_PGID]) : -1;
  const sid = live ? pid_nr(sig.pids[PIDTYPE_SID]) : -1;
  seq_printf(
    m, c`%d (%s) %c %d %d %d 0 -1 %u %lu`, task.pid, task.comm, load<u8>(get_task_state(task)),
    parent_nr(task), pgid, sid, task.flags, task.min_flt,
  );
  seq_printf(
    m, c` 0 %lu 0 %lu %lu 0 0 %d %d %d 0 %lu`, task.maj_flt, task.utime / NSEC_PER_CLOCK,
    task.stime / NSEC_PER_CLOCK, task.prio - MAX_RT_PRIO, task.static_prio - DEFAULT_PRIO,
    live ? sig.nr_threads : 0, task.start_time / NSEC_PER_CLOCK,
  );
  seq_printf(
    m, c` %lu %lu %lu %lu %lu %lu 0 0`, user ? mm.total_vm << PAGE_SHIFT : 0, user ? total_rss(mm) : 0,
    live ? sig.rlim[5].rlim_cur : 0, user ? mm.start_code : 0, user ? mm.end_code : 0,
    user ? mm.start_stack : 0,
  );
  seq_printf(
    m, c` %lu %lu %lu %lu 0 0 0 %d %d %u %u 0`, task.pending.signal.sig[0] & 0x7fffffff,
    task.blocked.sig[0] & 0x7fffffff, signal_mask(task.sighand, true) & 0x7fffffff,
    signal_mask(task.sighand, false) & 0x7fffffff, task.exit_signal, task.cpu, task.rt_priority, task.policy,
  );
  seq_printf(
    m, c` %lu 0 %lu %lu %lu %lu %lu %lu %lu`, task.gtime / NSEC_PER_CLOCK, user ? mm.start_data : 0,
    user ? mm.end_data : 0, user ? mm.start_brk : 0, user ? mm.arg_start : 0, user ? mm.arg_end : 0,
    user ? mm.env_start : 0, user ? mm.env_end : 0,
  );
  seq_printf(m, c` %d\n`, task.exit_code);
  read_unlock(sym.tasklist_lock);
  if (user) mmput(mm);
  return 0;
}

/** Pages: size, resident, shared, text, lib, data, dirty. */
export function proc_pid_statm(m: seq_file, task: task_struct): i32 {
  const mm = get_task_mm(task);
  if (isnull(mm)) {
    seq_puts(m, c`0 0 0 0 0 0 0\n`);
    return 0;
  }
  const text = ((mm.end_code + PAGE_SIZE - 1) >> PAGE_SHIFT) - (mm.start_code >> PAGE_SHIFT);
  const shared = rss(mm, MM_FILEPAGES) + rss(mm, MM_SHMEMPAGES);
  seq_printf(
    m, c`%lu %lu %lu %lu 0 %lu 0\n`, mm.total_vm, total_rss(mm), shared, text, mm.data_vm + mm.stack_vm,
  );
  mmput(mm);
  return 0;
}

function task_mem(m: seq_file, mm: mm_struct): void {
  const peak = max(mm.hiwater_vm, mm.total_vm);
  const all = total_rss(mm);
  seq_printf(
    m, c`VmPeak:\t%8lu kB\nVmSize:\t%8lu kB\nVmLck:\t%8lu kB\nVmPin:\t%8lu kB\nVmHWM:\t%8lu kB\n`,
    peak << KB_SHIFT, mm.total_vm << KB_SHIFT, mm.locked_vm << KB_SHIFT, mm.pinned_vm.counter << KB_SHIFT,
    max(mm.hiwater_rss, all) << KB_SHIFT,
  );
  seq_printf(
    m, c`VmRSS:\t%8lu kB\nRssAnon:\t%8lu kB\nRssFile:\t%8lu kB\nRssShmem:\t%8lu kB\n`, all << KB_SHIFT,
    rss(mm, MM_ANONPAGES) << KB_SHIFT, rss(mm, MM_FILEPAGES) << KB_SHIFT, rss(mm, MM_SHMEMPAGES) << KB_SHIFT,
  );
  seq_printf(
    m, c`VmData:\t%8lu kB\nVmStk:\t%8lu kB\nVmExe:\t%8lu kB\nVmLib:\t%8lu kB\n`,
    mm.data_vm << KB_SHIFT, mm.stack_vm << KB_SHIFT, (mm.end_code - mm.start_code + 1023) >> 10, 0,
  );
  seq_printf(
    m, c`VmPTE:\t%8lu kB\nVmSwap:\t%8lu kB\n`, mm.pgtables_bytes.counter >> 10,
    rss(mm, MM_SWAPENTS) << KB_SHIFT,
  );
}

function task_sig(m: seq_file, task: task_struct): void {
  const sig = task.signal;
  if (isnull(sig) || task.sighand_va == 0) return;
  const queued = atomic64_read(sym.init_ucounts.ucount[UCOUNT_RLIMIT_SIGPENDING]);
  seq_printf(
    m, c`Threads:\t%d\nSigQ:\t%lu/%lu\n`, sig.nr_threads, queued, sig.rlim[RLIMIT_SIGPENDING].rlim_cur,
  );
  seq_printf(
    m, c`SigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n`,
    task.pending.signal.sig[0], sig.shared_pending.signal.sig[0], task.blocked.sig[0],
    signal_mask(task.sighand, true), signal_mask(task.sighand, false),
  );
}

export function proc_pid_status(m: seq_file, task: task_struct): i32 {
  const mm = get_task_mm(task);
  read_lock(sym.tasklist_lock);
  const cred = task.cred;
  task_lock(task);
  seq_printf(m, c`Name:\t%s\n`, task.comm);
  if (task.fs_va != 0) seq_printf(m, c`Umask:\t%#04o\n`, task.fs.umask);
  const fds = task.files_va == 0 ? 0 : task.files.fdt.max_fds;
  task_unlock(task);
  seq_printf(
    m, c`State:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n`, get_task_state(task),
    task.tgid, task.pid, parent_nr(task),
  );
  seq_printf(
    m, c`Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n`, cred.uid.val, cred.euid.val, cred.suid.val,
    cred.fsuid.val, cred.gid.val, cred.egid.val, cred.sgid.val, cred.fsgid.val,
  );
  seq_printf(m, c`FDSize:\t%u\nGroups:\t \n`, fds);
  if (!isnull(mm)) task_mem(m, mm);
  task_sig(m, task);
  seq_printf(
    m, c`CapPrm:\t%08x%08x\nCapEff:\t%08x%08x\nCpus_allowed:\t%lx\n`, cred.cap_permitted.cap[1],
    cred.cap_permitted.cap[0], cred.cap_effective.cap[1], cred.cap_effective.cap[0], task.cpus_mask.bits[0],
  );
  seq_printf(
    m, c`voluntary_ctxt_switches:\t%lu\nnonvoluntary_ctxt_switches:\t%lu\n`, task.nvcsw, task.nivcsw,
  );
  read_unlock(sym.tasklist_lock);
  if (!isnull(mm)) mmput(mm);
  return 0;
}

/** Prints up to `most` return addresses of a task that sleeps, newest first; nothing for one that runs. */
export function task_call_sites(m: seq_file, task: task_struct, most: i32, format: usize): i32 {
  if (task.on_cpu || task == this_cpu.current_task || task.exit_state) return 0;
  const frame = stack_address(task.thread.sp);
  if (!frame) return 0;
  const end = task.stack + THREAD_SIZE;
  let at = frame + 40;
  let scheduler = true;
  while (most > 0 && at + 16 <= end) {
    const address = load<u64>(at + 8);
    if (!is_kernel_text(address)) break;
    // What the scheduler does itself is not where the task waits.
    if (scheduler) scheduler = in_scheduler(address);
    if (!scheduler) {
      seq_printf(m, format, address);
      most--;
    }
    const next = stack_address(load<u64>(at));
    if (next <= at) break;
    at = next;
  }
  return 0;
}

function in_scheduler(address: u64): bool {
  const start = kallsyms_symbol_start(address);
  return start == fnptr(schedule) || start == fnptr(__schedule) || start == fnptr(schedule_idle);
}
