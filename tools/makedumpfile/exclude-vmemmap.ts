/**
 * makedumpfile -e: leaves out pages of the memory map whose structs all describe pages that are left out. As
 * the original does it: only where the map lies in huge pages, by whole words of the bitmaps, and never of
 * the last huge page.
 */
import { AddressSpace, type TableLevel } from "../dump/address-space.ts";
import { DumpError } from "../dump/error.ts";
import type { KernelDump } from "../dump/memory-source.ts";
import type { PageBitmap } from "../dump/page-bitmap.ts";
import { MemMap } from "./mem-map.ts";

/** What a PMD entry maps. */
const HUGE = 2 * 1024 * 1024;
/** Pages of a word of a bitmap, and of the piece of it that is looked at at a time (BUFSIZE_BITMAP). */
const WORD = 64;
const BLOCK = 4096 * 8;

/** Huge pages that are neighbours: structs of the pages [start, end) lie from page `pfn` on. */
interface Run {
  start: number;
  end: number;
  pfn: number;
}

/**
 * Takes them out of `dumped`; how many they are, or null when the memory map is none that this can be done
 * with.
 */
export async function excludeVmemmap(
  dump: KernelDump,
  exist: PageBitmap,
  dumped: PageBitmap,
): Promise<number | null> {
  const space = new AddressSpace(dump);
  const map = await MemMap.open(space, dump.vmcoreinfo, exist.pages);
  const start = map.address(0);
  // A struct larger than a page is damage.
  const none = start === null || map.pageStructSize > dump.pageSize;
  const runs = none ? null : await hugePages(space, start, exist.pages, map.pageStructSize);
  if (runs === null) return null;
  const unused: [from: number, to: number][] = [];
  for (const [from, to] of unusedWords(exist, dumped)) {
    const run = runs.find((it) => it.start <= from && to <= it.end);
    if (run === undefined) continue;
    const at = (pfn: number): number => (pfn - run.start) * map.pageStructSize;
    const first = run.pfn + Math.ceil(at(from) / dump.pageSize);
    unused.push([first, run.pfn + Math.floor(at(to) / dump.pageSize)]);
  }
  let count = 0;
  for (const [from, to] of unused) {
    for (let pfn = from; pfn < to; pfn++) dumped.remove(pfn);
    count += Math.max(0, to - from);
  }
  return count;
}

/** The huge pages of the map of `pages` pages; null where smaller or larger ones are among them. */
async function hugePages(
  space: AddressSpace,
  start: bigint,
  pages: number,
  structSize: number,
): Promise<Run[] | null> {
  const runs: Run[] = [];
  let open: (Run & { next: number }) | null = null;
  for (let offset = 0; offset < pages * structSize; offset += HUGE) {
    const physical = await hugePage(space, start + BigInt(offset));
    if (physical === "other") return null;
    const pfn = Math.floor(offset / structSize);
    if (open !== null && physical === open.next) {
      open.next += HUGE;
      open.end = Math.floor((offset + HUGE) / structSize);
    } else if (physical !== null) {
      open = {
        start: pfn,
        end: Math.floor((offset + HUGE) / structSize),
        pfn: physical / 4096,
        next: physical + HUGE,
      };
      runs.push(open);
    } else open = null;
  }
  // The original's last run ends before its last huge page.
  if (open !== null) open.end -= Math.floor(HUGE / structSize);
  return runs;
}

/** Where a huge page lies; null for none, "other" for what is no huge page. Throws DumpError. */
async function hugePage(space: AddressSpace, virtual: bigint): Promise<number | null | "other"> {
  let last: TableLevel = "PGD";
  let present = true;
  try {
    const { physical } = await space.walk(virtual, (level, _at, entry) => {
      last = level;
      present = (entry & 1n) !== 0n;
    });
    return (last as TableLevel) === "PMD" ? physical : "other";
  } catch (error) {
    if (!(error instanceof DumpError) || present) throw error;
    return (last as TableLevel) === "PTE" ? "other" : null;
  }
}

/** Runs of two words and more of pages that memory has, none of which is dumped. */
function* unusedWords(exist: PageBitmap, dumped: PageBitmap): Generator<[from: number, to: number]> {
  const is = (bitmap: PageBitmap, pfn: number, byte: number): boolean => {
    const bytes = bitmap.bytes.subarray(pfn / 8, (pfn + WORD) / 8);
    return bytes.length === WORD / 8 && bytes.every((it) => it === byte);
  };
  for (let block = 0; block < exist.pages; block += BLOCK) {
    let from = -1;
    for (let pfn = block; pfn <= block + BLOCK; pfn += WORD) {
      const unused = pfn < block + BLOCK && is(exist, pfn, 0xff) && is(dumped, pfn, 0);
      if (unused && from < 0) from = pfn;
      if (unused || from < 0) continue;
      if (pfn - from > WORD) yield [from, pfn];
      from = -1;
    }
  }
}
