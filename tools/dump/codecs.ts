/**
 * The codecs of compressed dumps, in WebAssembly (kernel-wasm/collector): `loadCodecs()` gives the
 * instance that readers share. Decompressors are bounded: whatever the bytes, they end, with a page or null.
 */
import { CODECS_WASM } from "../../build/generated/codecs.ts";

/** What a page descriptor's flags and a dump's status say: DUMP_DH_COMPRESSED_*. */
export const CODECS = { zlib: 1, lzo: 2, snappy: 4, zstd: 32 } as const;
export type Codec = keyof typeof CODECS;

/** The pages that compressPages takes at once: bytes of them all together. */
export const BATCH_SIZE = 1024 * 1024;

interface Exports {
  memory: WebAssembly.Memory;
  input(): number;
  input_size(): number;
  output(): number;
  sizes(): number;
  decompress(codec: number, length: number, limit: number): number;
  compress_pages(codec: number, pages: number, size: number, findZero: number): number;
}

/** What became of a page in compressPages: `bytes` is a view that the next call overwrites. */
export interface PackedPage {
  bytes: Uint8Array;
  /** The page as it was: compressing would not have made it smaller. */
  stored: boolean;
  /** Only with findZero: all its bytes are zero, and `bytes` is empty. */
  zero: boolean;
}

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

  /**
   * Compresses pages that lie one behind the other (BATCH_SIZE bytes at most; a page has 1024 to 65536 bytes)
   * by LZO or snappy; null as codec only stores them. The views are valid until the next call.
   */
  compressPages(
    codec: "lzo" | "snappy" | null,
    pages: Uint8Array,
    size: number,
    findZero: boolean,
  ): PackedPage[] {
    this.bytes.set(pages, this.input);
    const count = pages.length / size;
    this.wasm.compress_pages(codec === null ? 0 : CODECS[codec], count, size, findZero ? 1 : 0);
    const sizes = this.wasm.sizes();
    const packed: PackedPage[] = [];
    let at = this.output;
    for (let page = 0; page < count; page++) {
      const entry = this.view.getUint32(sizes + page * 4, true);
      const zero = entry === ZERO;
      const stored = entry >= STORED;
      const length = zero ? 0 : stored ? entry - STORED : entry;
      packed.push({ bytes: this.bytes.subarray(at, at + length), stored, zero });
      at += length;
    }
    return packed;
  }
}

let compiled: Promise<WebAssembly.Module> | null = null;
let shared: Promise<PageCodecs> | null = null;

/** An instance of one's own, with 4 MiB of memory: for a writer, which keeps views while it waits. */
export async function newCodecs(): Promise<PageCodecs> {
  compiled ??= WebAssembly.compile(Uint8Array.from(atob(CODECS_WASM), (byte) => byte.charCodeAt(0)));
  const { exports } = await WebAssembly.instantiate(await compiled, {});
  return new PageCodecs(exports as unknown as Exports);
}

/** The instance that the readers of this thread share. */
export function loadCodecs(): Promise<PageCodecs> {
  shared ??= newCodecs();
  return shared;
}
