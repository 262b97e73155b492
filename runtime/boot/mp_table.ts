/**
 * The firmware's table of CPUs: Intel's MultiProcessor Specification 1.4, chapter 4. A pointer structure with
 * the signature _MP_ in the BIOS's ROM, and behind it the configuration table with an entry for each CPU.
 */

import type { PhysicalMemory } from "../machine/memory.ts";

const POINTER = 0xf5a40;
const POINTER_SIZE = 16;
const TABLE = POINTER + POINTER_SIZE;
const HEADER_SIZE = 44;
const CPU_SIZE = 20;
const SPEC_REVISION = 4;
const LOCAL_APIC = 0xfee00000;
const APIC_VERSION = 0x14;
const CPU_ENABLED = 1;
const CPU_BOOT = 2;
/** Family 6, model 15, stepping 1; on-chip FPU, APIC. */
const CPU_SIGNATURE = 0x6f1;
const CPU_FEATURES = 0x201;

/** The number of each CPU is its APIC id; the first one boots. */
export function writeMpTable(memory: PhysicalMemory, cpus: number): void {
  const length = HEADER_SIZE + cpus * CPU_SIZE;
  memory.zero(POINTER, POINTER_SIZE + length);
  memory.write(POINTER, ascii("_MP_"));
  memory.setU32(POINTER + 4, TABLE);
  memory.setU8(POINTER + 8, POINTER_SIZE / 16);
  memory.setU8(POINTER + 9, SPEC_REVISION);
  memory.setU8(POINTER + 10, checksum(memory, POINTER, POINTER_SIZE));
  memory.write(TABLE, ascii("PCMP"));
  memory.setU16(TABLE + 4, length);
  memory.setU8(TABLE + 6, SPEC_REVISION);
  memory.write(TABLE + 8, ascii("WKDUMP  "));
  memory.write(TABLE + 16, ascii("VIRTUAL     "));
  memory.setU16(TABLE + 34, cpus);
  memory.setU32(TABLE + 36, LOCAL_APIC);
  for (let cpu = 0; cpu < cpus; cpu++) {
    const entry = TABLE + HEADER_SIZE + cpu * CPU_SIZE;
    memory.setU8(entry + 1, cpu);
    memory.setU8(entry + 2, APIC_VERSION);
    memory.setU8(entry + 3, CPU_ENABLED | (cpu === 0 ? CPU_BOOT : 0));
    memory.setU32(entry + 4, CPU_SIGNATURE);
    memory.setU32(entry + 8, CPU_FEATURES);
  }
  memory.setU8(TABLE + 7, checksum(memory, TABLE, length));
}

/** What makes the sum of the bytes 0. */
function checksum(memory: PhysicalMemory, start: number, length: number): number {
  return -memory.slice(start, length).reduce((sum, byte) => sum + byte, 0) & 0xff;
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
