/**
 * Purgatory: the code between the kernels. The loader fills `purgatory_info`, which
 * image_header.params_offset points at; purgatory's own data are these few symbols and nothing of the
 * kernel's.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct kexec_sha_region { unsigned long start; unsigned long len; };
    struct purgatory_info {
      struct kexec_sha_region sha_regions[PURGATORY_SHA_REGIONS];
      u8 sha256_digest[32];
      u64 backup_src;
      u64 backup_dest;
      u64 backup_sz;
      u64 kernel_entry;       /* physical address of the next image's header */
      u64 boot_params;
    };
  `,
  data: `
    struct purgatory_info purgatory_info;
  `,
  bss: `
    struct sha256_state purgatory_sha256;
    u8 purgatory_digest[32];
    char purgatory_hex[4];
  `,
  defines: { PURGATORY_SHA_REGIONS: 16, PURGATORY_CONSOLE: 0x3f8 },
  targets: ["purgatory"],
});
