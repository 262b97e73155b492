/**
 * What a boot loader tells the kernel: struct boot_params, the "zero page" of Linux's x86 boot protocol
 * (Documentation/x86/boot.rst and zero-page.rst), with the firmware's memory map in it.
 *
 *   0x1e8 u8 e820_entries      0x218 u32 ramdisk_image      0x2d0 e820_table: { u64 addr, size; u32 type }[]
 *   0x1fe u16 boot_flag        0x21c u32 ramdisk_size
 *   0x202 "HdrS"               0x228 u32 cmd_line_ptr
 */

import { MEMORY_UNIT, PAGE_SIZE, type PhysicalMemory } from "../machine/memory.ts";

export const E820_TYPE_RAM = 1;
export const E820_TYPE_RESERVED = 2;
const E820_ENTRY_SIZE = 20;

const OFFSET = {
  e820_entries: 0x1e8,
  boot_flag: 0x1fe,
  header: 0x202,
  version: 0x206,
  type_of_loader: 0x210,
  loadflags: 0x211,
  ramdisk_image: 0x218,
  ramdisk_size: 0x21c,
  cmd_line_ptr: 0x228,
  cmdline_size: 0x238,
  e820_table: 0x2d0,
  SIZE: 4096,
} as const;

const BOOT_FLAG = 0xaa55;
const HDRS = 0x53726448;
/** Boot protocol 2.15, the newest that 5.15 knows. */
const PROTOCOL = 0x020f;
const LOADER_UNKNOWN = 0xff;
const LOADED_HIGH = 1;
/** COMMAND_LINE_SIZE of x86 Linux, its NUL included. */
export const COMMAND_LINE_SIZE = 2048;

const LOW_MEMORY_END = 0xa0000;
const HIGH_MEMORY = 0x100000;

export interface E820Entry {
  addr: number;
  size: number;
  type: number;
}

/** Bytes at the end of memory for what hardware would hold: one for each page, rounded up to MEMORY_UNIT. */
export function reservedTop(memorySize: number): number {
  return Math.ceil(memorySize / PAGE_SIZE / MEMORY_UNIT) * MEMORY_UNIT;
}

/** The firmware's memory map of a machine with this much memory. */
export function e820Table(memorySize: number): E820Entry[] {
  const top = memorySize - reservedTop(memorySize);
  return [
    { addr: 0, size: LOW_MEMORY_END, type: E820_TYPE_RAM },
    { addr: HIGH_MEMORY, size: top - HIGH_MEMORY, type: E820_TYPE_RAM },
    { addr: top, size: memorySize - top, type: E820_TYPE_RESERVED },
  ];
}

export interface BootParams {
  e820: readonly E820Entry[];
  /** Physical addresses; an initrd of size 0 is none. */
  ramdiskImage: number;
  ramdiskSize: number;
  cmdLine: number;
}

/** Writes boot_params at the physical address `at`. */
export function writeBootParams(memory: PhysicalMemory, at: number, params: BootParams): void {
  memory.zero(at, OFFSET.SIZE);
  memory.setU8(at + OFFSET.e820_entries, params.e820.length);
  memory.setU16(at + OFFSET.boot_flag, BOOT_FLAG);
  memory.setU32(at + OFFSET.header, HDRS);
  memory.setU16(at + OFFSET.version, PROTOCOL);
  memory.setU8(at + OFFSET.type_of_loader, LOADER_UNKNOWN);
  memory.setU8(at + OFFSET.loadflags, LOADED_HIGH);
  memory.setU32(at + OFFSET.ramdisk_image, params.ramdiskImage);
  memory.setU32(at + OFFSET.ramdisk_size, params.ramdiskSize);
  memory.setU32(at + OFFSET.cmd_line_ptr, params.cmdLine);
  memory.setU32(at + OFFSET.cmdline_size, COMMAND_LINE_SIZE - 1);
  params.e820.forEach(({ addr, size, type }, i) => {
    const entry = at + OFFSET.e820_table + i * E820_ENTRY_SIZE;
    memory.setU64(entry, addr);
    memory.setU64(entry + 8, size);
    memory.setU32(entry + 16, type);
  });
}
