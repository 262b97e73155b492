/**
 * The module as the link step sees it: checkProgram() finds functions, hardware imports, intrinsics and the
 * table, and refuses, in one message, all that cannot be part of an image.
 */
import { ByteReader } from "./bytes.ts";
import { LinkError } from "./error.ts";
import { findFunctionObjects } from "./function-objects.ts";
import {
  EXTERNAL,
  type FunctionType,
  I32,
  I64,
  type Import,
  parseModule,
  SHARED_LIMITS,
  type WasmModule,
} from "./module.ts";
import { type ScannedFunction, scanFunctions } from "./scan.ts";
import { placeStrings, STRING_MODULE, type StringPlan } from "./strings.ts";

export interface Program {
  module: WasmModule;
  functions: ScannedFunction[];
  /** Functions of module "hw" that the program imports: index in the file, name. */
  hardware: { index: number; symbol: string }[];
  /** Functions of module "kernel" that a loadable module imports: by their index in the file. */
  kernel: Map<number, { symbol: string; type: number }>;
  intrinsics: Map<number, string>;
  /** Function (index in the file) -> its slot in table 0. */
  tableIndexOf: Map<number, number>;
  functionObjects: Map<number, number>;
  /** Global's number in the file -> in the linked module, which does not import strings. */
  newGlobal: ReadonlyMap<number, number>;
  /** New number of the global env.__base; -1 when the program does not import it. */
  baseGlobal: number;
  /** Number of globals, imported ones included; the appended sp, cpu and fuel follow. */
  globalCount: number;
  /** The C strings that code refers to. */
  strings: StringPlan;
  /** Where fuel is counted down; null: nowhere. */
  poll: PollPlan | null;
  /** EXPORT_SYMBOL()'s functions: symbol, index in the file. Each has a slot in table 0. */
  exported: { symbol: string; index: number }[];
  /** Slots of table 0. */
  tableSize: number;
}

/** Polls of a program (rewrite.ts): where they are, and what they call when the fuel is used up. */
export interface PollOptions {
  /** An entry function without parameters. */
  handler: string;
  /** At function entries too, not only in loops. */
  entries: boolean;
}

export interface PollPlan {
  /** Function index in the file. */
  handler: number;
  entries: boolean;
}

const ENV_IMPORTS: Record<string, number> = {
  memory: EXTERNAL.memory,
  __base: EXTERNAL.global,
  __phys_base: EXTERNAL.global,
};

const FIXED_INTRINSICS: Record<string, FunctionType> = {
  get_sp: { params: [], results: [I32] },
  set_sp: { params: [I32], results: [] },
  get_cpu: { params: [], results: [I32] },
  set_cpu: { params: [I32], results: [] },
  text_address: { params: [I32], results: [I64] },
};

/** What a loadable module's code may import besides functions and data of module "kernel". */
const LOADABLE_IMPORTS: Record<string, number> = {
  memory: EXTERNAL.memory,
  __module_data: EXTERNAL.global,
};

function isString({ module, kind }: Import): boolean {
  return module === STRING_MODULE && kind === EXTERNAL.global;
}

function checkLoadableImport(module: WasmModule, it: Import, problems: string[]): void {
  const name = `import ${it.module}.${it.field}`;
  const type = module.types[it.type];
  if (it.mutable) problems.push(`${name} is mutable`);
  if (
    isString(it) ||
    it.module === "kernel" ||
    (it.module === "env" && LOADABLE_IMPORTS[it.field] === it.kind)
  )
    return;
  const expected = it.module === "link" ? FIXED_INTRINSICS[it.field] : undefined;
  if (expected === undefined || type === undefined || !sameType(expected, type))
    problems.push(`${name}: a module reaches the kernel by what that exports (EXPORT_SYMBOL)`);
}

function intrinsicType(name: string): FunctionType | undefined {
  return name.startsWith("sym_") ? { params: [], results: [I32] } : FIXED_INTRINSICS[name];
}

function sameType(a: FunctionType, b: FunctionType): boolean {
  return `${a.params}>${a.results}` === `${b.params}>${b.results}`;
}

function checkImport(module: WasmModule, it: Import, problems: string[]): void {
  const name = `import ${it.module}.${it.field}`;
  const type = module.types[it.type];
  if (it.module === "env" && ENV_IMPORTS[it.field] === it.kind) {
    if (it.mutable) problems.push(`${name} is mutable`);
    if (it.kind === EXTERNAL.memory && it.descriptor[0] !== SHARED_LIMITS) {
      problems.push(`${name} is not shared; compile with --sharedMemory and --maximumMemory`);
    }
  } else if (isString(it)) {
    if (it.mutable) problems.push(`${name} is mutable`);
  } else if (it.module === "hw" && type !== undefined) {
    const wide = [...type.params, ...type.results].some((value) => value !== I32);
    if (wide) problems.push(`${name} takes or returns something else than i32`);
  } else if (it.module === "link" && type !== undefined) {
    const expected = intrinsicType(it.field);
    if (expected === undefined) problems.push(`${name} is no intrinsic`);
    else if (!sameType(expected, type)) problems.push(`${name} is declared with a wrong type`);
  } else if (it.module === "env" && it.field === "abort") {
    problems.push(`${name}: a throw or assertion is left; compile with --use abort= and --noAssert`);
  } else {
    problems.push(`${name}: only env.memory, env.__base, env.__phys_base, hw.* and link.* exist`);
  }
}

