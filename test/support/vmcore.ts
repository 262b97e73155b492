/**
 * Mock vmcores, made of small writers: notes, VMCOREINFO, page tables, an ELF core, and a kernel's memory
 * with a log in it (log.ts has the log's writers). Readers are tested on these, so that no test needs a
 * kernel or a file from elsewhere.
 */
import {
  EHDR_SIZE,
  ELF32,
  ELF64,
  EM_X86_64,
  ET_CORE,
  type Field,
  PHDR_SIZE,
  PT_LOAD,
  PT_NOTE,
} from "../../tools/dump/elf-header.ts";
import { NT_PRSTATUS, PRSTATUS, PRSTATUS_REGISTERS, type RegisterName } from "../../tools/dump/notes.ts";

export const START_KERNEL_MAP = 0xffffffff80000000n;
export const DIRECT_MAP = 0xffff888000000000n;
export const PAGE_SIZE = 4096;

/** Bytes of one character each; the texts of a core are ASCII. */
export function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

export function textOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

export function concat(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** The same numbers from the same seed on every engine (xorshift32). Returns 0 <= n < limit. */
export function seededRandom(seed: number): (limit: number) => number {
  let state = seed >>> 0 || 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

export function note(name: string, type: number, descriptor: Uint8Array): Uint8Array {
  const padded = (size: number) => new Uint8Array(Math.ceil(size / 4) * 4 - size);
  const header = new DataView(new ArrayBuffer(12));
  header.setUint32(0, name.length + 1, true);
  header.setUint32(4, descriptor.length, true);
  header.setUint32(8, type, true);
  const terminated = bytesOf(`${name}\0`);
  const body = [terminated, padded(terminated.length), descriptor, padded(descriptor.length)];
  return concat(new Uint8Array(header.buffer), ...body);
}

export function prstatusNote(pid: number, registers: Partial<Record<RegisterName, bigint>> = {}): Uint8Array {
  const view = new DataView(new ArrayBuffer(PRSTATUS.size));
  view.setInt32(PRSTATUS.pid, pid, true);
  PRSTATUS_REGISTERS.forEach((name, index) => {
    view.setBigUint64(PRSTATUS.reg + index * 8, registers[name] ?? 0n, true);
  });
  return note("CORE", NT_PRSTATUS, new Uint8Array(view.buffer));
}

export function vmcoreinfoNote(lines: readonly string[]): Uint8Array {
  return note("VMCOREINFO", 0, bytesOf(lines.map((line) => `${line}\n`).join("")));
}

/** A core in which no note has this name any more. */
export function withoutNote(core: Uint8Array, name: string): Uint8Array {
  const bytes = new Uint8Array(core);
  const text = `${name}\0`;
  const found = (at: number) => [...text].every((character, n) => bytes[at + n] === character.charCodeAt(0));
  for (let at = 0; at < Math.min(bytes.length, 1 << 16); at++) if (found(at)) bytes[at] = 0x2d;
  return bytes;
}

export interface MockLoad {
  virtual: bigint;
  physical: bigint;
  data: Uint8Array;
  /** p_memsz; the data's length when absent. */
  memorySize?: number;
}

export interface MockCore {
  notes?: Uint8Array;
  loads: MockLoad[];
}

/** An ELF core as /proc/vmcore lays it out: headers, notes, loads, each beginning on a page. */
export function elfCore({ notes = new Uint8Array(0), loads }: MockCore): Uint8Array<ArrayBuffer> {
  const pages = (size: number) => Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
  const notesAt = pages(EHDR_SIZE + PHDR_SIZE * (loads.length + 1));
  const size = notesAt + pages(notes.length) + loads.reduce((sum, load) => sum + pages(load.data.length), 0);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, ET_CORE, true);
  view.setUint16(18, EM_X86_64, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(32, BigInt(EHDR_SIZE), true);
  view.setUint16(52, EHDR_SIZE, true);
  view.setUint16(54, PHDR_SIZE, true);
  view.setUint16(56, loads.length + 1, true);

  let at = notesAt;
  const place = (index: number, type: number, flags: number, load: MockLoad) => {
    const header = EHDR_SIZE + index * PHDR_SIZE;
    view.setUint32(header, type, true);
    view.setUint32(header + 4, flags, true);
    const memorySize = load.memorySize ?? load.data.length;
    const words = [BigInt(at), load.virtual, load.physical, BigInt(load.data.length), BigInt(memorySize), 0n];
    words.forEach((word, member) => {
      view.setBigUint64(header + 8 + member * 8, word, true);
    });
    bytes.set(load.data, at);
    at += pages(load.data.length);
  };
  place(0, PT_NOTE, 0, { virtual: 0n, physical: 0n, data: notes });
  loads.forEach((load, index) => {
    place(index + 1, PT_LOAD, 7, load);
  });
  return bytes;
}

/**
 * A core of another class or byte order: `pages` of sevens from 0x1000 on, and one more that was left out.
 * Its one note has a name of 10 characters.
 */
export function foreignCore(
  elfClass: 1 | 2,
  little: boolean,
  machine: number,
  note = "VMCOREINFO",
  pages = 1,
): Uint8Array<ArrayBuffer> {
  const layout = elfClass === 1 ? ELF32 : ELF64;
  const bytes = new Uint8Array(0x2000 + pages * PAGE_SIZE);
  const view = new DataView(bytes.buffer);
  const put = ([offset, size]: Field, base: number, value: number) => {
    if (size === 2) view.setUint16(base + offset, value, little);
    else if (size === 4) view.setUint32(base + offset, value, little);
    else view.setBigUint64(base + offset, BigInt(value), little);
  };
  bytes.set([0x7f, 0x45, 0x4c, 0x46, elfClass, little ? 1 : 2, 1]);
  put(layout.type, 0, ET_CORE);
  put(layout.machine, 0, machine);
  put(layout.phoff, 0, layout.ehdrSize);
  view.setUint32(20, 1, little);
  view.setUint16(layout.phentsize[0] - 2, layout.ehdrSize, little);
  put(layout.phentsize, 0, layout.phdrSize);
  put(layout.phnum, 0, 2);
  const body = bytesOf(`${note}\0\0OSRELEASE=6.1.0\n\0`);
  view.setUint32(0x1000, 11, little);
  view.setUint32(0x1004, 16, little);
  bytes.set(body, 0x100c);
  const [first, second] = [layout.ehdrSize, layout.ehdrSize + layout.phdrSize];
  put(layout.p.type, first, PT_NOTE);
  put(layout.p.offset, first, 0x1000);
  put(layout.p.filesz, first, 12 + body.length);
  put(layout.p.memsz, first, 12 + body.length);
  put(layout.p.type, second, PT_LOAD);
  put(layout.p.offset, second, 0x2000);
  put(layout.p.paddr, second, 0x1000);
  put(layout.p.filesz, second, pages * PAGE_SIZE);
  put(layout.p.memsz, second, (pages + 1) * PAGE_SIZE);
  bytes.fill(7, 0x2000);
  return bytes;
}

/** Physical memory from address 0, with words written by address. */
export class MockMemory {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
  }

  u16(at: number, value: number): void {
    this.view.setUint16(at, value, true);
  }

  u32(at: number, value: number): void {
    this.view.setUint32(at, value, true);
  }

  u64(at: number, value: bigint): void {
    this.view.setBigUint64(at, BigInt.asUintN(64, value), true);
  }
}

const LEAF_LEVEL = { pages4k: 3, pages2m: 2, pages1g: 1 } as const;

/** Page tables in a mock memory: the top table at `root`, the others taken upwards from there. */
export class MockPageTables {
  private next: number;

  constructor(
    private readonly memory: MockMemory,
    readonly root: number,
    private readonly levels: 4 | 5 = 4,
  ) {
    this.next = root + PAGE_SIZE;
  }

  map(virtual: bigint, physical: bigint, kind: keyof typeof LEAF_LEVEL = "pages4k"): void {
    let table = this.root;
    const shifts = [39n, 30n, 21n, 12n];
    if (this.levels === 5) table = this.step(table + Number((virtual >> 48n) & 511n) * 8);
    for (let level = 0; level < 4; level++) {
      const at = table + Number((virtual >> (shifts[level] as bigint)) & 511n) * 8;
      if (level === LEAF_LEVEL[kind]) {
        this.memory.u64(at, physical | (level === 3 ? 0x163n : 0x1e3n));
        return;
      }
      table = this.step(at);
    }
  }

  /** The table that the entry at `at` points at, a new one where there is none. */
  private step(at: number): number {
    let entry = this.memory.view.getBigUint64(at, true);
    if (entry === 0n) {
      entry = BigInt(this.next) | 0x63n;
      this.memory.u64(at, entry);
      this.next += PAGE_SIZE;
    }
    return Number(entry & 0x000ffffffffff000n);
  }
}
