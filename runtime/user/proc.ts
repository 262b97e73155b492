/**
 * What a program sees: arguments, file descriptors, system calls. A program is `main(proc)`; it has two
 * homes. Inside the machine (runtime/user/process.ts) each call is a real system call of our kernel, its
 * buffers lie in user pages. On the host (runtime/adapter) the same calls go to the engine's file system.
 * Names, flags and errors are Linux's.
 */

/** open(2) flags, x86_64 values (include/uapi/asm-generic/fcntl.h). */
export const O_RDONLY = 0o0;
export const O_WRONLY = 0o1;
export const O_RDWR = 0o2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_DIRECTORY = 0o200000;

/** A system call failed: `errno` is positive (ENOENT = 2), `code` its name. */
export class SyscallError extends Error {
  constructor(
    readonly errno: number,
    readonly code: string,
    readonly syscall: string,
    readonly path?: string,
  ) {
    super(`${syscall}${path === undefined ? "" : ` ${path}`}: ${code}`);
    this.name = "SyscallError";
  }
}

export interface Stat {
  /** st_mode: type and permission bits. */
  mode: number;
  /** Bytes. Exact up to 2^53. */
  size: number;
}

/** wait4(2) options. */
export const WNOHANG = 1;
export const WUNTRACED = 2;
export const WCONTINUED = 8;

export const SIGHUP = 1;
export const SIGINT = 2;
export const SIGILL = 4;
export const SIGKILL = 9;
export const SIGUSR1 = 10;
export const SIGSEGV = 11;
export const SIGUSR2 = 12;
export const SIGPIPE = 13;
export const SIGALRM = 14;
export const SIGTERM = 15;
export const SIGCHLD = 17;
export const SIGCONT = 18;
export const SIGSTOP = 19;

/** sigaction(2) flags, x86_64 values (include/uapi/asm-generic/signal-defs.h). */
export const SA_NOCLDSTOP = 1;
export const SA_NOCLDWAIT = 2;
export const SA_SIGINFO = 4;
export const SA_ONSTACK = 0x08000000;
export const SA_RESTART = 0x10000000;
export const SA_NODEFER = 0x40000000;
export const SA_RESETHAND = 0x80000000;

/** What sigprocmask(2) does with its signals. */
export const SIG_BLOCK = 0;
export const SIG_UNBLOCK = 1;
export const SIG_SETMASK = 2;

/** siginfo_t. Which members mean something, `code` and the signal tell: sigaction(2). */
export interface SignalInfo {
  signo: number;
  /** SI_USER 0, SI_TKILL -6, SI_KERNEL 128, CLD_* of SIGCHLD, SEGV_* of SIGSEGV. */
  code: number;
  pid: number;
  uid: number;
  /** Of SIGCHLD: exit code, or signal. */
  status: number;
  /** Of SIGSEGV and SIGILL. */
  address: number;
}

/**
 * A signal handler. `proc` is the process's, for as long as the handler runs: calls of the interrupted
 * program are under way. `info` comes with SA_SIGINFO alone; `ucontext` is where what was interrupted is kept
 * in the user's memory (struct ucontext), and taken from when the handler returns.
 */
export type Handler = (
  proc: Proc,
  signal: number,
  info: SignalInfo | undefined,
  ucontext: number,
) => void | Promise<void>;

export interface SigAction {
  handler: Handler | "SIG_DFL" | "SIG_IGN";
  /** SA_*. */
  flags?: number;
  /** Blocked while the handler runs, and the signal itself without SA_NODEFER. */
  mask?: readonly number[];
}

export interface SpawnOptions {
  /** dup2(from, to) for each pair, in the child before the program starts. */
  dup?: readonly (readonly [from: number, to: number])[];
  /** NAME=VALUE. */
  env?: readonly string[];
}

/** A child that wait4 has found; pid 0: none is ready (WNOHANG). */
export interface Waited {
  pid: number;
  /** As wait4 has it: exit code << 8, or the signal that ended the child. */
  status: number;
}

/** What a shell makes of a wait status: the exit code, or 128 + signal. */
export function exitCode(status: number): number {
  const signal = status & 0x7f;
  return signal === 0 ? (status >> 8) & 0xff : 128 + signal;
}

