/** The out-of-memory killer's state (include/linux/oom.h). */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct oom_control { unsigned int gfp_mask; int order; struct task_struct *chosen; long chosen_points; };
  `,
  defines: {
    OOM_SCORE_ADJ_MIN: -1000,
    OOM_SCORE_ADJ_MAX: 1000,
  },
  bss: `
    int (*oom_handler)(unsigned int gfp, unsigned int order);
    struct oom_control oom_control;
    bool oom_in_progress;
    int sysctl_panic_on_oom;
  `,
  backtrace: ["out_of_memory", "oom_kill_process"],
  targets: ["production"],
});
