/**
 * A machine stopped on its way from one image to the next, as bytes: what `--save-memory` leaves and
 * `capture` goes on from. The kernel's state is memory and nothing else, so little comes beside it.
 *
 *      0  char magic[8] "wkSnap\0\0"   u32 version (2)   u32 length of what follows
 *     16  JSON: memory size, seed, clock, APIC, random state, where the jump goes
 *         { u32 page; u32 count; u8 data[count * 4096] }...    pages of zeros are left out; ascending
 *         { 0xffffffff; 0 }
 *         u8 digest[32]: SHA-256 of all before
 */

import type { Hasher, Host } from "../adapter/host.ts";
import type { ApicState } from "./apic.ts";
import type { ClockState } from "./clock.ts";
import type { Machine } from "./machine.ts";
import { MEMORY_MAX, MEMORY_MIN, MEMORY_UNIT, PAGE_SIZE, type PhysicalMemory } from "./memory.ts";
import type { RandomState } from "./random.ts";

const MAGIC = "wkSnap\0\0";
const VERSION = 2;
const HEAD_SIZE = 16;
const CONFIG_MAX = 65536;
const RECORD_SIZE = 8;
const RECORD_PAGES_MAX = 256;
const END = 0xffffffff;
const DIGEST_SIZE = 32;

/** Pieces of a snapshot, in order, of any size; or all of it. */
export type SnapshotSource = Uint8Array | Iterable<Uint8Array>;

/** What a snapshot holds beside memory. */
export interface SnapshotConfig {
  /** Bytes of memory. */
  memory: number;
  seed: number;
  seeded: boolean;
  clock: ClockState;
  apic: ApicState;
  random: RandomState;
  /** The jump that was about to happen: physical addresses. */
  jump: { entry: number; arg: number };
}

/** The bytes are no snapshot, or a damaged one. */
export class SnapshotError extends Error {
  constructor(message: string) {
    super(`the saved memory is unusable: ${message}`);
    this.name = "SnapshotError";
  }
}

/**
 * The machine's snapshot, piece by piece. Pieces may be views of its memory: use each before taking the
 * next.
 */
export function* snapshotChunks(machine: Machine, jump: SnapshotConfig["jump"]): Generator<Uint8Array> {
  const { memory, seed, seeded, clock, apic, random } = machine;
  const hasher = machine.host.hasher();
  const config: SnapshotConfig = {
    memory: memory.size,
    seed,
    seeded,
    clock: clock.state,
    apic: apic.state,
    random: random.state,
    jump,
  };
  const text = new TextEncoder().encode(JSON.stringify(config));
  const head = new Uint8Array(HEAD_SIZE);
  const view = new DataView(head.buffer);
  for (let i = 0; i < MAGIC.length; i++) head[i] = MAGIC.charCodeAt(i);
  view.setUint32(8, VERSION, true);
  view.setUint32(12, text.length, true);
  for (const piece of [head, text]) {
    hasher.update(piece);
    yield piece;
  }
  for (const { page, count } of usedPages(memory)) {
    const record = recordHead(page, count);
    const data = memory.slice(page * PAGE_SIZE, count * PAGE_SIZE);
    hasher.update(record).update(data);
    yield record;
    yield data;
  }
  const end = recordHead(END, 0);
  yield end;
  yield hasher.update(end).digest();
}

function recordHead(page: number, count: number): Uint8Array {
  const record = new Uint8Array(RECORD_SIZE);
  const view = new DataView(record.buffer);
  view.setUint32(0, page, true);
  view.setUint32(4, count, true);
  return record;
}

/** Runs of pages with a byte that is not zero, at most RECORD_PAGES_MAX long. */
function* usedPages(memory: PhysicalMemory): Generator<{ page: number; count: number }> {
  const words = new Uint32Array(memory.bytes.buffer);
  const pages = memory.size / PAGE_SIZE;
  let start = 0;
  let count = 0;
  for (let page = 0; page < pages; page++) {
    const used = !isZero(words, (page * PAGE_SIZE) / 4);
    if (used && count === 0) start = page;
    if (used) count++;
    if (count > 0 && (!used || count === RECORD_PAGES_MAX)) {
      yield { page: start, count };
      count = 0;
    }
  }
  if (count > 0) yield { page: start, count };
}

/** Four words at a time: the scan of a large memory is what saving it costs. */
function isZero(words: Uint32Array, at: number): boolean {
  for (let i = at; i < at + PAGE_SIZE / 4; i += 4) {
    if ((words[i]! | words[i + 1]! | words[i + 2]! | words[i + 3]!) !== 0) return false;
  }
  return true;
}

/** Reads a snapshot: the configuration first, then memory into a machine made from it. */
export class SnapshotReader {
  readonly config: SnapshotConfig;
  readonly #bytes: ByteStream;

