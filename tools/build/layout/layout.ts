/**
 * Places what kernel-wasm/abi describes: sizes and offsets of structs, values of constants, addresses of
 * symbols (counted from __base; per-CPU symbols from 0). The generators in this folder only print what stands
 * here.
 */

import type { ConfigValue } from "../../../kernel-wasm/abi/config.ts";
import type { AbiSpec, Target } from "../../../kernel-wasm/abi/dsl.ts";
import { Declarations, parseExpression, parseTypes, parseVariables } from "./cparse.ts";
import { type CType, type Expr, LayoutError, type StructDef, type VariableDecl } from "./ctypes.ts";

export interface Field {
  /** "" for an anonymous struct or union. */
  name: string;
  type: CType;
  /** Bytes from the struct's start; for a bit-field, of its storage unit. */
  offset: number;
  /** Bit-fields: first bit within the storage unit, and width. */
  bit?: { shift: number; width: number; unit: number };
  line: string;
}

export interface StructLayout {
  size: number;
  align: number;
  fields: Field[];
}

const SECTIONS = ["rodata", "data", "page_aligned", "bss", "percpu"] as const;
export type Section = (typeof SECTIONS)[number];

export interface PlacedSymbol {
  name: string;
  type: CType;
  section: Section;
  /** Bytes from __base; per-CPU symbols: from the start of a per-CPU area. */
  offset: number;
  size: number;
  /** The other symbol whose address this one names. */
  aliasOf?: string;
}

export interface Constant {
  name: string;
  value: bigint;
  /** The enum it belongs to, "" when anonymous; undefined for a define or a config value. */
  enumName?: string;
}

const PAGE_SIZE = 4096;
const up = (n: number, to: number): number => Math.ceil(n / to) * to;

export class Layout {
  readonly decls = new Declarations();
  readonly constants = new Map<string, Constant>();
  readonly symbols = new Map<string, PlacedSymbol>();
  readonly backtrace: string[] = [];
  readonly entry: string[] = [];
  readonly exports: string[] = [];
  /** Bytes from __base to _end, a page multiple. */
  dataEnd = 0;
  /** Initialised bytes from __base. */
  data = new Uint8Array(0);
  /** The per-CPU template, from __base. */
  percpu = { offset: 0, size: 0 };
  bssStart = 0;
  private readonly pending = new Map<string, Expr | bigint>();
  private readonly layouts = new Map<StructDef, StructLayout>();
  private readonly open = new Set<StructDef>();
  private readonly variables: Record<Section, VariableDecl[]> = {
    rodata: [],
    data: [],
    page_aligned: [],
    bss: [],
    percpu: [],
  };

  constructor(
    readonly target: Target,
    readonly config: Record<string, ConfigValue>,
    readonly specs: Record<string, AbiSpec>,
  ) {
    for (const [name, value] of Object.entries(config))
      this.constants.set(name, { name, value: BigInt(value) });
    for (const [file, spec] of Object.entries(specs)) parseTypes(spec.structs ?? "", file, this.decls);
    for (const section of SECTIONS) {
      for (const [file, spec] of Object.entries(specs)) {
        const found = parseVariables(spec[section] ?? "", `${file} ${section}`, this.decls);
        if (this.serves(spec)) this.variables[section].push(...found);
      }
    }
    this.readConstants();
    for (const def of this.decls.structs.values()) if (def.members) this.structLayout(def);
    this.placeSymbols();
  }

  private serves(spec: AbiSpec): boolean {
    return (spec.targets ?? ["production", "capture"]).includes(this.target);
  }

  private readConstants(): void {
    const places = new Map<string, string>();
    const define = (name: string, value: Expr | bigint, where: string) => {
      if (this.pending.has(name) || this.constants.has(name)) {
        throw new LayoutError(
          `${where}: ${name} is defined twice (first in ${places.get(name) ?? "the configuration"})`,
        );
      }
      places.set(name, where);
      this.pending.set(name, value);
    };
    for (const [file, spec] of Object.entries(this.specs)) {
      for (const [name, value] of Object.entries(spec.defines ?? {})) {
        const where = `${file}: ${name}`;
        define(
          name,
          typeof value === "string" ? parseExpression(value, where, this.decls) : BigInt(value),
          where,
        );
      }
    }
    const enums = [...this.decls.enums.values()];
    for (const e of enums) {
      let last: Expr | bigint = -1n;
      for (const v of e.values ?? []) {
        const value: Expr | bigint =
          v.value ??
          (typeof last === "bigint"
            ? last + 1n
            : { op: "binary", sign: "+", a: last, b: { op: "num", value: 1n } });
        define(v.name, value, e.where);
        last = value;
      }
    }
    for (const name of [...this.pending.keys()]) this.constant(name);
    for (const e of enums) {
      for (const v of e.values ?? []) (this.constants.get(v.name) as Constant).enumName = e.name;
    }
  }

