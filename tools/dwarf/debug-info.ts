/**
 * DebugInfo: what a vmlinux tells of C's types and variables, by DWARF 2 to 5 as gcc and clang write it:
 * sizes of structures, offsets of members, lengths of arrays, what a variable's type is made of. Memory does
 * not grow with the file: names are looked for in one pass (scan.ts), what is asked for is read where it
 * stands.
 */
import { type ByteSource, readExactly } from "../dump/bytes.ts";
import { CachedBytes } from "../dump/cached-bytes.ts";
import { DumpError } from "../dump/error.ts";
import type { ElfFile } from "./elf.ts";
import { Entries, type Entry } from "./entries.ts";
import { declaredIn } from "./files.ts";
import { AT, TAG } from "./names.ts";
import { type Found, scan, type Wanted } from "./scan.ts";
import { findStrings } from "./strings.ts";
import { AbbreviationTables, damaged, readUnits, type Unit } from "./units.ts";

/** Types that lead to each other: C has no such chains, a damaged file may have a circle. */
const CHAIN_MAX = 64;
/** Structures in structures. */
const DEPTH_MAX = 64;
/** Strings of a unit in DWARF 5's tables of offsets. */
const STR_OFFSETS_MAX = 64 * 1024 * 1024;

/** What a variable or member is, by the chain of its types. */
export interface Shape {
  array: boolean;
  pointer: boolean;
  structure: boolean;
  base: boolean;
  /** Of the type at the end of the chain; "void" for a pointer to nothing, null for one without a name. */
  name: string | null;
  /** Bytes of that type; null when it has no size. */
  size: number | null;
  /** Elements of the array, of all its dimensions; null when that is not known. */
  length: number | null;
  /** That type itself. */
  type: Entry;
}

export interface Member {
  /** Bytes from the start of the structure. */
  offset: number;
  entry: Entry;
}

export class DebugInfo {
  private readonly found: Found = {
    structures: new Map(),
    typedefs: new Map(),
    variables: new Map(),
    enumerators: new Map(),
  };
  /** Structures that a pass of their own has looked for. */
  private readonly completed = new Set<string>();

  private constructor(
    readonly elf: ElfFile,
    private readonly info: CachedBytes,
    private readonly units: readonly Unit[],
    private readonly tables: AbbreviationTables,
    private readonly str: ByteSource | null,
    private readonly lineStr: ByteSource | null,
    private readonly strings: StringOffsets,
    private readonly entries: Entries,
  ) {}

  /** Throws DumpError when the file has no debugging information, or its headers are damaged. */
  static async open(elf: ElfFile): Promise<DebugInfo> {
    const part = async (name: string): Promise<ByteSource | null> => {
      const section = elf.section(name);
      return section === undefined ? null : elf.contents(section);
    };
    const source = await part(".debug_info");
    const abbreviations = await part(".debug_abbrev");
    if (source === null || abbreviations === null) {
      throw new DumpError(
        elf.name,
        "Can't get .debug_info section.",
        "Give a vmlinux with debugging information.",
      );
    }
    const cached = (it: ByteSource | null) => (it === null ? null : new CachedBytes(it));
    const info = new CachedBytes(source);
    const str = await part(".debug_str");
    const lineStr = await part(".debug_line_str");
    const units = await readUnits(info);
    const tables = new AbbreviationTables(abbreviations);
    const strings = new StringOffsets(await part(".debug_str_offsets"));
    const strx = async (unit: Unit, index: number) => {
      await strings.prepare(unit, entries);
      return strings.at(unit, index);
    };
    const entries = new Entries(info, units, tables, cached(str), cached(lineStr), strx);
    return new DebugInfo(elf, info, units, tables, str, lineStr, strings, entries);
  }

  /** Looks for the names, in one pass; more passes add to what was found. Throws DumpError. */
  async find(wanted: Wanted): Promise<void> {
    const all = [...wanted.types, ...wanted.variables, ...wanted.enumerators];
    const none: ReadonlyMap<number, string> = new Map();
    const names = {
      str: this.str === null ? none : await findStrings(this.str, all),
      lineStr: this.lineStr === null ? none : await findStrings(this.lineStr, all),
      strx: (unit: Unit, index: number) => this.strings.at(unit, index),
      prepare: (unit: Unit) => this.strings.prepare(unit, this.entries),
    };
    const found = await scan(this.info.source, this.units, this.tables, names, wanted);
    const add = <T>(to: Map<string, T>, from: Map<string, T>) => {
      for (const [name, value] of from) if (!to.has(name)) to.set(name, value);
    };
    add(this.found.structures, found.structures);
    add(this.found.typedefs, found.typedefs);
    add(this.found.variables, found.variables);
    add(this.found.enumerators, found.enumerators);
  }

