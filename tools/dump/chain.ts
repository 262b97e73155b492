/**
 * Chain: how threads share the pages of one file. The pages that are dumped make batches, which any thread
 * takes; their data go into the file in the order of the batches, so a thread that has packed one waits for
 * its turn, takes the place of its bytes and passes the turn on. Each thread has one batch at a time: the
 * queue is as long as there are threads, and the file is the same however many they are.
 */
import type { PageBitmap } from "./page-bitmap.ts";

/** Words of the state: the next batch to take, the one whose turn it is, batches written, and these. */
const NEXT = 0;
const TURN = 1;
const DONE = 2;
/** Not 0: something went wrong, all stop. */
const STOPPED = 3;
const ZERO = 4;
/** Behind them a float64, where the next bytes go; then the first page of each batch. */
const OFFSET = 24;
const FIRSTS = 32;

/** How long a thread that waits does not look around. */
const PATIENCE_MS = 10;

/** Another thread could not go on: what it was, that thread says. */
export class ChainStopped extends Error {
  override name = "ChainStopped";
}

export class Chain {
  private readonly words: Int32Array;
  private readonly offset: Float64Array;
  private readonly firsts: Uint32Array;

  /** The chain of another thread, by its `memory`. */
  constructor(readonly memory: ArrayBuffer | SharedArrayBuffer) {
    this.words = new Int32Array(memory, 0, OFFSET / 4);
    this.offset = new Float64Array(memory, OFFSET, 1);
    this.firsts = new Uint32Array(memory, FIRSTS);
  }

  /**
   * Batches of `size` pages each, the last one of fewer, of the pages in [start, end) that `dumped` has.
   * Their data begin at offset `at` of the file.
   */
  static of(
    dumped: PageBitmap,
    plan: { start: number; end: number; size: number; at: number; shared: boolean },
  ): Chain {
    const { start, end, size, at, shared } = plan;
    const firsts: number[] = [];
    let left = 0;
    for (let pfn = dumped.next(start); pfn < end; pfn = dumped.next(pfn + 1)) {
      if (left === 0) {
        firsts.push(pfn);
        left = size;
      }
      left--;
    }
    const bytes = FIRSTS + firsts.length * 4;
    const chain = new Chain(shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes));
    chain.firsts.set(firsts);
    chain.offset[0] = at;
    return chain;
  }

  get batches(): number {
    return this.firsts.length;
  }

  /** The first page of a batch. */
  first(batch: number): number {
    return this.firsts[batch]!;
  }

  /** The next batch, which is the caller's now; null when there is none. Throws ChainStopped. */
  take(): number | null {
    this.check();
    const batch = Atomics.add(this.words, NEXT, 1);
    return batch < this.batches ? batch : null;
  }

  /** Waits for the batch's turn. `idle` is called now and then meanwhile. Throws ChainStopped. */
  async turn(batch: number, idle?: () => Promise<void>): Promise<void> {
    for (;;) {
      const turn = Atomics.load(this.words, TURN);
      this.check();
      if (turn === batch) return;
      if (Atomics.wait(this.words, TURN, turn, PATIENCE_MS) === "timed-out") await idle?.();
    }
  }

  /** Takes the place of a batch's bytes in the file, in its turn, which ends. */
  place(bytes: number): number {
    const at = this.offset[0]!;
    this.offset[0] = at + bytes;
    Atomics.add(this.words, TURN, 1);
    this.wake();
    return at;
  }

  /** A batch is in the file; `zero` of its pages were zero. */
  finish(zero: number): void {
    Atomics.add(this.words, ZERO, zero);
    Atomics.add(this.words, DONE, 1);
  }

  /** Whoever takes or waits hears of it. */
  stop(): void {
    Atomics.store(this.words, STOPPED, 1);
    this.wake();
  }

  /** Batches that are in the file. */
  get done(): number {
    return Atomics.load(this.words, DONE);
  }

  /** Pages of zeros so far. */
  get zero(): number {
    return Atomics.load(this.words, ZERO) >>> 0;
  }

  /** Where the data of the last batch ended, when all are done. */
  get end(): number {
    return this.offset[0]!;
  }

  private wake(): void {
    Atomics.notify(this.words, TURN);
  }

  private check(): void {
    if (Atomics.load(this.words, STOPPED) !== 0) throw new ChainStopped("another thread has stopped");
  }
}