  constant(name: string): bigint {
    const known = this.constants.get(name);
    if (known) return known.value;
    const value = this.pending.get(name);
    if (value === undefined)
      throw new LayoutError(`unknown constant ${name}: declare it in a defines block or an enum`);
    this.pending.delete(name);
    const result = typeof value === "bigint" ? value : this.evaluate(value);
    this.constants.set(name, { name, value: result });
    return result;
  }

  evaluate(e: Expr): bigint {
    switch (e.op) {
      case "num":
        return e.value;
      case "name":
        return this.constant(e.name);
      case "sizeof":
        return BigInt(this.size(e.type));
      case "unary": {
        const a = this.evaluate(e.a);
        return e.sign === "-" ? -a : e.sign === "~" ? ~a : a === 0n ? 1n : 0n;
      }
      case "binary":
        return binary(e.sign, this.evaluate(e.a), this.evaluate(e.b));
    }
  }

  /** The type behind typedefs. */
  resolve(type: CType): CType {
    let t = type;
    while (t.kind === "typedef") {
      const to = this.decls.typedefs.get(t.name);
      if (!to) throw new LayoutError(`unknown type ${t.name}`);
      t = to;
    }
    return t;
  }

  size(type: CType): number {
    const t = this.resolve(type);
    switch (t.kind) {
      case "base":
        return t.size;
      case "pointer":
        return 8;
      case "enum":
        return 4;
      case "array":
        return t.count === null ? 0 : this.count(t.count) * this.size(t.of);
      case "struct":
        return this.structLayout(t.def).size;
      default:
        throw new LayoutError("a function has no size");
    }
  }

  align(type: CType): number {
    const t = this.resolve(type);
    if (t.kind === "array") return this.align(t.of);
    if (t.kind === "struct") return this.structLayout(t.def).align;
    return this.size(t);
  }

  count(e: Expr): number {
    const n = this.evaluate(e);
    if (n < 0n || n > 0x1000000n) throw new LayoutError(`an array of ${n} elements`);
    return Number(n);
  }

  structLayout(def: StructDef): StructLayout {
    const known = this.layouts.get(def);
    if (known) return known;
    if (!def.members) throw new LayoutError(`struct ${def.name} is used by value but never defined`);
    if (this.open.has(def)) throw new LayoutError(`struct ${def.name} contains itself`);
    this.open.add(def);
    const layout = this.place(def);
    this.open.delete(def);
    this.layouts.set(def, layout);
    return layout;
  }

  private place(def: StructDef): StructLayout {
    const fields: Field[] = [];
    let size = 0;
    let align = def.align ? Number(this.evaluate(def.align)) : 1;
    /** Next free bit of the struct. */
    let bit = 0;
    const seen = new Set<string>();
    for (const m of def.members ?? []) {
      if (m.name && seen.has(m.name)) throw new LayoutError(`${m.line}: member ${m.name} stands twice`);
      seen.add(m.name);
      const s = this.size(m.type);
      const natural = def.packed ? 1 : this.align(m.type);
      const a = Math.max(natural, m.align ? Number(this.evaluate(m.align)) : 1);
      if (m.bits) {
        const width = Number(this.evaluate(m.bits));
        if (width > s * 8) throw new LayoutError(`${m.line}: bit-field ${m.name} is wider than its type`);
        if (def.union) bit = 0;
        // A bit-field never crosses a boundary of its own type (System V ABI 3.1.2); width 0 ends a unit.
        if (width === 0 || Math.floor(bit / (s * 8)) !== Math.floor((bit + width - 1) / (s * 8)))
          bit = up(bit, s * 8);
        const unit = Math.floor(bit / (s * 8)) * s;
        if (width > 0) {
          if (m.name) fields.push({ ...m, offset: unit, bit: { shift: bit - unit * 8, width, unit: s } });
          align = Math.max(align, a);
        }
        bit += width;
        size = Math.max(size, Math.ceil(bit / 8));
        continue;
      }
      const offset = def.union ? 0 : up(Math.ceil(bit / 8), a);
      fields.push({ name: m.name, type: m.type, offset, line: m.line });
      bit = (offset + s) * 8;
      size = Math.max(size, offset + s);
      align = Math.max(align, a);
    }
    return { size: up(size, align), align, fields };
  }

