/**
 * Timers and the tick: the timer wheel (`timer` of crash reads timer_bases), the tick's state, CPU time. Only
 * where there is a tick: not in the capture kernel.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct timer_list {
      struct hlist_node entry;
      unsigned long expires;
      void (*function)(struct timer_list *);
      u32 flags;
    };
    struct timer_base {
      raw_spinlock_t lock;
      struct timer_list *running_timer;
      unsigned long clk;
      unsigned long next_expiry;
      unsigned int cpu;
      bool next_expiry_recalc;
      bool is_idle;
      bool timers_pending;
      unsigned long pending_map[LVL_DEPTH];
      struct hlist_head vectors[WHEEL_SIZE];
      /* On the stack of __run_timers() in Linux: what is due, a list for each level. */
      struct hlist_head expired[LVL_DEPTH];
    } __aligned(64);
    struct tick_sched {
      unsigned int inidle : 1;
      unsigned int tick_stopped : 1;
      unsigned int idle_active : 1;
      ktime_t last_tick;
      ktime_t next_tick;
      unsigned long idle_jiffies;
      unsigned long idle_calls;
      unsigned long idle_sleeps;
      ktime_t idle_entrytime;
      ktime_t idle_exittime;
      ktime_t idle_sleeptime;
      u64 timer_expires;
    };
    enum cpu_usage_stat { CPUTIME_USER, CPUTIME_NICE, CPUTIME_SYSTEM, CPUTIME_SOFTIRQ, CPUTIME_IRQ,
      CPUTIME_IDLE,
      CPUTIME_IOWAIT, CPUTIME_STEAL, CPUTIME_GUEST, CPUTIME_GUEST_NICE, NR_STATS };
    struct kernel_cpustat { u64 cpustat[NR_STATS]; };
  `,
  percpu: `
    struct timer_base timer_bases[NR_BASES];
    struct tick_sched tick_cpu_sched;
    struct kernel_cpustat kernel_cpustat;
  `,
  defines: {
    LVL_CLK_SHIFT: 3,
    LVL_BITS: 6,
    LVL_SIZE: 64,
    LVL_DEPTH: 9,
    WHEEL_SIZE: "LVL_SIZE * LVL_DEPTH",
    NR_BASES: 2,
    TIMER_CPUMASK: 0x3ffff,
    TIMER_MIGRATING: 0x40000,
    TIMER_ARRAYSHIFT: 22,
    TIMER_ARRAYMASK: 0xffc00000,
  },
  backtrace: [
    "local_apic_timer_interrupt",
    "tick_nohz_handler",
    "tick_sched_handle",
    "update_process_times",
    "scheduler_tick",
    "run_timer_softirq",
    "__run_timers",
    "call_timer_fn",
  ],
  targets: ["production"],
});
