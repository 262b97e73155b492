/** Damage to what the crashed kernel itself kept: page tables, memory map, log. */

import type { Change } from "./mutate.ts";
import { PRESENT_AND_LARGE } from "./places.ts";
import type { PlaceKind } from "./victim.ts";

const KERNEL = 0xffff888000000000n;
const IMAGE = 0xffffffff80000000n;
/** Where vmemmap lies. */
const MAP = 0xffffea0000000000n;

/** Entries that lead to a table of their own kind, to any page, nowhere, or are large. */
const table: Change = (edit, { offset, size }) => {
  const at = (): number => offset + edit.below(size / 8) * 8;
  const used = Array.from({ length: size / 8 }, (_, n) => offset + n * 8).filter(
    (it) => edit.get(it, 8) !== 0n,
  );
  const target = used.length > 0 && edit.below(4) > 0 ? edit.pick(used) : at();
  const old = edit.get(target, 8);
  const values = [
    edit.get(used.length > 0 ? edit.pick(used) : at(), 8),
    old ^ PRESENT_AND_LARGE,
    old | PRESENT_AND_LARGE,
    old ^ (1n << BigInt(edit.below(64))),
    (BigInt(edit.below(4096)) << 12n) | 0x63n,
    edit.number(old),
  ];
  edit.put(target, 8, edit.pick(values), "a page table's entry");
};

/** Pointers that lie: to other things of the kernel, a little beside, nowhere. */
const pointers: Change = (edit, { offset, size }) => {
  const target = offset + edit.below(Math.max(1, Math.floor(Math.min(size, 128) / 4))) * 4;
  const old = edit.get(target, 8);
  const far = BigInt(edit.below(1 << 23));
  const values = [old + 8n, old ^ 2n, KERNEL + far, IMAGE + far, MAP + far, edit.number(old)];
  edit.put(target, 8, edit.pick(values), "a pointer");
};

const EDGE_FLAGS = [1n, 2n, 0xffffff7fn, 0xffffff80n, 0xfffffeffn, 0x10000n, 0xffffffffn];

/** Flags, orders and counts of struct pages, a whole one of another's. */
const pages: Change = (edit, { offset, size }) => {
  const page = (): number => offset + edit.below(size / 64) * 64;
  const at = page();
  if (edit.below(4) === 0) {
    const other = page();
    edit.set(at, edit.file.bytes.slice(other, other + 64), "another struct page");
  } else {
    const member = edit.below(16) * 4;
    edit.put(
      at + member,
      4,
      edit.pick([...EDGE_FLAGS, edit.number(edit.get(at + member, 4))]),
      "a struct page",
    );
  }
};

/** Of descriptors and records: a number, or what another has. */
const words: Change = (edit, { offset, size }) => {
  const at = (): number => offset + edit.below(Math.max(1, Math.floor(size / 2))) * 2;
  const [target, other] = [at(), at()];
  const width = edit.pick([2, 4, 8]);
  const old = edit.get(target, width);
  edit.put(target, width, edit.pick([edit.number(old), edit.get(other, width)]), "the log's");
};

export const kernelMemory = {
  table,
  roots: pointers,
  sections: pointers,
  pages,
  ringbuffer: (edit, place) => edit.pick([pointers, words])(edit, place),
  descs: words,
  infos: words,
  text: words,
} satisfies Partial<Record<PlaceKind, Change>>;
