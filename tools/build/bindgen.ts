/**
 * build/bindgen.js, jco's transpiler with nothing of WASI (tools/collector/no-wasi.ts), and the two
 * WebAssembly modules beside it that it consists of.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { BunPlugin } from "bun";
import { BuildError } from "./compile.ts";
import { ROOT } from "./specs.ts";

const VENDOR = dirname(fileURLToPath(import.meta.resolve("@bytecodealliance/jco-transpile/component")));
const MODULES: Record<string, string> = {
  "bindgen.core.wasm": "js-component-bindgen-component.core.wasm",
  "bindgen.core2.wasm": "js-component-bindgen-component.core2.wasm",
};

const noWasi: BunPlugin = {
  name: "no WASI",
  setup(build) {
    const path = join(ROOT, "tools/collector/no-wasi.ts");
    build.onResolve({ filter: /^@bytecodealliance\/preview2-shim\// }, () => ({ path }));
    build.onLoad({ filter: /js-component-bindgen-component\.js$/ }, ({ path: file }) => {
      let contents = readFileSync(file, "utf8");
      for (const [ours, theirs] of Object.entries(MODULES)) contents = contents.replace(theirs, ours);
      // Deno would ask for the right to see it.
      contents = contents.replaceAll("globalThis?.process?.env?.JCO_DEBUG", "false");
      return { contents, loader: "js" };
    });
  },
};

/** The files by their names in build/. */
export async function bindgen(): Promise<Record<string, string | Uint8Array>> {
  const result = await Bun.build({
    entrypoints: [join(ROOT, "tools/collector/bindgen.ts")],
    target: "node",
    format: "esm",
    minify: true,
    plugins: [noWasi],
    throw: false,
  });
  if (!result.success) throw new BuildError(`bindgen: ${result.logs.map(String).join("\n")}`);
  const files: Record<string, string | Uint8Array> = { "bindgen.js": await result.outputs[0]!.text() };
  for (const [ours, theirs] of Object.entries(MODULES)) files[ours] = readFileSync(join(VENDOR, theirs));
  return files;
}
