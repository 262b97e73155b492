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

export const KDUMP64: KdumpLayout = {
  name: "64-bit",
  headerSize: 464,
  subHeaderSize: 104,
  header: {
    version: [8, 4],
    seconds: [408, 8],
    microseconds: [416, 8],
    status: [424, 4],
    blockSize: [428, 4],
    subHdrSize: [432, 4],
    bitmapBlocks: [436, 4],
    maxMapnr: [440, 4],
    totalRamBlocks: [444, 4],
    deviceBlocks: [448, 4],
    writtenBlocks: [452, 4],
    currentCpu: [456, 4],
    nrCpus: [460, 4],
  },
  sub: {
    physBase: [[0, 8], 0],
    dumpLevel: [[8, 4], 1],
    split: [[12, 4], 2],
    startPfn: [[16, 8], 2],
    endPfn: [[24, 8], 2],
    offsetVmcoreinfo: [[32, 8], 3],
    sizeVmcoreinfo: [[40, 8], 3],
    offsetNote: [[48, 8], 4],
    sizeNote: [[56, 8], 4],
    offsetEraseinfo: [[64, 8], 5],
    sizeEraseinfo: [[72, 8], 5],
    startPfn64: [[80, 8], 6],
    endPfn64: [[88, 8], 6],
    maxMapnr64: [[96, 8], 6],
  },
};

const HEADER32: KdumpLayout["header"] = {
  version: [8, 4],
  seconds: [404, 4],
  microseconds: [408, 4],
  status: [412, 4],
  blockSize: [416, 4],
  subHdrSize: [420, 4],
  bitmapBlocks: [424, 4],
  maxMapnr: [428, 4],
  totalRamBlocks: [432, 4],
  deviceBlocks: [436, 4],
  writtenBlocks: [440, 4],
  currentCpu: [444, 4],
  nrCpus: [448, 4],
};

/** i386 aligns 64-bit members to 4 bytes. */
export const KDUMP_I386: KdumpLayout = {
  name: "32-bit",
  headerSize: 452,
  subHeaderSize: 80,
  header: HEADER32,
  sub: {
    physBase: [[0, 4], 0],
    dumpLevel: [[4, 4], 1],
    split: [[8, 4], 2],
    startPfn: [[12, 4], 2],
    endPfn: [[16, 4], 2],
    offsetVmcoreinfo: [[20, 8], 3],
    sizeVmcoreinfo: [[28, 4], 3],
    offsetNote: [[32, 8], 4],
    sizeNote: [[40, 4], 4],
    offsetEraseinfo: [[44, 8], 5],
    sizeEraseinfo: [[52, 4], 5],
    startPfn64: [[56, 8], 6],
    endPfn64: [[64, 8], 6],
    maxMapnr64: [[72, 8], 6],
  },
};

/** The other 32-bit machines align them to 8. */
export const KDUMP32: KdumpLayout = {
  name: "32-bit, aligned",
  headerSize: 452,
  subHeaderSize: 96,
  header: HEADER32,
  sub: {
    physBase: [[0, 4], 0],
    dumpLevel: [[4, 4], 1],
    split: [[8, 4], 2],
    startPfn: [[12, 4], 2],
    endPfn: [[16, 4], 2],
    offsetVmcoreinfo: [[24, 8], 3],
    sizeVmcoreinfo: [[32, 4], 3],
    offsetNote: [[40, 8], 4],
    sizeNote: [[48, 4], 4],
    offsetEraseinfo: [[56, 8], 5],
    sizeEraseinfo: [[64, 4], 5],
    startPfn64: [[72, 8], 6],
    endPfn64: [[80, 8], 6],
    maxMapnr64: [[88, 8], 6],
  },
};

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
