/**
 * `Proc` inside the machine: each call is a real system call of our kernel. Buffers, paths and structures
 * lie in user pages, in an arena that the program gets by brk(2), so the kernel's copy_from_user and
 * copy_to_user move them.
 */

import { errno, errnoName } from "../machine/errno.ts";
import { PAGE_SIZE } from "../machine/memory.ts";
import { syscall } from "../machine/x86.ts";
import { cString, high, low, word } from "./arguments.ts";
import { Caller, PIECE } from "./caller.ts";
import { type Context, run } from "./context.ts";
import {
  type Mapping,
  type Proc,
  type Program,
  SIG_SETMASK,
  SIGCHLD,
  type SigAction,
  type SpawnOptions,
  type Stat,
  SyscallError,
  type Waited,
} from "./proc.ts";
import { hasSiginfo, SIG_IGN, SIGSET_SIZE, sigactionBytes, signalsOf, sigset } from "./signals.ts";
import { SpawnRecord } from "./spawn.ts";

/** MAX_RW_COUNT of Linux: what one call moves at most. */
const MAX_RW_COUNT = 0x7ffff000;
/** struct stat, x86_64. */
const STAT = { SIZE: 144, mode: 24, size: 48 };
const AT_FDCWD = -100;
const PATH_MAX = 4096;
const RENAME_NOREPLACE = 1;
const LINUX_REBOOT_MAGIC1 = 0xfee1dead;
const LINUX_REBOOT_MAGIC2 = 672274793;
const FD_STDERR = 2;
const CLONE_VM = 0x100;
const CLONE_VFORK = 0x4000;
const SIG_DFL = 0;
const ITIMER_REAL = 0;
/** struct itimerval: interval and value, seconds and microseconds. */
const ITIMERVAL_SIZE = 32;
/** Below its parent's stack pointer a child of fork(2) begins. */
const CHILD_STACK = 16;

export class Process extends Caller implements Proc {
  open(path: string, flags: number, mode = 0o666): Promise<number> {
    return this.withPaths("open", [path], ([at]) => this.call("open", path, at as number, flags, mode));
  }

  async close(fd: number): Promise<void> {
    await this.exclusive(() => this.call("close", undefined, fd));
  }

  read(fd: number, buffer: Uint8Array): Promise<number> {
    return this.exclusive(async () => {
      const length = Math.min(buffer.length, await this.arena(buffer.length));
      const bytes = await this.call("read", undefined, fd, this.start, length);
      await this.getBytes(this.start, buffer.subarray(0, bytes));
      return bytes;
    });
  }

  pread(fd: number, buffer: Uint8Array, offset: number): Promise<number> {
    return this.exclusive(async () => {
      const length = Math.min(buffer.length, await this.arena(buffer.length));
      const bytes = await this.call("pread64", undefined, fd, this.start, length, low(offset), high(offset));
      await this.getBytes(this.start, buffer.subarray(0, bytes));
      return bytes;
    });
  }

