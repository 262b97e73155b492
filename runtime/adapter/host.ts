/**
 * What the runtime asks of the engine it runs on. Everything else of wasm-kdump is plain JavaScript and
 * WebAssembly; only this folder touches `node:`, `Bun` or `Deno`.
 */

/** A running SHA-256. Pieces may be of any size and may be views over shared memory. */
export interface Hasher {
  update(piece: Uint8Array): Hasher;
  /** The 32 bytes; the hasher is used up. */
  digest(): Uint8Array;
}

/** A thread that runs a program of ours over shared memory. */
export interface HostThread {
  /** Sends a copy of `message`; it is handled when the thread has nothing else to do. */
  post(message: unknown): void;
  /** Whether the process goes on for its sake: it does at first. */
  hold(on: boolean): void;
  /** Ends it, whatever it does. */
  terminate(): void;
}

export interface ThreadListener {
  onMessage(message: unknown): void;
  /** It ended by an exception, or could not begin. */
  onError(error: unknown): void;
  /** It has ended, for whatever reason. */
  onExit?(): void;
}

export interface Host {
  /** "bun 1.4.5", "node 20.20.2", "deno 2.9.6". */
  readonly engine: string;
  /** Milliseconds with fractions, from an arbitrary start that all threads have in common. */
  monotonic_ms(): number;
  /** Whole seconds since 1970. */
  wallClock_s(): number;
  /** Fills `into` with random bytes. */
  random(into: Uint8Array): void;
  hasher(): Hasher;
  /** SHA-256 of the pieces, one after another. */
  sha256(...pieces: Uint8Array[]): Uint8Array;
  /** Whether both hold the same bytes; views may be over shared memory. */
  equal(a: Uint8Array, b: Uint8Array): boolean;
  /** Resolves when what other threads have finished meanwhile has come in: a turn of the event loop. */
  turn(): Promise<void>;
  /** Runs `program`, a bundle that talks through adapter/port.ts, on a thread of its own. */
  startThread(program: URL, listener: ThreadListener): HostThread;
  /** How many threads can run at the same time. */
  cpus(): number;
}

/** An operation of the host failed. `errno` is Linux's positive number, `code` its name. */
export class HostError extends Error {
  constructor(
    readonly errno: number,
    readonly code: string,
    readonly operation: string,
    readonly path?: string,
  ) {
    super(`${operation}${path === undefined ? "" : ` ${path}`}: ${code}`);
    this.name = "HostError";
  }
}

export interface OpenOptions {
  /** Open for writing too; without it the file can be read only. */
  write?: boolean;
  /** Make the file when it does not exist. */
  create?: boolean;
  /** With `create`: EEXIST when the name is taken, by a dangling link too. */
  exclusive?: boolean;
  truncate?: boolean;
  /** Permission bits of a new file, 0o666 without it; the host's umask applies. */
  mode?: number;
}

export interface FileStat {
  /** st_mode: type and permission bits. */
  mode: number;
  /** Bytes. */
  size: number;
}

/**
 * Files under one directory of the host. Paths are relative, `/` separates; an absolute path, a `..`, or a
 * link that leads out of the directory is EACCES. All failures are HostError. Handles are small numbers
 * from 0.
 */
export interface HostFs {
  open(path: string, options?: OpenOptions): number;
  close(handle: number): void;
  /**
   * Writes all views, one after another, from `position`; views may be over shared memory. Zeros beyond the
   * end of the file may become holes, which read the same. Returns the bytes.
   */
  writev(handle: number, views: readonly Uint8Array[], position: number): number;
  /** Fills the views from `position` on; fewer bytes than asked at the end of the file. */
  readv(handle: number, views: readonly Uint8Array[], position: number): number;
  fsync(handle: number): void;
  fsyncDirectory(path: string): void;
  /** With `noReplace`, EEXIST when `to` exists: nothing is ever overwritten, races included. */
  rename(from: string, to: string, options?: { noReplace?: boolean }): void;
  mkdir(path: string, mode?: number): void;
  stat(path: string): FileStat;
  unlink(path: string): void;
  /** A whole file. */
  read(path: string): Uint8Array;
}

/**
 * A file's bytes in pieces of at most 1 MiB, for readers of large files. Each piece is overwritten by the
 * next.
 */
export function* fileChunks(fs: HostFs, path: string): Generator<Uint8Array> {
  const handle = fs.open(path);
  try {
    const buffer = new Uint8Array(1 << 20);
    for (let position = 0; ; ) {
      const bytes = fs.readv(handle, [buffer], position);
      if (bytes === 0) return;
      position += bytes;
      yield buffer.subarray(0, bytes);
    }
  } finally {
    fs.close(handle);
  }
}
