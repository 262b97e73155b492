/**
 * Host and HostFs over `node:` modules, which Bun and Deno offer too with the same behaviour; bun.ts and
 * deno.ts change what differs. Modules that not every run needs are loaded by the first call that does:
 * loading them takes several milliseconds.
 */

import * as fs from "node:fs";
import * as path from "node:path";
import { errno, errnoNumber } from "../machine/errno.ts";
import {
  type FileStat,
  type Hasher,
  type Host,
  HostError,
  type HostFs,
  type HostThread,
  type OpenOptions,
  type ThreadListener,
} from "./host.ts";
import { components } from "./path.ts";
import type { untouchedOf } from "./untouched.ts";
import { PIECE, Writer } from "./write.ts";

export class NodeHost implements Host {
  constructor(readonly engine: string = `node ${process.versions.node}`) {}

  monotonic_ms(): number {
    return performance.timeOrigin + performance.now();
  }

  wallClock_s(): number {
    return Math.floor(Date.now() / 1000);
  }

  random(into: Uint8Array): void {
    process.getBuiltinModule("node:crypto").randomFillSync(into);
  }

  hasher(): Hasher {
    return new PieceHasher(process.getBuiltinModule("node:crypto").createHash("sha256"));
  }

  sha256(...pieces: Uint8Array[]): Uint8Array {
    const hasher = this.hasher();
    for (const piece of pieces) hasher.update(piece);
    return hasher.digest();
  }

  equal(a: Uint8Array, b: Uint8Array): boolean {
    return a.length === b.length && Buffer.compare(a, b) === 0;
  }

  turn(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  startThread(program: URL, { onMessage, onError, onExit }: ThreadListener): HostThread {
    const { Worker } = process.getBuiltinModule("node:worker_threads");
    const worker = new Worker(program);
    worker.on("message", onMessage);
    worker.on("error", onError);
    if (onExit !== undefined) worker.on("exit", onExit);
    return {
      post: (message) => worker.postMessage(message),
      hold: (on) => void (on ? worker.ref() : worker.unref()),
      terminate: () => void worker.terminate(),
    };
  }

  cpus(): number {
    // Deno asks for a permission to tell it by node:os; Node has no navigator before version 21.
    const { navigator } = globalThis as { navigator?: { hardwareConcurrency: number } };
    return navigator?.hardwareConcurrency ?? process.getBuiltinModule("node:os").availableParallelism();
  }
}

/** A hash of the engine's. */
interface EngineHash {
  update(piece: Uint8Array): unknown;
  digest(): Uint8Array;
}

export class PieceHasher implements Hasher {
  readonly #hash: EngineHash;

  constructor(hash: EngineHash) {
    this.#hash = hash;
  }

  update(piece: Uint8Array): this {
    // One update takes at most 2^31 - 1 bytes.
    for (let at = 0; at < piece.length; at += PIECE * 64)
      this.#hash.update(piece.subarray(at, at + PIECE * 64));
    return this;
  }

  digest(): Uint8Array {
    return new Uint8Array(this.#hash.digest());
  }
}

/**
 * The error of a `node:fs` call as a HostError. An error that is no failed operation is a bug and passes
 * through.
 */
export function hostError(error: unknown, operation: string, path?: string): unknown {
  if (error instanceof HostError || !(error instanceof Error)) return error;
  // Deno without the permission for a path.
  const code = error.name === "NotCapable" ? "EACCES" : (error as { code?: unknown }).code;
  if (typeof code !== "string" || code.startsWith("ERR_")) return error;
  const number = errnoNumber(code);
  return number === undefined
    ? new HostError(errno.EIO, "EIO", operation, path)
    : new HostError(number, code, operation, path);
}

/** Names for writability probes of one process. */
let probes = 0;

/**
 * With the directories above it. Node's own `recursive` never returns where mkdir says ENOENT, as in /proc.
 */
function makeDirectory(name: string): void {
  try {
    fs.mkdirSync(name);
  } catch (error) {
    const { code } = error as { code?: string };
    const parent = path.dirname(name);
    if (code === "ENOENT" && parent !== name) {
      makeDirectory(parent);
      fs.mkdirSync(name);
    } else if (code !== "EEXIST" || !fs.statSync(name).isDirectory()) throw error;
  }
}

export class NodeFs implements HostFs {
  readonly #root: string;
  readonly #handles: (number | undefined)[] = [];

  readonly #untouchedOf: typeof untouchedOf | undefined;

  /** `root` is made when it does not exist. HostError when it cannot be, or is no writable directory. */
  constructor(root: string, untouched?: typeof untouchedOf) {
    this.#untouchedOf = untouched;
    this.#root = attempt("mkdir", root, () => {
      makeDirectory(path.resolve(root));
      const real = fs.realpathSync(root);
      // access(2) would ask the same, but Deno gives it only to programs that may know their user.
      const probe = path.join(real, `.wkdump-${process.pid}-${probes++}`);
      fs.closeSync(fs.openSync(probe, "wx", 0o600));
      fs.unlinkSync(probe);
      return real;
    });
  }

