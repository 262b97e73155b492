/**
 * FlattenedBytes: a flattened dump (makedumpfile -F) as the file that it would be rearranged to.
 *
 *     0      "makedumpfile", padded to 16 with zeros     then records, each
 *     16     type 1, 8 bytes, big endian                 0    offset, 8 bytes, big endian, -1 at the end
 *     24     version 1, likewise                         8    size, likewise
 *     4096   end of the header                           16   that many bytes, to be written at offset
 *
 * Records come in any order and may overlap: of two, the later one counts. What no record writes is zero.
 * Only the records' headers are read, once. Records of one size that continue each other on both sides, as
 * makedumpfile's buffers do, are one run, so the index has some thousands of entries for 100 GiB.
 */
import { type ByteSource, readExactly } from "./bytes.ts";
import { CachedBytes } from "./cached-bytes.ts";
import { ADVICE_DAMAGED, ADVICE_TRUNCATED, DumpError, hex } from "./error.ts";
import { upperBound } from "./upper-bound.ts";

export const FLAT_SIGNATURE = "makedumpfile";
export const FLAT_HEADER_SIZE = 4096;
export const FLAT_RECORD_SIZE = 16;
export const FLAT_TYPE = 1n;
export const FLAT_VERSION = 1n;
export const FLAT_END = -1n;
/** A dump has no holes: a file so many times as long as its stream has a record with a damaged offset. */
const HOLES_MAX = 16;
/** Runs that we keep, some 30 MiB of memory. */
const RUNS_MAX = 1 << 17;

/**
 * Records of `size` bytes each: the first's data lie at `from` of the flattened file, for `start` of the
 * other.
 */
interface Run {
  start: number;
  end: number;
  from: number;
  size: number;
}

/** A part of a run that no later one overwrites. */
interface Piece {
  start: number;
  end: number;
  run: Run;
}

export class FlattenedBytes implements ByteSource {
  private constructor(
    readonly name: string,
    readonly size: number,
    private readonly source: ByteSource,
    private readonly pieces: readonly Piece[],
    /** What is wrong with the file: it was cut off. */
    readonly problems: readonly string[],
  ) {}

  /** Whether a file that begins with these bytes is flattened. */
  static matches(start: Uint8Array): boolean {
    return [...FLAT_SIGNATURE].every((character, at) => start[at] === character.charCodeAt(0));
  }

  /** Reads the records' headers. Throws DumpError. */
  static async open(source: ByteSource): Promise<FlattenedBytes> {
    const header = await readExactly(source, 0, 32, "the flattened dump's header");
    const view = new DataView(header.buffer);
    const type = view.getBigInt64(16, false);
    const version = view.getBigInt64(24, false);
    if (type !== FLAT_TYPE || version !== FLAT_VERSION) {
      const what = `type ${type} and version ${version} of a flattened dump, expected 1 and 1`;
      throw new DumpError(`${source.name}, offset 0x10`, what, ADVICE_DAMAGED);
    }
    const problems: string[] = [];
    const runs = await readRuns(source, problems);
    const size = runs.reduce((most, { end }) => Math.max(most, end), 0);
    if (size > source.size * HOLES_MAX) {
      const what = `records for a file of ${hex(size)} bytes in a stream of ${hex(source.size)}`;
      throw new DumpError(`${source.name}, offset 0x1000`, what, ADVICE_DAMAGED);
    }
    return new FlattenedBytes(source.name, size, source, uncovered(runs), problems);
  }

  async pread(buffer: Uint8Array, offset: number): Promise<number> {
    const length = Math.max(0, Math.min(buffer.length, this.size - offset));
    buffer.fill(0, 0, length);
    let index = upperBound(this.pieces, offset, ({ end }) => end);
    let at = offset;
    while (at < offset + length) {
      const piece = this.pieces[index];
      if (piece === undefined || piece.start >= offset + length) break;
      at = Math.max(at, piece.start);
      const { run } = piece;
      const record = Math.floor((at - run.start) / run.size);
      const within = at - run.start - record * run.size;
      const stop = Math.min(offset + length, piece.end, at + run.size - within);
      const from = run.from + record * (run.size + FLAT_RECORD_SIZE) + within;
      const part = await readExactly(this.source, from, stop - at, `bytes ${hex(at)}..${hex(stop)}`);
      buffer.set(part, at - offset);
      at = stop;
      if (at >= piece.end) index++;
    }
    return length;
  }
}

