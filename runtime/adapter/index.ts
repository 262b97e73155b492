/** The adapter of the engine that runs this: `currentHost()`, `openDirectory(path)`, and what they give. */

import { bunHost } from "./bun.ts";
import { denoHost } from "./deno.ts";
import type { Host, HostFs } from "./host.ts";
import { NodeFs, NodeHost } from "./node.ts";
import { untouchedOf } from "./untouched.ts";

export {
  type FileStat,
  fileChunks,
  type Hasher,
  type Host,
  HostError,
  type HostFs,
  type OpenOptions,
} from "./host.ts";
export { hostProc } from "./hostproc.ts";
export { MemoryFs } from "./memory.ts";

interface Globals {
  Bun?: { version: string };
  Deno?: { version: { deno: string } };
}

export function currentHost(): Host {
  const { Bun, Deno } = globalThis as Globals;
  if (Bun !== undefined) return bunHost(Bun.version);
  if (Deno !== undefined) return denoHost(Deno.version.deno);
  return new NodeHost();
}

/**
 * The directory `path` as a HostFs; made when it does not exist. HostError when that fails or it is not
 * writable.
 */
export function openDirectory(path: string): HostFs {
  return new NodeFs(path, (globalThis as Globals).Bun === undefined ? undefined : untouchedOf);
}
