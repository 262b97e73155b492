/**
 * ElfCore: a vmcore in ELF form, 32 or 64 bit, of any machine and byte order: from /proc/vmcore, `cp`, or
 * `makedumpfile -E`, as a KernelDump. elf-header.ts says where the fields lie.
 *
 * Nothing read here is trusted. What makes the whole file unreadable throws; what spoils a part of it is
 * told in `problems`, and a read that meets it throws: the log of a dump that was cut off is still worth
 * having. Where loads overlap in physical memory (Linux lists the kernel's image twice) the one that starts
 * lower serves; p_memsz beyond p_filesz reads as zero, unless another load has the bytes (makedumpfile -E
 * cuts runs of excluded pages so).
 */
import { type ByteSource, readExactly, readInto } from "./bytes.ts";
import {
  DUMP_ELF_INCOMPLETE,
  ELF32,
  ELF64,
  type ElfLayout,
  ET_CORE,
  type Field,
  getField,
  machineName,
  PN_XNUM,
  PT_LOAD,
  PT_NOTE,
} from "./elf-header.ts";
import { ADVICE_DAMAGED, ADVICE_TRUNCATED, DumpError, hex } from "./error.ts";
import {
  type KernelDump,
  type Mapping,
  type PageState,
  type PhysicalRange,
  READ_MAX,
} from "./memory-source.ts";
import { cString, ERASEINFO_NOTE, type Note, parseNotes } from "./notes.ts";
import { PageBitmap } from "./page-bitmap.ts";
import { upperBound } from "./upper-bound.ts";
import { pageSizeOf, type VmcoreInfo, vmcoreinfoOf } from "./vmcoreinfo.ts";

/** Program headers that we accept: a kernel lists one a memory range, 32768 with kexec-tools. */
export const PHNUM_MAX = 1 << 18;
/** All notes together: 8192 CPUs need 3 MiB, device dumps (NT_VMCOREDD) some more. */
export const NOTES_SIZE_MAX = 64 * 1024 * 1024;
/** x86_64's physical addresses have 52 bits. */
const PHYSICAL_END = 2 ** 52;
/**
 * Where memory may end, whatever the file's size, and for each byte of it: a dump has at least the struct
 * pages, a 64th of memory; the rest is for holes, as ARM's machines have them.
 */
