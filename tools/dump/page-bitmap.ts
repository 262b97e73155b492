/** PageBitmap: a set of pages by number, a bit each: 3 MiB for 100 GiB of memory. */

/** How many bits a byte has set. */
export const ONES = new Uint8Array(256);
for (let byte = 1; byte < 256; byte++) ONES[byte] = ONES[byte >> 1]! + (byte & 1);

export class PageBitmap {
  /**
   * For the pages below `pages`: none of them, or those that `bytes` has, page n as bit n & 7 of byte n >> 3.
   */
  constructor(
    readonly pages: number,
    readonly bytes: Uint8Array = new Uint8Array(Math.ceil(pages / 8)),
  ) {}

  has(pfn: number): boolean {
    return pfn < this.pages && ((this.bytes[pfn >>> 3]! >> (pfn & 7)) & 1) === 1;
  }

  add(pfn: number): void {
    this.bytes[pfn >>> 3]! |= 1 << (pfn & 7);
  }

  /** Adds the pages [from, to). */
  addRange(from: number, to: number): void {
    for (let pfn = from; pfn < to; ) {
      const bytes = (pfn & 7) === 0 ? (to - pfn) >>> 3 : 0;
      if (bytes === 0) this.add(pfn++);
      else {
        this.bytes.fill(0xff, pfn >>> 3, (pfn >>> 3) + bytes);
        pfn += bytes * 8;
      }
    }
  }

  remove(pfn: number): void {
    this.bytes[pfn >>> 3]! &= ~(1 << (pfn & 7));
  }

  /** Takes the pages [from, to) out; how many of them were in. */
  removeRange(from: number, to: number): number {
    let sum = 0;
    for (let pfn = from; pfn < to; ) {
      const at = pfn >>> 3;
      const next = Math.min(to, (at + 1) * 8);
      const mask = ((1 << (next - pfn)) - 1) << (pfn & 7);
      const byte = this.bytes[at]!;
      sum += ONES[byte & mask]!;
      this.bytes[at] = byte & ~mask;
      pfn = next;
    }
    return sum;
  }

  /** Pages in the set. */
  count(): number {
    let sum = 0;
    const { bytes } = this;
    for (let at = 0; at < bytes.length; at++) sum += ONES[bytes[at]!]!;
    return sum;
  }

  /** The first page from `pfn` on that is in the set, or `pages`. */
  next(pfn: number): number {
    let at = pfn;
    while (at < this.pages && !this.has(at)) at += (at & 7) === 0 && this.bytes[at >>> 3] === 0 ? 8 : 1;
    return Math.min(at, this.pages);
  }
}
