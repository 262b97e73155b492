/**
 * vmlinux: the kernel as debuggers want it, an ELF executable with symbols and debugging information. It is
 * made from what the build knows anyway: the layout (types, variables), the link step's output (functions,
 * lines, symbols, bytes) and the kernel's sources (parameters). The same build gives the same bytes.
 *
 *     .text            the x86 skeleton, the image's header before it    \
 *     .init.text       empty: no text is freed after the boot             |
 *     .wasm            the module that runs                               |  as in the image
 *     .rodata          link-made tables, C strings, constants             |
 *     .data            up to the per-CPU template                         |
 *     .data..percpu    the template, at address 0                         |
 *     .bss             no bytes                                          /
 *     .notes           the build id that VMCOREINFO has too
 *     .debug_*         DWARF 4
 */
import { ByteWriter } from "../../runtime/link/bytes.ts";
import type { FunctionInfo, LineInfo, LinkOutput } from "../../runtime/link/index.ts";
import type { Layout } from "../build/layout/layout.ts";
import { address, Die, encodeUnit, expression, flag, long, ref, section, small, text } from "./dwarf.ts";
import { type ElfSymbol, type Executable, type Section, SHF, SHT, STT, writeElf } from "./elf.ts";
import { encodeFrames, type FrameInfo, frameKind } from "./frame.ts";
import { functionDie, type ReadSource, Sources } from "./functions.ts";
import { encodeLines, type Row, type Sequence } from "./line.ts";
import { TypeTable } from "./types.ts";

export interface VmlinuxInput {
  layout: Layout;
  linked: LinkOutput;
  /** The GNU build id. */
  buildId: Uint8Array;
  readSource: ReadSource;
}

const KERNEL_MAP = 0xffffffff80000000n;
const DW_LANG_C99 = 0x0c;
const DW_OP_addr = 0x03;
const NT_GNU_BUILD_ID = 3;
/** push %rbp; mov %rsp,%rbp. */
const PROLOGUE_SIZE = 4;

/** ELF section of each section that the link step knows. */
const SECTION_OF: Record<string, string> = {
  rodata: ".rodata",
  data: ".data",
  page_aligned: ".bss",
  bss: ".bss",
  percpu: ".data..percpu",
};

function loadedSections({ layout, linked: { image, header } }: VmlinuxInput): Section[] {
  const bytes = (from: number, to: number): Uint8Array => {
    const out = new Uint8Array(to - from);
    out.set(image.subarray(from, Math.min(to, image.length)));
    return out;
  };
  const base = header.dataOffset;
  const part = (name: string, flags: number, from: number, to: number, align: number): Section => ({
    name,
    type: SHT.PROGBITS,
    flags: SHF.ALLOC | flags,
    address: header.linkAddress + BigInt(from),
    bytes: bytes(from, to),
    align,
  });
  const etext = header.textOffset + header.textSize;
  const constants = [...layout.symbols.values()].filter((it) => it.section === "rodata");
  const rodataEnd = base + Math.max(0, ...constants.map((it) => it.offset + it.size));
  const dataStart = Math.ceil(rodataEnd / 64) * 64;
  const percpu = base + layout.percpu.offset;
  return [
    part(".text", SHF.EXECINSTR, 0, etext, 4096),
    part(".init.text", SHF.EXECINSTR, etext, etext, 1),
    part(".wasm", 0, header.wasmOffset, header.wasmOffset + header.wasmSize, 1),
    part(".rodata", 0, header.rodataOffset, rodataEnd, 16),
    part(".data", SHF.WRITE, dataStart, percpu, 64),
    { ...part(".data..percpu", SHF.WRITE, percpu, percpu + layout.percpu.size, 64), address: 0n },
    {
      ...part(".bss", SHF.WRITE, 0, 0, 4096),
      type: SHT.NOBITS,
      address: header.linkAddress + BigInt(base + layout.bssStart),
      size: layout.dataEnd - layout.bssStart,
      align: 64,
    },
  ];
}

function buildIdNote(buildId: Uint8Array): Section {
  const out = new ByteWriter().u32le(4).u32le(buildId.length).u32le(NT_GNU_BUILD_ID);
  out.bytes(new TextEncoder().encode("GNU\0")).bytes(buildId).align(4);
  return { name: ".notes", type: SHT.NOTE, flags: 0, address: 0n, bytes: out.finish(), align: 4 };
}

function symbols({ linked }: VmlinuxInput): ElfSymbol[] {
  const functions = new Set(linked.functions.map((it) => it.address));
  return linked.symbols.map(({ name, value, size, letter, section }) => {
    const isFunction =
      section === ".text" && size > 0 && functions.has(Number(value - linked.header.linkAddress));
    return {
      name,
      value,
      size,
      type: isFunction ? STT.FUNC : size > 0 ? STT.OBJECT : STT.NOTYPE,
      local: letter === letter.toLowerCase(),
      section: SECTION_OF[section] ?? section,
    };
  });
}

/**
 * Where asc's names of files lead to on disk, from the project's top: its library, and the sources that the
 * build generates.
 */