  /** SnapshotError when the source does not begin as a snapshot. */
  constructor(source: SnapshotSource, host: Host) {
    this.#bytes = new ByteStream(source, host.hasher());
    const head = this.#bytes.take(HEAD_SIZE);
    const view = new DataView(head.buffer, head.byteOffset);
    for (let i = 0; i < MAGIC.length; i++) {
      if (head[i] !== MAGIC.charCodeAt(i))
        throw new SnapshotError("it is not memory that was saved at purgatory");
    }
    const version = view.getUint32(8, true);
    if (version !== VERSION) throw new SnapshotError(`its version is ${version}, not ${VERSION}`);
    const length = view.getUint32(12, true);
    if (length > CONFIG_MAX) throw new SnapshotError("its configuration is too long");
    this.config = parseConfig(this.#bytes.take(length));
  }

  /**
   * Fills `machine`, fresh and of config.memory bytes with all of it zero. SnapshotError when the rest is
   * damaged.
   */
  restore(machine: Machine): void {
    const { memory } = machine;
    const pages = memory.size / PAGE_SIZE;
    for (let next = 0; ; ) {
      const record = this.#bytes.take(RECORD_SIZE);
      const view = new DataView(record.buffer, record.byteOffset);
      const page = view.getUint32(0, true);
      const count = view.getUint32(4, true);
      if (page === END && count === 0) break;
      if (page < next || count === 0 || count > RECORD_PAGES_MAX || page + count > pages) {
        throw new SnapshotError("a record lies outside memory or out of order");
      }
      memory.write(page * PAGE_SIZE, this.#bytes.take(count * PAGE_SIZE));
      next = page + count;
    }
    if (!this.#bytes.digestFollows()) throw new SnapshotError("its digest does not match");
    machine.clock.restore(this.config.clock);
    machine.apic.restore(this.config.apic);
    machine.random.state = this.config.random;
  }
}

/** Takes counted bytes off pieces of any size, hashing what it gives out. */
class ByteStream {
  readonly #pieces: Iterator<Uint8Array>;
  readonly #hasher: Hasher;
  #piece: Uint8Array = new Uint8Array(0);

  constructor(source: SnapshotSource, hasher: Hasher) {
    this.#pieces = (source instanceof Uint8Array ? [source] : source)[Symbol.iterator]();
    this.#hasher = hasher;
  }

  take(length: number): Uint8Array {
    const bytes = this.#read(length);
    this.#hasher.update(bytes);
    return bytes;
  }

  /** Whether what follows is the digest of all that was taken, and the end. */
  digestFollows(): boolean {
    const expected = this.#hasher.digest();
    const found = this.#read(DIGEST_SIZE);
    if (!expected.every((byte, i) => byte === found[i])) return false;
    if (!this.#fill()) return true;
    throw new SnapshotError("bytes follow its end");
  }

  #read(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      if (!this.#fill()) throw new SnapshotError("it ends too early");
      const part = this.#piece.subarray(0, length - at);
      bytes.set(part, at);
      at += part.length;
      this.#piece = this.#piece.subarray(part.length);
    }
    return bytes;
  }

  /** Whether there is another byte. */
  #fill(): boolean {
    while (this.#piece.length === 0) {
      const next = this.#pieces.next();
      if (next.done) return false;
      this.#piece = next.value;
    }
    return true;
  }
}

function parseConfig(bytes: Uint8Array): SnapshotConfig {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new SnapshotError("its configuration is damaged");
  }
  if (isConfig(value)) return value;
  throw new SnapshotError("its configuration is damaged");
}

function isConfig(value: unknown): value is SnapshotConfig {
  if (!isRecord(value)) return false;
  const { memory, seed, seeded, clock, apic, random, jump } = value;
  return (
    isUint(memory, MEMORY_MAX) &&
    memory >= MEMORY_MIN &&
    memory % MEMORY_UNIT === 0 &&
    isUint(seed) &&
    typeof seeded === "boolean" &&
    isRecord(clock) &&
    clock.virtual === seeded &&
    isUint(clock.now_ns, Number.MAX_SAFE_INTEGER) &&
    isUint(clock.start_s, Number.MAX_SAFE_INTEGER) &&
    isRandomState(clock.jitter) &&
    isApicState(apic) &&
    isRandomState(random) &&
    isRecord(jump) &&
    isUint(jump.entry) &&
    isUint(jump.arg)
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function isUint(value: unknown, max = 0xffffffff): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max;
}

function isApicState(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { deadline_ns, timer, pending, nmi } = value;
  const vectors = Array.isArray(pending) && pending.length <= 256 && pending.every((it) => isUint(it, 255));
  return vectors && isUint(deadline_ns, Number.MAX_SAFE_INTEGER) && isUint(timer) && typeof nmi === "boolean";
}

function isRandomState(value: unknown): boolean {
  return Array.isArray(value) && value.length === 4 && value.every((word) => isUint(word));
}
