/**
 * Compiled modules by the digest of the bytes they were compiled from. The bytes are read and hashed each
 * time as they lie in memory, so damage to them is never hidden: it is another digest.
 */

import type { Host } from "../adapter/host.ts";
import type { PhysicalMemory, Range } from "../machine/memory.ts";

/** Production and capture kernels of a few builds; the oldest goes first. */
const MODULES_MAX = 8;
const modules = new Map<string, WebAssembly.Module>();

/** A module and the digest of its bytes: what another thread's cache can begin with. */
export interface CachedModule {
  key: string;
  module: WebAssembly.Module;
}

/**
 * Has the engine compile these bytes on a thread of its own, for when memory holds the same; what is wrong
 * with them shows then. Resolves when it is done with them.
 */
export async function compileAhead(bytes: Uint8Array<ArrayBuffer>, host: Host): Promise<void> {
  const compiling = WebAssembly.compile(bytes).catch(() => undefined);
  const key = digestOf(bytes, host);
  const module = await compiling;
  if (module !== undefined && !modules.has(key)) remember({ key, module });
}

/** The module at `range` of memory. Throws WebAssembly.CompileError. */
export function cachedModule(memory: PhysicalMemory, range: Range, host: Host): CachedModule {
  const key = digestOf(memory.slice(range.start, range.length), host);
  const known = modules.get(key);
  if (known !== undefined) return { key, module: known };
  const made = { key, module: compile(memory, range) };
  remember(made);
  return made;
}

function digestOf(bytes: Uint8Array, host: Host): string {
  return Array.from(host.sha256(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function compileCached(memory: PhysicalMemory, range: Range, host: Host): WebAssembly.Module {
  return cachedModule(memory, range, host).module;
}

export function remember({ key, module }: CachedModule): void {
  const oldest = modules.keys().next();
  if (modules.size === MODULES_MAX && !oldest.done) modules.delete(oldest.value);
  modules.set(key, module);
}

export function compile(memory: PhysicalMemory, { start, length }: Range): WebAssembly.Module {
  return new WebAssembly.Module(memory.copy(start, length));
}
