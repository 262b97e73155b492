/**
 * The linked module: intrinsic imports gone, functions renumbered, bodies rewritten, the globals sp and cpu
 * appended and exported, data segments and custom sections (names, source map) left out.
 */
import { ByteWriter } from "./bytes.ts";
import { LinkError } from "./error.ts";
import { OP } from "./instructions.ts";
import { EXTERNAL, I32, type Import, SECTION, SHARED_LIMITS } from "./module.ts";
import type { Program } from "./program.ts";
import { helperBody, type RewriteContext, rewriteBody } from "./rewrite.ts";
import { type ScannedFunction, TEXT_ADDRESS_HELPER } from "./scan.ts";
import type { Text } from "./text.ts";

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

function section(out: ByteWriter, id: number, fill: (payload: ByteWriter) => void): void {
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
  text: Text;
  linkAddress: bigint;
  symbolOffset(name: string): number;
}

/** The module's bytes. Their number does not depend on what symbolOffset returns. */
export function emitModule({ program, text, linkAddress, symbolOffset }: EmitOptions): Uint8Array {
  const { module } = program;
  const indexMap = renumber(program);
  const newIndex = (index: number): number => {
    const found = indexMap.get(index);
    if (found === undefined) throw new LinkError(`function ${index} does not exist`);
    return found;
  };
  const spGlobal = program.globalCount;
  const cpuGlobal = spGlobal + 1;
  const context: RewriteContext = {
    program,
    text,
    linkAddress: Number(BigInt.asIntN(64, linkAddress)),
    newIndex,
    symbolOffset,
    spGlobal,
    cpuGlobal,
  };

  const out = new ByteWriter();
  out.u32le(0x6d736100).u32le(1);
  out.u8(SECTION.type).uleb(module.rawTypes.length).bytes(module.rawTypes);
  section(out, SECTION.import, (to) => {
    const kept = module.imports.filter((it) => it.module !== "link");
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
  section(out, SECTION.function, (to) => to.vec(types, (type) => to.uleb(type)));
  if (module.rawTables !== null) out.u8(SECTION.table).uleb(module.rawTables.length).bytes(module.rawTables);
  section(out, SECTION.global, (to) => {
    to.uleb(module.globals.length + 2);
    for (const global of module.globals) to.bytes(global.raw);
    for (let added = 0; added < 2; added++) to.u8(I32, 1, OP.i32Const, 0, OP.end);
  });
  section(out, SECTION.export, (to) => {
    to.uleb(module.exports.length + 2);
    for (const { name, kind, index } of module.exports) {
      to.name(name)
        .u8(kind)
        .uleb(kind === EXTERNAL.function ? newIndex(index) : index);
    }
    to.name("sp").u8(EXTERNAL.global).uleb(spGlobal);
    to.name("cpu").u8(EXTERNAL.global).uleb(cpuGlobal);
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
    to.vec(bodies, (body) => to.uleb(body.length).bytes(body));
  });
  return out.finish();
}
