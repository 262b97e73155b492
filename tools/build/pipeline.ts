/**
 * The build, in the order in which one product needs another: purgatory, capture kernel, production kernel
 * (purgatory is a blob in it), initrd (the capture image is a file in it), the tools' layout constants, the
 * bundle of the programs.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { config, KERNEL_RELEASE } from "../../kernel-wasm/abi/config.ts";
import type { Target } from "../../kernel-wasm/abi/dsl.ts";
import type { ImageHeader } from "../../runtime/boot/image.ts";
import { type LinkOutput, link } from "../../runtime/link/index.ts";
import { captureInitrd } from "../initrd/capture.ts";
import { makeVmlinux } from "../vmlinux/generate.ts";
import { captureBudget, describeBudget } from "./budget.ts";
import { bundle } from "./bundle.ts";
import { buildCollector } from "./collector.ts";
import { BuildError, type Compiled, compile } from "./compile.ts";
import { ikconfig } from "./ikconfig.ts";
import { makeInitrd } from "./initrd.ts";
import { emitOffsets } from "./layout/emit_symbols.ts";
import type { Layout } from "./layout/layout.ts";
import { buildModule, moduleNames } from "./modules.ts";
import { ROOT } from "./specs.ts";
import { hashSources } from "./stale.ts";

const TARGETS: readonly Target[] = ["purgatory", "capture", "production"];

const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash("sha256").update(bytes).digest());

/** Writes under a temporary name first: another process may be reading the old file. */
function write(path: string, contents: string | Uint8Array): void {
  const file = join(ROOT, "build", path);
  mkdirSync(dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.tmp`;
  writeFileSync(temporary, contents);
  renameSync(temporary, file);
}

/** As a linker's --build-id=sha1. */
const BUILD_ID_SIZE = 20;

/**
 * The kernel's GNU build id: 20 bytes over what the image is made of. It stands in the image itself
 * (VMCOREINFO's BUILD-ID), so it is taken before linking.
 */
function buildId({ wasm, layout }: Compiled, kind: string): Uint8Array {
  // Of the last kernel that was linked from these: its own id is no part of it.
  const { offset } = layout.symbols.get("vmlinux_build_id")!;
  const data = layout.data.slice();
  data.fill(0, offset, offset + BUILD_ID_SIZE);
  return sha256(Buffer.concat([wasm, data, Buffer.from(kind)])).subarray(0, BUILD_ID_SIZE);
}

function linkSymbols(layout: Layout): Parameters<typeof link>[0]["symbols"] {
  return [...layout.symbols.values()].map(({ name, offset, size, section }) => ({
    name,
    offset,
    size,
    section,
  }));
}

export function linkTarget(
  target: Target,
  compiled: Compiled,
  blobs: Record<string, Uint8Array>,
  { argumentsInMemory = false } = {},
): LinkOutput {
  const { layout, wasm, sourceMap, kept } = compiled;
  const purgatory = target === "purgatory";
  if (layout.symbols.has("vmlinux_build_id")) {
    layout.initialise("vmlinux_build_id", buildId(compiled, argumentsInMemory ? "arguments" : ""));
  }
  return link(
    {
      type: purgatory ? "purgatory" : "kernel",
      wasm,
      sourceMap,
      blobs,
      data: layout.data,
      dataEnd: layout.dataEnd,
      symbols: linkSymbols(layout),
      backtrace: layout.backtrace.filter((name) => kept.has(name)),
      entry: layout.entry.filter((name) => kept.has(name)),
      argumentsInMemory,
      reuseModule: target === "capture",
      // Polls would cost the capture kernel one of the few pages that a crash region of 1M leaves it.
      ...(target === "production" ? { poll: { handler: "asm_interrupt", entries: true } } : {}),
      exportedData: target === "production" ? layout.exports.filter((name) => layout.symbols.has(name)) : [],
      kallsyms: layout.config.CONFIG_KALLSYMS === true,
      release: KERNEL_RELEASE,
      ...(purgatory ? { paramsSymbol: "purgatory_info" } : {}),
    },
    sha256,
  );
}

function debugKernel(compiled: Compiled, linked: LinkOutput): Uint8Array {
  const { layout } = compiled;
  const readSource = (file: string): string | undefined => {
    try {
      return readFileSync(join(ROOT, file), "utf8");
    } catch {
      return undefined;
    }
  };
  const id = layout.symbols.get("vmlinux_build_id");
  if (id === undefined)
    throw new BuildError("the kernel has no vmlinux_build_id: no dump could name its vmlinux");
  return makeVmlinux({
    layout,
    linked,
    buildId: layout.data.subarray(id.offset, id.offset + BUILD_ID_SIZE),
    readSource,
  });
}

export interface BuildOptions {
  /** Told before each step. */
  log?(step: string): void;
}

/** What the images are made from. The programs change more often, and need no new kernels for it. */
const IMAGE_SOURCES = [
  "asconfig.json",
  "package-lock.json",
  // The codecs of dumps are no part of a kernel.
  ...readdirSync(join(ROOT, "kernel-wasm"))
    .filter((name) => name !== "collector")
    .map((name) => `kernel-wasm/${name}`),
  "runtime/boot/image.ts",
  "runtime/link",
  "tools/build/compile.ts",
  "tools/build/ikconfig.ts",
  "tools/build/layout",
  "tools/build/modules.ts",
  "tools/build/pipeline.ts",
  "tools/build/specs.ts",
  "tools/build/transform.ts",
  "tools/vmlinux",
];
/** Written last: the images beside it are of these sources. */
const IMAGE_KEY = "images.key";

function readProduct(path: string): Uint8Array | undefined {
  try {
    return readFileSync(join(ROOT, "build", path));
  } catch {
    return undefined;
  }
}

/** Compiles and links the three modules; leaves images, System.map and layout constants under build/. */
async function buildImages(log: (step: string) => void): Promise<void> {
  let purgatory: Uint8Array | undefined;
  const headers: Partial<Record<Target, ImageHeader>> = {};
  for (const target of TARGETS) {
    log(`compiling ${target}`);
    const compiled = await compile(target);
    const blobs: Record<string, Uint8Array> =
      target === "production" && purgatory
        ? { kexec_purgatory: purgatory, kernel_config_data: ikconfig(config.production) }
        : {};
    const linked = linkTarget(target, compiled, blobs);
    const { image, wasm, systemMap, header } = linked;
    headers[target] = header;
    if (target === "capture" && headers.purgatory) {
      log(describeBudget(captureBudget(header, headers.purgatory, captureInitrd().length)));
    }
    if (target === "purgatory") purgatory = image;
    write(`${target}/linked.wasm`, wasm);
    write(`${target}/System.map`, systemMap);
    write(`${target}/image`, image);
    if (target === "production") {
      write("generated/offsets.ts", emitOffsets(compiled.layout));
      write("vmlinux", debugKernel(compiled, linked));
      for (const name of moduleNames()) {
        log(`compiling the module ${name}`);
        const built = await buildModule(name, compiled.layout);
        write(`modules/${name}.ko`, built.usual.object);
        write(`modules/${name}.ko.debug`, built.usual.debug);
        write(`modules-debug/${name}.ko`, built.arguments.object);
        write(`modules-debug/${name}.ko.debug`, built.arguments.debug);
      }
      const debug = linkTarget(target, compiled, blobs, { argumentsInMemory: true });
      write("vmlinuz-debug", debug.image);
      write("System.map-debug", debug.systemMap);
      write("vmlinux-debug", debugKernel(compiled, debug));
    }
  }
}

function builtModules(folder: "modules" | "modules-debug"): Record<string, Uint8Array> {
  const modules: Record<string, Uint8Array> = {};
  for (const name of moduleNames()) {
    const object = readProduct(`${folder}/${name}.ko`);
    if (!object) throw new BuildError(`build/${folder}/${name}.ko is gone: remove build/ and build again`);
    modules[name] = object;
  }
  return modules;
}

/** Builds everything into build/. Throws BuildError, LayoutError or LinkError, which say what to mend. */
export async function build({ log = () => {} }: BuildOptions = {}): Promise<void> {
  const key = hashSources(ROOT, IMAGE_SOURCES);
  const made = readProduct(IMAGE_KEY);
  if (made === undefined || new TextDecoder().decode(made) !== key) {
    // Gone first: a build that is interrupted leaves images of two sources.
    rmSync(join(ROOT, "build", IMAGE_KEY), { force: true });
    await buildImages(log);
    write(IMAGE_KEY, key);
  }
  const image = (target: Target): Uint8Array => {
    const bytes = readProduct(`${target}/image`);
    if (!bytes) throw new BuildError(`build/${target}/image is gone: remove build/ and build again`);
    return bytes;
  };
  log("packing the initrd");
  const initrd = (modules: Record<string, Uint8Array>): Uint8Array =>
    makeInitrd({ captureImage: image("capture"), modules });
  write("initrd.img", initrd(builtModules("modules")));
  write("initrd-debug.img", initrd(builtModules("modules-debug")));
  write("vmlinuz", image("production"));
  write("System.map", readFileSync(join(ROOT, "build/production/System.map")));
  log("compiling the codecs of dumps");
  await buildCollector();
  log("bundling the programs");
  await bundle();
}
