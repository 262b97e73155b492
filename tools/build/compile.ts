/**
 * One target's way from the layout description to asc's output: load abi, place, print the generated sources,
 * compile.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import asc from "assemblyscript/asc";
import type { Target } from "../../kernel-wasm/abi/dsl.ts";
import { vmcoreinfo } from "../../kernel-wasm/abi/vmcoreinfo.ts";
import { StructEmitter } from "./layout/emit_structs.ts";
import { emitConstants, emitModuleSymbols, emitOffsets, emitSymbols } from "./layout/emit_symbols.ts";
import { emitVmcoreinfo } from "./layout/emit_vmcoreinfo.ts";
import type { Layout } from "./layout/layout.ts";
import { loadLayout, ROOT } from "./specs.ts";
import { kernelTransform } from "./transform.ts";

export class BuildError extends Error {
  override name = "BuildError";
}

const ENTRIES: Record<Target, string[]> = {
  production: [
    "kernel-wasm/include/link.ts",
    "kernel-wasm/include/addr.ts",
    "kernel-wasm/entry.ts",
    "kernel-wasm/entry_smp.ts",
    "kernel-wasm/exports.ts",
  ],
  capture: ["kernel-wasm/include/link.ts", "kernel-wasm/include/addr.ts", "kernel-wasm/entry.ts"],
  purgatory: ["kernel-wasm/include/link.ts", "kernel-wasm/purgatory/entry.ts"],
};

/** Not backtrace material, but inlining them would copy their slow paths to every pointer access. */
const KEEP = ["__phys_addr", "__virt_addr", "text_index"];

/** Generated sources by file name. */
export function generate(layout: Layout, lines: readonly string[] = []): Record<string, string> {
  const structs = new StructEmitter(layout);
  structs.emit();
  const symbols = emitSymbols(layout, structs);
  // The symbols' array types become classes of structs.ts, so that is printed last.
  return {
    "structs.ts": structs.print(),
    "symbols.ts": symbols,
    "constants.ts": emitConstants(layout),
    "offsets.ts": emitOffsets(layout),
    "vmcoreinfo.ts": emitVmcoreinfo(layout, lines),
  };
}

/** Those of a loadable module, whose layout has the kernel's types and the module's symbols. */
function generateLoadable(kernel: Layout, own: Layout): Record<string, string> {
  const structs = new StructEmitter(own);
  structs.emit();
  const symbols = emitModuleSymbols(kernel, own, structs);
  return {
    "structs.ts": structs.print(),
    "symbols.ts": symbols,
    "constants.ts": emitConstants(own),
    // The kernel's sources import it.
    "vmcoreinfo.ts": emitVmcoreinfo(kernel, []),
  };
}

/** A loadable module to be compiled: its folder, and the kernel that it is for. */
export interface LoadableSources {
  folder: string;
  kernel: Layout;
}

export interface Compiled {
  layout: Layout;
  wasm: Uint8Array;
  sourceMap: string;
  /** Those functions of the layout's backtrace and entry lists that this target calls. */
  kept: ReadonlySet<string>;
}

/** The constants that become literals: all but the boolean configuration, which is folded as it is. */
function literals(layout: Layout): Map<string, bigint> {
  const list = [...layout.constants.values()].filter((c) => typeof layout.config[c.name] !== "boolean");
  return new Map(list.map((c) => [c.name, c.value]));
}

/**
 * Runs asc over `entries` with a layout's generated sources in place of kernel-wasm/include/generated.
 * `files` are sources that stand in no folder: a test's own kernel.
 */
export async function runAsc(
  target: Target,
  layout: Layout,
  entries: string[],
  files?: Record<string, string>,
  loadable?: LoadableSources,
): Promise<Compiled & { wat: string; generated: Record<string, string> }> {
  const generated = loadable
    ? generateLoadable(loadable.kernel, layout)
    : generate(layout, files ? [] : vmcoreinfo);
  const keep = [...KEEP, ...layout.backtrace, ...layout.entry];
  const kept = new Set<string>();
  const out = new Map<string, Uint8Array>();
  const argv = [
    ...entries,
    "--config",
    "asconfig.json",
    "--target",
    loadable ? "module" : target,
    "--sourceMap",
    "--textFile",
    "k.wat",
  ];
  const result = await asc.main(argv, {
    readFile: (name: string, base: string) => {
      const made = /include\/generated\/(\w+\.ts)$/.exec(name)?.[1];
      if (made) return generated[made] ?? null;
      if (files?.[name] !== undefined) return files[name];
      try {
        return readFileSync(name.startsWith("/") ? name : join(base ? join(ROOT, base) : ROOT, name), "utf8");
      } catch {
        return null;
      }
    },
    writeFile: (name: string, contents: string | Uint8Array) => {
      out.set(name, typeof contents === "string" ? new TextEncoder().encode(contents) : contents);
    },
    listFiles: () => [],
    transforms: [
      kernelTransform({
        constants: literals(layout),
        keep,
        kept,
        exports: new Set(loadable?.kernel.exports ?? (target === "production" ? layout.exports : [])),
        ...(loadable === undefined ? {} : { loadable: loadable.folder }),
      }),
    ],
  } as unknown as Parameters<typeof asc.main>[1]);
  const messages = result.stderr.toString();
  if (result.error) throw new BuildError(`asc ${target}: ${result.error.message}\n${messages}`);
  if (messages.trim()) process.stderr.write(messages);
  const find = (suffix: string): Uint8Array => {
    for (const [name, bytes] of out) if (name.endsWith(suffix)) return bytes;
    throw new BuildError(`asc ${target}: no ${suffix} among its output: ${[...out.keys()].join(", ")}`);
  };
  const text = (suffix: string) => new TextDecoder().decode(find(suffix));
  return {
    layout,
    wasm: find(".wasm"),
    sourceMap: text(".map"),
    kept,
    wat: text(".wat"),
    generated,
  };
}

/** Compiles one target and leaves the generated sources, the module and its text under build/TARGET. */
export async function compile(target: Target): Promise<Compiled> {
  const compiled = await runAsc(target, await loadLayout(target), ENTRIES[target]);
  const dir = join(ROOT, "build", target);
  mkdirSync(join(dir, "generated"), { recursive: true });
  for (const [name, text] of Object.entries(compiled.generated))
    writeFileSync(join(dir, "generated", name), text);
  writeFileSync(join(dir, "kernel.wasm"), compiled.wasm);
  writeFileSync(join(dir, "kernel.wat"), compiled.wat);
  return compiled;
}