  /** A structure that its unit only declares, where another unit defines it; else the type itself. */
  async complete(type: Entry): Promise<Entry> {
    if (type.tag !== TAG.structure_type || !type.values.has(AT.declaration)) return type;
    const name = await this.entries.name(type);
    if (name === null) return type;
    if (!this.found.structures.has(name) && !this.completed.has(name)) {
      this.completed.add(name);
      await this.find({ types: [name], variables: [], enumerators: [] });
    }
    const offset = this.found.structures.get(name);
    return offset === undefined ? type : this.entries.at(offset);
  }

  /** The value of an enumerator that was looked for. */
  enumerator(name: string): bigint | null {
    return this.found.enumerators.get(name) ?? null;
  }

  /** A structure by its name, or by a typedef's that leads to one; null when there is none. */
  async structure(name: string): Promise<Entry | null> {
    const offset = this.found.structures.get(name);
    if (offset !== undefined) return this.entries.at(offset);
    const type = await this.typedef(name);
    return type?.tag === TAG.structure_type ? type : null;
  }

  /** The source file of a typedef; null when that is not known. */
  async typedefFile(name: string): Promise<string | null> {
    const offset = this.found.typedefs.get(name);
    const line = this.elf.section(".debug_line");
    if (offset === undefined || line === undefined) return null;
    return declaredIn(await this.elf.contents(line), this.entries, await this.entries.at(offset));
  }

  /** What a typedef leads to, through other typedefs. */
  async typedef(name: string): Promise<Entry | null> {
    const offset = this.found.typedefs.get(name);
    if (offset === undefined) return null;
    let entry: Entry | null = await this.entries.at(offset);
    for (let n = 0; entry?.tag === TAG.typedef; n++) entry = await this.typeOf(entry, n);
    return entry;
  }

  /** A variable: its definition, else its first declaration. */
  async variable(name: string): Promise<Entry | null> {
    const places = this.found.variables.get(name);
    if (places === undefined) return null;
    const { first, definition } = places;
    const entry = await this.entries.at(definition ?? first);
    if (entry.values.has(AT.type)) return entry;
    return (await this.entries.refer(entry, AT.specification)) ?? entry;
  }

  /** sizeof: through typedefs and qualifiers; null for what has no size. */
  async size(type: Entry): Promise<number | null> {
    let entry: Entry | null = type;
    for (let n = 0; entry !== null; n++) {
      const size = this.entries.constant(entry, AT.byte_size);
      if (size !== null) return size;
      if (!QUALIFIERS.has(entry.tag)) return null;
      entry = await this.typeOf(entry, n);
    }
    return null;
  }

  /** A member of a structure or union, or of one that is a member of it itself; null when there is none. */
  async member(structure: Entry, name: string): Promise<Member | null> {
    return this.search(structure, name, new Set(), 0);
  }

  private async search(
    structure: Entry,
    name: string,
    searched: Set<number>,
    depth: number,
  ): Promise<Member | null> {
    searched.add(structure.offset);
    for await (const child of this.entries.children(structure)) {
      if (child.tag !== TAG.member) continue;
      const own = this.entries.memberOffset(child) ?? 0;
      if ((await this.entries.name(child)) === name) return { offset: own, entry: child };
      const type = await this.entries.refer(child, AT.type);
      if (type?.tag !== TAG.structure_type && type?.tag !== TAG.union_type) continue;
      // One that did not have it has it nowhere else either; and no structure contains itself.
      if (searched.has(type.offset) || depth >= DEPTH_MAX) continue;
      const inner = await this.search(type, name, searched, depth + 1);
      if (inner !== null) return { offset: own + inner.offset, entry: inner.entry };
    }
    return null;
  }

