/**
 * An image in memory becomes what runs: its header is read where it lies, its module compiled from the
 * bytes found there. Nothing here trusts memory, which a crash may have damaged: each failure is a reason
 * in words.
 */

import {
  IMAGE_TYPE_KERNEL,
  IMAGE_TYPE_PURGATORY,
  ImageError,
  type ImageHeader,
  readImageHeader,
} from "../boot/image.ts";
import { Cpu } from "../machine/cpu.ts";
import type { Machine } from "../machine/machine.ts";
import { LOAD_ADDRESS, THREAD_SIZE } from "../machine/x86.ts";
import { compile, compileCached } from "./modules.ts";

/** The image is not one that can run. */
export class UnusableImage extends Error {}

/**
 * A CPU that is about to run the image whose header is at `entry`, with its boot stack empty. Kernels'
 * modules are cached, purgatory's never: it is the one that no digest covers. UnusableImage says why not.
 */
export function instantiate(machine: Machine, entry: number, type: "kernel" | "purgatory"): Cpu {
  const { memory } = machine;
  const header = readHeader(machine, entry);
  if (header.type !== (type === "kernel" ? IMAGE_TYPE_KERNEL : IMAGE_TYPE_PURGATORY)) {
    throw new UnusableImage("it is of another type");
  }
  const stack = entry + header.stackOffset;
  if (stack % THREAD_SIZE !== 0) throw new UnusableImage("its boot stack is not aligned");
  if (!memory.has(entry, header.memSize)) throw new UnusableImage("it does not fit into memory");
  const wasm = { start: entry + header.wasmOffset, length: header.wasmSize };
  const placement = { base: entry + header.dataOffset, physBase: (entry - LOAD_ADDRESS) >>> 0, stack };
  try {
    const module = type === "kernel" ? compileCached(memory, wasm, machine.host) : compile(memory, wasm);
    machine.cpu = new Cpu(machine, module, placement);
    return machine.cpu;
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

function readHeader({ memory }: Machine, entry: number): ImageHeader {
  if (!memory.has(entry, 1)) throw new UnusableImage("there is no memory");
  try {
    return readImageHeader(memory.view, entry, memory.size - entry);
  } catch (error) {
    if (error instanceof ImageError) throw new UnusableImage(error.message);
    throw error;
  }
}
