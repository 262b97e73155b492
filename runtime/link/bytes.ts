/**
 * Reading and writing of WebAssembly's byte formats: ByteReader and ByteWriter, with LEB128 numbers, names
 * and vectors. Offsets are positions in the whole buffer, so that they can be compared with a source map's.
 */
import { LinkError } from "./error.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true });
const toUtf8 = new TextEncoder();

export class ByteReader {
  at: number;
  readonly end: number;

  constructor(
    readonly bytes: Uint8Array,
    at = 0,
    end = bytes.length,
  ) {
    this.at = at;
    this.end = end;
  }

  get done(): boolean {
    return this.at >= this.end;
  }

  u8(): number {
    const byte = this.bytes[this.at];
    if (byte === undefined || this.at >= this.end) {
      throw new LinkError(`the wasm module is truncated at offset 0x${this.at.toString(16)}`);
    }
    this.at++;
    return byte;
  }

  u32le(): number {
    return (this.u8() | (this.u8() << 8) | (this.u8() << 16) | (this.u8() << 24)) >>> 0;
  }

  /** Unsigned LEB128 of at most 32 bits. */
  uleb(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.u8();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new LinkError(`a LEB128 number is too long at offset 0x${this.at.toString(16)}`);
  }

  /** Signed LEB128 of 32 bits. */
  sleb32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.u8();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return shift < 28 && byte & 0x40 ? value | (-1 << (shift + 7)) : value;
    }
    throw new LinkError(`a LEB128 number is too long at offset 0x${this.at.toString(16)}`);
  }

  skipLeb(): void {
    while (this.u8() >= 0x80);
  }

  skip(count: number): void {
    if (count > this.end - this.at) {
      throw new LinkError(`the wasm module is truncated at offset 0x${this.end.toString(16)}`);
    }
    this.at += count;
  }

  take(count: number): Uint8Array {
    const from = this.at;
    this.skip(count);
    return this.bytes.subarray(from, this.at);
  }

  name(): string {
    return utf8.decode(this.take(this.uleb()));
  }

  /** A vector: its length, then what `item` reads for each element. */
  vec<T>(item: (index: number) => T): T[] {
    return Array.from({ length: this.uleb() }, (_, index) => item(index));
  }
}

export class ByteWriter {
  private buffer = new Uint8Array(1024);
  length = 0;

  private grow(count: number): void {
    const need = this.length + count;
    if (need <= this.buffer.length) return;
    const larger = new Uint8Array(Math.max(need, this.buffer.length * 2));
    larger.set(this.buffer.subarray(0, this.length));
    this.buffer = larger;
  }

  u8(...values: number[]): this {
    this.grow(values.length);
    for (const value of values) this.buffer[this.length++] = value;
    return this;
  }

  u16le(value: number): this {
    return this.u8(value & 0xff, (value >>> 8) & 0xff);
  }

  u32le(value: number): this {
    return this.u8(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24);
  }

  u64le(value: bigint): this {
    return this.u32le(Number(value & 0xffffffffn)).u32le(Number((value >> 32n) & 0xffffffffn));
  }

  bytes(bytes: Uint8Array): this {
    this.grow(bytes.length);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
    return this;
  }

  uleb(value: number): this {
    let rest = value;
    while (rest >= 0x80) {
      this.u8((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    return this.u8(rest);
  }

  /** Signed LEB128 of a safe integer. */
  sleb(value: number): this {
    let rest = value;
    for (;;) {
      const low = ((rest % 0x80) + 0x80) % 0x80;
      rest = Math.floor(rest / 0x80);
      if (rest === (low & 0x40 ? -1 : 0)) return this.u8(low);
      this.u8(low | 0x80);
    }
  }

  /**
   * An i32 as signed LEB128 in five bytes whatever its value, so that code size does not depend on
   * addresses.
   */
  sleb32Padded(value: number): this {
    const bits = value | 0;
    for (let shift = 0; shift < 28; shift += 7) this.u8(((bits >> shift) & 0x7f) | 0x80);
    return this.u8((bits >> 28) & 0x7f);
  }

  /** Zero as signed LEB128 in the ten bytes that any i64 fits into. */
  sleb64Zero(): this {
    for (let i = 0; i < 9; i++) this.u8(0x80);
    return this.u8(0);
  }

  name(text: string): this {
    const bytes = toUtf8.encode(text);
    return this.uleb(bytes.length).bytes(bytes);
  }

  vec<T>(items: readonly T[], item: (value: T) => void): this {
    this.uleb(items.length);
    for (const value of items) item(value);
    return this;
  }

  /** Fills with `byte` until the length is a multiple of `alignment`. */
  align(alignment: number, byte = 0): this {
    while (this.length % alignment !== 0) this.u8(byte);
    return this;
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.buffer.slice(0, this.length);
  }
}
