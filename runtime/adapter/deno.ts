/**
 * Deno: the `node:` implementation under its own name. Needs --allow-read and --allow-write for the root
 * only.
 */

import { NodeHost } from "./node.ts";

export function denoHost(version: string): NodeHost {
  return new NodeHost(`deno ${version}`);
}
