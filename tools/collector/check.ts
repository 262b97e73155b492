/**
 * Whether a file is a collector: a component, of this world (kernel-wasm/collector/collector.wit), that wants
 * nothing else.
 *
 * jco writes the names of core modules into the JavaScript that it makes, between quotes and as they are. So
 * that a name is a name and not code, only plain characters are let through.
 */
import { WORLD } from "../../build/generated/collector.ts";
import { formatSize } from "../size.ts";
import { BinaryReader, join, kindOf, PREAMBLE_SIZE, sections, skipLimits, skipReference } from "./binary.ts";
import type { Transpiled } from "./bindgen.ts";
import { CollectorError } from "./error.ts";

export const COMPONENT_MAX = 64 * 1024 * 1024;
const PLAIN = /^[\w $#%+,./:;<=>?@[\]^|~!&-]*$/;
const NAME_MAX = 1024;
/** Components within components. */
const DEPTH_MAX = 16;

/** Section numbers of components, and of core modules. */
const COMPONENT = { custom: 0, module: 1, instance: 2, component: 4 } as const;
const MODULE = { import: 2, export: 7 } as const;
const SORT_INSTANCE = 0x12;

const ADVICE = "docs/collectors.md tells how to make one";
const RUN = "run(args: Array<string>): string,";

/** Takes any file's bytes; the component without what nobody needs, its custom sections. */
export function checkComponent(bytes: Uint8Array): Uint8Array {
  const kind = kindOf(bytes);
  if (kind === "module") {
    throw new CollectorError(`it is a core module of WebAssembly, not a component: ${ADVICE}`);
  }
  if (kind === "other") throw new CollectorError(`it is no WebAssembly component: ${ADVICE}`);
  if (bytes.length > COMPONENT_MAX) {
    throw new CollectorError(`it is larger than ${formatSize(COMPONENT_MAX)}`);
  }
  const kept: Uint8Array[] = [bytes.subarray(0, PREAMBLE_SIZE)];
  for (const { id, start, end } of sections(bytes)) {
    if (id !== COMPONENT.custom) kept.push(bytes.subarray(start, end));
  }
  checkNames(bytes, 0, bytes.length, 0);
  return join(kept);
}

function checkName(name: string): void {
  if (name.length <= NAME_MAX && PLAIN.test(name)) return;
  throw new CollectorError(`it has a name with characters that no compiler uses: ${JSON.stringify(name)}`);
}

function checkNames(bytes: Uint8Array, from: number, end: number, depth: number): void {
  if (depth > DEPTH_MAX) throw new CollectorError(`it has more than ${DEPTH_MAX} components in each other`);
  for (const section of sections(bytes, from, end)) {
    if (section.id === COMPONENT.component) checkNames(bytes, section.from, section.end, depth + 1);
    else if (section.id === COMPONENT.module) checkModuleNames(bytes, section.from, section.end);
    else if (section.id === COMPONENT.instance) checkInstanceNames(bytes, section.from, section.end);
  }
}

function checkModuleNames(bytes: Uint8Array, from: number, end: number): void {
  for (const section of sections(bytes, from, end)) {
    const reader = new BinaryReader(bytes, section.from, section.end);
    if (section.id === MODULE.export) {
      for (let left = reader.number(); left > 0; left--) {
        checkName(reader.name());
        reader.byte();
        reader.number();
      }
    } else if (section.id === MODULE.import) {
      for (let left = reader.number(); left > 0; left--) {
        checkName(reader.name());
        checkName(reader.name());
        skipImportType(reader);
      }
    }
  }
}

/** Function, table, memory, global, tag. */
function skipImportType(reader: BinaryReader): void {
  const kind = reader.byte();
  if (kind === 0) reader.number();
  else if (kind === 1) {
    skipReference(reader);
    skipLimits(reader);
  } else if (kind === 2) skipLimits(reader);
  else if (kind === 3) {
    skipReference(reader);
    reader.byte();
  } else {
    reader.byte();
    reader.number();
  }
}

/** Core instances: of a module, with names for instances; or put together of named exports. */
function checkInstanceNames(bytes: Uint8Array, from: number, end: number): void {
  const reader = new BinaryReader(bytes, from, end);
  for (let left = reader.number(); left > 0; left--) {
    const madeOf = reader.byte();
    if (madeOf === 0) reader.number();
    for (let names = reader.number(); names > 0; names--) {
      checkName(reader.name());
      const sort = reader.byte();
      if (madeOf === 0 && sort !== SORT_INSTANCE) throw new CollectorError("the component is damaged");
      reader.number();
    }
  }
}

/** Whether what it imports and exports is this world's. */
export function checkWorld({ imports, exports, declarations }: Transpiled): void {
  const root = declarations.get("component.d.ts") ?? "";
  const given = Object.keys(WORLD).join(", ");
  for (const name of imports) {
    const lines = WORLD[name];
    const versioned = root.split("'").find((it) => it === name || it.startsWith(`${name}@`)) ?? name;
    if (lines === undefined) {
      throw new CollectorError(`it imports ${versioned}: a collector is given ${given}, and nothing else`);
    }
    const declared = declarations.get(`interfaces/${name.replace(/[:/]/g, "-")}.d.ts`) ?? "";
    const other = declared.split("\n").find((line) => !lines.includes(line) && line.trim() !== "");
    if (other !== undefined) {
      const version = /@[\d.]+/.exec(lines[0]!)?.[0] ?? "";
      throw new CollectorError(`it imports ${versioned} with "${other}", which ${name}${version} has not`);
    }
  }
  const run = root.split("\n").some((line) => line.trim() === RUN);
  if (!exports.includes("run") || !run) {
    throw new CollectorError(`it does not export run: func(args: list<string>) -> result<string, string>`);
  }
}
