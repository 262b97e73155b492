/**
 * /proc/stat, uptime (fs/proc/stat.c, uptime.c). Time in which a CPU ran a task is the time that its queue
 * has charged to tasks (cfs_rq.exec_clock); all other time is idle. Programs leave the machine's clock alone
 * while they compute, so what is charged is the kernel's.
 */
import { NSEC_PER_SEC } from "../../include/generated/constants";
import { seq_file } from "../../include/generated/structs";
import { percpu, sym } from "../../include/generated/symbols";
import { kstat_irqs_cpu } from "../../kernel/irq/irqdesc";
import { nr_running } from "../../kernel/sched/core";
import { ktime_get } from "../../kernel/time";
import { seq_printf, seq_puts } from "../seq_file";

/** USER_HZ: what programs take a second for. */
const NSEC_PER_CLOCK: u64 = 10000000;

/** Nanoseconds that a CPU has spent in tasks, the running one's unfinished turn included. */
function busy_time(cpu: u32): u64 {
  const q = percpu.runqueues(cpu);
  const curr = q.cfs.curr;
  const now = ktime_get();
  const turn = !isnull(curr) && curr.exec_start < now ? now - curr.exec_start : 0;
  return q.cfs.exec_clock + turn;
}

/** Nanoseconds that a CPU has spent without a task. */
export function get_idle_time(cpu: u32): u64 {
  const busy = busy_time(cpu);
  const now = ktime_get();
  return now > busy ? now - busy : 0;
}

export function uptime_proc_show(m: seq_file, v: usize): i32 {
  let idle: u64 = 0;
  for (let cpu: u32 = 0; cpu < <u32>sym.nr_cpu_ids; cpu++) idle += get_idle_time(cpu);
  const up = ktime_get();
  seq_printf(
    m, c`%lu.%02lu %lu.%02lu\n`, up / NSEC_PER_SEC, (up % NSEC_PER_SEC) / NSEC_PER_CLOCK,
    idle / NSEC_PER_SEC, (idle % NSEC_PER_SEC) / NSEC_PER_CLOCK,
  );
  return 0;
}

function show_cpu_line(m: seq_file, busy: u64, idle: u64): void {
  seq_printf(m, c` 0 0 %llu %llu 0 0 0 0 0 0\n`, busy / NSEC_PER_CLOCK, idle / NSEC_PER_CLOCK);
}

/** Interrupts since boot: all, then each number's. */
function show_irqs(m: seq_file): void {
  let sum: u64 = 0;
  for (let irq: u32 = 0; irq < <u32>sym.nr_irqs; irq++) {
    for (let cpu: u32 = 0; cpu < <u32>sym.nr_cpu_ids; cpu++) sum += kstat_irqs_cpu(irq, cpu);
  }
  seq_printf(m, c`intr %llu`, sum);
  for (let irq: u32 = 0; irq < <u32>sym.nr_irqs; irq++) {
    sum = 0;
    for (let cpu: u32 = 0; cpu < <u32>sym.nr_cpu_ids; cpu++) sum += kstat_irqs_cpu(irq, cpu);
    seq_printf(m, c` %llu`, sum);
  }
}

export function stat_proc_show(m: seq_file, v: usize): i32 {
  let busy: u64 = 0;
  let idle: u64 = 0;
  let switches: u64 = 0;
  let blocked: u64 = 0;
  for (let cpu: u32 = 0; cpu < <u32>sym.nr_cpu_ids; cpu++) {
    busy += busy_time(cpu);
    idle += get_idle_time(cpu);
    switches += percpu.runqueues(cpu).nr_switches;
    blocked += percpu.runqueues(cpu).nr_iowait.counter;
  }
  seq_puts(m, c`cpu `);
  show_cpu_line(m, busy, idle);
  for (let cpu: u32 = 0; cpu < <u32>sym.nr_cpu_ids; cpu++) {
    if (((sym.__cpu_online_mask.bits[0] >> cpu) & 1) == 0) continue;
    seq_printf(m, c`cpu%d`, cpu);
    show_cpu_line(m, busy_time(cpu), get_idle_time(cpu));
  }
  show_irqs(m);
  seq_printf(
    m, c`\nctxt %llu\nbtime %llu\nprocesses %lu\nprocs_running %u\nprocs_blocked %u\n`, switches,
    <u64>sym.tk_core.timekeeper.offs_real / NSEC_PER_SEC, sym.total_forks, nr_running(), blocked,
  );
  return 0;
}