async function readRuns(source: ByteSource, problems: string[]): Promise<Run[]> {
  const bytes = new CachedBytes(source);
  const runs: Run[] = [];
  for (let at = FLAT_HEADER_SIZE; ; ) {
    if (at + FLAT_RECORD_SIZE > source.size) {
      problems.push(`the flattened dump ends at ${hex(source.size)} without the record that ends it`);
      break;
    }
    const header = await bytes.view(at, FLAT_RECORD_SIZE, "a record's header");
    const view = new DataView(header.buffer, header.byteOffset);
    const offset = view.getBigInt64(0, false);
    const size = view.getBigInt64(8, false);
    if (offset === FLAT_END && size === FLAT_END) break;
    const limit = BigInt(Number.MAX_SAFE_INTEGER);
    if (offset < 0n || size < 0n || offset + size > limit) {
      const what = `a record for offset ${offset}, size ${size}: expected numbers from 0 on, or twice -1`;
      throw new DumpError(`${source.name}, offset ${hex(at)}`, what, ADVICE_DAMAGED);
    }
    const from = at + FLAT_RECORD_SIZE;
    const held = Math.min(Number(size), source.size - from);
    if (held < Number(size)) {
      problems.push(`the record at ${hex(at)} has ${hex(size)} bytes, of which ${hex(held)} are there`);
    }
    if (held > 0)
      addRecord(source, runs, { start: Number(offset), end: Number(offset) + held, from, size: held });
    at = from + Number(size);
    if (held < Number(size)) break;
  }
  if (runs.length === 0) {
    throw new DumpError(
      `${source.name}, offset 0x1000`,
      "a flattened dump without records",
      ADVICE_TRUNCATED,
    );
  }
  return runs;
}

function addRecord(source: ByteSource, runs: Run[], record: Run): void {
  const last = runs.at(-1);
  if (last !== undefined && last.end === record.start && last.size === record.size) {
    const records = (last.end - last.start) / last.size;
    // Empty records may lie between the two.
    if (last.from + records * (last.size + FLAT_RECORD_SIZE) === record.from) {
      last.end = record.end;
      return;
    }
  }
  if (runs.length >= RUNS_MAX) {
    const what = `more than ${RUNS_MAX} records that do not continue each other`;
    const advice = "Rebuild the dump first: makedumpfile -R NEWFILE < FILE.";
    throw new DumpError(`${source.name}, offset ${hex(record.from)}`, what, advice);
  }
  runs.push(record);
}

/** Cuts runs where a later one overwrites them; the result is ascending and disjoint. */
function uncovered(runs: readonly Run[]): Piece[] {
  const order = runs.map((_, index) => index).sort((a, b) => runs[a]!.start - runs[b]!.start);
  // The cuts are where a run begins or ends; between two of them the latest run that covers them counts.
  const active = new LatestRun();
  const pieces: Piece[] = [];
  const cuts = runs.flatMap(({ start, end }) => [start, end]).sort((a, b) => a - b);
  let next = 0;
  for (let at = 0; at + 1 < cuts.length; at++) {
    const start = cuts[at]!;
    const end = cuts[at + 1]!;
    if (start === end) continue;
    while (next < order.length && runs[order[next]!]!.start <= start) active.push(order[next++]!);
    while (active.top !== undefined && runs[active.top]!.end <= start) active.pop();
    if (active.top === undefined) continue;
    const run = runs[active.top]!;
    const last = pieces.at(-1);
    if (last !== undefined && last.run === run && last.end === start) last.end = end;
    else pieces.push({ start, end, run });
  }
  return pieces;
}

/** A heap of run numbers, the highest on top. */
class LatestRun {
  private readonly heap: number[] = [];

  get top(): number | undefined {
    return this.heap[0];
  }

  push(value: number): void {
    const { heap } = this;
    let at = heap.push(value) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]! >= value) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = value;
  }

  pop(): void {
    const { heap } = this;
    const value = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]! > heap[child]!) child++;
      if (heap[child]! <= value) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = value;
  }
}
