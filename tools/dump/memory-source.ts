/**
 * MemorySource: the physical memory of the crashed machine, as a dump of any format holds it, or as it lies
 * there (live-memory.ts); and KernelDump, what a reader of kernel memory needs beside it. One file of this
 * folder reads one format; open.ts finds which.
 */
import type { KdumpHeader } from "./kdump-header.ts";
import type { Note } from "./notes.ts";
import type { PageBitmap } from "./page-bitmap.ts";
import type { VmcoreInfo } from "./vmcoreinfo.ts";

/** [start, end) of physical memory, bytes. */
export interface PhysicalRange {
  start: number;
  end: number;
}

/**
 * What a dump has of a page:
 *
 *     present    its bytes
 *     zero       left out because all its bytes were zero (dump level 1): it reads as zeros
 *     excluded   left out by another rule of the dump level; no format keeps which
 *     missing    no memory, or memory that no dump has: a hole, the crash region
 *     lost       should be there, but the file was cut off or is one of a set
 */
export type PageState = "present" | "zero" | "excluded" | "missing" | "lost";

export interface MemorySource {
  /** The name for messages. */
  readonly name: string;
  /** Bytes of a page of the crashed kernel. */
  readonly pageSize: number;
  /** The physical address behind the last page that the source could have. */
  readonly end: number;
  /**
   * Reads `length` bytes (READ_MAX at most) at a physical address. Throws DumpError when a part of them is
   * not in the dump. With `into`, of that length, the bytes may be put there instead of into an array of
   * their own: then `into` itself is returned.
   */
  read(physical: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  /** What there is of page `pfn` (physical address / pageSize); a page in parts is present. */
  pageState(pfn: number): Promise<PageState>;
  /** Bytes of memory that can be read, or somewhat more: nothing in it can be larger. */
  held(): Promise<number>;
}

/** The most that one read may ask for: larger things are read in windows, so that memory stays bounded. */
export const READ_MAX = 16 * 1024 * 1024;

/** Virtual addresses of which the dump's headers say where they lie. */
export interface Mapping {
  virtual: bigint;
  physical: number;
  size: number;
}

export interface KernelDump extends MemorySource {
  /** What the file is: "ELF core", "kdump-compressed dump version 6". */
  readonly format: string;
  /** As uname -m has it: "x86_64"; "machine N" for an ELF number without a name here. */
  readonly machine: string;
  /** Throws DumpError when the dump has none. */
  readonly vmcoreinfo: VmcoreInfo;
  readonly notes: readonly Note[];
  /** The notes' bytes, of which the descriptors of `notes` are views. */
  readonly noteBytes: Uint8Array;
  /** What makedumpfile erased from memory (--config), a line for each part; empty when nothing was. */
  readonly eraseinfo: string;
  /** The kdump-compressed format's header; null in another format. */
  readonly header: KdumpHeader | null;
  /** What is wrong with the file without making it useless, one sentence each. */
  readonly problems: readonly string[];
  /** Empty where the format has no such headers. */
  readonly mappings: readonly Mapping[];
  /** phys_base by the format's own header; null where it has none. */
  readonly physBase: bigint | null;
  /** The dump level that the file was filtered with; null where the format does not tell. */
  readonly dumpLevel: number | null;
  /** The pages that memory has, and those of them that the dump has (zero pages among them). */
  pages(): Promise<{ exist: PageBitmap; dumped: PageBitmap }>;
}
