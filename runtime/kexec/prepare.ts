/**
 * Compiling ahead. The kernels that a run will need lie in files, and an engine compiles them on a thread of its
 * own while this one makes the rest ready. The mechanism stays what it is: what was compiled serves only if it
 * is the very bytes that are found in memory then (modules.ts).
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

/** The module of each kernel image in a file. */
function kernelsIn(file: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const text = new TextDecoder("latin1").decode(file);
  const found: Uint8Array<ArrayBuffer>[] = [];
  for (let at = text.indexOf(IMAGE_MAGIC); at >= 0; at = text.indexOf(IMAGE_MAGIC, at + 1)) {
    try {
      const { type, wasmOffset, wasmSize } = readImageHeader(view, at, file.length - at);
      if (type === IMAGE_TYPE_KERNEL) found.push(file.subarray(at + wasmOffset, at + wasmOffset + wasmSize));
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
    }
  }
  return found;
}
