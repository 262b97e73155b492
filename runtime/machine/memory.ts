/**
 * Physical memory: a shared WebAssembly.Memory from address 0. Addresses are unsigned numbers below 2^32
 * here; what comes from wasm as an i32 goes through `>>> 0` first. Reads and writes outside are RangeErrors
 * of the views: whoever takes an address from the kernel asks `has()` before.
 */

import type { Host } from "../adapter/host.ts";
import type { Random } from "./random.ts";

export const PAGE_SIZE = 4096;
/** Sizes of memory are multiples of this, the page of WebAssembly. */
export const MEMORY_UNIT = 65536;
export const MEMORY_MIN = 4 * 1024 * 1024;
export const MEMORY_MAX = 4096 * 1024 * 1024;
const SCRIBBLE_BLOCK = 16384;

export interface Range {
  start: number;
  length: number;
}

export class PhysicalMemory {
  readonly size: number;
  readonly wasm: WebAssembly.Memory;
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly view: DataView<SharedArrayBuffer>;

  /**
   * A size in bytes: MEMORY_MIN to MEMORY_MAX, a multiple of MEMORY_UNIT. Zeros that the host gives only
   * when touched. Or another thread's memory.
   */
  constructor(memory: number | WebAssembly.Memory) {
    if (typeof memory === "number") {
      const pages = memory / MEMORY_UNIT;
      this.wasm = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    } else this.wasm = memory;
    this.size = this.wasm.buffer.byteLength;
    const buffer = this.wasm.buffer as unknown as SharedArrayBuffer;
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
  }

  /** Whether [start, start + length) lies in memory. */
  has(start: number, length: number): boolean {
    return start >= 0 && length >= 0 && start + length <= this.size;
  }

  u8(pa: number): number {
    return this.view.getUint8(pa);
  }

  u16(pa: number): number {
    return this.view.getUint16(pa, true);
  }

  u32(pa: number): number {
    return this.view.getUint32(pa, true);
  }

  /** Exact up to 2^53. */
  u64(pa: number): number {
    return this.view.getUint32(pa + 4, true) * 0x1_0000_0000 + this.view.getUint32(pa, true);
  }

  setU8(pa: number, value: number): void {
    this.view.setUint8(pa, value);
  }

  setU16(pa: number, value: number): void {
    this.view.setUint16(pa, value, true);
  }

  setU32(pa: number, value: number): void {
    this.view.setUint32(pa, value, true);
  }

  /** `value` is a whole number from 0 to 2^53. */
  setU64(pa: number, value: number): void {
    this.view.setUint32(pa, value % 0x1_0000_0000, true);
    this.view.setUint32(pa + 4, Math.floor(value / 0x1_0000_0000), true);
  }

  /** The bytes themselves, not a copy. */
  slice(start: number, length: number): Uint8Array<SharedArrayBuffer> {
    return this.bytes.subarray(start, start + length);
  }

  /** A copy out of the shared memory, for engines' functions that take no shared views. */
  copy(start: number, length: number): Uint8Array<ArrayBuffer> {
    const copy = new Uint8Array(length);
    copy.set(this.bytes.subarray(start, start + length));
    return copy;
  }

  write(start: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, start);
  }

  zero(start: number, length: number): void {
    this.bytes.fill(0, start, start + length);
  }

  /**
   * Random bytes over [start, start + length). A block of them, over and over: drawing each byte anew would
   * cost more than the rest of a crash.
   */
  scribble(random: Random, { start, length }: Range): void {
    const block = new Uint32Array(SCRIBBLE_BLOCK / 4);
    random.fill(block);
    const bytes = new Uint8Array(block.buffer);
    for (let at = 0; at < length; at += SCRIBBLE_BLOCK) {
      this.bytes.set(bytes.subarray(0, Math.min(SCRIBBLE_BLOCK, length - at)), start + at);
    }
  }

  /**
   * A NUL-terminated string of at most `max` bytes with its NUL; undefined when it does not end before, or
   * in memory.
   */
  cString(start: number, max: number): string | undefined {
    const end = Math.min(start + max, this.size);
    const nul = start < end ? this.bytes.subarray(start, end).indexOf(0) : -1;
    return nul < 0 ? undefined : new TextDecoder().decode(this.copy(start, nul));
  }
}

/** SHA-256 over ranges of memory, one after another. */
export function hashRanges(memory: PhysicalMemory, host: Host, ranges: readonly Range[]): Uint8Array {
  const hasher = host.hasher();
  for (const { start, length } of ranges) hasher.update(memory.slice(start, length));
  return hasher.digest();
}
