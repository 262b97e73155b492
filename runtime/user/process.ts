/**
 * `Proc` inside the machine: each call is a real system call of our kernel. Buffers, paths and structures
 * lie in user pages, in an arena that the program gets by brk(2), so the kernel's copy_from_user and
 * copy_to_user move them.
 */

import { errno, errnoName } from "../machine/errno.ts";
import { PAGE_SIZE } from "../machine/memory.ts";
import { syscall } from "../machine/x86.ts";
import { type Context, run } from "./context.ts";
import { load, store } from "./fault.ts";
import type { UserMemory } from "./memory.ts";
import {
  type Mapping,
  type Proc,
  type Program,
  SIGCHLD,
  type SpawnOptions,
  type Stat,
  SyscallError,
  type Waited,
} from "./proc.ts";
import { SpawnRecord } from "./spawn.ts";

/** Reads and writes go in pieces of at most this; less when the kernel gives no such arena. */
const PIECE = 1 << 20;
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
const MAX_ERRNO = 4095;
const CLONE_VM = 0x100;
const CLONE_VFORK = 0x4000;
const SIG_IGN = 1;
const SIG_SETMASK = 2;
const SIGACTION_SIZE = 32;

/** Where the next argument of a call goes: arguments lie one after another from the arena's start. */
class Arguments {
  #at: number;
  readonly #context: Context;
  readonly #memory: UserMemory;

  constructor(context: Context, memory: UserMemory, start: number) {
    this.#context = context;
    this.#memory = memory;
    this.#at = start;
  }

