/**
 * The instruction set: readInstruction() steps over one instruction and its immediates. Known is all that
 * asc emits (MVP, sign extension, saturating conversion, bulk memory, reference types, SIMD, threads); tail
 * calls, exceptions and GC are refused, because frame records know nothing of them.
 */
import type { ByteReader } from "./bytes.ts";
import { LinkError } from "./error.ts";

export const OP = {
  unreachable: 0x00,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  end: 0x0b,
  br: 0x0c,
  return: 0x0f,
  call: 0x10,
  callIndirect: 0x11,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  globalGet: 0x23,
  globalSet: 0x24,
  i32Load: 0x28,
  i64Store: 0x37,
  memoryGrow: 0x40,
  i32Const: 0x41,
  i64Const: 0x42,
  i32Eqz: 0x45,
  i32Eq: 0x46,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i32And: 0x71,
  i64Add: 0x7c,
  i64ExtendI32U: 0xad,
  refFunc: 0xd2,
  /** Prefixed opcodes are (prefix << 16) | number. */
  memoryInit: 0xfc0008,
  dataDrop: 0xfc0009,
} as const;

export interface Instruction {
  op: number;
  start: number;
  end: number;
  /** call, ref.func: the function; global.get: the global; i32.const: the value; otherwise 0. */
  value: number;
}

/** What stands behind an opcode. */
type Shape =
  | "none"
  | "leb"
  | "leb2"
  | "memarg"
  | "byte"
  | "bytes16"
  | "memargLane"
  | "blockType"
  | "table"
  | "types";

const PLAIN: (Shape | undefined)[] = [];
function define(from: number, to: number, shape: Shape): void {
  for (let op = from; op <= to; op++) PLAIN[op] = shape;
}
define(0x00, 0x01, "none");
define(0x02, 0x04, "blockType");
define(0x05, 0x05, "none");
define(0x0b, 0x0b, "none");
define(0x0c, 0x0d, "leb");
define(0x0e, 0x0e, "table");
define(0x0f, 0x0f, "none");
define(0x10, 0x10, "leb");
define(0x11, 0x11, "leb2");
define(0x1a, 0x1b, "none");
define(0x1c, 0x1c, "types");
define(0x20, 0x26, "leb");
define(0x28, 0x3e, "memarg");
define(0x3f, 0x42, "leb");
define(0x45, 0xc4, "none");
define(0xd0, 0xd0, "leb");
define(0xd1, 0xd1, "none");
define(0xd2, 0xd2, "leb");

function miscShape(op: number): Shape | undefined {
  if (op <= 7) return "none";
  if (op === 8 || op === 10 || op === 12 || op === 14) return "leb2";
  return op <= 17 ? "leb" : undefined;
}

function simdShape(op: number): Shape | undefined {
  if (op <= 11 || op === 92 || op === 93) return "memarg";
  if (op <= 13) return "bytes16";
  if (op >= 21 && op <= 34) return "byte";
  if (op >= 84 && op <= 91) return "memargLane";
  return op <= 0x113 ? "none" : undefined;
}

function atomicShape(op: number): Shape | undefined {
  if (op <= 2 || (op >= 0x10 && op <= 0x4e)) return "memarg";
  return op === 3 ? "byte" : undefined;
}

function skipMemarg(reader: ByteReader): void {
  if (reader.uleb() & 0x40) reader.skipLeb();
  reader.skipLeb();
}

function skipImmediates(reader: ByteReader, shape: Shape): void {
  switch (shape) {
    case "none":
      break;
    case "leb":
    case "blockType":
      reader.skipLeb();
      break;
    case "leb2":
      reader.skipLeb();
      reader.skipLeb();
      break;
    case "memarg":
      skipMemarg(reader);
      break;
    case "memargLane":
      skipMemarg(reader);
      reader.skip(1);
      break;
    case "byte":
      reader.skip(1);
      break;
    case "bytes16":
      reader.skip(16);
      break;
    case "types":
      reader.skip(reader.uleb());
      break;
    case "table":
      for (let labels = reader.uleb(); labels >= 0; labels--) reader.skipLeb();
  }
}

/** Reads the instruction at the reader, which then stands behind it. */
export function readInstruction(reader: ByteReader): Instruction {
  const start = reader.at;
  let op = reader.u8();
  let value = 0;
  if (op === OP.call || op === OP.refFunc || op === OP.globalGet) {
    value = reader.uleb();
  } else if (op === OP.i32Const) {
    value = reader.sleb32();
  } else if (op === 0x43 || op === 0x44) {
    reader.skip(op === 0x43 ? 4 : 8);
  } else {
    let shape = PLAIN[op];
    if (op === 0xfc || op === 0xfd || op === 0xfe) {
      const number = reader.uleb();
      shape = (op === 0xfc ? miscShape : op === 0xfd ? simdShape : atomicShape)(number);
      op = (op << 16) | number;
    }
    if (shape === undefined) {
      throw new LinkError(
        `instruction 0x${op.toString(16)} at offset 0x${start.toString(16)} is not supported`,
      );
    }
    skipImmediates(reader, shape);
  }
  return { op, start, end: reader.at, value };
}

/** Steps over a constant expression and its `end`. */
export function skipExpression(reader: ByteReader): void {
  while (readInstruction(reader).op !== OP.end);
}
