/**
 * Compiling ahead. The kernels that a run will need lie in files, and an engine compiles them on a thread of
 * its own while this one makes the rest ready. The mechanism stays what it is: what was compiled serves only
 * if it is the very bytes that are found in memory then (modules.ts).
 */

import type { Host } from "../adapter/host.ts";
import { IMAGE_MAGIC, IMAGE_TYPE_KERNEL, ImageError, readImageHeader } from "../boot/image.ts";
import { compileAhead } from "./modules.ts";

/**
 * Begins to compile the kernels in a file: an image, or an archive with images in it. Resolves when they are
 * compiled. What cannot be compiled is left for whoever boots it to complain of.
 */
export async function prepare(file: Uint8Array<ArrayBuffer>, host: Host): Promise<void> {
  const compiling = kernelsIn(file).map((wasm) => compileAhead(wasm, host));
  await Promise.all(compiling);
}

/** The module of each kernel image in a file. An image has no other kernel in it. */
function kernelsIn(file: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const whole = kernelAt(file, 0);
  if (whole !== undefined) return [whole];
  const text = new TextDecoder("latin1").decode(file);
  const found: Uint8Array<ArrayBuffer>[] = [];
  for (let at = text.indexOf(IMAGE_MAGIC); at >= 0; at = text.indexOf(IMAGE_MAGIC, at + 1)) {
    const wasm = kernelAt(file, at);
    if (wasm !== undefined) found.push(wasm);
  }
  return found;
}

function kernelAt(file: Uint8Array<ArrayBuffer>, at: number): Uint8Array<ArrayBuffer> | undefined {
  try {
    const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
    const { type, wasmOffset, wasmSize } = readImageHeader(view, at, file.length - at);
    const start = at + wasmOffset;
    return type === IMAGE_TYPE_KERNEL ? file.subarray(start, start + wasmSize) : undefined;
  } catch (error) {
    if (error instanceof ImageError) return undefined;
    throw error;
  }
}
