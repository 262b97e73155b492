/** Damage that knows the formats: headers, notes, bitmaps, descriptors, packed pages, records. */

import { CODECS } from "../dump/codecs.ts";
import { ELF32, ELF64, type ElfLayout, PN_XNUM } from "../dump/elf-header.ts";
import { FLAT_RECORD_SIZE } from "../dump/flattened.ts";
import { KDUMP64, PAGE_DESC } from "../dump/kdump-header.ts";
import { NOTE_HEADER_SIZE } from "../dump/notes.ts";
import type { Change, Edit } from "./mutate.ts";
import type { Place, PlaceKind } from "./victim.ts";

const SPAN_MAX = 512;
/** In e_ident; byte order and version follow. */
const EI_CLASS = 4;

/** Offsets that lead back: the file's start, the place itself, the other places. */
function somewhere(edit: Edit, place: Place): bigint {
  return BigInt(
    edit.pick([
      0,
      place.offset,
      place.offset + 8,
      edit.file.bytes.length - 1,
      edit.pick(edit.file.places).offset,
    ]),
  );
}

function layoutOf(edit: Edit): ElfLayout {
  const start = edit.file.places.find(({ kind }) => kind === "elf")!.offset;
  return edit.file.bytes[start + EI_CLASS] === ELF32.class ? ELF32 : ELF64;
}

const elf: Change = (edit, { offset: start }) => {
  const layout = layoutOf(edit);
  if (edit.below(6) === 0) {
    // The count is in section header 0, wherever that is.
    const [at, size] = layout.shoff;
    edit.put(start + layout.phnum[0], 2, BigInt(PN_XNUM), "e_phnum");
    edit.put(start + at, size, BigInt(edit.below(edit.file.bytes.length)), "e_shoff");
    return;
  }
  const names = ["type", "machine", "phoff", "shoff", "flags", "phentsize", "phnum"] as const;
  const name = edit.pick(names);
  if (edit.below(8) === 0) edit.put(start + EI_CLASS + edit.below(3), 1, BigInt(edit.below(4)), "e_ident");
  else edit.field(start + layout[name][0], layout[name][1], `e_${name}`);
};

const phdrs: Change = (edit, { offset, size }) => {
  const { phdrSize, p } = layoutOf(edit);
  const header = (): number => offset + edit.below(Math.max(1, size / phdrSize)) * phdrSize;
  const [at, other] = [header(), header()];
  const kind = edit.below(4);
  if (kind === 0) {
    edit.set(at, edit.file.bytes.slice(other, other + phdrSize), "a program header of another load");
  } else if (kind === 1) {
    // Loads of the same memory, in part.
    const near = edit.get(other + p.paddr[0], p.paddr[1]) + BigInt((edit.below(5) - 2) * 2048);
    edit.put(at + p.paddr[0], p.paddr[1], near, "p_paddr");
  } else if (kind === 2) {
    edit.put(at + p.memsz[0], p.memsz[1], 1n << BigInt(edit.below(64)), "p_memsz");
    if (edit.below(2) === 0) edit.put(at + p.filesz[0], p.filesz[1], BigInt(edit.below(2)), "p_filesz");
  } else {
    const name = edit.pick(["type", "offset", "vaddr", "paddr", "filesz", "memsz", "align"] as const);
    edit.field(at + p[name][0], p[name][1], `p_${name}`);
  }
};

/** A note's header: the sizes lead to the next. */
const notes: Change = (edit, { offset, size }) => {
  const headers: number[] = [];
  const align = (length: number): number => Math.ceil(length / 4) * 4;
  for (let at = offset; at + NOTE_HEADER_SIZE <= offset + size; ) {
    headers.push(at);
    at += NOTE_HEADER_SIZE + align(Number(edit.get(at, 4))) + align(Number(edit.get(at + 4, 4)));
  }
  if (headers.length === 0) return;
  const member = edit.below(3);
  edit.field(edit.pick(headers) + member * 4, 4, ["n_namesz", "n_descsz", "n_type"][member]!);
};

