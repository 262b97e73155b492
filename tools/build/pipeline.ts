/**
 * The build, in the order in which one product needs another: purgatory, capture kernel, production kernel
 * (purgatory is a blob in it), initrd (the capture image is a file in it), the tools' layout constants, the
 * bundle of the programs.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { KERNEL_RELEASE } from "../../kernel-wasm/abi/config.ts";
import type { Target } from "../../kernel-wasm/abi/dsl.ts";
import { type LinkOutput, link } from "../../runtime/link/index.ts";
import { bundle } from "./bundle.ts";
import { type Compiled, compile } from "./compile.ts";
import { makeInitrd } from "./initrd.ts";
import { emitOffsets } from "./layout/emit_symbols.ts";
import type { Layout } from "./layout/layout.ts";
import { ROOT } from "./specs.ts";

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

/**
 * The kernel's GNU build id: 20 bytes over what the image is made of. It stands in the image itself
 * (VMCOREINFO's BUILD-ID), so it is taken before linking.
 */
function buildId({ wasm, strings, layout }: Compiled): Uint8Array {
  return sha256(Buffer.concat([wasm, strings, layout.data])).subarray(0, 20);
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
): LinkOutput {
  const { layout, wasm, sourceMap, strings, kept } = compiled;
  const purgatory = target === "purgatory";
  if (layout.symbols.has("vmlinux_build_id")) layout.initialise("vmlinux_build_id", buildId(compiled));
  return link(
    {
      type: purgatory ? "purgatory" : "kernel",
      wasm,
      sourceMap,
      strings,
      blobs,
      data: layout.data,
      dataEnd: layout.dataEnd,
      symbols: linkSymbols(layout),
      backtrace: layout.backtrace.filter((name) => kept.has(name)),
      entry: layout.entry.filter((name) => kept.has(name)),
      kallsyms: layout.config.CONFIG_KALLSYMS === true,
      release: KERNEL_RELEASE,
      ...(purgatory ? { paramsSymbol: "purgatory_info" } : {}),
    },
    sha256,
  );
}

export interface BuildOptions {
  /** Told before each step. */
  log?(step: string): void;
}

/** Builds everything into build/. Throws BuildError, LayoutError or LinkError, which say what to mend. */
export async function build({ log = () => {} }: BuildOptions = {}): Promise<void> {
  const images: Partial<Record<Target, Uint8Array>> = {};
  for (const target of TARGETS) {
    log(`compiling ${target}`);
    const compiled = await compile(target);
    const blobs = target === "production" ? { kexec_purgatory: images.purgatory as Uint8Array } : {};
    const { image, wasm, systemMap } = linkTarget(target, compiled, blobs as Record<string, Uint8Array>);
    images[target] = image;
    write(`${target}/linked.wasm`, wasm);
    write(`${target}/System.map`, systemMap);
    write(`${target}/image`, image);
    if (target === "production") write("generated/offsets.ts", emitOffsets(compiled.layout));
  }
  log("packing the initrd");
  write("initrd.img", makeInitrd({ captureImage: images.capture as Uint8Array }));
  write("vmlinuz", images.production as Uint8Array);
  write("System.map", readFileSync(join(ROOT, "build/production/System.map")));
  log("bundling the programs");
  await bundle();
}
