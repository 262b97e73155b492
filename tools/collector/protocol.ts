/**
 * What a collector's thread and the main thread say to each other. The thread is told its job by a message
 * and answers by one that it is ready. From then on it asks through shared memory: it puts words and bytes
 * there and sleeps until the answer is in their place.
 */

/** Bytes that one question or answer moves; longer writes are several questions. */
export const PIECE = 1024 * 1024;

/** Words of the shared memory. 64-bit numbers are two words, the low one first. */
export const WORD = {
  state: 0,
  op: 1,
  /** Arguments of a question. */
  a: 2,
  b: 4,
  c: 6,
  /** Of an answer, and of the end: whether it is an error, whose text is in the bytes then. */
  error: 2,
  length: 3,
} as const;
const WORDS = 16;

export const STATE = { running: 0, asks: 1, ended: 2 } as const;

export const OP = {
  /** a: address, b: length. */
  readPhysical: 1,
  readVirtual: 2,
  /** a: how many; their numbers are in the bytes, 8 each. */
  readPages: 3,
  /** a: first, b: count, c: level. */
  pageStates: 4,
  /** a: offset, b: length of the bytes. */
  write: 5,
  /** a: done, b: total. */
  progress: 6,
} as const;

/** How the thread ended. */
export const END = { done: 0, error: 1, trap: 2 } as const;

/** The dump's description: the record `header` of the world, or why there is none. */
export type Description = { tag: "ok"; val: Record<string, unknown> } | { tag: "err"; val: string };

export interface Job {
  /** What checkComponent() has let through. */
  component: Uint8Array;
  /** Of jco's transpiler. */
  bindgen: string;
  /** Bytes. */
  memory: number;
  /** None: the component is only looked at. */
  run: { args: readonly string[]; description: Description; shared: SharedArrayBuffer } | null;
}

/** `wrong`: the component is none that can be run. */
export type Letter = { op: "ready" } | { op: "wrong"; text: string };

/** The shared memory. */
export class Channel {
  readonly words: Int32Array;
  readonly bytes: Uint8Array;

  constructor(readonly shared = new SharedArrayBuffer(WORDS * 4 + PIECE)) {
    this.words = new Int32Array(shared, 0, WORDS);
    this.bytes = new Uint8Array(shared, WORDS * 4, PIECE);
  }

  get(word: number): number {
    return this.words[word]! >>> 0;
  }

  put(word: number, value: number): void {
    this.words[word] = value | 0;
  }

  get64(word: number): bigint {
    return (BigInt(this.get(word + 1)) << 32n) | BigInt(this.get(word));
  }

  put64(word: number, value: bigint): void {
    this.put(word, Number(value & 0xffffffffn));
    this.put(word + 1, Number(value >> 32n));
  }

  /** Puts the bytes of a text, as many as there is room for; their number. */
  putText(text: string): number {
    // TextEncoder's encodeInto() refuses shared memory on some engines.
    const encoded = new TextEncoder().encode(text).subarray(0, PIECE);
    this.bytes.set(encoded);
    return encoded.length;
  }

  text(length: number): string {
    return new TextDecoder().decode(this.bytes.slice(0, length));
  }
}
