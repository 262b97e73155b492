/**
 * Writing to descriptors: writeAll() one piece of memory, Writer many of them to a file, one behind the
 * other, in few system calls and with holes where there is nothing but zeros.
 */

import * as fs from "node:fs";
import type { Untouched } from "./untouched.ts";

/**
 * Larger writes are slower on every engine: one writeSync of 1 GiB runs at a fifth of the speed of these
 * pieces.
 */
export const PIECE = 1 << 20;
/** IOV_MAX of Linux: the views that one writev may take. */
const VIEWS_MAX = 1024;
/**
 * Zeros become holes in blocks of this size, at multiples of it in the file: smaller ones would cost more
 * system calls, and the file system more extents, than they save.
 */
export const HOLE = 1 << 16;
const ZEROS = Buffer.alloc(HOLE);

/** Writes all of `view`; regular files write short only when the disk is full, pipes at any time. */
export function writeAll(fd: number, view: Uint8Array, position: number | null): void {
  for (let done = 0; done < view.length; ) {
    const length = Math.min(PIECE, view.length - done);
    try {
      done += fs.writeSync(fd, view, done, length, position === null ? null : position + done);
    } catch (error) {
      // A pipe that another part of the process made non-blocking.
      if ((error as { code?: unknown }).code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

/**
 * Writes views to a regular file from a position on. Blocks of zeros beyond the file's end are left out, as
 * `cp --sparse=always` does: they read the same, and neither the disk nor the page cache needs to hold them.
 */
export class Writer {
  readonly #fd: number;
  /** Where the file ends: before that, zeros must be written over what is there. */
  readonly #end: number;
  /** What goes to `#at` by one call. */
  #batch: Uint8Array[] = [];
  #bytes = 0;
  #at: number;
  /** Whether what comes before `#at` was left out. */
  #hole = false;

  readonly #untouchedOf: ((view: Uint8Array) => Untouched | undefined) | undefined;

  /** `untouchedOf`: what untouched.ts offers, where there is such. */
  constructor(fd: number, position: number, untouchedOf?: (view: Uint8Array) => Untouched | undefined) {
    this.#fd = fd;
    this.#untouchedOf = untouchedOf;
    this.#at = position;
    this.#end = fs.fstatSync(fd).size;
  }

  put(view: Uint8Array): void {
    const buffer = Buffer.from(view.buffer, view.byteOffset, view.length);
    const untouched = this.#untouchedOf?.(view);
    let start = 0;
    for (let at = 0; at < view.length; ) {
      const position = this.#at + this.#bytes + (at - start);
      const end = Math.min(view.length, at + HOLE - (position % HOLE));
      // Most blocks with data in them begin with a byte of it: a look there is cheaper than a call.
      const hole =
        end - at === HOLE &&
        position >= this.#end &&
        (untouched?.(at, end) === true ||
          (buffer[at] === 0 && buffer.compare(ZEROS, 0, HOLE, at, end) === 0));
      if (hole) {
        this.#add(view.subarray(start, at));
        this.#flush();
        this.#at += HOLE;
        this.#hole = true;
        start = end;
      } else if (end - start > PIECE - HOLE) {
        this.#add(view.subarray(start, end));
        start = end;
      }
      at = end;
    }
    this.#add(view.subarray(start));
  }

  /** All is written, and the file as long as it must be. Returns where the last view ended. */
  finish(): number {
    this.#flush();
    if (this.#hole) fs.ftruncateSync(this.#fd, this.#at);
    return this.#at;
  }

  #add(view: Uint8Array): void {
    if (view.length === 0) return;
    if (this.#bytes + view.length > PIECE || this.#batch.length === VIEWS_MAX) this.#flush();
    this.#batch.push(view);
    this.#bytes += view.length;
  }

  #flush(): void {
    if (this.#bytes === 0) return;
    const [first] = this.#batch;
    if (this.#batch.length === 1) writeAll(this.#fd, first as Uint8Array, this.#at);
    else {
      const written = fs.writevSync(this.#fd, this.#batch, this.#at);
      // What a short write leaves goes view by view.
      let at = 0;
      for (const view of this.#batch) {
        const start = Math.max(0, written - at);
        if (start < view.length) writeAll(this.#fd, view.subarray(start), this.#at + at + start);
        at += view.length;
      }
    }
    this.#at += this.#bytes;
    this.#hole = false;
    this.#batch = [];
    this.#bytes = 0;
  }
}
