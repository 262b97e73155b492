/**
 * writeKdump: a kdump-compressed dump, header version 6, byte for byte as makedumpfile 1.7 lays it out (but
 * for what the compressors make). kdump-header.ts draws the format.
 */
import { CODECS, type Codec } from "./codecs.ts";
import { setField } from "./elf-header.ts";
import {
  DUMP_DH_EXCLUDED_VMEMMAP,
  type Extent,
  HEADER_VERSION,
  KDUMP_SIGNATURE,
  KDUMP64,
  type SubField,
  UTSNAME,
  UTSNAME_LENGTH,
  UTSNAME_OFFSET,
} from "./kdump-header.ts";
import { type KdumpPages, type Written, writePages } from "./page-writer.ts";
import type { ByteSink } from "./sink.ts";

/** What the headers of a dump say. */
export interface KdumpImage {
  utsname: Record<(typeof UTSNAME)[number], string>;
  timestamp: { seconds: bigint; microseconds: bigint };
  pageSize: number;
  /** One more than the highest pfn: the length of the bitmaps. */
  maxMapnr: number;
  nrCpus: number;
  physBase: bigint;
  dumpLevel: number;
  /** The ELF notes as they are, and where VMCOREINFO's text lies in them. */
  notes: Uint8Array;
  vmcoreinfo: Extent;
  /** The list of what was erased, which lies behind the pages; empty for none. */
  eraseinfo: Uint8Array;
  /** A file of a split set: the pages that it holds. */
  split?: { startPfn: number; endPfn: number };
  /** Pages of the memory map were left out. */
  vmemmapExcluded?: boolean;
}

/** The header's status of a dump that is written whole. */
export function kdumpStatus(image: Pick<KdumpImage, "vmemmapExcluded">, codec: Codec | null): number {
  return (codec === null ? 0 : CODECS[codec]) | (image.vmemmapExcluded ? DUMP_DH_EXCLUDED_VMEMMAP : 0);
}

/** Writes the dump, or one file of a split set. Throws the sink's errors and those of reading. */
export async function writeKdump(sink: ByteSink, image: KdumpImage, pages: KdumpPages): Promise<Written> {
  const { pageSize, maxMapnr } = image;
  const subBlocks = Math.ceil((KDUMP64.subHeaderSize + image.notes.length) / pageSize);
  const bitmapBlocks = Math.ceil(maxMapnr / 8 / pageSize);
  await sink.write(0, header(image, subBlocks, bitmapBlocks * 2, pages.codec));
  const eraseinfo: Extent = { offset: 0, size: 0 };
  await sink.write(pageSize, subHeader(image, subBlocks, eraseinfo));
  const bitmaps = (1 + subBlocks) * pageSize;
  for (const [index, bitmap] of [pages.exist, pages.dumped].entries()) {
    const padded = new Uint8Array(bitmapBlocks * pageSize);
    padded.set(bitmap.bytes);
    await sink.write(bitmaps + index * padded.length, padded);
  }
  const descriptors = bitmaps + 2 * bitmapBlocks * pageSize;
  const written = await writePages(sink, image, pages, descriptors);
  if (image.eraseinfo.length === 0) return written;
  await sink.write(written.bytes, image.eraseinfo);
  Object.assign(eraseinfo, { offset: written.bytes, size: image.eraseinfo.length });
  await sink.write(pageSize, subHeader(image, subBlocks, eraseinfo));
  return { ...written, bytes: written.bytes + eraseinfo.size };
}

function header(image: KdumpImage, subBlocks: number, bitmapBlocks: number, codec: Codec | null): Uint8Array {
  const bytes = new Uint8Array(image.pageSize);
  const view = new DataView(bytes.buffer);
  put(bytes, 0, KDUMP_SIGNATURE);
  for (const [index, member] of UTSNAME.entries()) {
    put(bytes, UTSNAME_OFFSET + index * UTSNAME_LENGTH, image.utsname[member].slice(0, UTSNAME_LENGTH - 1));
  }
  const fields: [keyof typeof KDUMP64.header, number | bigint][] = [
    ["version", HEADER_VERSION],
    ["seconds", image.timestamp.seconds],
    ["microseconds", image.timestamp.microseconds],
    ["status", kdumpStatus(image, codec)],
    ["blockSize", image.pageSize],
    ["subHdrSize", subBlocks],
    ["bitmapBlocks", bitmapBlocks],
    ["maxMapnr", image.maxMapnr % 2 ** 32],
    ["nrCpus", image.nrCpus],
  ];
  for (const [name, value] of fields) setField(view, KDUMP64.header[name], 0, value);
  return bytes;
}

function subHeader(image: KdumpImage, blocks: number, eraseinfo: Extent): Uint8Array {
  const { pageSize, notes, vmcoreinfo, split } = image;
  const bytes = new Uint8Array(blocks * pageSize);
  const view = new DataView(bytes.buffer);
  const notesAt = pageSize + KDUMP64.subHeaderSize;
  const fields: [SubField, number | bigint][] = [
    ["physBase", image.physBase],
    ["dumpLevel", image.dumpLevel],
    ["split", split === undefined ? 0 : 1],
    ["startPfn", split?.startPfn ?? 0],
    ["endPfn", split?.endPfn ?? 0],
    ["offsetVmcoreinfo", vmcoreinfo.size === 0 ? 0 : notesAt + vmcoreinfo.offset],
    ["sizeVmcoreinfo", vmcoreinfo.size],
    ["offsetNote", notes.length === 0 ? 0 : notesAt],
    ["sizeNote", notes.length],
    ["offsetEraseinfo", eraseinfo.offset],
    ["sizeEraseinfo", eraseinfo.size],
    ["startPfn64", split?.startPfn ?? 0],
    ["endPfn64", split?.endPfn ?? 0],
    ["maxMapnr64", image.maxMapnr],
  ];
  for (const [name, value] of fields) {
    const [field] = KDUMP64.sub[name];
    setField(view, field, 0, BigInt.asUintN(field[1] * 8, BigInt(value)));
  }
  bytes.set(notes, KDUMP64.subHeaderSize);
  return bytes;
}

function put(bytes: Uint8Array, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
}
