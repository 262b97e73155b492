/** Entries: debugging information entries and their values, by offset in .debug_info. */
import type { ByteSource } from "../dump/bytes.ts";
import type { CachedBytes } from "../dump/cached-bytes.ts";
import { DumpError, hex } from "../dump/error.ts";
import { cString } from "../dump/notes.ts";
import { upperBound } from "../dump/upper-bound.ts";
import { Cursor, ShortError } from "./cursor.ts";
import { AT, FORM, OP } from "./names.ts";
import { type AbbreviationTables, damaged, skipForm, type Unit } from "./units.ts";

/** Most entries are shorter; what is longer than the last is damage. */
const SIZES = [512, 64 * 1024];
const NAME_MAX = 4096;

export interface Value {
  form: number;
  /** A constant, flag, offset or reference; the bytes of a block or string. */
  value: bigint | Uint8Array;
}

export interface Entry {
  offset: number;
  unit: Unit;
  tag: number;
  children: boolean;
  values: ReadonlyMap<number, Value>;
  /** What follows it: its first child, or what is beside it. */
  next: number;
}

export class Entries {
  private readonly cursor = new Cursor();

  constructor(
    private readonly info: CachedBytes,
    private readonly units: readonly Unit[],
    private readonly tables: AbbreviationTables,
    private readonly str: CachedBytes | null,
    private readonly lineStr: CachedBytes | null,
    private readonly strx: (unit: Unit, index: number) => Promise<number>,
  ) {}

  /** .debug_info. */
  get source(): ByteSource {
    return this.info.source;
  }

  /** Throws DumpError when nothing can begin there. */
  async at(offset: number): Promise<Entry> {
    const entry = await this.read(offset);
    if (entry === null) throw damaged(this.info.source, offset, "the end of a list: expected an entry");
    return entry;
  }

  /** The entry that an attribute refers to; null when there is no such attribute. */
  async refer(entry: Entry, at: number): Promise<Entry | null> {
    const found = await this.referred(entry, at);
    // What stands for a type in a unit of its own.
    return found?.values.has(AT.signature) ? this.referred(found, AT.signature) : found;
  }

  private async referred(entry: Entry, at: number): Promise<Entry | null> {
    const found = entry.values.get(at);
    if (found === undefined || typeof found.value !== "bigint") return null;
    const { form, value } = found;
    if (form === FORM.ref_sig8) {
      const unit = this.units.find(({ signature }) => signature === value);
      if (unit !== undefined) return this.at(unit.typeOffset);
      throw damaged(this.info.source, entry.offset, `no unit has the type ${hex(value)}`);
    }
    if (form === FORM.GNU_ref_alt || form === FORM.ref_sup4 || form === FORM.ref_sup8) {
      const where = `${this.info.source.name}, offset ${hex(entry.offset)}`;
      const advice = "Give the file as the compiler made it, without dwz.";
      throw new DumpError(where, "the type stands in a supplementary file", advice);
    }
    const offset = form === FORM.ref_addr ? value : value + BigInt(entry.unit.offset);
    return this.at(Number(offset));
  }

  async *children(entry: Entry): AsyncGenerator<Entry> {
    if (!entry.children) return;
    for (let at = entry.next; at < entry.unit.end; ) {
      const child = await this.read(at);
      if (child === null) return;
      yield child;
      at = await this.behind(child);
    }
  }

  /** DW_AT_name; null when the entry has none. */
  name(entry: Entry): Promise<string | null> {
    return this.text(entry, AT.name);
  }

  /** A string; null when there is no such attribute. */
  async text(entry: Entry, at: number): Promise<string | null> {
    const found = entry.values.get(at);
    if (found === undefined) return null;
    return typeof found.value === "bigint"
      ? this.textAt(found.form, Number(found.value), entry)
      : cString(found.value);
  }

  /** What a form of strings leads to; "" for a form of something else. */
  async textAt(form: number, value: number, entry: Entry): Promise<string> {
    if (form === FORM.strp) return this.string(this.str, value, entry);
    if (form === FORM.line_strp) return this.string(this.lineStr, value, entry);
    if (form === FORM.strx || (form >= FORM.strx1 && form <= FORM.strx4)) {
      return this.string(this.str, await this.strx(entry.unit, value), entry);
    }
    return "";
  }

  /** A constant; null when there is no such attribute or it is none. */
  constant(entry: Entry, at: number): number | null {
    const found = entry.values.get(at);
    return typeof found?.value === "bigint" ? Number(found.value) : null;
  }

  /** DW_AT_data_member_location: a constant, or an expression that adds one. */
  memberOffset(entry: Entry): number | null {
    const found = entry.values.get(AT.data_member_location);
    if (found === undefined) return null;
    if (typeof found.value === "bigint") return Number(found.value);
    const cursor = new Cursor().set(found.value);
    try {
      const operation = cursor.u8();
      return operation === OP.plus_uconst || operation === OP.constu ? cursor.uleb() : null;
    } catch (error) {
      if (!(error instanceof ShortError)) throw error;
      throw damaged(this.info.source, entry.offset, "the member's expression is cut off");
    }
  }

