/**
 * Purgatory alone over a memory: digests, the backup copy, the jump; and what it says when a segment was
 * damaged.
 */
import { createHash } from "node:crypto";
import { beforeEach, describe, expect, it } from "vitest";
import { compilePiece, type Piece } from "./kexec-harness.ts";

const SEGMENTS = [
  { start: 0x400000, len: 4096 },
  { start: 0x410000, len: 0x23000 },
];
const BACKUP = { src: 0x1000, dest: 0x500000, size: 0x9f000 };
const ENTRY = 0x410000;
const BOOT_PARAMS = 0x450000;

class Jump {
  constructor(
    readonly entry: number,
    readonly arg: number,
  ) {}
}
class Halt {}

describe("purgatory", () => {
  let piece: Piece;
  let console: string;

  beforeEach(async () => {
    console = "";
    piece = await compilePiece("purgatory", `export { purgatory } from "./purgatory/entry";`, {}, {
      outs8: (port: number, pa: number, length: number) => {
        expect(port).toBe(0x3f8);
        console += Buffer.from(piece.bytes.slice(pa, pa + length)).toString("latin1");
      },
      hlt: () => {
        throw new Halt();
      },
      jump: (entry: number, arg: number) => {
        throw new Jump(entry, arg);
      },
    } as never);
    const hash = createHash("sha256");
    const { start, len } = { start: 0, len: 8 };
    const info = piece.at("purgatory_info");
    SEGMENTS.forEach((segment, i) => {
      for (let at = 0; at < segment.len; at++) piece.bytes[segment.start + at] = (at * 13 + i) & 0xff;
      hash.update(piece.bytes.slice(segment.start, segment.start + segment.len));
      piece.view.setBigUint64(info + i * 16 + start, BigInt(segment.start), true);
      piece.view.setBigUint64(info + i * 16 + len, BigInt(segment.len), true);
    });
    piece.bytes.set(hash.digest(), info + 256);
    const words = [BACKUP.src, BACKUP.dest, BACKUP.size, ENTRY, BOOT_PARAMS];
    words.forEach((word, i) => {
      piece.view.setBigUint64(info + 288 + i * 8, BigInt(word), true);
    });
    for (let at = 0; at < BACKUP.size; at++) piece.bytes[BACKUP.src + at] = (at * 5) & 0xff;
  });

  const run = (): unknown => {
    try {
      return piece.exports.purgatory?.();
    } catch (end) {
      return end;
    }
  };

  it("saves low memory and jumps into the kernel when the digest is right", () => {
    expect(run()).toEqual(new Jump(ENTRY, BOOT_PARAMS));
    expect(console).toBe("I'm in purgatory\n");
    const copy = piece.bytes.slice(BACKUP.dest, BACKUP.dest + BACKUP.size);
    expect(Buffer.compare(copy, piece.bytes.slice(BACKUP.src, BACKUP.src + BACKUP.size))).toBe(0);
  });

  it.each([0x400000, 0x400fff, 0x410000, 0x432fff])("stops when the byte at %i changed", (address) => {
    piece.bytes[address] = (piece.bytes[address] ?? 0) ^ 0x10;
    expect(run()).toBeInstanceOf(Halt);
    const lines = console.split("\n");
    expect(lines[1]).toBe("sha256 digests do not match :(");
    expect(lines[2]).toMatch(/^ {7}digest: ([0-9a-f]{1,2} ){32}$/);
    expect(lines[3]).toMatch(/^sha256_digest: ([0-9a-f]{1,2} ){32}$/);
    expect(lines[2]?.slice(15)).not.toBe(lines[3]?.slice(15));
    expect(piece.bytes.slice(BACKUP.dest, BACKUP.dest + BACKUP.size).some((byte) => byte !== 0)).toBe(false);
  });

  it("does not look at what no segment covers", () => {
    piece.bytes[0x401000] = 1;
    expect(run()).toBeInstanceOf(Jump);
  });
});
