/** Units of .debug_info and their tables of abbreviations: how their entries are written. */
import { type ByteSource, readExactly } from "../dump/bytes.ts";
import type { CachedBytes } from "../dump/cached-bytes.ts";
import { ADVICE_DAMAGED, DumpError, hex } from "../dump/error.ts";
import { Cursor, ShortError } from "./cursor.ts";
import { AT, FORM, UT } from "./names.ts";

const HEADER_MAX = 40;
/** A kernel has some thousands, each with some hundred abbreviations. */
const UNITS_MAX = 1 << 20;
const ABBREVIATIONS_MAX = 1 << 16;
const TABLE_MAX = 16 * 1024 * 1024;
const TABLES_KEPT = 64;

export interface Unit {
  /** In .debug_info: its header, its first entry, its end. */
  offset: number;
  first: number;
  end: number;
  version: number;
  addressSize: number;
  /** 4, or 8 in DWARF's 64-bit format. */
  offsetSize: number;
  abbreviations: number;
  /** Of a type unit: what others call it, and where its type is. */
  signature: bigint | null;
  typeOffset: number;
}

export interface Attribute {
  at: number;
  form: number;
  /** Of DW_FORM_implicit_const. */
  implicit: bigint;
}

export interface Abbreviation {
  tag: number;
  children: boolean;
  attributes: Attribute[];
  /** Bytes to pass over one after another; a negative number is a form whose length the bytes tell. */
  plan: number[];
  hasSibling: boolean;
}

export type Abbreviations = (Abbreviation | undefined)[];

/** Where in a section something is wrong. */
export function damaged(source: ByteSource, offset: number, what: string): DumpError {
  return new DumpError(`${source.name}, offset ${hex(offset)}`, what, ADVICE_DAMAGED);
}

/** All headers. Throws DumpError when one is damaged or of an unknown version. */
export async function readUnits(info: CachedBytes): Promise<Unit[]> {
  const { source } = info;
  const cursor = new Cursor();
  const units: Unit[] = [];
  for (let offset = 0; offset < source.size; ) {
    const length = Math.min(HEADER_MAX, source.size - offset);
    cursor.set(await info.view(offset, length, "a unit's header"));
    let unit: Unit;
    try {
      unit = readHeader(source, cursor, offset);
    } catch (error) {
      if (!(error instanceof ShortError)) throw error;
      throw damaged(source, offset, "the section ends in a unit's header");
    }
    units.push(unit);
    if (units.length > UNITS_MAX) throw damaged(source, offset, `more than ${UNITS_MAX} units`);
    offset = unit.end;
  }
  return units;
}

function readHeader(source: ByteSource, cursor: Cursor, offset: number): Unit {
  let length = cursor.u32();
  const offsetSize = length === 0xffffffff ? 8 : 4;
  if (offsetSize === 8) length = cursor.u64Number();
  const end = offset + cursor.at + length;
  if (end > source.size) {
    const what = `the unit should end at ${hex(end)}, but the section has ${hex(source.size)} bytes`;
    throw damaged(source, offset, what);
  }
  const version = cursor.u16();
  if (version < 2 || version > 5) throw damaged(source, offset, `DWARF version ${version}: expected 2 to 5`);
  const long = (): number => (offsetSize === 8 ? cursor.u64Number() : cursor.u32());
  let type: number = UT.compile;
  let abbreviations: number;
  let addressSize: number;
  if (version >= 5) {
    type = cursor.u8();
    addressSize = cursor.u8();
    abbreviations = long();
  } else {
    abbreviations = long();
    addressSize = cursor.u8();
  }
  let signature: bigint | null = null;
  let typeOffset = 0;
  if (type === UT.type || type === UT.split_type) {
    signature = cursor.u64();
    typeOffset = offset + long();
  } else if (type === UT.skeleton || type === UT.split_compile) cursor.skip(8);
  const first = offset + cursor.at;
  if (addressSize !== 4 && addressSize !== 8)
    throw damaged(source, offset, `addresses of ${addressSize} bytes`);
  if (first > end) throw damaged(source, offset, "the unit ends in its header");
  return { offset, first, end, version, addressSize, offsetSize, abbreviations, signature, typeOffset };
}

/** Tables of abbreviations; those used last are kept. */
export class AbbreviationTables {
  private readonly kept = new Map<string, Abbreviations>();

  constructor(private readonly source: ByteSource) {}

  /** Throws DumpError when it is damaged. */
  async of(unit: Unit): Promise<Abbreviations> {
    const { abbreviations, version, offsetSize, addressSize } = unit;
    const key = `${abbreviations} ${offsetSize} ${addressSize} ${version > 2}`;
    let table = this.kept.get(key);
    if (table === undefined) {
      table = await this.read(unit);
      if (this.kept.size >= TABLES_KEPT) this.kept.delete(this.kept.keys().next().value as string);
    } else this.kept.delete(key);
    this.kept.set(key, table);
    return table;
  }

