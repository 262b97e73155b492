/**
 * The programs in one file: build/wkdump.js, an ES module that Bun, Node and Deno run as it is; and
 * build/cpu.js, what a CPU's thread runs. It knows size
 * and SHA-256 of the files that belong to it, so that a damaged one, or one of another build, is recognised.
 */
import { createHash } from "node:crypto";
import { chmodSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ASSETS, type BuiltAssets } from "../assets.ts";
import { BuildError } from "./compile.ts";
import { ROOT } from "./specs.ts";

const ENTRY = join(ROOT, "tools/wkdump.ts");
const CPU_ENTRY = join(ROOT, "runtime/adapter/thread.ts");

function describeAssets(): BuiltAssets {
  const assets: Record<string, { size: number; sha256: string }> = {};
  for (const name of ASSETS) {
    const bytes = readFileSync(join(ROOT, "build", name));
    assets[name] = { size: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
  }
  return assets as BuiltAssets;
}

/** Makes build/cpu.js and build/wkdump.js; the other files of ASSETS must be in build/ by then. */
export async function bundle(): Promise<void> {
  await bundleFile(CPU_ENTRY, "cpu.js", {});
  await bundleFile(ENTRY, "wkdump.js", {
    banner: "#!/usr/bin/env node",
    define: { BUILT_ASSETS: JSON.stringify(describeAssets()) },
  });
  chmodSync(join(ROOT, "build/wkdump.js"), 0o755);
}

async function bundleFile(
  entry: string,
  name: string,
  options: { banner?: string; define?: Record<string, string> },
): Promise<void> {
  const result = await Bun.build({
    entrypoints: [entry],
    target: "node",
    format: "esm",
    throw: false,
    ...options,
  });
  if (!result.success) throw new BuildError(`bundle: ${result.logs.map(String).join("\n")}`);
  const path = join(ROOT, "build", name);
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, await result.outputs[0]!.text());
  renameSync(temporary, path);
}
