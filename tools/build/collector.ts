/**
 * The codecs of dumps: kernel-wasm/collector, compiled to a module of its own, and put as text into
 * build/generated/codecs.ts, so that a bundle, a test and a browser have it without asking for a file.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import asc from "assemblyscript/asc";
import { BuildError } from "./compile.ts";
import { ROOT } from "./specs.ts";
import { hashSources } from "./stale.ts";

const SOURCES = ["kernel-wasm/collector", "tools/build/collector.ts", "package-lock.json"];
const PRODUCT = "build/generated/codecs.ts";
/** Memory is 4 MiB and never grows: kernel-wasm/collector/memory.ts says what lies where. */
const PAGES = "64";

async function compile(): Promise<Uint8Array> {
  const out = new Map<string, string | Uint8Array>();
  const argv = ["kernel-wasm/collector/codecs.ts", "--outFile", "codecs.wasm", "--runtime", "stub"];
  argv.push("--initialMemory", PAGES, "--maximumMemory", PAGES, "--memoryBase", "1024");
  argv.push("--enable", "simd,bulk-memory", "--noAssert", "--uncheckedBehavior", "always", "-O3");
  const result = await asc.main(argv, {
    readFile: (name: string) => {
      // The kernel's settings, which asc would find by itself, are not for this module.
      if (name.endsWith("asconfig.json")) return null;
      try {
        return readFileSync(join(ROOT, name), "utf8");
      } catch {
        return null;
      }
    },
    writeFile: (name: string, contents: string | Uint8Array) => void out.set(name, contents),
    listFiles: () => [],
  });
  if (result.error) throw new BuildError(`asc codecs: ${result.error.message}\n${result.stderr}`);
  return out.get("codecs.wasm") as Uint8Array;
}

/** Makes the module anew when its sources have changed. */
export async function buildCollector(): Promise<void> {
  const header = `/** Made by the build from kernel-wasm/collector, sources ${hashSources(ROOT, SOURCES)}. */\n`;
  const path = join(ROOT, PRODUCT);
  if (existsSync(path) && readFileSync(path, "utf8").startsWith(header)) return;
  const base64 = Buffer.from(await compile()).toString("base64");
  mkdirSync(join(ROOT, "build/generated"), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, `${header}export const CODECS_WASM = "${base64}";\n`);
  renameSync(temporary, path);
}
