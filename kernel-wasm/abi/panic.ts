/**
 * What a crash leaves for a debugger: taint, panic's settings and message, the owner of the panic, traps, BUG
 * records.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct taint_flag { char c_true; char c_false; bool module; };
    struct notifier_block {
      int (*notifier_call)(struct notifier_block *nb, unsigned long action, void *data);
      struct notifier_block *next;
      int priority;
    };
    struct atomic_notifier_head { spinlock_t lock; struct notifier_block *head; };
    /* Where the running BUG() or WARN() stands; Linux looks it up by the address of ud2. */
    struct bug_record { char *file; int line; int armed; };
  `,
  rodata: `
    struct taint_flag taint_flags[TAINT_FLAGS_COUNT];
  `,
  data: `
    int panic_timeout;
    int panic_on_oops;
    int panic_on_warn;
    bool crash_kexec_post_notifiers;
    unsigned long panic_print;
    atomic_t panic_cpu;
    int sysctl_oops_limit;
    int reboot_force;
    atomic_t die_lock_owner;
  `,
  bss: `
    unsigned long tainted_mask;
    unsigned long panic_on_taint;
    bool panic_on_taint_nousertaint;
    struct atomic_notifier_head panic_notifier_list;
    struct notifier_block kernel_offset_notifier;
    char panic_buf[1024];
    char taint_buf[64];
    char dump_stack_arch_desc_str[128];
    int die_counter;
    int die_nest_count;
    atomic_t warn_count;
    atomic_t oops_count;
    struct pt_regs exec_summary_regs;
    int pause_on_oops;
    int panic_blink_on;
  `,
  percpu: `
    struct bug_record bug_record;
  `,
  init: {
    panic_cpu: -1,
    die_lock_owner: -1,
    sysctl_oops_limit: 10000,
    taint_flags: taintFlags(),
  },
  defines: {
    TAINT_PROPRIETARY_MODULE: 0,
    TAINT_FORCED_MODULE: 1,
    TAINT_CPU_OUT_OF_SPEC: 2,
    TAINT_FORCED_RMMOD: 3,
    TAINT_MACHINE_CHECK: 4,
    TAINT_BAD_PAGE: 5,
    TAINT_USER: 6,
    TAINT_DIE: 7,
    TAINT_OVERRIDDEN_ACPI_TABLE: 8,
    TAINT_WARN: 9,
    TAINT_CRAP: 10,
    TAINT_FIRMWARE_WORKAROUND: 11,
    TAINT_OOT_MODULE: 12,
    TAINT_UNSIGNED_MODULE: 13,
    TAINT_SOFTLOCKUP: 14,
    TAINT_LIVEPATCH: 15,
    TAINT_AUX: 16,
    TAINT_RANDSTRUCT: 17,
    TAINT_FLAGS_COUNT: 18,
    TAINT_FLAGS_MAX: "(1 << TAINT_FLAGS_COUNT) - 1",
    PANIC_CPU_INVALID: -1,
    PANIC_TIMER_STEP: 100,
    PANIC_BLINK_SPD: 18,
    NOTIFY_DONE: 0,
    NOTIFY_STOP_MASK: 0x8000,
    X86_TRAP_DE: 0,
    X86_TRAP_UD: 6,
    X86_TRAP_DF: 8,
    X86_TRAP_GP: 13,
    X86_TRAP_PF: 14,
    X86_TRAP_AC: 17,
    X86_PF_PROT: 1,
    X86_PF_WRITE: 2,
    X86_PF_USER: 4,
    X86_PF_RSVD: 8,
    X86_PF_INSTR: 16,
    X86_PF_PK: 32,
    STACK_GUARD_SIZE: 256,
    STACK_TYPE_TASK: 1,
    STACK_TYPE_IRQ: 2,
    STACK_TYPE_EXCEPTION: 5,
  },
  backtrace: [
    "panic",
    "die",
    "oops_end",
    "dump_stack",
    "dump_stack_lvl",
    "show_stack",
    "show_trace_log_lvl",
    "show_regs",
    "__die",
    "__warn",
    "BUG",
    "WARN",
    "exc_divide_error",
    "exc_invalid_op",
    "exc_general_protection",
    "exc_page_fault",
    "exc_double_fault",
    "exc_alignment_check",
    "handle_stack_overflow",
    "page_fault_oops",
    "emergency_restart",
    "machine_restart",
    "machine_halt",
    "machine_power_off",
    "kernel_restart",
    "kernel_halt",
    "kernel_power_off",
    "__do_sys_reboot",
  ],
  entry: ["asm_exc_divide_error", "asm_exc_invalid_op", "asm_exc_general_protection", "asm_exc_page_fault",
    "asm_exc_double_fault", "asm_exc_alignment_check", "asm_exc", "asm_exc_user"],
});

/** Letters of Linux's taint_flags[]: set, clear, whether a module may carry it. */
function taintFlags(): Uint8Array {
  const letters = "P F S R M B U D A W C I O E L K X T";
  const module = new Set([0, 10, 12, 13, 15, 16]);
  const table = letters.split(" ").flatMap((letter, bit) => [
    letter.charCodeAt(0),
    (bit === 0 ? "G" : " ").charCodeAt(0),
    module.has(bit) ? 1 : 0,
  ]);
  return new Uint8Array(table);
}
