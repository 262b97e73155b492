/**
 * Fills memory to a share of it, as a machine that has worked for a while: text, zeros and random data in
 * files of the page cache, on a block device (pages with buffers) and in anonymous memory; when asked, also
 * in memory of the kernel's own: a RAM disk's pages, once what is in the page cache has been written to them
 * and dropped. Some of the files are deleted again, so that free memory is in pieces. What it writes comes
 * from /dev/urandom's first word, so from the machine's seed.
 */
import { O_CREAT, O_RDONLY, O_RDWR, O_WRONLY, type Proc, SyscallError } from "../../runtime/user/proc.ts";
import { echo, readText, writeText } from "./exec.ts";

/** The kernel parameter: percent of memory that is to be in use; words with a dot are for programs. */
export const FILL_PARAMETER = "wkdump.fill";

/** Of what kinds: weights, N:N:N:N. */
export const MIX_PARAMETER = "wkdump.mix";
/** Their names: files, block device, anonymous memory, the kernel's own pages. */
export const MIX_KINDS = ["cache", "cache_private", "user", "kernel"] as const;
/** Without --mix. */
const MIX_EVEN = [1, 1, 1, 0] as const;

/** Without --fill: as many pages of each kind, at most this share of what is free. */
const DEFAULT_PAGES = 96;
const DEFAULT_SHARE = 64;

const PAGE = 4096;
/** Pages that one step writes. */
const STEP_MIN = 4;
const STEP_MAX = 128;
/** One file in so many is deleted again. */
const DELETED = 4;
/** One piece of anonymous memory in so many is looked at again. */
const LOOKED_AT = 4;
/** Pages that stay free whatever is asked for: programs and the crash need a little. */
const KEEP_FREE = 128;
const SEEK_SET = 0;
const DIRECTORY = "/tmp";
const DEVICE = "/dev/ram0";
/** The disk for the kernel's pages. A swap area is at its beginning, if there is one (swap.ts). */
const KERNEL_DEVICE = "/dev/ram1";
/** One page in so many may be in the page cache and on that disk at once. */
const TWICE = 64;
const DROP_CACHES = "/proc/sys/vm/drop_caches";
/** The page cache's clean pages; no message from then on. */
const DROP_PAGECACHE = "1\n";
const QUIETLY = "4\n";

const WORDS =
  "kernel memory page cache buffer anonymous inode dentry mount crash dump capture reserve region panic " +
  "notes elf header segment purgatory digest backup vmcore task stack thread signal timer queue lock";

/** xorshift32: fast, and the same on every engine. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed === 0 ? 1 : seed;
  }

  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x >>> 0;
  }

  below(limit: number): number {
    return this.next() % limit;
  }

  /** What as many next() would give, with the state in a local. */
  fill(words: Uint32Array): void {
    let x = this.#state;
    for (let i = 0; i < words.length; i++) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      words[i] = x;
    }
    this.#state = x;
  }
}

/** Makes the data, page by page: half text, a quarter zeros, a quarter random. */
class Contents {
  readonly #random: Random;
  readonly #text: Uint8Array;
  readonly #bytes = new Uint8Array(STEP_MAX * PAGE);

  constructor(random: Random) {
    this.#random = random;
    const words = WORDS.split(" ");
    let text = "";
    while (text.length < 16 * PAGE) text += `${words[random.below(words.length)]} `;
    this.#text = new TextEncoder().encode(text);
  }

  /** Valid until the next call. */
  pages(count: number): Uint8Array {
    for (let page = 0; page < count; page++) this.#page(page * PAGE);
    return this.#bytes.subarray(0, count * PAGE);
  }

  #page(at: number): void {
    const kind = this.#random.below(4);
    if (kind === 0) this.#bytes.fill(0, at, at + PAGE);
    else if (kind === 1) this.#random.fill(new Uint32Array(this.#bytes.buffer, at, PAGE / 4));
    else {
      const from = this.#random.below(this.#text.length - PAGE);
      this.#bytes.set(this.#text.subarray(from, from + PAGE), at);
    }
  }
}

/** Where data goes; each takes whole pages. */
class Places {
  readonly #proc: Proc;
  readonly #random: Random;
  readonly #deleting: boolean;
  readonly #memory: { address: number; length: number }[] = [];
  /** Where the kernel's pages begin on their disk, and how many bytes may wait in the page cache. */
  readonly #kernelStart: number;
  readonly #waitingMax: number;
  #files = 0;
  #device = -1;
  #kernelDevice = -1;
  /** Bytes for the kernel's pages that are still in the page cache. */
  #waiting = 0;

  /** `deleting`: some of the files go again. `total` and `swap`: pages. */
  constructor(
    proc: Proc,
    random: Random,
    deleting: boolean,
    { total, swap }: { total: number; swap: number },
  ) {
    this.#proc = proc;
    this.#random = random;
    this.#deleting = deleting;
    // The area's header is no part of SwapTotal.
    this.#kernelStart = swap === 0 ? 0 : (swap + 1) * PAGE;
    this.#waitingMax = Math.floor(total / TWICE) * PAGE;
  }

  async put(kind: number, data: Uint8Array): Promise<void> {
    const name = MIX_KINDS[kind];
    if (name === "cache") await this.#file(data);
    else if (name === "cache_private") await this.#block(data);
    else if (name === "kernel") await this.#kernel(data);
    else this.#memory.push({ address: await this.#proc.sbrk(data), length: data.length });
  }

