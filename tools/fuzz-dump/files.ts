/**
 * MemoryFiles: a Proc whose files are arrays, for the programs that the fuzzer runs. Its disk is small: what
 * damage would have written beyond it fails as on a full one, and what is written is counted against it.
 */
import { type ErrnoName, errno } from "../../runtime/machine/errno.ts";
import { O_CREAT, type Proc, type Stat, SyscallError, WithoutTasks } from "../../runtime/user/proc.ts";
import type { ByteSource } from "../dump/bytes.ts";
import { MemorySink } from "../dump/sink.ts";
import { sourceOf } from "./victim.ts";

const DISK_SIZE = 32 * 1024 * 1024;
/** The only directory. */
const ROOT = "/";
const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;

interface Description {
  path: string;
  offset: number;
}

export class MemoryFiles extends WithoutTasks implements Proc {
  argv: readonly string[] = [];
  readonly #files = new Map<string, ByteSource>();
  readonly #written = new Map<string, MemorySink>();
  readonly #open = new Map<number, Description>();
  #next = STDERR + 1;
  #stdin: Description = { path: "", offset: 0 };
  #stdout = new MemorySink();
  #stderr = "";

  constructor(inputs: readonly ByteSource[]) {
    super();
    for (const input of inputs) this.#files.set(input.name, input);
  }

  /** Runs a program, standard input from a file and output into one where they are named; its exit status. */
  async run(
    main: (proc: Proc) => Promise<number>,
    argv: readonly string[],
    { stdin = "", stdout = "" } = {},
  ): Promise<number> {
    this.argv = argv;
    this.#stdin = { path: stdin, offset: 0 };
    this.#stdout = new MemorySink();
    this.#stderr = "";
    const status = await main(this);
    if (stdout !== "") this.#files.set(stdout, sourceOf(stdout, this.#stdout.bytes));
    for (const [path, sink] of this.#written) this.#files.set(path, sourceOf(path, sink.bytes));
    this.#written.clear();
    this.#open.clear();
    return status;
  }

  /** What the program said on standard output, a character a byte, and on standard error. */
  get said(): { stdout: Uint8Array; stderr: string } {
    return { stdout: this.#stdout.bytes, stderr: this.#stderr };
  }

  /** A file that was given or written. */
  file(path: string): ByteSource {
    return this.#files.get(path) ?? this.#fail("ENOENT", "open", path);
  }

  async open(path: string, flags: number): Promise<number> {
    if ((flags & O_CREAT) !== 0) this.#written.set(path, new MemorySink());
    else if (!this.#files.has(path)) this.#fail("ENOENT", "open", path);
    this.#open.set(this.#next, { path, offset: 0 });
    return this.#next++;
  }

  async close(fd: number): Promise<void> {
    this.#description(fd);
    this.#open.delete(fd);
  }

  async read(fd: number, buffer: Uint8Array): Promise<number> {
    const description = fd === STDIN ? this.#stdin : this.#description(fd);
    const count = await this.file(description.path).pread(buffer, description.offset);
    description.offset += count;
    return count;
  }

  pread(fd: number, buffer: Uint8Array, offset: number): Promise<number> {
    return this.file(this.#description(fd).path).pread(buffer, offset);
  }

  async write(fd: number, data: Uint8Array | string): Promise<void> {
    if (fd === STDERR) {
      this.#stderr += typeof data === "string" ? data : new TextDecoder().decode(data);
      return;
    }
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    if (fd === STDOUT) return this.#append(this.#stdout, this.#stdout.bytes.length, bytes, "");
    const description = this.#description(fd);
    const sink = this.#written.get(description.path) ?? this.#fail("EBADF", "write", description.path);
    await this.#append(sink, description.offset, bytes, description.path);
    description.offset += bytes.length;
  }

  async lseek(fd: number, offset: number, whence: 0 | 1 | 2): Promise<number> {
    const description = this.#description(fd);
    const { size } = await this.fstat(fd);
    description.offset = offset + (whence === 0 ? 0 : whence === 1 ? description.offset : size);
    return description.offset;
  }

  fstat(fd: number): Promise<Stat> {
    return this.stat(this.#description(fd).path);
  }

  async stat(path: string): Promise<Stat> {
    if (path === ROOT) return { mode: 0o040700, size: 0 };
    const size = this.#written.get(path)?.bytes.length ?? this.file(path).size;
    return { mode: 0o100600, size };
  }

  async unlink(path: string): Promise<void> {
    if (!this.#written.delete(path) && !this.#files.delete(path)) this.#fail("ENOENT", "unlink", path);
  }

  async fsync(): Promise<void> {}

  async time(): Promise<number> {
    return 0;
  }

  // What no program that reads dumps asks for.
  mkdir = (): Promise<void> => this.#refuse("mkdir");
  rename = (): Promise<void> => this.#refuse("rename");
  symlink = (): Promise<void> => this.#refuse("symlink");
  readlink = (): Promise<string> => this.#refuse("readlink");
  sbrk = (): Promise<number> => this.#refuse("brk");
  copyFileRange = (): Promise<number> => this.#refuse("copy_file_range");
  kexecFileLoad = (): Promise<void> => this.#refuse("kexec_file_load");
  reboot = (): Promise<void> => this.#refuse("reboot");

  async #append(sink: MemorySink, offset: number, bytes: Uint8Array, path: string): Promise<void> {
    if (offset + bytes.length > DISK_SIZE) this.#fail("ENOSPC", "write", path);
    await sink.write(offset, bytes);
  }

  #description(fd: number): Description {
    return this.#open.get(fd) ?? this.#fail("EBADF", "fd", String(fd));
  }

  async #refuse(syscall: string): Promise<never> {
    return this.#fail("ENOSYS", syscall, "");
  }

  #fail(code: ErrnoName, syscall: string, path: string): never {
    throw new SyscallError(errno[code], code, syscall, path);
  }
}