  async put(bytes: Uint8Array): Promise<number> {
    const address = this.#at;
    await store(this.#context, this.#memory, address, bytes);
    this.#at += bytes.length;
    return address;
  }
}

export class Process implements Proc {
  readonly argv: readonly string[];
  readonly #context: Context;
  readonly #memory: UserMemory;
  /** The arena: [start, end) of the heap. Its first words are a child's stack in a clone. */
  #start = 0;
  #end = 0;
  /** The heap's end: beyond the arena's once a program has taken memory for itself. */
  #brk = 0;
  /** Calls go one after another, also when a program does not wait. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(context: Context, memory: UserMemory, argv: readonly string[]) {
    this.#context = context;
    this.#memory = memory;
    this.argv = argv;
  }

  open(path: string, flags: number, mode = 0o666): Promise<number> {
    return this.#withPaths("open", [path], ([at]) => this.#call("open", path, at as number, flags, mode));
  }

  async close(fd: number): Promise<void> {
    await this.#exclusive(() => this.#call("close", undefined, fd));
  }

  read(fd: number, buffer: Uint8Array): Promise<number> {
    return this.#exclusive(async () => {
      const length = Math.min(buffer.length, await this.#arena(buffer.length));
      const bytes = await this.#call("read", undefined, fd, this.#start, length);
      this.#memory.read(this.#start, buffer.subarray(0, bytes));
      return bytes;
    });
  }

  pread(fd: number, buffer: Uint8Array, offset: number): Promise<number> {
    return this.#exclusive(async () => {
      const length = Math.min(buffer.length, await this.#arena(buffer.length));
      const bytes = await this.#call(
        "pread64",
        undefined,
        fd,
        this.#start,
        length,
        low(offset),
        high(offset),
      );
      this.#memory.read(this.#start, buffer.subarray(0, bytes));
      return bytes;
    });
  }

  async write(fd: number, data: Uint8Array | string): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    await this.#exclusive(async () => {
      const room = await this.#arena(bytes.length);
      for (let done = 0; done < bytes.length; ) {
        const piece = bytes.subarray(done, done + room);
        await this.#store(this.#start, piece);
        const written = await this.#call("write", undefined, fd, this.#start, piece.length);
        // A file that takes nothing and reports no error would be asked for ever.
        if (written === 0) throw new SyscallError(errno.EIO, "EIO", "write");
        done += written;
      }
    });
  }

  lseek(fd: number, offset: number, whence: 0 | 1 | 2): Promise<number> {
    return this.#exclusive(() => this.#call("lseek", undefined, fd, low(offset), whence, high(offset)));
  }

  fstat(fd: number): Promise<Stat> {
    return this.#exclusive(async () => {
      await this.#arena(STAT.SIZE);
      await this.#call("fstat", undefined, fd, this.#start);
      return this.#stat(this.#start);
    });
  }

  stat(path: string): Promise<Stat> {
    const room = new Uint8Array(STAT.SIZE);
    return this.#withArguments("stat", [cString(path, "stat"), room], async ([name, stat]) => {
      await this.#call("stat", path, name as number, stat as number);
      return this.#stat(stat as number);
    });
  }

  async sbrk(data: Uint8Array): Promise<void> {
    await this.#exclusive(async () => {
      await this.#arena(PIECE);
      const start = this.#brk;
      const end = start + Math.ceil(data.length / PAGE_SIZE) * PAGE_SIZE;
      this.#brk = await this.#context.syscall(syscall.brk, end);
      if (this.#brk !== end) throw new SyscallError(errno.ENOMEM, "ENOMEM", "brk");
      await this.#store(start, data);
    });
  }

  async mmap(length: number, { prot, flags, fd = -1, offset = 0, address = 0 }: Mapping): Promise<number> {
    // As a C library does where the call counts in pages.
    if (offset % PAGE_SIZE !== 0) throw new SyscallError(errno.EINVAL, "EINVAL", "mmap");
    return this.#exclusive(async () => {
      const at = await this.#call("mmap", undefined, address, length, prot, flags, fd, offset / PAGE_SIZE);
      return at >>> 0;
    });
  }

  async munmap(address: number, length: number): Promise<void> {
    await this.#exclusive(() => this.#call("munmap", undefined, address, length));
  }

  async mprotect(address: number, length: number, prot: number): Promise<void> {
    await this.#exclusive(() => this.#call("mprotect", undefined, address, length, prot));
  }

  async load(address: number, into: Uint8Array): Promise<void> {
    await this.#exclusive(() => load(this.#context, this.#memory, address, into));
  }

  async store(address: number, bytes: Uint8Array): Promise<void> {
    await this.#exclusive(() => this.#store(address, bytes));
  }

  async fsync(fd: number): Promise<void> {
    await this.#exclusive(() => this.#call("fsync", undefined, fd));
  }

  async mkdir(path: string, mode = 0o777): Promise<void> {
    await this.#withPaths("mkdir", [path], ([at]) => this.#call("mkdir", path, at as number, mode));
  }

  async rename(from: string, to: string, options: { noReplace?: boolean } = {}): Promise<void> {
    await this.#withPaths("rename", [from, to], ([source, target]) =>
      options.noReplace
        ? this.#call(
            "renameat2",
            to,
            AT_FDCWD,
            source as number,
            AT_FDCWD,
            target as number,
            RENAME_NOREPLACE,
          )
        : this.#call("rename", to, source as number, target as number),
    );
  }

  async symlink(target: string, path: string): Promise<void> {
    await this.#withPaths("symlink", [target, path], ([text, at]) =>
      this.#call("symlink", path, text as number, at as number),
    );
  }

  readlink(path: string): Promise<string> {
    const room = new Uint8Array(PATH_MAX);
    return this.#withArguments("readlink", [cString(path, "readlink"), room], async ([name, text]) => {
      const length = await this.#call("readlink", path, name as number, text as number, PATH_MAX);
      this.#memory.read(text as number, room.subarray(0, length));
      return new TextDecoder().decode(room.subarray(0, length));
    });
  }

  async unlink(path: string): Promise<void> {
    await this.#withPaths("unlink", [path], ([at]) => this.#call("unlink", path, at as number));
  }

  copyFileRange(fdIn: number, fdOut: number, length: number): Promise<number> {
    const bytes = Math.min(length, MAX_RW_COUNT);
    return this.#exclusive(() => this.#call("copy_file_range", undefined, fdIn, 0, fdOut, 0, bytes, 0));
  }

  async kexecFileLoad(kernelFd: number, initrdFd: number, cmdline: string, flags: number): Promise<void> {
    const text = cString(cmdline, "kexec_file_load");
    await this.#withArguments("kexec_file_load", [text], ([at]) =>
      this.#call("kexec_file_load", undefined, kernelFd, initrdFd, text.length, at as number, flags),
    );
  }

  async finitModule(fd: number, parameters: string, flags: number): Promise<void> {
    await this.#withArguments("finit_module", [cString(parameters, "finit_module")], ([at]) =>
      this.#call("finit_module", undefined, fd, at as number, flags),
    );
  }

  async deleteModule(name: string, flags: number): Promise<void> {
    await this.#withArguments("delete_module", [cString(name, "delete_module")], ([at]) =>
      this.#call("delete_module", undefined, at as number, flags),
    );
  }

  async reboot(cmd: number): Promise<void> {
    const magic = [LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2] as const;
    await this.#exclusive(() => this.#call("reboot", undefined, ...magic, cmd, 0));
  }

  time(): Promise<number> {
    return this.#exclusive(async () => {
      await this.#arena(16);
      await this.#call("clock_gettime", undefined, 0, this.#start);
      return this.#memory.u64(this.#start);
    });
  }

  getpid(): Promise<number> {
    return this.#exclusive(() => this.#call("getpid", undefined));
  }

  getppid(): Promise<number> {
    return this.#exclusive(() => this.#call("getppid", undefined));
  }

  spawn(path: string, argv: readonly string[], { dup = [], env = [] }: SpawnOptions = {}): Promise<number> {
    return this.#exclusive(async () => {
      // What the child needs lies in the memory that it shares with its parent until it has its own.
      const strings = [path, ...argv, ...env].map((text) => cString(text, "execve"));
      const size = SpawnRecord.size(strings);
      if ((await this.#arena(size)) < size) throw new SyscallError(errno.E2BIG, "E2BIG", "execve", path);
      const record = new SpawnRecord(this.#memory, this.#start, strings, argv.length);
      const child = this.#context.place((context) => void record.run(context, dup));
      await this.#store(this.#start, record.bytes(child));
      const flags = CLONE_VM | CLONE_VFORK | SIGCHLD;
      const pid = await this.#call("clone", path, flags, this.#start);
      const failed = record.error;
      if (failed === 0) return pid;
      await this.#context.syscall(syscall.wait4, pid, 0, 0, 0);
      throw new SyscallError(failed, errnoName(failed), "execve", path);
    });
  }

  fork(main: Program): Promise<number> {
    return this.#exclusive(async () => {
      await this.#arena(8);
      // The heap as it is now: the parent's may be another when the child begins.
      const { start, end, brk } = { start: this.#start, end: this.#end, brk: this.#brk };
      const address = this.#context.place((context) => {
        const child = new Process(context, this.#memory, this.argv);
        child.#start = start;
        child.#end = end;
        child.#brk = brk;
        void run(child, main);
      });
      await this.#store(this.#start, word(address));
      return this.#call("clone", undefined, SIGCHLD, this.#start);
    });
  }

  wait(pid = -1, options = 0): Promise<Waited> {
    return this.#exclusive(async () => {
      await this.#arena(8);
      await this.#store(this.#start, word(0));
      const found = await this.#call("wait4", undefined, pid, this.#start, options, 0);
      return { pid: found, status: this.#memory.u64(this.#start) };
    });
  }

  async kill(pid: number, signal: number): Promise<void> {
    await this.#exclusive(() => this.#call("kill", undefined, pid, signal));
  }

  setsid(): Promise<number> {
    return this.#exclusive(() => this.#call("setsid", undefined));
  }

  pipe(): Promise<[number, number]> {
    return this.#exclusive(async () => {
      await this.#arena(8);
      await this.#call("pipe2", undefined, this.#start, 0);
      const both = this.#memory.u64(this.#start);
      return [both % 2 ** 32, Math.floor(both / 2 ** 32)];
    });
  }

  dup2(from: number, to: number): Promise<number> {
    return this.#exclusive(() => this.#call("dup2", undefined, from, to));
  }

  async sleep(milliseconds: number): Promise<void> {
    await this.#exclusive(async () => {
      await this.#arena(16);
      const seconds = Math.floor(milliseconds / 1000);
      await this.#store(this.#start, word(seconds));
      await this.#store(this.#start + 8, word(Math.round((milliseconds - seconds * 1000) * 1e6)));
      await this.#call("nanosleep", undefined, this.#start, 0);
    });
  }

  async schedYield(): Promise<void> {
    await this.#exclusive(() => this.#call("sched_yield", undefined));
  }

  async ignore(signal: number, ignored: boolean): Promise<void> {
    const action = new Uint8Array(SIGACTION_SIZE);
    if (ignored) action[0] = SIG_IGN;
    await this.#withArguments("rt_sigaction", [action], ([at]) =>
      this.#call("rt_sigaction", undefined, signal, at as number, 0, 8),
    );
  }

  block(signals: readonly number[]): Promise<number[]> {
    const set = new Uint8Array(8);
    for (const signal of signals) (set[(signal - 1) >> 3] as number) |= 1 << ((signal - 1) & 7);
    return this.#withArguments("rt_sigprocmask", [set], async ([at]) => {
      await this.#call("rt_sigprocmask", undefined, SIG_SETMASK, at as number, at as number, 8);
      this.#memory.read(at as number, set);
      return Array.from({ length: 64 }, (_, i) => i + 1).filter(
        (signal) => ((set[(signal - 1) >> 3] as number) >> ((signal - 1) & 7)) & 1,
      );
    });
  }

  /** Any system call, with registers that no well-behaved program has; what it returned, errors too. */
  syscall(nr: number, ...args: number[]): Promise<number> {
    return this.#exclusive(() => this.#context.syscall(nr, ...args));
  }