  /** What a variable or member is. Throws DumpError for a circle of types. */
  async shape(entry: Entry): Promise<Shape> {
    const shape: Shape = {
      array: false,
      pointer: false,
      structure: false,
      base: false,
      name: null,
      size: null,
      length: null,
      type: entry,
    };
    for (let n = 0; ; n++) {
      const type = await this.typeOf(shape.type, n);
      if (type === null) break;
      shape.type = type;
      // An array behind a pointer is no array that lies here.
      if (type.tag === TAG.array_type && !shape.pointer) {
        const length = await this.elements(type);
        shape.length = shape.array ? product(shape.length, length) : length;
        shape.array = true;
      } else if (type.tag === TAG.pointer_type) shape.pointer = true;
      else if (type.tag === TAG.structure_type) shape.structure = true;
      else if (type.tag === TAG.base_type) shape.base = true;
    }
    shape.type = await this.complete(shape.type);
    shape.name = await this.entries.name(shape.type);
    if (shape.name === null && shape.pointer && !shape.structure && !shape.base && shape.type !== entry) {
      if (shape.type.tag === TAG.pointer_type || QUALIFIERS.has(shape.type.tag)) shape.name = "void";
    }
    shape.size = await this.size(shape.type);
    return shape;
  }

  /** The elements of an array type, of all dimensions; null when one has no bound. */
  async elements(array: Entry): Promise<number | null> {
    let all: number | null = 1;
    let dimensions = 0;
    for await (const range of this.entries.children(array)) {
      if (range.tag !== TAG.subrange_type) continue;
      dimensions++;
      const count = this.entries.constant(range, AT.count);
      const upper = this.entries.constant(range, AT.upper_bound);
      // gcc writes the bound of an array of length 0 as -1, of as many bytes as it likes.
      const length = count ?? (upper === null ? null : upper >= 2 ** 32 - 1 ? 0 : upper + 1);
      all = product(all, length);
    }
    return dimensions === 0 ? null : all;
  }

  /** DW_AT_type of an entry; null: void. `step` counts those that led there. */
  async typeOf(entry: Entry, step = 0): Promise<Entry | null> {
    if (step > CHAIN_MAX)
      throw damaged(this.info.source, entry.offset, `${step} types that lead to each other`);
    return this.entries.refer(entry, AT.type);
  }
}

const QUALIFIERS: ReadonlySet<number> = new Set([
  TAG.typedef,
  TAG.const_type,
  TAG.volatile_type,
  TAG.restrict_type,
  TAG.atomic_type,
]);

const product = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? null : a * b;

/** .debug_str_offsets: what DW_FORM_strx counts through. One unit's part at a time is in memory. */
class StringOffsets {
  private unit: Unit | null = null;
  private offsets: DataView = new DataView(new ArrayBuffer(0));

  constructor(private readonly table: ByteSource | null) {}

  /** Reads the part of the unit, where it has one. */
  async prepare(unit: Unit, entries: Entries): Promise<void> {
    if (this.unit === unit || this.table === null || unit.version < 5) return;
    const { table } = this;
    const root = await entries.at(unit.first);
    const base = entries.constant(root, AT.str_offsets_base);
    this.unit = unit;
    this.offsets = new DataView(new ArrayBuffer(0));
    if (base === null) return;
    // The length stands before version and padding.
    const header = unit.offsetSize === 8 ? 16 : 8;
    const start = base - header;
    if (!(start >= 0 && base <= table.size)) {
      throw damaged(entries.source, unit.first, `its offsets of strings should lie at ${base}`);
    }
    const head = await readExactly(table, start, header, "the length of a table of offsets");
    const view = new DataView(head.buffer);
    const length = unit.offsetSize === 8 ? Number(view.getBigUint64(0, true)) : view.getUint32(0, true);
    const size = length - 4;
    if (!(size >= 0 && size <= STR_OFFSETS_MAX && base + size <= table.size)) {
      throw damaged(table, start, `a table of ${length} bytes`);
    }
    this.offsets = new DataView((await readExactly(table, base, size, "offsets of strings")).buffer);
  }

  /** Of the unit that was prepared last. */
  at(unit: Unit, index: number): number {
    const at = index * unit.offsetSize;
    if (!(this.unit === unit && at + unit.offsetSize <= this.offsets.byteLength)) {
      const section = this.table?.name ?? "the file without .debug_str_offsets";
      throw new DumpError(
        section,
        `no string ${index} for the unit at ${unit.offset}`,
        "The file is damaged.",
      );
    }
    return unit.offsetSize === 8
      ? Number(this.offsets.getBigUint64(at, true))
      : this.offsets.getUint32(at, true);
  }
}
