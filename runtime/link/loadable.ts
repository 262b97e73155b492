/**
 * The link step for a loadable kernel module: linkLoadable() makes NAME.ko of asc's output, an ELF object
 * (ET_REL) as Linux's. Nothing in it has an address yet: the kernel places the sections and writes what the
 * relocations ask for (kernel-wasm/kernel/module).
 *
 *     .text   x86 skeleton as the kernel's (text.ts), from offset 0; calls into the kernel: R_X86_64_PLT32
 *     .wasm   the code that runs. Of the outside it imports only what the CPU has, from module "cpu": memory,
 *             the kernel's table, the registers sp and cpu, and poll. All else are relocations: the kernel's
 *             functions are called through its table.
 *     .rodata C strings        .data .bss  symbols of the module's abi
 *     .modinfo .gnu.linkonce.this_module __param .symtab .strtab    as in Linux
 */
import { ArgumentAreas } from "./arguments.ts";
import { ByteReader, ByteWriter } from "./bytes.ts";
import { type ElfRelocation, type ElfSection, type ElfSymbol, writeElfObject } from "./elf-object.ts";
import { section } from "./emit.ts";
import { LinkError } from "./error.ts";
import { OP } from "./instructions.ts";
import { type FunctionInfo, functionInfo, type LineInfo, lineInfo } from "./lines.ts";
import { EXTERNAL, I32, SECTION, SHARED_LIMITS } from "./module.ts";
import { checkProgram, KERNEL_POLL, type Program } from "./program.ts";
import {
  type CodeRelocation,
  helperBody,
  type RewriteContext,
  rewriteBody,
  TEXT_SECTION,
} from "./rewrite.ts";
import { TEXT_ADDRESS_HELPER } from "./scan.ts";
import type { PlacedSymbol } from "./symbols.ts";
import { buildText, type Text } from "./text.ts";

/** x86-64 psABI. */
export const R_X86_64_64 = 1;
export const R_X86_64_PLT32 = 4;
export const R_X86_64_32 = 10;
/** Types of WebAssembly's own object files (tool-conventions, Linking.md): those of .rela.wasm. */
export const R_WASM_TABLE_INDEX_SLEB = 1;
export const R_WASM_MEMORY_ADDR_SLEB = 4;
export const R_WASM_TABLE_INDEX_REL_SLEB = 12;
export const R_WASM_MEMORY_ADDR_SLEB64 = 15;
/** Undefined in the file: the module's first slot of the kernel's table. */
export const TABLE_BASE = "__table_base";

/** A module parameter: where its value is, in its module's data. */
export interface LoadableParameter {
  name: string;
  /** Name of the kernel's struct kernel_param_ops: param_ops_int ... */
  ops: string;
  variable: string;
  permissions: number;
}

export interface LoadableInput {
  name: string;
  /** asc's output, with a name section. */
  wasm: Uint8Array;
  sourceMap?: string;
  /** Initialised bytes of .data; .bss follows them. */
  data: Uint8Array;
  symbols: readonly PlacedSymbol[];
  backtrace: readonly string[];
  /** `key=value` each. */
  modinfo: readonly string[];
  parameters: readonly LoadableParameter[];
  /** For a kernel that stores its arguments; then it does so too. */
  argumentsInMemory?: boolean;
  /** struct module and struct kernel_param, and where the loader looks in them. */
  layout: {
    module: { size: number; name: number; init: number; exit: number };
    kernelParam: {
      size: number;
      name: number;
      mod: number;
      ops: number;
      perm: number;
      level: number;
      arg: number;
    };
  };
}

export interface LoadableOutput {
  /** The .ko file. */
  object: Uint8Array;
  /** What it is written from, for the same with debugging information. */
  sections: ElfSection[];
  symbols: ElfSymbol[];
  wasm: Uint8Array;
  functions: FunctionInfo[];
  lines: LineInfo[];
  textSize: number;
}

const DATA_ALIGN = 64;
const THIS_MODULE = ".gnu.linkonce.this_module";
const MODULE_ALIGN = 64;
const PARAM = "__param";
/** level of a parameter that is no early one. */
const PARAM_LEVEL = -1;
const FUNCREF = 0x70;
/** The imported global that a module's own symbols lie behind. */
const MODULE_DATA = "__module_data";

interface Linked {
  wasm: Uint8Array;
  relocations: ElfRelocation[];
}

function relocation({ kind, symbol, addend }: CodeRelocation, at: number): ElfRelocation {
  const type =
    kind === "function"
      ? R_WASM_TABLE_INDEX_SLEB
      : kind === "text"
        ? R_WASM_MEMORY_ADDR_SLEB64
        : R_WASM_MEMORY_ADDR_SLEB;
  return { at, type, symbol: symbol === MODULE_DATA ? ".data" : symbol, addend };
}

