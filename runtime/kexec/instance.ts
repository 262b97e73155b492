/**
 * An image in memory becomes what runs: its header is read where it lies, its module compiled from the
 * bytes found there. Nothing here trusts memory, which a crash may have damaged: each failure is a reason
 * in words.
 */

import type { Host } from "../adapter/host.ts";
import {
  IMAGE_TYPE_KERNEL,
  IMAGE_TYPE_PURGATORY,
  ImageError,
  type ImageHeader,
  readImageHeader,
} from "../boot/image.ts";
import type { LocalApic } from "../machine/apic.ts";
import { Cpu } from "../machine/cpu.ts";
import type { Bus } from "../machine/hardware.ts";
import type { PhysicalMemory, Range } from "../machine/memory.ts";
import { LOAD_ADDRESS, THREAD_SIZE } from "../machine/x86.ts";
import { type CachedModule, cachedModule, compile, compileCached } from "./modules.ts";

/** The image is not one that can run. */
export class UnusableImage extends Error {}

export type ImageType = "kernel" | "purgatory";

/**
 * A CPU that is about to run the image whose header is at `entry`, with its boot stack empty, or on the
 * stack whose top is `stack`. Kernels' modules are cached, purgatory's never: it is the one that no digest
 * covers. UnusableImage says why not.
 */
export function instantiate(
  { bus, host }: { bus: Bus; host: Host },
  apic: LocalApic,
  { entry, type, number, stack }: { entry: number; type: ImageType; number?: number; stack?: number },
): Cpu {
  const { header, wasm } = findModule(bus.memory, entry, type);
  const bootStack = entry + header.stackOffset;
  if (bootStack % THREAD_SIZE !== 0) throw new UnusableImage("its boot stack is not aligned");
  const placement = {
    base: entry + header.dataOffset,
    physBase: (entry - LOAD_ADDRESS) >>> 0,
    stack: stack ?? bootStack,
  };
  return usable(() => {
    const module = type === "kernel" ? compileCached(bus.memory, wasm, host) : compile(bus.memory, wasm);
    return new Cpu(bus, apic, module, placement, number);
  });
}

/** The compiled kernel whose header is at `entry`. UnusableImage says why not. */
export function kernelModule(memory: PhysicalMemory, entry: number, host: Host): CachedModule {
  const { wasm } = findModule(memory, entry, "kernel");
  return usable(() => cachedModule(memory, wasm, host));
}

function findModule(
  memory: PhysicalMemory,
  entry: number,
  type: ImageType,
): { header: ImageHeader; wasm: Range } {
  const header = readHeader(memory, entry);
  if (header.type !== (type === "kernel" ? IMAGE_TYPE_KERNEL : IMAGE_TYPE_PURGATORY)) {
    throw new UnusableImage("it is of another type");
  }
  if (!memory.has(entry, header.memSize)) throw new UnusableImage("it does not fit into memory");
  return { header, wasm: { start: entry + header.wasmOffset, length: header.wasmSize } };
}

function usable<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    // What the engine says differs from one to the next; what kind of failure it is does not.
    if (error instanceof WebAssembly.CompileError)
      throw new UnusableImage("its code is not valid WebAssembly");
    if (error instanceof WebAssembly.LinkError || error instanceof TypeError) {
      throw new UnusableImage("its code is no image's: imports or exports do not fit");
    }
    if (error instanceof WebAssembly.RuntimeError)
      throw new UnusableImage("its code traps when it is instantiated");
    throw error;
  }
}

function readHeader(memory: PhysicalMemory, entry: number): ImageHeader {
  if (!memory.has(entry, 1)) throw new UnusableImage("there is no memory");
  try {
    return readImageHeader(memory.view, entry, memory.size - entry);
  } catch (error) {
    if (error instanceof ImageError) throw new UnusableImage(error.message);
    throw error;
  }
}
