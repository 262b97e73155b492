/**
 * Compiled modules with the bytes they were compiled from. Those in memory are compared with them each time,
 * so damage to them is never hidden: they are other bytes.
 */

import type { Host } from "../adapter/host.ts";
import type { PhysicalMemory, Range } from "../machine/memory.ts";

/** Production and capture kernels of a few builds; the oldest goes first. */
const MODULES_MAX = 8;
const modules: CachedModule[] = [];

/** A module and its bytes, which nobody changes: what another thread's cache can begin with. */
export interface CachedModule {
  bytes: Uint8Array<ArrayBuffer>;
  module: WebAssembly.Module;
}

/**
 * Has the engine compile these bytes on a thread of its own, for when memory holds the same; what is wrong
 * with them shows then. Resolves when it is done with them.
 */
export async function compileAhead(file: Uint8Array<ArrayBuffer>, host: Host): Promise<void> {
  const compiling = WebAssembly.compile(file).catch(() => undefined);
  // Not slice(): that of a Buffer would be a view, and the file is its reader's.
  const bytes = new Uint8Array(file);
  const module = await compiling;
  if (module !== undefined && find(bytes, host) === undefined) remember({ bytes, module });
}

/** The module at `range` of memory. Throws WebAssembly.CompileError. */
export function cachedModule(memory: PhysicalMemory, range: Range, host: Host): CachedModule {
  const known = find(memory.slice(range.start, range.length), host);
  if (known !== undefined) return known;
  const bytes = memory.copy(range.start, range.length);
  const made = { bytes, module: new WebAssembly.Module(bytes) };
  remember(made);
  return made;
}

function find(wanted: Uint8Array, host: Host): CachedModule | undefined {
  return modules.find(({ bytes }) => host.equal(bytes, wanted));
}

export function compileCached(memory: PhysicalMemory, range: Range, host: Host): WebAssembly.Module {
  return cachedModule(memory, range, host).module;
}

export function remember(made: CachedModule): void {
  if (modules.length === MODULES_MAX) modules.shift();
  modules.push(made);
}

export function compile(memory: PhysicalMemory, { start, length }: Range): WebAssembly.Module {
  return new WebAssembly.Module(memory.copy(start, length));
}
