/** Bun: the `node:` implementation under its own name (Bun reports a Node version of its own choice). */

import { NodeHost } from "./node.ts";

export function bunHost(version: string): NodeHost {
  return new NodeHost(`bun ${version}`);
}
