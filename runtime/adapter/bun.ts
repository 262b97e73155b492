/**
 * Bun: the `node:` implementation under its own name (Bun reports a Node version of its own choice), with
 * Bun's own SHA-256 and random bytes, for which nothing needs to be loaded.
 */

import type { Hasher } from "./host.ts";
import { NodeHost, PieceHasher } from "./node.ts";

class BunHost extends NodeHost {
  override random(into: Uint8Array<ArrayBuffer>): void {
    crypto.getRandomValues(into);
  }

  override hasher(): Hasher {
    return new PieceHasher(new Bun.CryptoHasher("sha256"));
  }
}

export function bunHost(version: string): NodeHost {
  return new BunHost(`bun ${version}`);
}