  async write(fd: number, data: Uint8Array | string): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    await this.exclusive(async () => {
      const room = await this.arena(bytes.length);
      for (let done = 0; done < bytes.length; ) {
        const piece = bytes.subarray(done, done + room);
        await this.putBytes(this.start, piece);
        const written = await this.call("write", undefined, fd, this.start, piece.length);
        // A file that takes nothing and reports no error would be asked for ever.
        if (written === 0) throw new SyscallError(errno.EIO, "EIO", "write");
        done += written;
      }
    });
  }

  lseek(fd: number, offset: number, whence: 0 | 1 | 2): Promise<number> {
    return this.exclusive(() => this.call("lseek", undefined, fd, low(offset), whence, high(offset)));
  }

  fstat(fd: number): Promise<Stat> {
    return this.exclusive(async () => {
      await this.arena(STAT.SIZE);
      await this.call("fstat", undefined, fd, this.start);
      return this.#stat(this.start);
    });
  }

  stat(path: string): Promise<Stat> {
    const room = new Uint8Array(STAT.SIZE);
    return this.withArguments("stat", [cString(path, "stat"), room], async ([name, stat]) => {
      await this.call("stat", path, name as number, stat as number);
      return this.#stat(stat as number);
    });
  }

  sbrk(data: Uint8Array): Promise<number> {
    return this.exclusive(async () => {
      const state = this.state;
      await this.heap(PIECE);
      const start = state.brk;
      const end = start + Math.ceil(data.length / PAGE_SIZE) * PAGE_SIZE;
      state.brk = await this.context.syscall(syscall.brk, end);
      if (state.brk !== end) throw new SyscallError(errno.ENOMEM, "ENOMEM", "brk");
      await this.putBytes(start, data);
      return start;
    });
  }

  async mmap(length: number, { prot, flags, fd = -1, offset = 0, address = 0 }: Mapping): Promise<number> {
    // As a C library does where the call counts in pages.
    if (offset % PAGE_SIZE !== 0) throw new SyscallError(errno.EINVAL, "EINVAL", "mmap");
    return this.exclusive(async () => {
      const at = await this.call("mmap", undefined, address, length, prot, flags, fd, offset / PAGE_SIZE);
      return at >>> 0;
    });
  }

  async munmap(address: number, length: number): Promise<void> {
    await this.exclusive(() => this.call("munmap", undefined, address, length));
  }

  async mprotect(address: number, length: number, prot: number): Promise<void> {
    await this.exclusive(() => this.call("mprotect", undefined, address, length, prot));
  }

  async load(address: number, into: Uint8Array): Promise<void> {
    await this.exclusive(() => this.getBytes(address, into));
  }

  async store(address: number, bytes: Uint8Array): Promise<void> {
    await this.exclusive(() => this.putBytes(address, bytes));
  }

  async fsync(fd: number): Promise<void> {
    await this.exclusive(() => this.call("fsync", undefined, fd));
  }

  async mkdir(path: string, mode = 0o777): Promise<void> {
    await this.withPaths("mkdir", [path], ([at]) => this.call("mkdir", path, at as number, mode));
  }

  async rename(from: string, to: string, options: { noReplace?: boolean } = {}): Promise<void> {
    await this.withPaths("rename", [from, to], ([source, target]) =>
      options.noReplace
        ? this.call("renameat2", to, AT_FDCWD, source as number, AT_FDCWD, target as number, RENAME_NOREPLACE)
        : this.call("rename", to, source as number, target as number),
    );
  }

  async symlink(target: string, path: string): Promise<void> {
    await this.withPaths("symlink", [target, path], ([text, at]) =>
      this.call("symlink", path, text as number, at as number),
    );
  }

  readlink(path: string): Promise<string> {
    const room = new Uint8Array(PATH_MAX);
    return this.withArguments("readlink", [cString(path, "readlink"), room], async ([name, text]) => {
      const length = await this.call("readlink", path, name as number, text as number, PATH_MAX);
      await this.getBytes(text as number, room.subarray(0, length));
      return new TextDecoder().decode(room.subarray(0, length));
    });
  }

  async unlink(path: string): Promise<void> {
    await this.withPaths("unlink", [path], ([at]) => this.call("unlink", path, at as number));
  }

  copyFileRange(fdIn: number, fdOut: number, length: number): Promise<number> {
    const bytes = Math.min(length, MAX_RW_COUNT);
    return this.exclusive(() => this.call("copy_file_range", undefined, fdIn, 0, fdOut, 0, bytes, 0));
  }

  async kexecFileLoad(kernelFd: number, initrdFd: number, cmdline: string, flags: number): Promise<void> {
    const text = cString(cmdline, "kexec_file_load");
    await this.withArguments("kexec_file_load", [text], ([at]) =>
      this.call("kexec_file_load", undefined, kernelFd, initrdFd, text.length, at as number, flags),
    );
  }

  async finitModule(fd: number, parameters: string, flags: number): Promise<void> {
    await this.withArguments("finit_module", [cString(parameters, "finit_module")], ([at]) =>
      this.call("finit_module", undefined, fd, at as number, flags),
    );
  }

  async deleteModule(name: string, flags: number): Promise<void> {
    await this.withArguments("delete_module", [cString(name, "delete_module")], ([at]) =>
      this.call("delete_module", undefined, at as number, flags),
    );
  }

  async swapon(path: string, flags: number): Promise<void> {
    await this.withPaths("swapon", [path], ([at]) => this.call("swapon", path, at as number, flags));
  }

  async swapoff(path: string): Promise<void> {
    await this.withPaths("swapoff", [path], ([at]) => this.call("swapoff", path, at as number));
  }

  async reboot(cmd: number): Promise<void> {
    const magic = [LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2] as const;
    await this.exclusive(() => this.call("reboot", undefined, ...magic, cmd, 0));
  }

  time(): Promise<number> {
    return this.exclusive(async () => {
      await this.arena(16);
      await this.call("clock_gettime", undefined, 0, this.start);
      return this.getWord(this.start);
    });
  }

  getpid(): Promise<number> {
    return this.exclusive(() => this.call("getpid", undefined));
  }

  getppid(): Promise<number> {
    return this.exclusive(() => this.call("getppid", undefined));
  }

  spawn(path: string, argv: readonly string[], { dup = [], env = [] }: SpawnOptions = {}): Promise<number> {
    return this.exclusive(async () => {
      // What the child needs lies in the memory that it shares with its parent until it has its own.
      const strings = [path, ...argv, ...env].map((text) => cString(text, "execve"));
      const size = SpawnRecord.size(strings);
      if ((await this.arena(size)) < size) throw new SyscallError(errno.E2BIG, "E2BIG", "execve", path);
      const { handled } = this.state;
      return this.#withoutSignals(async (mask) => {
        const record = new SpawnRecord(this.memory, this.start, strings, argv.length, { handled, mask });
        const state = this.state.copy();
        const run = (context: Context): void => void record.run(context, dup);
        await this.putBytes(this.start, record.bytes(this.context.places.child({ state, run })));
        const flags = CLONE_VM | CLONE_VFORK | SIGCHLD;
        const pid = await this.call("clone", path, flags, this.start);
        const failed = await record.error(this.context);
        if (failed === 0) return pid;
        await this.context.syscall(syscall.wait4, pid, 0, 0, 0);
        throw new SyscallError(failed, errnoName(failed), "execve", path);
      });
    });
  }

  fork(main: Program): Promise<number> {
    return this.exclusive(() =>
      this.#withoutSignals(async (mask) => {
        // The heap as it is now: the parent's may be another when the child begins.
        const address = this.context.places.child({
          state: this.state.copy(),
          run: (context) => {
            const child = new Process(context, this.memory);
            void run(child, async (proc) => {
              if (mask !== undefined) await child.exclusive(() => child.#setMask(SIG_SETMASK, mask));
              return main(proc);
            });
          },
        });
        const sp = this.context.sp - CHILD_STACK;
        await this.putBytes(sp, word(address));
        return this.call("clone", undefined, SIGCHLD, sp);
      }),
    );
  }

  /**
   * Around a clone, as in glibc: a child does not run its parent's handlers before it is ready for signals.
   * `body` learns the mask that the child is to have; undefined: there are no handlers, nothing is done.
   */
  async #withoutSignals<T>(body: (mask: Uint8Array | undefined) => Promise<T>): Promise<T> {
    if (this.state.handled.size === 0) return body(undefined);
    const mask = await this.#setMask(SIG_SETMASK, new Uint8Array(SIGSET_SIZE).fill(0xff));
    try {
      return await body(mask);
    } finally {
      await this.#setMask(SIG_SETMASK, mask);
    }
  }

  exec(path: string, argv: readonly string[], env: readonly string[] = []): Promise<never> {
    return this.exclusive(async () => {
      const strings = [path, ...argv, ...env].map((text) => cString(text, "execve"));
      const size = SpawnRecord.size(strings);
      if ((await this.arena(size)) < size) throw new SyscallError(errno.E2BIG, "E2BIG", "execve", path);
      const record = new SpawnRecord(this.memory, this.start, strings, argv.length);
      await this.putBytes(this.start, record.bytes(0));
      await this.call("execve", path, ...record.execve);
      throw new Error("execve returned");
    });
  }

  wait(pid = -1, options = 0): Promise<Waited> {
    return this.exclusive(async () => {
      await this.arena(8);
      await this.putBytes(this.start, word(0));
      const found = await this.call("wait4", undefined, pid, this.start, options, 0);
      return { pid: found, status: await this.getWord(this.start) };
    });
  }

  async kill(pid: number, signal: number): Promise<void> {
    await this.exclusive(() => this.call("kill", undefined, pid, signal));
  }

  setsid(): Promise<number> {
    return this.exclusive(() => this.call("setsid", undefined));
  }

  pipe(): Promise<[number, number]> {
    return this.exclusive(async () => {
      await this.arena(8);
      await this.call("pipe2", undefined, this.start, 0);
      const both = await this.getWord(this.start);
      return [both % 2 ** 32, Math.floor(both / 2 ** 32)];
    });
  }

  dup2(from: number, to: number): Promise<number> {
    return this.exclusive(() => this.call("dup2", undefined, from, to));
  }

  async sleep(milliseconds: number): Promise<void> {
    if ((await this.nanosleep(milliseconds)) > 0) throw new SyscallError(errno.EINTR, "EINTR", "nanosleep");
  }

  nanosleep(milliseconds: number): Promise<number> {
    return this.exclusive(async () => {
      await this.arena(32);
      const at = this.start;
      const seconds = Math.floor(milliseconds / 1000);
      await this.putBytes(at, word(seconds));
      await this.putBytes(at + 8, word(Math.round((milliseconds - seconds * 1000) * 1e6)));
      const result = await this.context.syscall(syscall.nanosleep, at, at + 16);
      if (result === -errno.EINTR) {
        return (await this.getWord(at + 16)) * 1000 + (await this.getWord(at + 24)) / 1e6;
      }
      if (result < 0) throw new SyscallError(-result, errnoName(-result), "nanosleep");
      return 0;
    });
  }

  async schedYield(): Promise<void> {
    await this.exclusive(() => this.call("sched_yield", undefined));
  }

  async ignore(signal: number, ignored: boolean): Promise<void> {
    await this.sigaction(signal, { handler: ignored ? "SIG_IGN" : "SIG_DFL" });
  }

  async sigaction(signal: number, { handler, flags = 0, mask = [] }: SigAction): Promise<void> {
    const { places, restorer } = this.context;
    let address = handler === "SIG_IGN" ? SIG_IGN : SIG_DFL;
    if (typeof handler === "function") {
      address = places.handler({ handler, siginfo: hasSiginfo(flags) });
      // Before the first signal can come.
      this.state.handled = new Set([...this.state.handled, signal]);
    }
    await this.withArguments("rt_sigaction", [sigactionBytes(address, flags, mask, restorer)], ([at]) =>
      this.call("rt_sigaction", undefined, signal, at as number, 0, SIGSET_SIZE),
    );
  }

  block(signals: readonly number[]): Promise<number[]> {
    return this.sigprocmask(SIG_SETMASK, signals);
  }

  sigprocmask(how: number, signals: readonly number[]): Promise<number[]> {
    return this.exclusive(async () => signalsOf(await this.#setMask(how, sigset(signals))));
  }

  /** The former mask. */
  async #setMask(how: number, set: Uint8Array): Promise<Uint8Array> {
    await this.arena(SIGSET_SIZE);
    const at = this.start;
    await this.putBytes(at, set);
    await this.call("rt_sigprocmask", undefined, how, at, at, SIGSET_SIZE);
    const old = new Uint8Array(SIGSET_SIZE);
    await this.getBytes(at, old);
    return old;
  }

  sigpending(): Promise<number[]> {
    const set = new Uint8Array(SIGSET_SIZE);
    return this.withArguments("rt_sigpending", [set], async ([at]) => {
      await this.call("rt_sigpending", undefined, at as number, SIGSET_SIZE);
      await this.getBytes(at as number, set);
      return signalsOf(set);
    });
  }

  async sigsuspend(signals: readonly number[]): Promise<void> {
    await this.#untilSignal(
      this.withArguments("rt_sigsuspend", [sigset(signals)], ([at]) =>
        this.context.syscall(syscall.rt_sigsuspend, at as number, SIGSET_SIZE),
      ),
    );
  }

  async pause(): Promise<void> {
    await this.#untilSignal(this.exclusive(() => this.context.syscall(syscall.pause)));
  }

  /** EINTR is what such a call ends with when all is well. */
  async #untilSignal(call: Promise<number>): Promise<void> {
    const result = await call;
    if (result !== -errno.EINTR) throw new SyscallError(-result, errnoName(-result), "pause");
  }

  alarm(seconds: number): Promise<number> {
    return this.exclusive(() => this.call("alarm", undefined, seconds));
  }

  async setitimer(milliseconds: number, interval = 0): Promise<void> {
    const value = new Uint8Array(ITIMERVAL_SIZE);
    [interval, milliseconds].forEach((time, i) => {
      value.set(word(Math.floor(time / 1000)), i * 16);
      value.set(word(Math.round((time % 1000) * 1000)), i * 16 + 8);
    });
    await this.withArguments("setitimer", [value], ([at]) =>
      this.call("setitimer", undefined, ITIMER_REAL, at as number, 0),
    );
  }

  /** When all calls under way have ended. */
  async settled(): Promise<void> {
    await this.last;
  }

  /** Any system call, with registers that no well-behaved program has; what it returned, errors too. */
  syscall(nr: number, ...args: number[]): Promise<number> {
    return this.exclusive(() => this.context.syscall(nr, ...args));
  }

  /** exit_group(2): does not return. */
  async exit(status: number): Promise<never> {
    await this.exclusive(() => this.call("exit_group", undefined, status & 0xff));
    throw new Error("exit_group returned");
  }

  /**
   * A message on standard error from the system rather than the program; lost when there is none to take
   * it.
   */
  async complain(message: string): Promise<void> {
    try {
      await this.write(FD_STDERR, message);
    } catch {
      // Standard error is closed, or the program's memory is gone: the exit status still tells.
    }
  }

  async #stat(address: number): Promise<Stat> {
    const bytes = new Uint8Array(STAT.SIZE);
    await this.getBytes(address, bytes);
    const view = new DataView(bytes.buffer);
    const size = view.getUint32(STAT.size + 4, true) * 2 ** 32 + view.getUint32(STAT.size, true);
    return { mode: view.getUint32(STAT.mode, true), size };
  }
}