const header: Change = (edit, place) => {
  const name = edit.pick(Object.keys(KDUMP64.header) as (keyof typeof KDUMP64.header)[]);
  const [offset, size] = KDUMP64.header[name];
  edit.field(place.offset + offset, size, name);
};

const subheader: Change = (edit, place) => {
  const { sub } = KDUMP64;
  const name = edit.pick(Object.keys(sub) as (keyof typeof sub)[]);
  const [[offset, size]] = sub[name];
  if (name.startsWith("offset") && edit.below(2) === 0) {
    edit.put(place.offset + offset, size, somewhere(edit, place), name);
  } else edit.field(place.offset + offset, size, name);
};

/** Bits set, or taken away; behind the last page too. */
const bitmap: Change = (edit, { offset, size }) => {
  const length = 1 + edit.below(edit.pick([1, 8, SPAN_MAX]));
  const at = edit.below(Math.max(1, size - length));
  const bits = edit.pick([0, 0xff, edit.below(256)]);
  edit.set(offset + at, new Uint8Array(length).fill(bits), `${length} bytes of bits ${bits}`);
};

const descriptors: Change = (edit, place) => {
  const { size } = PAGE_DESC;
  const one = (): number => place.offset + edit.below(place.size / size) * size;
  const [at, other] = [one(), one()];
  const kind = edit.below(6);
  if (kind === 0) {
    const [a, b] = [at, other].map((it) => edit.file.bytes.slice(it, it + size));
    edit.set(at, b!, "descriptors exchanged");
    edit.set(other, a!, "and");
  } else if (kind === 1) {
    const near = edit.get(other, 8) + BigInt(edit.below(5) - 2);
    edit.put(at + PAGE_DESC.offset[0], 8, near, "a descriptor's offset");
  } else if (kind === 2) {
    edit.put(at + PAGE_DESC.offset[0], 8, somewhere(edit, place), "a descriptor's offset");
  } else if (kind === 3) {
    const flags = edit.pick([0, ...Object.values(CODECS), 3, 0x40]);
    edit.put(at + PAGE_DESC.flags[0], 4, BigInt(flags), "a descriptor's flags");
  } else if (kind === 4) edit.field(at + PAGE_DESC.bytes[0], 4, "a descriptor's size");
  else edit.field(at + PAGE_DESC.offset[0], 8, "a descriptor's offset");
};

/** What a decompressor reads: its first bytes, which say what follows, most. */
const packed: Change = (edit, { offset, size }) => {
  const reach = edit.pick([4, 16, size]);
  for (let n = 1 + edit.below(4); n > 0; n--) {
    const at = offset + edit.below(Math.min(reach, size));
    edit.set(at, Uint8Array.of(edit.pick([0, 1, 0x7f, 0xff, edit.below(256)])), "a packed byte");
  }
};

const record: Change = (edit, { offset }) => {
  const others = edit.file.places.filter(({ kind }) => kind === "record");
  const other = edit.pick(others).offset;
  const kind = edit.below(5);
  if (kind === 0) {
    const header = edit.file.bytes.slice(other, other + FLAT_RECORD_SIZE);
    edit.set(offset, header, "another record's header");
  } else if (kind === 1) {
    const near = BigInt.asIntN(64, edit.view.getBigInt64(other, false)) + BigInt(edit.below(9) - 4) * 1000n;
    edit.put(offset, 8, near, "a record's offset", false);
  } else if (kind === 2)
    edit.set(offset, new Uint8Array(FLAT_RECORD_SIZE).fill(0xff), "the record that ends");
  else {
    const at = offset + (kind === 3 ? 0 : 8);
    const old = edit.view.getBigUint64(at, false);
    edit.put(at, 8, edit.number(old), kind === 3 ? "a record's offset" : "a record's size", false);
  }
};

export const structure = {
  elf,
  phdrs,
  notes,
  header,
  subheader,
  bitmap,
  descriptors,
  packed,
  record,
} satisfies Partial<Record<PlaceKind, Change>>;
