/** The files that belong to the program and lie beside it: kernel image, initrd, symbols, debug kernel. */
import { currentHost, HostError } from "../runtime/adapter/index.ts";
import type { BesideProgram } from "../runtime/adapter/terminal.ts";
import { CommandError } from "./flags.ts";
import { strerror } from "./strerror.ts";

/** Their names in build/. */
export const ASSETS = [
  "vmlinuz",
  "initrd.img",
  "System.map",
  "vmlinux",
  "cpu.js",
  "packer.js",
  // A collector's thread, and the transpiler that it loads.
  "collector.js",
  "bindgen.js",
  "bindgen.core.wasm",
  "bindgen.core2.wasm",
  // The kernel that keeps its arguments in memory, for debuggers.
  "vmlinuz-debug",
  "initrd-debug.img",
  "System.map-debug",
  "vmlinux-debug",
] as const;
export type AssetName = (typeof ASSETS)[number];
export type BuiltAssets = Record<AssetName, { size: number; sha256: string }>;

/** What the build knew of each; tools/build/bundle.ts puts the object in the place of this name. */
declare const BUILT_ASSETS: BuiltAssets;

const ADVICE = "build again with `npm run build`, or install the package again";

const hex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Bytes. */
export function assetSize(name: AssetName): number {
  return BUILT_ASSETS[name].size;
}

/** Whether these bytes are the asset as it was built with this program. */
export function isAsset(name: AssetName, bytes: Uint8Array): boolean {
  return hex(currentHost().sha256(bytes)) === BUILT_ASSETS[name].sha256;
}

/** The bytes of an asset. CommandError when it is missing or not what was built with this program. */
export function readAsset(program: BesideProgram, name: AssetName): Uint8Array<ArrayBuffer> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = program.asset(name);
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    throw new CommandError(`${error.path}: ${strerror(error)}: ${ADVICE}`);
  }
  const { size } = BUILT_ASSETS[name];
  if (bytes.length !== size) {
    const state = bytes.length < size ? "truncated" : "too long";
    throw new CommandError(`${name} is ${state}: ${bytes.length} bytes instead of ${size}: ${ADVICE}`);
  }
  if (!isAsset(name, bytes)) {
    throw new CommandError(`${name} is damaged, its SHA-256 is not that of this build: ${ADVICE}`);
  }
  return bytes;
}
