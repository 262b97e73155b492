/**
 * Debugging information entries (DWARF 4, one compile unit) and their encoding: a tree of `Die`s becomes
 * .debug_info, .debug_abbrev and .debug_str. Nothing here knows C or our kernel.
 */
import { ByteWriter } from "../../runtime/link/bytes.ts";

/** The names and numbers of the standard (DWARF 4, section 7.5), as far as we use them. */
export const TAG = {
  array_type: 0x01,
  enumeration_type: 0x04,
  formal_parameter: 0x05,
  member: 0x0d,
  pointer_type: 0x0f,
  compile_unit: 0x11,
  structure_type: 0x13,
  subroutine_type: 0x15,
  typedef: 0x16,
  union_type: 0x17,
  subrange_type: 0x21,
  base_type: 0x24,
  enumerator: 0x28,
  subprogram: 0x2e,
  variable: 0x34,
} as const;

export const AT = {
  location: 0x02,
  name: 0x03,
  byte_size: 0x0b,
  stmt_list: 0x10,
  low_pc: 0x11,
  high_pc: 0x12,
  language: 0x13,
  comp_dir: 0x1b,
  const_value: 0x1c,
  upper_bound: 0x2f,
  producer: 0x25,
  prototyped: 0x27,
  data_member_location: 0x38,
  decl_file: 0x3a,
  decl_line: 0x3b,
  declaration: 0x3c,
  encoding: 0x3e,
  external: 0x3f,
  frame_base: 0x40,
  type: 0x49,
  data_bit_offset: 0x6b,
  bit_size: 0x0d,
} as const;

const FORM = {
  addr: 0x01,
  data8: 0x07,
  data1: 0x0b,
  sdata: 0x0d,
  strp: 0x0e,
  udata: 0x0f,
  ref4: 0x13,
  sec_offset: 0x17,
  exprloc: 0x18,
  flag_present: 0x19,
} as const;

export type Value =
  | { form: "addr" | "data8"; value: bigint }
  | { form: "data1" | "udata" | "sdata" | "sec_offset"; value: number }
  | { form: "strp"; value: string }
  | { form: "ref4"; value: Die }
  | { form: "exprloc"; value: Uint8Array }
  | { form: "flag_present" };

export class Die {
  readonly attributes: [number, Value][] = [];
  readonly children: Die[] = [];
  /** From the start of .debug_info, once placed. */
  offset = 0;

  constructor(
    readonly tag: keyof typeof TAG,
    attributes: Partial<Record<keyof typeof AT, Value | undefined>> = {},
  ) {
    this.set(attributes);
  }

  set(attributes: Partial<Record<keyof typeof AT, Value | undefined>>): this {
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined) this.attributes.push([AT[name as keyof typeof AT], value]);
    }
    return this;
  }

  add(child: Die): Die {
    this.children.push(child);
    return child;
  }
}

export const text = (value: string): Value => ({ form: "strp", value });
export const number = (value: number): Value => ({ form: "udata", value });
export const small = (value: number): Value => ({ form: "data1", value });
export const signed = (value: number): Value => ({ form: "sdata", value });
export const address = (value: bigint): Value => ({ form: "addr", value });
export const long = (value: bigint): Value => ({ form: "data8", value });
export const ref = (value: Die): Value => ({ form: "ref4", value });
export const section = (value: number): Value => ({ form: "sec_offset", value });
export const expression = (...bytes: number[]): Value => ({ form: "exprloc", value: new Uint8Array(bytes) });
export const flag: Value = { form: "flag_present" };

export interface DebugInfo {
  info: Uint8Array;
  abbrev: Uint8Array;
  str: Uint8Array;
}

class Strings {
  private readonly offsets = new Map<string, number>();
  readonly out = new ByteWriter();

  offset(value: string): number {
    const known = this.offsets.get(value);
    if (known !== undefined) return known;
    const at = this.out.length;
    this.offsets.set(value, at);
    this.out.bytes(new TextEncoder().encode(value)).u8(0);
    return at;
  }
}

/** Abbreviation codes count from 1 in the order of their first use: drgn wants them without gaps. */
class Abbreviations {
  private readonly codes = new Map<string, number>();
  readonly out = new ByteWriter();

  code(die: Die): number {
    const key = `${die.tag} ${die.children.length > 0} ${die.attributes.map(([at, v]) => `${at} ${v.form}`)}`;
    const known = this.codes.get(key);
    if (known !== undefined) return known;
    const code = this.codes.size + 1;
    this.codes.set(key, code);
    this.out
      .uleb(code)
      .uleb(TAG[die.tag])
      .u8(die.children.length > 0 ? 1 : 0);
    for (const [at, { form }] of die.attributes) this.out.uleb(at).uleb(FORM[form]);
    this.out.u8(0, 0);
    return code;
  }
}

const UNIT_HEADER_SIZE = 11;

class Encoder {
  private readonly strings = new Strings();
  private readonly abbreviations = new Abbreviations();

  private value(out: ByteWriter, value: Value): void {
    switch (value.form) {
      case "addr":
      case "data8":
        out.u64le(value.value);
        break;
      case "data1":
        out.u8(value.value);
        break;
      case "udata":
        out.uleb(value.value);
        break;
      case "sdata":
        out.sleb(value.value);
        break;
      case "sec_offset":
        out.u32le(value.value);
        break;
      case "strp":
        out.u32le(this.strings.offset(value.value));
        break;
      case "ref4":
        out.u32le(value.value.offset);
        break;
      case "exprloc":
        out.uleb(value.value.length).bytes(value.value);
        break;
      case "flag_present":
        break;
    }
  }

  private die(out: ByteWriter, die: Die): void {
    die.offset = UNIT_HEADER_SIZE + out.length;
    out.uleb(this.abbreviations.code(die));
    for (const [, value] of die.attributes) this.value(out, value);
    for (const child of die.children) this.die(out, child);
    if (die.children.length > 0) out.u8(0);
  }

  /** References may lead forwards, and no form's size depends on them: the second pass knows every offset. */
  encode(unit: Die): DebugInfo {
    this.die(new ByteWriter(), unit);
    const body = new ByteWriter();
    this.die(body, unit);
    const info = new ByteWriter();
    info
      .u32le(UNIT_HEADER_SIZE - 4 + body.length)
      .u16le(4)
      .u32le(0)
      .u8(8)
      .bytes(body.finish());
    return {
      info: info.finish(),
      abbrev: this.abbreviations.out.u8(0).finish(),
      str: this.strings.out.finish(),
    };
  }
}

/** Encodes one compile unit with 8-byte addresses. */
export function encodeUnit(unit: Die): DebugInfo {
  return new Encoder().encode(unit);
}
