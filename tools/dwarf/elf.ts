/**
 * ElfFile: sections, symbols and loaded bytes of a vmlinux, read as they are asked for. 64-bit little-endian
 * files only, as AddressSpace's kernels are; section headers are in memory, contents never as a whole unless
 * they are compressed (SHF_COMPRESSED), and then up to a limit.
 */
import { type ByteSource, MemoryBytes, readExactly } from "../dump/bytes.ts";
import { CachedBytes } from "../dump/cached-bytes.ts";
import { ELF64, getField, PT_LOAD } from "../dump/elf-header.ts";
import { ADVICE_DAMAGED, ADVICE_TRUNCATED, DumpError, hex } from "../dump/error.ts";
import { cString } from "../dump/notes.ts";
import { findStrings } from "./strings.ts";

const SHT_SYMTAB = 2;
const SHT_NOBITS = 8;
const SHF_COMPRESSED = 0x800n;
const ELFCOMPRESS_ZLIB = 1;
const CHDR_SIZE = 24;
const SYMBOL_SIZE = 24;
/** Offsets of ELF64's header fields that cores do without. */
const E_SHENTSIZE = 58;
const E_SHNUM = 60;
const E_SHSTRNDX = 62;
const SHN_XINDEX = 0xffff;
const SECTIONS_MAX = 1 << 16;
/** A compressed section is unpacked in memory. */
const UNPACKED_MAX = 128 * 1024 * 1024;
const PIECE = 1024 * 1024;

export interface ElfSection {
  name: string;
  type: number;
  flags: bigint;
  offset: number;
  size: number;
  link: number;
}

interface LoadedSegment {
  virtual: bigint;
  offset: number;
  fileSize: number;
}

/** A part of a file as a file. */
export class SectionBytes implements ByteSource {
  readonly name: string;

  constructor(
    private readonly file: ByteSource,
    section: string,
    private readonly offset: number,
    readonly size: number,
  ) {
    this.name = `${file.name}, ${section}`;
  }

  pread(buffer: Uint8Array, offset: number): Promise<number> {
    const length = Math.max(0, Math.min(buffer.length, this.size - offset));
    return this.file.pread(buffer.subarray(0, length), this.offset + offset);
  }
}

export class ElfFile {
  private readonly bytes: CachedBytes;

  private constructor(
    readonly source: ByteSource,
    readonly sections: readonly ElfSection[],
    private readonly segments: readonly LoadedSegment[],
  ) {
    this.bytes = new CachedBytes(source);
  }

  get name(): string {
    return this.source.name;
  }

