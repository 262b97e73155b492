/**
 * asc's source map: decodeSourceMap() gives code offset -> file and line. A WebAssembly source map has one
 * generated "line" whose columns are offsets in the module file.
 */
import { LinkError } from "./error.ts";

export interface SourcePosition {
  file: string;
  /** From 1. */
  line: number;
  /** From 1. */
  column: number;
}

interface Mapping extends SourcePosition {
  offset: number;
}

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Base64 VLQ: the numbers of one segment. */
function decodeSegment(segment: string): number[] {
  const numbers: number[] = [];
  let value = 0;
  let shift = 0;
  for (const char of segment) {
    const digit = DIGITS.indexOf(char);
    if (digit < 0)
      throw new LinkError(`the source map has the character ${JSON.stringify(char)} in its mappings`);
    value += (digit & 31) * 2 ** shift;
    shift += 5;
    if (digit & 32) continue;
    numbers.push(value % 2 === 1 ? -Math.floor(value / 2) : value / 2);
    value = 0;
    shift = 0;
  }
  return numbers;
}

export class SourceMap {
  constructor(private readonly mappings: readonly Mapping[]) {}

  /** How many mappings lie at or before `offset`. */
  private count(offset: number): number {
    let low = 0;
    let high = this.mappings.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.mappings[middle] as Mapping).offset <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The source of the instruction at `offset`: the last mapping at or before it, but not before `from`. */
  lookup(offset: number, from: number): SourcePosition | null {
    const found = this.mappings[this.count(offset) - 1];
    return found === undefined || found.offset < from ? null : found;
  }

  /** The first mapping in [from, to). */
  first(from: number, to: number): SourcePosition | null {
    const found = this.mappings[this.count(from - 1)];
    return found === undefined || found.offset >= to ? null : found;
  }
}

/** Reads a version 3 source map. Throws LinkError when it is damaged. */
export function decodeSourceMap(json: string): SourceMap {
  let map: { version?: unknown; sources?: unknown; mappings?: unknown };
  try {
    map = JSON.parse(json);
  } catch {
    throw new LinkError("the source map is not JSON");
  }
  const { version, sources, mappings } = map;
  if (version !== 3 || !Array.isArray(sources) || typeof mappings !== "string") {
    throw new LinkError("the source map is not of version 3");
  }
  let offset = 0;
  let source = 0;
  let line = 0;
  let column = 0;
  const decoded: Mapping[] = [];
  for (const segment of mappings.split(",")) {
    const [offsetDelta, sourceDelta, lineDelta, columnDelta] = decodeSegment(segment);
    if (offsetDelta === undefined) continue;
    offset += offsetDelta;
    if (sourceDelta === undefined || lineDelta === undefined || columnDelta === undefined) continue;
    source += sourceDelta;
    line += lineDelta;
    column += columnDelta;
    const file: unknown = sources[source];
    if (typeof file !== "string")
      throw new LinkError(`the source map names source ${source}, which it has not`);
    decoded.push({ offset, file, line: line + 1, column: column + 1 });
  }
  return new SourceMap(decoded);
}
