/** The kernel's SHA-256 against the host's, at lengths around block borders and in pieces. */
import { createHash } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import { compilePiece, type Piece } from "./kexec-harness.ts";

const SOURCE = `
import { sym } from "./include/generated/symbols";
import { sha256_final, sha256_init, sha256_update } from "./lib/sha256";
export function init(): void { sha256_init(sym.purgatory_sha256); }
export function update(at: usize, size: usize): void { sha256_update(sym.purgatory_sha256, at, size); }
export function final(out: usize): void { sha256_final(sym.purgatory_sha256, out); }
`;

describe("sha256", () => {
  let piece: Piece;
  beforeAll(async () => {
    piece = await compilePiece("purgatory", SOURCE, {});
  });

  const digest = (parts: Uint8Array[]): string => {
    const out = piece.alloc(32);
    const data = piece.alloc(Math.max(1, ...parts.map((p) => p.length)));
    piece.exports.init?.();
    for (const part of parts) {
      piece.bytes.set(part, data);
      piece.exports.update?.(data, part.length);
    }
    piece.exports.final?.(out);
    return Buffer.from(piece.bytes.slice(out, out + 32)).toString("hex");
  };

  it.each([0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 4096, 100001])("agrees at %i bytes", (size) => {
    const data = Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
    expect(digest([data])).toBe(createHash("sha256").update(data).digest("hex"));
  });

  it("takes its input in pieces", () => {
    const data = Uint8Array.from({ length: 1000 }, (_, i) => (i * 7) & 0xff);
    const parts = [0, 3, 64, 61, 1, 200, 671].reduce<{ at: number; list: Uint8Array[] }>(
      ({ at, list }, n) => ({ at: at + n, list: [...list, data.subarray(at, at + n)] }),
      { at: 0, list: [] },
    );
    expect(parts.at).toBe(1000);
    expect(digest(parts.list)).toBe(createHash("sha256").update(data).digest("hex"));
  });
});