  /** Reads the headers. Throws DumpError when the file is no such ELF file or its headers are damaged. */
  static async open(source: ByteSource): Promise<ElfFile> {
    const refuse = (offset: number, what: string, advice = ADVICE_DAMAGED) =>
      new DumpError(`${source.name}, offset ${hex(offset)}`, what, advice);
    const advice = "Give the vmlinux with debugging information of the kernel that crashed.";
    const ident = await readExactly(source, 0, Math.min(7, source.size), "the start of the file");
    if (![0x7f, 0x45, 0x4c, 0x46].every((byte, at) => ident[at] === byte)) {
      throw refuse(0, "the file does not begin with ELF's magic number 7f 45 4c 46", advice);
    }
    if (ident[4] !== 2 || ident[5] !== 1) {
      const found = `ELF class ${ident[4]}, byte order ${ident[5]}: expected 2 and 1`;
      throw refuse(4, found, "Only 64-bit little-endian files are read.");
    }
    const header = view(await readExactly(source, 0, ELF64.ehdrSize, "the ELF header"));
    const exact = (value: bigint, offset: number, what: string): number => {
      if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
      throw refuse(offset, `${what} is ${hex(value)}`);
    };
    const field = (it: keyof typeof ELF64 & ("phoff" | "shoff" | "phnum" | "phentsize")) =>
      exact(getField(header, ELF64[it], 0, true), ELF64[it][0], `e_${it}`);
    const shoff = field("shoff");
    if (shoff === 0) throw refuse(ELF64.shoff[0], "no section headers", advice);
    if (header.getUint16(E_SHENTSIZE, true) !== ELF64.shdrSize) {
      const found = `section headers of ${header.getUint16(E_SHENTSIZE, true)} bytes`;
      throw refuse(E_SHENTSIZE, `${found}, not ${ELF64.shdrSize}`);
    }
    // Where the header's 16 bits do not suffice, section 0 has the numbers.
    const first = view(await readExactly(source, shoff, ELF64.shdrSize, "section header 0"));
    const count = header.getUint16(E_SHNUM, true) || exact(first.getBigUint64(32, true), shoff, "sh_size");
    const named = header.getUint16(E_SHSTRNDX, true);
    const strings = named === SHN_XINDEX ? first.getUint32(40, true) : named;
    if (count > SECTIONS_MAX) throw refuse(E_SHNUM, `${count} sections, more than ${SECTIONS_MAX}`);
    if (strings >= count) throw refuse(E_SHSTRNDX, `section ${strings} of ${count} has the names`);
    const table = view(await readExactly(source, shoff, count * ELF64.shdrSize, "the section headers"));
    const sections: ElfSection[] = [];
    const names: number[] = [];
    for (let n = 0; n < count; n++) {
      const at = n * ELF64.shdrSize;
      const section: ElfSection = {
        name: "",
        type: table.getUint32(at + 4, true),
        flags: table.getBigUint64(at + 8, true),
        offset: exact(table.getBigUint64(at + 24, true), shoff + at + 24, `section ${n}: sh_offset`),
        size: exact(table.getBigUint64(at + 32, true), shoff + at + 32, `section ${n}: sh_size`),
        link: table.getUint32(at + 40, true),
      };
      if (section.type !== SHT_NOBITS && section.offset + section.size > source.size) {
        const range = `${hex(section.offset)}..${hex(section.offset + section.size)}`;
        const found = `section ${n} should lie at ${range}, but the file has ${hex(source.size)} bytes`;
        throw refuse(shoff + at + 24, found, ADVICE_TRUNCATED);
      }
      names.push(table.getUint32(at, true));
      sections.push(section);
    }
    const file = new ElfFile(source, sections, await readSegments(source, header));
    for (const [n, at] of names.entries()) sections[n]!.name = await file.nameAt(sections[strings]!, at);
    return file;
  }

  section(name: string): ElfSection | undefined {
    return this.sections.find((it) => it.name === name && it.type !== SHT_NOBITS);
  }

  /** The contents, unpacked where they are compressed. Throws DumpError where that cannot be done. */
  async contents(section: ElfSection): Promise<ByteSource> {
    const { name, offset, size, flags } = section;
    if ((flags & SHF_COMPRESSED) === 0n) return new SectionBytes(this.source, name, offset, size);
    const header = view(await readExactly(this.source, offset, CHDR_SIZE, `the header of ${name}`));
    const refuse = (what: string, advice: string) =>
      new DumpError(`${this.name}, ${name}, offset ${hex(offset)}`, what, advice);
    const advice = "Unpack it first: objcopy --decompress-debug-sections.";
    const type = header.getUint32(0, true);
    if (type !== ELFCOMPRESS_ZLIB) throw refuse(`compressed by method ${type}, not zlib`, advice);
    const unpacked = Number(header.getBigUint64(8, true));
    if (unpacked > UNPACKED_MAX) throw refuse(`${unpacked} bytes when unpacked`, advice);
    const packed = new SectionBytes(this.source, name, offset + CHDR_SIZE, size - CHDR_SIZE);
    try {
      return new MemoryBytes(packed.name, await inflate(packed, unpacked));
    } catch (error) {
      if (error instanceof DumpError) throw error;
      throw refuse(`does not unpack: ${(error as Error).message}`, ADVICE_DAMAGED);
    }
  }