  /** Nothing says how long a table is: more is read until it ends. */
  private async read(unit: Unit): Promise<Abbreviations> {
    const { source } = this;
    const from = unit.abbreviations;
    for (let length = 8192; from < source.size; length *= 8) {
      const left = Math.min(length, source.size - from, TABLE_MAX);
      const bytes = await readExactly(source, from, left, "abbreviations");
      try {
        return parse(new Cursor().set(bytes), unit, source);
      } catch (error) {
        if (!(error instanceof ShortError)) throw error;
        if (left < length) break;
      }
    }
    throw damaged(source, from, "the table of abbreviations has no end");
  }
}

function parse(cursor: Cursor, unit: Unit, source: ByteSource): Abbreviations {
  const table: Abbreviations = [];
  for (;;) {
    const start = cursor.at;
    const code = cursor.uleb();
    if (code === 0) return table;
    if (code > ABBREVIATIONS_MAX) {
      throw damaged(
        source,
        unit.abbreviations + start,
        `abbreviation ${code}: expected 1 to ${ABBREVIATIONS_MAX}`,
      );
    }
    const tag = cursor.uleb();
    const children = cursor.u8() !== 0;
    const attributes: Attribute[] = [];
    const plan: number[] = [];
    for (;;) {
      const at = cursor.uleb();
      const form = cursor.uleb();
      if (at === 0 && form === 0) break;
      const implicit = form === FORM.implicit_const ? cursor.sleb() : 0n;
      attributes.push({ at, form, implicit });
      const size = sizeOf(form, unit);
      if (size === null) plan.push(-form);
      else if ((plan.at(-1) ?? -1) >= 0) plan.push((plan.pop() ?? 0) + size);
      else plan.push(size);
    }
    table[code] = {
      tag,
      children,
      attributes,
      plan,
      hasSibling: attributes.some(({ at }) => at === AT.sibling),
    };
  }
}

/** The bytes of a value; null where the value itself tells. */
function sizeOf(form: number, { version, addressSize, offsetSize }: Unit): number | null {
  switch (form) {
    case FORM.flag_present:
    case FORM.implicit_const:
      return 0;
    case FORM.data1:
    case FORM.flag:
    case FORM.ref1:
    case FORM.strx1:
    case FORM.addrx1:
      return 1;
    case FORM.data2:
    case FORM.ref2:
    case FORM.strx2:
    case FORM.addrx2:
      return 2;
    case FORM.strx3:
    case FORM.addrx3:
      return 3;
    case FORM.data4:
    case FORM.ref4:
    case FORM.ref_sup4:
    case FORM.strx4:
    case FORM.addrx4:
      return 4;
    case FORM.data8:
    case FORM.ref8:
    case FORM.ref_sig8:
    case FORM.ref_sup8:
      return 8;
    case FORM.data16:
      return 16;
    case FORM.addr:
      return addressSize;
    case FORM.ref_addr:
      return version === 2 ? addressSize : offsetSize;
    case FORM.strp:
    case FORM.sec_offset:
    case FORM.line_strp:
    case FORM.strp_sup:
    case FORM.GNU_ref_alt:
    case FORM.GNU_strp_alt:
      return offsetSize;
    default:
      return null;
  }
}

/** Moves over a value whose length it tells itself. Throws ShortError, DumpError for an unknown form. */
export function skipForm(cursor: Cursor, form: number, unit: Unit, source: ByteSource): void {
  const size = sizeOf(form, unit);
  if (size !== null) cursor.skip(size);
  else if (form === FORM.string) cursor.skipString();
  else if (form === FORM.block1) cursor.skip(cursor.u8());
  else if (form === FORM.block2) cursor.skip(cursor.u16());
  else if (form === FORM.block4) cursor.skip(cursor.u32());
  else if (form === FORM.block || form === FORM.exprloc) cursor.skip(cursor.uleb());
  else if (LEB.has(form)) cursor.uleb();
  else if (form === FORM.indirect) {
    const inner = cursor.uleb();
    // One inside another would be a loop that the bytes decide.
    if (inner === FORM.indirect) throw damaged(source, unit.offset, "a form that is indirect twice");
    skipForm(cursor, inner, unit, source);
  } else throw damaged(source, unit.offset, `the unit has the unknown form ${hex(form)}`);
}

const LEB = new Set<number>([
  FORM.sdata,
  FORM.udata,
  FORM.ref_udata,
  FORM.strx,
  FORM.addrx,
  FORM.loclistx,
  FORM.rnglistx,
]);
