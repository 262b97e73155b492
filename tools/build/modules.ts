/**
 * Loadable kernel modules: each folder NAME of kernel-wasm/modules, with main.ts and abi.ts, becomes NAME.ko
 * for the production kernel.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { config } from "../../kernel-wasm/abi/config.ts";
import type { AbiSpec, ModuleInfo } from "../../kernel-wasm/abi/dsl.ts";
import { linkLoadable } from "../../runtime/link/index.ts";
import { makeModuleDebug } from "../vmlinux/module.ts";
import { BuildError, runAsc } from "./compile.ts";
import { Layout } from "./layout/layout.ts";
import { loadSpecs, ROOT } from "./specs.ts";

export const MODULES_FOLDER = "kernel-wasm/modules";
const INCLUDES = [
  "kernel-wasm/include/link.ts",
  "kernel-wasm/include/addr.ts",
  "kernel-wasm/include/module.ts",
];

export interface BuiltModule {
  name: string;
  /** NAME.ko, as the machine has it, and with debugging information. */
  object: Uint8Array;
  debug: Uint8Array;
}

/** For the usual kernel, and for the one that keeps its arguments in memory. */
export interface BuiltModules {
  usual: BuiltModule;
  arguments: BuiltModule;
}

export function moduleNames(): string[] {
  return readdirSync(join(ROOT, MODULES_FOLDER), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

/** The kernel's types and constants with the symbols of the module alone. */
async function moduleLayout(file: string, own: AbiSpec): Promise<Layout> {
  const specs: Record<string, AbiSpec> = {};
  for (const [name, spec] of Object.entries(await loadSpecs())) specs[name] = { ...spec, targets: [] };
  specs[file] = own;
  return new Layout("production", config.production, specs);
}

/** What the kernel compares with its own; a module is of one kernel. */
function vermagic(kernel: Layout): string {
  const symbol = kernel.symbols.get("vermagic");
  if (symbol === undefined) throw new BuildError("the kernel has no vermagic");
  const bytes = kernel.data.subarray(symbol.offset, symbol.offset + symbol.size);
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}

function modinfo(name: string, info: ModuleInfo, kernel: Layout): string[] {
  const parameters = info.parameters ?? [];
  return [
    `license=${info.license}`,
    `description=${info.description}`,
    `author=${info.author}`,
    ...parameters.map((it) => `parm=${it.name}:${it.description}`),
    ...parameters.map((it) => `parmtype=${it.name}:${it.type}`),
    "depends=",
    "retpoline=Y",
    `name=${name}`,
    `vermagic=${vermagic(kernel)}`,
  ];
}

function offsetsOf(layout: Layout, struct: string): Record<string, number> & { size: number } {
  const def = layout.decls.structs.get(struct);
  if (def === undefined) throw new BuildError(`the layout has no struct ${struct}`);
  const members = layout.flatFields(def).map((f) => [f.name, f.offset] as const);
  return { ...Object.fromEntries(members), size: layout.structLayout(def).size };
}

function readSource(file: string): string | undefined {
  const path = join(ROOT, file);
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

export async function buildModule(name: string, kernel: Layout): Promise<BuiltModules> {
  const folder = `${MODULES_FOLDER}/${name}`;
  const file = `${folder}/abi.ts`;
  const { default: own, info } = (await import(pathToFileURL(join(ROOT, file)).href)) as {
    default: AbiSpec;
    info: ModuleInfo;
  };
  const layout = await moduleLayout(file, own);
  const compiled = await runAsc("production", layout, [...INCLUDES, `${folder}/main.ts`], undefined, {
    folder,
    kernel,
  });
  const param = offsetsOf(layout, "kernel_param");
  const module = offsetsOf(layout, "module");
  const input = {
    name,
    wasm: compiled.wasm,
    sourceMap: compiled.sourceMap,
    data: layout.data,
    symbols: [...layout.symbols.values()],
    backtrace: own.backtrace ?? [],
    modinfo: modinfo(name, info, kernel),
    parameters: (info.parameters ?? []).map((it) => ({
      name: it.name,
      ops: `param_ops_${it.type}`,
      variable: it.variable ?? it.name,
      permissions: it.permissions,
    })),
    layout: {
      module: { size: module.size, name: module.name ?? 0, init: module.init ?? 0, exit: module.exit ?? 0 },
      kernelParam: {
        size: param.size,
        name: param.name ?? 0,
        mod: param.mod ?? 0,
        ops: param.ops ?? 0,
        perm: param.perm ?? 0,
        level: param.level ?? 0,
        arg: param.arg ?? 0,
      },
    },
  };
  const link = (argumentsInMemory: boolean): BuiltModule => {
    const linked = linkLoadable({ ...input, argumentsInMemory });
    const debug = makeModuleDebug({ layout, linked, name: `${folder}/main.ts`, readSource });
    return { name, object: linked.object, debug };
  };
  return { usual: link(false), arguments: link(true) };
}
