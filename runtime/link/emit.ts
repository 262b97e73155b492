/**
 * The linked module: intrinsic imports gone, functions renumbered, bodies rewritten, the globals sp and cpu
 * appended and exported and, with polls, fuel behind two functions; data segments and custom sections
 * (names, source map) left out.
 */
import type { ArgumentAreas } from "./arguments.ts";
import { ByteReader, ByteWriter } from "./bytes.ts";
import { LinkError } from "./error.ts";
import { OP } from "./instructions.ts";
import { EXTERNAL, I32, type Import, SECTION, SHARED_LIMITS } from "./module.ts";
import type { Program } from "./program.ts";
import { helperBody, NO_RESULT, type RewriteContext, rewriteBody } from "./rewrite.ts";
import { type ScannedFunction, TEXT_ADDRESS_HELPER } from "./scan.ts";
import { STRING_MODULE } from "./strings.ts";
import type { Text } from "./text.ts";

const FUNCTION_TYPE = 0x60;

/** The optimiser drops the memory of a module that does not use it; frame records do. */
const SHARED_MEMORY: Import = {
  module: "env",
  field: "memory",
  kind: EXTERNAL.memory,
  type: -1,
  mutable: false,
  // Shared and limited, 1 to 65536 pages.
  descriptor: new ByteWriter().u8(SHARED_LIMITS).uleb(1).uleb(0x10000).finish(),
};

/** fuel_left(): i32, refuel(i32). */
const FUEL_EXPORTS = ["fuel_left", "refuel"];
const FUEL_TYPES = [
  [FUNCTION_TYPE, 0, 1, I32],
  [FUNCTION_TYPE, 1, I32, 0],
];
/** poll(): what a loadable module's polls call, since a global would have to be exported for them. */
const POLL_EXPORT = "poll";
const POLL_TYPE = [FUNCTION_TYPE, 0, 0];
/** Under this name loadable modules find the table. */
const TABLE_EXPORT = "table";
const FUNCREF = 0x70;

function pollBody(fuel: number, handler: number): Uint8Array {
  const out = new ByteWriter().uleb(0).u8(OP.globalGet).uleb(fuel);
  out.u8(OP.i32Const).sleb(-1).u8(OP.i32Add, OP.globalSet).uleb(fuel);
  out.u8(OP.globalGet).uleb(fuel).u8(OP.i32Eqz, OP.if, NO_RESULT, OP.call).uleb(handler);
  return out.u8(OP.end, OP.end).finish();
}

function fuelBodies(fuel: number): Uint8Array[] {
  return [
    new ByteWriter().uleb(0).u8(OP.globalGet).uleb(fuel).u8(OP.end).finish(),
    new ByteWriter().uleb(0).u8(OP.localGet, 0, OP.globalSet).uleb(fuel).u8(OP.end).finish(),
  ];
}

export function section(out: ByteWriter, id: number, fill: (payload: ByteWriter) => void): void {
  const payload = new ByteWriter();
  fill(payload);
  out.u8(id).uleb(payload.length).bytes(payload.finish());
}

/** Function index in the file -> index in the linked module. Intrinsics have none. */
function renumber(program: Program): Map<number, number> {
  const indices = [...program.hardware.map((it) => it.index), ...program.functions.map((it) => it.index)];
  const map = new Map(indices.map((index, position) => [index, position]));
  map.set(TEXT_ADDRESS_HELPER, indices.length);
  return map;
}

export interface EmitOptions {
  program: Program;
  /** Null: arguments stay where wasm has them. */
  areas: ArgumentAreas | null;
  text: Text;
  linkAddress: bigint;
  symbolOffset(name: string): number;
}

