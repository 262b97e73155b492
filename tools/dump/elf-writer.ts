/**
 * writeElf: an ELF core of which pages were left out, as makedumpfile -E writes it. A load is cut behind the
 * last page before a run of PFN_EXCLUDED or more excluded pages: p_filesz ends there, p_memsz goes on over
 * the run, and the next load begins behind it. Shorter runs are written with the rest.
 */

import type { Segment } from "./elf.ts";
import { ELF32, ELF64, ET_CORE, PN_XNUM, PT_LOAD, PT_NOTE, setField } from "./elf-header.ts";
import type { MemorySource, PhysicalRange } from "./memory-source.ts";
import type { PageBitmap } from "./page-bitmap.ts";
import type { ByteSink } from "./sink.ts";

/** PFN_EXCLUDED: the excluded pages that are worth a program header. */
export const PFN_EXCLUDED = 256;
/** Memory is moved in pieces of this many bytes. */
const PIECE = 1024 * 1024;

export interface ElfImage {
  /** EI_CLASS: 1 for 32 bit, 2 for 64. */
  class: 1 | 2;
  /** e_machine. */
  machine: number;
  pageSize: number;
  /** The notes as they are. */
  notes: Uint8Array;
  /** p_memsz and p_align of the notes' header, which makedumpfile leaves as they were. */
  notesMemory: number;
  notesAlign: bigint;
  /** Of the core that is filtered. */
  loads: readonly Segment[];
}

export interface ElfPages {
  dumped: PageBitmap;
  read: MemorySource["read"];
  progress?(bytes: number): void;
}

/** A load that is written: `from` bytes behind the start of the one that it is cut from. */
interface Part {
  load: Segment;
  from: number;
  fileSize: number;
  memorySize: number;
  /** Pages of memorySize that are not in fileSize. */
  excluded: number;
  /** It ends where its load does. */
  last: boolean;
}

/** Throws the sink's errors and those of reading. Returns the bytes of the file, and the pages cut out. */
export async function writeElf(
  sink: ByteSink,
  image: ElfImage,
  pages: ElfPages,
): Promise<{ bytes: number; excluded: number }> {
  const layout = image.class === 1 ? ELF32 : ELF64;
  const parts = image.loads.flatMap((load) => cut(load, image.pageSize, pages.dumped));
  const phnum = parts.length + 1;
  // Beyond what e_phnum can hold, section header 0 behind the program headers has the count.
  const extended = phnum >= PN_XNUM;
  const table = layout.ehdrSize + phnum * layout.phdrSize;
  const notesAt = table + (extended ? layout.shdrSize : 0);
  const headers = new Uint8Array(notesAt);
  const view = new DataView(headers.buffer);
  headers.set([0x7f, 0x45, 0x4c, 0x46, image.class, 1, 1]);
  setField(view, layout.type, 0, ET_CORE);
  setField(view, layout.machine, 0, image.machine);
  view.setUint32(20, 1, true);
  setField(view, layout.phoff, 0, layout.ehdrSize);
  view.setUint16(layout.phentsize[0] - 2, layout.ehdrSize, true);
  setField(view, layout.phentsize, 0, layout.phdrSize);
  setField(view, layout.phnum, 0, extended ? PN_XNUM : phnum);
  if (extended) {
    setField(view, layout.shoff, 0, table);
    setField(view, layout.shInfo, table, phnum);
  }
  const { p } = layout;
  let at = layout.ehdrSize;
  setField(view, p.type, at, PT_NOTE);
  setField(view, p.offset, at, notesAt);
  setField(view, p.filesz, at, image.notes.length);
  setField(view, p.memsz, at, image.notesMemory);
  setField(view, p.align, at, image.notesAlign);
  let offset = notesAt + image.notes.length;
  for (const { load, from, fileSize, memorySize, last } of parts) {
    at += layout.phdrSize;
    setField(view, p.type, at, PT_LOAD);
    setField(view, p.flags, at, load.flags);
    setField(view, p.offset, at, fileSize === 0 && !last ? 0 : offset);
    setField(view, p.vaddr, at, BigInt.asUintN(p.vaddr[1] * 8, load.virtual + BigInt(from)));
    setField(view, p.paddr, at, BigInt.asUintN(p.paddr[1] * 8, BigInt((load.physical ?? 0) + from)));
    setField(view, p.filesz, at, fileSize);
    setField(view, p.memsz, at, memorySize);
    setField(view, p.align, at, load.align);
    offset += fileSize;
  }
  await sink.write(0, headers);
  await sink.write(notesAt, image.notes);
  const bytes = await copy(sink, pages, parts, notesAt + image.notes.length);
  return { bytes, excluded: parts.reduce((sum, part) => sum + part.excluded, 0) };
}

/** The memory that a core of these pages has in its file. */
export function writtenRanges({ loads, pageSize }: ElfImage, dumped: PageBitmap): PhysicalRange[] {
  return loads
    .flatMap((load) => cut(load, pageSize, dumped))
    .map(({ load, from, fileSize }) => {
      const start = (load.physical ?? 0) + from;
      return { start, end: start + fileSize };
    });
}

/** The loads that one becomes. Loads without a physical address have no pages, and are left out. */
function cut(load: Segment, pageSize: number, dumped: PageBitmap): Part[] {
  if (load.physical === null) return [];
  const start = load.physical;
  const end = start + load.memorySize;
  const parts: Part[] = [];
  let part: Part = { load, from: 0, fileSize: 0, memorySize: 0, excluded: 0, last: false };
  let excluded = 0;
  for (let pfn = Math.floor(start / pageSize); pfn * pageSize < end; pfn++) {
    const size = Math.min(end, (pfn + 1) * pageSize) - Math.max(start, pfn * pageSize);
    if (!dumped.has(pfn)) {
      excluded++;
      part.memorySize += size;
      continue;
    }
    if (excluded >= PFN_EXCLUDED) {
      parts.push({ ...part, excluded });
      part = { ...part, from: part.from + part.memorySize, fileSize: 0, memorySize: 0 };
    }
    part.memorySize += size;
    part.fileSize = part.memorySize;
    excluded = 0;
  }
  parts.push({ ...part, excluded, last: true });
  return parts;
}

async function copy(sink: ByteSink, pages: ElfPages, parts: readonly Part[], start: number): Promise<number> {
  const piece = new Uint8Array(PIECE);
  let offset = start;
  for (const { load, from, fileSize } of parts) {
    for (let done = 0; done < fileSize; ) {
      const at = (load.physical ?? 0) + from + done;
      const length = Math.min(PIECE, fileSize - done);
      const bytes = await pages.read(at, length, piece.subarray(0, length));
      await sink.write(offset, bytes);
      offset += bytes.length;
      done += bytes.length;
      pages.progress?.(offset - start);
    }
  }
  return offset;
}
