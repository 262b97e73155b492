/**
 * A collector that keeps the kernel log, and of each CPU what it was at: the stack, and the memory that the
 * registers and the stack point to, the task_struct with it. What it writes is an ELF core of a few hundred
 * KiB: vmcore-dmesg prints the log, gdb with the kernel's vmlinux shows registers and call chains.
 */
import { describe, readVirtual } from "wkdump:collector/dump@0.1.0";
import { progress, write } from "wkdump:collector/output@0.1.0";

/** Memory is kept by pieces of this size, as large as a kernel stack (THREAD_SIZE of x86_64). */
const PIECE = 16384n;
const PIECES_MAX = 1024;
const READ_MAX = 1n << 20n;
/** __START_KERNEL_map: the kernel image is mapped from here on. */
const IMAGE = 0xffffffff80000000n;
const KERNEL = 0xffff800000000000n;
/** p_paddr of memory whose physical address is not known, as /proc/kcore has it. */
const NOT_PADDR = 0xffffffffffffffffn;

/** elf_prstatus of x86_64: pr_reg begins at 112, 27 registers, the stack pointer is the 20th. */
const NT_PRSTATUS = 1;
const PRSTATUS = { registers: 112, count: 27, stackPointer: 19 };

const word = (bytes, at) => new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true);
const align = (address) => address & ~(PIECE - 1n);

/** The memory that is kept: pieces by their virtual addresses. */
class Kept {
  pieces = new Map();

  /** Keeps a range; a piece that the dump has not is left out. */
  add(address, size) {
    for (let at = align(address); at < address + size; at += PIECE) {
      if (this.pieces.has(at) || this.pieces.size === PIECES_MAX) continue;
      try {
        this.pieces.set(at, readVirtual(at, Number(PIECE)));
      } catch {
        // A word that was no address, or memory that was left out: the rest is worth having.
      }
    }
  }

  /** [address, bytes] in order. */
  sorted() {
    return [...this.pieces].sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

/** VMCOREINFO's lines: KEY=VALUE. */
function parseVmcoreinfo(text) {
  const lines = new Map(text.split("\n").map((line) => line.split("=", 2)));
  const need = (key) => {
    if (!lines.has(key)) throw `VMCOREINFO has no ${key}`;
    return lines.get(key);
  };
  return {
    symbol: (name) => BigInt(`0x${need(`SYMBOL(${name})`)}`),
    offset: (name) => BigInt(need(`OFFSET(${name})`)),
    size: (name) => BigInt(need(`SIZE(${name})`)),
  };
}

/** The ring buffer of printk, since Linux 5.10: descriptors, infos, text. */
function keepLog(kept, { symbol, offset, size }) {
  const pointer = symbol("prb");
  const ring = word(readVirtual(pointer, 8), 0);
  const bytes = readVirtual(ring, Number(size("printk_ringbuffer")));
  const field = (name, member) => word(bytes, Number(offset(name) + offset(member)));
  const low = (value) => value & 0xffffffffn;
  const count = 1n << low(field("printk_ringbuffer.desc_ring", "prb_desc_ring.count_bits"));
  const textSize = 1n << low(field("printk_ringbuffer.text_data_ring", "prb_data_ring.size_bits"));
  if (count > READ_MAX || textSize > READ_MAX * 16n) throw `the log is damaged: it claims ${textSize} bytes`;
  kept.add(pointer, 8n);
  kept.add(ring, size("printk_ringbuffer"));
  const descriptors = field("printk_ringbuffer.desc_ring", "prb_desc_ring.descs");
  kept.add(descriptors, count * size("prb_desc"));
  kept.add(field("printk_ringbuffer.desc_ring", "prb_desc_ring.infos"), count * size("printk_info"));
  kept.add(field("printk_ringbuffer.text_data_ring", "prb_data_ring.data"), textSize);
}

/** The descriptors of all NT_PRSTATUS notes: the registers of each CPU. */
function* registersOf(notes) {
  const view = new DataView(notes.buffer, notes.byteOffset, notes.length);
  for (let at = 0; at + 12 <= notes.length; ) {
    const [name, size, type] = [0, 4, 8].map((n) => view.getUint32(at + n, true));
    const from = at + 12 + ((name + 3) & ~3);
    if (type === NT_PRSTATUS && from + size <= notes.length) yield notes.slice(from, from + size);
    at = from + ((size + 3) & ~3);
  }
}

function keepCpus(kept, notes) {
  for (const prstatus of registersOf(notes)) {
    const register = (n) => word(prstatus, PRSTATUS.registers + n * 8);
    const stack = align(register(PRSTATUS.stackPointer));
    if (stack < KERNEL) continue;
    kept.add(stack, PIECE);
    const words = Array.from({ length: PRSTATUS.count }, (_, n) => register(n));
    const bytes = kept.pieces.get(stack);
    if (bytes !== undefined) for (let at = 0; at < bytes.length; at += 8) words.push(word(bytes, at));
    for (const address of words) if (address >= KERNEL) kept.add(address, 1n);
  }
}

/** An ELF core: header, a note segment, a load segment for each run of pieces. */
function writeElf(pieces, notes, physical) {
  const runs = [];
  for (const [address, bytes] of pieces) {
    const last = runs.at(-1);
    const follows = last !== undefined && last.address + last.size === address;
    if (follows && last.physical !== NOT_PADDR && last.physical + last.size === physical(address)) {
      last.size += PIECE;
      last.parts.push(bytes);
    } else runs.push({ address, physical: physical(address), size: PIECE, parts: [bytes] });
  }
  const headers = new Uint8Array(64 + 56 * (1 + runs.length));
  const view = new DataView(headers.buffer);
  // ELF64, little endian, version 1; a core (4) of x86_64 (62).
  headers.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 4, true);
  view.setUint16(18, 62, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(32, 64n, true);
  for (const [at, value] of [
    [52, 64],
    [54, 56],
    [56, 1 + runs.length],
  ])
    view.setUint16(at, value, true);
  let file = headers.length;
  const segment = (n, type, flags, fields) => {
    view.setUint32(64 + n * 56, type, true);
    view.setUint32(64 + n * 56 + 4, flags, true);
    fields.forEach((value, i) => {
      view.setBigUint64(64 + n * 56 + 8 + i * 8, BigInt(value), true);
    });
  };
  segment(0, 4, 0, [file, 0, 0, notes.length, notes.length, 4]);
  write(BigInt(file), notes);
  file += notes.length;
  runs.forEach((run, n) => {
    segment(n + 1, 1, 7, [file, run.address, run.physical, run.size, run.size, 0]);
    for (const bytes of run.parts) {
      write(BigInt(file), bytes);
      file += bytes.length;
    }
    progress(BigInt(n + 1), BigInt(runs.length));
  });
  write(0n, headers);
}

/** The world's export. */
export function run(args) {
  if (args.length > 0) throw "it takes no arguments";
  const header = describe();
  if (header.machine !== "x86_64") throw `a dump of ${header.machine}: this knows x86_64 alone`;
  const info = parseVmcoreinfo(header.vmcoreinfo);
  const kept = new Kept();
  keepLog(kept, info);
  kept.add(info.symbol("init_uts_ns"), 512n);
  keepCpus(kept, header.notes);
  const physical = (address) =>
    address >= IMAGE ? BigInt.asUintN(64, address - IMAGE + header.physBase) : NOT_PADDR;
  const pieces = kept.sorted();
  writeElf(pieces, header.notes, physical);
  return `kept ${pieces.length} pieces of 16 KiB`;
}
