/**
 * ElfCore: a vmcore in ELF form, from /proc/vmcore, `cp`, or `makedumpfile -E`, as a KernelDump with notes.
 *
 *     0   e_ident 7f 45 4c 46, class, data, version      p_type    0   p_paddr  24
 *     16  e_type     18  e_machine    20  e_version      p_flags   4   p_filesz 32
 *     32  e_phoff    40  e_shoff      52  e_ehsize       p_offset  8   p_memsz  40
 *     54  e_phentsize   56  e_phnum   60  e_shnum        p_vaddr  16   p_align  48
 *
 * Nothing read here is trusted. What makes the whole file unreadable throws; what spoils a part of it is
 * told in `problems`, and a read that meets it throws: the log of a dump that was cut off is still worth
 * having. Where loads overlap in physical memory (Linux lists the kernel's image twice) the one that starts
 * lower serves; p_memsz beyond p_filesz reads as zero, unless another load has the bytes (makedumpfile -E
 * cuts runs of excluded pages so).
 */
import { type ByteSource, readExactly } from "./bytes.ts";
import { ADVICE_DAMAGED, ADVICE_TRUNCATED, DumpError, hex } from "./error.ts";
import { type KernelDump, type Mapping, type PhysicalRange, READ_MAX } from "./memory-source.ts";
import { type Note, parseNotes } from "./notes.ts";
import { VMCOREINFO_NOTE, VMCOREINFO_SIZE_MAX, VmcoreInfo } from "./vmcoreinfo.ts";

export const PT_LOAD = 1;
export const PT_NOTE = 4;
export const ET_CORE = 4;
export const EM_X86_64 = 62;
export const EHDR_SIZE = 64;
export const PHDR_SIZE = 56;
/** e_phnum when there are more headers than it can hold: the count is sh_info of section header 0. */
export const PN_XNUM = 0xffff;
/** Program headers that we accept: a kernel lists one a memory range, 32768 with kexec-tools. */
export const PHNUM_MAX = 1 << 18;
/** All notes together: 8192 CPUs need 3 MiB, device dumps (NT_VMCOREDD) some more. */
export const NOTES_SIZE_MAX = 64 * 1024 * 1024;
/** x86_64's physical addresses have 52 bits. */
const PHYSICAL_END = 2 ** 52;

export interface Segment {
  index: number;
  type: number;
  flags: number;
  offset: number;
  virtual: bigint;
  /** null when p_paddr is no address (all ones, as some writers put into alias headers). */
  physical: number | null;
  fileSize: number;
  memorySize: number;
  align: bigint;
}

/** A run of physical memory; `offset` is where the file has it, null when it is zero by p_memsz. */
interface Run extends PhysicalRange {
  offset: number | null;
}

export class ElfCore implements KernelDump {
  readonly name: string;
  readonly ranges: readonly PhysicalRange[];
  readonly mappings: readonly Mapping[];
  private readonly data: Run[];
  private readonly zero: Run[];
  private info: VmcoreInfo | null = null;

  private constructor(
    private readonly source: ByteSource,
    readonly segments: readonly Segment[],
    readonly notes: readonly Note[],
    /** What is wrong with the file without making it useless, one sentence each. */
    readonly problems: readonly string[],
  ) {
    this.name = source.name;
    const loads = segments.filter((s) => s.type === PT_LOAD && s.physical !== null);
    // Dumps made from outside (QEMU's) have p_vaddr 0 everywhere, which says nothing.
    this.mappings = loads
      .filter(({ virtual }) => virtual !== 0n)
      .map(({ virtual, physical, memorySize }) => ({ virtual, physical: physical ?? 0, size: memorySize }));
    this.data = disjoint(loads.map((s) => run(s, 0, s.fileSize, s.offset)));
    this.zero = disjoint(loads.map((s) => run(s, Math.min(s.fileSize, s.memorySize), s.memorySize, null)));
    this.ranges = union([...this.data, ...this.zero]);
  }

  /**
   * Reads headers and notes. Throws DumpError when the file is no ELF core of x86_64 or its headers are
   * damaged.
   */
  static async open(source: ByteSource): Promise<ElfCore> {
    const header = await readHeader(source);
    const problems: string[] = [];
    const segments = await readSegments(source, header, problems);
    const notes = await readNotes(source, segments, problems);
    return new ElfCore(source, segments, notes, problems);
  }

  /** Loads in the order of their headers. */
  get loads(): Segment[] {
    return this.segments.filter((segment) => segment.type === PT_LOAD);
  }

