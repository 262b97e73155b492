/**
 * Purgatory, between the kernels: machine_kexec jumps here. It checks the digest of the loaded segments,
 * saves the low memory that the next kernel will use, and jumps into that kernel. On a mismatch it says so
 * and stops: what lies in the crash region may be anything then. A module of its own, loaded with the image,
 * with no state but its symbols.
 *
 * Texts and order are kexec-tools' (purgatory/purgatory.c).
 */
import { PURGATORY_CONSOLE, PURGATORY_SHA_REGIONS, SHA256_DIGEST_SIZE } from "../include/generated/constants";
import { sym } from "../include/generated/symbols";
import { sha256_final, sha256_init, sha256_update } from "../lib/sha256";

@external("hw", "outs8") declare function hw_outs8(port: u32, pa: usize, len: usize): void;
@external("hw", "hlt") declare function hw_hlt(): void;
@external("hw", "jump") declare function hw_jump(entry: usize, arg: usize): void;

function puts(text: usize): void {
  let end = text;
  while (load<u8>(end) != 0) end++;
  hw_outs8(PURGATORY_CONSOLE, text, end - text);
}

@inline
function hex_digit(value: u32): u8 {
  return <u8>(value < 10 ? 0x30 + value : 0x57 + value);
}

/** A digest as kexec-tools prints it, "%hhx " a byte. */
function put_digest(digest: usize): void {
  const text = sym.purgatory_hex;
  for (let i: usize = 0; i < SHA256_DIGEST_SIZE; i++) {
    const byte = <u32>load<u8>(digest + i);
    let at = text;
    if (byte >= 16) store<u8>(at++, hex_digit(byte >> 4));
    store<u8>(at++, hex_digit(byte & 15));
    store<u8>(at++, 0x20);
    hw_outs8(PURGATORY_CONSOLE, text, at - text);
  }
  puts(c`\n`);
}

/** Hashes every region that the loader listed; false when the digest is another than the loader's. */
function verify_sha256_digest(): bool {
  const info = sym.purgatory_info;
  const digest = sym.purgatory_digest;
  sha256_init(sym.purgatory_sha256);
  for (let i: usize = 0; i < PURGATORY_SHA_REGIONS; i++) {
    const region = info.sha_regions[i];
    sha256_update(sym.purgatory_sha256, <usize>region.start, <usize>region.len);
  }
  sha256_final(sym.purgatory_sha256, digest);
  let difference: u64 = 0;
  for (let i: usize = 0; i < SHA256_DIGEST_SIZE; i += 8) {
    difference |= load<u64>(digest + i) ^ load<u64>(info.sha256_digest + i);
  }
  if (difference == 0) return true;
  puts(c`sha256 digests do not match :(\n`);
  puts(c`       digest: `);
  put_digest(digest);
  puts(c`sha256_digest: `);
  put_digest(info.sha256_digest);
  return false;
}

export function purgatory(): void {
  const info = sym.purgatory_info;
  puts(c`I'm in purgatory\n`);
  if (!verify_sha256_digest()) {
    while (true) hw_hlt();
  }
  memory.copy(<usize>info.backup_dest, <usize>info.backup_src, <usize>info.backup_sz);
  hw_jump(<usize>info.kernel_entry, <usize>info.boot_params);
}
