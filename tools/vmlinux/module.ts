/**
 * A loadable module with debugging information, for `mod -s` of crash and add-symbol-file of gdb: its object
 * file and DWARF as vmlinux has it. Where the module will lie nobody knows, so each address in it is a
 * relocation.
 */
import {
  type ElfSection,
  type LoadableOutput,
  R_X86_64_64,
  writeElfObject,
} from "../../runtime/link/index.ts";
import type { Layout } from "../build/layout/layout.ts";
import type { ReadSource } from "./functions.ts";
import { debugSections } from "./generate.ts";

/** While DWARF is made the sections lie here, far from each other and from what else stands in it. */
const MARKS: Readonly<Record<string, bigint>> = {
  ".text": 0x71c9_5a01n << 32n,
  ".data": 0x71c9_5a02n << 32n,
  ".bss": 0x71c9_5a03n << 32n,
};

export interface ModuleDebugInput {
  layout: Layout;
  linked: LoadableOutput;
  /** The module's main source. */
  name: string;
  readSource: ReadSource;
}

/** Finds the marks in the bytes, and leaves zeros: the addends have the rest. */
function relocate(name: string, align: number, from: Uint8Array): ElfSection {
  const bytes = from.slice();
  const view = new DataView(bytes.buffer);
  const relocations = [];
  const sections = new Map(Object.entries(MARKS).map(([symbol, mark]) => [Number(mark >> 32n), symbol]));
  for (let at = 0; at + 8 <= bytes.length; at++) {
    const symbol = sections.get(view.getUint32(at + 4, true));
    if (symbol === undefined) continue;
    relocations.push({ at, type: R_X86_64_64, symbol, addend: view.getUint32(at, true) });
    view.setBigUint64(at, 0n, true);
    at += 7;
  }
  return { name, bytes, size: bytes.length, align, flags: "", relocations };
}

/** The bytes of the object file. */
export function makeModuleDebug({ layout, linked, name, readSource }: ModuleDebugInput): Uint8Array {
  const address = (section: string, value: number): bigint => (MARKS[section] ?? 0n) + BigInt(value);
  const sections = debugSections({
    layout,
    functions: linked.functions,
    lines: linked.lines,
    start: address(".text", 0),
    textSize: linked.textSize,
    imageSize: 0,
    addresses: new Map(linked.symbols.map((it) => [it.name, address(it.section, it.value)])),
    name,
    allTypes: false,
    readSource,
  });
  const debug = sections.map((it) => relocate(it.name, it.align, it.bytes));
  return writeElfObject([...linked.sections, ...debug], linked.symbols);
}
