/** Memory with erased parts: what a writer reads of it. */
import { describe, expect, it } from "vitest";
import { type ErasedRange, erasing } from "../../tools/dump/erased.ts";

const memory = Uint8Array.from({ length: 64 }, (_, n) => n);
const read = async (physical: number, length: number): Promise<Uint8Array> =>
  memory.subarray(physical, physical + length);
const X = 0x58;
const range = (physical: number, length: number, byte = X): ErasedRange => ({ physical, length, byte });

/** All 64 bytes, in reads of `size`. */
async function all(ranges: ErasedRange[], size: number): Promise<number[]> {
  const bytes: number[] = [];
  const erased = erasing(read, ranges);
  for (let at = 0; at < 64; at += size) bytes.push(...(await erased(at, Math.min(size, 64 - at))));
  return bytes;
}

describe("erasing", () => {
  it.each([1, 3, 8, 64])("the same in reads of %i bytes, and the source keeps its own", async (size) => {
    // One in another, two that overlap, one at the end.
    const ranges = [range(2, 20), range(5, 3, 0), range(18, 8, 1), range(40, 4), range(60, 9)];
    const expected = [...memory];
    for (const { physical, length, byte } of ranges) expected.fill(byte, physical, physical + length);
    expect(await all(ranges, size)).toEqual(expected.slice(0, 64));
    expect(memory[3]).toBe(3);
  });

  it("writes into the reader's array where that is what it was given", async () => {
    const into = new Uint8Array(8);
    const reader = async (physical: number, length: number, target?: Uint8Array) => {
      target?.set(memory.subarray(physical, physical + length));
      return target ?? memory.subarray(physical, physical + length);
    };
    const bytes = await erasing(reader, [range(4, 2)])(2, 8, into);
    expect(bytes).toBe(into);
    expect([...into]).toEqual([2, 3, X, X, 6, 7, 8, 9]);
  });

  it("without ranges it is the source itself", () => {
    expect(erasing(read, [])).toBe(read);
  });
});
