/**
 * The codecs of compressed dumps, in WebAssembly (kernel-wasm/collector): `loadCodecs()` gives the
 * instance that readers share. Decompressors are bounded: whatever the bytes, they end, with a page or null.
 */
import { CODECS_WASM } from "../../build/generated/codecs.ts";
import { PAGE_DESC } from "./kdump-header.ts";

/** What a page descriptor's flags and a dump's status say: DUMP_DH_COMPRESSED_*. */
export const CODECS = { zlib: 1, lzo: 2, snappy: 4, zstd: 32 } as const;
export type Codec = keyof typeof CODECS;

/** Packs a page of the host's: by a compressor that the engine has. */
export type Compress = (page: Uint8Array) => Uint8Array;

/** The pages that are compressed at once: bytes of them all together. */
export const BATCH_SIZE = 1024 * 1024;

interface Exports {
  memory: WebAssembly.Memory;
  input(): number;
  input_size(): number;
  output(): number;
  sizes(): number;
  descriptors(): number;
  decompress(codec: number, length: number, limit: number): number;
  is_zero(at: number, size: number): number;
  compress_pages(codec: number, pages: number, size: number, findZero: number): number;
  store_pages(pages: number, size: number, findZero: number): number;
  page_descriptors(codec: number, pages: number, size: number, at: bigint, zeroAt: bigint): number;
}

/** In `sizes`: a page that is stored as it was, and one of zeros. */
const STORED = 0x80000000;
const ZERO = 0x40000000;

export class PageCodecs {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly input: number;
  private readonly output: number;
  private readonly inputSize: number;

  constructor(private readonly wasm: Exports) {
    this.bytes = new Uint8Array(wasm.memory.buffer);
    this.view = new DataView(wasm.memory.buffer);
    this.input = wasm.input();
    this.output = wasm.output();
    this.inputSize = wasm.input_size();
  }

  /**
   * The page of exactly `size` bytes that `packed` holds; null when it holds none. A view, valid until the
   * next call.
   */
  decompress(codec: Codec, packed: Uint8Array, size: number): Uint8Array | null {
    if (packed.length > this.inputSize) return null;
    this.bytes.set(packed, this.input);
    const length = this.wasm.decompress(CODECS[codec], packed.length, size);
    return length === size ? this.bytes.subarray(this.output, this.output + size) : null;
  }

  /** Where pages are put to be compressed, one behind the other. */
  get pages(): Uint8Array {
    return this.bytes.subarray(this.input, this.input + BATCH_SIZE);
  }

  /**
   * Compresses the first `count` of `pages`, of `size` bytes each (1024 to 65536), each by itself, by a codec
   * of this module or by a function; null leaves them as they are. A page that would not get smaller is
   * stored. Returns what came out, one behind the other, without pages of zeros when `findZero` is set: a
   * view, valid until the next call. What is in `pages` is lost.
   */
  compress(
    by: "zlib" | "lzo" | "snappy" | Compress | null,
    count: number,
    size: number,
    findZero: boolean,
  ): Uint8Array {
    const { wasm, bytes, input, output } = this;
    const zero = findZero ? 1 : 0;
    if (by === null) return bytes.subarray(input, input + wasm.store_pages(count, size, zero));
    if (typeof by === "function") return this.compressBy(by, count, size, findZero);
    return bytes.subarray(output, output + wasm.compress_pages(CODECS[by], count, size, zero));
  }

  private compressBy(compress: Compress, count: number, size: number, findZero: boolean): Uint8Array {
    const { wasm, bytes, view, input, output } = this;
    const sizes = wasm.sizes();
    let to = output;
    /** Pages of zeros are packed alike. */
    let zeros: Uint8Array | null = null;
    for (let page = 0; page < count; page++) {
      const from = input + page * size;
      const zero = wasm.is_zero(from, size) !== 0;
      let entry = ZERO;
      if (!(zero && findZero)) {
        const raw = bytes.subarray(from, from + size);
        const packed: Uint8Array = (zero ? zeros : null) ?? compress(raw);
        if (zero) zeros = packed;
        const smaller = packed.length < size;
        bytes.set(smaller ? packed : raw, to);
        entry = smaller ? packed.length : size + STORED;
        to += smaller ? packed.length : size;
      }
      view.setUint32(sizes + page * 4, entry, true);
    }
    return bytes.subarray(output, to);
  }

  /**
   * The page descriptors of the last compress(), whose bytes go to offset `at` of the file; those of pages of
   * zeros refer to `zeroAt`. `zero` is how many these are. A view, valid until the next call.
   */
  descriptors(
    codec: Codec | null,
    count: number,
    size: number,
    at: number,
    zeroAt: number,
  ): { bytes: Uint8Array; zero: number } {
    const flags = codec === null ? 0 : CODECS[codec];
    const zero = this.wasm.page_descriptors(flags, count, size, BigInt(at), BigInt(zeroAt));
    const start = this.wasm.descriptors();
    return { bytes: this.bytes.subarray(start, start + count * PAGE_DESC.size), zero };
  }
}

let compiled: Promise<WebAssembly.Module> | null = null;
let shared: Promise<PageCodecs> | null = null;

/** The compiled module, which may be sent to another thread. */
export function codecsModule(): Promise<WebAssembly.Module> {
  compiled ??= WebAssembly.compile(moduleBytes());
  return compiled;
}

function moduleBytes(): Uint8Array<ArrayBuffer> {
  // Newer engines have it ready; the loop takes 2 ms in a new process.
  const { fromBase64 } = Uint8Array as { fromBase64?(text: string): Uint8Array<ArrayBuffer> };
  if (fromBase64 !== undefined) return fromBase64(CODECS_WASM);
  const text = atob(CODECS_WASM);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

/** What another thread has compiled: this one need not. */
export function useCodecsModule(module: WebAssembly.Module): void {
  compiled = Promise.resolve(module);
}

/** An instance of one's own, with 4 MiB of memory: for a writer, which keeps views while it waits. */
export async function newCodecs(): Promise<PageCodecs> {
  const { exports } = await WebAssembly.instantiate(await codecsModule(), {});
  return new PageCodecs(exports as unknown as Exports);
}

/** The instance that the readers of this thread share. */
export function loadCodecs(): Promise<PageCodecs> {
  shared ??= newCodecs();
  return shared;
}