function checkGlobals(module: WasmModule, importedGlobals: number, problems: string[]): void {
  module.globals.forEach((global, position) => {
    if (!global.mutable) return;
    const name = module.globalNames.get(importedGlobals + position) ?? `number ${position}`;
    const why = name.startsWith("~lib/rt/")
      ? "`new` is used; take memory from the kernel's allocator"
      : name === "~argumentsLength"
        ? "an exported or referenced function has optional parameters"
        : "state lives in symbols that abi places";
    problems.push(`mutable global ${name}: ${why}`);
  });
}

/** In a loadable module the index of the one function that it imports: the kernel's poll. */
export const KERNEL_POLL = 0;

/** A function exported under this and its name is one that loadable modules may call. */
export const EXPORT_SYMBOL = "EXPORT_SYMBOL:";

/** Takes EXPORT_SYMBOL()'s functions from the exports: they are linked by their names in memory. */
function takeExported(module: WasmModule): Program["exported"] {
  const isSymbol = ({ name }: { name: string }): boolean => name.startsWith(EXPORT_SYMBOL);
  const taken = module.exports.filter(isSymbol);
  const functions = new Set(taken.map((it) => it.index));
  // Also without the prefix: of what only modules call, so that the compiler keeps it.
  module.exports = module.exports.filter((it) => it.kind !== EXTERNAL.function || !functions.has(it.index));
  return taken.map(({ name, index }) => ({ symbol: name.slice(EXPORT_SYMBOL.length), index }));
}

/** The exports of a loadable module, init_module and cleanup_module: reached by pointers to them. */
function takeEntries(module: WasmModule): Program["exported"] {
  const taken = module.exports.filter((it) => it.kind === EXTERNAL.function);
  module.exports = [];
  return taken.map(({ name, index }) => ({ symbol: name, index }));
}

/** Gives each of the functions that has none a slot behind the table's; returns the table's new size. */
function addSlots(module: WasmModule, slots: Map<number, number>, functions: readonly number[]): number {
  const size = module.rawTables === null ? 1 : tableInitial(module.rawTables);
  const present = new Set(slots.values());
  const added = [...new Set(functions)].filter((index) => !present.has(index));
  added.forEach((index, position) => void slots.set(size + position, index));
  if (added.length > 0) module.elements.push({ mode: 0, offset: size, functions: added });
  return size + added.length;
}

/** The initial size of the one table that asc makes. */
function tableInitial(rawTables: Uint8Array): number {
  const reader = new ByteReader(rawTables);
  const count = reader.uleb();
  if (count !== 1) throw new LinkError(`the module has ${count} tables`);
  reader.u8();
  reader.u8();
  return reader.uleb();
}

/** What the link step exports itself. */
const LINK_EXPORTS: Record<string, string> = {
  sp: "global",
  cpu: "global",
  fuel_left: "function",
  refuel: "function",
  poll: "function",
};

function checkExports(module: WasmModule, problems: string[]): void {
  for (const { name, kind, index } of module.exports) {
    const added = LINK_EXPORTS[name];
    if (added !== undefined) problems.push(`export ${name}: the link step adds a ${added} of this name`);
    if (kind !== EXTERNAL.function) continue;
    const own = index - module.importedFunctions.length;
    const type =
      module.types[own < 0 ? (module.importedFunctions[index]?.type ?? -1) : (module.functions[own] ?? -1)];
    if (type === undefined) throw new LinkError(`export ${name} is a function that does not exist`);
    if (own < 0 && module.importedFunctions[index]?.module === "link")
      problems.push(`export ${name} is an intrinsic`);
    const wide = [...type.params, ...type.results].some((value) => value !== I32);
    if (wide) problems.push(`export ${name} takes or returns something else than i32`);
  }
}

function checkLists(
  functions: readonly ScannedFunction[],
  lists: Record<string, readonly string[]>,
): string[] {
  const present = new Set(functions.map((it) => it.symbol));
  return Object.entries(lists).flatMap(([list, names]) => {
    const missing = names.filter((name) => !present.has(name));
    if (missing.length === 0) return [];
    return [
      `missing of abi's ${list} list: ${missing.join(", ")}. The optimiser inlined them, merged them with` +
        " an identical function, or nothing calls them: check the no-inline pattern, call them, or take" +
        " them off the list",
    ];
  });
}

function tableSlots(module: WasmModule): Map<number, number> {
  const slots = new Map<number, number>();
  for (const { mode, offset, functions } of module.elements) {
    if (mode === 0) functions.forEach((index, position) => void slots.set(offset + position, index));
  }
  return slots;
}

