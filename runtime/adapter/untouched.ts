/**
 * Which memory Linux has not given to this process yet, because nobody has touched it: it holds zeros.
 * Reading it to see them would have each page mapped by a page fault of its own, which takes most of a second
 * for a machine of 4 GiB. Linux's account of a process's pages is /proc/self/pagemap (see pagemap.rst of its
 * admin-guide); where a buffer lies only Bun tells.
 */

import * as fs from "node:fs";

const PAGE = 4096;
/** Bytes of an entry. In its upper half, bits 61 to 63: shared or a file's, in swap, present. */
const ENTRY = 8;
const SOMEWHERE = 0xe000_0000;
/** Entries that are read at a time. */
const WINDOW = 1 << 13;
/** Less than this is read sooner than looked up. */
const VIEW_MIN = 1 << 20;

/** Whether bytes [start, end) of the view that it was made for were never touched. */
export type Untouched = (start: number, end: number) => boolean;

/** Undefined where that cannot be known: every byte is to be read then. */
export function untouchedOf(view: Uint8Array): Untouched | undefined {
  // Other processors have pages of several sizes.
  if (process.platform !== "linux" || process.arch !== "x64" || view.length < VIEW_MIN) return undefined;
  const ffi = process.getBuiltinModule("bun:ffi") as { ptr(view: Uint8Array): number } | undefined;
  const address = ffi?.ptr(view);
  if (address === undefined || !isAnonymous(address, address + view.length)) return undefined;
  const end = Math.ceil((address + view.length) / PAGE);
  const pages = new PageMap(end, end - Math.floor(address / PAGE));
  return (from, to) => {
    const last = Math.ceil((address + to) / PAGE);
    for (let page = Math.floor((address + from) / PAGE); page < last; page++) {
      if (pages.isSomewhere(page)) return false;
    }
    return true;
  };
}

/** Whether one mapping without a file behind it, and of this process alone, has [start, end) in it. */
function isAnonymous(start: number, end: number): boolean {
  const maps = readProc(() => fs.readFileSync("/proc/self/maps", "latin1")) ?? "";
  return maps.split("\n").some((line) => {
    const mapping = /^([0-9a-f]+)-([0-9a-f]+) ...p 0+ 00:00 0 *(?:\[anon:.*)?$/.exec(line);
    if (mapping === null) return false;
    return Number.parseInt(mapping[1]!, 16) <= start && end <= Number.parseInt(mapping[2]!, 16);
  });
}

/** /proc/self/pagemap, asked from lower pages to higher ones. */
class PageMap {
  readonly #end: number;
  readonly #entries: Uint32Array<ArrayBuffer>;
  /** Which pages the entries are of. */
  #first = 0;
  #count = 0;

  /** So many pages below `end` will be asked for. */
  constructor(end: number, pages: number) {
    this.#end = end;
    this.#entries = new Uint32Array(2 * Math.min(WINDOW, pages));
  }

  /** Whether a page lies in memory or in swap; also when nobody knows. */
  isSomewhere(page: number): boolean {
    if (page < this.#first || page >= this.#first + this.#count) this.#read(page);
    const entry = this.#entries[2 * (page - this.#first) + 1];
    return page >= this.#first + this.#count || ((entry as number) & SOMEWHERE) !== 0;
  }

  #read(page: number): void {
    const length = Math.min(this.#entries.length / 2, this.#end - page) * ENTRY;
    const bytes = readProc(() => {
      const fd = fs.openSync("/proc/self/pagemap", "r");
      try {
        return fs.readSync(fd, new Uint8Array(this.#entries.buffer), 0, length, page * ENTRY);
      } finally {
        fs.closeSync(fd);
      }
    });
    this.#first = page;
    this.#count = Math.floor((bytes ?? 0) / ENTRY);
  }
}

/** Undefined where /proc is none of Linux's. */
function readProc<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
