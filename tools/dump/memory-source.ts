/**
 * MemorySource: the physical memory of the crashed machine, as a dump of any format holds it; and
 * KernelDump, what a reader of kernel memory needs beside it. One file of this folder reads one format.
 */
import type { VmcoreInfo } from "./vmcoreinfo.ts";

/** [start, end) of physical memory, bytes. */
export interface PhysicalRange {
  start: number;
  end: number;
}

export interface MemorySource {
  /** The name for messages. */
  readonly name: string;
  /** What the dump holds, ascending and disjoint. */
  readonly ranges: readonly PhysicalRange[];
  /**
   * Reads `length` bytes (READ_MAX at most) at a physical address. Throws DumpError when a part of them is
   * not in the dump.
   */
  read(physical: number, length: number): Promise<Uint8Array>;
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
  /** Throws DumpError when the dump has none. */
  readonly vmcoreinfo: VmcoreInfo;
  /** Empty where the format has no such headers. */
  readonly mappings: readonly Mapping[];
}
