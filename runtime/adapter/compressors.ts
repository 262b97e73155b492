/**
 * The engine's compressors, level 1, for writers of dumps. Node has no Zstandard before 22.15. `node:zlib` is
 * loaded by the first that is asked for: no engine has it at hand, and Bun takes several milliseconds.
 */

type Compress = (bytes: Uint8Array) => Uint8Array;

interface Zstd {
  zstdCompressSync?(bytes: Uint8Array, options: object): Uint8Array;
  constants: { ZSTD_c_compressionLevel?: number };
}

const loadZlib = () => process.getBuiltinModule("node:zlib");

export function hostCompressors(): { zlib: Compress; readonly zstd?: Compress } {
  return {
    zlib: (bytes) => loadZlib().deflateSync(bytes, { level: 1 }),
    get zstd() {
      const { zstdCompressSync, constants } = loadZlib() as Zstd;
      if (zstdCompressSync === undefined) return undefined;
      const level = { params: { [constants.ZSTD_c_compressionLevel ?? 100]: 1 } };
      return (bytes: Uint8Array) => zstdCompressSync(bytes, level);
    },
  };
}
