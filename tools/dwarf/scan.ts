/**
 * scan: one pass over .debug_info that finds where given names are declared: what stands at the top of a
 * unit, and enumerators. A vmlinux has hundreds of megabytes of it, so nothing but the places found is kept,
 * names are compared by their offset in .debug_str, and the section goes by in a window.
 */
import { type ByteSource, readExactly } from "../dump/bytes.ts";
import { Cursor, ShortError } from "./cursor.ts";
import { AT, FORM, TAG } from "./names.ts";
import { type Abbreviation, type AbbreviationTables, damaged, skipForm, type Unit } from "./units.ts";

const WINDOW = 1024 * 1024;
/** What an entry may need: names and expressions are far shorter. */
const MARGIN = 64 * 1024;

export interface Wanted {
  /** Structures with a size, and typedefs. */
  types: readonly string[];
  variables: readonly string[];
  enumerators: readonly string[];
}

/** Offsets in .debug_info of the first entry of each name. */
export interface Found {
  structures: Map<string, number>;
  typedefs: Map<string, number>;
  /** Declarations as `extern char a[]` stand in many units; the definition may say more. */
  variables: Map<string, { first: number; definition: number | null }>;
  enumerators: Map<string, bigint>;
}

/** The strings that the names of a unit may refer to. */
export interface Names {
  /** Wanted names by their offset in .debug_str, .debug_line_str. */
  str: ReadonlyMap<number, string>;
  lineStr: ReadonlyMap<number, string>;
  /** The offset in .debug_str of string `index` of a unit, for DW_FORM_strx. */
  strx(unit: Unit, index: number): number;
  /** Reads what strx() of the unit needs. */
  prepare(unit: Unit): Promise<void>;
}

export async function scan(
  info: ByteSource,
  units: readonly Unit[],
  tables: AbbreviationTables,
  names: Names,
  wanted: Wanted,
): Promise<Found> {
  const pass = new Pass(info, names, wanted);
  for (const unit of units) {
    if (pass.complete) break;
    await names.prepare(unit);
    pass.begin(unit, await tables.of(unit));
    while (!pass.unitDone) await pass.go();
  }
  return pass.found;
}

class Pass {
  readonly found: Found = {
    structures: new Map(),
    typedefs: new Map(),
    variables: new Map(),
    enumerators: new Map(),
  };
  private readonly cursor = new Cursor();
  private readonly types: ReadonlySet<string>;
  private readonly variables: ReadonlySet<string>;
  private readonly enumerators: ReadonlySet<string>;
  /** The part of the section that is in memory. */
  private window: Uint8Array = new Uint8Array(0);
  private start = 0;
  private unit!: Unit;
  private table: readonly (Abbreviation | undefined)[] = [];
  /** The next entry. */
  private at = 0;
  private depth = 0;
  private inEnumeration = false;
  /** Declarations of this unit, by their offset: a definition names one of them. */
  private readonly declared = new Map<number, string>();

  constructor(
    private readonly info: ByteSource,
    private readonly names: Names,
    wanted: Wanted,
  ) {
    this.types = new Set(wanted.types);
    this.variables = new Set(wanted.variables);
    this.enumerators = new Set(wanted.enumerators);
  }

  /** Nothing is left to be found. */
  get complete(): boolean {
    const { structures, variables, enumerators } = this.found;
    return (
      structures.size === this.types.size &&
      enumerators.size === this.enumerators.size &&
      variables.size === this.variables.size &&
      [...variables.values()].every(({ definition }) => definition !== null)
    );
  }

  get unitDone(): boolean {
    return this.at >= this.unit.end;
  }

  begin(unit: Unit, table: readonly (Abbreviation | undefined)[]): void {
    this.unit = unit;
    this.table = table;
    this.at = unit.first;
    this.depth = 0;
    this.inEnumeration = false;
    this.declared.clear();
  }

  /** Reads entries up to the unit's end or to where the window must move. Throws DumpError. */
  async go(): Promise<void> {
    const { info, unit, cursor } = this;
    const have = this.start + this.window.length;
    if (this.at < this.start || (unit.end > have && this.at + MARGIN >= have)) {
      const length = Math.min(WINDOW, info.size - this.at);
      this.window = await readExactly(info, this.at, length, "entries");
      this.start = this.at;
    }
    const { window, start } = this;
    const end = unit.end - start;
    const limit = end <= window.length ? end : window.length - MARGIN;
    cursor.set(end < window.length ? window.subarray(0, end) : window, this.at - start);
    try {
      while (cursor.at < limit) {
        this.at = start + cursor.at;
        if (!this.entry()) {
          this.at = unit.end;
          return;
        }
      }
      this.at = start + cursor.at;
    } catch (error) {
      if (!(error instanceof ShortError)) throw error;
      throw damaged(info, this.at, "an entry that goes beyond the end of its unit");
    }
  }

  /** One entry, or the end of a list of them; false behind the unit's last. */
  private entry(): boolean {
    const { cursor } = this;
    const code = cursor.uleb();
    if (code === 0) {
      this.depth--;
      if (this.depth <= 1) this.inEnumeration = false;
      return this.depth > 0;
    }
    const abbreviation = this.table[code];
    if (abbreviation === undefined) {
      throw damaged(this.info, this.at, `abbreviation ${code}: the unit's table has none of this number`);
    }
    const { tag, children, hasSibling, plan } = abbreviation;
    const { depth } = this;
    if (depth === 1 && (tag === TAG.structure_type || tag === TAG.typedef || tag === TAG.variable)) {
      const sibling = this.declaration(abbreviation);
      if (children && sibling !== null) return this.jump(sibling);
    } else if (depth === 2 && this.inEnumeration && tag === TAG.enumerator) this.enumerator(abbreviation);
    else if (children && hasSibling && depth > 0 && !this.goesInto(tag)) {
      const sibling = this.sibling(abbreviation);
      if (sibling !== null) return this.jump(sibling);
    } else {
      for (const step of plan) {
        if (step >= 0) cursor.skip(step);
        else skipForm(cursor, -step, this.unit, this.info);
      }
    }
    if (children) {
      this.depth++;
      if (depth === 1) this.inEnumeration = tag === TAG.enumeration_type;
    }
    return this.depth > 0;
  }

