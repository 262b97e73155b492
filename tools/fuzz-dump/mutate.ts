/**
 * Damage by a seed: what is changed in which dump, done in place and undone afterwards. Half of the changes
 * know what they hit (structure.ts, kernel-memory.ts, vmcoreinfo.ts), the others are bits, numbers and
 * blocks.
 */
import { Random } from "../../runtime/machine/random.ts";
import type { ByteSource } from "../dump/bytes.ts";
import { kernelMemory } from "./kernel-memory.ts";
import { structure } from "./structure.ts";
import { type Place, type PlaceKind, sourceOf, type Victim, type VictimFile, viewOf } from "./victim.ts";
import { vmcoreinfo } from "./vmcoreinfo.ts";

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
const CHANGES_MAX = 4;
const WIDE_BLOCK = 4096;

/** A file that is being damaged, with the seed's dice. */
export class Edit {
  readonly view: DataView;
  private readonly before: [number, Uint8Array][] = [];
  readonly told: string[] = [];

  constructor(
    private readonly random: Random,
    readonly file: VictimFile,
  ) {
    this.view = viewOf(file.bytes);
  }

  /** A number from 0 to limit - 1. */
  below(limit: number): number {
    return this.random.u32() % limit;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** Takes the place of the bytes there; outside of the file it does nothing. */
  set(offset: number, bytes: Uint8Array, words: string): void {
    const { file } = this;
    if (!(offset >= 0 && offset + bytes.length <= file.bytes.length)) return;
    this.before.push([offset, file.bytes.slice(offset, offset + bytes.length)]);
    file.bytes.set(bytes, offset);
    this.told.push(`${words} at 0x${offset.toString(16)}`);
  }

  put(offset: number, size: number, value: bigint, words: string, little = true): void {
    const bytes = new Uint8Array(8);
    const view = viewOf(bytes);
    view.setBigUint64(0, BigInt.asUintN(64, value), little);
    this.set(offset, little ? bytes.subarray(0, size) : bytes.subarray(8 - size), `${words} ${value}`);
  }

  get(offset: number, size: number): bigint {
    let value = 0n;
    for (let n = size - 1; n >= 0; n--) value = (value << 8n) | BigInt(this.file.bytes[offset + n] ?? 0);
    return value;
  }

  /** One that goes wrong somewhere, one near `old`, or one of the file's size or less. */
  number(old: bigint): bigint {
    const kind = this.below(8);
    if (kind < 3) return this.pick(EDGES);
    if (kind < 5) return old + BigInt(this.below(7) - 3);
    if (kind === 5) return this.below(2) === 0 ? old * 2n : old / 2n;
    if (kind === 6) return 1n << BigInt(this.below(64));
    return BigInt(this.below(this.file.bytes.length + 1));
  }

  /** Another number in a field of `size` bytes. */
  field(offset: number, size: number, name: string): void {
    this.put(offset, size, this.number(this.get(offset, size)), name);
  }

  undo(): void {
    for (const [offset, old] of this.before.reverse()) this.file.bytes.set(old, offset);
  }
}

/** What knows a place: changes something that lies there. */
export type Change = (edit: Edit, place: Place) => void;

const CHANGES: Record<PlaceKind, Change> = { ...structure, ...kernelMemory, vmcoreinfo };

export interface Damage {
  victim: Victim;
  /** The damaged files. */
  sources: ByteSource[];
  /** What was done to them, in words. */
  told: string;
  undo(): void;
}

export function damage(seed: number, victims: readonly Victim[]): Damage {
  const random = new Random(seed, "fuzz-dump");
  const below = (limit: number): number => random.u32() % limit;
  const victim = victims[below(victims.length)]!;
  let files = [...victim.files];
  const edits: Edit[] = [];
  const told: string[] = [];
  const lengths = new Map<VictimFile, number>();
  if (victim.others !== undefined && below(3) === 0) {
    files = mixed(files, victim.others, below);
    told.push(`a set of ${files.length} files, mixed`);
  }
  for (let n = below(CHANGES_MAX) + (told.length > 0 ? 0 : 1); n > 0; n--) {
    const file = files[below(files.length)]!;
    const edit = new Edit(random, file);
    edits.push(edit);
    if (below(12) === 0) {
      const { length } = file.bytes;
      lengths.set(file, below(4) === 0 ? below(length) : length - below(Math.min(length, 65536)));
      edit.told.push(`cut off at 0x${lengths.get(file)!.toString(16)}`);
    } else if (below(2) === 0) known(edit);
    else blind(edit);
  }
  for (const [n, edit] of edits.entries()) {
    const of = files.length > 1 ? `file ${files.indexOf(edit.file)}: ` : "";
    told.push(edit.told.length === 0 ? `${of}nothing (${n})` : of + edit.told.join(", "));
  }
  const sources = files.map((file, n) => sourceOf(`dump${n}`, file.bytes, lengths.get(file)));
  const undo = (): void => {
    for (const edit of edits.reverse()) edit.undo();
  };
  return { victim, sources, told: told.join("; "), undo };
}

/** Files of two sets, some of them twice, some not at all, in another order. */
function mixed(
  files: readonly VictimFile[],
  others: readonly VictimFile[],
  below: (limit: number) => number,
): VictimFile[] {
  const all = [...files, ...(below(2) === 0 ? others : [])];
  return Array.from({ length: 1 + below(files.length + 1) }, () => all[below(all.length)]!);
}

/** A change that knows what lies where it hits: each kind of place as often as another. */
function known(edit: Edit): void {
  const { places } = edit.file;
  const kind = edit.pick([...new Set(places.map((place) => place.kind))]);
  const place = edit.pick(places.filter((it) => it.kind === kind));
  CHANGES[kind](edit, place);
}

/** A change that knows nothing, at one of the places or anywhere. */
function blind(edit: Edit): void {
  const { bytes, places } = edit.file;
  const spot = (size: number): number => {
    const { offset, size: room } =
      edit.below(8) === 0 || places.length === 0 ? { offset: 0, size: bytes.length } : edit.pick(places);
    return Math.min(offset + edit.below(Math.max(room, 1)), bytes.length - size);
  };
  const kind = edit.below(15);
  const at = spot(1);
  if (kind < 4) edit.set(at, Uint8Array.of(bytes[at]! ^ (1 << edit.below(8))), "a bit");
  else if (kind < 8) edit.set(at, Uint8Array.of(edit.below(256)), "a byte");
  else if (kind < 14) {
    const size = edit.pick([2, 4, 8]);
    const word = spot(size) & ~(size - 1);
    edit.put(word, size, edit.number(edit.get(word, size)), "a word", edit.below(4) > 0);
  } else {
    const size = Math.min(1 + edit.below(WIDE_BLOCK), bytes.length);
    const from = edit.below(bytes.length - size + 1);
    edit.set(spot(size), bytes.slice(from, from + size), `${size} bytes from elsewhere`);
  }
}
