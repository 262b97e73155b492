/** The magic SysRq keys (drivers/tty/sysrq.c). */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct sysrq_key_op {
      void (*handler)(int key);
      char *help_msg;
      char *action_msg;
      int enable_mask;
    };
  `,
  data: `
    int sysrq_enabled;
    int sysrq_always_enabled;
  `,
  bss: `
    struct sysrq_key_op *sysrq_key_table[SYSRQ_KEYS];
    struct sysrq_key_op sysrq_ops[SYSRQ_OPS];
    int nr_sysrq_ops;
    struct proc_ops sysrq_trigger_proc_ops;
  `,
  init: { sysrq_enabled: 1 },
  defines: {
    SYSRQ_KEYS: 62,
    SYSRQ_OPS: 16,
    SYSRQ_ENABLE_ALL: 1,
    SYSRQ_ENABLE_LOG: 2,
    SYSRQ_ENABLE_KEYBOARD: 4,
    SYSRQ_ENABLE_DUMP: 8,
    SYSRQ_ENABLE_SYNC: 16,
    SYSRQ_ENABLE_REMOUNT: 32,
    SYSRQ_ENABLE_SIGNAL: 64,
    SYSRQ_ENABLE_BOOT: 128,
    SYSRQ_ENABLE_RTNICE: 256,
  },
  backtrace: [
    "write_sysrq_trigger",
    "__handle_sysrq",
    "sysrq_handle_crash",
    "sysrq_handle_reboot",
    "sysrq_handle_poweroff",
    "sysrq_handle_showregs",
    "sysrq_handle_showstate",
    "sysrq_handle_showstate_blocked",
    "sysrq_handle_showallcpus",
    "sysrq_handle_showmem",
  ],
});
