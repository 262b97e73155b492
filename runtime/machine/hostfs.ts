/**
 * The hostfs device: the host's directory, by DMA. The kernel writes a request into memory and rings the
 * doorbell; the request is complete when the doorbell returns. The device trusts nothing in it: an address
 * or a length that does not lie in memory is EFAULT or EINVAL, like any other failure a negative errno.
 *
 *      0 u32 op          16 u64 offset      48 u64 extents -> { u64 addr; u64 len }[]
 *      4 s32 result      24 u64 size        56 u32 nr_extents
 *      8 u32 handle      32 u64 path        60 u32 mode
 *     12 u32 flags       40 u64 path2       64 bytes
 */

import { HostError, type HostFs } from "../adapter/host.ts";
import { O_CREAT, O_EXCL, O_RDWR, O_TRUNC, O_WRONLY } from "../user/proc.ts";
import { errno } from "./errno.ts";
import { PAGE_SIZE, type PhysicalMemory } from "./memory.ts";

const REQUEST = {
  SIZE: 64,
  op: 0,
  result: 4,
  handle: 8,
  flags: 12,
  offset: 16,
  size: 24,
  path: 32,
  path2: 40,
};
const REQUEST_EXTENTS = { extents: 48, nr_extents: 56, mode: 60 };
const EXTENT_SIZE = 16;
const EXTENTS_MAX = 65536;
const PATH_MAX = 4096;
const HANDLES_MAX = 1024;
const RENAME_NOREPLACE = 1;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

/** One rename that the device completed, for whoever watches files appear. */
export interface Renamed {
  from: string;
  to: string;
}

export class HostFsDevice {
  readonly #memory: PhysicalMemory;
  readonly #fs: HostFs;
  readonly #onRename: (renamed: Renamed) => void;
  /** The guest's handle is the index; the host's the value. */
  readonly #handles: (number | undefined)[] = [];
  readonly #operations: Record<number, (request: number) => number>;

