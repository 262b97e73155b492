/** Memory of which parts are erased on their way into another dump: by any writer, on any thread. */

import type { MemorySource } from "./memory-source.ts";
import { upperBound } from "./upper-bound.ts";

/** Plain data, so that it can be sent to a thread. */
export interface ErasedRange {
  /** The first byte's physical address. */
  physical: number;
  length: number;
  /** What each byte becomes. */
  byte: number;
}

type Read = MemorySource["read"];

/**
 * As `read`, with the ranges overwritten in their order: of two that overlap the later one counts. `ranges`
 * must begin at ascending addresses. What `read` gives is not written to, unless it lies in `into`.
 */
export function erasing(read: Read, ranges: readonly ErasedRange[]): Read {
  if (ranges.length === 0) return read;
  /** The largest end of all ranges up to each: where a search may stop. */
  const ends: number[] = [];
  for (const { physical, length } of ranges) ends.push(Math.max(ends.at(-1) ?? 0, physical + length));
  return async (physical, length, into) => {
    const bytes = await read(physical, length, into);
    let index = upperBound(ends, physical, (end) => end);
    let own = into !== undefined && bytes.buffer === into.buffer ? bytes : null;
    for (; index < ranges.length && ranges[index]!.physical < physical + length; index++) {
      const range = ranges[index]!;
      const from = Math.max(range.physical - physical, 0);
      const to = Math.min(range.physical + range.length - physical, length);
      if (from >= to) continue;
      own ??= bytes.slice();
      own.fill(range.byte, from, to);
    }
    return own ?? bytes;
  };
}
