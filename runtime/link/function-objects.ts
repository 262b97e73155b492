/**
 * Static data of asc's output. An image takes none of it: abi places all data. The one exception are Function
 * objects, the compile-time stand-ins of function references, which text_address() turns into text addresses:
 *
 *     -20 mmInfo (0x1c)  -16 gcInfo  -12 gcInfo2  -8 rtId  -4 rtSize (8)   0 table index  4 environment (0)
 *
 * (AssemblyScript 0.28, std/assembly/rt/common.ts and std/assembly/function.ts). Zeros may be missing from
 * the segments, which binaryen splits and trims, so all segments are looked at as one sparse memory.
 */
import type { DataSegment, WasmModule } from "./module.ts";

const OBJECT_HEADER_SIZE = 20;
const FUNCTION_MM_INFO = 0x1c;
const FUNCTION_RT_SIZE = 8;
const FUNCTION_SIZE = 32;
const STRING_RT_ID = 2;
/** Characters of a string literal that a message shows. */
const TEXT_SHOWN = 40;

class SparseMemory {
  private readonly words = new Map<number, number>();

  constructor(segments: readonly DataSegment[]) {
    for (const { address, bytes } of segments) {
      bytes.forEach((byte, index) => {
        const at = address + index;
        const word = at - (at % 4);
        this.words.set(word, ((this.words.get(word) ?? 0) | (byte << ((at % 4) * 8))) >>> 0);
      });
    }
  }

  u32(address: number): number {
    return this.words.get(address) ?? 0;
  }

  /** Addresses of the words that are not zero, ascending. */
  occupied(): number[] {
    return [...this.words]
      .filter(([, word]) => word !== 0)
      .map(([at]) => at)
      .sort((a, b) => a - b);
  }
}

/** The text of the string object at `at`, whose first word is there; null when there is none. */
function stringAt(memory: SparseMemory, at: number): string | null {
  const size = memory.u32(at + 16);
  if (memory.u32(at + 12) !== STRING_RT_ID || size === 0 || size > memory.u32(at)) return null;
  let text = "";
  for (let offset = 0; offset < Math.min(size, TEXT_SHOWN * 2); offset += 2) {
    const from = at + OBJECT_HEADER_SIZE + offset;
    text += String.fromCharCode((memory.u32(from - (from % 4)) >>> ((from % 4) * 8)) & 0xffff);
  }
  return text;
}

/**
 * Finds the Function objects: address -> function (index in the file). Anything else in the data segments
 * is a problem, and so is an object whose function the optimiser has dropped from the table.
 */
export function findFunctionObjects(
  module: WasmModule,
  functionOfTableIndex: ReadonlyMap<number, number>,
  problems: string[],
): Map<number, number> {
  if (module.data.some((segment) => segment.passive)) problems.push("there is a passive data segment");
  const memory = new SparseMemory(module.data.filter((segment) => !segment.passive));
  const objects = new Map<number, number>();
  let next = 0;
  let lastUnknown = Number.NaN;
  for (const at of memory.occupied()) {
    if (at < next) continue;
    const isFunction =
      memory.u32(at) === FUNCTION_MM_INFO &&
      memory.u32(at + 12) > STRING_RT_ID &&
      memory.u32(at + 16) === FUNCTION_RT_SIZE &&
      memory.u32(at + 24) === 0;
    if (!isFunction) {
      const text = stringAt(memory, at);
      const address = `0x${at.toString(16)}`;
      if (text !== null) {
        problems.push(`string literal ${JSON.stringify(text)} at ${address} (write c\`...\`)`);
        next = at + 4 + memory.u32(at);
      } else {
        // One message for a run of data.
        if (at !== lastUnknown + 4) problems.push(`static data at ${address}`);
        lastUnknown = at;
      }
      continue;
    }
    const tableIndex = memory.u32(at + OBJECT_HEADER_SIZE);
    const target = functionOfTableIndex.get(tableIndex);
    if (target === undefined) {
      problems.push(`function reference ${tableIndex} is not in the table; compile with --exportTable`);
    } else {
      objects.set(at + OBJECT_HEADER_SIZE, target);
    }
    next = at + FUNCTION_SIZE;
  }
  return objects;
}
