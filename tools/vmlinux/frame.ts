/**
 * Call frame information (.debug_frame): how a debugger gets from a frame to its caller's. Framed functions
 * keep Linux's frame-pointer records, {saved rbp, return address}. Entry code has no record: behind it lies
 * the struct pt_regs of whatever was interrupted, or its address, or nothing at all.
 */
import { ByteWriter } from "../../runtime/link/bytes.ts";

/**
 * framed     push %rbp; mov %rsp,%rbp; ...; pop %rbp; ret
 * outermost  the stack ends here
 * exception  rsp is at a struct pt_regs with the registers of what was interrupted
 * interrupt  rsp is at the address of such a struct, which lies on another stack
 * switched   rsp is at a struct inactive_task_frame
 */
export type FrameKind = "framed" | "outermost" | "exception" | "interrupt" | "switched";

/**
 * The kind of a function by its name. Linux's entry code for exceptions and interrupts is called asm_*, and
 * all but a task switch's other entries begin a stack.
 */
export function frameKind(name: string, isEntry: boolean): FrameKind {
  if (!isEntry) return "framed";
  if (name.startsWith("asm_sysvec_")) return "interrupt";
  if (name.startsWith("asm_")) return "exception";
  return name === "__switch_to_asm" ? "switched" : "outermost";
}

export interface FrameInfo {
  address: bigint;
  size: number;
  kind: FrameKind;
  /** Bytes between a framed function's record and its caller's. */
  area: number;
}

/** DWARF numbers of x86-64 registers. */
const REGISTER = { bx: 3, bp: 6, sp: 7, r12: 12, r13: 13, r14: 14, r15: 15, ip: 16 } as const;
type Register = keyof typeof REGISTER;
const DATA_ALIGNMENT = -8;

const DW_CFA_advance_loc = 0x40;
const DW_CFA_offset = 0x80;
const DW_CFA_advance_loc2 = 0x03;
const DW_CFA_undefined = 0x07;
const DW_CFA_def_cfa = 0x0c;
const DW_CFA_def_cfa_register = 0x0d;
const DW_CFA_def_cfa_offset = 0x0e;
const DW_CFA_def_cfa_expression = 0x0f;
const DW_OP_deref = 0x06;
const DW_OP_plus_uconst = 0x23;
const DW_OP_breg0 = 0x70;

interface SavedRegisters {
  size: number;
  at: Partial<Record<Register, number>>;
}

/** Rules for registers in a struct, when the canonical frame address is its end. */
function saved({ size, at }: SavedRegisters): number[] {
  return Object.entries(at).flatMap(([name, offset]) => [
    DW_CFA_offset | REGISTER[name as Register],
    (offset - size) / DATA_ALIGNMENT,
  ]);
}

/** The struct is at rsp. */
function atStackPointer(struct: SavedRegisters): number[] {
  const cfa = new ByteWriter().u8(DW_CFA_def_cfa, REGISTER.sp).uleb(struct.size).finish();
  return [...cfa, ...saved(struct)];
}

/** Its address is at rsp. */
function fromStackPointer(struct: SavedRegisters): number[] {
  const end = new ByteWriter().u8(DW_OP_breg0 + REGISTER.sp, 0, DW_OP_deref, DW_OP_plus_uconst);
  const expression = end.uleb(struct.size).finish();
  return [DW_CFA_def_cfa_expression, expression.length, ...expression, ...saved(struct)];
}

const PT_REGS = { size: 168, at: { bp: 32, bx: 40, r12: 24, r13: 16, r14: 8, r15: 0, ip: 128, sp: 152 } };
const INACTIVE_TASK_FRAME = { size: 56, at: { r15: 0, r14: 8, r13: 16, r12: 24, bx: 32, bp: 40, ip: 48 } };

function instructions({ kind, size, area }: FrameInfo): number[] {
  switch (kind) {
    case "framed": {
      const uleb = (value: number): Uint8Array => new ByteWriter().uleb(value).finish();
      // The frame above begins behind the arguments.
      const atEntry =
        area === 0
          ? []
          : [
              ...[DW_CFA_def_cfa_offset, ...uleb(8 + area)],
              ...[DW_CFA_offset | REGISTER.ip, ...uleb((8 + area) / 8)],
            ];
      const afterPrologue = [
        ...atEntry,
        DW_CFA_advance_loc | 1,
        ...[DW_CFA_def_cfa_offset, ...uleb(16 + area)],
        ...[DW_CFA_offset | REGISTER.bp, ...uleb((16 + area) / 8)],
        DW_CFA_advance_loc | 3,
        ...[DW_CFA_def_cfa_register, REGISTER.bp],
      ];
      // At the ret, which is the last byte, rbp is the caller's again.
      const body = size - 1 - 4;
      const skip = body < 64 ? [DW_CFA_advance_loc | body] : [DW_CFA_advance_loc2, body & 0xff, body >> 8];
      return [...afterPrologue, ...skip, DW_CFA_def_cfa, REGISTER.sp, ...uleb(8 + area)];
    }
    case "outermost":
      // Without a frame pointer to go by, no debugger guesses on.
      return [DW_CFA_undefined, REGISTER.ip, DW_CFA_undefined, REGISTER.bp];
    case "exception":
      return atStackPointer(PT_REGS);
    case "interrupt":
      return fromStackPointer(PT_REGS);
    case "switched":
      return atStackPointer(INACTIVE_TASK_FRAME);
  }
}

/** Length, then `body`, padded with DW_CFA_nop to 8 bytes. */
function entry(out: ByteWriter, body: ByteWriter): void {
  while ((body.length + 4) % 8 !== 0) body.u8(0);
  out.u32le(body.length).bytes(body.finish());
}

export function encodeFrames(functions: readonly FrameInfo[]): Uint8Array {
  const out = new ByteWriter();
  // Before the prologue the return address is at rsp, and the frame above begins behind it.
  const cie = new ByteWriter().u32le(0xffffffff).u8(1, 0).uleb(1).sleb(DATA_ALIGNMENT).u8(REGISTER.ip);
  entry(out, cie.u8(DW_CFA_def_cfa, REGISTER.sp, 8, DW_CFA_offset | REGISTER.ip, 1));
  for (const it of functions) {
    const fde = new ByteWriter().u32le(0).u64le(it.address).u64le(BigInt(it.size));
    entry(out, fde.u8(...instructions(it)));
  }
  return out.finish();
}
