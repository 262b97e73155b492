/**
 * ELF64 relocatable objects (ET_REL, x86-64), as gcc -c leaves them and `ld -r` makes a .ko of them:
 * writeElfObject() lays out sections, their RELA tables, .symtab, .strtab and .shstrtab.
 */
import { ByteWriter } from "./bytes.ts";
import { LinkError } from "./error.ts";

export interface ElfRelocation {
  /** Offset in the section. */
  at: number;
  type: number;
  /** A symbol, or the name of a section. One that nothing defines is undefined in the file. */
  symbol: string;
  addend: number;
}

export interface ElfSection {
  name: string;
  bytes: Uint8Array;
  /** More than the bytes: of a section that has none in the file. */
  size: number;
  align: number;
  /** Of A, W and X; "" for what is not loaded. */
  flags: string;
  relocations: readonly ElfRelocation[];
}

export interface ElfSymbol {
  name: string;
  type: "FUNC" | "OBJECT";
  global: boolean;
  section: string;
  /** Offset in the section. */
  value: number;
  size: number;
}

const HEADER_SIZE = 64;
const SECTION_HEADER_SIZE = 64;
const SYMBOL_SIZE = 24;
const RELA_SIZE = 24;
const ET_REL = 1;
const EM_X86_64 = 62;
const SHT = { null: 0, progbits: 1, symtab: 2, strtab: 3, rela: 4, note: 7, nobits: 8 };
const SHF: Record<string, number> = { W: 1, A: 2, X: 4 };
const SHF_INFO_LINK = 0x40;
const STT = { FUNC: 2, OBJECT: 1 };
const STT_SECTION = 3;
const STB_GLOBAL = 1;

interface Header {
  name: string;
  type: number;
  flags: number;
  bytes: Uint8Array;
  size: number;
  link: number;
  info: number;
  align: number;
  entrySize: number;
}

/** NUL-terminated strings, each once. */
class Strings {
  private readonly out = new ByteWriter().u8(0);
  private readonly offsets = new Map([["", 0]]);

  offset(text: string): number {
    let at = this.offsets.get(text);
    if (at === undefined) {
      at = this.out.length;
      this.offsets.set(text, at);
      this.out.bytes(new TextEncoder().encode(text)).u8(0);
    }
    return at;
  }

  finish(): Uint8Array {
    return this.out.finish();
  }
}

interface SymbolTable {
  bytes: Uint8Array;
  strings: Uint8Array;
  firstGlobal: number;
  /** Symbol or section name -> index. */
  index: Map<string, number>;
}

/** Sections first, then local symbols, then global and undefined ones, as the format demands. */
function symbolTable(
  sections: readonly ElfSection[],
  symbols: readonly ElfSymbol[],
  numbers: ReadonlyMap<string, number>,
): SymbolTable {
  const strings = new Strings();
  const out = new ByteWriter();
  const index = new Map<string, number>();
  const put = (name: string, info: number, section: number, value: number, size: number): void => {
    // Static functions may share a name; relocations name sections, data and undefined symbols.
    if (!index.has(name)) index.set(name, out.length / SYMBOL_SIZE);
    const label = (info & 0xf) === STT_SECTION ? "" : name;
    out.u32le(strings.offset(label)).u8(info, 0).u16le(section).u64le(BigInt(value)).u64le(BigInt(size));
  };
  put("", 0, 0, 0, 0);
  for (const { name } of sections) put(name, STT_SECTION, numbers.get(name) ?? 0, 0, 0);
  const place = ({ name, type, global, section, value, size }: ElfSymbol): void => {
    const number = numbers.get(section);
    if (number === undefined)
      throw new LinkError(`the symbol ${name} is in ${section}, which does not exist`);
    put(name, STT[type] | (global ? STB_GLOBAL << 4 : 0), number, value, size);
  };
  symbols.filter((it) => !it.global).forEach(place);
  const firstGlobal = out.length / SYMBOL_SIZE;
  symbols.filter((it) => it.global).forEach(place);
  const wanted = new Set(sections.flatMap((it) => it.relocations.map(({ symbol }) => symbol)));
  for (const name of [...wanted].filter((it) => !index.has(it)).sort()) put(name, STB_GLOBAL << 4, 0, 0, 0);
  return { bytes: out.finish(), strings: strings.finish(), firstGlobal, index };
}