/** Processes and kernel modules: what the capture kernel has not. */
export interface Tasks {
  getpid(): Promise<number>;
  getppid(): Promise<number>;
  /**
   * A child that runs the program in the file `path` (vfork, dup2s, execve; as glibc's posix_spawn). Its
   * number; fails as execve fails.
   */
  spawn(path: string, argv: readonly string[], options?: SpawnOptions): Promise<number>;
  /** fork(2): a child with a copy of this program's memory, which goes on with `main` instead of here. */
  fork(main: Program): Promise<number>;
  /** wait4(2); -1 waits for any child. */
  wait(pid?: number, options?: number): Promise<Waited>;
  kill(pid: number, signal: number): Promise<void>;
  /** A group and session of its own, as a daemon has it. */
  setsid(): Promise<number>;
  pipe(): Promise<[readEnd: number, writeEnd: number]>;
  dup2(from: number, to: number): Promise<number>;
  /** Replaces this program by the one in the file `path` (execve(2)). Returns when it fails. */
  exec(path: string, argv: readonly string[], env?: readonly string[]): Promise<never>;
  /** nanosleep(2). Fails with EINTR when a handler has cut it short. */
  sleep(milliseconds: number): Promise<void>;
  /** The same; what is left of the sleep in milliseconds: more than 0 when a handler has cut it short. */
  nanosleep(milliseconds: number): Promise<number>;
  schedYield(): Promise<void>;
  /** Whether the process ignores a signal, or takes the default action. */
  ignore(signal: number, ignored: boolean): Promise<void>;
  /** Blocks these signals and no others; the former set. */
  block(signals: readonly number[]): Promise<number[]>;
  /** rt_sigaction(2). */
  sigaction(signal: number, action: SigAction): Promise<void>;
  /** rt_sigprocmask(2); `how` is SIG_BLOCK, SIG_UNBLOCK or SIG_SETMASK. The former set. */
  sigprocmask(how: number, signals: readonly number[]): Promise<number[]>;
  /** rt_sigpending(2): what waits and is blocked. */
  sigpending(): Promise<number[]>;
  /** pause(2): sleeps until a handler has run. */
  pause(): Promise<void>;
  /** rt_sigsuspend(2): the same, with these signals blocked and no others meanwhile. */
  sigsuspend(signals: readonly number[]): Promise<void>;
  /** alarm(2): SIGALRM in so many seconds, none for 0; the seconds that were left of the former alarm. */
  alarm(seconds: number): Promise<number>;
  /** setitimer(2) of ITIMER_REAL: SIGALRM in so many milliseconds, then each `interval`; 0: no more. */
  setitimer(milliseconds: number, interval?: number): Promise<void>;
  /** finit_module(2). */
  finitModule(fd: number, parameters: string, flags: number): Promise<void>;
  /** delete_module(2). */
  deleteModule(name: string, flags: number): Promise<void>;
  /** swapon(2) of a block device that has a swap area. `flags` are SWAP_FLAG_*. */
  swapon(path: string, flags: number): Promise<void>;
  /** swapoff(2) */
  swapoff(path: string): Promise<void>;
}

/** mmap(2)'s prot and flags. */
export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_NORESERVE = 0x4000;
export const MAP_POPULATE = 0x8000;
export const MAP_FIXED_NOREPLACE = 0x100000;

export interface Mapping {
  prot: number;
  flags: number;
  /** -1: none, for MAP_ANONYMOUS. */
  fd?: number;
  /** Bytes from the file's start, a multiple of the page size. */
  offset?: number;
  /** Where it should be, or must be with MAP_FIXED. */
  address?: number;
}

/** The program's own memory: addresses are those that its loads and stores would have. */
export interface Memory {
  /** mmap(2): the address of the new mapping. */
  mmap(length: number, mapping: Mapping): Promise<number>;
  munmap(address: number, length: number): Promise<void>;
  mprotect(address: number, length: number, prot: number): Promise<void>;
  /** Fills `into`. An access that is not allowed ends the program, by SIGSEGV or SIGBUS. */
  load(address: number, into: Uint8Array): Promise<void>;
  store(address: number, bytes: Uint8Array): Promise<void>;
}

