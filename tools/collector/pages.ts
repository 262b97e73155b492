/**
 * Page states as a collector asks for them: what a dump level makes of each page, and by which rule. The
 * pages are looked at once, for one level.
 */
import type { KernelDump } from "../dump/memory-source.ts";
import { PageBitmap } from "../dump/page-bitmap.ts";
import { upperBound } from "../dump/upper-bound.ts";
import { type Excluded, excludePages } from "../makedumpfile/filter.ts";

/** The bytes of page-states() in kernel-wasm/collector/collector.wit. */
const STATES: Record<keyof Excluded | "missing" | "kept" | "before", number> = {
  missing: 0,
  kept: 1,
  before: 2,
  cache: 4,
  cachePrivate: 5,
  user: 6,
  free: 7,
  hwpoison: 8,
  offline: 9,
};

/** A block that a rule leaves out. */
interface Block {
  state: number;
  first: number;
  end: number;
}

export class PageStates {
  private constructor(
    readonly level: number,
    private readonly exist: PageBitmap,
    private readonly before: PageBitmap,
    /** In ascending order; those that follow each other by one rule are one. */
    private readonly blocks: readonly Block[],
  ) {}

  /** Throws DumpError when the memory map cannot be found. */
  static async of(dump: KernelDump, level: number): Promise<PageStates> {
    const { exist, dumped } = await dump.pages();
    const before = new PageBitmap(dumped.pages, dumped.bytes.slice());
    const blocks: Block[] = [];
    await excludePages(dump, level, exist, dumped, (rule, pfn, pages) => {
      const state = STATES[rule];
      const last = blocks.at(-1);
      if (last?.end === pfn && last.state === state) last.end = pfn + pages;
      else blocks.push({ state, first: pfn, end: pfn + pages });
    });
    return new PageStates(level, exist, before, blocks);
  }

  /** The states of pages first .. first + into.length - 1. */
  fill(first: number, into: Uint8Array): void {
    for (let n = 0; n < into.length; n++) {
      const kept = this.before.has(first + n);
      into[n] = kept ? STATES.kept : this.exist.has(first + n) ? STATES.before : STATES.missing;
    }
    for (let n = upperBound(this.blocks, first, ({ end }) => end); n < this.blocks.length; n++) {
      const { state, first: start, end } = this.blocks[n]!;
      if (start >= first + into.length) break;
      for (let pfn = Math.max(start, first); pfn < Math.min(end, first + into.length); pfn++) {
        if (into[pfn - first] === STATES.kept) into[pfn - first] = state;
      }
    }
  }
}