function relaBytes(relocations: readonly ElfRelocation[], index: ReadonlyMap<string, number>): Uint8Array {
  const out = new ByteWriter();
  for (const { at, type, symbol, addend } of relocations) {
    out
      .u64le(BigInt(at))
      .u32le(type)
      .u32le(index.get(symbol) ?? 0);
    out.u64le(BigInt.asUintN(64, BigInt(addend)));
  }
  return out.finish();
}

function flagBits(flags: string): number {
  return [...flags].reduce((bits, flag) => bits | (SHF[flag] ?? 0), 0);
}

/** The file's bytes; the same sections and symbols, the same bytes. */
export function writeElfObject(sections: readonly ElfSection[], symbols: readonly ElfSymbol[]): Uint8Array {
  const numbers = new Map(sections.map(({ name }, position) => [name, position + 1]));
  const related = sections.filter((it) => it.relocations.length > 0);
  const symtab = sections.length + related.length + 1;
  const table = symbolTable(sections, symbols, numbers);
  const plain = { link: 0, info: 0, entrySize: 0 };
  const headers: Header[] = [
    { name: "", type: SHT.null, flags: 0, bytes: new Uint8Array(0), size: 0, align: 0, ...plain },
    ...sections.map(({ name, bytes, size, align, flags }): Header => {
      const type = size > bytes.length ? SHT.nobits : name.startsWith(".note") ? SHT.note : SHT.progbits;
      return { name, type, flags: flagBits(flags), bytes, size, align, ...plain };
    }),
    ...related.map(({ name, relocations }): Header => {
      const bytes = relaBytes(relocations, table.index);
      const info = numbers.get(name) ?? 0;
      const shape = { size: bytes.length, align: 8, link: symtab, info, entrySize: RELA_SIZE };
      return { name: `.rela${name}`, type: SHT.rela, flags: SHF_INFO_LINK, bytes, ...shape };
    }),
    {
      name: ".symtab",
      type: SHT.symtab,
      flags: 0,
      bytes: table.bytes,
      size: table.bytes.length,
      link: symtab + 1,
      info: table.firstGlobal,
      align: 8,
      entrySize: SYMBOL_SIZE,
    },
    {
      name: ".strtab",
      type: SHT.strtab,
      flags: 0,
      bytes: table.strings,
      size: table.strings.length,
      align: 1,
      ...plain,
    },
  ];
  const names = new Strings();
  for (const { name } of headers) names.offset(name);
  names.offset(".shstrtab");
  const nameBytes = names.finish();
  headers.push({
    name: ".shstrtab",
    type: SHT.strtab,
    flags: 0,
    bytes: nameBytes,
    size: nameBytes.length,
    align: 1,
    ...plain,
  });
  return layOut(headers, names);
}

function layOut(headers: readonly Header[], names: Strings): Uint8Array {
  const body = new ByteWriter();
  const offsets = headers.map(({ bytes, align }) => {
    body.align(Math.max(align, 1));
    const at = body.length;
    body.bytes(bytes);
    return HEADER_SIZE + at;
  });
  body.align(8);
  const out = new ByteWriter();
  out.u8(0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0).u64le(0n);
  out.u16le(ET_REL).u16le(EM_X86_64).u32le(1).u64le(0n).u64le(0n);
  out.u64le(BigInt(HEADER_SIZE + body.length)).u32le(0);
  out.u16le(HEADER_SIZE).u16le(0).u16le(0);
  out
    .u16le(SECTION_HEADER_SIZE)
    .u16le(headers.length)
    .u16le(headers.length - 1);
  out.bytes(body.finish());
  headers.forEach(({ name, type, flags, size, link, info, align, entrySize }, position) => {
    out.u32le(names.offset(name)).u32le(type).u64le(BigInt(flags)).u64le(0n);
    out.u64le(BigInt(type === SHT.null ? 0 : (offsets[position] as number)));
    out.u64le(BigInt(size)).u32le(link).u32le(info).u64le(BigInt(align)).u64le(BigInt(entrySize));
  });
  return out.finish();
}