function findPollHandler(
  module: WasmModule,
  functions: readonly ScannedFunction[],
  poll: PollOptions,
  problems: string[],
): PollPlan {
  const found = functions.find((it) => it.symbol === poll.handler);
  const type = found && module.types[found.type];
  if (found?.frame !== "entry") {
    problems.push(`the polls' handler ${poll.handler} is not among the entry functions`);
  } else if (type === undefined || type.params.length + type.results.length > 0) {
    problems.push(`the polls' handler ${poll.handler} has parameters or a result`);
  }
  return { handler: found?.index ?? -1, entries: poll.entries };
}

/** Leaves out the imports that stand for strings, for which no place in the linked module is needed. */
function renumberGlobals(
  module: WasmModule,
  imported: readonly Import[],
  problems: string[],
): Pick<Program, "newGlobal" | "globalCount"> {
  const newGlobal = new Map<number, number>();
  const count = imported.length + module.globals.length;
  for (let index = 0; index < count; index++) {
    const it = imported[index];
    if (it === undefined || !isString(it)) newGlobal.set(index, newGlobal.size);
  }
  module.globals.forEach(({ copies }, position) => {
    if (copies === null || newGlobal.has(copies)) return;
    const name = module.globalNames.get(imported.length + position) ?? `number ${position}`;
    problems.push(`global ${name} is a C string; write it where it is used`);
  });
  return { newGlobal, globalCount: newGlobal.size };
}

/** Takes the module apart. Throws one LinkError that lists everything that cannot be part of an image. */
export function checkProgram(
  wasm: Uint8Array,
  backtrace: readonly string[],
  entry: readonly string[],
  poll?: PollOptions,
  loadable = false,
): Program {
  const module = parseModule(wasm);
  const problems: string[] = [];
  if (module.functionNames.size === 0) {
    throw new LinkError("the module has no function names; compile with --debug so that symbols can be made");
  }
  const both = entry.filter((name) => backtrace.includes(name));
  if (both.length > 0) problems.push(`both in abi's entry and backtrace lists: ${both.join(", ")}`);
  const check = loadable ? checkLoadableImport : checkImport;
  for (const it of module.imports) check(module, it, problems);
  const importedGlobals = module.imports.filter((it) => it.kind === EXTERNAL.global);
  checkGlobals(module, importedGlobals.length, problems);
  if (loadable && module.globals.length > 0)
    problems.push("the module has globals of its own; constants must be literals");
  const exported = loadable ? takeEntries(module) : takeExported(module);
  checkExports(module, problems);
  if (module.hasOwnMemory) problems.push("the module has a memory of its own; compile with --importMemory");
  if (module.start !== null) {
    problems.push("there is a start function; a top-level statement or a non-constant initialiser needs it");
  }
  const slots = tableSlots(module);
  const functionObjects = findFunctionObjects(module, slots, problems);
  const tableSize = addSlots(
    module,
    slots,
    exported.map((it) => it.index),
  );
  const intrinsics = new Map<number, string>();
  const hardware: Program["hardware"] = [];
  const kernel: Program["kernel"] = new Map();
  module.importedFunctions.forEach(({ module: from, field, type }, index) => {
    if (from === "kernel") kernel.set(index, { symbol: field, type });
    else if (from === "link") intrinsics.set(index, field);
    else if (from === "hw") hardware.push({ index, symbol: field });
  });
  for (const index of slots.values()) {
    const imported = intrinsics.get(index) ?? kernel.get(index)?.symbol;
    if (imported !== undefined)
      problems.push(`${imported} is used as a function pointer, but not of this module`);
  }
  const globals = [...importedGlobals.entries()];
  const fieldOf = ([index, it]: [number, Import]): [number, string] => [index, it.field];
  const functions = scanFunctions({
    module,
    intrinsics,
    functionObjects,
    addresses: new Map(loadable ? globals.filter(([, it]) => !isString(it)).map(fieldOf) : []),
    strings: new Map(globals.filter(([, it]) => isString(it)).map(fieldOf)),
    backtrace: new Set(backtrace),
    entry: new Set(entry),
    problems,
  });
  problems.push(...checkLists(functions, { backtrace, entry }));
  let pollPlan: PollPlan | null = null;
  if (loadable) pollPlan = { handler: KERNEL_POLL, entries: true };
  else if (poll !== undefined) pollPlan = findPollHandler(module, functions, poll, problems);
  const strings = placeStrings(functions);
  const { newGlobal, globalCount } = renumberGlobals(module, importedGlobals, problems);
  const base = importedGlobals.findIndex((it) => it.module === "env" && it.field === "__base");
  const symbols = [...intrinsics.values()].some((name) => name.startsWith("sym_"));
  if (base < 0 && !loadable && (symbols || strings.bytes.length > 0)) {
    problems.push("a sym_ intrinsic or a C string is used, but env.__base is not imported");
  }
  if (problems.length > 0)
    throw new LinkError(`cannot link:\n${[...new Set(problems)].map((it) => `  - ${it}`).join("\n")}`);
  return {
    module,
    functions,
    hardware,
    kernel,
    intrinsics,
    tableIndexOf: new Map([...slots].map(([slot, index]) => [index, slot])),
    functionObjects,
    newGlobal,
    baseGlobal: newGlobal.get(base) ?? -1,
    globalCount,
    strings,
    poll: pollPlan,
    exported,
    tableSize,
  };
}