/** The module's code. Functions: poll, then the program's own, then the text_address helper. */
function emitLoadable(program: Program, text: Text, areas: ArgumentAreas | null): Linked {
  const { module } = program;
  const own = new Map(program.functions.map((it, position) => [it.index, KERNEL_POLL + 1 + position]));
  own.set(TEXT_ADDRESS_HELPER, KERNEL_POLL + 1 + program.functions.length);
  const newIndex = (index: number): number => {
    const found = own.get(index);
    if (found === undefined) throw new LinkError(`function ${index} does not exist`);
    return found;
  };
  const context: RewriteContext = {
    program,
    text,
    linkAddress: 0,
    newIndex,
    symbolOffset: (name) => {
      throw new LinkError(`sym_${name} is not for loadable modules`);
    },
    spGlobal: 0,
    cpuGlobal: 1,
    fuelGlobal: -1,
    relocations: [],
    areas,
  };
  const relocations: ElfRelocation[] = [];
  const out = new ByteWriter();
  out.u32le(0x6d736100).u32le(1);
  const pollType = module.types.length;
  section(out, SECTION.type, (to) => {
    const types = new ByteReader(module.rawTypes);
    const count = types.uleb();
    to.uleb(count + 1).bytes(module.rawTypes.subarray(types.at));
    to.u8(0x60, 0, 0);
  });
  section(out, SECTION.import, (to) => {
    to.uleb(5);
    to.name("cpu").name("memory").u8(EXTERNAL.memory, SHARED_LIMITS).uleb(1).uleb(0x10000);
    to.name("cpu").name("table").u8(EXTERNAL.table, FUNCREF, 0, 0);
    to.name("cpu").name("sp").u8(EXTERNAL.global, I32, 1);
    to.name("cpu").name("cpu").u8(EXTERNAL.global, I32, 1);
    to.name("cpu").name("poll").u8(EXTERNAL.function).uleb(pollType);
  });
  const types = [...module.functions];
  if (text.needsHelper) {
    const helper = module.importedFunctions.find((it) => it.module === "link" && it.field === "text_address");
    types.push(helper?.type ?? 0);
  }
  section(out, SECTION.function, (to) => to.vec(types, (type) => to.uleb(type)));
  const place = (payload: ByteWriter): number => payload.length;
  /** Sections are written behind their sizes, so places in one are known when it is. */
  const addSection = (id: number, fill: (payload: ByteWriter, found: ElfRelocation[]) => void): void => {
    const payload = new ByteWriter();
    const found: ElfRelocation[] = [];
    fill(payload, found);
    out.u8(id).uleb(payload.length);
    for (const it of found) relocations.push({ ...it, at: it.at + out.length });
    out.bytes(payload.finish());
  };
  addSection(SECTION.element, (to, found) => {
    to.vec(
      module.elements.filter((it) => it.mode === 0),
      ({ offset, functions }) => {
        to.u8(0, OP.i32Const);
        found.push({ at: place(to), type: R_WASM_TABLE_INDEX_REL_SLEB, symbol: TABLE_BASE, addend: offset });
        to.sleb32Padded(0).u8(OP.end);
        to.vec(functions, (index) => to.uleb(newIndex(index)));
      },
    );
  });
  addSection(SECTION.code, (to, found) => {
    const bodies = program.functions.map((source) => () => rewriteBody(source, context));
    if (text.needsHelper) bodies.push(() => helperBody(context));
    to.vec(bodies, (make) => {
      context.relocations = [];
      const body = make();
      to.uleb(body.length);
      for (const it of context.relocations) found.push(relocation(it, place(to) + it.at));
      to.bytes(body);
    });
  });
  return { wasm: out.finish(), relocations };
}

function textRelocations(text: Text): ElfRelocation[] {
  return text.relocations.map(({ at, kind, symbol, addend }) =>
    kind === "call"
      ? { at, type: R_X86_64_PLT32, symbol, addend }
      : { at, type: R_X86_64_32, symbol: TABLE_BASE, addend },
  );
}

function thisModule({ name, layout }: LoadableInput): ElfSection {
  const { module } = layout;
  const bytes = new Uint8Array(module.size);
  bytes.set(new TextEncoder().encode(name), module.name);
  return {
    name: THIS_MODULE,
    bytes,
    size: bytes.length,
    align: MODULE_ALIGN,
    flags: "WA",
    relocations: [
      { at: module.init, type: R_X86_64_64, symbol: "init_module", addend: 0 },
      { at: module.exit, type: R_X86_64_64, symbol: "cleanup_module", addend: 0 },
    ],
  };
}

