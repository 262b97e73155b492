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

/** One program's view of the system it runs on. Every call may sleep; offsets and sizes are bytes. */
export interface Proc {
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
