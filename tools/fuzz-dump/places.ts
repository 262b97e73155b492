/** Where in a dump's file what lies: its headers by the format, the kernel's own things by VMCOREINFO. */
import { AddressSpace } from "../dump/address-space.ts";
import { ELF32, ELF64, getField, PT_NOTE } from "../dump/elf-header.ts";
import { DumpError } from "../dump/error.ts";
import { FLAT_HEADER_SIZE, FLAT_RECORD_SIZE } from "../dump/flattened.ts";
import { KDUMP64, PAGE_DESC } from "../dump/kdump-header.ts";
import type { KernelDump } from "../dump/memory-source.ts";
import { VMCOREINFO_NOTE } from "../dump/vmcoreinfo.ts";
import { type Place, type PlaceKind, viewOf } from "./victim.ts";

const PAGE = 4096;
/** The packed pages that are damaged by themselves, and the records of a flattened dump. */
const PACKED_MAX = 48;
const RECORDS_MAX = 64;
/** Page tables: the root, and those that it leads to. */
const TABLES_MAX = 24;
const LEVELS = 4;
/** Of a page table's entry; only the first of them in one that leads to another table. */
export const PRESENT_AND_LARGE = 0x81n;
const ENTRY_ADDRESS = 0x000ffffffffff000n;

/** The headers of an ELF core that a writer of this project, or Linux, made. */
export function elfPlaces(bytes: Uint8Array): Place[] {
  const layout = bytes[4] === 1 ? ELF32 : ELF64;
  const view = viewOf(bytes);
  const field = (at: readonly [number, 2 | 4 | 8], base = 0) => Number(getField(view, at, base, true));
  const table = { offset: field(layout.phoff), size: field(layout.phnum) * layout.phdrSize };
  const places: Place[] = [
    { kind: "elf", offset: 0, size: layout.ehdrSize },
    { kind: "phdrs", ...table },
  ];
  for (let at = table.offset; at < table.offset + table.size; at += layout.phdrSize) {
    if (field(layout.p.type, at) !== PT_NOTE) continue;
    places.push(...notePlaces(bytes, field(layout.p.offset, at), field(layout.p.filesz, at)));
  }
  return places;
}

/** The headers of a kdump-compressed dump, 64 bit and little endian, and its pages. */
export function kdumpPlaces(bytes: Uint8Array): Place[] {
  const view = viewOf(bytes);
  const field = (at: readonly [number, 2 | 4 | 8], base = 0) => Number(getField(view, at, base, true));
  const block = field(KDUMP64.header.blockSize);
  const bitmaps = (1 + field(KDUMP64.header.subHdrSize)) * block;
  const half = (field(KDUMP64.header.bitmapBlocks) / 2) * block;
  const { sub } = KDUMP64;
  const places: Place[] = [
    { kind: "header", offset: 0, size: KDUMP64.headerSize },
    { kind: "subheader", offset: block, size: KDUMP64.subHeaderSize },
    ...notePlaces(bytes, field(sub.offsetNote[0], block), field(sub.sizeNote[0], block)),
    { kind: "bitmap", offset: bitmaps, size: half },
    { kind: "bitmap", offset: bitmaps + half, size: half },
  ];
  const descriptors = bitmaps + 2 * half;
  const first = field(PAGE_DESC.offset, descriptors);
  const count = Math.floor((first - descriptors) / PAGE_DESC.size);
  if (count <= 0) return places;
  places.push({ kind: "descriptors", offset: descriptors, size: count * PAGE_DESC.size });
  const step = Math.max(1, Math.floor(count / PACKED_MAX));
  for (let n = 0; n < count; n += step) {
    const at = descriptors + n * PAGE_DESC.size;
    places.push({ kind: "packed", offset: field(PAGE_DESC.offset, at), size: field(PAGE_DESC.bytes, at) });
  }
  return places;
}

/** The headers of records, which follow each other. */
export function recordPlaces(bytes: Uint8Array): Place[] {
  const view = viewOf(bytes);
  const places: Place[] = [{ kind: "record", offset: 16, size: FLAT_RECORD_SIZE }];
  for (let at = FLAT_HEADER_SIZE; at < bytes.length && places.length < RECORDS_MAX; ) {
    places.push({ kind: "record", offset: at, size: FLAT_RECORD_SIZE });
    at += FLAT_RECORD_SIZE + Math.max(0, Number(view.getBigInt64(at + 8, false)));
  }
  return places;
}

