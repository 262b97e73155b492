import { describe, expect, it } from "vitest";
import { PageBitmap } from "../../tools/dump/page-bitmap.ts";
import { seededRandom } from "../support/vmcore.ts";

/** Pages of a bitmap. */
const pagesOf = (bitmap: PageBitmap): number[] =>
  Array.from({ length: bitmap.pages }, (_, pfn) => pfn).filter((pfn) => bitmap.has(pfn));

describe("ranges of a page bitmap", () => {
  it("come and go as their pages do one by one", () => {
    const random = seededRandom(5);
    const ranges = new PageBitmap(203);
    const single = new PageBitmap(203);
    for (let step = 0; step < 500; step++) {
      const from = random(204);
      const to = from + random(random(2) === 0 ? 12 : 204 - from + 1);
      const end = Math.min(to, 203);
      if (random(2) === 0) {
        ranges.addRange(from, end);
        for (let pfn = from; pfn < end; pfn++) single.add(pfn);
      } else {
        const before = single.count();
        for (let pfn = from; pfn < end; pfn++) single.remove(pfn);
        expect(ranges.removeRange(from, end)).toBe(before - single.count());
      }
      expect(pagesOf(ranges)).toEqual(pagesOf(single));
      expect(ranges.count()).toBe(pagesOf(ranges).length);
    }
  });
});