  constructor(memory: PhysicalMemory, fs: HostFs, onRename: (renamed: Renamed) => void) {
    this.#memory = memory;
    this.#fs = fs;
    this.#onRename = onRename;
    this.#operations = {
      1: (request) => this.#open(request),
      2: (request) => this.#close(request),
      3: (request) => this.#move(request, true),
      4: (request) => this.#move(request, false),
      5: (request) => this.#fsync(request),
      6: (request) => this.#rename(request),
      7: (request) => this.#mkdir(request),
      8: (request) => this.#stat(request),
      9: (request) => this.#unlink(request),
      10: (request) => this.#fsyncDirectory(request),
    };
  }

  /**
   * The doorbell. Returns what it stores in `result`; -EFAULT alone when the request itself is not in
   * memory.
   */
  doorbell(request: number): number {
    if (!this.#memory.has(request, REQUEST.SIZE)) return -errno.EFAULT;
    const operation = this.#operations[this.#memory.u32(request + REQUEST.op)];
    const result = operation === undefined ? -errno.ENOSYS : this.#attempt(operation, request);
    this.#memory.setU32(request + REQUEST.result, result >>> 0);
    return result;
  }

  /** Power is off: what is still open is closed. */
  closeAll(): void {
    for (const handle of this.#handles) if (handle !== undefined) this.#fs.close(handle);
    this.#handles.length = 0;
  }

  #attempt(operation: (request: number) => number, request: number): number {
    try {
      return operation(request);
    } catch (error) {
      if (error instanceof HostError) return -error.errno;
      throw error;
    }
  }

  #open(request: number): number {
    const path = this.#path(request + REQUEST.path);
    const flags = this.#memory.u32(request + REQUEST.flags);
    const free = this.#handles.indexOf(undefined);
    const handle = free < 0 ? this.#handles.length : free;
    if (handle === HANDLES_MAX) return -errno.EMFILE;
    this.#handles[handle] = this.#fs.open(path, {
      write: (flags & (O_WRONLY | O_RDWR)) !== 0,
      create: (flags & O_CREAT) !== 0,
      exclusive: (flags & O_EXCL) !== 0,
      truncate: (flags & O_TRUNC) !== 0,
      mode: this.#memory.u32(request + REQUEST_EXTENTS.mode) & 0o777,
    });
    this.#memory.setU32(request + REQUEST.handle, handle);
    return handle;
  }

  #close(request: number): number {
    const host = this.#handle(request);
    this.#handles[this.#memory.u32(request + REQUEST.handle)] = undefined;
    this.#fs.close(host);
    return 0;
  }

  /** WRITE and READ. `size` becomes the bytes moved; the result is 0. */
  #move(request: number, write: boolean): number {
    const host = this.#handle(request);
    const position = this.#memory.u64(request + REQUEST.offset);
    const views = this.#extents(request);
    if (!Number.isSafeInteger(position + 2 ** 44)) return -errno.EINVAL;
    const bytes = write ? this.#fs.writev(host, views, position) : this.#fs.readv(host, views, position);
    this.#memory.setU64(request + REQUEST.size, bytes);
    return 0;
  }

  #fsync(request: number): number {
    this.#fs.fsync(this.#handle(request));
    return 0;
  }

  #rename(request: number): number {
    const from = this.#path(request + REQUEST.path);
    const to = this.#path(request + REQUEST.path2);
    const noReplace = (this.#memory.u32(request + REQUEST.flags) & RENAME_NOREPLACE) !== 0;
    this.#fs.rename(from, to, { noReplace });
    this.#onRename({ from, to });
    return 0;
  }

  #mkdir(request: number): number {
    this.#fs.mkdir(
      this.#path(request + REQUEST.path),
      this.#memory.u32(request + REQUEST_EXTENTS.mode) & 0o777,
    );
    return 0;
  }

  #stat(request: number): number {
    const { mode, size } = this.#fs.stat(this.#path(request + REQUEST.path));
    // A directory's size and permissions are the host file system's and its user's; the guest's memory must
    // not depend on them.
    const directory = (mode & S_IFMT) === S_IFDIR;
    this.#memory.setU64(request + REQUEST.size, directory ? PAGE_SIZE : size);
    this.#memory.setU32(request + REQUEST_EXTENTS.mode, directory ? S_IFDIR | 0o755 : mode);
    return 0;
  }

  #unlink(request: number): number {
    this.#fs.unlink(this.#path(request + REQUEST.path));
    return 0;
  }

  #fsyncDirectory(request: number): number {
    this.#fs.fsyncDirectory(this.#path(request + REQUEST.path));
    return 0;
  }

  #handle(request: number): number {
    const host = this.#handles[this.#memory.u32(request + REQUEST.handle)];
    if (host === undefined) throw new HostError(errno.EBADF, "EBADF", "hostfs");
    return host;
  }

  /** The string whose address stands at `field`. */
  #path(field: number): string {
    const address = this.#memory.u64(field);
    if (!this.#memory.has(address, 1)) throw new HostError(errno.EFAULT, "EFAULT", "hostfs");
    const path = this.#memory.cString(address, PATH_MAX);
    if (path === undefined) throw new HostError(errno.ENAMETOOLONG, "ENAMETOOLONG", "hostfs");
    return path;
  }

  #extents(request: number): Uint8Array[] {
    const table = this.#memory.u64(request + REQUEST_EXTENTS.extents);
    const count = this.#memory.u32(request + REQUEST_EXTENTS.nr_extents);
    if (count > EXTENTS_MAX) throw new HostError(errno.EINVAL, "EINVAL", "hostfs");
    if (!this.#memory.has(table, count * EXTENT_SIZE)) throw new HostError(errno.EFAULT, "EFAULT", "hostfs");
    const views: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const address = this.#memory.u64(table + i * EXTENT_SIZE);
      const length = this.#memory.u64(table + i * EXTENT_SIZE + 8);
      if (!this.#memory.has(address, length)) throw new HostError(errno.EFAULT, "EFAULT", "hostfs");
      views.push(this.#memory.slice(address, length));
    }
    return views;
  }
}
