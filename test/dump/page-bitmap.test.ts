/** Sets of pages: ranges of them, and what is counted and found. */
import { describe, expect, it } from "vitest";
import { PageBitmap } from "../../tools/dump/page-bitmap.ts";

describe("PageBitmap", () => {
  it.each([
    [0, 0],
    [3, 2],
    [0, 8],
    [1, 7],
    [5, 19],
    [8, 24],
    [7, 100],
    [0, 101],
  ])("has the pages from %i to before %i, and no others", (from, to) => {
    const bitmap = new PageBitmap(101);
    bitmap.addRange(from, to);
    const pages = Array.from({ length: 101 }, (_, pfn) => pfn);
    const wanted = pages.filter((pfn) => pfn >= from && pfn < to);
    expect(pages.filter((pfn) => bitmap.has(pfn))).toEqual(wanted);
    expect(bitmap.count()).toBe(wanted.length);
    expect(bitmap.next(0)).toBe(wanted[0] ?? 101);
  });
});
