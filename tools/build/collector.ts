/**
 * What is made of kernel-wasm/collector. The codecs of dumps: a module of its own, put as text into
 * build/generated/codecs.ts, so that a bundle, a test and a browser have it without asking for a file. And
 * makedumpfile's core as a component, build/collectors/makedumpfile.wasm, beside the world that it is of.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { componentEmbed, componentNew } from "@bytecodealliance/jco-transpile/wasm-tools";
import asc from "assemblyscript/asc";
import { transpile } from "../collector/bindgen.ts";
import { BuildError } from "./compile.ts";
import { emitKdump } from "./kdump-layout.ts";
import { ROOT } from "./specs.ts";
import { hashSources } from "./stale.ts";

const SOURCES = [
  "kernel-wasm/collector",
  "tools/build/collector.ts",
  "tools/build/kdump-layout.ts",
  "tools/collector/bindgen.ts",
  "tools/dump/kdump-header.ts",
  "package-lock.json",
];
const CODECS = "build/generated/codecs.ts";
/** The world, by the TypeScript declarations of its interfaces. */
const WORLD = "build/generated/collector.ts";
const WIT = "kernel-wasm/collector/collector.wit";
const COMPONENT = "build/collectors/makedumpfile.wasm";
const KEY = "build/collectors/key";
/** kernel-wasm/collector/memory.ts says what lies where in these 4 MiB, which the codecs' module has alone. */
const CODECS_MEMORY = 64 * 65536;
/** What asc reads though it is no file: made of the tools' own tables. */
const GENERATED = new Map([["kernel-wasm/collector/generated/kdump.ts", emitKdump]]);

async function compile(entry: string, options: readonly string[]): Promise<Uint8Array> {
  const out = new Map<string, string | Uint8Array>();
  const argv = [`kernel-wasm/collector/${entry}`, "--outFile", "out.wasm", "--runtime", "stub", ...options];
  argv.push("--enable", "simd,bulk-memory", "--noAssert", "--uncheckedBehavior", "always", "-O3");
  const result = await asc.main(argv, {
    readFile: (name: string) => {
      const generated = GENERATED.get(name);
      if (generated !== undefined) return generated();
      // The kernel's settings, which asc would find by itself, are not for these modules.
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
  if (result.error) throw new BuildError(`asc ${entry}: ${result.error.message}\n${result.stderr}`);
  return out.get("out.wasm") as Uint8Array;
}

async function codecs(): Promise<string> {
  const pages = String(CODECS_MEMORY / 65536);
  const memory = ["--initialMemory", pages, "--maximumMemory", pages, "--memoryBase", "1024"];
  const base64 = Buffer.from(await compile("codecs.ts", memory)).toString("base64");
  return `export const CODECS_WASM = "${base64}";\n`;
}

/** Its memory is the codecs', and what it needs behind that. */
async function component(): Promise<Uint8Array> {
  const base = String(CODECS_MEMORY);
  const core = await compile("makedumpfile.ts", ["--memoryBase", base, "--initialMemory", "66"]);
  return componentOf({ binary: core });
}

async function componentOf(what: { binary: Uint8Array } | { dummy: true }): Promise<Uint8Array> {
  const witSource = readFileSync(join(ROOT, WIT), "utf8");
  const embedded = await componentEmbed({
    ...what,
    witSource,
    world: "collector",
    stringEncoding: "utf8",
  });
  return componentNew(embedded, []);
}

/** The declarations that jco makes of each interface of the world, in lines. */
async function world(): Promise<string> {
  const { imports, declarations } = await transpile(await componentOf({ dummy: true }));
  const lines: Record<string, string[]> = {};
  for (const name of imports) {
    const text = declarations.get(`interfaces/${name.replace(/[:/]/g, "-")}.d.ts`);
    if (text === undefined) throw new BuildError(`${WIT}: no declarations of ${name}`);
    lines[name] = text.split("\n");
  }
  return `export const WORLD: Readonly<Record<string, readonly string[]>> = ${JSON.stringify(lines)};\n`;
}

function write(path: string, contents: string | Uint8Array): void {
  mkdirSync(join(ROOT, dirname(path)), { recursive: true });
  const temporary = join(ROOT, `${path}.${process.pid}.tmp`);
  writeFileSync(temporary, contents);
  renameSync(temporary, join(ROOT, path));
}

/** Makes module and component anew when their sources have changed. */
export async function buildCollector(): Promise<void> {
  const key = hashSources(ROOT, SOURCES);
  const made = existsSync(join(ROOT, KEY)) && readFileSync(join(ROOT, KEY), "utf8") === key;
  if (made && [CODECS, WORLD, COMPONENT].every((path) => existsSync(join(ROOT, path)))) return;
  write(CODECS, `/** Made by the build from kernel-wasm/collector. */\n${await codecs()}`);
  write(WORLD, `/** Made by the build from ${WIT}. */\n${await world()}`);
  write("build/collectors/collector.wit", readFileSync(join(ROOT, WIT)));
  write(COMPONENT, await component());
  write(KEY, key);
}
