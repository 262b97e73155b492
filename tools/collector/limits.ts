/**
 * The memory limit: it is written into the core modules before an engine sees them, as the most that their
 * memories and tables may have. What would grow beyond is refused by memory.grow(), as when a host has no
 * more. Memory that no such number bounds, the objects of a garbage collector, is not given at all.
 */
import { formatSize } from "../size.ts";
import { BinaryReader, join, PREAMBLE_SIZE, sections, skipReference } from "./binary.ts";
import { CollectorError } from "./error.ts";

const PAGE = 65536;
/** Of all tables together; functions are what they hold. */
const TABLE_ENTRIES_MAX = 1_000_000;
const SECTION = { type: 1, table: 4, memory: 5 } as const;
const TYPE_FUNCTION = 0x60;
/** In the flags of limits: there is a most. The others are of memories that are shared or of 64 bits. */
const HAS_MOST = 1;

interface Limits {
  flags: number;
  least: number;
  most: number | null;
}

/** What one of the modules declares: number of bytes and entries that it begins with. */
interface Declared {
  memories: Limits[];
  tables: { type: Uint8Array; limits: Limits }[];
}

function readLimits(reader: BinaryReader, unit: string): Limits {
  const flags = reader.byte();
  if ((flags & ~HAS_MOST) !== 0) {
    throw new CollectorError(`it has a ${unit} that is shared, of 64 bits, or of pages of its own size`);
  }
  const least = reader.number();
  return { flags, least, most: (flags & HAS_MOST) === 0 ? null : reader.number() };
}

function declared(module: Uint8Array): Declared {
  const found: Declared = { memories: [], tables: [] };
  for (const { id, from, end } of sections(module)) {
    const reader = new BinaryReader(module, from, end);
    if (id === SECTION.type) checkTypes(reader);
    else if (id === SECTION.memory) {
      for (let left = reader.number(); left > 0; left--) found.memories.push(readLimits(reader, "memory"));
    } else if (id === SECTION.table) {
      for (let left = reader.number(); left > 0; left--) {
        const start = reader.at;
        skipReference(reader);
        const type = module.subarray(start, reader.at);
        // 0x40 begins a table with an expression that says what is in it.
        if (type[0] === 0x40) throw new CollectorError("it has a table with an initial value");
        found.tables.push({ type, limits: readLimits(reader, "table") });
      }
    }
  }
  return found;
}

/** Functions alone: structs and arrays live on a heap that has no limit. */
function checkTypes(reader: BinaryReader): void {
  for (let left = reader.number(); left > 0; left--) {
    if (reader.byte() !== TYPE_FUNCTION) {
      throw new CollectorError("it has objects for a garbage collector, whose memory cannot be limited");
    }
    for (let lists = 2; lists > 0; lists--) {
      for (let values = reader.number(); values > 0; values--) skipReference(reader);
    }
  }
}

/**
 * The modules with no more than `limit` bytes of memory: what they begin with, and equal parts of the rest
 * for each memory that may grow. CollectorError when they begin with more.
 */
export function limitMemory(
  modules: ReadonlyMap<string, Uint8Array>,
  limit: number,
): Map<string, Uint8Array> {
  const all = [...modules].map(([name, module]) => ({ name, module, found: declared(module) }));
  const memories = all.flatMap(({ found }) => found.memories);
  const tables = all.flatMap(({ found }) => found.tables.map(({ limits }) => limits));
  const room = share(memories, Math.floor(limit / PAGE), () => {
    const needed = formatSize(memories.reduce((sum, { least }) => sum + least, 0) * PAGE);
    return `it needs ${needed} of memory to begin with, and the limit is ${formatSize(limit)}`;
  });
  const entries = share(tables, TABLE_ENTRIES_MAX, () => `its tables have over ${TABLE_ENTRIES_MAX} entries`);
  return new Map(all.map(({ name, module, found }) => [name, rewrite(module, found, room, entries)]));
}

/** What each that may grow may have beyond its least. */
function share(all: readonly Limits[], limit: number, complaint: () => string): number {
  const begin = all.reduce((sum, { least }) => sum + least, 0);
  if (begin > limit) throw new CollectorError(complaint());
  const growing = all.filter(({ least, most }) => most === null || most > least).length;
  return Math.floor((limit - begin) / Math.max(1, growing));
}

function rewrite(module: Uint8Array, found: Declared, room: number, entries: number): Uint8Array {
  const pieces: Uint8Array[] = [module.subarray(0, PREAMBLE_SIZE)];
  const put = (id: number, entries: number[][]): void => {
    const content = [...leb(entries.length), ...entries.flat()];
    pieces.push(Uint8Array.from([id, ...leb(content.length), ...content]));
  };
  for (const { id, start, end } of sections(module)) {
    if (id === SECTION.memory) {
      put(
        id,
        found.memories.map((limits) => bounded(limits, room)),
      );
    } else if (id === SECTION.table) {
      put(
        id,
        found.tables.map(({ type, limits }) => [...type, ...bounded(limits, entries)]),
      );
    } else pieces.push(module.subarray(start, end));
  }
  return join(pieces);
}

function bounded({ least, most }: Limits, room: number): number[] {
  return [HAS_MOST, ...leb(least), ...leb(Math.min(most ?? Number.POSITIVE_INFINITY, least + room))];
}

function leb(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 128);
  }
}
