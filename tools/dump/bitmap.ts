/**
 * Bitmap: one of a compressed dump's bitmaps, read piece by piece, with the number of bits set before each
 * piece, so that the n-th page's descriptor is found without reading the bitmap from its start. The index has
 * one number for 32768 pages: 800 for 100 GiB.
 */
import type { CachedBytes } from "./cached-bytes.ts";
import { ONES, PageBitmap } from "./page-bitmap.ts";

const PIECE_BYTES = 4096;
const PIECE_BITS = PIECE_BYTES * 8;

export class Bitmap {
  /** Bits set before piece n, as far as somebody asked. */
  private readonly before: number[] = [0];
  /** The last answer of rank(), where sequential readers go on. */
  private lastBit = 0;
  private lastRank = 0;

  /**
   * `bits` bits at `offset` of the file: bit n is bit n & 7 of byte n >> 3. The caller has checked the range.
   */
  constructor(
    private readonly bytes: CachedBytes,
    private readonly offset: number,
    readonly bits: number,
    private readonly what: string,
  ) {}

  async test(bit: number): Promise<boolean> {
    if (!(bit >= 0 && bit < this.bits)) return false;
    const index = Math.floor(bit / 8);
    const piece = await this.bytes.view(this.offset + index, 1, this.what);
    return ((piece[0]! >> (bit % 8)) & 1) === 1;
  }

  /** The number of bits set below `below`: all of them beyond the end, wherever damage makes that. */
  async rank(below: number): Promise<number> {
    const bit = Math.min(below, this.bits);
    const piece = Math.floor(bit / PIECE_BITS);
    while (this.before.length <= piece) {
      const n = this.before.length - 1;
      this.before.push(this.before[n]! + (await this.count(n * PIECE_BITS, (n + 1) * PIECE_BITS)));
    }
    const start = piece * PIECE_BITS;
    const near = this.lastBit >= start && this.lastBit <= bit;
    const from = near ? this.lastBit : start;
    const rank = (near ? this.lastRank : this.before[piece]!) + (await this.count(from, bit));
    this.lastBit = bit;
    this.lastRank = rank;
    return rank;
  }

  /** All bits set. */
  total(): Promise<number> {
    return this.rank(this.bits);
  }

  /** The whole bitmap. */
  async all(): Promise<PageBitmap> {
    const bitmap = new PageBitmap(this.bits);
    const { bytes } = bitmap;
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const length = Math.min(PIECE_BYTES, bytes.length - at);
      bytes.set(await this.bytes.view(this.offset + at, length, this.what), at);
    }
    // What stands behind the last page is no page.
    if (this.bits % 8 !== 0) bytes[bytes.length - 1]! &= (1 << (this.bits % 8)) - 1;
    return bitmap;
  }

  /** Bits set in [from, to), of which at most PIECE_BITS lie before the end. */
  private async count(from: number, to: number): Promise<number> {
    const end = Math.min(to, this.bits);
    if (from >= end) return 0;
    const first = Math.floor(from / 8);
    const length = Math.ceil(end / 8) - first;
    const view = await this.bytes.view(this.offset + first, length, this.what);
    let sum = 0;
    for (let at = 0; at < length; at++) {
      let byte = view[at]!;
      if (at === 0) byte &= 0xff << (from % 8);
      if (at === length - 1 && end % 8 !== 0) byte &= (1 << (end % 8)) - 1;
      sum += ONES[byte]!;
    }
    return sum;
  }
}
