/**
 * Signals as programs see them: what one says of itself, and the frame that its handler runs on
 * (include/uapi/asm-generic/{siginfo,signal}.h, arch/x86/include/{asm/sigframe,uapi/asm/sigcontext}.h).
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct sig_kill { pid_t _pid; u32 _uid; };
    struct sig_chld { pid_t _pid; u32 _uid; int _status; long _utime, _stime; };
    struct sig_fault { u64 _addr; };
    union __sifields {
      struct sig_kill _kill;
      struct sig_chld _sigchld;
      struct sig_fault _sigfault;
    };
    struct kernel_siginfo { int si_signo, si_errno, si_code; union __sifields _sifields; };
    /* The user's; the kernel's record is its beginning. */
    struct siginfo {
      union {
        struct { int si_signo, si_errno, si_code; union __sifields _sifields; };
        int _si_pad[32];
      };
    };
    struct sigqueue {
      struct list_head list;
      int flags;
      struct kernel_siginfo info;
      struct ucounts *ucounts;
    };
    struct ksignal { struct k_sigaction ka; struct kernel_siginfo info; int sig; };
    struct ucounts {
      struct hlist_node node;
      void *ns;
      kuid_t uid;
      atomic_t count;
      atomic_long_t ucount[UCOUNT_COUNTS];
    };

    struct sigaltstack { u64 ss_sp; int ss_flags; u64 ss_size; };
    struct sigcontext_64 {
      u64 r8, r9, r10, r11, r12, r13, r14, r15;
      u64 di, si, bp, bx, dx, ax, cx, sp, ip, flags;
      u16 cs, gs, fs, ss;
      u64 err, trapno, oldmask, cr2;
      u64 fpstate;
      u64 reserved1[8];
    };
    struct ucontext {
      u64 uc_flags;
      u64 uc_link;
      struct sigaltstack uc_stack;
      struct sigcontext_64 uc_mcontext;
      u64 uc_sigmask;
    };
    struct rt_sigframe { u64 pretcode; struct ucontext uc; struct siginfo info; };

    struct __kernel_old_itimerval { struct __kernel_old_timeval it_interval, it_value; };
  `,
  data: `
    struct ucounts init_ucounts;
  `,
  defines: {
    SIGQUIT: 3,
    SIGILL: 4,
    SIGTRAP: 5,
    SIGBUS: 7,
    SIGFPE: 8,
    SIGALRM: 14,
    SIGSYS: 31,

    SA_NOCLDSTOP: 1,
    SA_SIGINFO: 4,
    SA_RESTORER: 0x04000000,
    SA_ONSTACK: 0x08000000,
    SA_RESTART: 0x10000000,
    SA_NODEFER: 0x40000000,
    SA_RESETHAND: 0x80000000,
    /* The flags that there are; rt_sigaction(2) takes the others off. */
    UAPI_SA_FLAGS: 0xdc000807,

    SI_TKILL: -6,
    SEGV_MAPERR: 1,
    SEGV_ACCERR: 2,
    BUS_ADRERR: 2,
    ILL_ILLOPN: 2,
    CLD_STOPPED: 5,
    CLD_CONTINUED: 6,
    SIGNAL_STOP_CONTINUED: 2,
    SIGNAL_CLD_STOPPED: 0x10,
    SIGNAL_CLD_CONTINUED: 0x20,
    SIGNAL_CLD_MASK: 0x30,
    SIGNAL_STOP_MASK: 0x33,
    WCONTINUED: 8,

    SS_ONSTACK: 1,
    SS_DISABLE: 2,
    MINSIGSTKSZ: 2048,
    UC_SIGCONTEXT_SS: 2,
    UC_STRICT_RESTORE_SS: 4,
    RED_ZONE: 128,
    FIX_EFLAGS: 0x50dd5,
    X86_EFLAGS_TF_DF_RF: 0x10500,

    RLIMIT_SIGPENDING: 11,
    UCOUNT_RLIMIT_SIGPENDING: 14,
    UCOUNT_COUNTS: 16,

    ITIMER_REAL: 0,
    ITIMER_PROF: 2,
    USEC_PER_SEC: 1000000,
  },
  backtrace: [
    "arch_do_signal_or_restart",
    "__x64_sys_pause",
    "__x64_sys_rt_sigsuspend",
    "__x64_sys_rt_sigreturn",
    "__x64_sys_restart_syscall",
    "sigsuspend",
    "it_real_fn",
  ],
  targets: ["production"],
});
