/**
 * The kernel image: one file, loaded as it is. Its first 256 bytes are this header, at _text; the runtime and
 * the kexec loader read it where it lies in memory. All offsets count from the image's start.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct image_header {
      char magic[8];          /* "wkImage\\0" */
      u32 version;
      u32 type;               /* IMAGE_TYPE_KERNEL, IMAGE_TYPE_PURGATORY */
      u32 file_size;          /* bytes in the file */
      u32 mem_size;           /* bytes in memory: up to _end, or the top of a boot stack behind it */
      u32 text_offset;        /* x86 skeleton, _stext */
      u32 text_size;
      u32 wasm_offset;        /* the module that runs */
      u32 wasm_size;
      u32 rodata_offset;
      u32 rodata_size;
      u32 data_offset;        /* __base */
      u32 data_size;          /* initialised bytes */
      u32 end_offset;         /* _end */
      u32 stack_offset;       /* top of the boot stack: behind _end, or in the module's bytes */
      u64 link_address;       /* virtual address of _text */
      u32 params_offset;      /* struct purgatory_info, or 0 */
      u32 table_size;         /* slots of the function table when modules can be loaded, else 0 */
      char release[64];
      u8 digest[32];          /* SHA-256 of the file with this field zero */
      u8 pad[80];
    };
  `,
  defines: {
    IMAGE_VERSION: 1,
    IMAGE_TYPE_KERNEL: 0,
    IMAGE_TYPE_PURGATORY: 1,
    IMAGE_ALIGN: 0x10000,
    KERNEL_RELEASE_LEN: 64,
  },
});
