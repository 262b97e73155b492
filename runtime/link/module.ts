/**
 * A WebAssembly module taken apart: parseModule() reads the sections that asc writes. Function bodies,
 * tables and constant expressions stay as byte ranges of the file.
 */
import { ByteReader } from "./bytes.ts";
import { LinkError } from "./error.ts";
import { OP, skipExpression } from "./instructions.ts";

/** Value types, as in the binary format. */
export const I32 = 0x7f;
export const I64 = 0x7e;

export const SECTION = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  start: 8,
  element: 9,
  code: 10,
  data: 11,
  dataCount: 12,
} as const;

/** Kinds of imports and exports. */
export const EXTERNAL = { function: 0, table: 1, memory: 2, global: 3 } as const;

/** Limits flags of a shared memory (which has a maximum). */
export const SHARED_LIMITS = 3;

export interface FunctionType {
  params: number[];
  results: number[];
}

export interface Import {
  module: string;
  field: string;
  kind: number;
  /** The type index of a function. */
  type: number;
  /** What follows the kind byte, as it is in the file. */
  descriptor: Uint8Array;
  /** Of a global. */
  mutable: boolean;
}

export interface Global {
  mutable: boolean;
  /** The imported global whose value it has, when that is its initial value. */
  copies: number | null;
  /** Type, mutability and initial value, as in the file. */
  raw: Uint8Array;
}

export interface Export {
  name: string;
  kind: number;
  index: number;
}

export interface ElementSegment {
  /** 0 active in table 0 at `offset`; 1 passive; 3 declarative (only makes ref.func legal). */
  mode: 0 | 1 | 3;
  offset: number;
  functions: number[];
}

/** A function body in the file: from its local declarations to its final `end`. */
export interface CodeRange {
  start: number;
  end: number;
}

export interface DataSegment {
  passive: boolean;
  address: number;
  bytes: Uint8Array;
}

export interface WasmModule {
  bytes: Uint8Array;
  types: FunctionType[];
  /** The type section's payload. */
  rawTypes: Uint8Array;
  imports: Import[];
  /** Imported functions, in index order; functions of the module follow them in the index space. */
  importedFunctions: Import[];
  /** Type index of each function of the module. */
  functions: number[];
  rawTables: Uint8Array | null;
  hasOwnMemory: boolean;
  globals: Global[];
  exports: Export[];
  start: number | null;
  elements: ElementSegment[];
  code: CodeRange[];
  data: DataSegment[];
  functionNames: Map<number, string>;
  globalNames: Map<number, string>;
}

function constantOffset(reader: ByteReader, what: string): number {
  if (reader.u8() !== 0x41) throw new LinkError(`${what} has an offset that is not a plain i32.const`);
  const value = reader.sleb32();
  if (reader.u8() !== 0x0b) throw new LinkError(`${what} has an offset that is not a plain i32.const`);
  return value >>> 0;
}

function readType(reader: ByteReader): FunctionType {
  const form = reader.u8();
  if (form !== 0x60) throw new LinkError(`type form 0x${form.toString(16)} is not a plain function type`);
  return { params: reader.vec(() => reader.u8()), results: reader.vec(() => reader.u8()) };
}

function skipLimits(reader: ByteReader): void {
  const flags = reader.u8();
  reader.skipLeb();
  if (flags & 1) reader.skipLeb();
}

function readImport(reader: ByteReader): Import {
  const module = reader.name();
  const field = reader.name();
  const kind = reader.u8();
  const from = reader.at;
  let type = -1;
  let mutable = false;
  if (kind === EXTERNAL.function) {
    type = reader.uleb();
  } else if (kind === EXTERNAL.table) {
    reader.u8();
    skipLimits(reader);
  } else if (kind === EXTERNAL.memory) {
    skipLimits(reader);
  } else if (kind === EXTERNAL.global) {
    reader.u8();
    mutable = reader.u8() === 1;
  } else {
    throw new LinkError(`import ${module}.${field} is of unknown kind ${kind}`);
  }
  return { module, field, kind, type, mutable, descriptor: reader.bytes.subarray(from, reader.at) };
}

function readElement(reader: ByteReader, index: number): ElementSegment {
  const what = `element segment ${index}`;
  const flags = reader.uleb();
  if (flags > 3)
    throw new LinkError(`${what} holds expressions (flags ${flags}); only function lists are known`);
  let offset = 0;
  if (flags === 2 && reader.uleb() !== 0) throw new LinkError(`${what} fills a table other than table 0`);
  if (flags === 0 || flags === 2) offset = constantOffset(reader, what);
  if (flags !== 0 && reader.u8() !== 0) throw new LinkError(`${what} holds something else than functions`);
  const mode = flags === 1 ? 1 : flags === 3 ? 3 : 0;
  return { mode, offset, functions: reader.vec(() => reader.uleb()) };
}

