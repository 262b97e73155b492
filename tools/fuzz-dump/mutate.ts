/** Damage by a seed: what is changed in which dump, done in place and undone afterwards. */
import { Random } from "../../runtime/machine/random.ts";
import type { ByteSource } from "../dump/bytes.ts";
import type { Range, Victim } from "./formats.ts";

/** Numbers at which checks go wrong. */
const EDGES = [
  0n,
  1n,
  2n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  2n ** 53n,
  2n ** 63n,
  -1n,
  -2n,
];
const CHANGES_MAX = 6;

export interface Damage {
  victim: Victim;
  /** The damaged file. */
  source: ByteSource;
  /** What was done to it, in words. */
  told: string;
  undo(): void;
}

export function damage(seed: number, victims: readonly Victim[]): Damage {
  const random = new Random(seed, "fuzz-dump");
  const below = (limit: number): number => random.u32() % limit;
  const victim = victims[below(victims.length)]!;
  const { bytes } = victim;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const before: [number, Uint8Array][] = [];
  const told: string[] = [];
  const change = (offset: number, size: number, edit: () => void, words: string): void => {
    before.push([offset, bytes.slice(offset, offset + size)]);
    edit();
    told.push(`${words} at 0x${offset.toString(16)}`);
  };
  const place = (size: number): number => {
    const range: Range =
      below(8) === 0 ? { offset: 0, size: bytes.length } : victim.hot[below(victim.hot.length)]!;
    return Math.min(range.offset + below(Math.max(range.size, 1)), bytes.length - size);
  };
  let { length } = bytes;
  for (let n = 1 + below(CHANGES_MAX); n > 0; n--) {
    const kind = below(16);
    if (kind < 4) {
      const at = place(1);
      change(at, 1, () => void (bytes[at]! ^= 1 << below(8)), "a bit");
    } else if (kind < 8) {
      const at = place(1);
      change(at, 1, () => void (bytes[at] = below(256)), "a byte");
    } else if (kind < 14) {
      const wide = below(2) === 0;
      const size = wide ? 8 : 4;
      const at = place(size) & ~3;
      const value = below(3) === 0 ? BigInt(below(bytes.length * 2)) : EDGES[below(EDGES.length)]!;
      const edit = () =>
        wide
          ? view.setBigUint64(at, BigInt.asUintN(64, value), below(4) > 0)
          : view.setUint32(at, Number(BigInt.asUintN(32, value)), below(4) > 0);
      if (at + size <= bytes.length) change(at, size, edit, `${value}`);
    } else if (kind === 14) {
      const size = Math.min(1 + below(4096), bytes.length);
      const [from, to] = [below(bytes.length - size + 1), place(size)];
      change(to, size, () => bytes.copyWithin(to, from, from + size), `${size} bytes from elsewhere`);
    } else {
      length = below(4) === 0 ? below(bytes.length) : bytes.length - below(Math.min(bytes.length, 65536));
      told.push(`cut off at 0x${length.toString(16)}`);
    }
  }
  const source: ByteSource = {
    name: "dump",
    size: length,
    async pread(buffer, offset) {
      const end = Math.min(offset + buffer.length, length);
      if (offset >= end) return 0;
      buffer.set(bytes.subarray(offset, end));
      return end - offset;
    },
  };
  const undo = (): void => {
    for (const [offset, old] of before.reverse()) bytes.set(old, offset);
  };
  return { victim, source, told: told.join(", "), undo };
}
