/**
 * Interrupts (include/linux/{irq,irqdesc,interrupt}.h): a descriptor a number, with the chip that delivers it
 * and the actions that drivers have requested.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct irqaction {
      int (*handler)(int irq, void *dev_id);
      void *dev_id;
      void *percpu_dev_id;
      struct irqaction *next;
      int (*thread_fn)(int irq, void *dev_id);
      struct task_struct *thread;
      struct irqaction *secondary;
      unsigned int irq;
      unsigned int flags;
      unsigned long thread_flags;
      unsigned long thread_mask;
      const char *name;
      struct proc_dir_entry *dir;
    };
    struct irq_chip { void *parent_device; const char *name; };
    struct irq_common_data {
      unsigned int state_use_accessors;
      unsigned int node;
      void *handler_data;
      cpumask_t affinity[1];
    };
    struct irq_data {
      u32 mask;
      unsigned int irq;
      unsigned long hwirq;
      struct irq_common_data *common;
      struct irq_chip *chip;
      void *domain;
      struct irq_data *parent_data;
      void *chip_data;
    };
    struct irq_desc {
      struct irq_common_data irq_common_data;
      struct irq_data irq_data;
      unsigned int *kstat_irqs;         /* per CPU */
      void (*handle_irq)(struct irq_desc *);
      struct irqaction *action;
      unsigned int status_use_accessors;
      unsigned int core_internal_state__do_not_mess_with_it;
      unsigned int depth;
      unsigned int wake_depth;
      unsigned int tot_count;
      unsigned int irq_count;
      unsigned long last_unhandled;
      unsigned int irqs_unhandled;
      atomic_t threads_handled;
      int threads_handled_last;
      raw_spinlock_t lock;
      const char *name;
    } __aligned(64);
  `,
  data: `
    int nr_irqs;
  `,
  bss: `
    struct irq_desc irq_desc[NR_IRQS];
    struct irq_chip ioapic_chip;
    unsigned int *irq_counts;           /* per CPU, one word a number */
  `,
  init: { nr_irqs: 16 },
  defines: {
    NR_IRQS: 16,
    IRQ_NONE: 0,
    IRQ_HANDLED: 1,
    IRQF_SHARED: 0x80,
    IRQF_TIMER: 0x14200,
    IRQ_NOREQUEST: 0x800,
    TIMER_IRQ: 0,
    SERIAL_IRQ: 4,
    RTC_IRQ: 8,
  },
  backtrace: ["handle_edge_irq", "handle_irq_event", "generic_handle_irq"],
  targets: ["production"],
});
