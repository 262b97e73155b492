/**
 * What is damaged: a dump's files in memory, each with its places, where damage says most. A place's kind
 * says what lies there, and so what damage can be done to it beside flipping bits.
 */
import type { ByteSource } from "../dump/bytes.ts";

/** structure.ts, vmcoreinfo.ts and kernel-memory.ts of this folder have what they do to each. */
export type PlaceKind =
  /** The ELF header; the table of program headers; a PT_NOTE segment; VMCOREINFO's text. */
  | "elf"
  | "phdrs"
  | "notes"
  | "vmcoreinfo"
  /** disk_dump_header; kdump_sub_header; a bitmap; page descriptors; a page's packed bytes. */
  | "header"
  | "subheader"
  | "bitmap"
  | "descriptors"
  | "packed"
  /** A record's header of a flattened dump. */
  | "record"
  /** In the kernel's memory: page tables, the memory map with its roots, the log. */
  | "table"
  | "roots"
  | "sections"
  | "pages"
  | "ringbuffer"
  | "descs"
  | "infos"
  | "text";

export interface Place {
  kind: PlaceKind;
  /** Bytes from the start of the file. */
  offset: number;
  size: number;
}

export interface VictimFile {
  bytes: Uint8Array;
  places: readonly Place[];
}

export interface Victim {
  /** "lzo, flattened". */
  name: string;
  /** Several are a split set. */
  files: readonly VictimFile[];
  /** Files of another set that may be mixed in. */
  others?: readonly VictimFile[];
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The first `length` bytes of a file. */
export function sourceOf(name: string, bytes: Uint8Array, length = bytes.length): ByteSource {
  return {
    name,
    size: length,
    async pread(buffer, offset) {
      const end = Math.min(offset + buffer.length, length);
      if (offset >= end) return 0;
      buffer.set(bytes.subarray(offset, end));
      return end - offset;
    },
  };
}
