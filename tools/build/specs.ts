/** Loads the descriptions of kernel-wasm/abi and places them for one target. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { config } from "../../kernel-wasm/abi/config.ts";
import type { AbiSpec, Target } from "../../kernel-wasm/abi/dsl.ts";
import { Layout } from "./layout/layout.ts";

export const ROOT = join(import.meta.dirname, "../..");

/** Every spec by its file; base types first, then by name. */
export async function loadSpecs(): Promise<Record<string, AbiSpec>> {
  const dir = join(ROOT, "kernel-wasm/abi");
  const files = readdirSync(dir).filter((f) => f.endsWith(".ts") && f !== "dsl.ts" && f !== "config.ts");
  files.sort((a, b) => Number(b === "types.ts") - Number(a === "types.ts") || (a < b ? -1 : 1));
  const specs: Record<string, AbiSpec> = {};
  for (const file of files) {
    const module = (await import(pathToFileURL(join(dir, file)).href)) as { default?: AbiSpec };
    if (module.default) specs[`kernel-wasm/abi/${file}`] = module.default;
  }
  return specs;
}

export async function loadLayout(target: Target): Promise<Layout> {
  return new Layout(target, config[target], await loadSpecs());
}
