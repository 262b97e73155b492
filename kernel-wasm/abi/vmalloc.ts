/** Virtually contiguous memory (include/linux/vmalloc.h): what only the production kernel has of it. */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct vm_struct {
      struct vm_struct *next;
      void *addr;
      unsigned long size;            /* with the guard page */
      unsigned long flags;
      struct page **pages;
      unsigned int page_order;
      unsigned int nr_pages;
      phys_addr_t phys_addr;
      const void *caller;
    };
  `,
  bss: `
    struct rb_root vmap_area_root;
    spinlock_t vmap_area_lock;
    struct kmem_cache *vmap_area_cachep;
    atomic_long_t nr_vmalloc_pages;
  `,
  defines: {
    VM_IOREMAP: 0x1,
    VM_ALLOC: 0x2,
    VM_MAP: 0x4,
    VM_USERMAP: 0x8,
    VM_NO_GUARD: 0x40,
  },
  backtrace: ["vmalloc", "vzalloc", "vmap", "vfree"],
  targets: ["production"],
});
