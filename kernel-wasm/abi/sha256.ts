/** SHA-256's state and round constants (FIPS 180-4), for the kexec loader and for purgatory. */
import { abi } from "./dsl.ts";

/** The first 32 bits of the fractional parts of the cube roots of the first 64 primes, little endian. */
function roundConstants(): Uint8Array {
  const bytes = new Uint8Array(64 * 4);
  const view = new DataView(bytes.buffer);
  const primes: number[] = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p !== 0)) primes.push(n);
  primes.forEach((prime, i) => {
    const cube = BigInt(prime) << 96n;
    let low = 0n;
    let high = 1n << 36n;
    while (low < high) {
      const middle = (low + high + 1n) / 2n;
      if (middle * middle * middle <= cube) low = middle;
      else high = middle - 1n;
    }
    view.setUint32(i * 4, Number(low & 0xffffffffn), true);
  });
  return bytes;
}

export default abi({
  structs: `
    struct sha256_state {
      u32 state[8];
      u64 count;              /* bytes taken so far */
      u8 buf[64];             /* the last, unfinished block */
    };
  `,
  rodata: `
    u32 sha256_k[64];
  `,
  init: { sha256_k: roundConstants() },
  defines: { SHA256_BLOCK_SIZE: 64, SHA256_DIGEST_SIZE: 32 },
  targets: ["production", "purgatory"],
});
