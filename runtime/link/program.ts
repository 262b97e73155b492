/**
 * The module as the link step sees it: checkProgram() finds functions, hardware imports, intrinsics and the
 * table, and refuses, in one message, all that cannot be part of an image.
 */
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

export interface Program {
  module: WasmModule;
  functions: ScannedFunction[];
  /** Functions of module "hw" that the program imports: index in the file, name. */
  hardware: { index: number; symbol: string }[];
  intrinsics: Map<number, string>;
  /** Function (index in the file) -> its slot in table 0. */
  tableIndexOf: Map<number, number>;
  functionObjects: Map<number, number>;
  /** Number of the global env.__base; -1 when the program does not import it. */
  baseGlobal: number;
  /** Number of globals, imported ones included; the appended sp, cpu and fuel follow. */
  globalCount: number;
  /** Where fuel is counted down; null: nowhere. */
  poll: PollPlan | null;
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

function checkExports(module: WasmModule, problems: string[]): void {
  for (const { name, kind, index } of module.exports) {
    const added = ["sp", "cpu"].includes(name) ? "global" : "function";
    if (["sp", "cpu", "fuel_left", "refuel"].includes(name))
      problems.push(`export ${name}: the link step adds a ${added} of this name`);
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

/** Takes the module apart. Throws one LinkError that lists everything that cannot be part of an image. */
export function checkProgram(
  wasm: Uint8Array,
  backtrace: readonly string[],
  entry: readonly string[],
  poll?: PollOptions,
): Program {
  const module = parseModule(wasm);
  const problems: string[] = [];
  if (module.functionNames.size === 0) {
    throw new LinkError("the module has no function names; compile with --debug so that symbols can be made");
  }
  const both = entry.filter((name) => backtrace.includes(name));
  if (both.length > 0) problems.push(`both in abi's entry and backtrace lists: ${both.join(", ")}`);
  for (const it of module.imports) checkImport(module, it, problems);
  const importedGlobals = module.imports.filter((it) => it.kind === EXTERNAL.global);
  checkGlobals(module, importedGlobals.length, problems);
  checkExports(module, problems);
  if (module.hasOwnMemory) problems.push("the module has a memory of its own; compile with --importMemory");
  if (module.start !== null) {
    problems.push("there is a start function; a top-level statement or a non-constant initialiser needs it");
  }
  const slots = tableSlots(module);
  const functionObjects = findFunctionObjects(module, slots, problems);
  const intrinsics = new Map<number, string>();
  const hardware: Program["hardware"] = [];
  module.importedFunctions.forEach(({ module: from, field }, index) => {
    if (from === "link") intrinsics.set(index, field);
    else if (from === "hw") hardware.push({ index, symbol: field });
  });
  for (const index of slots.values()) {
    if (intrinsics.has(index))
      problems.push(`intrinsic ${intrinsics.get(index)} is used as a function pointer`);
  }
  const functions = scanFunctions({
    module,
    intrinsics,
    functionObjects,
    backtrace: new Set(backtrace),
    entry: new Set(entry),
    problems,
  });
  problems.push(...checkLists(functions, { backtrace, entry }));
  const pollPlan = poll === undefined ? null : findPollHandler(module, functions, poll, problems);
  const baseGlobal = importedGlobals.findIndex((it) => it.field === "__base");
  if (baseGlobal < 0 && [...intrinsics.values()].some((name) => name.startsWith("sym_"))) {
    problems.push("a sym_ intrinsic is used, but env.__base is not imported");
  }
  if (problems.length > 0)
    throw new LinkError(`cannot link:\n${[...new Set(problems)].map((it) => `  - ${it}`).join("\n")}`);
  return {
    module,
    functions,
    hardware,
    intrinsics,
    tableIndexOf: new Map([...slots].map(([slot, index]) => [index, slot])),
    functionObjects,
    baseGlobal,
    globalCount: importedGlobals.length + module.globals.length,
    poll: pollPlan,
  };
}
