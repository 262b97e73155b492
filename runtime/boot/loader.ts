/**
 * The boot loader: puts the production image at 1 MiB, its command line, initrd and boot_params where the
 * kernel finds them.
 *
 *     0x00010000  boot_params        0x00100000  image, bss zeroed, boot stack
 *     0x00020000  command line       top         initrd, as high as it fits; reserved range above it
 *     0x000f5a40  the BIOS's MP table
 */

import type { Host } from "../adapter/host.ts";
import { MEMORY_MAX, MEMORY_MIN, MEMORY_UNIT, PAGE_SIZE, type PhysicalMemory } from "../machine/memory.ts";
import { LOAD_ADDRESS } from "../machine/x86.ts";
import { COMMAND_LINE_SIZE, e820Table, reservedTop, writeBootParams } from "./boot_params.ts";
import { BootError } from "./error.ts";
import { IMAGE_TYPE_KERNEL, ImageError, type ImageHeader, imageDigest, readImageHeader } from "./image.ts";
import { writeMpTable } from "./mp_table.ts";

const BOOT_PARAMS = 0x10000;
const COMMAND_LINE = 0x20000;

export interface KernelFiles {
  image: Uint8Array;
  initrd: Uint8Array;
  cmdline: string;
}

/** Where the kernel starts, and the argument it starts with: physical addresses. */
export interface EntryPoint {
  entry: number;
  arg: number;
}

/** BootError unless a machine can have this much memory. */
export function checkMemorySize(size: number): void {
  if (Number.isInteger(size) && size >= MEMORY_MIN && size <= MEMORY_MAX && size % MEMORY_UNIT === 0) return;
  throw new BootError(`memory of ${size} bytes: it must be from 4M to 4G, in multiples of 64K`);
}

/** The image's header; BootError when the file is no kernel image, or not whole. */
export function checkImage(image: Uint8Array, host: Host): ImageHeader {
  const header = readHeader(image);
  if (header.type !== IMAGE_TYPE_KERNEL)
    throw new BootError("the kernel image is not a kernel but a purgatory");
  if (header.fileSize !== image.length) {
    throw new BootError(`the kernel image has ${image.length} bytes, its header says ${header.fileSize}`);
  }
  const digest = imageDigest(image, (bytes) => host.sha256(bytes));
  if (!digest.every((byte, i) => byte === header.digest[i])) {
    throw new BootError("the kernel image is damaged: its digest does not match");
  }
  return header;
}

/** BootError unless all of it fits into memory of `size` bytes. Returns where the initrd goes. */
export function placeInitrd(header: ImageHeader, files: KernelFiles, size: number): number {
  const cmdline = new TextEncoder().encode(files.cmdline).length;
  if (cmdline >= COMMAND_LINE_SIZE) {
    throw new BootError(
      `the command line has ${cmdline} bytes, at most ${COMMAND_LINE_SIZE - 1} are possible`,
    );
  }
  const imageEnd = LOAD_ADDRESS + header.memSize;
  const top = size - reservedTop(size);
  if (imageEnd > top) {
    throw new BootError(`the kernel needs ${header.memSize} bytes from 1M on, memory ends at ${top} bytes`);
  }
  const initrd = Math.floor((top - files.initrd.length) / PAGE_SIZE) * PAGE_SIZE;
  if (initrd < imageEnd) {
    throw new BootError(
      `an initrd of ${files.initrd.length} bytes does not fit into memory beside the kernel`,
    );
  }
  return initrd;
}

/** Loads the kernel. Memory may hold anything before. */
export function loadKernel(
  memory: PhysicalMemory,
  header: ImageHeader,
  files: KernelFiles,
  cpus = 1,
): EntryPoint {
  writeMpTable(memory, cpus);
  const initrd = placeInitrd(header, files, memory.size);
  memory.write(LOAD_ADDRESS, files.image);
  memory.zero(LOAD_ADDRESS + header.fileSize, header.memSize - header.fileSize);
  memory.write(initrd, files.initrd);
  memory.write(COMMAND_LINE, new TextEncoder().encode(`${files.cmdline}\0`));
  writeBootParams(memory, BOOT_PARAMS, {
    e820: e820Table(memory.size),
    ramdiskImage: files.initrd.length > 0 ? initrd : 0,
    ramdiskSize: files.initrd.length,
    cmdLine: COMMAND_LINE,
  });
  return { entry: LOAD_ADDRESS, arg: BOOT_PARAMS };
}

function readHeader(image: Uint8Array): ImageHeader {
  try {
    const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
    return readImageHeader(view, 0, image.length);
  } catch (error) {
    if (error instanceof ImageError) throw new BootError(`the kernel image is unusable: ${error.message}`);
    throw error;
  }
}
