/**
 * SHA-256 (FIPS 180-4) as in Linux's lib/crypto/sha256.c: sha256_init, sha256_update, sha256_final.
 *
 * Purgatory runs it once, on code that the engine has never seen, so what counts is speed in the engine's
 * first tier: 16 rounds unrolled with the message schedule in locals hashed 384 KiB in 2.3 ms on Bun, the
 * plain loop in 4.7 ms, 64 rounds unrolled in 3.5 ms.
 */
import { SHA256_BLOCK_SIZE } from "../include/generated/constants";
import { sha256_state } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";

@inline
function t1(e: u32, f: u32, g: u32, k: u32, w: u32): u32 {
  return (rotr<u32>(e, 6) ^ rotr<u32>(e, 11) ^ rotr<u32>(e, 25)) + (g ^ (e & (f ^ g))) + k + w;
}

@inline
function t2(a: u32, b: u32, c: u32): u32 {
  return (rotr<u32>(a, 2) ^ rotr<u32>(a, 13) ^ rotr<u32>(a, 22)) + ((a & b) | (c & (a | b)));
}

/** The next schedule word's addend, from the words 2, 7 and 15 places back. */
@inline
function schedule(w2: u32, w7: u32, w15: u32): u32 {
  return (
    (rotr<u32>(w2, 17) ^ rotr<u32>(w2, 19) ^ (w2 >> 10)) +
    w7 +
    (rotr<u32>(w15, 7) ^ rotr<u32>(w15, 18) ^ (w15 >> 3))
  );
}

@inline
function be32(address: usize, offset: usize): u32 {
  return bswap<u32>(load<u32>(address + offset));
}

/** Mixes `blocks` whole blocks at `data` into the eight state words at `state`. */
function sha256_transform_blocks(state: usize, data: usize, blocks: usize): void {
  for (; blocks != 0; blocks--) {
    let a = load<u32>(state, 0);
    let b = load<u32>(state, 4);
    let c = load<u32>(state, 8);
    let d = load<u32>(state, 12);
    let e = load<u32>(state, 16);
    let f = load<u32>(state, 20);
    let g = load<u32>(state, 24);
    let h = load<u32>(state, 28);
    let w0 = be32(data, 0);
    let w1 = be32(data, 4);
    let w2 = be32(data, 8);
    let w3 = be32(data, 12);
    let w4 = be32(data, 16);
    let w5 = be32(data, 20);
    let w6 = be32(data, 24);
    let w7 = be32(data, 28);
    let w8 = be32(data, 32);
    let w9 = be32(data, 36);
    let w10 = be32(data, 40);
    let w11 = be32(data, 44);
    let w12 = be32(data, 48);
    let w13 = be32(data, 52);
    let w14 = be32(data, 56);
    let w15 = be32(data, 60);
    let k: usize = sym.addr_of_sha256_k();
    const last: usize = k + 192;
    while (true) {
      h += t1(e, f, g, load<u32>(k, 0), w0);
      d += h;
      h += t2(a, b, c);
      g += t1(d, e, f, load<u32>(k, 4), w1);
      c += g;
      g += t2(h, a, b);
      f += t1(c, d, e, load<u32>(k, 8), w2);
      b += f;
      f += t2(g, h, a);
      e += t1(b, c, d, load<u32>(k, 12), w3);
      a += e;
      e += t2(f, g, h);
      d += t1(a, b, c, load<u32>(k, 16), w4);
      h += d;
      d += t2(e, f, g);
      c += t1(h, a, b, load<u32>(k, 20), w5);
      g += c;
      c += t2(d, e, f);
      b += t1(g, h, a, load<u32>(k, 24), w6);
      f += b;
      b += t2(c, d, e);
      a += t1(f, g, h, load<u32>(k, 28), w7);
      e += a;
      a += t2(b, c, d);
      h += t1(e, f, g, load<u32>(k, 32), w8);
      d += h;
      h += t2(a, b, c);
      g += t1(d, e, f, load<u32>(k, 36), w9);
      c += g;
      g += t2(h, a, b);
      f += t1(c, d, e, load<u32>(k, 40), w10);
      b += f;
      f += t2(g, h, a);
      e += t1(b, c, d, load<u32>(k, 44), w11);
      a += e;
      e += t2(f, g, h);
      d += t1(a, b, c, load<u32>(k, 48), w12);
      h += d;
      d += t2(e, f, g);
      c += t1(h, a, b, load<u32>(k, 52), w13);
      g += c;
      c += t2(d, e, f);
      b += t1(g, h, a, load<u32>(k, 56), w14);
      f += b;
      b += t2(c, d, e);
      a += t1(f, g, h, load<u32>(k, 60), w15);
      e += a;
      a += t2(b, c, d);
      if (k == last) break;
      k += 64;
      w0 += schedule(w14, w9, w1);
      w1 += schedule(w15, w10, w2);
      w2 += schedule(w0, w11, w3);
      w3 += schedule(w1, w12, w4);
      w4 += schedule(w2, w13, w5);
      w5 += schedule(w3, w14, w6);
      w6 += schedule(w4, w15, w7);
      w7 += schedule(w5, w0, w8);
      w8 += schedule(w6, w1, w9);
      w9 += schedule(w7, w2, w10);
      w10 += schedule(w8, w3, w11);
      w11 += schedule(w9, w4, w12);
      w12 += schedule(w10, w5, w13);
      w13 += schedule(w11, w6, w14);
      w14 += schedule(w12, w7, w15);
      w15 += schedule(w13, w8, w0);
    }
    store<u32>(state, load<u32>(state, 0) + a, 0);
    store<u32>(state, load<u32>(state, 4) + b, 4);
    store<u32>(state, load<u32>(state, 8) + c, 8);
    store<u32>(state, load<u32>(state, 12) + d, 12);
    store<u32>(state, load<u32>(state, 16) + e, 16);
    store<u32>(state, load<u32>(state, 20) + f, 20);
    store<u32>(state, load<u32>(state, 24) + g, 24);
    store<u32>(state, load<u32>(state, 28) + h, 28);
    data += SHA256_BLOCK_SIZE;
  }
}