  open(name: string, options: OpenOptions = {}): number {
    const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_NOFOLLOW } = fs.constants;
    // A link as the last component may lead anywhere; nothing that runs in a machine can make one.
    let flags = (options.write ? O_RDWR : O_RDONLY) | O_NOFOLLOW;
    if (options.create) flags |= O_CREAT;
    if (options.create && options.exclusive) flags |= O_EXCL;
    if (options.truncate) flags |= O_TRUNC;
    const full = this.#resolve(name, "open");
    const fd = attempt("open", name, () => {
      const fd = fs.openSync(full, flags, options.mode ?? 0o666);
      if (!fs.fstatSync(fd).isDirectory()) return fd;
      fs.closeSync(fd);
      throw new HostError(errno.EISDIR, "EISDIR", "open", name);
    });
    const free = this.#handles.indexOf(undefined);
    const handle = free < 0 ? this.#handles.length : free;
    this.#handles[handle] = fd;
    return handle;
  }

  close(handle: number): void {
    const fd = this.#fd(handle, "close");
    this.#handles[handle] = undefined;
    attempt("close", undefined, () => fs.closeSync(fd));
  }

  writev(handle: number, views: readonly Uint8Array[], position: number): number {
    const fd = this.#fd(handle, "write");
    return attempt("write", undefined, () => {
      const writer = new Writer(fd, position, this.#untouchedOf);
      for (const view of views) writer.put(view);
      return writer.finish() - position;
    });
  }

  readv(handle: number, views: readonly Uint8Array[], position: number): number {
    const fd = this.#fd(handle, "read");
    return attempt("read", undefined, () => {
      let at = position;
      for (const view of views) {
        for (let done = 0; done < view.length; ) {
          const bytes = fs.readSync(fd, view, done, Math.min(PIECE, view.length - done), at);
          if (bytes === 0) return at - position;
          done += bytes;
          at += bytes;
        }
      }
      return at - position;
    });
  }

  fsync(handle: number): void {
    const fd = this.#fd(handle, "fsync");
    attempt("fsync", undefined, () => fs.fsyncSync(fd));
  }

  fsyncDirectory(name: string): void {
    const full = this.#resolve(name, "fsync");
    attempt("fsync", name, () => {
      const fd = fs.openSync(full, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
      try {
        fs.fsyncSync(fd);
      } finally {
        fs.closeSync(fd);
      }
    });
  }

  rename(from: string, to: string, options: { noReplace?: boolean } = {}): void {
    const source = this.#resolve(from, "rename");
    const target = this.#resolve(to, "rename");
    attempt("rename", to, () => {
      if (options.noReplace) renameNoReplace(source, target);
      else fs.renameSync(source, target);
    });
  }

  mkdir(name: string, mode = 0o777): void {
    const full = this.#resolve(name, "mkdir");
    attempt("mkdir", name, () => fs.mkdirSync(full, { mode }));
  }

  stat(name: string): FileStat {
    const full = this.#resolve(name, "stat");
    const { mode, size } = attempt("stat", name, () => fs.lstatSync(full));
    return { mode, size };
  }

  unlink(name: string): void {
    const full = this.#resolve(name, "unlink");
    attempt("unlink", name, () => {
      // unlink(2) of a directory is EISDIR on Linux; Deno's would remove an empty one.
      if (fs.lstatSync(full).isDirectory()) throw new HostError(errno.EISDIR, "EISDIR", "unlink", name);
      fs.unlinkSync(full);
    });
  }

  read(name: string): Uint8Array {
    const full = this.#resolve(name, "read");
    return attempt("read", name, () => new Uint8Array(fs.readFileSync(full)));
  }

  #fd(handle: number, operation: string): number {
    const fd = this.#handles[handle];
    if (fd === undefined) throw new HostError(errno.EBADF, "EBADF", operation);
    return fd;
  }

  /** The host's path of `name`. Its directory, links resolved, must lie in the root. */
  #resolve(name: string, operation: string): string {
    const parts = components(name, operation);
    const last = parts.pop();
    if (last === undefined) return this.#root;
    const parent = path.join(this.#root, ...parts);
    const real = parts.length === 0 ? parent : attempt(operation, name, () => fs.realpathSync(parent));
    if (real !== this.#root && !real.startsWith(this.#root + path.sep)) {
      throw new HostError(errno.EACCES, "EACCES", operation, name);
    }
    return path.join(real, last);
  }
}

function attempt<T>(operation: string, name: string | undefined, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw hostError(error, operation, name);
  }
}

/**
 * No engine offers renameat2. A hard link fails when the name is taken, so link and unlink rename a file
 * without a race. Where links do not work the name is reserved by an exclusive create, and the rename
 * replaces our own file.
 */
function renameNoReplace(source: string, target: string): void {
  if (fs.lstatSync(source).isDirectory()) {
    if (fs.lstatSync(target, { throwIfNoEntry: false }) !== undefined) {
      throw new HostError(errno.EEXIST, "EEXIST", "rename", path.basename(target));
    }
    // rename(2) refuses a file and a directory that is not empty as the target: nothing can be lost.
    fs.renameSync(source, target);
    return;
  }
  try {
    fs.linkSync(source, target);
  } catch (error) {
    const { code, name } = error as { code?: string; name?: string };
    const noLinks =
      name === "NotCapable" ||
      ["EPERM", "EACCES", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"].includes(code ?? "");
    if (!noLinks) throw error;
    fs.closeSync(fs.openSync(target, "wx"));
    fs.renameSync(source, target);
    return;
  }
  fs.unlinkSync(source);
}
