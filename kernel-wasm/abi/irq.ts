/**
 * Interrupts: each CPU's interrupt flag, preemption count, counters; soft interrupts; NMI handlers. The
 * capture kernel has none of it: no timer is armed there, and it asks for nothing.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    typedef struct irq_cpustat {
      u16 __softirq_pending;
      unsigned int __nmi_count;
      unsigned int apic_timer_irqs;
      unsigned int irq_spurious_count;
      unsigned int icr_read_retry_count;
      unsigned int x86_platform_ipis;
      unsigned int apic_perf_irqs;
      unsigned int apic_irq_work_irqs;
      unsigned int irq_resched_count;
      unsigned int irq_call_count;
    } irq_cpustat_t;
    struct softirq_action { void (*action)(struct softirq_action *); };
    struct nmiaction {
      struct list_head list;
      int (*handler)(unsigned int type, struct pt_regs *regs);
      u64 max_duration;
      unsigned long flags;
      const char *name;
    };
    struct irq_stack { char stack[IRQ_STACK_SIZE]; };
    /* Sizes by name; each is a page of its own in the direct map. */
    struct exception_stacks { char DF_stack[EXCEPTION_STKSZ]; char NMI_stack[EXCEPTION_STKSZ]; };
    struct idt_bits { u16 ist : 3, zero : 5, type : 5, dpl : 2, p : 1; } __packed;
    typedef struct gate_struct {
      u16 offset_low;
      u16 segment;
      struct idt_bits bits;
      u16 offset_middle;
      u32 offset_high;
      u32 reserved;
    } __packed gate_desc;
    struct nmi_desc { raw_spinlock_t lock; struct list_head head; };
    enum nmi_types { NMI_LOCAL, NMI_UNKNOWN, NMI_SERR, NMI_IO_CHECK, NMI_MAX };
    enum { HI_SOFTIRQ, TIMER_SOFTIRQ, NET_TX_SOFTIRQ, NET_RX_SOFTIRQ, BLOCK_SOFTIRQ, IRQ_POLL_SOFTIRQ,
      TASKLET_SOFTIRQ, SCHED_SOFTIRQ, HRTIMER_SOFTIRQ, RCU_SOFTIRQ, NR_SOFTIRQS };
  `,
  bss: `
    gate_desc idt_table[IDT_ENTRIES] __aligned(64);
    struct softirq_action softirq_vec[NR_SOFTIRQS];
    struct nmi_desc nmi_desc[NMI_MAX];
    struct nmiaction nmi_cpu_backtrace_action;
    unsigned long backtrace_mask;
  `,
  percpu: `
    /* What is bit IF of eflags on x86. */
    int hardirqs_enabled;
    int __preempt_count;
    irq_cpustat_t irq_stat __aligned(64);
    struct pt_regs *irq_regs;
    int nmi_state;
    /* Its last word, which leads to the registers of what was interrupted. */
    struct irq_stack *hardirq_stack_ptr;
    bool hardirq_stack_inuse;
  `,
  defines: {
    PREEMPT_OFFSET: 1,
    PREEMPT_MASK: 0xff,
    SOFTIRQ_OFFSET: 0x100,
    HARDIRQ_OFFSET: 0x10000,
    NMI_OFFSET: 0x100000,
    SOFTIRQ_MASK: 0xff00,
    HARDIRQ_MASK: 0xf0000,
    NMI_MASK: 0xf00000,
    NMI_NOT_RUNNING: 0,
    NMI_EXECUTING: 1,
    NMI_LATCHED: 2,
    NMI_DONE: 0,
    NMI_HANDLED: 1,
    X86_TRAP_NMI: 2,
    IRQ_STACK_SIZE: 16384,
    EXCEPTION_STKSZ: 4096,
    /* In a TSS's ist; a gate's bits count from 1. */
    IST_INDEX_DF: 0,
    IST_INDEX_NMI: 1,
    IDT_ENTRIES: 256,
    GATE_INTERRUPT: 0xe,
    LOCAL_TIMER_VECTOR: 0xec,
    RESCHEDULE_VECTOR: 0xfd,
    MSR_IA32_TSC_DEADLINE: 0x6e0,
    MSR_X2APIC_ICR: 0x830,
    MSR_X2APIC_LVT_TIMER: 0x832,
    APIC_LVT_TIMER_TSCDEADLINE: 0x40000,
    APIC_LVT_MASKED: 0x10000,
    APIC_DM_NMI: 0x400,
  },
  backtrace: [
    "sysvec_apic_timer_interrupt",
    "__sysvec_apic_timer_interrupt",
    "sysvec_reschedule_ipi",
    "irq_exit_rcu",
    "__do_softirq",
    "exc_nmi",
    "default_do_nmi",
    "nmi_handle",
    "unknown_nmi_error",
    "nmi_cpu_backtrace_handler",
    "nmi_cpu_backtrace",
  ],
  entry: ["asm_sysvec_apic_timer_interrupt", "asm_sysvec_reschedule_ipi", "asm_exc_nmi"],
  targets: ["production"],
});