  /** What is for the kernel's pages alone is in no page cache any more. */
  async settle(): Promise<void> {
    if (this.#waiting === 0) return;
    this.#waiting = 0;
    await this.#proc.fsync(this.#kernelDevice);
    await writeText(this.#proc, DROP_CACHES, DROP_PAGECACHE);
  }

  /** Looks at some of the anonymous memory again: what was swapped out is in both places then. */
  async look(): Promise<void> {
    for (const { address, length } of this.#memory.filter((_, i) => i % LOOKED_AT === 0)) {
      await this.#proc.load(address, new Uint8Array(length));
    }
  }

  async #file(data: Uint8Array): Promise<void> {
    const path = `${DIRECTORY}/fill-${this.#files++}`;
    const fd = await this.#proc.open(path, O_WRONLY | O_CREAT, 0o600);
    try {
      await this.#proc.write(fd, data);
    } finally {
      await this.#proc.close(fd);
      if (this.#deleting && this.#random.below(DELETED) === 0) await this.#proc.unlink(path);
    }
  }

  async #block(data: Uint8Array): Promise<void> {
    if (this.#device < 0) this.#device = await this.#proc.open(DEVICE, O_RDWR);
    await this.#proc.write(this.#device, data);
  }

  async #kernel(data: Uint8Array): Promise<void> {
    if (this.#kernelDevice < 0) {
      this.#kernelDevice = await this.#proc.open(KERNEL_DEVICE, O_RDWR);
      await this.#proc.lseek(this.#kernelDevice, this.#kernelStart, SEEK_SET);
      await writeText(this.#proc, DROP_CACHES, QUIETLY);
    }
    await this.#proc.write(this.#kernelDevice, data);
    this.#waiting += data.length;
    if (this.#waiting >= this.#waitingMax) await this.settle();
  }
}

/** What there is and what is free, in memory and in swap areas, in pages. */
async function memory(proc: Proc): Promise<{ total: number; free: number; swap: number }> {
  const text = await readText(proc, "/proc/meminfo");
  const pages = (name: string): number => {
    const kilobytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1];
    return Number(kilobytes ?? 0) / 4;
  };
  const swap = pages("SwapTotal");
  return { total: pages("MemTotal") + swap, free: pages("MemFree") + pages("SwapFree"), swap };
}

/** A word from the kernel's generator. */
export async function randomSeed(proc: Proc): Promise<number> {
  const fd = await proc.open("/dev/urandom", O_RDONLY);
  const word = new Uint8Array(4);
  await proc.read(fd, word);
  await proc.close(fd);
  return new DataView(word.buffer).getUint32(0, true);
}

/**
 * Fills until `percent` of memory is in use; without it a little of each kind. Ends early, and says so, when
 * the machine has no more to give.
 */
export async function fillMemory(
  proc: Proc,
  percent: number | undefined,
  mix: readonly number[] = MIX_EVEN,
): Promise<void> {
  try {
    await fill(proc, percent, mix);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    await echo(proc, `init: filling memory: ${error.syscall}: ${error.code}`);
  }
}

async function fill(proc: Proc, percent: number | undefined, mix: readonly number[]): Promise<void> {
  const { total, free, swap } = await memory(proc);
  const random = new Random(await randomSeed(proc));
  const places = new Places(proc, random, percent !== undefined, { total, swap });
  const contents = new Contents(random);
  await makeDirectory(proc);
  // With a swap area the kernel's reserve of memory is all that is free when the area is full.
  const keep = swap > 0 ? 2 * KEEP_FREE : KEEP_FREE;
  const goal = percent === undefined ? 0 : Math.max(Math.floor(total * (1 - percent / 100)), keep);
  if (free <= goal) return;
  // Some of each kind, also where the rest has no room for all.
  const pages = Math.max(1, Math.min(DEFAULT_PAGES, Math.floor(free / DEFAULT_SHARE)));
  const some = percent === undefined ? pages : Math.min(pages, STEP_MIN);
  for (const kind of MIX_KINDS.keys()) if (mix[kind]) await places.put(kind, contents.pages(some));
  await places.settle();
  if (percent === undefined) return;
  let left = (await memory(proc)).free;
  for (let before = Number.POSITIVE_INFINITY; left > goal && left < before; ) {
    await fillSteps(places, contents, () => kindOf(random, mix), left - goal, random);
    before = left;
    left = (await memory(proc)).free;
  }
  if (swap > 0) await places.look();
}

async function makeDirectory(proc: Proc): Promise<void> {
  try {
    await proc.mkdir(DIRECTORY, 0o777);
  } catch (error) {
    if (!(error instanceof SyscallError) || error.code !== "EEXIST") throw error;
  }
}

/** A kind of page, by the weights. */
function kindOf(random: Random, mix: readonly number[]): number {
  let at = random.below(mix.reduce((sum, weight) => sum + weight, 0));
  return mix.findIndex((weight) => {
    at -= weight;
    return at < 0;
  });
}

/** Writes about `pages`, less what page tables and buffers will take and deleted files give back. */
async function fillSteps(
  places: Places,
  contents: Contents,
  kind: () => number,
  pages: number,
  random: Random,
): Promise<void> {
  const some = Math.max(1, Math.floor((pages * 15) / 16));
  for (let done = 0; done < some; ) {
    const step = Math.min(some - done, STEP_MIN + random.below(STEP_MAX - STEP_MIN + 1));
    await places.put(kind(), contents.pages(step));
    done += step;
  }
  await places.settle();
}
