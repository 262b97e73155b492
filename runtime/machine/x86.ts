/** Facts of the processor and of Linux's x86_64 ABI that the machine, being the hardware, needs to know. */

/** Exception vectors (Intel SDM vol. 3, table 6-1). */
export const X86_TRAP_DE = 0;
export const X86_TRAP_UD = 6;
export const X86_TRAP_DF = 8;
export const X86_TRAP_GP = 13;
export const X86_TRAP_PF = 14;
export const X86_TRAP_AC = 17;

/** Page fault error code. */
export const X86_PF_PROT = 1;
export const X86_PF_WRITE = 2;
export const X86_PF_USER = 4;

/** struct x86_hw_tss: reserved1 u32, sp0, sp1, sp2 u64, reserved2 u64, ist[7] u64. */
export const TSS_SP0 = 4;
export const TSS_IST1 = 36;

/** struct pt_regs, at the top of a task's kernel stack while it is in user mode or in a system call. */
export const pt_regs = {
  SIZE: 168,
  bx: 40,
  r10: 56,
  r9: 64,
  r8: 72,
  ax: 80,
  dx: 96,
  si: 104,
  di: 112,
  ip: 128,
  cs: 136,
  flags: 144,
  sp: 152,
  ss: 160,
} as const;

/**
 * Kernel stacks are this large and aligned to it; below STACK_GUARD bytes of one the stack has overflowed.
 */
export const THREAD_SIZE = 16384;
export const STACK_GUARD = 256;
/** Stacks of exceptions, aligned as those of the kernel. */
export const EXCEPTION_STKSZ = 4096;

/** High halves of virtual addresses: the direct map of all memory, and the kernel's image. */
export const DIRECT_MAP_HI = 0xffff8880;
export const IMAGE_MAP_HI = 0xffffffff;
/** Low half of the address at which physical 0 would lie, phys_base being 0. */
export const IMAGE_MAP_LO = 0x80000000;
/** Where an image with phys_base 0 lies, and where the boot loader puts it. */
export const LOAD_ADDRESS = 0x100000;
/** Images are loaded at multiples of this. */
export const IMAGE_ALIGN = 0x10000;

/** User mode starts a program here, with all registers zero. The syscall instruction lies here as well. */
export const USER_ENTRY = 0x400000;
/** Behind that instruction: where a system call comes back to. */
export const USER_SYSCALL_RETURN = USER_ENTRY + 2;
/** Segments of user mode; others cannot be returned to. */
export const USER_CS = 0x33;
export const USER_DS = 0x2b;

/** System call numbers (arch/x86/entry/syscalls/syscall_64.tbl). */
export const syscall = {
  read: 0,
  write: 1,
  open: 2,
  close: 3,
  stat: 4,
  fstat: 5,
  lseek: 8,
  mmap: 9,
  mprotect: 10,
  munmap: 11,
  brk: 12,
  rt_sigaction: 13,
  rt_sigprocmask: 14,
  rt_sigreturn: 15,
  pread64: 17,
  pipe: 22,
  sched_yield: 24,
  dup: 32,
  dup2: 33,
  pause: 34,
  nanosleep: 35,
  getitimer: 36,
  alarm: 37,
  setitimer: 38,
  getpid: 39,
  clone: 56,
  execve: 59,
  wait4: 61,
  kill: 62,
  fsync: 74,
  rename: 82,
  mkdir: 83,
  unlink: 87,
  symlink: 88,
  readlink: 89,
  getrlimit: 97,
  getppid: 110,
  setsid: 112,
  getpgid: 121,
  rt_sigpending: 127,
  rt_sigsuspend: 130,
  sigaltstack: 131,
  setrlimit: 160,
  swapon: 167,
  swapoff: 168,
  reboot: 169,
  gettid: 186,
  tkill: 200,
  time: 201,
  restart_syscall: 219,
  clock_gettime: 228,
  exit_group: 231,
  tgkill: 234,
  pipe2: 293,
  renameat2: 316,
  init_module: 175,
  delete_module: 176,
  finit_module: 313,
  kexec_file_load: 320,
  copy_file_range: 326,
} as const;
