/** Kernels compiled ahead: they are used for the very bytes they were made from, and for no others. */
import { readFileSync } from "node:fs";
import { afterEach, expect, it, vi } from "vitest";
import { currentHost } from "../../runtime/adapter/index.ts";
import { IMAGE_MAGIC, readImageHeader } from "../../runtime/boot/image.ts";
import { prepare } from "../../runtime/index.ts";
import { kernelModule, UnusableImage } from "../../runtime/kexec/instance.ts";
import { PhysicalMemory } from "../../runtime/machine/memory.ts";
import { built } from "../support/boot.ts";

const host = currentHost();
const ENTRY = 0x100000;

afterEach(() => vi.restoreAllMocks());

/** The images that lie in a file of the build. */
function images(file: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = [];
  const bytes = Buffer.from(file);
  for (let at = bytes.indexOf(IMAGE_MAGIC); at >= 0; at = bytes.indexOf(IMAGE_MAGIC, at + 1)) {
    found.push(file.subarray(at));
  }
  return found;
}

it.each(["vmlinuz", "initrd.img"])("compiles the kernel in %s", async (name) => {
  const compile = vi.spyOn(WebAssembly, "compile");
  const file = new Uint8Array(readFileSync(built(name)));
  await prepare(file, host);
  expect(compile).toHaveBeenCalledTimes(1);
  const ahead = await compile.mock.results[0]?.value;
  expect(ahead).toBeInstanceOf(WebAssembly.Module);
  const memory = new PhysicalMemory(8 << 20);
  // Purgatory's image lies in that of the first kernel.
  memory.write(ENTRY, images(file)[0] as Uint8Array);
  expect(kernelModule(memory, ENTRY, host).module).toBe(ahead);
  const { wasmOffset, wasmSize } = readImageHeader(memory.view, ENTRY, memory.size - ENTRY);
  const wasm = ENTRY + wasmOffset;
  // Its last byte: another module, if it is one at all.
  memory.setU8(wasm + wasmSize - 1, memory.u8(wasm + wasmSize - 1) ^ 1);
  let damaged: unknown;
  try {
    damaged = kernelModule(memory, ENTRY, host).module;
  } catch (error) {
    damaged = error;
  }
  expect(damaged).not.toBe(ahead);
  memory.setU8(wasm, 1);
  expect(() => kernelModule(memory, ENTRY, host)).toThrow(UnusableImage);
});

it("leaves files without a kernel to whoever boots them", async () => {
  const compile = vi.spyOn(WebAssembly, "compile");
  await prepare(new Uint8Array(0), host);
  await prepare(new TextEncoder().encode(`x${IMAGE_MAGIC} and no more`), host);
  expect(compile).not.toHaveBeenCalled();
  const file = new Uint8Array(readFileSync(built("vmlinuz")));
  file[readImageHeader(new DataView(file.buffer), 0, file.length).wasmOffset] = 1;
  await prepare(file, host);
  expect(compile).toHaveBeenCalledTimes(1);
});
