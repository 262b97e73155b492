/**
 * The capture kernel's view of the crashed one: where its ELF core headers are, and the list of ranges that
 * /proc/vmcore consists of (include/linux/crash_dump.h, include/linux/kcore.h).
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    /* A part of the vmcore file: size bytes of old memory at paddr stand at offset of the file. */
    struct vmcore {
      struct list_head list;
      unsigned long long paddr;
      unsigned long long size;
      loff_t offset;
    };
  `,
  data: `
    unsigned long long elfcorehdr_addr;
    unsigned long long elfcorehdr_size;
    char *elfcorehdr_parsed; /* where its parser stopped */
  `,
  bss: `
    struct list_head vmcore_list;
    char *elfcorebuf;
    size_t elfcorebuf_sz;
    size_t elfcorebuf_sz_orig;
    char *elfnotes_buf;
    size_t elfnotes_sz;
    u64 vmcore_size;
    struct proc_dir_entry *proc_vmcore;
    struct proc_ops vmcore_proc_ops;
    struct vm_operations_struct vmcore_mmap_ops;
    struct file_operations oldmem_fops;
    /* Where vmcore_place found a part of the file: old or new memory, and how far it goes on there. */
    u64 vmcore_place_paddr;
    u64 vmcore_place_len;
  `,
  init: { elfcorehdr_addr: -1 },
  defines: {
    ELFCORE_ADDR_MAX: "-1",
    ELFCORE_ADDR_ERR: "-2",
  },
  targets: ["capture"],
});
