/**
 * Processes: signals, waiting for children, restarted system calls, sleepers with a time limit, pipes
 * (include/linux/{restart_block,pipe_fs_i}.h, uapi/asm-generic/signal.h).
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    /* What a system call that sleeps and starts over must remember; cleared by each new call. */
    struct restart_block {
      unsigned long arch_data;
      long (*fn)(struct restart_block *);
      u64 rmtp;             /* nanosleep: where the user wants what is left, or 0 */
      u64 expires;          /* nanosleep: the end of the sleep */
      u64 done;             /* what the call has finished: bytes of a write, the child of a vfork */
      struct file *filp;    /* fdget()'s reference: kept while the call sleeps */
    };

    /* On the stack of a task in schedule_timeout(). */
    struct process_timer { struct timer_list timer; struct task_struct *task; };

    struct pipe_buffer {
      struct page *page;
      unsigned int offset, len;
      const void *ops;
      unsigned int flags;
      unsigned long private;
    };
    struct pipe_inode_info {
      struct mutex mutex;
      wait_queue_head_t rd_wait, wr_wait;
      unsigned int head, tail, max_usage, ring_size;
      unsigned int readers, writers, files, r_counter, w_counter;
      struct pipe_buffer *bufs;
    };
  `,
  defines: {
    SIGHUP: 1,
    SIGINT: 2,
    SIGPIPE: 13,
    SIGTERM: 15,
    SIGCONT: 18,
    SIGSTOP: 19,
    SIGTSTP: 20,
    SIGTTIN: 21,
    SIGTTOU: 22,
    SIGURG: 23,
    SIGWINCH: 28,
    SIGRTMIN: 32,
    _NSIG: 64,
    SIG_DFL: 0,
    SIG_IGN: 1,
    SIG_BLOCK: 0,
    SIG_UNBLOCK: 1,
    SIG_SETMASK: 2,
    SA_NOCLDWAIT: 2,
    SIGNAL_STOP_STOPPED: 1,
    SIGNAL_GROUP_EXIT: 4,
    SIGNAL_UNKILLABLE: 0x40,
    SI_USER: 0,
    SI_KERNEL: 0x80,
    CLD_EXITED: 1,
    CLD_KILLED: 2,

    __TASK_STOPPED: 4,
    TASK_STOPPED: 0x104,
    TASK_KILLABLE: 0x102,
    PF_SIGNALED: 0x400,
    TIF_SIGPENDING: 2,
    _TIF_SIGPENDING: 4,
    CSIGNAL: 0xff,
    CLONE_VFORK: 0x4000,
    WNOHANG: 1,
    WUNTRACED: 2,
    __WALL: 0x40000000,
    FIXED_1: 2048,
    FSHIFT: 11,
    LOAD_FREQ: "5 * CONFIG_HZ + 1",

    PIPE_DEF_BUFFERS: 16,
    PIPEFS_MAGIC: 0x50495045,
    /* What lies at the far end of a sleeper's stack, where Linux has it on the stack; all below the guard. */
    STACK_VFORK_OFFSET: 112,
    STACK_TIMER_OFFSET: 152,
  },
  bss: `
    struct kmem_cache *sigqueue_cachep;
    unsigned long calc_load_update;
    atomic_long_t calc_load_tasks;
    struct file_system_type pipe_fs_type;
    struct file_operations pipefifo_fops;
    struct vfsmount *pipe_mnt;
  `,
  backtrace: [
    "__x64_sys_clone",
    "__x64_sys_execve",
    "__x64_sys_nanosleep",
    "__x64_sys_wait4",
    "__x64_sys_kill",
    "kernel_clone",
    "kernel_wait4",
    "do_wait",
    "do_nanosleep",
    "schedule_timeout",
    "wait_for_vfork_done",
    "pipe_read",
    "pipe_write",
    "get_signal",
    "do_signal_stop",
    "make_task_dead",
  ],
  targets: ["production"],
});
