/**
 * The engine's compressors, level 1, for writers of dumps: what kernel-wasm/collector has not. Node has no
 * Zstandard before 22.15. `node:zlib` is loaded by the first that asks: Bun takes several milliseconds.
 */

type Compress = (bytes: Uint8Array) => Uint8Array;

interface Zstd {
  zstdCompressSync?(bytes: Uint8Array, options: object): Uint8Array;
  constants: { ZSTD_c_compressionLevel?: number };
}

export function hostCompressors(): { readonly zstd?: Compress } {
  return {
    get zstd() {
      const { zstdCompressSync, constants } = process.getBuiltinModule("node:zlib") as Zstd;
      if (zstdCompressSync === undefined) return undefined;
      const level = { params: { [constants.ZSTD_c_compressionLevel ?? 100]: 1 } };
      return (bytes: Uint8Array) => zstdCompressSync(bytes, level);
    },
  };
}