  /** exit_group(2): does not return. */
  async exit(status: number): Promise<never> {
    await this.#exclusive(() => this.#call("exit_group", undefined, status & 0xff));
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

  #store(address: number, bytes: Uint8Array): Promise<void> {
    return store(this.#context, this.#memory, address, bytes);
  }

  #exclusive<T>(body: () => Promise<T>): Promise<T> {
    const result = this.#last.then(body);
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #call(name: keyof typeof syscall, path: string | undefined, ...args: number[]): Promise<number> {
    const result = await this.#context.syscall(syscall[name], ...args);
    if (result < 0 && result >= -MAX_ERRNO) throw new SyscallError(-result, errnoName(-result), name, path);
    return result;
  }

  #withPaths<T>(name: string, paths: string[], body: (at: number[]) => Promise<T>): Promise<T> {
    return this.#withArguments(
      name,
      paths.map((path) => cString(path, name)),
      body,
    );
  }

  /** Puts byte strings into the arena and gives their addresses; each must fit whole. */
  #withArguments<T>(name: string, values: Uint8Array[], body: (at: number[]) => Promise<T>): Promise<T> {
    return this.#exclusive(async () => {
      const size = values.reduce((sum, value) => sum + value.length, 0);
      if ((await this.#arena(size)) < size) throw new SyscallError(errno.ENOMEM, "ENOMEM", name);
      const place = new Arguments(this.#context, this.#memory, this.#start);
      const at: number[] = [];
      for (const value of values) at.push(await place.put(value));
      return body(at);
    });
  }

  /**
   * Makes the arena as large as `size`, or PIECE, or what the kernel gives; returns how large it is (at
   * least a page).
   */
  async #arena(size: number): Promise<number> {
    if (this.#start === 0) {
      this.#start = await this.#context.syscall(syscall.brk, 0);
      this.#end = this.#start;
      this.#brk = this.#start;
    }
    let wanted = Math.ceil(Math.min(Math.max(size, 1), PIECE) / PAGE_SIZE) * PAGE_SIZE;
    // Memory that the program took lies behind the arena, which then stays as it is.
    while (this.#brk === this.#end && this.#end - this.#start < wanted) {
      // brk(2) of the kernel returns the new end, or the old one when there is no memory.
      this.#end = await this.#context.syscall(syscall.brk, this.#start + wanted);
      this.#brk = this.#end;
      if (this.#end - this.#start >= wanted) break;
      if (wanted === PAGE_SIZE) throw new SyscallError(errno.ENOMEM, "ENOMEM", "brk");
      wanted = Math.ceil(wanted / 2 / PAGE_SIZE) * PAGE_SIZE;
    }
    return this.#end - this.#start;
  }

  #stat(address: number): Stat {
    const bytes = new Uint8Array(STAT.SIZE);
    this.#memory.read(address, bytes);
    const view = new DataView(bytes.buffer);
    const size = view.getUint32(STAT.size + 4, true) * 2 ** 32 + view.getUint32(STAT.size, true);
    return { mode: view.getUint32(STAT.mode, true), size };
  }
}

/** `text` with its NUL; one inside would cut it short unseen. */
function cString(text: string, name: string): Uint8Array {
  if (text.includes("\0")) throw new SyscallError(errno.EINVAL, "EINVAL", name);
  return new TextEncoder().encode(`${text}\0`);
}

/** A 64-bit word, exact up to 2^53. */
function word(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, value % 2 ** 32, true);
  view.setUint32(4, Math.floor(value / 2 ** 32), true);
  return bytes;
}

/** System calls take 32-bit registers: a 64-bit offset goes in two. */
function low(value: number): number {
  return value | 0;
}

function high(value: number): number {
  return Math.floor(value / 2 ** 32) | 0;
}
