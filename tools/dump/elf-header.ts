/**
 * The headers of ELF cores, for reader and writers: where each field lies in both classes, and what the
 * numbers of machines mean. Fields: [offset, bytes].
 */

export const PT_LOAD = 1;
export const PT_NOTE = 4;
export const ET_CORE = 4;
export const EM_X86_64 = 62;
/** ELF64's. */
export const EHDR_SIZE = 64;
export const PHDR_SIZE = 56;
/** e_phnum when there are more headers than it can hold: the count is sh_info of section header 0. */
export const PN_XNUM = 0xffff;
/** e_flags of a core that makedumpfile could not finish (DUMP_ELF_INCOMPLETE). */
export const DUMP_ELF_INCOMPLETE = 1;

export type Field = readonly [offset: number, bytes: 2 | 4 | 8];

export interface ElfLayout {
  /** EI_CLASS. */
  class: 1 | 2;
  name: string;
  ehdrSize: number;
  phdrSize: number;
  shdrSize: number;
  type: Field;
  machine: Field;
  phoff: Field;
  shoff: Field;
  flags: Field;
  phentsize: Field;
  phnum: Field;
  /** Of section header 0. */
  shInfo: Field;
  /** Of a program header. */
  p: Record<"type" | "flags" | "offset" | "vaddr" | "paddr" | "filesz" | "memsz" | "align", Field>;
}

export const ELF32: ElfLayout = {
  class: 1,
  name: "ELF32",
  ehdrSize: 52,
  phdrSize: 32,
  shdrSize: 40,
  type: [16, 2],
  machine: [18, 2],
  phoff: [28, 4],
  shoff: [32, 4],
  flags: [36, 4],
  phentsize: [42, 2],
  phnum: [44, 2],
  shInfo: [28, 4],
  p: {
    type: [0, 4],
    offset: [4, 4],
    vaddr: [8, 4],
    paddr: [12, 4],
    filesz: [16, 4],
    memsz: [20, 4],
    flags: [24, 4],
    align: [28, 4],
  },
};

export const ELF64: ElfLayout = {
  class: 2,
  name: "ELF64",
  ehdrSize: EHDR_SIZE,
  phdrSize: PHDR_SIZE,
  shdrSize: 64,
  type: [16, 2],
  machine: [18, 2],
  phoff: [32, 8],
  shoff: [40, 8],
  flags: [48, 4],
  phentsize: [54, 2],
  phnum: [56, 2],
  shInfo: [44, 4],
  p: {
    type: [0, 4],
    flags: [4, 4],
    offset: [8, 8],
    vaddr: [16, 8],
    paddr: [24, 8],
    filesz: [32, 8],
    memsz: [40, 8],
    align: [48, 8],
  },
};

/** uname -m of the machines that kdump knows, by e_machine. */
const MACHINES: Readonly<Record<number, string>> = {
  3: "i686",
  8: "mips",
  20: "ppc",
  21: "ppc64",
  22: "s390x",
  40: "arm",
  42: "sh",
  50: "ia64",
  62: "x86_64",
  183: "aarch64",
  243: "riscv64",
  258: "loongarch64",
};

export function machineName(number: number): string {
  return MACHINES[number] ?? `machine ${number}`;
}

export function getField(view: DataView, [offset, bytes]: Field, base: number, little: boolean): bigint {
  if (bytes === 2) return BigInt(view.getUint16(base + offset, little));
  if (bytes === 4) return BigInt(view.getUint32(base + offset, little));
  return view.getBigUint64(base + offset, little);
}

export function setField(view: DataView, [offset, bytes]: Field, base: number, value: number | bigint): void {
  if (bytes === 2) view.setUint16(base + offset, Number(value), true);
  else if (bytes === 4) view.setUint32(base + offset, Number(value), true);
  else view.setBigUint64(base + offset, BigInt(value), true);
}
