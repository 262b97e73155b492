/** The line number program (.debug_line, DWARF 4): one sequence of rows a function. */
import { ByteWriter } from "../../runtime/link/bytes.ts";

export interface Row {
  address: bigint;
  /** From 1, a place in the list of files. */
  file: number;
  line: number;
  column: number;
}

export interface Sequence {
  rows: readonly Row[];
  /** The first address behind it. */
  end: bigint;
}

const OPCODE_BASE = 13;
/** Operands of the standard opcodes 1 to 12. */
const OPERANDS = [0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];
const LNS = { copy: 1, advance_pc: 2, advance_line: 3, set_file: 4, set_column: 5 } as const;
const LNE = { end_sequence: 1, set_address: 2 } as const;

function header(files: readonly string[]): Uint8Array {
  const out = new ByteWriter();
  // Shortest instruction 1 byte, 1 operation, rows are statements; special opcodes are not used.
  out.u8(1, 1, 1, 0xfb, 14, OPCODE_BASE, ...OPERANDS);
  out.u8(0);
  for (const name of files) out.bytes(new TextEncoder().encode(name)).u8(0, 0, 0, 0);
  return out.u8(0).finish();
}

function writeSequence(out: ByteWriter, { rows, end }: Sequence): void {
  const [first] = rows;
  if (first === undefined) return;
  let { address } = first;
  let file = 1;
  let line = 1;
  let column = 0;
  out.u8(0, 9, LNE.set_address).u64le(address);
  for (const row of rows) {
    if (row.address !== address) out.u8(LNS.advance_pc).uleb(Number(row.address - address));
    if (row.file !== file) out.u8(LNS.set_file).uleb(row.file);
    if (row.column !== column) out.u8(LNS.set_column).uleb(row.column);
    if (row.line !== line) out.u8(LNS.advance_line).sleb(row.line - line);
    out.u8(LNS.copy);
    ({ address, file, line, column } = row);
  }
  out
    .u8(LNS.advance_pc)
    .uleb(Number(end - address))
    .u8(0, 1, LNE.end_sequence);
}

/** File names are relative to the compile unit's directory. */
export function encodeLines(files: readonly string[], sequences: readonly Sequence[]): Uint8Array {
  const program = new ByteWriter();
  for (const sequence of sequences) writeSequence(program, sequence);
  const head = header(files);
  const out = new ByteWriter();
  out
    .u32le(2 + 4 + head.length + program.length)
    .u16le(4)
    .u32le(head.length);
  return out.bytes(head).bytes(program.finish()).finish();
}
