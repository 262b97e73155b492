/**
 * A Proc over files in memory, for tests of programs: directories, permissions of no file, and what the
 * program printed, loaded and rebooted. Errors are Linux's.
 */
import {
  O_CREAT,
  O_EXCL,
  O_TRUNC,
  type Proc,
  type Stat,
  SyscallError,
  WithoutTasks,
} from "../../runtime/user/proc.ts";

interface Description {
  path: string;
  offset: number;
}

export class FakeProc extends WithoutTasks implements Proc {
  readonly files = new Map<string, Uint8Array>();
  readonly directories = new Set<string>(["/"]);
  /** What descriptors 1 and 2 got. */
  console = "";
  readonly loads: { kernel: string; initrd: string | undefined; cmdline: string; flags: number }[] = [];
  readonly reboots: number[] = [];
  /** Each effect on files, in order: "fsync /a", "rename /a /b". */
  readonly log: string[] = [];
  /** What sbrk() was given. */
  readonly heap: Uint8Array[] = [];
  /** Set to make calls fail: `syscall path` -> error name. */
  readonly failures = new Map<string, string>();
  now = 1_700_000_000;
  readonly #open = new Map<number, Description>();
  #next = 3;

  constructor(readonly argv: readonly string[]) {
    super();
  }

  put(path: string, contents: string | Uint8Array): void {
    this.files.set(path, typeof contents === "string" ? new TextEncoder().encode(contents) : contents);
    for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) {
      this.directories.add(path.slice(0, at));
    }
  }

  text(path: string): string {
    return new TextDecoder().decode(this.files.get(path));
  }

  async open(path: string, flags: number): Promise<number> {
    this.#check("open", path);
    if (this.files.has(path)) {
      if ((flags & O_CREAT) !== 0 && (flags & O_EXCL) !== 0) this.#fail("EEXIST", "open", path);
      if ((flags & O_TRUNC) !== 0) this.files.set(path, new Uint8Array(0));
    } else if (!this.directories.has(path)) {
      if ((flags & O_CREAT) === 0) this.#fail("ENOENT", "open", path);
      if (!this.directories.has(path.slice(0, path.lastIndexOf("/")))) this.#fail("ENOENT", "open", path);
      this.files.set(path, new Uint8Array(0));
    }
    this.#open.set(this.#next, { path, offset: 0 });
    return this.#next++;
  }

  async close(fd: number): Promise<void> {
    this.#description(fd);
    this.#open.delete(fd);
  }

  async read(fd: number, buffer: Uint8Array): Promise<number> {
    const description = this.#description(fd);
    const bytes = await this.pread(fd, buffer, description.offset);
    description.offset += bytes;
    return bytes;
  }

  async pread(fd: number, buffer: Uint8Array, offset: number): Promise<number> {
    const { path } = this.#description(fd);
    this.#check("read", path);
    const bytes = this.files.get(path)!.subarray(offset, offset + buffer.length);
    buffer.set(bytes);
    return bytes.length;
  }

  async write(fd: number, data: Uint8Array | string): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    if (fd === 1 || fd === 2) {
      this.console += new TextDecoder().decode(bytes);
      return;
    }
    const description = this.#description(fd);
    this.#check("write", description.path);
    const old = this.files.get(description.path)!;
    const grown = new Uint8Array(Math.max(old.length, description.offset + bytes.length));
    grown.set(old);
    grown.set(bytes, description.offset);
    description.offset += bytes.length;
    this.files.set(description.path, grown);
  }

  async lseek(fd: number, offset: number, whence: 0 | 1 | 2): Promise<number> {
    const description = this.#description(fd);
    const size = this.files.get(description.path)!.length;
    description.offset = offset + (whence === 0 ? 0 : whence === 1 ? description.offset : size);
    return description.offset;
  }

  async fstat(fd: number): Promise<Stat> {
    return this.stat(this.#description(fd).path);
  }

  async stat(path: string): Promise<Stat> {
    const file = this.files.get(path);
    if (file !== undefined) return { mode: 0o100644, size: file.length };
    if (this.directories.has(path)) return { mode: 0o040755, size: 0 };
    return this.#fail("ENOENT", "stat", path);
  }

  async fsync(fd: number): Promise<void> {
    const { path } = this.#description(fd);
    this.#check("fsync", path);
    this.log.push(`fsync ${path}`);
  }

  async mkdir(path: string): Promise<void> {
    this.#check("mkdir", path);
    if (this.directories.has(path)) this.#fail("EEXIST", "mkdir", path);
    this.directories.add(path);
  }

  async rename(from: string, to: string, options: { noReplace?: boolean } = {}): Promise<void> {
    this.#check("renameat2", to);
    if (options.noReplace && this.files.has(to)) this.#fail("EEXIST", "renameat2", to);
    const file = this.files.get(from);
    if (file === undefined) return this.#fail("ENOENT", "renameat2", from);
    this.files.delete(from);
    this.files.set(to, file);
    this.log.push(`rename ${from} ${to}`);
  }

  async symlink(_target: string, path: string): Promise<void> {
    this.#fail("EPERM", "symlink", path);
  }

  async readlink(path: string): Promise<string> {
    return this.#fail("EINVAL", "readlink", path);
  }

  async unlink(path: string): Promise<void> {
    if (!this.files.delete(path)) this.#fail("ENOENT", "unlink", path);
  }

  async sbrk(data: Uint8Array): Promise<number> {
    this.#check("brk", "");
    return this.heap.push(data.slice()) - 1;
  }

  async copyFileRange(fdIn: number, fdOut: number, length: number): Promise<number> {
    const buffer = new Uint8Array(Math.min(length, 1000));
    const bytes = await this.read(fdIn, buffer);
    await this.write(fdOut, buffer.subarray(0, bytes));
    return bytes;
  }

  async kexecFileLoad(kernelFd: number, initrdFd: number, cmdline: string, flags: number): Promise<void> {
    this.#check("kexec_file_load", "");
    const path = (fd: number): string | undefined => this.#open.get(fd)?.path;
    this.loads.push({ kernel: path(kernelFd) ?? "", initrd: path(initrdFd), cmdline, flags });
  }

  async reboot(cmd: number): Promise<void> {
    this.#check("reboot", "");
    this.reboots.push(cmd);
  }

  async time(): Promise<number> {
    return this.now;
  }

  #description(fd: number): Description {
    return this.#open.get(fd) ?? this.#fail("EBADF", "fd", String(fd));
  }

  #check(syscall: string, path: string): void {
    const error = this.failures.get(`${syscall} ${path}`.trim());
    if (error !== undefined) this.#fail(error, syscall, path);
  }

  #fail(code: string, syscall: string, path: string): never {
    throw new SyscallError(1, code, syscall, path);
  }
}
