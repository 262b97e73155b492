/**
 * Debugging information entries (DWARF 4, one compile unit) and their encoding: a tree of `Die`s becomes
 * .debug_info, .debug_abbrev and .debug_str. Nothing here knows C or our kernel.
 */
import { ByteWriter } from "../../runtime/link/bytes.ts";
import { AT, FORM, TAG } from "../dwarf/names.ts";

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
