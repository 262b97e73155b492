/** An ELF64 x86-64 executable: sections, program headers, symbols. Offers writeElf(). */
import { ByteWriter } from "../../runtime/link/bytes.ts";

export const SHT = { PROGBITS: 1, SYMTAB: 2, STRTAB: 3, NOTE: 7, NOBITS: 8 } as const;
export const SHF = { WRITE: 1, ALLOC: 2, EXECINSTR: 4 } as const;
export const STT = { NOTYPE: 0, OBJECT: 1, FUNC: 2 } as const;
const PT = { LOAD: 1, NOTE: 4 } as const;
const PF = { X: 1, W: 2, R: 4 } as const;
const ET_EXEC = 2;
const EM_X86_64 = 62;
const EHDR_SIZE = 64;
const PHDR_SIZE = 56;
const SHDR_SIZE = 64;
const SYMBOL_SIZE = 24;
const PAGE = 4096;

export interface Section {
  name: string;
  type: number;
  flags: number;
  address: bigint;
  /** NOBITS: empty. */
  bytes: Uint8Array;
  /** In memory; the bytes' length without it. */
  size?: number;
  align: number;
}

export interface ElfSymbol {
  name: string;
  value: bigint;
  size: number;
  type: number;
  local: boolean;
  section: string;
}

/** Sections that are loaded as one piece, named from the first to the last. */
export interface Segment {
  first: string;
  last: string;
  physical: bigint;
}

export interface Executable {
  entry: bigint;
  sections: readonly Section[];
  symbols: readonly ElfSymbol[];
  segments: readonly Segment[];
  /** A section of notes. */
  notes: string;
}

interface Placed extends Section {
  offset: number;
  size: number;
  link: number;
  info: number;
  entrySize: number;
}

class Names {
  readonly out = new ByteWriter().u8(0);
  private readonly known = new Map<string, number>([["", 0]]);

  offset(name: string): number {
    const at = this.known.get(name) ?? this.out.length;
    if (at === this.out.length) this.out.bytes(new TextEncoder().encode(name)).u8(0);
    this.known.set(name, at);
    return at;
  }
}

/** The table, local symbols first as ELF demands; `numbers` gives a section's number by its name. */
function symbolTable(symbols: readonly ElfSymbol[], numbers: ReadonlyMap<string, number>) {
  const names = new Names();
  const out = new ByteWriter().bytes(new Uint8Array(SYMBOL_SIZE));
  const locals = symbols.filter((it) => it.local);
  for (const it of [...locals, ...symbols.filter((it) => !it.local)]) {
    const section = numbers.get(it.section);
    if (section === undefined) throw new Error(`symbol ${it.name}: no section ${it.section}`);
    out.u32le(names.offset(it.name)).u8((it.local ? 0 : 0x10) | it.type, 0);
    out.u16le(section).u64le(it.value).u64le(BigInt(it.size));
  }
  return { table: out.finish(), names: names.out.finish(), firstGlobal: locals.length + 1 };
}

function addTables(executable: Executable): Placed[] {
  const null_: Section = { name: "", type: 0, flags: 0, address: 0n, bytes: new Uint8Array(), align: 0 };
  const own = [null_, ...executable.sections];
  const numbers = new Map(own.map(({ name }, i) => [name, i]));
  const { table, names, firstGlobal } = symbolTable(executable.symbols, numbers);
  const plain = (name: string, type: number, bytes: Uint8Array, align: number): Section => ({
    name,
    type,
    flags: 0,
    address: 0n,
    bytes,
    align,
  });
  const sectionNames = new Names();
  for (const it of own) sectionNames.offset(it.name);
  for (const it of [".symtab", ".strtab", ".shstrtab"]) sectionNames.offset(it);
  const all = [
    ...own,
    plain(".symtab", SHT.SYMTAB, table, 8),
    plain(".strtab", SHT.STRTAB, names, 1),
    plain(".shstrtab", SHT.STRTAB, sectionNames.out.finish(), 1),
  ];
  return all.map((it) => {
    const symbols = it.type === SHT.SYMTAB;
    return {
      ...it,
      offset: 0,
      size: it.size ?? it.bytes.length,
      link: symbols ? own.length + 1 : 0,
      info: symbols ? firstGlobal : 0,
      entrySize: symbols ? SYMBOL_SIZE : 0,
    };
  });
}