/** The module's bytes. Their number does not depend on what symbolOffset returns. */
export function emitModule({ program, areas, text, linkAddress, symbolOffset }: EmitOptions): Uint8Array {
  const { module } = program;
  const indexMap = renumber(program);
  const newIndex = (index: number): number => {
    const found = indexMap.get(index);
    if (found === undefined) throw new LinkError(`function ${index} does not exist`);
    return found;
  };
  const newGlobal = (index: number): number => program.newGlobal.get(index) ?? index;
  const spGlobal = program.globalCount;
  const cpuGlobal = spGlobal + 1;
  const context: RewriteContext = {
    program,
    text,
    linkAddress: Number(BigInt.asIntN(64, linkAddress)),
    newIndex,
    symbolOffset,
    spGlobal,
    areas,
    cpuGlobal,
    fuelGlobal: cpuGlobal + 1,
    relocations: null,
  };
  const registers = ["sp", "cpu"];
  const polls = program.poll !== null;
  const loads = program.exported.length > 0;
  const addsTable = loads && !module.exports.some((it) => it.name === TABLE_EXPORT);
  const added: number[][] = [];
  const addedNames: string[] = [];
  const addedBodies: Uint8Array[] = [];
  if (program.poll !== null) {
    added.push(...FUEL_TYPES);
    addedNames.push(...FUEL_EXPORTS);
    addedBodies.push(...fuelBodies(context.fuelGlobal));
  }
  if (program.poll !== null && loads) {
    added.push(POLL_TYPE);
    addedNames.push(POLL_EXPORT);
    addedBodies.push(pollBody(context.fuelGlobal, newIndex(program.poll.handler)));
  }

  const out = new ByteWriter();
  out.u32le(0x6d736100).u32le(1);
  section(out, SECTION.type, (to) => {
    const types = new ByteReader(module.rawTypes);
    const count = types.uleb();
    to.uleb(count + added.length).bytes(module.rawTypes.subarray(types.at));
    for (const type of added) to.u8(...type);
  });
  section(out, SECTION.import, (to) => {
    const kept = module.imports.filter((it) => it.module !== "link" && it.module !== STRING_MODULE);
    if (!kept.some((it) => it.kind === EXTERNAL.memory)) kept.push(SHARED_MEMORY);
    to.vec(kept, (it: Import) => to.name(it.module).name(it.field).u8(it.kind).bytes(it.descriptor));
  });
  const types = [...module.functions];
  if (text.needsHelper) {
    const intrinsic = module.importedFunctions.find(
      (it) => it.module === "link" && it.field === "text_address",
    );
    types.push(intrinsic?.type ?? 0);
  }
  const firstAccessor = program.hardware.length + types.length;
  added.forEach((_, i) => void types.push(module.types.length + i));
  section(out, SECTION.function, (to) => to.vec(types, (type) => to.uleb(type)));
  if (loads) section(out, SECTION.table, (to) => void to.u8(1, FUNCREF, 0).uleb(program.tableSize));
  else if (module.rawTables !== null)
    out.u8(SECTION.table).uleb(module.rawTables.length).bytes(module.rawTables);
  section(out, SECTION.global, (to) => {
    to.uleb(module.globals.length + registers.length + (polls ? 1 : 0));
    for (const { copies, raw } of module.globals) {
      if (copies === null) to.bytes(raw);
      else to.bytes(raw.subarray(0, 2)).u8(OP.globalGet).uleb(newGlobal(copies)).u8(OP.end);
    }
    for (const _ of registers) to.u8(I32, 1, OP.i32Const, 0, OP.end);
    if (polls) to.u8(I32, 1, OP.i32Const, 0, OP.end);
  });
  section(out, SECTION.export, (to) => {
    to.uleb(module.exports.length + registers.length + addedNames.length + (addsTable ? 1 : 0));
    for (const { name, kind, index } of module.exports) {
      to.name(name)
        .u8(kind)
        .uleb(
          kind === EXTERNAL.function ? newIndex(index) : kind === EXTERNAL.global ? newGlobal(index) : index,
        );
    }
    const put = (names: readonly string[], kind: number, first: number) =>
      names.forEach((name, i) => {
        to.name(name)
          .u8(kind)
          .uleb(first + i);
      });
    put(registers, EXTERNAL.global, spGlobal);
    put(addedNames, EXTERNAL.function, firstAccessor);
    if (addsTable) put([TABLE_EXPORT], EXTERNAL.table, 0);
  });
  if (module.elements.length > 0) {
    section(out, SECTION.element, (to) => {
      to.vec(module.elements, ({ mode, offset, functions }) => {
        to.uleb(mode);
        if (mode === 0)
          to.u8(OP.i32Const)
            .sleb(offset | 0)
            .u8(OP.end);
        else to.u8(0);
        to.vec(functions, (index) => to.uleb(newIndex(index)));
      });
    });
  }
  section(out, SECTION.code, (to) => {
    const bodies = program.functions.map((source: ScannedFunction) => rewriteBody(source, context));
    if (text.needsHelper) bodies.push(helperBody(context));
    bodies.push(...addedBodies);
    to.vec(bodies, (body) => to.uleb(body.length).bytes(body));
  });
  return out.finish();
}
