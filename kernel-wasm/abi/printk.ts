/**
 * The kernel log: Linux 5.15's lockless ring buffer (kernel/printk/printk_ringbuffer.h), consoles, and the
 * tables of kallsyms. Stock tools read prb from a dump by these names and members.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    enum printk_info_flags { LOG_NEWLINE = 2, LOG_CONT = 8 };
    enum desc_state { desc_miss = -1, desc_reserved, desc_committed, desc_finalized, desc_reusable };
    struct dev_printk_info { char subsystem[16]; char device[48]; };
    struct printk_info {
      u64 seq;                /* number of the record */
      u64 ts_nsec;
      u16 text_len;
      u8 facility;
      u8 flags:5;
      u8 level:3;
      u32 caller_id;          /* pid, or 0x80000000 + CPU outside of a task */
      struct dev_printk_info dev_info;
    };
    struct uart_port { spinlock_t lock; unsigned long iobase; unsigned int irq, line; };
    struct prb_data_blk_lpos { unsigned long begin; unsigned long next; };
    struct prb_desc { atomic_long_t state_var; struct prb_data_blk_lpos text_blk_lpos; };
    struct prb_data_block { unsigned long id; char data[0]; };
    struct prb_data_ring {
      unsigned int size_bits;
      char *data;
      atomic_long_t head_lpos;
      atomic_long_t tail_lpos;
    };
    struct prb_desc_ring {
      unsigned int count_bits;
      struct prb_desc *descs;
      struct printk_info *infos;
      atomic_long_t head_id;
      atomic_long_t tail_id;
    };
    struct printk_ringbuffer {
      struct prb_desc_ring desc_ring;
      struct prb_data_ring text_data_ring;
      atomic_long_t fail;
    };
    struct latched_seq { u32 sequence; u64 val[2]; };

    struct console {
      char name[16];
      void (*write)(struct console *co, const char *text, unsigned int len);
      int (*setup)(struct console *co, char *options);
      short flags;
      short index;
      int cflag;
      u64 seq;                /* next record to print */
      struct console *next;
    };
    struct console_cmdline { char name[16]; int index; bool user_specified; char *options; };
  `,
  data: `
    struct printk_ringbuffer printk_rb_static;
    struct printk_ringbuffer *prb;
    char *log_buf;
    u32 log_buf_len;
    int console_printk[4];
    bool ignore_loglevel;
    int suppress_printk;
    int preferred_console;
    int console_owner_cpu;
    raw_spinlock_t console_owner_lock;
    struct task_struct *console_owner;
    int console_waiter;
  `,
  bss: `
    char __log_buf[1 << CONFIG_LOG_BUF_SHIFT] __aligned(8);
    struct prb_desc _printk_rb_static_descs[1 << (CONFIG_LOG_BUF_SHIFT - PRB_AVGBITS)];
    struct printk_info _printk_rb_static_infos[1 << (CONFIG_LOG_BUF_SHIFT - PRB_AVGBITS)];
    struct latched_seq clear_seq;
    struct console *console_drivers;
    struct console_cmdline console_cmdline[MAX_CMDLINECONSOLES];
    int console_locked;
    int oops_in_progress;
    char console_record[CONSOLE_LOG_MAX];
    char console_text[CONSOLE_LOG_MAX];
    struct printk_info console_info;
    u64 console_seq;
    struct console serial8250_console;
    struct uart_port serial8250_port;
  `,
  percpu: `
    u8 printk_count;
  `,
  init: {
    preferred_console: -1,
    console_owner_cpu: -1,
  },
  defines: {
    PRB_AVGBITS: "5 + CONFIG_BASE_SMALL",
    PRINTK_PREFIX_MAX: 32,
    CONSOLE_LOG_MAX: 1024,
    LOG_LINE_MAX: "CONSOLE_LOG_MAX - PRINTK_PREFIX_MAX",
    PRINTK_MAX_RECURSION: 3,
    MAX_CMDLINECONSOLES: 4,
    CON_PRINTBUFFER: 1,
    CON_CONSDEV: 2,
    CON_ENABLED: 4,
    CON_BOOT: 8,
    LOGLEVEL_CONT: -3,
    LOGLEVEL_DEFAULT: -1,
    LOGLEVEL_EMERG: 0,
    LOGLEVEL_ALERT: 1,
    LOGLEVEL_CRIT: 2,
    LOGLEVEL_ERR: 3,
    LOGLEVEL_WARNING: 4,
    LOGLEVEL_NOTICE: 5,
    LOGLEVEL_INFO: 6,
    LOGLEVEL_DEBUG: 7,
    CONSOLE_LOGLEVEL_SILENT: 0,
    CONSOLE_LOGLEVEL_MIN: 1,
    CONSOLE_LOGLEVEL_QUIET: 4,
    CONSOLE_LOGLEVEL_DEFAULT: "CONFIG_CONSOLE_LOGLEVEL_DEFAULT",
    CONSOLE_LOGLEVEL_DEBUG: 10,
    CONSOLE_LOGLEVEL_MOTORMOUTH: 15,
    UART_COM1: 0x3f8,
  },
  backtrace: ["vprintk_emit", "console_unlock"],
});
