/**
 * Small kernels for tests of the runtime: AssemblyScript source, compiled and packed as an image. The
 * source sees the hardware imports, `sp` and `cpu`, and a few helpers; it is no kernel of ours, only code
 * that does one thing.
 */

import asc from "assemblyscript/asc";
import { currentHost } from "../../runtime/adapter/index.ts";
import {
  IMAGE_DIGEST_OFFSET,
  IMAGE_HEADER_SIZE,
  IMAGE_TYPE_KERNEL,
  IMAGE_TYPE_PURGATORY,
  imageDigest,
  writeImageHeader,
} from "../../runtime/boot/image.ts";

const PRELUDE = `
@external("env", "__base") declare const __base: usize;
@external("env", "__phys_base") declare const __phys_base: usize;
@external("hw", "out8") declare function out8(port: i32, value: i32): void;
@external("hw", "in8") declare function in8(port: i32): i32;
@external("hw", "outs8") declare function outs8(port: i32, pa: usize, length: usize): void;
@external("hw", "rdtsc") declare function rdtsc(pa: usize): void;
@external("hw", "rtc") declare function rtc(pa: usize): void;
@external("hw", "rdrand") declare function rdrand(): u32;
@external("hw", "hlt") declare function hlt(): void;
@external("hw", "switch_to") declare function switch_to(): void;
@external("hw", "jump") declare function jump(entry: usize, arg: usize): void;
@external("hw", "page_fault") declare function page_fault(lo: u32, hi: u32, error_code: u32): void;
@external("hw", "ltr") declare function ltr(pa: usize): void;
@external("hw", "write_cr3") declare function write_cr3(pa: usize): void;
@external("hw", "hostfs") declare function hostfs(request: usize): i32;

export let sp: i32 = 0;
export let cpu: i32 = 7;

function putc(c: i32): void { out8(0x3f8, c); }
/** Up to eight characters of a constant, the first in its lowest byte. */
function say(word: u64): void { for (; word != 0; word >>= 8) putc(<i32>(word & 0xff)); }
function hex(value: u32): void {
  for (let shift = 28; shift >= 0; shift -= 4) {
    const digit = (value >> shift) & 15;
    putc(digit < 10 ? 48 + digit : 87 + digit);
  }
}
function newline(): void { putc(10); }
function power_off(): void { out8(0x604, 0x34); }
function reset(): void { out8(0xcf9, 6); }
`;

/** The characters of `text` as the literal that say() takes. */
export function word(text: string): string {
  let value = 0n;
  for (let i = text.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(text.charCodeAt(i));
  return `0x${value.toString(16)}`;
}

const compiled = new Map<string, Uint8Array>();

/**
 * The module of `source`, prelude added. `say("text")` with up to eight characters is written as a number.
 */
export async function compileSource(source: string): Promise<Uint8Array> {
  const known = compiled.get(source);
  if (known !== undefined) return known;
  const text =
    PRELUDE +
    source.replace(/say\("([^"]{1,8})"\)/g, (_, s: string) => `say(${word(s.replaceAll("\\n", "\n"))})`);
  let binary: Uint8Array | undefined;
  const { error, stderr } = await asc.main(
    [
      "kernel.ts",
      ...["--importMemory", "--sharedMemory", "--initialMemory", "1", "--maximumMemory", "65536"],
      ...["--enable", "threads", "--runtime", "stub", "--noExportMemory", "--uncheckedBehavior", "always"],
      ...["--exportTable", "--noAssert", "-O1", "--use", "abort=", "-o", "kernel.wasm"],
    ],
    {
      readFile: (name: string) => (name === "kernel.ts" ? text : null),
      writeFile: (_name: string, contents: string | Uint8Array) => {
        if (typeof contents !== "string") binary = contents;
      },
      listFiles: () => [],
    },
  );
  if (error !== null || binary === undefined) throw new Error(`asc: ${stderr.toString()}`);
  compiled.set(source, binary);
  return binary;
}

export interface TestImageOptions {
  type?: "kernel" | "purgatory";
  /** Bytes from __base on. */
  data?: Uint8Array;
  /** Pages of bss behind the data. */
  bssPages?: number;
}

const page = (size: number): number => Math.ceil(size / 4096) * 4096;

/** An image of `wasm` with the given data. */
export function packImage(wasm: Uint8Array, options: TestImageOptions = {}): Uint8Array {
  const data = options.data ?? new Uint8Array(0);
  const wasmOffset = 4096;
  const rodataOffset = page(wasmOffset + wasm.length);
  const dataOffset = rodataOffset + 4096;
  const fileSize = dataOffset + data.length;
  const endOffset = page(fileSize) + (options.bssPages ?? 1) * 4096;
  const stackOffset = Math.ceil(endOffset / 16384) * 16384 + 16384;
  const image = new Uint8Array(fileSize);
  image.set(wasm, wasmOffset);
  image.set(data, dataOffset);
  const header = {
    type: options.type === "purgatory" ? IMAGE_TYPE_PURGATORY : IMAGE_TYPE_KERNEL,
    fileSize,
    memSize: stackOffset,
    textOffset: IMAGE_HEADER_SIZE,
    textSize: 0,
    wasmOffset,
    wasmSize: wasm.length,
    rodataOffset,
    rodataSize: 4096,
    dataOffset,
    dataSize: data.length,
    endOffset,
    stackOffset,
    linkAddress: 0xffffffff80100000n,
    paramsOffset: 0,
    tableSize: 0,
    release: "5.15.0-test",
    digest: new Uint8Array(32),
  };
  const host = currentHost();
  writeImageHeader(new DataView(image.buffer), 0, header);
  const digest = imageDigest(image, (bytes) => host.sha256(bytes));
  image.set(digest, IMAGE_DIGEST_OFFSET);
  return image;
}

export async function testImage(source: string, options: TestImageOptions = {}): Promise<Uint8Array> {
  return packImage(await compileSource(source), options);
}