function readData(reader: ByteReader, index: number): DataSegment {
  const flags = reader.uleb();
  if (flags === 2 && reader.uleb() !== 0) throw new LinkError(`data segment ${index} is for a second memory`);
  const passive = flags === 1;
  const address = passive ? 0 : constantOffset(reader, `data segment ${index}`);
  return { passive, address, bytes: reader.take(reader.uleb()) };
}

/** Subsections 1 (functions) and 7 (globals) of the name section. */
function readNames(reader: ByteReader, module: WasmModule): void {
  while (!reader.done) {
    const id = reader.u8();
    const size = reader.uleb();
    const end = reader.at + size;
    const names = id === 1 ? module.functionNames : id === 7 ? module.globalNames : null;
    if (names !== null) {
      reader.vec(() => {
        const index = reader.uleb();
        names.set(index, reader.name());
      });
    }
    reader.at = end;
  }
}

function readGlobal(reader: ByteReader): Global {
  const from = reader.at;
  reader.u8();
  const mutable = reader.u8() === 1;
  const value = new ByteReader(reader.bytes, reader.at, reader.end);
  const copies = value.u8() === OP.globalGet ? value.uleb() : null;
  skipExpression(reader);
  return { mutable, copies, raw: reader.bytes.subarray(from, reader.at) };
}

function readSection(module: WasmModule, id: number, reader: ByteReader): void {
  switch (id) {
    case SECTION.custom:
      if (reader.name() === "name") readNames(reader, module);
      return;
    case SECTION.type:
      module.rawTypes = reader.bytes.subarray(reader.at, reader.end);
      module.types = reader.vec(() => readType(reader));
      return;
    case SECTION.import:
      module.imports = reader.vec(() => readImport(reader));
      module.importedFunctions = module.imports.filter((it) => it.kind === EXTERNAL.function);
      return;
    case SECTION.function:
      module.functions = reader.vec(() => reader.uleb());
      return;
    case SECTION.table:
      module.rawTables = reader.bytes.subarray(reader.at, reader.end);
      return;
    case SECTION.memory:
      module.hasOwnMemory = reader.uleb() > 0;
      return;
    case SECTION.global:
      module.globals = reader.vec(() => readGlobal(reader));
      return;
    case SECTION.export:
      module.exports = reader.vec(() => ({ name: reader.name(), kind: reader.u8(), index: reader.uleb() }));
      return;
    case SECTION.start:
      module.start = reader.uleb();
      return;
    case SECTION.element:
      module.elements = reader.vec((index) => readElement(reader, index));
      return;
    case SECTION.code:
      module.code = reader.vec(() => {
        const size = reader.uleb();
        const start = reader.at;
        reader.skip(size);
        return { start, end: reader.at };
      });
      return;
    case SECTION.data:
      module.data = reader.vec((index) => readData(reader, index));
      return;
    case SECTION.dataCount:
      return;
    default:
      throw new LinkError(
        `section ${id} is unknown: the module uses a WebAssembly feature that images do not have`,
      );
  }
}

/**
 * Reads a module. Throws LinkError when it is not one, is truncated, or uses features that asc does not
 * emit.
 */
export function parseModule(bytes: Uint8Array): WasmModule {
  const reader = new ByteReader(bytes);
  if (bytes.length < 8 || reader.u32le() !== 0x6d736100)
    throw new LinkError("this is not a WebAssembly module");
  const version = reader.u32le();
  if (version !== 1) throw new LinkError(`WebAssembly version ${version} is not 1`);
  const module: WasmModule = {
    bytes,
    types: [],
    rawTypes: new Uint8Array(1),
    imports: [],
    importedFunctions: [],
    functions: [],
    rawTables: null,
    hasOwnMemory: false,
    globals: [],
    exports: [],
    start: null,
    elements: [],
    code: [],
    data: [],
    functionNames: new Map(),
    globalNames: new Map(),
  };
  while (!reader.done) {
    const id = reader.u8();
    const size = reader.uleb();
    const from = reader.at;
    reader.skip(size);
    readSection(module, id, new ByteReader(bytes, from, reader.at));
  }
  if (module.code.length !== module.functions.length) {
    throw new LinkError(`${module.functions.length} functions are declared, ${module.code.length} have code`);
  }
  return module;
}