/** A home without processes and mappings: each of these calls fails with ENOSYS. */
export abstract class WithoutTasks implements Tasks, Memory {
  mmap = (): Promise<number> => noCall("mmap");
  munmap = (): Promise<void> => noCall("munmap");
  mprotect = (): Promise<void> => noCall("mprotect");
  load = (): Promise<void> => noCall("mmap");
  store = (): Promise<void> => noCall("mmap");
  getpid = (): Promise<number> => noCall("getpid");
  getppid = (): Promise<number> => noCall("getppid");
  spawn = (): Promise<number> => noCall("clone");
  fork = (): Promise<number> => noCall("clone");
  wait = (): Promise<Waited> => noCall("wait4");
  kill = (): Promise<void> => noCall("kill");
  setsid = (): Promise<number> => noCall("setsid");
  pipe = (): Promise<[number, number]> => noCall("pipe2");
  dup2 = (): Promise<number> => noCall("dup2");
  exec = (): Promise<never> => noCall("execve");
  sleep = (): Promise<void> => noCall("nanosleep");
  nanosleep = (): Promise<number> => noCall("nanosleep");
  schedYield = (): Promise<void> => noCall("sched_yield");
  ignore = (): Promise<void> => noCall("rt_sigaction");
  block = (): Promise<number[]> => noCall("rt_sigprocmask");
  sigaction = (): Promise<void> => noCall("rt_sigaction");
  sigprocmask = (): Promise<number[]> => noCall("rt_sigprocmask");
  sigpending = (): Promise<number[]> => noCall("rt_sigpending");
  pause = (): Promise<void> => noCall("pause");
  sigsuspend = (): Promise<void> => noCall("rt_sigsuspend");
  alarm = (): Promise<number> => noCall("alarm");
  setitimer = (): Promise<void> => noCall("setitimer");
  finitModule = (): Promise<void> => noCall("finit_module");
  deleteModule = (): Promise<void> => noCall("delete_module");
  swapon = (): Promise<void> => noCall("swapon");
  swapoff = (): Promise<void> => noCall("swapoff");
}

async function noCall(name: string): Promise<never> {
  throw new SyscallError(38, "ENOSYS", name);
}

/** One program's view of the system it runs on. Every call may sleep; offsets and sizes are bytes. */
export interface Proc extends Tasks, Memory {
  /** argv[0] is the program's name. */
  readonly argv: readonly string[];
  open(path: string, flags: number, mode?: number): Promise<number>;
  close(fd: number): Promise<void>;
  /** Returns the bytes read, 0 at the end. */
  read(fd: number, buffer: Uint8Array): Promise<number>;
  pread(fd: number, buffer: Uint8Array, offset: number): Promise<number>;
  /** Writes all of `data`; a short write goes on. */
  write(fd: number, data: Uint8Array | string): Promise<void>;
  lseek(fd: number, offset: number, whence: 0 | 1 | 2): Promise<number>;
  fstat(fd: number): Promise<Stat>;
  stat(path: string): Promise<Stat>;
  fsync(fd: number): Promise<void>;
  mkdir(path: string, mode?: number): Promise<void>;
  /** Fails with EEXIST when `to` exists and `noReplace` is given (renameat2 RENAME_NOREPLACE). */
  rename(from: string, to: string, options?: { noReplace?: boolean }): Promise<void>;
  unlink(path: string): Promise<void>;
  symlink(target: string, path: string): Promise<void>;
  /** The text of a symbolic link. */
  readlink(path: string): Promise<string>;
  /**
   * Makes the heap (brk(2)) longer by whole pages that hold `data`, which nothing uses from then on. Returns
   * their address.
   */
  sbrk(data: Uint8Array): Promise<number>;
  /** copy_file_range(2): moves up to `length` bytes at the descriptors' offsets; 0 at the end of `fdIn`. */
  copyFileRange(fdIn: number, fdOut: number, length: number): Promise<number>;
  /** kexec_file_load(2), x86_64 number 320. `flags`: KEXEC_FILE_UNLOAD 1, ON_CRASH 2, NO_INITRAMFS 4. */
  kexecFileLoad(kernelFd: number, initrdFd: number, cmdline: string, flags: number): Promise<void>;
  /** reboot(2) with its two magics; `cmd` is LINUX_REBOOT_CMD_*. Does not return when it works. */
  reboot(cmd: number): Promise<void>;
  /** clock_gettime(CLOCK_REALTIME), whole seconds since 1970. */
  time(): Promise<number>;
}

/** A program. What it returns is the exit status, 0..255. */
export type Program = (proc: Proc) => Promise<number>;