/** struct kernel_param of each parameter; their names are behind the C strings in .rodata. */
function paramSection({ parameters, layout }: LoadableInput, nameAt: readonly number[]): ElfSection {
  const p = layout.kernelParam;
  const bytes = new Uint8Array(parameters.length * p.size);
  const view = new DataView(bytes.buffer);
  const relocations = parameters.flatMap(({ ops, variable, permissions }, index): ElfRelocation[] => {
    const at = index * p.size;
    view.setUint16(at + p.perm, permissions, true);
    view.setInt8(at + p.level, PARAM_LEVEL);
    return [
      { at: at + p.name, type: R_X86_64_64, symbol: ".rodata", addend: nameAt[index] ?? 0 },
      { at: at + p.mod, type: R_X86_64_64, symbol: THIS_MODULE, addend: 0 },
      { at: at + p.ops, type: R_X86_64_64, symbol: ops, addend: 0 },
      { at: at + p.arg, type: R_X86_64_64, symbol: variable, addend: 0 },
    ];
  });
  return { name: PARAM, bytes, size: bytes.length, align: 8, flags: "A", relocations };
}

function makeSymbols(input: LoadableInput, text: Text, program: Program): ElfSymbol[] {
  const entries = new Set(program.exported.map((it) => it.symbol));
  const functions = text.functions.map(({ symbol, address, size }): ElfSymbol => {
    return {
      name: symbol,
      type: "FUNC",
      global: entries.has(symbol),
      section: TEXT_SECTION,
      value: address,
      size,
    };
  });
  const objects = input.symbols.map(({ name, offset, size }): ElfSymbol => {
    const bss = offset >= input.data.length;
    const value = bss ? offset - input.data.length : offset;
    return { name, type: "OBJECT", global: false, section: bss ? ".bss" : ".data", value, size };
  });
  const descriptor: ElfSymbol = {
    name: "__this_module",
    type: "OBJECT",
    global: true,
    section: THIS_MODULE,
    value: 0,
    size: input.layout.module.size,
  };
  return [...functions, ...objects, descriptor];
}

/** Throws LinkError with everything that is wrong. The same input, the same bytes. */
export function linkLoadable(input: LoadableInput): LoadableOutput {
  const program = checkProgram(input.wasm, input.backtrace, [], undefined, true);
  for (const name of ["init_module", "cleanup_module"]) {
    if (!program.exported.some((it) => it.symbol === name))
      throw new LinkError(`${input.name} exports no ${name}`);
  }
  const text = buildText(program, 0, 16);
  const areas = input.argumentsInMemory === true ? new ArgumentAreas(program) : null;
  const code = emitLoadable(program, text, areas);
  const rodata = new ByteWriter().bytes(program.strings.bytes);
  const nameAt = input.parameters.map(({ name }) => {
    const at = rodata.length;
    rodata.bytes(new TextEncoder().encode(name)).u8(0);
    return at;
  });
  const modinfo = new ByteWriter();
  for (const line of input.modinfo) modinfo.bytes(new TextEncoder().encode(line)).u8(0);
  const data = new Uint8Array(Math.ceil(input.data.length / DATA_ALIGN) * DATA_ALIGN);
  data.set(input.data);
  const bss = Math.max(0, ...input.symbols.map((it) => it.offset + it.size - data.length));
  const of = (name: string, bytes: Uint8Array, flags: string, align: number): ElfSection => {
    return { name, bytes, size: bytes.length, flags, align, relocations: [] };
  };
  const sections: ElfSection[] = [
    { ...of(TEXT_SECTION, text.bytes, "AX", 16), relocations: textRelocations(text) },
    { ...of(".wasm", code.wasm, "A", 16), relocations: code.relocations },
    of(".rodata", rodata.finish(), "A", 16),
    of(".modinfo", modinfo.finish(), "A", 1),
    ...(input.parameters.length > 0 ? [paramSection(input, nameAt)] : []),
    thisModule(input),
    // .bss follows .data, as one range: the symbols' offsets count through both.
    of(".data", data, "WA", DATA_ALIGN),
    ...(bss > 0 ? [{ ...of(".bss", new Uint8Array(0), "WA", DATA_ALIGN), size: bss }] : []),
  ];
  const symbols = makeSymbols({ ...input, data }, text, program);
  return {
    object: writeElfObject(sections, symbols),
    sections,
    symbols,
    wasm: code.wasm,
    functions: functionInfo(text, program, areas),
    lines: input.sourceMap === undefined ? [] : lineInfo(text, input.sourceMap),
    textSize: text.bytes.length,
  };
}