function sourcePath(file: string): string {
  return file
    .replace(/^~lib\//, "node_modules/assemblyscript/std/assembly/")
    .replace(/^kernel-wasm\/include\/generated\//, "build/production/generated/");
}

/** As gcc has it: the declaration at the entry, the body's first line behind the prologue, then the calls. */
function lineSequence(
  info: FunctionInfo,
  lines: readonly LineInfo[],
  { start, sources, framed }: { start: bigint; sources: Sources; framed: boolean },
): Sequence {
  const row = (at: number, file: string, line: number, column: number): Row => ({
    address: start + BigInt(at),
    file: sources.number(sourcePath(file)),
    line,
    column,
  });
  const rows: Row[] = [];
  const declared = sources.find(info.internalName);
  const body = info.address + (framed ? PROLOGUE_SIZE : 0);
  if (declared) rows.push(row(info.address, declared.file, declared.signature.line, 1));
  const calls = new Set(info.callSites.map((it) => it.address));
  for (const { address, file, line, column } of lines) {
    if (calls.has(address)) {
      // A call's line begins inside of the instruction: then it is also that of the return address behind it,
      // which lies on the next call. gdb and drgn look one byte before that, crash looks there itself.
      rows.push(row(address + 1, file, line, column));
    } else if (declared && file !== declared.file) {
      // The body begins with code of an inlined function; a breakpoint should be where it was asked for.
      rows.push(row(body, declared.file, declared.signature.line, 1));
    } else rows.push(row(body, file, line, column));
  }
  return { rows, end: start + BigInt(info.address + info.size) };
}

/** What debugging information is made of, of the kernel or of a module. */
export interface DebugInput {
  layout: Layout;
  functions: readonly FunctionInfo[];
  lines: readonly LineInfo[];
  /** Address of the text, and bytes of it. */
  start: bigint;
  textSize: number;
  /** Bytes from the text's start that the kernel's own addresses cover; 0 of a module, which has none. */
  imageSize: number;
  /** Address of each of the layout's symbols. */
  addresses: ReadonlyMap<string, bigint>;
  /** Of the compile unit: its main source. */
  name: string;
  /** Every type of the layout, or those that are used. */
  allTypes: boolean;
  readSource: ReadSource;
}

/** .debug_info and its kin. */
export function debugSections(input: DebugInput): Section[] {
  const { layout, functions, lines, start, addresses, readSource } = input;
  const sources = new Sources(readSource);
  const entries = new Set(layout.entry);

  const unit = new Die("compile_unit", {
    producer: text("wasm-kdump"),
    language: small(DW_LANG_C99),
    name: text(input.name),
    comp_dir: text("."),
    low_pc: address(start),
    high_pc: long(BigInt(input.textSize)),
    stmt_list: section(0),
  });
  const types = new TypeTable(layout, unit);
  if (input.allTypes) types.addAll();
  for (const { name, type } of layout.symbols.values()) {
    const at = new ByteWriter().u64le(addresses.get(name) ?? 0n).finish();
    const die = types.die(type);
    if (!die) continue;
    const location = expression(DW_OP_addr, ...at);
    unit.add(new Die("variable", { name: text(name), type: ref(die), external: flag, location }));
  }
  const names = functions.map((it) => it.name);
  const image = { start: Number(start - KERNEL_MAP), size: input.imageSize };
  const shared = new Set(names.filter((name, i) => names.indexOf(name) !== i));
  for (const it of functions) unit.add(functionDie(it, start, { sources, types, shared, image }));

  const kinds = functions.map((it): FrameInfo => {
    const kind = frameKind(it.name, entries.has(it.name));
    // A thunk of the hardware, or link-made: a lone ret.
    const framed = kind === "framed" && it.internalName === null ? "outermost" : kind;
    return { address: start + BigInt(it.address), size: it.size, kind: framed, area: it.argumentArea };
  });
  let at = 0;
  const sequences = functions.map((it, i): Sequence => {
    const own: LineInfo[] = [];
    while (at < lines.length && (lines[at] as LineInfo).address < it.address + it.size)
      own.push(lines[at++] as LineInfo);
    return lineSequence(it, own, { start, sources, framed: kinds[i]?.kind === "framed" });
  });
  const table = encodeLines(sources.files, sequences);
  const { info, abbrev, str } = encodeUnit(unit);
  const plain = (name: string, bytes: Uint8Array, align = 1): Section => ({
    name,
    type: SHT.PROGBITS,
    flags: 0,
    address: 0n,
    bytes,
    align,
  });
  return [
    plain(".debug_info", info),
    plain(".debug_abbrev", abbrev),
    plain(".debug_str", str),
    plain(".debug_line", table),
    plain(".debug_frame", encodeFrames(kinds), 8),
  ];
}

function kernelDebug({ layout, linked, readSource }: VmlinuxInput): DebugInput {
  const { functions, lines, header } = linked;
  return {
    layout,
    functions,
    lines,
    start: header.linkAddress,
    textSize: header.textOffset + header.textSize,
    imageSize: header.endOffset,
    addresses: new Map(linked.symbols.map((it) => [it.name, it.value])),
    name: "kernel-wasm/entry.ts",
    allTypes: true,
    readSource,
  };
}

/** The bytes of vmlinux. */
export function makeVmlinux(input: VmlinuxInput): Uint8Array {
  const { linked } = input;
  const { linkAddress } = linked.header;
  const loaded = loadedSections(input);
  const physical = (name: string): bigint =>
    (loaded.find((it) => it.name === name) as Section).address - KERNEL_MAP;
  const percpuAt = linkAddress + BigInt(linked.header.dataOffset + input.layout.percpu.offset) - KERNEL_MAP;
  const executable: Executable = {
    entry: linked.symbols.find((it) => it.name === "startup_64")?.value ?? linkAddress,
    sections: [...loaded, buildIdNote(input.buildId), ...debugSections(kernelDebug(input))],
    symbols: symbols(input),
    segments: [
      { first: ".text", last: ".init.text", physical: physical(".text") },
      { first: ".wasm", last: ".rodata", physical: physical(".wasm") },
      { first: ".data", last: ".data", physical: physical(".data") },
      { first: ".data..percpu", last: ".data..percpu", physical: percpuAt },
      { first: ".bss", last: ".bss", physical: physical(".bss") },
    ],
    notes: ".notes",
  };
  return writeElf(executable);
}