  /** The VMCOREINFO note. Throws DumpError when there is none: the dump is none of a Linux kernel's. */
  get vmcoreinfo(): VmcoreInfo {
    if (this.info !== null) return this.info;
    const note = this.notes.find((n) => n.name === VMCOREINFO_NOTE && n.type === 0);
    if (note === undefined) {
      const advice =
        "Only dumps made by kdump have one; take the dump of another tool to crash with a vmlinux.";
      throw new DumpError(this.name, "no VMCOREINFO note among the notes", advice);
    }
    const { length } = note.descriptor;
    if (length > VMCOREINFO_SIZE_MAX) {
      throw new DumpError(this.name, `the VMCOREINFO note claims ${length} bytes`, ADVICE_DAMAGED);
    }
    this.info = new VmcoreInfo(this.name, latin1(note.descriptor));
    return this.info;
  }

  async read(physical: number, length: number): Promise<Uint8Array> {
    if (!(physical >= 0 && length >= 0 && length <= READ_MAX && physical + length <= PHYSICAL_END)) {
      throw new DumpError(
        this.name,
        `no memory has ${hex(length)} bytes at ${hex(physical)}`,
        ADVICE_DAMAGED,
      );
    }
    const bytes = new Uint8Array(length);
    let at = physical;
    const end = physical + length;
    while (at < end) {
      const found = findRun(this.data, at) ?? findRun(this.zero, at);
      if (found === undefined) {
        const advice =
          "It was left out (the crash region always is), or the address comes from damaged memory.";
        throw new DumpError(this.name, `physical address ${hex(at)} is not in the dump`, advice);
      }
      // A run of zeros ends where the next run of data begins.
      const limit = found.offset === null ? nextStart(this.data, at) : found.end;
      const stop = Math.min(end, found.end, limit);
      if (found.offset !== null) {
        const what = `physical memory ${hex(at)}..${hex(stop)}`;
        const part = await readExactly(this.source, found.offset + (at - found.start), stop - at, what);
        bytes.set(part, at - physical);
      }
      at = stop;
    }
    return bytes;
  }
}

interface Header {
  phoff: number;
  phnum: number;
}

const SIGNATURES: readonly [string, string, string][] = [
  ["KDUMP   ", "a kdump-compressed dump", "Read it with crash, drgn, or makedumpfile --dump-dmesg."],
  ["DISKDUMP", "a diskdump dump", "Read it with crash."],
  ["makedumpfile\0", "a flattened dump", "Rebuild it first: makedumpfile -R NEWFILE < FILE."],
];

async function readHeader(source: ByteSource): Promise<Header> {
  const start = await readExactly(source, 0, Math.min(16, source.size), "the start of the file");
  const refuse = (what: string, advice: string) => new DumpError(source.name, what, advice);
  const text = latin1(start);
  for (const [signature, what, advice] of SIGNATURES) {
    if (text.startsWith(signature)) throw refuse(`this is ${what}, not an ELF core`, advice);
  }
  if (!text.startsWith("\x7fELF")) {
    if (source.size < 4) throw refuse(`the file has ${source.size} bytes: no dump`, ADVICE_TRUNCATED);
    throw refuse(
      "the file does not begin with ELF's magic number 7f 45 4c 46",
      "Give the vmcore of a crash.",
    );
  }
  const bytes = await readExactly(source, 0, EHDR_SIZE, "the ELF header");
  const view = new DataView(bytes.buffer);
  const only = "Only little endian 64-bit x86_64 cores can be read.";
  if (bytes[4] === 1) throw refuse("a 32-bit ELF file (ELFCLASS32)", only);
  if (bytes[4] !== 2) throw refuse(`unknown ELF class ${bytes[4]}`, ADVICE_DAMAGED);
  if (bytes[5] !== 1) throw refuse(`byte order ${bytes[5]}, not little endian (1)`, only);
  if (bytes[6] !== 1) throw refuse(`ELF version ${bytes[6]}, not 1`, ADVICE_DAMAGED);
  const type = view.getUint16(16, true);
  const machine = view.getUint16(18, true);
  const entry = view.getUint16(54, true);
  if (type !== ET_CORE) throw refuse(`ELF type ${type}, not a core (4)`, "Give the vmcore, not the vmlinux.");
  if (machine !== EM_X86_64) throw refuse(`made on machine ${machine}, not x86_64 (62)`, only);
  if (entry !== PHDR_SIZE)
    throw refuse(`program headers of ${entry} bytes, not ${PHDR_SIZE}`, ADVICE_DAMAGED);
  const phoff = exact(source, view.getBigUint64(32, true), "e_phoff");
  let phnum = view.getUint16(56, true);
  if (phnum === PN_XNUM) {
    const shoff = exact(source, view.getBigUint64(40, true), "e_shoff");
    const section = await readExactly(
      source,
      shoff,
      64,
      "section header 0, which holds the count of program headers",
    );
    phnum = new DataView(section.buffer).getUint32(44, true);
  }
  if (phnum === 0) throw refuse("no program headers: the core describes no memory", ADVICE_DAMAGED);
  if (phnum > PHNUM_MAX) throw refuse(`${phnum} program headers, more than ${PHNUM_MAX}`, ADVICE_DAMAGED);
  return { phoff, phnum };
}

