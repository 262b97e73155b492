/** Cursor: the numbers of DWARF, little-endian, from bytes in memory. */

/** The bytes ended too early: the caller knows whether there are more of them. */
export class ShortError extends Error {
  override name = "ShortError";
}

const decoder = new TextDecoder();

export class Cursor {
  at = 0;
  bytes: Uint8Array = new Uint8Array(0);

  /** Goes on in `bytes` from index `at`. */
  set(bytes: Uint8Array, at = 0): this {
    this.bytes = bytes;
    this.at = at;
    return this;
  }

  /** Moves over `count` bytes; the index of the first of them. */
  skip(count: number): number {
    const at = this.at;
    // A length from a damaged file may be any number: never backwards.
    if (!(count >= 0 && at + count <= this.bytes.length)) throw new ShortError();
    this.at = at + count;
    return at;
  }

  u8(): number {
    return this.bytes[this.skip(1)]!;
  }

  u16(): number {
    const at = this.skip(2);
    return this.bytes[at]! | (this.bytes[at + 1]! << 8);
  }

  u24(): number {
    const at = this.skip(3);
    return this.bytes[at]! | (this.bytes[at + 1]! << 8) | (this.bytes[at + 2]! << 16);
  }

  u32(): number {
    const { bytes } = this;
    const at = this.skip(4);
    return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
  }

  u64(): bigint {
    const low = this.u32();
    return (BigInt(this.u32()) << 32n) | BigInt(low);
  }

  /** As a number: exact up to 2^53, above it only large. */
  u64Number(): number {
    const low = this.u32();
    return this.u32() * 2 ** 32 + low;
  }

  /** Exact up to 2^53; a longer number is only large. */
  uleb(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.u8();
      // Beyond 64 bits only zeros may follow, which pad.
      if (scale < 2 ** 64) value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
  }

  sleb(): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.u8();
      // More than 64 bits mean nothing: the rest is only passed over.
      if (shift < 70n) value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, (byte & 0x40) === 0 ? value : value - (1n << (shift + 7n)));
    }
  }

  ulebBig(): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.u8();
      if (shift < 70n) value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
  }

  /** Moves behind the NUL of a string; where it begins and ends. */
  skipString(): [start: number, end: number] {
    const start = this.at;
    const end = this.bytes.indexOf(0, start);
    if (end < 0) throw new ShortError();
    this.at = end + 1;
    return [start, end];
  }

  string(): string {
    return decoder.decode(this.bytes.subarray(...this.skipString()));
  }
}