function notePlaces(bytes: Uint8Array, offset: number, size: number): Place[] {
  const text = new TextDecoder("latin1").decode(bytes.subarray(offset, offset + size));
  const name = text.indexOf(`${VMCOREINFO_NOTE}\0`);
  const places: Place[] = [{ kind: "notes", offset, size }];
  if (name < 4) return places;
  const length = viewOf(bytes).getUint32(offset + name - 8, true);
  return [
    ...places,
    { kind: "vmcoreinfo", offset: offset + name + VMCOREINFO_NOTE.length + 2, size: length },
  ];
}

/** Something of the kernel's, by its physical address. */
export interface KernelPlace {
  kind: PlaceKind;
  physical: number;
  size: number;
}

/** Page tables, memory map and log; what the dump does not have is left out. */
export async function kernelPlaces(dump: KernelDump): Promise<KernelPlace[]> {
  const places: KernelPlace[] = [];
  for (const find of [tables, memoryMap, log]) {
    try {
      places.push(...(await find(dump, new AddressSpace(dump))));
    } catch (error) {
      if (!(error instanceof DumpError)) throw error;
    }
  }
  return places;
}

async function tables(dump: KernelDump, space: AddressSpace): Promise<KernelPlace[]> {
  const root = (await space.translate(dump.vmcoreinfo.symbol("swapper_pg_dir"))).physical;
  const found = [root];
  let level = [root];
  for (let depth = 1; depth < LEVELS; depth++) {
    const below: number[] = [];
    for (const table of level) {
      const view = viewOf(await dump.read(table, PAGE));
      for (let at = 0; at < PAGE; at += 8) {
        const entry = view.getBigUint64(at, true);
        const next = Number(entry & ENTRY_ADDRESS);
        if ((entry & PRESENT_AND_LARGE) === 1n && next + PAGE <= dump.end) below.push(next);
      }
    }
    found.push(...below);
    level = below;
  }
  return found.slice(0, TABLES_MAX).map((physical) => ({ kind: "table", physical, size: PAGE }));
}

async function memoryMap(dump: KernelDump, space: AddressSpace): Promise<KernelPlace[]> {
  const info = dump.vmcoreinfo;
  const roots = info.symbol("mem_section");
  const sections = await space.readU64(roots);
  const map = (await space.readU64(sections)) & ~0x3fn;
  const places: KernelPlace[] = [
    { kind: "roots", physical: (await space.translate(roots)).physical, size: 64 },
    { kind: "sections", physical: (await space.translate(sections)).physical, size: 64 },
  ];
  const size = Math.ceil(dump.end / dump.pageSize) * info.size("page");
  for (let at = 0; at < size; at += PAGE) {
    const { physical } = await space.translate(BigInt.asUintN(64, map + BigInt(at)));
    places.push({ kind: "pages", physical, size: PAGE });
  }
  return places;
}

async function log(dump: KernelDump, space: AddressSpace): Promise<KernelPlace[]> {
  const info = dump.vmcoreinfo;
  const at = async (kind: PlaceKind, virtual: bigint, size: number): Promise<KernelPlace> => {
    return { kind, physical: (await space.translate(virtual)).physical, size };
  };
  const prb = await space.readU64(info.symbol("prb"));
  const ring = prb + BigInt(info.offset("printk_ringbuffer.desc_ring"));
  const data = prb + BigInt(info.offset("printk_ringbuffer.text_data_ring"));
  const count = 2 ** (await space.readU32(ring));
  const pointer = (base: bigint, member: string) => space.readU64(base + BigInt(info.offset(member)));
  return [
    await at("ringbuffer", info.symbol("prb"), 8),
    await at("ringbuffer", prb, info.size("printk_ringbuffer")),
    await at("descs", await pointer(ring, "prb_desc_ring.descs"), count * info.size("prb_desc")),
    await at("infos", await pointer(ring, "prb_desc_ring.infos"), count * info.size("printk_info")),
    await at("text", await pointer(data, "prb_data_ring.data"), 2 ** (await space.readU32(data))),
  ];
}