/** A 64-bit offset or size as a number. Beyond 2^53 it is damage: no file system holds such a file. */
function exact(source: ByteSource, value: bigint, what: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new DumpError(source.name, `${what} is ${hex(value)}`, ADVICE_DAMAGED);
  }
  return Number(value);
}

async function readSegments(source: ByteSource, header: Header, problems: string[]): Promise<Segment[]> {
  const size = header.phnum * PHDR_SIZE;
  const table = await readExactly(source, header.phoff, size, `the table of ${header.phnum} program headers`);
  const view = new DataView(table.buffer);
  const segments: Segment[] = [];
  for (let index = 0; index < header.phnum; index++) {
    const at = index * PHDR_SIZE;
    const field = (offset: number, name: string) =>
      exact(source, view.getBigUint64(at + offset, true), `program header ${index}: ${name}`);
    const paddr = view.getBigUint64(at + 24, true);
    const segment: Segment = {
      index,
      type: view.getUint32(at, true),
      flags: view.getUint32(at + 4, true),
      offset: field(8, "p_offset"),
      virtual: view.getBigUint64(at + 16, true),
      physical: paddr < BigInt(PHYSICAL_END) ? Number(paddr) : null,
      fileSize: field(32, "p_filesz"),
      memorySize: field(40, "p_memsz"),
      align: view.getBigUint64(at + 48, true),
    };
    if (segment.type === PT_LOAD || segment.type === PT_NOTE) segments.push(segment);
    if (segment.type === PT_LOAD) checkLoad(source, segment, problems);
  }
  return segments;
}

function checkLoad(source: ByteSource, segment: Segment, problems: string[]): void {
  const { index, offset, physical, fileSize, memorySize } = segment;
  const where = `program header ${index}`;
  if (physical !== null && physical + Math.max(fileSize, memorySize) > PHYSICAL_END) {
    const size = hex(Math.max(fileSize, memorySize));
    const what = `${where}: ${size} bytes at physical address ${hex(physical)}`;
    throw new DumpError(source.name, what, ADVICE_DAMAGED);
  }
  const add = (text: string) => {
    // A file cut off at its start makes every later load incomplete: a few examples tell as much as all.
    if (problems.length < 16) problems.push(`${where}: ${text}`);
  };
  if (fileSize > memorySize) add(`p_filesz ${hex(fileSize)} is larger than p_memsz ${hex(memorySize)}`);
  if (offset + fileSize > source.size) {
    add(`bytes ${hex(offset)}..${hex(offset + fileSize)} lie beyond the file's end at ${hex(source.size)}`);
  }
}

async function readNotes(source: ByteSource, segments: Segment[], problems: string[]): Promise<Note[]> {
  const notes: Note[] = [];
  let total = 0;
  for (const segment of segments.filter((s) => s.type === PT_NOTE)) {
    total += segment.fileSize;
    if (total > NOTES_SIZE_MAX) {
      const sizes = `${hex(total)} bytes of notes, more than ${hex(NOTES_SIZE_MAX)}`;
      const what = `program header ${segment.index}: ${sizes}`;
      throw new DumpError(source.name, what, ADVICE_DAMAGED);
    }
    const what = `the notes of program header ${segment.index}`;
    const parsed = parseNotes(await readExactly(source, segment.offset, segment.fileSize, what));
    notes.push(...parsed.notes);
    for (const problem of parsed.problems) problems.push(`program header ${segment.index}: ${problem}`);
  }
  return notes;
}

function run(segment: Segment, from: number, to: number, fileOffset: number | null): Run {
  const physical = segment.physical ?? 0;
  return { start: physical + from, end: physical + to, offset: fileOffset };
}

/** Sorts runs and cuts each where an earlier one has served its start already. */
function disjoint(runs: Run[]): Run[] {
  const sorted = runs.filter((r) => r.end > r.start).sort((a, b) => a.start - b.start);
  const result: Run[] = [];
  let covered = 0;
  for (const { start, end, offset } of sorted) {
    if (end <= covered) continue;
    const from = Math.max(start, covered);
    result.push({ start: from, end, offset: offset === null ? null : offset + (from - start) });
    covered = end;
  }
  return result;
}

function union(runs: Run[]): PhysicalRange[] {
  const result: PhysicalRange[] = [];
  for (const { start, end } of runs.sort((a, b) => a.start - b.start)) {
    const last = result.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else result.push({ start, end });
  }
  return result;
}

/** Index of the first run that starts above `at`. */
function upperBound(runs: Run[], at: number): number {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((runs[middle] as Run).start <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}

function findRun(runs: Run[], at: number): Run | undefined {
  const candidate = runs[upperBound(runs, at) - 1];
  return candidate !== undefined && at < candidate.end ? candidate : undefined;
}

function nextStart(runs: Run[], at: number): number {
  return runs[upperBound(runs, at)]?.start ?? Number.POSITIVE_INFINITY;
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
