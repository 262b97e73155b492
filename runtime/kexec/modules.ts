/**
 * Compiled modules by the digest of the bytes they were compiled from. The bytes are read and hashed each
 * time as they lie in memory, so damage to them is never hidden: it is another digest.
 */

import type { Host } from "../adapter/host.ts";
import type { PhysicalMemory, Range } from "../machine/memory.ts";

/** Production and capture kernels of a few builds; the oldest goes first. */
const MODULES_MAX = 8;
const modules = new Map<string, WebAssembly.Module>();

/** The module at `range` of memory. Throws WebAssembly.CompileError. */
export function compileCached(memory: PhysicalMemory, range: Range, host: Host): WebAssembly.Module {
  const digest = host.sha256(memory.slice(range.start, range.length));
  const key = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  let module = modules.get(key);
  if (module === undefined) {
    module = compile(memory, range);
    const oldest = modules.keys().next();
    if (modules.size === MODULES_MAX && !oldest.done) modules.delete(oldest.value);
    modules.set(key, module);
  }
  return module;
}

export function compile(memory: PhysicalMemory, { start, length }: Range): WebAssembly.Module {
  return new WebAssembly.Module(memory.copy(start, length));
}