  /**
   * Every named member, those of anonymous structs and unions included, with offsets from the struct's start.
   */
  flatFields(def: StructDef, shift = 0): Field[] {
    return this.structLayout(def).fields.flatMap((f) => {
      const t = this.resolve(f.type);
      if (f.name === "" && t.kind === "struct") return this.flatFields(t.def, shift + f.offset);
      return [{ ...f, offset: f.offset + shift }];
    });
  }

  private placeSymbols(): void {
    const init = new Map<string, string | Uint8Array | number | bigint>();
    const aliases: [string, string][] = [];
    for (const spec of Object.values(this.specs).filter((s) => this.serves(s))) {
      for (const [name, value] of Object.entries(spec.init ?? {})) init.set(name, value);
      aliases.push(...Object.entries(spec.aliases ?? {}));
      this.backtrace.push(...(spec.backtrace ?? []));
      this.entry.push(...(spec.entry ?? []));
      this.exports.push(...(spec.exports ?? []));
    }
    let at = 0;
    const place = (section: Section, from: number): number => {
      let cursor = from;
      for (const v of this.variables[section]) {
        if (this.symbols.has(v.name)) throw new LayoutError(`${v.where}: symbol ${v.name} is declared twice`);
        const given = v.align ? Number(this.evaluate(v.align)) : 1;
        const size = this.size(v.type);
        const natural = Math.max(this.align(v.type), size >= 64 ? 16 : 1);
        cursor = up(cursor, Math.max(given, section === "page_aligned" ? PAGE_SIZE : natural));
        this.symbols.set(v.name, { name: v.name, type: v.type, section, offset: cursor, size });
        cursor += size;
      }
      return cursor;
    };
    at = place("rodata", 0);
    at = place("data", up(at, 64));
    this.percpu = { offset: up(at, 64), size: up(place("percpu", 0), 64) };
    at = this.percpu.offset + this.percpu.size;
    this.bssStart = at;
    at = this.variables.page_aligned.length > 0 ? place("page_aligned", up(at, PAGE_SIZE)) : up(at, 64);
    at = place("bss", at);
    this.dataEnd = up(at, PAGE_SIZE);
    for (const [name, of] of aliases) {
      const target = this.symbols.get(of);
      if (!target) throw new LayoutError(`alias ${name}: no symbol ${of}`);
      this.symbols.set(name, { ...target, name, aliasOf: of });
    }
    for (const [name, value] of init) this.initialise(name, value);
  }

  /** Gives a symbol its initial bytes in the image. */
  initialise(name: string, value: string | Uint8Array | number | bigint): void {
    const symbol = this.symbols.get(name);
    if (!symbol) throw new LayoutError(`init: no symbol ${name}`);
    if (symbol.section === "bss" || symbol.section === "page_aligned") {
      throw new LayoutError(`init: ${name} lies in ${symbol.section}, which has no bytes in the image`);
    }
    const at = symbol.offset + (symbol.section === "percpu" ? this.percpu.offset : 0);
    const raw = initialBytes(value, symbol.size);
    if (raw.length > symbol.size) {
      throw new LayoutError(`init: ${name} has ${raw.length} bytes, the symbol only ${symbol.size}`);
    }
    const bytes = new Uint8Array(Math.max(this.data.length, at + raw.length));
    bytes.set(this.data);
    bytes.set(raw, at);
    this.data = bytes;
  }
}

function initialBytes(value: string | Uint8Array | number | bigint, size: number): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (typeof value === "string") return new TextEncoder().encode(`${value}\0`);
  const raw = new Uint8Array(size);
  let rest = BigInt.asUintN(size * 8, BigInt(value));
  for (let i = 0; i < size; i++, rest >>= 8n) raw[i] = Number(rest & 0xffn);
  return raw;
}

function binary(sign: string, a: bigint, b: bigint): bigint {
  switch (sign) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      return a / b;
    case "%":
      return a % b;
    case "<<":
      return a << b;
    case ">>":
      return a >> b;
    case "&":
      return a & b;
    case "|":
      return a | b;
    case "^":
      return a ^ b;
    default: {
      const truth: Record<string, boolean> = {
        "==": a === b,
        "!=": a !== b,
        "<": a < b,
        ">": a > b,
        "<=": a <= b,
        ">=": a >= b,
      };
      return truth[sign] ? 1n : 0n;
    }
  }
}
