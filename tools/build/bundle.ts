/**
 * The programs in one file, build/wkdump.js, the library in another, build/fixtures.js, and what threads run,
 * build/cpu.js, build/packer.js and build/collector.js: ES modules that Bun, Node and Deno run as they are.
 * They know size and SHA-256 of the files that belong to them, so that a damaged one, or one of another
 * build, is recognised.
 *
 * build/wkdump.bun.js is the programs once more, with bytecode beside it: Bun, which parses a function again
 * when it is first called, boots 20 ms sooner by it. Another version of Bun does without.
 */
import { createHash } from "node:crypto";
import { chmodSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ASSETS, type BuiltAssets } from "../assets.ts";
import { bindgen } from "./bindgen.ts";
import { BuildError } from "./compile.ts";
import { ROOT } from "./specs.ts";

/** What threads run: assets of the others. */
const THREAD_BUNDLES = [
  { source: "runtime/adapter/thread.ts", product: "cpu.js", program: false },
  { source: "tools/makedumpfile/thread.ts", product: "packer.js", program: false },
  { source: "tools/collector/thread.ts", product: "collector.js", program: false },
];
/** Source and product; a program can be started by its name. */
const BUNDLES = [
  { source: "tools/wkdump.ts", product: "wkdump.js", program: true },
  { source: "tools/fixtures/index.ts", product: "fixtures.js", program: false },
];
/** The library's types are one file without imports, and these functions. */
const TYPES = { source: "tools/fixtures/types.ts", product: "fixtures.d.ts" };
const DECLARATIONS = `
/** Makes a dump in memory. */
export declare function makeVmcore(options?: VmcoreOptions): Promise<Vmcore>;

/**
 * Makes a dump in files below \`directory\`, which is made when it does not exist: the capture kernel's
 * vmcore and vmcore-dmesg.txt in a directory of their own, truth.json beside them, one vmlinux for all dumps.
 */
export declare function writeVmcore(directory: string, options?: VmcoreOptions): Promise<VmcoreFiles>;

/** A dump of this shape cannot be made: a sentence that says why, and what would be right. */
export declare class FixtureError extends Error {
  name: string;
}
`;

/** Has a bytecode file beside it, by the same name and this. */
const BUN_BUNDLE = { source: "tools/wkdump.ts", product: "wkdump.bun.js" };
const BYTECODE = ".jsc";

function describeAssets(): BuiltAssets {
  const assets: Record<string, { size: number; sha256: string }> = {};
  for (const name of ASSETS) {
    const bytes = readFileSync(join(ROOT, "build", name));
    assets[name] = { size: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
  }
  return assets as BuiltAssets;
}

function replaceFile(product: string, contents: string | Uint8Array, mode: number): void {
  const path = join(ROOT, "build", product);
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, contents);
  chmodSync(temporary, mode);
  renameSync(temporary, path);
}

async function bundleFile(
  { source, product, program }: (typeof BUNDLES)[number],
  define: Record<string, string>,
): Promise<void> {
  const result = await Bun.build({
    entrypoints: [join(ROOT, source)],
    target: "node",
    format: "esm",
    ...(program ? { banner: "#!/usr/bin/env node" } : {}),
    define,
    throw: false,
  });
  if (!result.success) throw new BuildError(`bundle: ${result.logs.map(String).join("\n")}`);
  replaceFile(product, await result.outputs[0]!.text(), program ? 0o755 : 0o644);
}

/** Bytecode is for CommonJS modules alone, whose folder is `module.path`. */
async function bundleForBun(define: Record<string, string>): Promise<void> {
  const { source, product } = BUN_BUNDLE;
  const result = await Bun.build({
    entrypoints: [join(ROOT, source)],
    target: "bun",
    format: "cjs",
    bytecode: true,
    define: { ...define, "import.meta.dirname": "module.path" },
    throw: false,
  });
  const program = result.outputs.find(({ kind }) => kind === "entry-point");
  const bytecode = result.outputs.find(({ kind }) => kind === "bytecode");
  if (program === undefined || bytecode === undefined) {
    throw new BuildError(`bundle for Bun: ${result.logs.map(String).join("\n")}`);
  }
  replaceFile(`${product}${BYTECODE}`, new Uint8Array(await bytecode.arrayBuffer()), 0o644);
  replaceFile(product, await program.text(), 0o644);
}

/** Makes the bundles and TYPES; the other files of ASSETS must be in build/ by then. */
export async function bundle(): Promise<void> {
  for (const one of THREAD_BUNDLES) await bundleFile(one, {});
  for (const [name, contents] of Object.entries(await bindgen())) replaceFile(name, contents, 0o644);
  const assets = JSON.stringify(describeAssets());
  for (const one of BUNDLES) await bundleFile(one, { BUILT_ASSETS: assets });
  await bundleForBun({ BUILT_ASSETS: assets });
  replaceFile(TYPES.product, readFileSync(join(ROOT, TYPES.source), "utf8") + DECLARATIONS, 0o644);
}
