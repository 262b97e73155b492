/**
 * ELF notes: the parser of a PT_NOTE segment, and the layout of the register note NT_PRSTATUS (elf_prstatus
 * of x86_64, include/linux/elfcore.h), which serves readers and writers alike.
 *
 *     0  n_namesz   length of the name with its NUL      12           name, padded to 4
 *     4  n_descsz   length of the descriptor             12 + name    descriptor, padded to 4
 *     8  n_type
 */
import { hex } from "./error.ts";

export const NT_PRSTATUS = 1;
export const NOTE_HEADER_SIZE = 12;
/** The name of the note, type 0, that lists what makedumpfile erased. */
export const ERASEINFO_NOTE = "ERASEINFO";

export interface Note {
  name: string;
  type: number;
  /** A view into the bytes that were parsed. */
  descriptor: Uint8Array;
}

const align4 = (size: number) => Math.ceil(size / 4) * 4;

/**
 * Parses the notes of one segment. An all-zero header ends them, as in a crash_notes buffer; so does a note
 * that claims more than is left, which is told in `problems`.
 */
export function parseNotes(bytes: Uint8Array, little = true): { notes: Note[]; problems: string[] } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const notes: Note[] = [];
  const problems: string[] = [];
  let at = 0;
  while (at + NOTE_HEADER_SIZE <= bytes.length) {
    const nameSize = view.getUint32(at, little);
    const descriptorSize = view.getUint32(at + 4, little);
    const type = view.getUint32(at + 8, little);
    if (nameSize === 0 && descriptorSize === 0 && type === 0) break;
    const nameAt = at + NOTE_HEADER_SIZE;
    const descriptorAt = nameAt + align4(nameSize);
    if (descriptorAt + descriptorSize > bytes.length) {
      const sizes = `n_namesz=${hex(nameSize)}, n_descsz=${hex(descriptorSize)}`;
      const left = hex(bytes.length - at);
      problems.push(`the note at ${hex(at)} of its segment claims ${sizes}, only ${left} bytes are left`);
      break;
    }
    const name = cString(bytes.subarray(nameAt, nameAt + nameSize));
    notes.push({ name, type, descriptor: bytes.subarray(descriptorAt, descriptorAt + descriptorSize) });
    at = descriptorAt + align4(descriptorSize);
  }
  return { notes, problems };
}

/** A note's bytes, with `size` bytes for a descriptor that may be shorter. */
export function encodeNote(name: string, type: number, descriptor: Uint8Array, size: number): Uint8Array {
  const nameSize = name.length + 1;
  const descriptorAt = NOTE_HEADER_SIZE + align4(nameSize);
  const bytes = new Uint8Array(descriptorAt + align4(size));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, nameSize, true);
  view.setUint32(4, size, true);
  view.setUint32(8, type, true);
  for (let n = 0; n < name.length; n++) bytes[NOTE_HEADER_SIZE + n] = name.charCodeAt(n);
  bytes.set(descriptor, descriptorAt);
  return bytes;
}

/** A text as bytes, one a character: what cString() reads. */
export function latin1(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

/** The bytes up to the first NUL, one character a byte. */
export function cString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  let text = "";
  for (const byte of end < 0 ? bytes : bytes.subarray(0, end)) text += String.fromCharCode(byte);
  return text;
}

/** Offsets in elf_prstatus. The descriptor has exactly 336 bytes: gdb refuses another size. */
export const PRSTATUS = { cursig: 12, pid: 32, ppid: 36, reg: 112, fpvalid: 328, size: 336 } as const;

/** pr_reg: user_regs_struct, 27 words of 8 bytes in this order. */
export const PRSTATUS_REGISTERS = [
  "r15",
  "r14",
  "r13",
  "r12",
  "bp",
  "bx",
  "r11",
  "r10",
  "r9",
  "r8",
  "ax",
  "cx",
  "dx",
  "si",
  "di",
  "orig_ax",
  "ip",
  "cs",
  "flags",
  "sp",
  "ss",
  "fs_base",
  "gs_base",
  "ds",
  "es",
  "fs",
  "gs",
] as const;

export type RegisterName = (typeof PRSTATUS_REGISTERS)[number];

export interface Prstatus {
  signal: number;
  pid: number;
  registers: Record<RegisterName, bigint>;
}

/** The registers of one CPU; null when the note is none of x86_64's NT_PRSTATUS. */
export function readPrstatus(note: Note): Prstatus | null {
  if (note.name !== "CORE" || note.type !== NT_PRSTATUS || note.descriptor.length !== PRSTATUS.size)
    return null;
  const { buffer, byteOffset, byteLength } = note.descriptor;
  const view = new DataView(buffer, byteOffset, byteLength);
  const registers = {} as Record<RegisterName, bigint>;
  PRSTATUS_REGISTERS.forEach((name, index) => {
    registers[name] = view.getBigUint64(PRSTATUS.reg + index * 8, true);
  });
  return { signal: view.getInt16(PRSTATUS.cursig, true), pid: view.getInt32(PRSTATUS.pid, true), registers };
}
