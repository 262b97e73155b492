/**
 * Tasks and the scheduler: task_struct and all that hangs on it, run queues, pids, wait queues, work queues.
 * Member order follows include/linux/{sched,mm_types,pid,signal,cred,wait,workqueue}.h of 5.15, as far as
 * members are used by the kernel or by crash, gdb and drgn.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct thread_info { unsigned long flags; unsigned long syscall_work; u32 status; };
    struct pt_regs {
      unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax;
      unsigned long ip, cs, flags, sp, ss;
    };
    struct inactive_task_frame { unsigned long r15, r14, r13, r12, bx, bp, ret_addr; };
    /* On a new task's stack: ret_from_fork finds the task's function in bx, its argument in r12. */
    struct fork_frame { struct inactive_task_frame frame; struct pt_regs regs; };
    struct x86_hw_tss {
      u32 reserved1;
      u64 sp0, sp1, sp2;
      u64 reserved2;
      u64 ist[7];
      u32 reserved3, reserved4;
      u16 reserved5, io_bitmap_base;
    } __packed;
    struct tss_struct { struct x86_hw_tss x86_tss; };

    struct thread_struct {
      unsigned long sp;
      unsigned short es, ds, fsindex, gsindex;
      unsigned long fsbase, gsbase;
      unsigned long cr2, trap_nr, error_code;
    };
    union thread_union { struct task_struct task; unsigned long stack[2048]; };

    struct load_weight { unsigned long weight; u32 inv_weight; };
    struct sched_entity {
      struct load_weight load;
      struct rb_node run_node;
      struct list_head group_node;
      unsigned int on_rq;
      u64 exec_start;
      u64 sum_exec_runtime;
      u64 vruntime;
      u64 prev_sum_exec_runtime;
      u64 nr_migrations;
      struct cfs_rq *cfs_rq;
    };
    struct sched_rt_entity { struct list_head run_list; };
    struct sched_info { unsigned long pcount; u64 run_delay, last_arrival, last_queued; };
    struct task_rss_stat { int events; int count[NR_MM_COUNTERS]; };

    typedef struct { unsigned long sig[1]; } sigset_t;
    struct sigpending { struct list_head list; sigset_t signal; };
    struct sigaction { void *sa_handler; unsigned long sa_flags; void *sa_restorer; sigset_t sa_mask; };
    struct k_sigaction { struct sigaction sa; };
    struct wait_queue_head { spinlock_t lock; struct list_head head; };
    typedef struct wait_queue_head wait_queue_head_t;
    struct wait_queue_entry {
      unsigned int flags;
      void *private;
      int (*func)(struct wait_queue_entry *, unsigned int mode, int flags, void *key);
      struct list_head entry;
    };
    /* On the stack of a sleeping task, and the queue that it is in (as struct poll_table_entry has it). */
    struct wait_table_entry { struct wait_queue_entry wait; wait_queue_head_t *wait_address; };
    struct completion { unsigned int done; wait_queue_head_t wait; };
    struct sighand_struct {
      spinlock_t siglock;
      refcount_t count;
      wait_queue_head_t signalfd_wqh;
      struct k_sigaction action[64];
    };
    struct rlimit { unsigned long rlim_cur, rlim_max; };
    struct signal_struct {
      refcount_t sigcnt;
      atomic_t live;
      int nr_threads;
      struct list_head thread_head;
      wait_queue_head_t wait_chldexit;
      struct task_struct *curr_target;
      struct sigpending shared_pending;
      int group_exit_code;
      unsigned int flags;
      struct timer_list real_timer;    /* Linux: an hrtimer */
      u64 it_real_expires, it_real_incr;   /* jiffies; the timer fires on the way as well */
      struct pid *pids[PIDTYPE_MAX];
      struct rlimit rlim[16];
      short oom_score_adj, oom_score_adj_min;
    };

    enum pid_type { PIDTYPE_PID, PIDTYPE_TGID, PIDTYPE_PGID, PIDTYPE_SID, PIDTYPE_MAX };
    struct upid { int nr; struct pid_namespace *ns; };
    struct pid {
      refcount_t count;
      unsigned int level;
      spinlock_t lock;
      struct hlist_head tasks[PIDTYPE_MAX];
      struct hlist_head inodes;
      wait_queue_head_t wait_pidfd;
      struct callback_head rcu;
      struct upid numbers[1];
    };
    struct pid_namespace {
      struct idr idr;
      struct callback_head rcu;
      unsigned int pid_allocated;
      struct task_struct *child_reaper;
      unsigned int level;
      struct pid_namespace *parent;
      struct ns_common ns;
    };
    struct nsproxy {
      atomic_t count;
      struct uts_namespace *uts_ns;
      struct ipc_namespace *ipc_ns;
      struct mnt_namespace *mnt_ns;
      struct pid_namespace *pid_ns_for_children;
      struct net *net_ns;
    };
    typedef struct kernel_cap_struct { u32 cap[2]; } kernel_cap_t;
    struct cred {
      atomic_t usage;
      kuid_t uid;
      kgid_t gid;
      kuid_t suid;
      kgid_t sgid;
      kuid_t euid;
      kgid_t egid;
      kuid_t fsuid;
      kgid_t fsgid;
      unsigned int securebits;
      kernel_cap_t cap_inheritable, cap_permitted, cap_effective, cap_bset, cap_ambient;
    };

    typedef struct { unsigned long pgd; } pgd_t;
    struct mm_rss_stat { atomic_long_t count[NR_MM_COUNTERS]; };
    struct anon_vma {
      struct anon_vma *root;
      struct rw_semaphore rwsem;
      atomic_t refcount;
      unsigned int degree;
      struct anon_vma *parent;
      struct rb_root_cached rb_root;
    };
    /* A mapping with pages of an anon_vma: its own, and those of the tasks that it was forked from. */
    struct anon_vma_chain {
      struct vm_area_struct *vma;
      struct anon_vma *anon_vma;
      struct list_head same_vma;
      struct rb_node rb;
    };
    struct vm_area_struct {
      unsigned long vm_start;
      unsigned long vm_end;
      struct vm_area_struct *vm_next, *vm_prev;
      struct rb_node vm_rb;
      unsigned long rb_subtree_gap;
      struct mm_struct *vm_mm;
      unsigned long vm_page_prot;
      unsigned long vm_flags;
      struct rb_node shared_rb;      /* of the file's i_mmap; Linux: shared.rb */
      struct list_head anon_vma_chain;
      struct anon_vma *anon_vma;
      const struct vm_operations_struct *vm_ops;
      unsigned long vm_pgoff;
      struct file *vm_file;
      void *vm_private_data;
    };
    struct mm_struct {
      struct vm_area_struct *mmap;
      struct rb_root mm_rb;
      u64 vmacache_seqnum;
      unsigned long mmap_base;
      unsigned long task_size;
      unsigned long highest_vm_end;
      pgd_t *pgd;
      atomic_t mm_users;
      atomic_t mm_count;
      atomic_long_t pgtables_bytes;
      int map_count;
      spinlock_t page_table_lock;
      struct rw_semaphore mmap_lock;
      struct list_head mmlist;
      unsigned long hiwater_rss, hiwater_vm;
      unsigned long total_vm, locked_vm;
      atomic64_t pinned_vm;
      unsigned long data_vm, exec_vm, stack_vm, def_flags;
      spinlock_t arg_lock;
      unsigned long start_code, end_code, start_data, end_data;
      unsigned long start_brk, brk, start_stack;
      unsigned long arg_start, arg_end, env_start, env_end;
      unsigned long saved_auxv[46];
      struct mm_rss_stat rss_stat;
      unsigned long flags;
      struct task_struct *owner;
      struct file *exe_file;
    };

    struct task_struct {
      struct thread_info thread_info;
      unsigned int __state;
      void *stack;
      refcount_t usage;
      unsigned int flags;
      unsigned int ptrace;
      int on_cpu;
      unsigned int cpu;
      int recent_used_cpu;
      int wake_cpu;
      int on_rq;
      int prio;
      int static_prio;
      int normal_prio;
      unsigned int rt_priority;
      struct sched_entity se;
      struct sched_rt_entity rt;
      unsigned int policy;
      int nr_cpus_allowed;
      const cpumask_t *cpus_ptr;
      cpumask_t cpus_mask;
      struct sched_info sched_info;
      struct list_head tasks;
      struct mm_struct *mm;
      struct mm_struct *active_mm;
      struct task_rss_stat rss_stat;
      int exit_state;
      int exit_code;
      int exit_signal;
      int pdeath_signal;
      unsigned long jobctl;
      unsigned int personality;
      unsigned in_execve : 1;
      unsigned restore_sigmask : 1;
      unsigned long atomic_flags;
      struct restart_block restart_block;
      pid_t pid;
      pid_t tgid;
      unsigned long stack_canary;
      struct task_struct *real_parent;
      struct task_struct *parent;
      struct list_head children;
      struct list_head sibling;
      struct task_struct *group_leader;
      struct pid *thread_pid;
      struct hlist_node pid_links[PIDTYPE_MAX];
      struct list_head thread_group;
      struct list_head thread_node;
      struct completion *vfork_done;
      void *set_child_tid;            /* of a kthread: its struct kthread */
      void *clear_child_tid;
      u64 utime;
      u64 stime;
      u64 gtime;
      unsigned long nvcsw;
      unsigned long nivcsw;
      u64 start_time;
      u64 start_boottime;
      unsigned long min_flt;
      unsigned long maj_flt;
      const struct cred *real_cred;
      const struct cred *cred;
      char comm[TASK_COMM_LEN];
      unsigned long last_switch_count;
      unsigned long last_switch_time;
      struct fs_struct *fs;
      struct files_struct *files;
      struct nsproxy *nsproxy;
      struct signal_struct *signal;
      struct sighand_struct *sighand;
      sigset_t blocked;
      sigset_t real_blocked;
      sigset_t saved_sigmask;
      struct sigpending pending;
      unsigned long sas_ss_sp;
      size_t sas_ss_size;
      unsigned int sas_ss_flags;
      spinlock_t alloc_lock;
      raw_spinlock_t pi_lock;
      void *journal_info;
      struct ksignal ksig;            /* on its way to its handler; Linux has it on the stack */
      refcount_t stack_refcount;
      struct thread_struct thread;
    } __aligned(64);

    struct kthread {
      unsigned long flags;
      unsigned int cpu;
      int result;
      int (*threadfn)(void *);
      void *data;
    };

    struct cfs_rq {
      struct load_weight load;
      unsigned int nr_running;
      unsigned int h_nr_running;
      u64 exec_clock;
      u64 min_vruntime;
      struct rb_root_cached tasks_timeline;
      struct sched_entity *curr;
      struct sched_entity *next;
      struct sched_entity *last;
      struct sched_entity *skip;
      struct rq *rq;
    };
    struct rt_prio_array { unsigned long bitmap[2]; struct list_head queue[MAX_RT_PRIO]; };
    struct rt_rq { struct rt_prio_array active; unsigned int rt_nr_running; };
    struct rq {
      raw_spinlock_t __lock;
      unsigned int nr_running;
      u64 nr_switches;
      struct cfs_rq cfs;
      struct rt_rq rt;
      unsigned int nr_uninterruptible;
      struct task_struct *curr;
      struct task_struct *idle;
      struct task_struct *stop;
      unsigned long next_balance;
      struct mm_struct *prev_mm;
      unsigned int clock_update_flags;
      u64 clock;
      u64 clock_task;
      atomic_t nr_iowait;
      unsigned long calc_load_update;
      long calc_load_active;
      int cpu;
      int online;
    } __aligned(64);

    struct work_struct { atomic_long_t data; struct list_head entry; void (*func)(struct work_struct *); };
    struct workqueue_struct {
      struct list_head list;
      unsigned int flags;
      struct worker_pool *pool;
      char name[24];
    };
    struct worker_pool {
      raw_spinlock_t lock;
      int cpu;
      int id;
      unsigned int flags;
      struct list_head worklist;
      int nr_workers;
      int nr_idle;
      struct list_head idle_list;
      struct list_head workers;
    };
    struct worker {
      struct list_head entry;          /* in the pool's idle_list */
      struct work_struct *current_work;
      void (*current_func)(struct work_struct *);
      struct list_head scheduled;
      struct task_struct *task;
      struct worker_pool *pool;
      struct list_head node;
      unsigned int flags;
      int id;
    };
    struct async_domain { struct list_head pending; unsigned int registered; };
    struct async_entry {
      struct list_head domain_list;
      struct list_head global_list;
      struct work_struct work;
      u64 cookie;
      void (*func)(void *data, u64 cookie);
      void *data;
      struct async_domain *domain;
    };
  `,
  defines: {
    TASK_COMM_LEN: 16,
    MAX_RT_PRIO: 100,
    DEFAULT_PRIO: 120,
    NR_MM_COUNTERS: 4,
    MM_FILEPAGES: 0,
    MM_ANONPAGES: 1,
    MM_SWAPENTS: 2,
    MM_SHMEMPAGES: 3,
    THREAD_SIZE: 16384,
    THREAD_SIZE_ORDER: 2,
    STACK_END_MAGIC: 0x57ac6e9d,
    PT_REGS_SIZE: 168,
    /* wait_table_entry of a sleeping task: below the stack guard, above STACK_END_MAGIC */
    STACK_WAIT_OFFSET: 64,

    TASK_RUNNING: 0,
    TASK_INTERRUPTIBLE: 1,
    TASK_UNINTERRUPTIBLE: 2,
    EXIT_DEAD: 0x10,
    EXIT_ZOMBIE: 0x20,
    TASK_PARKED: 0x40,
    TASK_DEAD: 0x80,
    TASK_WAKEKILL: 0x100,
    TASK_NOLOAD: 0x400,
    TASK_NEW: 0x800,
    TASK_NORMAL: 3,
    TASK_IDLE: 0x402,
    TASK_REPORT_IDLE: 0x80,

    PF_IDLE: 2,
    PF_EXITING: 4,
    PF_MEMALLOC: 0x800,
    PF_KSWAPD: 0x20000,
    PF_IO_WORKER: 0x10,
    PF_WQ_WORKER: 0x20,
    PF_FORKNOEXEC: 0x40,
    PF_NO_SETAFFINITY: 0x04000000,
    PF_KTHREAD: 0x00200000,
    TIF_NEED_RESCHED: 3,
    _TIF_NEED_RESCHED: 8,

    CLONE_VM: 0x100,
    CLONE_FS: 0x200,
    CLONE_FILES: 0x400,
    CLONE_SIGHAND: 0x800,
    CLONE_THREAD: 0x10000,
    CLONE_UNTRACED: 0x00800000,

    SCHED_NORMAL: 0,
    SCHED_IDLE: 5,
    NICE_0_LOAD_SHIFT: 20,
    WEIGHT_NICE_0: 1048576,
    SCHED_LATENCY_NS: 6000000,
    SCHED_MIN_GRANULARITY_NS: 750000,
    SCHED_WAKEUP_GRANULARITY_NS: 1000000,
    TASK_ON_RQ_QUEUED: 1,

    PID_MAX_DEFAULT: 0x8000,
    RESERVED_PIDS: 300,
    RLIMIT_STACK: 3,
    RLIMIT_NPROC: 6,
    RLIMIT_NOFILE: 7,
    RLIM_NLIMITS: 16,
    SIGKILL: 9,
    SIGSEGV: 11,
    SIGCHLD: 17,

    KTHREAD_SHOULD_STOP: 1,
    UNBOUND_WORKERS: "4 - 3 * CONFIG_BASE_SMALL",

    VM_READ: 1,
    VM_WRITE: 2,
    VM_EXEC: 4,
    VM_MAYREAD: 0x10,
    VM_MAYWRITE: 0x20,
    VM_MAYEXEC: 0x40,
    VM_GROWSDOWN: 0x100,
    VM_ACCOUNT: 0x00100000,
    VM_STACK_FLAGS: 0x00100173,
    VM_DATA_FLAGS: 0x00100073,
    VM_TEXT_FLAGS: 0x75,

    TASK_SIZE_MAX: 0x7ffffffff000n,
    USER_TEXT: 0x400000,
    USER_HEAP: 0x10000000,
    USER_STACK_TOP: 0xbffff000,
    USER_STACK_SIZE: 0x10000,
    USER_CS: 0x33,
    USER_DS: 0x2b,
    KERNEL_CS: 0x10,
    KERNEL_DS: 0x18,
    X86_EFLAGS_IF: 0x200,
    X86_EFLAGS_FIXED: 2,
  },
  data: `
    struct task_struct init_task;
    struct pid_namespace init_pid_ns;
    struct nsproxy init_nsproxy;
    struct cred init_cred;
    struct signal_struct init_signals;
    struct sighand_struct init_sighand;
    struct pid init_struct_pid;
    struct mm_struct init_mm;
    int nr_threads;
    int pid_max;
    int max_threads;
    struct cpumask __cpu_possible_mask;
    struct cpumask __cpu_online_mask;
    struct cpumask __cpu_present_mask;
    struct cpumask __cpu_active_mask;
    unsigned int nr_cpu_ids;
    const char *task_state_array[9];
  `,
  init: { nr_cpu_ids: 1, pid_max: 0x8000 },
  bss: `
    rwlock_t tasklist_lock __aligned(64);
    spinlock_t pidmap_lock;
    spinlock_t async_lock;
    unsigned long total_forks;
    struct kmem_cache *task_struct_cachep;
    struct kmem_cache *sighand_cachep;
    struct kmem_cache *mm_cachep;
    struct kmem_cache *vm_area_cachep;
    struct task_struct *kthreadd_task;
    struct completion kthreadd_done;
    unsigned long avenrun[3];
    struct worker_pool unbound_pool;
    struct worker_pool cpu_worker_pool;
    struct list_head workqueues;
    struct workqueue_struct *system_wq;
    struct workqueue_struct *system_unbound_wq;
    struct async_domain async_dfl_domain;
    struct list_head async_global_pending;
    wait_queue_head_t async_done;
    atomic_t async_entry_count;
    u64 async_next_cookie;
  `,
  percpu: `
    struct task_struct *current_task;
    struct rq runqueues;
    struct tss_struct cpu_tss_rw;
    /* What __switch_to hands to finish_task_switch in rax: the task that this CPU has left. */
    struct task_struct *switched_from;
    unsigned long process_counts;
  `,
  backtrace: [
    "schedule",
    "__schedule",
    "do_idle",
    "default_idle",
    "cpu_startup_entry",
    "kthread",
    "kthreadd",
    "worker_thread",
    "process_one_work",
    "async_run_entry_fn",
    "wait_for_completion",
    "wait_event_sleep",
    "do_exit",
    "do_group_exit",
  ],
  entry: ["ret_from_fork", "cpu_resume", "__switch_to_asm"],
});
