/**
 * A HostFs that lives in memory: for tests, fuzzing and hosts without files. Errors are those of a real
 * directory.
 */

import { type ErrnoName, errno } from "../machine/errno.ts";
import { type FileStat, HostError, type HostFs, type OpenOptions } from "./host.ts";
import { components } from "./path.ts";

const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;

class File {
  bytes = new Uint8Array(0);
  size = 0;
  constructor(readonly mode: number) {}

  /** Makes room for `size` bytes; doubling, so that a file written in order costs its length. */
  grow(size: number): void {
    if (size > this.bytes.length) {
      const bytes = new Uint8Array(Math.max(size, this.bytes.length * 2));
      bytes.set(this.bytes.subarray(0, this.size));
      this.bytes = bytes;
    }
    if (size > this.size) this.size = size;
  }
}

class Directory {
  readonly entries = new Map<string, File | Directory>();
  constructor(readonly mode: number) {}
}

interface Handle {
  file: File;
  write: boolean;
}

export class MemoryFs implements HostFs {
  readonly #root = new Directory(S_IFDIR | 0o755);
  readonly #handles: (Handle | undefined)[] = [];

  open(path: string, options: OpenOptions = {}): number {
    const { parent, name } = this.#place(path, "open");
    let node = parent.entries.get(name);
    if (node === undefined) {
      if (!options.create) fail("ENOENT", "open", path);
      node = new File(S_IFREG | ((options.mode ?? 0o666) & 0o777 & ~0o022));
      parent.entries.set(name, node);
    } else if (options.create && options.exclusive) fail("EEXIST", "open", path);
    if (node instanceof Directory) fail("EISDIR", "open", path);
    if (options.truncate) node.size = 0;
    const free = this.#handles.indexOf(undefined);
    const handle = free < 0 ? this.#handles.length : free;
    this.#handles[handle] = { file: node, write: options.write === true };
    return handle;
  }

  close(handle: number): void {
    this.#handle(handle, "close");
    this.#handles[handle] = undefined;
  }

  writev(handle: number, views: readonly Uint8Array[], position: number): number {
    const { file, write } = this.#handle(handle, "write");
    if (!write) fail("EBADF", "write");
    let at = position;
    for (const view of views) {
      const old = file.size;
      file.grow(at + view.length);
      if (at > old) file.bytes.fill(0, old, at);
      file.bytes.set(view, at);
      at += view.length;
    }
    return at - position;
  }

  readv(handle: number, views: readonly Uint8Array[], position: number): number {
    const { file } = this.#handle(handle, "read");
    let at = position;
    for (const view of views) {
      const bytes = file.bytes.subarray(Math.min(at, file.size), Math.min(at + view.length, file.size));
      view.set(bytes);
      at += bytes.length;
    }
    return at - position;
  }

  fsync(handle: number): void {
    this.#handle(handle, "fsync");
  }

  fsyncDirectory(path: string): void {
    if (!(this.#find(path, "fsync") instanceof Directory)) fail("ENOTDIR", "fsync", path);
  }

  rename(from: string, to: string, options: { noReplace?: boolean } = {}): void {
    const source = this.#place(from, "rename");
    const target = this.#place(to, "rename");
    const node = source.parent.entries.get(source.name) ?? fail("ENOENT", "rename", from);
    const old = target.parent.entries.get(target.name);
    if (old !== undefined && options.noReplace) fail("EEXIST", "rename", to);
    if (old === node) return;
    if (old instanceof Directory) {
      if (!(node instanceof Directory)) fail("EISDIR", "rename", to);
      if (old.entries.size > 0) fail("ENOTEMPTY", "rename", to);
    } else if (old !== undefined && node instanceof Directory) fail("ENOTDIR", "rename", to);
    if (`${components(to, "rename").join("/")}/`.startsWith(`${components(from, "rename").join("/")}/`)) {
      fail("EINVAL", "rename", to);
    }
    source.parent.entries.delete(source.name);
    target.parent.entries.set(target.name, node);
  }

  mkdir(path: string, mode = 0o777): void {
    const { parent, name } = this.#place(path, "mkdir");
    if (parent.entries.has(name)) fail("EEXIST", "mkdir", path);
    parent.entries.set(name, new Directory(S_IFDIR | (mode & 0o777 & ~0o022)));
  }

  stat(path: string): FileStat {
    const node = this.#find(path, "stat");
    return { mode: node.mode, size: node instanceof File ? node.size : 0 };
  }

  unlink(path: string): void {
    const { parent, name } = this.#place(path, "unlink");
    const node = parent.entries.get(name) ?? fail("ENOENT", "unlink", path);
    if (node instanceof Directory) fail("EISDIR", "unlink", path);
    parent.entries.delete(name);
  }

  read(path: string): Uint8Array {
    const node = this.#find(path, "read");
    if (node instanceof Directory) fail("EISDIR", "read", path);
    return node.bytes.slice(0, node.size);
  }

  /** Every file's path, sorted, without a leading slash. */
  paths(): string[] {
    const found: string[] = [];
    const visit = (directory: Directory, prefix: string): void => {
      for (const [name, node] of directory.entries) {
        if (node instanceof Directory) visit(node, `${prefix}${name}/`);
        else found.push(prefix + name);
      }
    };
    visit(this.#root, "");
    return found.sort();
  }

  #handle(handle: number, operation: string): Handle {
    return this.#handles[handle] ?? fail("EBADF", operation);
  }

  #find(path: string, operation: string): File | Directory {
    let node: File | Directory = this.#root;
    for (const part of components(path, operation)) {
      if (!(node instanceof Directory)) fail("ENOTDIR", operation, path);
      node = node.entries.get(part) ?? fail("ENOENT", operation, path);
    }
    return node;
  }

  #place(path: string, operation: string): { parent: Directory; name: string } {
    const parts = components(path, operation);
    const name = parts.pop() ?? fail("EISDIR", operation, path);
    const parent = this.#find(parts.join("/"), operation);
    if (!(parent instanceof Directory)) fail("ENOTDIR", operation, path);
    return { parent, name };
  }
}

function fail(code: ErrnoName, operation: string, path?: string): never {
  throw new HostError(errno[code], code, operation, path);
}