  /** Where the entry behind this one and its children lies. */
  private async behind(entry: Entry): Promise<number> {
    if (!entry.children) return entry.next;
    const sibling = entry.values.get(AT.sibling);
    if (typeof sibling?.value === "bigint" && sibling.form !== FORM.ref_addr) {
      const at = Number(sibling.value) + entry.unit.offset;
      if (at > entry.offset && at <= entry.unit.end) return at;
      throw damaged(this.info.source, entry.offset, `the entry's sibling lies at ${hex(at)}`);
    }
    let at = entry.next;
    for (let depth = 1; depth > 0 && at < entry.unit.end; ) {
      const inner = await this.read(at);
      if (inner === null) {
        depth--;
        at++;
      } else {
        if (inner.children) depth++;
        at = inner.next;
      }
    }
    return at;
  }

  /** Null for the end of a list. */
  private async read(offset: number): Promise<Entry | null> {
    const unit = this.unitOf(offset);
    const table = await this.tables.of(unit);
    for (const size of SIZES) {
      const length = Math.min(size, unit.end - offset);
      this.cursor.set(await this.info.view(offset, length, "an entry"));
      try {
        const code = this.cursor.uleb();
        if (code === 0) return null;
        const abbreviation = table[code];
        if (abbreviation === undefined) {
          const what = `abbreviation ${code}: the unit's table has none of this number`;
          throw damaged(this.info.source, offset, what);
        }
        const { tag, children, attributes } = abbreviation;
        const values = new Map<number, Value>();
        for (const { at, form, implicit } of attributes) values.set(at, this.value(form, implicit, unit));
        return { offset, unit, tag, children, values, next: offset + this.cursor.at };
      } catch (error) {
        if (!(error instanceof ShortError)) throw error;
      }
    }
    throw damaged(this.info.source, offset, "an entry that goes beyond the end of its unit");
  }

  private value(form: number, implicit: bigint, unit: Unit): Value {
    const { cursor } = this;
    const long = (): bigint => (unit.offsetSize === 8 ? cursor.u64() : BigInt(cursor.u32()));
    switch (form) {
      case FORM.flag_present:
        return { form, value: 1n };
      case FORM.implicit_const:
        return { form, value: implicit };
      case FORM.data1:
      case FORM.flag:
      case FORM.ref1:
      case FORM.strx1:
        return { form, value: BigInt(cursor.u8()) };
      case FORM.data2:
      case FORM.ref2:
      case FORM.strx2:
        return { form, value: BigInt(cursor.u16()) };
      case FORM.strx3:
        return { form, value: BigInt(cursor.u24()) };
      case FORM.data4:
      case FORM.ref4:
      case FORM.ref_sup4:
      case FORM.strx4:
        return { form, value: BigInt(cursor.u32()) };
      case FORM.data8:
      case FORM.ref8:
      case FORM.ref_sig8:
      case FORM.ref_sup8:
        return { form, value: cursor.u64() };
      case FORM.ref_addr:
        if (unit.version === 2) {
          return { form, value: unit.addressSize === 8 ? cursor.u64() : BigInt(cursor.u32()) };
        }
        return { form, value: long() };
      case FORM.strp:
      case FORM.line_strp:
      case FORM.sec_offset:
      case FORM.GNU_ref_alt:
        return { form, value: long() };
      case FORM.sdata:
        return { form, value: cursor.sleb() };
      case FORM.udata:
      case FORM.ref_udata:
      case FORM.strx:
        return { form, value: cursor.ulebBig() };
      case FORM.string: {
        const [start, end] = cursor.skipString();
        return { form, value: cursor.bytes.slice(start, end) };
      }
      case FORM.exprloc:
      case FORM.block:
        return { form, value: this.block(cursor.uleb()) };
      case FORM.block1:
        return { form, value: this.block(cursor.u8()) };
      case FORM.block2:
        return { form, value: this.block(cursor.u16()) };
      case FORM.block4:
        return { form, value: this.block(cursor.u32()) };
      case FORM.indirect: {
        const inner = cursor.uleb();
        if (inner !== FORM.indirect) return this.value(inner, 0n, unit);
      }
    }
    skipForm(cursor, form, unit, this.info.source);
    return { form, value: new Uint8Array(0) };
  }

  private block(length: number): Uint8Array {
    const start = this.cursor.skip(length);
    return this.cursor.bytes.slice(start, start + length);
  }

  private unitOf(offset: number): Unit {
    const unit = this.units[upperBound(this.units, offset, (it) => it.offset) - 1];
    if (unit !== undefined && offset >= unit.first && offset < unit.end) return unit;
    throw damaged(this.info.source, offset, "no unit has an entry there");
  }

  private async string(table: CachedBytes | null, offset: number, entry: Entry): Promise<string> {
    const left = Math.min((table?.source.size ?? 0) - offset, NAME_MAX);
    if (table === null || !(left > 0)) {
      throw damaged(
        this.info.source,
        entry.offset,
        `the entry's name should lie at ${hex(offset)} of its table`,
      );
    }
    for (const size of [Math.min(64, left), left]) {
      const bytes = await table.view(offset, size, "a name");
      if (bytes.includes(0)) return cString(bytes);
    }
    throw damaged(table.source, offset, `a name of more than ${NAME_MAX} bytes`);
  }
}
