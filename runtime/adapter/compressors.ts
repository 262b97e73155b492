/** The engine's compressors, level 1, for writers of dumps. Node has no Zstandard before 22.15. */
import * as zlib from "node:zlib";

type Compress = (bytes: Uint8Array) => Uint8Array;

export function hostCompressors(): { zlib: Compress; zstd?: Compress } {
  const { zstdCompressSync } = zlib as {
    zstdCompressSync?: (bytes: Uint8Array, options: object) => Uint8Array;
  };
  const { ZSTD_c_compressionLevel = 100 } = zlib.constants as { ZSTD_c_compressionLevel?: number };
  const zstd = { params: { [ZSTD_c_compressionLevel]: 1 } };
  return {
    zlib: (bytes) => zlib.deflateSync(bytes, { level: 1 }),
    ...(zstdCompressSync === undefined ? {} : { zstd: (bytes) => zstdCompressSync(bytes, zstd) }),
  };
}