  private goesInto(tag: number): boolean {
    return this.depth === 1 && tag === TAG.enumeration_type && this.enumerators.size > 0;
  }

  /** On to an offset of the section; always forwards. */
  private jump(offset: number): true {
    if (offset <= this.at || offset > this.unit.end) {
      throw damaged(this.info, this.at, `the entry's sibling lies at 0x${offset.toString(16)}`);
    }
    this.cursor.at = offset - this.start;
    return true;
  }

  private sibling({ attributes }: Abbreviation): number | null {
    let sibling: number | null = null;
    for (const { at, form } of attributes) {
      if (at === AT.sibling) sibling = this.reference(form);
      else skipForm(this.cursor, form, this.unit, this.info);
    }
    return sibling;
  }

  /** A structure, typedef or variable; its sibling, where it tells. */
  private declaration({ tag, attributes }: Abbreviation): number | null {
    const { cursor, unit, info, found } = this;
    let sibling: number | null = null;
    let specification: number | null = null;
    let name: string | null = null;
    let declaration = false;
    let sized = false;
    for (const { at, form } of attributes) {
      if (at === AT.name) name = this.name(form);
      else if (at === AT.sibling) sibling = this.reference(form);
      else if (at === AT.specification) specification = this.reference(form);
      else {
        if (at === AT.declaration) declaration = true;
        else if (at === AT.byte_size) sized = true;
        skipForm(cursor, form, unit, info);
      }
    }
    const offset = this.at;
    if (tag === TAG.variable) {
      if (name === null && specification !== null) name = this.declared.get(specification) ?? null;
      if (name !== null && this.variables.has(name)) {
        if (declaration) this.declared.set(offset, name);
        const known = found.variables.get(name) ?? { first: offset, definition: null };
        if (!declaration) known.definition ??= offset;
        found.variables.set(name, known);
      }
    } else if (name !== null && this.types.has(name)) {
      const map = tag === TAG.typedef ? found.typedefs : found.structures;
      if ((tag === TAG.typedef || sized) && !map.has(name)) map.set(name, offset);
    }
    return sibling;
  }

  private enumerator({ attributes }: Abbreviation): void {
    const { cursor, unit, info } = this;
    let name: string | null = null;
    let value: bigint | null = null;
    for (const { at, form, implicit } of attributes) {
      if (at === AT.name) name = this.name(form);
      else if (at === AT.const_value) value = this.constant(form, implicit);
      else skipForm(cursor, form, unit, info);
    }
    if (name === null || value === null || !this.enumerators.has(name)) return;
    if (!this.found.enumerators.has(name)) this.found.enumerators.set(name, value);
  }

  /** Null for what is no constant. */
  private constant(form: number, implicit: bigint): bigint | null {
    const { cursor } = this;
    if (form === FORM.data1) return BigInt(cursor.u8());
    if (form === FORM.data2) return BigInt(cursor.u16());
    if (form === FORM.data4) return BigInt(cursor.u32());
    if (form === FORM.data8) return BigInt.asIntN(64, cursor.u64());
    if (form === FORM.sdata) return cursor.sleb();
    if (form === FORM.udata) return BigInt.asIntN(64, cursor.ulebBig());
    skipForm(cursor, form, this.unit, this.info);
    return form === FORM.implicit_const ? implicit : null;
  }

  /** The wanted name that a value is; null when it is another. */
  private name(form: number): string | null {
    const { cursor, unit, names } = this;
    const long = (): number => (unit.offsetSize === 8 ? cursor.u64Number() : cursor.u32());
    const strx = (index: number) => names.str.get(names.strx(unit, index)) ?? null;
    switch (form) {
      case FORM.strp:
        return names.str.get(long()) ?? null;
      case FORM.line_strp:
        return names.lineStr.get(long()) ?? null;
      case FORM.string:
        return cursor.string();
      case FORM.strx:
        return strx(cursor.uleb());
      case FORM.strx1:
        return strx(cursor.u8());
      case FORM.strx2:
        return strx(cursor.u16());
      case FORM.strx3:
        return strx(cursor.u24());
      case FORM.strx4:
        return strx(cursor.u32());
      default:
        skipForm(cursor, form, unit, this.info);
        return null;
    }
  }

  /** The offset in the section; null for one that leads elsewhere. */
  private reference(form: number): number | null {
    const { cursor, unit } = this;
    if (form === FORM.ref4) return unit.offset + cursor.u32();
    if (form === FORM.ref_udata) return unit.offset + cursor.uleb();
    if (form === FORM.ref1) return unit.offset + cursor.u8();
    if (form === FORM.ref2) return unit.offset + cursor.u16();
    if (form === FORM.ref8) return unit.offset + cursor.u64Number();
    if (form === FORM.ref_addr) return unit.offsetSize === 8 ? cursor.u64Number() : cursor.u32();
    skipForm(cursor, form, unit, this.info);
    return null;
  }
}