/** Gives each section its place in the file; loaded ones lie as in memory, page by page. */
function place(sections: readonly Placed[], from: number): number {
  let end = from;
  for (const it of sections) {
    if (it.type === 0) continue;
    const align = Math.max(it.align, 1);
    end = Math.ceil(end / align) * align;
    if (it.flags & SHF.ALLOC) end += Number((it.address - BigInt(end)) & BigInt(PAGE - 1));
    it.offset = end;
    if (it.type !== SHT.NOBITS) end += it.bytes.length;
  }
  return Math.ceil(end / 8) * 8;
}

function programHeader(
  out: ByteWriter,
  type: number,
  flags: number,
  sections: Placed[],
  physical: bigint,
): void {
  const first = sections[0] as Placed;
  const last = sections.at(-1) as Placed;
  const inFile = sections.filter((it) => it.type !== SHT.NOBITS).at(-1);
  const fileSize = inFile ? inFile.offset + inFile.bytes.length - first.offset : 0;
  const memorySize = last.address + BigInt(last.size) - first.address;
  out.u32le(type).u32le(flags).u64le(BigInt(first.offset)).u64le(first.address).u64le(physical);
  out.u64le(BigInt(fileSize)).u64le(type === PT.LOAD ? memorySize : BigInt(fileSize));
  out.u64le(BigInt(type === PT.LOAD ? PAGE : first.align));
}

function programHeaders({ segments, notes }: Executable, sections: Placed[]): Uint8Array {
  const out = new ByteWriter();
  const at = (name: string): number => sections.findIndex((it) => it.name === name);
  for (const { first, last, physical } of segments) {
    const inside = sections.slice(at(first), at(last) + 1);
    const has = (flag: number): boolean => inside.some((it) => it.flags & flag);
    const flags = PF.R | (has(SHF.WRITE) ? PF.W : 0) | (has(SHF.EXECINSTR) ? PF.X : 0);
    programHeader(out, PT.LOAD, flags, inside, physical);
  }
  programHeader(out, PT.NOTE, PF.R, sections.slice(at(notes), at(notes) + 1), 0n);
  return out.finish();
}

function sectionHeaders(sections: readonly Placed[]): Uint8Array {
  const names = new Names();
  const out = new ByteWriter();
  for (const it of sections) {
    out.u32le(names.offset(it.name)).u32le(it.type).u64le(BigInt(it.flags)).u64le(it.address);
    out.u64le(BigInt(it.offset)).u64le(BigInt(it.size)).u32le(it.link).u32le(it.info);
    out.u64le(BigInt(it.align)).u64le(BigInt(it.entrySize));
  }
  return out.finish();
}

/** The file's bytes. Throws when a symbol or segment names a section that does not exist. */
export function writeElf(executable: Executable): Uint8Array {
  const sections = addTables(executable);
  const phdrs = executable.segments.length + 1;
  const tableAt = place(sections, EHDR_SIZE + PHDR_SIZE * phdrs);
  const header = new ByteWriter();
  header.u8(0x7f, 0x45, 0x4c, 0x46, 2, 1, 1).align(16);
  header.u16le(ET_EXEC).u16le(EM_X86_64).u32le(1).u64le(executable.entry);
  header.u64le(BigInt(EHDR_SIZE)).u64le(BigInt(tableAt)).u32le(0);
  header.u16le(EHDR_SIZE).u16le(PHDR_SIZE).u16le(phdrs).u16le(SHDR_SIZE);
  header.u16le(sections.length).u16le(sections.length - 1);
  const file = new Uint8Array(tableAt + SHDR_SIZE * sections.length);
  file.set(header.finish());
  file.set(programHeaders(executable, sections), EHDR_SIZE);
  for (const it of sections) if (it.type !== SHT.NOBITS) file.set(it.bytes, it.offset);
  file.set(sectionHeaders(sections), tableAt);
  return file;
}