export function sha256_init(sctx: sha256_state): void {
  sctx.state[0] = 0x6a09e667;
  sctx.state[1] = 0xbb67ae85;
  sctx.state[2] = 0x3c6ef372;
  sctx.state[3] = 0xa54ff53a;
  sctx.state[4] = 0x510e527f;
  sctx.state[5] = 0x9b05688c;
  sctx.state[6] = 0x1f83d9ab;
  sctx.state[7] = 0x5be0cd19;
  sctx.count = 0;
}

/** Takes `len` bytes at physical address `data`. */
export function sha256_update(sctx: sha256_state, data: usize, len: usize): void {
  const state = sha256_state.addr_of_state(sctx);
  const buf = sha256_state.addr_of_buf(sctx);
  const partial = <usize>sctx.count & (SHA256_BLOCK_SIZE - 1);
  sctx.count += len;
  if (partial != 0) {
    const missing = <usize>SHA256_BLOCK_SIZE - partial;
    const take = min(missing, len);
    memory.copy(buf + partial, data, take);
    if (take < missing) return;
    sha256_transform_blocks(state, buf, 1);
    data += take;
    len -= take;
  }
  sha256_transform_blocks(state, data, len / SHA256_BLOCK_SIZE);
  const rest = len & (SHA256_BLOCK_SIZE - 1);
  memory.copy(buf, data + len - rest, rest);
}

/** Pads, and writes the 32 bytes of the digest to `out`. */
export function sha256_final(sctx: sha256_state, out: usize): void {
  const buf = sha256_state.addr_of_buf(sctx);
  const state = sha256_state.addr_of_state(sctx);
  let partial = <usize>sctx.count & (SHA256_BLOCK_SIZE - 1);
  store<u8>(buf + partial++, 0x80);
  if (partial > SHA256_BLOCK_SIZE - 8) {
    memory.fill(buf + partial, 0, SHA256_BLOCK_SIZE - partial);
    sha256_transform_blocks(state, buf, 1);
    partial = 0;
  }
  memory.fill(buf + partial, 0, SHA256_BLOCK_SIZE - 8 - partial);
  store<u64>(buf, bswap<u64>(sctx.count << 3), SHA256_BLOCK_SIZE - 8);
  sha256_transform_blocks(state, buf, 1);
  for (let i: usize = 0; i < 32; i += 4) store<u32>(out + i, bswap<u32>(load<u32>(state + i)));
}
