/** mmap(2) and its kin (mman.h), flags of mappings, and the operations of what is mapped. */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct vm_operations_struct {
      /* The page at an index of the file, locked, with a reference; or an ERR_PTR. Linux: vm_fault. */
      struct page *(*fault)(struct vm_area_struct *, pgoff_t);
    };
    struct address_space_operations {
      int (*readpage)(struct address_space *, struct page *);
      int (*set_page_dirty)(struct page *);
    };
  `,
  bss: `
    struct vm_operations_struct generic_file_vm_ops;
  `,
  defines: {
    __NR_mmap: 9,
    __NR_mprotect: 10,
    __NR_munmap: 11,
    MAP_SHARED: 1,
    MAP_PRIVATE: 2,
    MAP_SHARED_VALIDATE: 3,
    MAP_TYPE: 0xf,
    MAP_FIXED: 0x10,
    MAP_ANONYMOUS: 0x20,
    MAP_GROWSDOWN: 0x100,
    MAP_LOCKED: 0x2000,
    MAP_NORESERVE: 0x4000,
    MAP_POPULATE: 0x8000,
    MAP_NONBLOCK: 0x10000,
    MAP_HUGETLB: 0x40000,
    MAP_FIXED_NOREPLACE: 0x100000,
    /* LEGACY_MAP_MASK: what MAP_SHARED_VALIDATE knows for every file. */
    LEGACY_MAP_MASK: 0x7c07f973,
    VM_SHARED: 8,
    VM_MAYSHARE: 0x80,
    VM_PFNMAP: 0x400,
    VM_IO: 0x4000,
    VM_DONTEXPAND: 0x40000,
    VM_NORESERVE: 0x200000,
    VM_DONTDUMP: 0x4000000,
    VM_MIXEDMAP: 0x10000000,
    VM_ACCESS_FLAGS: 7,
    /* sysctl_max_map_count */
    DEFAULT_MAX_MAP_COUNT: 65530,
    /* Below the stack, which may grow to its limit: the least gap that Linux leaves (MIN_GAP). */
    USER_MMAP_BASE: 0xb7fff000,
    RLIMIT_AS: 9,
    RLIMIT_DATA: 2,
  },
});