const END_BELIEVED = 2 ** 40;
const END_PER_BYTE = 2 ** 17;

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
  readonly format: string;
  readonly machine: string;
  /** EI_CLASS, EI_DATA, e_machine, and p_memsz and p_align of the notes: what a filtered copy keeps. */
  readonly image: { class: 1 | 2; little: boolean; machine: number; notesMemory: number; notesAlign: bigint };
  /** What the dump holds, ascending and disjoint. */
  readonly ranges: readonly PhysicalRange[];
  readonly header = null;
  readonly physBase = null;
  readonly dumpLevel = null;
  readonly mappings: readonly Mapping[];
  private readonly data: Run[];
  private readonly zero: Run[];
  private info: VmcoreInfo | null = null;

  private constructor(
    private readonly source: ByteSource,
    header: Header,
    readonly segments: readonly Segment[],
    readonly notes: readonly Note[],
    readonly noteBytes: Uint8Array,
    readonly problems: readonly string[],
  ) {
    this.name = source.name;
    this.format = `${header.layout.name} core`;
    this.machine = machineName(header.machine);
    const noted = segments.find(({ type }) => type === PT_NOTE);
    const { layout, little, machine } = header;
    this.image = {
      class: layout.class,
      little,
      machine,
      notesMemory: noted?.memorySize ?? 0,
      notesAlign: noted?.align ?? 0n,
    };
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
   * Reads headers and notes. Throws DumpError when the file is no ELF core or its headers are damaged.
   * `known` are problems of the file that were found before.
   */
  static async open(source: ByteSource, known: readonly string[] = []): Promise<ElfCore> {
    const header = await readHeader(source);
    const problems = [...known];
    const segments = await readSegments(source, header, problems);
    const { notes, bytes } = await readNotes(source, header, segments, problems);
    return new ElfCore(source, header, segments, notes, bytes, problems);
  }

  /** Loads in the order of their headers. */
  get loads(): Segment[] {
    return this.segments.filter((segment) => segment.type === PT_LOAD);
  }

  /** The VMCOREINFO note. Throws DumpError when there is none: the dump is none of a Linux kernel's. */
  get vmcoreinfo(): VmcoreInfo {
    this.info ??= vmcoreinfoOf(this.name, this.notes);
    return this.info;
  }

  /** The note that makedumpfile -E adds. */
  get eraseinfo(): string {
    const note = this.notes.find(({ name, type }) => name === ERASEINFO_NOTE && type === 0);
    return note === undefined ? "" : cString(note.descriptor);
  }

  get pageSize(): number {
    return pageSizeOf(this);
  }

  get end(): number {
    return this.ranges.at(-1)?.end ?? 0;
  }

  async held(): Promise<number> {
    return this.ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  /**
   * As makedumpfile counts them: a load's last page only when the load has all of it. Throws DumpError when a
   * header tells of so much memory that bitmaps of it would be larger than any dump that is no damage.
   */
  async pages(): Promise<{ exist: PageBitmap; dumped: PageBitmap }> {
    const { pageSize } = this;
    const most = Math.max(END_BELIEVED, this.source.size * END_PER_BYTE);
    if (this.end > most) {
      const of = `of which the file has ${hex(this.source.size)} bytes`;
      throw new DumpError(
        this.name,
        `program headers tell of memory up to ${hex(this.end)}, ${of}`,
        ADVICE_DAMAGED,
      );
    }
    const exist = new PageBitmap(Math.ceil(this.end / pageSize));
    const dumped = new PageBitmap(exist.pages);
    const add = (bitmap: PageBitmap, { start, end }: PhysicalRange) => {
      const first = Math.floor(start / pageSize);
      const begun = this.ranges.some(
        (range) => range.start <= first * pageSize && first * pageSize < range.end,
      );
      bitmap.addRange(begun ? first : first + 1, Math.floor(end / pageSize));
    };
    for (const range of this.ranges) add(exist, range);
    for (const range of union(this.data.map(({ start, end }) => ({ start, end })))) add(dumped, range);
    return { exist, dumped };
  }

  async pageState(pfn: number): Promise<PageState> {
    const start = pfn * this.pageSize;
    const end = start + this.pageSize;
    let state: PageState = "missing";
    for (let at = start; at < end; ) {
      const found = findRun(this.data, at);
      if (found?.offset !== undefined && found.offset !== null) {
        if (found.offset + Math.min(end, found.end) - found.start <= this.source.size) return "present";
        state = "lost";
      } else if (findRun(this.zero, at) !== undefined && state === "missing") state = "excluded";
      const next = found?.end ?? Math.min(nextStart(this.data, at), nextStart(this.zero, at));
      at = Math.max(at + 1, next);
    }
    return state;
  }

  async read(physical: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    if (!(physical >= 0 && length >= 0 && length <= READ_MAX && physical + length <= PHYSICAL_END)) {
      throw new DumpError(
        this.name,
        `no memory has ${hex(length)} bytes at ${hex(physical)}`,
        ADVICE_DAMAGED,
      );
    }
    const end = physical + length;
    const whole = findRun(this.data, physical);
    if (whole !== undefined && whole.offset !== null && end <= whole.end) {
      const what = `physical memory ${hex(physical)}..${hex(end)}`;
      const offset = whole.offset + (physical - whole.start);
      if (into === undefined) return readExactly(this.source, offset, length, what);
      await readInto(this.source, offset, into, what);
      return into;
    }
    const bytes = new Uint8Array(length);
    let at = physical;
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
  layout: ElfLayout;
  little: boolean;
  machine: number;
  phoff: number;
  phnum: number;
}

async function readHeader(source: ByteSource): Promise<Header> {
  const start = await readExactly(source, 0, Math.min(16, source.size), "the start of the file");
  const refuse = (offset: number, what: string, advice: string) =>
    new DumpError(`${source.name}, offset ${hex(offset)}`, what, advice);
  if (![0x7f, 0x45, 0x4c, 0x46].every((byte, at) => start[at] === byte)) {
    if (source.size < 4) throw refuse(0, `the file has ${source.size} bytes: no dump`, ADVICE_TRUNCATED);
    throw refuse(
      0,
      "the file does not begin with ELF's magic number 7f 45 4c 46",
      "Give the vmcore of a crash.",
    );
  }
  if (start[4] !== 1 && start[4] !== 2) throw refuse(4, `ELF class ${start[4]}, not 1 or 2`, ADVICE_DAMAGED);
  if (start[5] !== 1 && start[5] !== 2) throw refuse(5, `byte order ${start[5]}, not 1 or 2`, ADVICE_DAMAGED);
  if (start[6] !== 1) throw refuse(6, `ELF version ${start[6]}, not 1`, ADVICE_DAMAGED);
  const layout = start[4] === 1 ? ELF32 : ELF64;
  const little = start[5] === 1;
  const view = new DataView((await readExactly(source, 0, layout.ehdrSize, "the ELF header")).buffer);
  const field = (it: Field) => Number(getField(view, it, 0, little));
  const type = field(layout.type);
  if (type !== ET_CORE) {
    throw refuse(layout.type[0], `ELF type ${type}, not a core (4)`, "Give the vmcore, not the vmlinux.");
  }
  const entry = field(layout.phentsize);
  if (entry !== layout.phdrSize) {
    const what = `program headers of ${entry} bytes, not ${layout.phdrSize}`;
    throw refuse(layout.phentsize[0], what, ADVICE_DAMAGED);
  }
  const phoff = exact(source, 0, layout.phoff, view, little, "e_phoff");
  let phnum = field(layout.phnum);
  if (phnum === PN_XNUM) {
    const shoff = exact(source, 0, layout.shoff, view, little, "e_shoff");
    const what = "section header 0, which holds the count of program headers";
    const section = await readExactly(source, shoff, layout.shdrSize, what);
    phnum = Number(getField(new DataView(section.buffer), layout.shInfo, 0, little));
  }
  const at = layout.phnum[0];
  if (phnum === 0) throw refuse(at, "no program headers: the core describes no memory", ADVICE_DAMAGED);
  if (phnum > PHNUM_MAX) {
    throw refuse(at, `${phnum} program headers, more than ${PHNUM_MAX}`, ADVICE_DAMAGED);
  }
  return { layout, little, machine: field(layout.machine), phoff, phnum };
}

/**
 * An offset or size as a number; `base` is where the header lies in the file. Beyond 2^53 it is damage: no
 * file system holds such a file.
 */
function exact(
  source: ByteSource,
  base: number,
  field: Field,
  view: DataView,
  little: boolean,
  what: string,
  within = 0,
): number {
  const value = getField(view, field, within, little);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
    const where = `${source.name}, offset ${hex(base + within + field[0])}`;
    throw new DumpError(where, `${what} is ${hex(value)}`, ADVICE_DAMAGED);
  }
  return Number(value);
}

async function readSegments(source: ByteSource, header: Header, problems: string[]): Promise<Segment[]> {
  const { layout, little, phoff, phnum } = header;
  const { p, phdrSize } = layout;
  const table = await readExactly(source, phoff, phnum * phdrSize, `the table of ${phnum} program headers`);
  const view = new DataView(table.buffer);
  const flags = await readExactly(source, layout.flags[0], 4, "e_flags");
  if ((new DataView(flags.buffer).getUint32(0, little) & DUMP_ELF_INCOMPLETE) !== 0) {
    problems.push("makedumpfile could not write the whole dump (e_flags 1): its last pages are not there");
  }
  const segments: Segment[] = [];
  for (let index = 0; index < phnum; index++) {
    const at = index * phdrSize;
    const field = (it: Field, name: string) =>
      exact(source, phoff, it, view, little, `program header ${index}: ${name}`, at);
    const paddr = getField(view, p.paddr, at, little);
    const none = BigInt.asUintN(p.paddr[1] * 8, -1n);
    const segment: Segment = {
      index,
      type: Number(getField(view, p.type, at, little)),
      flags: Number(getField(view, p.flags, at, little)),
      offset: field(p.offset, "p_offset"),
      virtual: getField(view, p.vaddr, at, little),
      physical: paddr !== none && paddr < BigInt(PHYSICAL_END) ? Number(paddr) : null,
      fileSize: field(p.filesz, "p_filesz"),
      memorySize: field(p.memsz, "p_memsz"),
      align: getField(view, p.align, at, little),
    };
    if (segment.type === PT_LOAD || segment.type === PT_NOTE) segments.push(segment);
    if (segment.type === PT_LOAD) checkLoad(source, header, segment, problems);
  }
  return segments;
}

function checkLoad(source: ByteSource, header: Header, segment: Segment, problems: string[]): void {
  const { index, offset, physical, fileSize, memorySize } = segment;
  const where = `program header ${index}`;
  if (physical !== null && physical + Math.max(fileSize, memorySize) > PHYSICAL_END) {
    const size = hex(Math.max(fileSize, memorySize));
    const what = `${where}: ${size} bytes at physical address ${hex(physical)}`;
    const at = header.phoff + index * header.layout.phdrSize;
    throw new DumpError(`${source.name}, offset ${hex(at)}`, what, ADVICE_DAMAGED);
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

async function readNotes(
  source: ByteSource,
  header: Header,
  segments: Segment[],
  problems: string[],
): Promise<{ notes: Note[]; bytes: Uint8Array }> {
  const parts = segments.filter((s) => s.type === PT_NOTE);
  let total = 0;
  for (const segment of parts) {
    total += segment.fileSize;
    if (total > NOTES_SIZE_MAX) {
      const sizes = `${hex(total)} bytes of notes, more than ${hex(NOTES_SIZE_MAX)}`;
      const what = `program header ${segment.index}: ${sizes}`;
      const at = header.phoff + segment.index * header.layout.phdrSize;
      throw new DumpError(`${source.name}, offset ${hex(at)}`, what, ADVICE_DAMAGED);
    }
  }
  const notes: Note[] = [];
  // Segments that lie beyond the file's end are refused before memory is taken for all.
  const read: Uint8Array[] = [];
  for (const { index, offset, fileSize } of parts) {
    read.push(await readExactly(source, offset, fileSize, `the notes of program header ${index}`));
  }
  const bytes = new Uint8Array(total);
  let at = 0;
  for (const [order, part] of read.entries()) {
    bytes.set(part, at);
    const parsed = parseNotes(bytes.subarray(at, at + part.length), header.little);
    notes.push(...parsed.notes);
    for (const problem of parsed.problems) problems.push(`program header ${parts[order]!.index}: ${problem}`);
    at += part.length;
  }
  return { notes, bytes };
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

function union(runs: PhysicalRange[]): PhysicalRange[] {
  const result: PhysicalRange[] = [];
  for (const { start, end } of runs.sort((a, b) => a.start - b.start)) {
    const last = result.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else result.push({ start, end });
  }
  return result;
}

const startOf = (run: Run): number => run.start;

function findRun(runs: Run[], at: number): Run | undefined {
  const candidate = runs[upperBound(runs, at, startOf) - 1];
  return candidate !== undefined && at < candidate.end ? candidate : undefined;
}

function nextStart(runs: Run[], at: number): number {
  return runs[upperBound(runs, at, startOf)]?.start ?? Number.POSITIVE_INFINITY;
}
