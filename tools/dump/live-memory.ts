/** LiveMemory: physical memory as it lies in an array, a machine's own or a part of it, as a MemorySource. */
import { DumpError, hex } from "./error.ts";
import { type MemorySource, type PageState, type PhysicalRange, READ_MAX } from "./memory-source.ts";

export class LiveMemory implements MemorySource {
  readonly end: number;

  /**
   * @param memory byte n is physical address n; may be a view over shared memory that goes on changing
   * @param ranges what of it is RAM, ascending and disjoint; all of it when not given
   */
  constructor(
    readonly name: string,
    private readonly memory: Uint8Array,
    readonly pageSize: number,
    private readonly ranges: readonly PhysicalRange[] = [{ start: 0, end: memory.length }],
  ) {
    this.end = memory.length;
  }

  async read(physical: number, length: number): Promise<Uint8Array> {
    let at = physical;
    for (const { start, end } of this.ranges)
      if (start <= at && at < end) at = Math.min(end, physical + length);
    if (!(physical >= 0 && length >= 0 && length <= READ_MAX) || at < physical + length) {
      throw new DumpError(this.name, `no memory at physical address ${hex(at)}`, "Its address is damaged.");
    }
    return this.memory.slice(physical, physical + length);
  }

  async pageState(pfn: number): Promise<PageState> {
    const from = pfn * this.pageSize;
    const found = this.ranges.some(({ start, end }) => start < from + this.pageSize && from < end);
    return found ? "present" : "missing";
  }

  async held(): Promise<number> {
    return this.ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  }
}
