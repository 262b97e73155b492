/**
 * `Proc` for programs that run on the host: the same calls go to the engine's file system, as the current
 * user.
 */

import * as fs from "node:fs";
import { errno, errnoNumber } from "../machine/errno.ts";
import {
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  type Proc,
  type Stat,
  SyscallError,
  WithoutTasks,
} from "../user/proc.ts";
import { HostError } from "./host.ts";
import { hostError } from "./node.ts";
import { writeAll } from "./write.ts";

const PIECE = 1 << 20;

/** Descriptors are the host's own, so 0, 1 and 2 are the process's. `argv[0]` is the program's name. */
export function hostProc(argv: readonly string[]): Proc {
  return new HostProc(argv);
}

class HostProc extends WithoutTasks implements Proc {
  /** File offsets, kept here: `node:fs` has no lseek. Descriptors that are missing (pipes) have none. */
  readonly #offsets = new Map<number, number>();
  /** Descriptors that write at the end whatever their offset. */
  readonly #appending = new Set<number>();
  /** What the program put into memory of its own. */
  readonly #heap: Uint8Array[] = [];

  constructor(readonly argv: readonly string[]) {
    super();
  }

  async open(path: string, flags: number, mode = 0o666): Promise<number> {
    return attempt("open", path, () => {
      const fd = fs.openSync(path, hostFlags(flags), mode);
      if (fs.fstatSync(fd).isFile()) this.#offsets.set(fd, 0);
      if ((flags & O_APPEND) !== 0) this.#appending.add(fd);
      return fd;
    });
  }

  async close(fd: number): Promise<void> {
    attempt("close", undefined, () => fs.closeSync(fd));
    this.#offsets.delete(fd);
    this.#appending.delete(fd);
  }

  async read(fd: number, buffer: Uint8Array): Promise<number> {
    const offset = this.#offsets.get(fd);
    const bytes = attempt("read", undefined, () => readSome(fd, buffer, offset ?? null));
    if (offset !== undefined) this.#offsets.set(fd, offset + bytes);
    return bytes;
  }

  async pread(fd: number, buffer: Uint8Array, offset: number): Promise<number> {
    return attempt("pread64", undefined, () => {
      if (!this.#offsets.has(fd)) throw new HostError(errno.ESPIPE, "ESPIPE", "pread64");
      return readSome(fd, buffer, offset);
    });
  }

  async write(fd: number, data: Uint8Array | string): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    const offset = this.#appending.has(fd) ? undefined : this.#offsets.get(fd);
    attempt("write", undefined, () => writeAll(fd, bytes, offset ?? null));
    if (offset !== undefined) this.#offsets.set(fd, offset + bytes.length);
  }

  async lseek(fd: number, offset: number, whence: 0 | 1 | 2): Promise<number> {
    return attempt("lseek", undefined, () => {
      const current = this.#offsets.get(fd);
      if (current === undefined) {
        fs.fstatSync(fd);
        throw new HostError(errno.ESPIPE, "ESPIPE", "lseek");
      }
      const base = whence === 0 ? 0 : whence === 1 ? current : fs.fstatSync(fd).size;
      if (base + offset < 0) throw new HostError(errno.EINVAL, "EINVAL", "lseek");
      this.#offsets.set(fd, base + offset);
      return base + offset;
    });
  }

  async fstat(fd: number): Promise<Stat> {
    const { mode, size } = attempt("fstat", undefined, () => fs.fstatSync(fd));
    return { mode, size };
  }

  async stat(path: string): Promise<Stat> {
    const { mode, size } = attempt("stat", path, () => fs.statSync(path));
    return { mode, size };
  }

  async fsync(fd: number): Promise<void> {
    attempt("fsync", undefined, () => fs.fsyncSync(fd));
  }

  async mkdir(path: string, mode = 0o777): Promise<void> {
    attempt("mkdir", path, () => fs.mkdirSync(path, { mode }));
  }

  async rename(from: string, to: string, options: { noReplace?: boolean } = {}): Promise<void> {
    attempt("renameat2", to, () => {
      if (options.noReplace) {
        fs.linkSync(from, to);
        fs.unlinkSync(from);
      } else fs.renameSync(from, to);
    });
  }

  async symlink(target: string, path: string): Promise<void> {
    attempt("symlink", path, () => fs.symlinkSync(target, path));
  }

  async readlink(path: string): Promise<string> {
    return attempt("readlink", path, () => fs.readlinkSync(path));
  }

  async unlink(path: string): Promise<void> {
    attempt("unlink", path, () => fs.unlinkSync(path));
  }

  async sbrk(data: Uint8Array): Promise<number> {
    return this.#heap.push(data.slice()) - 1;
  }

  async copyFileRange(fdIn: number, fdOut: number, length: number): Promise<number> {
    const buffer = new Uint8Array(Math.min(length, PIECE));
    const bytes = await this.read(fdIn, buffer);
    await this.write(fdOut, buffer.subarray(0, bytes));
    return bytes;
  }

  /** A process of the host has no kernel of ours, and no right to load one. */
  async kexecFileLoad(): Promise<void> {
    throw new SyscallError(errno.EPERM, "EPERM", "kexec_file_load");
  }

  async reboot(): Promise<void> {
    throw new SyscallError(errno.EPERM, "EPERM", "reboot");
  }

  async time(): Promise<number> {
    return Math.floor(Date.now() / 1000);
  }
}

function hostFlags(flags: number): number {
  const { constants } = fs;
  let host =
    (flags & O_RDWR) !== 0
      ? constants.O_RDWR
      : (flags & O_WRONLY) !== 0
        ? constants.O_WRONLY
        : constants.O_RDONLY;
  if ((flags & O_CREAT) !== 0) host |= constants.O_CREAT;
  if ((flags & O_EXCL) !== 0) host |= constants.O_EXCL;
  if ((flags & O_TRUNC) !== 0) host |= constants.O_TRUNC;
  if ((flags & O_APPEND) !== 0) host |= constants.O_APPEND;
  if ((flags & O_DIRECTORY) !== 0) host |= constants.O_DIRECTORY;
  return host;
}

function readSome(fd: number, buffer: Uint8Array, position: number | null): number {
  for (;;) {
    try {
      return fs.readSync(fd, buffer, 0, Math.min(buffer.length, PIECE), position);
    } catch (error) {
      const { code } = error as { code?: unknown };
      // Some engines report the end of a pipe on Windows and of a closed terminal as an error.
      if (code === "EOF") return 0;
      if (code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

function attempt<T>(syscall: string, path: string | undefined, body: () => T): T {
  try {
    return body();
  } catch (error) {
    const host = hostError(error, syscall, path);
    if (!(host instanceof HostError)) throw host;
    throw new SyscallError(errnoNumber(host.code) ?? host.errno, host.code, syscall, path);
  }
}
