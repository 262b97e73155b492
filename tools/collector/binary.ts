/** Reads WebAssembly's binaries: numbers, names and sections, within their bounds. */
import { CollectorError } from "./error.ts";

export const PREAMBLE_SIZE = 8;

export interface Section {
  id: number;
  /** Of the section with its number and length. */
  start: number;
  /** What it holds. */
  from: number;
  end: number;
}

export class BinaryReader {
  constructor(
    private readonly bytes: Uint8Array,
    public at: number,
    private readonly end: number,
  ) {}

  get done(): boolean {
    return this.at >= this.end;
  }

  byte(): number {
    if (this.at >= this.end) throw new CollectorError("the component is damaged: it ends too early");
    return this.bytes[this.at++]!;
  }

  /** An unsigned LEB128 number, of 64 bits at most: exact up to 2^53. */
  number(): number {
    let value = 0;
    for (let factor = 1, bytes = 0; bytes < 10; factor *= 128, bytes++) {
      const byte = this.byte();
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    throw new CollectorError("the component is damaged: a number has more than 64 bits");
  }

  name(): string {
    const length = this.number();
    const from = this.at;
    this.skip(length);
    return new TextDecoder().decode(this.bytes.slice(from, this.at));
  }

  skip(length: number): void {
    if (length > this.end - this.at) throw new CollectorError("the component is damaged: it ends too early");
    this.at += length;
  }
}

/** The sections of a module or component in [from, end), behind its preamble. */
export function* sections(bytes: Uint8Array, from = 0, end = bytes.length): Generator<Section> {
  const reader = new BinaryReader(bytes, from + PREAMBLE_SIZE, end);
  while (!reader.done) {
    const start = reader.at;
    const id = reader.byte();
    const size = reader.number();
    const content = reader.at;
    reader.skip(size);
    yield { id, start, from: content, end: reader.at };
  }
}

/** What a file's first bytes say that it is. */
export function kindOf(bytes: Uint8Array): "component" | "module" | "other" {
  const [a, b, c, d, version, , layer, zero] = bytes;
  if (a !== 0 || b !== 0x61 || c !== 0x73 || d !== 0x6d || bytes.length < PREAMBLE_SIZE) return "other";
  if (layer === 1 && zero === 0) return "component";
  return version === 1 && layer === 0 ? "module" : "other";
}

/** A value's type: a byte, or one more number for a reference to a type (ref, ref null). */
export function skipReference(reader: BinaryReader): void {
  const type = reader.byte();
  if (type === 0x63 || type === 0x64) reader.number();
}

/** Of a table or memory: flags, least, and most when bit 0 says so; a page size when bit 3 does. */
export function skipLimits(reader: BinaryReader): void {
  const flags = reader.byte();
  reader.number();
  if ((flags & 1) !== 0) reader.number();
  if ((flags & 8) !== 0) reader.number();
}

/** One after another. */
export function join(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((size, { length }) => size + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
