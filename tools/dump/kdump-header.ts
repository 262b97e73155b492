/**
 * The kdump-compressed format, for reader and writer: makedumpfile's diskdump_mod.h. Blocks have the size of
 * a page.
 *
 *     block 0                      disk_dump_header, signature "KDUMP   "
 *     1 .. sub_hdr_size            kdump_sub_header, then the ELF notes
 *     bitmap_blocks / 2            1st bitmap: a bit for each page that memory has
 *     bitmap_blocks / 2            2nd bitmap: a bit for each page that the dump has
 *     then                         page_desc for each bit of the 2nd, in order; then the pages' data
 *
 * The structs are those of the machine that dumped: its word size, alignment and byte order.
 */
import type { Field } from "./elf-header.ts";

export const KDUMP_SIGNATURE = "KDUMP   ";
export const HEADER_VERSION = 6;
/** In status: the disk was full before all was written. */
export const DUMP_DH_COMPRESSED_INCOMPLETE = 8;
/** In status: pages of the memory map were left out (makedumpfile -e). */
export const DUMP_DH_EXCLUDED_VMEMMAP = 0x10;
/** Members of utsname, 65 bytes each. */
export const UTSNAME = ["sysname", "nodename", "release", "version", "machine", "domainname"] as const;
export const UTSNAME_OFFSET = 12;
export const UTSNAME_LENGTH = 65;

/** page_desc: the same on all machines. */
export const PAGE_DESC = {
  size: 24,
  offset: [0, 8],
  bytes: [8, 4],
  flags: [12, 4],
  pageFlags: [16, 8],
} as const satisfies Record<string, Field | number>;

export interface KdumpLayout {
  name: string;
  headerSize: number;
  subHeaderSize: number;
  header: Record<
    | "version"
    | "seconds"
    | "microseconds"
    | "status"
    | "blockSize"
    | "subHdrSize"
    | "bitmapBlocks"
    | "maxMapnr"
    | "totalRamBlocks"
    | "deviceBlocks"
    | "writtenBlocks"
    | "currentCpu"
    | "nrCpus",
    Field
  >;
  /** With the header version that brought each. */
  sub: Record<SubField, readonly [field: Field, since: number]>;
}

export type SubField =
  | "physBase"
  | "dumpLevel"
  | "split"
  | "startPfn"
  | "endPfn"
  | "offsetVmcoreinfo"
  | "sizeVmcoreinfo"
  | "offsetNote"
  | "sizeNote"
  | "offsetEraseinfo"
  | "sizeEraseinfo"
  | "startPfn64"
  | "endPfn64"
  | "maxMapnr64";

/** An int or unsigned int; an unsigned long, or what is as wide (time_t, size_t); 64 bits always. */
type MemberType = "int" | "long" | "long long";

/** disk_dump_header behind signature, version and utsname; timeval's two members first. */
const HEADER: readonly [keyof KdumpLayout["header"], MemberType][] = [
  ["seconds", "long"],
  ["microseconds", "long"],
  ["status", "int"],
  ["blockSize", "int"],
  ["subHdrSize", "int"],
  ["bitmapBlocks", "int"],
  ["maxMapnr", "int"],
  ["totalRamBlocks", "int"],
  ["deviceBlocks", "int"],
  ["writtenBlocks", "int"],
  ["currentCpu", "int"],
  ["nrCpus", "int"],
];

/** kdump_sub_header, with the header version that brought each member. */
const SUB_HEADER: readonly [SubField, MemberType, since: number][] = [
  ["physBase", "long", 0],
  ["dumpLevel", "int", 1],
  ["split", "int", 2],
  ["startPfn", "long", 2],
  ["endPfn", "long", 2],
  ["offsetVmcoreinfo", "long long", 3],
  ["sizeVmcoreinfo", "long", 3],
  ["offsetNote", "long long", 4],
  ["sizeNote", "long", 4],
  ["offsetEraseinfo", "long long", 5],
  ["sizeEraseinfo", "long", 5],
  ["startPfn64", "long long", 6],
  ["endPfn64", "long long", 6],
  ["maxMapnr64", "long long", 6],
];

/** The structs of a C compiler whose long has `word` bytes, and which aligns 64 bits to `align`. */
function layoutOf(name: string, word: 4 | 8, align: 4 | 8): KdumpLayout {
  const struct = <Name extends string>(
    start: number,
    members: readonly (readonly [Name, MemberType, ...unknown[]])[],
  ) => {
    let at = start;
    let most = 4;
    const round = (to: number) => Math.ceil(at / to) * to;
    const fields = {} as Record<Name, Field>;
    for (const [member, type] of members) {
      const size = type === "int" ? 4 : type === "long" ? word : 8;
      const aligned = Math.min(size, align);
      at = round(aligned);
      fields[member] = [at, size];
      at += size;
      most = Math.max(most, aligned);
    }
    return { fields, size: round(most) };
  };
  const version: Field = [KDUMP_SIGNATURE.length, 4];
  const header = struct(UTSNAME_OFFSET + UTSNAME.length * UTSNAME_LENGTH, HEADER);
  const sub = struct(0, SUB_HEADER);
  const since = SUB_HEADER.map(([member, , from]) => [member, [sub.fields[member], from]]);
  return {
    name,
    headerSize: header.size,
    subHeaderSize: sub.size,
    header: { ...header.fields, version },
    sub: Object.fromEntries(since),
  };
}

export const KDUMP64 = layoutOf("64-bit", 8, 8);
/** i386 aligns 64-bit members to 4 bytes, the other 32-bit machines to 8. */
export const KDUMP_I386 = layoutOf("32-bit", 4, 4);
export const KDUMP32 = layoutOf("32-bit, aligned", 4, 8);

/** A header, decoded; what its version does not have is 0. */
export interface KdumpHeader {
  layout: KdumpLayout;
  little: boolean;
  version: number;
  utsname: Record<(typeof UTSNAME)[number], string>;
  /** Of the crash, as the dumping program wrote it. */
  timestamp: { seconds: bigint; microseconds: bigint };
  status: number;
  blockSize: number;
  subHdrSize: number;
  bitmapBlocks: number;
  /** One more than the highest pfn. */
  maxMapnr: number;
  nrCpus: number;
  physBase: bigint;
  dumpLevel: number;
  split: boolean;
  /** Of a split file: the pages that it holds. */
  startPfn: number;
  endPfn: number;
  vmcoreinfo: Extent;
  notes: Extent;
  eraseinfo: Extent;
}

/** A part of the file; size 0: there is none. */
export interface Extent {
  offset: number;
  size: number;
}
