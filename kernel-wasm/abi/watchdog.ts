/** The detectors of lockups and of hung tasks: their settings, and what each CPU remembers. */
import { abi } from "./dsl.ts";

export default abi({
  structs: "",
  data: `
    int watchdog_thresh;
    int watchdog_user_enabled;
    int soft_watchdog_user_enabled;
    int watchdog_hardlockup_user_enabled;
    int sysctl_hung_task_check_count;
    unsigned long sysctl_hung_task_timeout_secs;
    int sysctl_hung_task_warnings;
  `,
  init: {
    watchdog_thresh: 10,
    watchdog_user_enabled: 1,
    soft_watchdog_user_enabled: 1,
    watchdog_hardlockup_user_enabled: 1,
    sysctl_hung_task_check_count: 4194304,
    sysctl_hung_task_timeout_secs: 120,
    sysctl_hung_task_warnings: 10,
  },
  bss: `
    int softlockup_panic;
    int watchdog_hardlockup_available;
    int hardlockup_panic;
    int sysctl_hardlockup_all_cpu_backtrace;
    struct nmiaction perf_nmi_action;
    int sysctl_hung_task_panic;
    int hung_task_call_panic;
    struct task_struct *watchdog_task;
    /* Whether khungtaskd is to be woken at hung_last_checked + hung_task_timeout_secs. */
    int hung_task_waits;
    unsigned long hung_last_checked;
  `,
  percpu: `
    /* In units of 2^30 nanoseconds, about seconds. */
    unsigned long watchdog_touch_ts;
    unsigned long watchdog_report_ts;
    u64 watchdog_sampled;
    u64 watchdog_switches;
    /* The counter's period in nanoseconds, and what was last read of it. */
    u64 hardlockup_period;
    u64 perf_count;
    unsigned int hrtimer_interrupts_saved;
    bool watchdog_hardlockup_warned;
  `,
  defines: { MSR_IA32_PMC0: 0xc1 },
  backtrace: [
    "perf_event_nmi_handler",
    "watchdog_hardlockup_check",
    "nmi_panic",
    "watchdog_timer_fn",
    "watchdog",
    "check_hung_task",
  ],
  targets: ["production"],
});
