/**
 * A module whose code calls the import test.turn before each instruction that touches memory: there other
 * CPUs may go on, or an interrupt come, so that what a lock or a disabled interrupt should guard meets all
 * that may happen meanwhile. The machine itself changes CPUs at polls only, which are fewer.
 */
import { ByteReader, ByteWriter } from "../../runtime/link/bytes.ts";
import { OP, readInstruction } from "../../runtime/link/instructions.ts";
import { parseModule, SECTION } from "../../runtime/link/module.ts";

const PREFIX_BULK = 0xfc;
const PREFIX_ATOMIC = 0xfe;
const MEMORY_FILL = 11;

function touchesMemory(op: number): boolean {
  if (op >= OP.i32Load && op <= 0x3e) return true;
  const number = op & 0xffff;
  return op >>> 16 === PREFIX_ATOMIC || (op >>> 16 === PREFIX_BULK && number > 7 && number <= MEMORY_FILL);
}

function withTurns(body: Uint8Array, turn: number): Uint8Array {
  const reader = new ByteReader(body);
  const out = new ByteWriter();
  reader.vec(() => {
    reader.skipLeb();
    reader.u8();
  });
  out.bytes(body.subarray(0, reader.at));
  while (!reader.done) {
    const { op, start, end } = readInstruction(reader);
    if (touchesMemory(op)) out.u8(OP.call).uleb(turn);
    out.bytes(body.subarray(start, end));
  }
  return out.finish();
}

export function interleaved(wasm: Uint8Array): Uint8Array {
  const module = parseModule(wasm);
  const turn = module.importedFunctions.findIndex(
    ({ module, field }) => module === "test" && field === "turn",
  );
  if (turn < 0) throw new Error("the module does not import test.turn");
  const reader = new ByteReader(wasm);
  const out = new ByteWriter();
  out.bytes(reader.take(8));
  while (!reader.done) {
    const id = reader.u8();
    const payload = reader.take(reader.uleb());
    if (id === SECTION.code) {
      const bodies = new ByteWriter();
      bodies.uleb(module.code.length);
      for (const { start, end } of module.code) {
        const body = withTurns(wasm.subarray(start, end), turn);
        bodies.uleb(body.length).bytes(body);
      }
      const code = bodies.finish();
      out.u8(id).uleb(code.length).bytes(code);
    } else out.u8(id).uleb(payload.length).bytes(payload);
  }
  return out.finish();
}