  /** The first symbol of each name, in the order of the symbol table. Throws DumpError when there is none. */
  async symbols(names: Iterable<string>): Promise<Map<string, bigint>> {
    const table = this.sections.find((it) => it.type === SHT_SYMTAB);
    const strings = this.sections[table?.link ?? -1];
    if (table === undefined || strings === undefined) {
      throw new DumpError(this.name, "Can't find symbol table.", "Give a vmlinux that was not stripped.");
    }
    const wanted = await findStrings(await this.contents(strings), names);
    const found = new Map<string, bigint>();
    const source = await this.contents(table);
    const count = Math.floor(source.size / SYMBOL_SIZE);
    const batch = Math.floor(PIECE / SYMBOL_SIZE);
    for (let from = 0; from < count; from += batch) {
      const length = Math.min(batch, count - from) * SYMBOL_SIZE;
      const symbols = view(await readExactly(source, from * SYMBOL_SIZE, length, "symbols"));
      for (let at = 0; at < length; at += SYMBOL_SIZE) {
        const name = wanted.get(symbols.getUint32(at, true));
        if (name !== undefined && !found.has(name)) found.set(name, symbols.getBigUint64(at + 8, true));
      }
    }
    return found;
  }

  /** What the file has for the address at link time; null when no segment has all of it. */
  async readVirtual(address: bigint, length: number): Promise<Uint8Array | null> {
    for (const { virtual, offset, fileSize } of this.segments) {
      const within = address - virtual;
      if (within < 0n || within + BigInt(length) > BigInt(fileSize)) continue;
      return readExactly(this.source, offset + Number(within), length, `the bytes of ${hex(address)}`);
    }
    return null;
  }

  private async nameAt(strings: ElfSection, at: number): Promise<string> {
    const left = Math.min(64, strings.size - at);
    if (left <= 0) return "";
    return cString(await this.bytes.view(strings.offset + at, left, "the name of a section"));
  }
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

async function readSegments(source: ByteSource, header: DataView): Promise<LoadedSegment[]> {
  const { p, phdrSize } = ELF64;
  const phnum = header.getUint16(ELF64.phnum[0], true);
  if (phnum === 0) return [];
  const phoff = Number(header.getBigUint64(ELF64.phoff[0], true));
  const table = view(await readExactly(source, phoff, phnum * phdrSize, "the program headers"));
  const segments: LoadedSegment[] = [];
  for (let at = 0; at < table.byteLength; at += phdrSize) {
    if (Number(getField(table, p.type, at, true)) !== PT_LOAD) continue;
    segments.push({
      virtual: getField(table, p.vaddr, at, true),
      offset: Number(getField(table, p.offset, at, true)),
      fileSize: Number(getField(table, p.filesz, at, true)),
    });
  }
  return segments;
}

/** Throws what the engine throws of damaged data, and when there are not exactly `size` bytes. */
async function inflate(packed: ByteSource, size: number): Promise<Uint8Array> {
  const stream = new DecompressionStream("deflate");
  const writer = stream.writable.getWriter();
  const feed = async (): Promise<void> => {
    for (let at = 0; at < packed.size; at += PIECE) {
      await writer.write(await readExactly(packed, at, Math.min(PIECE, packed.size - at), "packed bytes"));
    }
    await writer.close();
  };
  // What goes wrong on this side is told by the other one too.
  const fed = feed().then(
    () => null,
    (error: unknown) => error,
  );
  const bytes = new Uint8Array(size);
  let length = 0;
  const reader = stream.readable.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (length + value.length > size) {
      await reader.cancel();
      throw new Error(`more than ${size} bytes`);
    }
    bytes.set(value, length);
    length += value.length;
  }
  const error = await fed;
  if (error !== null) throw error;
  if (length < size) throw new Error(`${length} bytes, not ${size}`);
  return bytes;
}
