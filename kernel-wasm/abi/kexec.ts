/**
 * kexec: a loaded image and where it lies (include/linux/kexec.h), the crash region (crashk_res), the crash
 * notes and the VMCOREINFO page that the elfcorehdr points at.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    typedef unsigned long kimage_entry_t;
    struct kexec_segment {
      void *kbuf;             /* source: a user address for kexec_load, kernel memory for kexec_file_load */
      size_t bufsz;
      unsigned long mem;      /* physical destination */
      size_t memsz;
    };
    struct kimage_arch {
      unsigned long backup_src_start;
      unsigned long backup_src_sz;
      unsigned long backup_load_addr;   /* physical, in the crash region */
    };
    /* What the loader keeps of purgatory until its segment is copied. */
    struct purgatory_buffer {
      void *purgatory_buf;
      unsigned long purgatory_buf_len;
      unsigned long purgatory_load_addr;
      unsigned long params_offset;      /* of struct purgatory_info in the buffer */
    };
    struct kimage {
      kimage_entry_t head;
      kimage_entry_t *entry;
      kimage_entry_t *last_entry;
      unsigned long start;    /* physical entry point */
      struct page *control_code_page;
      struct page *swap_page;
      void *vmcoreinfo_data_copy;       /* the safe copy, in the crash region */
      unsigned long nr_segments;
      struct kexec_segment segment[KEXEC_SEGMENT_MAX];
      struct list_head control_pages;
      struct list_head dest_pages;
      struct list_head unusable_pages;
      unsigned long control_page;       /* where the next crash control page is looked for */
      unsigned int type:1;
      unsigned int preserve_context:1;
      unsigned int file_mode:1;
      struct kimage_arch arch;
      void *kernel_buf;
      unsigned long kernel_buf_len;
      void *initrd_buf;
      unsigned long initrd_buf_len;
      char *cmdline_buf;
      unsigned long cmdline_buf_len;
      struct purgatory_buffer purgatory_info;
      void *bootparams_buf;             /* boot_params, then the command line */
      unsigned long bootparams_load_addr;
      unsigned long kernel_load_addr;
      void *elf_headers;
      unsigned long elf_headers_sz;
      unsigned long elf_load_addr;
    };
    /* One buffer on its way to a place in the crash region (include/linux/kexec.h). */
    struct kexec_buf {
      struct kimage *image;
      void *buffer;
      unsigned long bufsz;
      unsigned long mem;
      unsigned long memsz;
      unsigned long buf_align;
      unsigned long buf_min;
    };
    /* What crashkernel= asks for. */
    struct crashkernel_param {
      u64 size;
      u64 base;
      u64 low_size;
      bool high;
      bool no_number;         /* the parser found none where it stood */
      char *cur;              /* where the parser stands */
    };
    /* A physical range, end inclusive (include/linux/range.h, struct crash_mem). */
    struct crash_mem_range { u64 start, end; };
    struct crash_mem {
      unsigned int max_nr_ranges;
      unsigned int nr_ranges;
      struct crash_mem_range ranges[CRASH_MAX_RANGES];
    };
  `,
  rodata: `
    u8 vmlinux_build_id[20];  /* given by the build */
  `,
  data: `
    atomic_t kexec_lock;
    int crashing_cpu;
    int kexec_load_disabled;
    struct kimage *kexec_image;
    struct kimage *kexec_crash_image;
    struct resource crashk_res;
    struct resource crashk_low_res;
    unsigned char *vmcoreinfo_data;
    size_t vmcoreinfo_size;
    u32 *vmcoreinfo_note;
    unsigned char *vmcoreinfo_data_safecopy;
    void *crash_notes;        /* per-CPU address of crash_note_buf */
  `,
  bss: `
    struct pt_regs crash_fixed_regs;
    struct crashkernel_param crashkernel;
    u64 ksysfs_value;
    struct mutex ksysfs_mutex;
    struct page *vmcoreinfo_page;    /* what vmap() maps as the safe copy */
    struct kexec_buf kexec_file_buf;
    struct sha256_state kexec_digest_state;
    u8 kexec_digest[SHA256_DIGEST_SIZE];
    char vmcoreinfo_line[VMCOREINFO_LINE_MAX];
  `,
  init: { crashing_cpu: -1 },
  percpu: `
    u32 crash_note_buf[CRASH_CORE_NOTE_BYTES / 4] __aligned(1024);
  `,
  defines: {
    KEXEC_SEGMENT_MAX: 16,
    KEXEC_ON_CRASH: 1,
    KEXEC_PRESERVE_CONTEXT: 2,
    KEXEC_ARCH_MASK: 0xffff0000,
    KEXEC_ARCH_DEFAULT: 0,
    KEXEC_ARCH_X86_64: "EM_X86_64 << 16",
    KEXEC_FLAGS: "KEXEC_ON_CRASH | KEXEC_PRESERVE_CONTEXT",
    KEXEC_FILE_UNLOAD: 1,
    KEXEC_FILE_ON_CRASH: 2,
    KEXEC_FILE_NO_INITRAMFS: 4,
    KEXEC_FILE_FLAGS: "KEXEC_FILE_UNLOAD | KEXEC_FILE_ON_CRASH | KEXEC_FILE_NO_INITRAMFS",
    KEXEC_TYPE_DEFAULT: 0,
    KEXEC_TYPE_CRASH: 1,
    KEXEC_CONTROL_PAGE_SIZE: 4096,
    KEXEC_CRASH_MEM_ALIGN: 4096,
    KEXEC_BACKUP_SRC_START: 0,
    KEXEC_BACKUP_SRC_END: 0x9ffff,
    MIN_PURGATORY_ADDR: 0x3000,
    MIN_BOOTPARAM_ADDR: 0x3000,
    MIN_KERNEL_LOAD_ADDR: 0x100000,
    PURGATORY_ALIGN: 0x4000,
    MAX_ELFCOREHDR_STR_LEN: 30,
    ELF_CORE_HEADER_ALIGN: 4096,
    CRASH_MAX_RANGES: 30,
    IND_DESTINATION: 1,
    IND_INDIRECTION: 2,
    IND_DONE: 4,
    IND_SOURCE: 8,
    CRASH_ALIGN: 0x10000,     // Linux: 16 MiB; small machines have no room for that
    CRASH_ADDR_LOW_MAX: 0x100000000n,
    CRASH_ADDR_HIGH_MAX: 0x400000000000n,
    DEFAULT_CRASH_KERNEL_LOW_SIZE: 256 << 20,
    CRASH_CORE_NOTE_HEAD_BYTES: "sizeof(struct elf64_note)",
    CRASH_CORE_NOTE_NAME_BYTES: 8,
    CRASH_CORE_NOTE_DESC_BYTES: "sizeof(struct elf_prstatus)",
    /* NT_PRPSINFO of an idle task, NT_PRSTATUS, the empty note. */
    CRASH_CORE_NOTE_BYTES:
      "CRASH_CORE_NOTE_HEAD_BYTES * 3 + CRASH_CORE_NOTE_NAME_BYTES * 2 + " +
      "sizeof(struct elf_prpsinfo) + CRASH_CORE_NOTE_DESC_BYTES",
    /* No task has a pid as high (include/linux/threads.h). */
    PID_MAX_LIMIT: 4194304,
    VMCOREINFO_BYTES: 4096,
    VMCOREINFO_NOTE_NAME_BYTES: 12,
    VMCOREINFO_NOTE_SIZE: "CRASH_CORE_NOTE_HEAD_BYTES * 2 + VMCOREINFO_NOTE_NAME_BYTES + VMCOREINFO_BYTES",
    VMCOREINFO_LINE_MAX: 0x50,
  },
  backtrace: [
    "__x64_sys_kexec_file_load",
    "crash_kexec",
    "__crash_kexec",
    "machine_kexec",
    "machine_crash_shutdown",
    "native_machine_crash_shutdown",
    "crash_save_cpu",
    "crash_save_vmcoreinfo",
    "__do_sys_kexec_file_load",
  ],
  targets: ["production"],
});
