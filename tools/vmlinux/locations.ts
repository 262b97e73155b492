/**
 * Where a debugger finds a function's arguments, in a kernel that stores them (runtime/link/arguments.ts):
 * the values that it was called with.
 */
import { ByteWriter } from "../../runtime/link/bytes.ts";
import type { Parameter } from "./signatures.ts";

const I32 = 0x7f;
const I64 = 0x7e;

const DW_OP_const4u = 0x0c;
const DW_OP_const8u = 0x0e;
const DW_OP_dup = 0x12;
const DW_OP_and = 0x1a;
const DW_OP_minus = 0x1c;
const DW_OP_plus = 0x22;
const DW_OP_bra = 0x28;
const DW_OP_eq = 0x29;
const DW_OP_lt = 0x2d;
const DW_OP_skip = 0x2f;
const DW_OP_lit0 = 0x30;
const DW_OP_fbreg = 0x91;
const DW_OP_deref_size = 0x94;
const DW_OP_stack_value = 0x9f;

const DIRECT_MAP = 0xffff888000000000n;
const KERNEL_MAP = 0xffffffff80000000n;

/** What becomes of a source type in wasm. */
function wasmType(type: string): number {
  return type === "i64" || type === "u64" ? I64 : I32;
}

/**
 * The wasm parameter of each parameter of the source. The optimiser takes away what nobody reads and what is
 * always the same, in order, and leaves no note: undefined where more than one answer is possible.
 */
export function wasmParameters(
  source: readonly Parameter[],
  wasm: readonly number[],
): (number | undefined)[] {
  const types = source.map(({ type }) => wasmType(type));
  // Each wasm parameter as early, and as late, as it can be.
  const first: number[] = [];
  for (let at = 0; at < types.length && first.length < wasm.length; at++) {
    if (types[at] === wasm[first.length]) first.push(at);
  }
  const last: number[] = [];
  for (let at = types.length - 1; at >= 0 && last.length < wasm.length; at--) {
    if (types[at] === wasm[wasm.length - 1 - last.length]) last.unshift(at);
  }
  if (first.length !== wasm.length) return source.map(() => undefined);
  const found: (number | undefined)[] = source.map(() => undefined);
  first.forEach((at, local) => {
    if (last[local] === at) found[at] = local;
  });
  return found;
}

/** Of the kernel image: physical address and size. */
export interface ImagePlace {
  start: number;
  size: number;
}

/** The bytes in memory, for a number. `offset` is seen from the caller's sp, which is the CFA. */
export function storedValue(offset: number): Uint8Array {
  return new ByteWriter().u8(DW_OP_fbreg).sleb(offset).finish();
}

/**
 * A pointer: a physical address in code, a virtual one for the debugger, in the kernel's image or in the
 * direct map; NULL stays NULL.
 */
export function storedPointer(offset: number, { start, size }: ImagePlace): Uint8Array {
  const map = (base: bigint): Uint8Array => {
    return new ByteWriter().u8(DW_OP_const8u).u64le(base).u8(DW_OP_plus).finish();
  };
  const image = map(KERNEL_MAP);
  const direct = map(DIRECT_MAP);
  const jump = (op: number, distance: number): Uint8Array => {
    return new ByteWriter().u8(op).u16le(distance).finish();
  };
  const toEnd = jump(DW_OP_skip, image.length);
  const inImage = new ByteWriter();
  inImage.u8(DW_OP_dup, DW_OP_const4u).u32le(start).u8(DW_OP_minus);
  inImage.u8(DW_OP_const4u).u32le(0xffffffff).u8(DW_OP_and);
  inImage.u8(DW_OP_const4u).u32le(size).u8(DW_OP_lt);
  inImage.bytes(jump(DW_OP_bra, direct.length + toEnd.length));
  const mapped = new ByteWriter().bytes(inImage.finish()).bytes(direct).bytes(toEnd).bytes(image).finish();
  const out = new ByteWriter().u8(DW_OP_fbreg).sleb(offset).u8(DW_OP_deref_size, 4);
  out.u8(DW_OP_dup, DW_OP_lit0, DW_OP_eq).bytes(jump(DW_OP_bra, mapped.length));
  return out.bytes(mapped).u8(DW_OP_stack_value).finish();
}
