import { describe, expect, it } from "vitest";
import { buildIdOf } from "../../tools/vmlinux/build-id.ts";
import { type Section, SHT, writeElf } from "../../tools/vmlinux/elf.ts";

const words = (...values: number[]): number[] =>
  values.flatMap((it) => [it & 255, (it >> 8) & 255, (it >> 16) & 255, it >>> 24]);
const GNU = [0x47, 0x4e, 0x55, 0];

function elf(...note: number[]): Uint8Array {
  const notes: Section = {
    name: ".notes",
    type: SHT.NOTE,
    flags: 0,
    address: 0n,
    bytes: new Uint8Array(note),
    align: 4,
  };
  return writeElf({ entry: 0n, sections: [notes], symbols: [], segments: [], notes: ".notes" });
}

describe("the build id of an ELF file", () => {
  it("is found, behind other notes too", () => {
    expect(buildIdOf(elf(...words(4, 3, 3), ...GNU, 0xab, 0xcd, 0x01, 0))).toBe("abcd01");
    const other = [...words(4, 1, 1), ...GNU, 9, 0, 0, 0];
    expect(buildIdOf(elf(...other, ...words(4, 2, 3), ...GNU, 1, 2, 0, 0))).toBe("0102");
  });

  it("is absent where there is none", () => {
    expect(buildIdOf(new Uint8Array())).toBeUndefined();
    expect(buildIdOf(new Uint8Array(5000))).toBeUndefined();
    expect(buildIdOf(elf(...words(4, 4, 1), ...GNU, 1, 2, 3, 4))).toBeUndefined();
    expect(buildIdOf(elf(...words(4, 0xffffffff, 3), ...GNU))).toBeUndefined();
  });

  it("never throws, wherever the file ends and whatever a byte holds", () => {
    const whole = elf(...words(4, 4, 3), ...GNU, 1, 2, 3, 4);
    for (let end = 0; end < whole.length; end++) buildIdOf(whole.slice(0, end));
    for (let at = 0; at < whole.length; at++) {
      for (const value of [0, 0x7f, 0xff]) {
        const damaged = whole.slice();
        damaged[at] = value;
        buildIdOf(damaged);
      }
    }
  });
});
