/**
 * Memory management: struct page, zones and the node, memblock, sections, SLUB, per-CPU areas, e820 and the
 * resource tree, with Linux 5.15's layouts (SPARSEMEM_VMEMMAP, NUMA with one node, SLUB). The tools' view of
 * free, slab, cache and user pages hangs on these structs.
 *
 *     0xffff888000000000  PAGE_OFFSET          direct map of all physical memory
 *     0xffffc90000000000  VMALLOC_START
 *     0xffffea0000000000  VMEMMAP_START        struct page of pfn N at + 64 * N
 *     0xffffffff80000000  __START_KERNEL_map   the image, at + physical address - phys_base
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct page {
      unsigned long flags;
      union {
        struct {                        /* page cache and anonymous pages, and free ones (lru, private) */
          struct list_head lru;
          struct address_space *mapping;
          pgoff_t index;
          unsigned long private;
        };
        struct {                        /* slab */
          union {
            struct list_head slab_list;
            struct { struct page *next; int pages; int pobjects; };
          };
          struct kmem_cache *slab_cache;
          void *freelist;
          union {
            void *s_mem;
            unsigned long counters;
            struct { unsigned inuse:16; unsigned objects:15; unsigned frozen:1; };
          };
        };
        struct {                        /* tail pages of a compound page */
          unsigned long compound_head;
          unsigned char compound_dtor;
          unsigned char compound_order;
          atomic_t compound_mapcount;
          unsigned int compound_nr;
        };
        struct {                        /* page tables */
          unsigned long _pt_pad_1;
          struct page *pmd_huge_pte;
          unsigned long _pt_pad_2;
          union { struct mm_struct *pt_mm; atomic_t pt_frag_refcount; };
          spinlock_t ptl;
        };
        struct callback_head rcu_head;
      };
      union { atomic_t _mapcount; unsigned int page_type; unsigned int active; int units; };
      atomic_t _refcount;
      unsigned long memcg_data;
    } __aligned(16);

    enum pageflags {
      PG_locked, PG_referenced, PG_uptodate, PG_dirty, PG_lru, PG_active, PG_workingset, PG_waiters, PG_error,
      PG_slab, PG_owner_priv_1, PG_arch_1, PG_reserved, PG_private, PG_private_2, PG_writeback, PG_head,
      PG_mappedtodisk, PG_reclaim, PG_swapbacked, PG_unevictable, PG_mlocked, PG_uncached, PG_hwpoison,
      __NR_PAGEFLAGS,
      PG_checked = PG_owner_priv_1,
      PG_swapcache = PG_owner_priv_1,
      PG_fscache = PG_private_2,
      PG_slob_free = PG_private,
      PG_double_map = PG_workingset,
      PG_isolated = PG_reclaim,
      PG_reported = PG_uptodate
    };
    enum compound_dtor_id { NULL_COMPOUND_DTOR, COMPOUND_PAGE_DTOR, HUGETLB_PAGE_DTOR, NR_COMPOUND_DTORS };

    enum migratetype {
      MIGRATE_UNMOVABLE, MIGRATE_MOVABLE, MIGRATE_RECLAIMABLE, MIGRATE_PCPTYPES,
      MIGRATE_HIGHATOMIC = MIGRATE_PCPTYPES, MIGRATE_CMA, MIGRATE_ISOLATE, MIGRATE_TYPES
    };
    enum pageblock_bits { PB_migrate, PB_migrate_end = PB_migrate + 2, PB_migrate_skip, NR_PAGEBLOCK_BITS };
    enum zone_type { ZONE_DMA, ZONE_DMA32, ZONE_NORMAL, ZONE_MOVABLE, __MAX_NR_ZONES };
    enum zone_watermarks { WMARK_MIN, WMARK_LOW, WMARK_HIGH, NR_WMARK };
    enum zone_stat_item {
      NR_FREE_PAGES, NR_ZONE_LRU_BASE, NR_ZONE_INACTIVE_ANON = NR_ZONE_LRU_BASE, NR_ZONE_ACTIVE_ANON,
      NR_ZONE_INACTIVE_FILE, NR_ZONE_ACTIVE_FILE, NR_ZONE_UNEVICTABLE, NR_ZONE_WRITE_PENDING, NR_MLOCK,
      NR_BOUNCE,
      NR_ZSPAGES, NR_FREE_CMA_PAGES, NR_VM_ZONE_STAT_ITEMS
    };
    enum node_stat_item {
      NR_LRU_BASE, NR_INACTIVE_ANON = NR_LRU_BASE, NR_ACTIVE_ANON, NR_INACTIVE_FILE, NR_ACTIVE_FILE,
      NR_UNEVICTABLE,
      NR_SLAB_RECLAIMABLE_B, NR_SLAB_UNRECLAIMABLE_B, NR_ISOLATED_ANON, NR_ISOLATED_FILE, WORKINGSET_NODES,
      WORKINGSET_REFAULT_BASE, WORKINGSET_REFAULT_ANON = WORKINGSET_REFAULT_BASE, WORKINGSET_REFAULT_FILE,
      WORKINGSET_ACTIVATE_BASE, WORKINGSET_ACTIVATE_ANON = WORKINGSET_ACTIVATE_BASE, WORKINGSET_ACTIVATE_FILE,
      WORKINGSET_RESTORE_BASE, WORKINGSET_RESTORE_ANON = WORKINGSET_RESTORE_BASE, WORKINGSET_RESTORE_FILE,
      WORKINGSET_NODERECLAIM, NR_ANON_MAPPED, NR_FILE_MAPPED, NR_FILE_PAGES, NR_FILE_DIRTY, NR_WRITEBACK,
      NR_WRITEBACK_TEMP, NR_SHMEM, NR_SHMEM_THPS, NR_SHMEM_PMDMAPPED, NR_FILE_THPS, NR_FILE_PMDMAPPED,
      NR_ANON_THPS,
      NR_VMSCAN_WRITE, NR_VMSCAN_IMMEDIATE, NR_DIRTIED, NR_WRITTEN, NR_KERNEL_MISC_RECLAIMABLE,
      NR_FOLL_PIN_ACQUIRED,
      NR_FOLL_PIN_RELEASED, NR_KERNEL_STACK_KB, NR_PAGETABLE, NR_SWAPCACHE, NR_VM_NODE_STAT_ITEMS
    };
    enum lru_list {
      LRU_INACTIVE_ANON, LRU_ACTIVE_ANON, LRU_INACTIVE_FILE, LRU_ACTIVE_FILE, LRU_UNEVICTABLE, NR_LRU_LISTS
    };
    enum zone_list_index { ZONELIST_FALLBACK, ZONELIST_NOFALLBACK, MAX_ZONELISTS };
    enum node_states {
      N_POSSIBLE, N_ONLINE, N_NORMAL_MEMORY, N_HIGH_MEMORY = N_NORMAL_MEMORY, N_MEMORY, N_CPU,
      N_GENERIC_INITIATOR,
      NR_NODE_STATES
    };

    struct free_area { struct list_head free_list[MIGRATE_TYPES]; unsigned long nr_free; };
    struct zone {
      unsigned long _watermark[NR_WMARK];
      unsigned long watermark_boost;
      unsigned long nr_reserved_highatomic;
      long lowmem_reserve[__MAX_NR_ZONES];
      int node;
      struct pglist_data *zone_pgdat;
      unsigned long zone_start_pfn;
      atomic_long_t managed_pages;
      unsigned long spanned_pages;
      unsigned long present_pages;
      unsigned long cma_pages;
      const char *name;
      unsigned long nr_isolate_pageblock;
      int initialized;
      struct free_area free_area[MAX_ORDER] __aligned(64);
      unsigned long flags;
      spinlock_t lock;
      unsigned long percpu_drift_mark __aligned(64);
      bool contiguous;
      atomic_long_t vm_stat[NR_VM_ZONE_STAT_ITEMS] __aligned(64);
    } __aligned(64);
    struct zoneref { struct zone *zone; int zone_idx; };
    struct zonelist { struct zoneref _zonerefs[MAX_NUMNODES * __MAX_NR_ZONES + 1]; };
    struct lruvec {
      struct list_head lists[NR_LRU_LISTS];
      spinlock_t lru_lock;
      unsigned long anon_cost;
      unsigned long file_cost;
      unsigned long flags;
      struct pglist_data *pgdat;
    };
    typedef struct pglist_data {
      struct zone node_zones[__MAX_NR_ZONES];
      struct zonelist node_zonelists[MAX_ZONELISTS];
      int nr_zones;
      unsigned long node_start_pfn;
      unsigned long node_present_pages;
      unsigned long node_spanned_pages;
      int node_id;
      wait_queue_head_t kswapd_wait;
      struct task_struct *kswapd;
      int kswapd_order;
      enum zone_type kswapd_highest_zoneidx;
      int kswapd_failures;
      unsigned long totalreserve_pages;
      struct lruvec __lruvec __aligned(64);
      unsigned long flags;
      atomic_long_t vm_stat[NR_VM_NODE_STAT_ITEMS] __aligned(64);
    } pg_data_t;

    struct mem_section_usage { unsigned long subsection_map[1]; unsigned long pageblock_flags[0]; };
    struct mem_section { unsigned long section_mem_map; struct mem_section_usage *usage; };

    enum memblock_flags { MEMBLOCK_NONE = 0, MEMBLOCK_HOTPLUG = 1, MEMBLOCK_MIRROR = 2, MEMBLOCK_NOMAP = 4 };
    struct memblock_region { phys_addr_t base; phys_addr_t size; enum memblock_flags flags; int nid; };
    struct memblock_type {
      unsigned long cnt;
      unsigned long max;
      phys_addr_t total_size;
      struct memblock_region *regions;
      char *name;
    };
    struct memblock {
      bool bottom_up;
      phys_addr_t current_limit;
      struct memblock_type memory;
      struct memblock_type reserved;
    };

    enum e820_type {
      E820_TYPE_RAM = 1, E820_TYPE_RESERVED = 2, E820_TYPE_ACPI = 3, E820_TYPE_NVS = 4,
      E820_TYPE_UNUSABLE = 5,
      E820_TYPE_PMEM = 7, E820_TYPE_PRAM = 12, E820_TYPE_SOFT_RESERVED = 0xefffffff,
      E820_TYPE_RESERVED_KERN = 128
    };
    /* Packed: 20 bytes an entry, as in the zero page. */
    struct e820_entry { u64 addr; u64 size; enum e820_type type; } __packed;
    struct e820_table { u32 nr_entries; struct e820_entry entries[E820_MAX_ENTRIES]; } __packed;

    struct resource {
      resource_size_t start;
      resource_size_t end;
      const char *name;
      unsigned long flags;
      unsigned long desc;
      struct resource *parent, *sibling, *child;
    };

    struct pcpu_chunk {
      struct list_head list;
      int free_bytes;
      void *base_addr;
      unsigned long *alloc_map;
      unsigned long *bound_map;
      int start_offset;
      int nr_bits;
    };

    struct kmem_cache_order_objects { unsigned int x; };
    struct reciprocal_value { u32 m; u8 sh1, sh2; };
    struct kmem_cache_cpu {
      void **freelist;
      unsigned long tid;
      struct page *page;
      struct page *partial;
    };
    struct kmem_cache {
      struct kmem_cache_cpu *cpu_slab;
      slab_flags_t flags;
      unsigned long min_partial;
      unsigned int size;
      unsigned int object_size;
      struct reciprocal_value reciprocal_size;
      unsigned int offset;
      unsigned int cpu_partial;
      struct kmem_cache_order_objects oo;
      struct kmem_cache_order_objects max;
      struct kmem_cache_order_objects min;
      gfp_t allocflags;
      int refcount;
      void (*ctor)(void *);
      unsigned int inuse;
      unsigned int align;
      unsigned int red_left_pad;
      const char *name;
      struct list_head list;
      unsigned int remote_node_defrag_ratio;
      unsigned int *random_seq;
      unsigned int useroffset;
      unsigned int usersize;
      struct kmem_cache_node *node[MAX_NUMNODES];
    };
    struct kmem_cache_node {
      spinlock_t list_lock;
      unsigned long nr_partial;
      struct list_head partial;
      atomic_long_t nr_slabs;
      atomic_long_t total_objects;
      struct list_head full;
    };
    enum slab_state { DOWN, PARTIAL, PARTIAL_NODE, UP, FULL };

    struct xarray { spinlock_t xa_lock; gfp_t xa_flags; void *xa_head; };
    struct xa_node {
      unsigned char shift;
      unsigned char offset;
      unsigned char count;
      unsigned char nr_values;
      struct xa_node *parent;
      struct xarray *array;
      union { struct list_head private_list; struct callback_head rcu_head; };
      void *slots[XA_CHUNK_SIZE];
      union { unsigned long tags[3]; unsigned long marks[3]; };
    };
    /* By address, in vmap_area_root and vmap_area_list. */
    struct vmap_area {
      unsigned long va_start;
      unsigned long va_end;
      struct rb_node rb_node;
      struct list_head list;
      union { unsigned long subtree_max_size; struct vm_struct *vm; };
    };
    struct idr { struct xarray idr_rt; unsigned int idr_base; unsigned int idr_next; };
  `,
  page_aligned: `
    unsigned long swapper_pg_dir[512];
  `,
  data: `
    unsigned long page_offset_base;
    unsigned long vmalloc_base;
    unsigned long vmemmap_base;
    unsigned long __per_cpu_offset[CONFIG_NR_CPUS];
    unsigned int nr_node_ids;
    unsigned int nr_online_nodes;
    int movable_zone;
    int watermark_scale_factor;
    int user_min_free_kbytes;
    int sysctl_lowmem_reserve_ratio[__MAX_NR_ZONES];
    nodemask_t node_states[NR_NODE_STATES];
    struct list_head vmap_area_list;
  `,
  bss: `
    struct pglist_data *node_data[MAX_NUMNODES];
    struct mem_section **mem_section;
    unsigned long phys_base;
    unsigned long vmemmap_phys;
    unsigned long mem_map_start_phys;
    unsigned long mem_map_end_phys;
    unsigned long max_pfn;
    unsigned long max_low_pfn;
    unsigned long min_low_pfn;
    unsigned long long max_possible_pfn;
    void *high_memory;
    atomic_long_t _totalram_pages;
    unsigned long totalreserve_pages;
    unsigned long totalcma_pages;
    int min_free_kbytes;
    int page_group_by_mobility_disabled;
    unsigned int pageblock_order;
    atomic_long_t vm_zone_stat[NR_VM_ZONE_STAT_ITEMS] __aligned(64);
    atomic_long_t vm_node_stat[NR_VM_NODE_STAT_ITEMS] __aligned(64);
    unsigned long arch_zone_lowest_possible_pfn[__MAX_NR_ZONES];
    unsigned long arch_zone_highest_possible_pfn[__MAX_NR_ZONES];
    u64 shuffle_rand;
    u32 shuffle_rand_bits;

    struct memblock memblock;
    struct memblock_region memblock_memory_init_regions[INIT_MEMBLOCK_REGIONS - 96 * CONFIG_BASE_SMALL];
    struct memblock_region memblock_reserved_init_regions[INIT_MEMBLOCK_REGIONS - 96 * CONFIG_BASE_SMALL];

    struct e820_table e820_table_init;
    struct e820_table *e820_table;

    struct resource iomem_resource;
    rwlock_t resource_lock;
    struct resource ioport_resource;
    struct resource code_resource;
    struct resource rodata_resource;
    struct resource data_resource;
    struct resource bss_resource;
    struct resource *e820_res;

    struct pcpu_chunk *pcpu_first_chunk;
    void *pcpu_base_addr;
    int pcpu_unit_size;
    spinlock_t pcpu_lock;

    struct mutex oom_lock;
    enum slab_state slab_state;
    struct list_head slab_caches;
    struct mutex slab_mutex;
    struct kmem_cache *kmem_cache;
    struct kmem_cache *kmem_cache_node;
    struct kmem_cache boot_kmem_cache;
    struct kmem_cache boot_kmem_cache_node;
    struct kmem_cache *kmalloc_caches[KMALLOC_SHIFT_HIGH + 1];
    struct kmem_cache *radix_tree_node_cachep;
    unsigned int slub_max_order;
    unsigned int slub_min_objects;
  `,
  percpu: `
    unsigned long this_cpu_off;
    int cpu_number;
  `,
  aliases: { init_top_pgt: "swapper_pg_dir" },
  init: {
    page_offset_base: 0xffff888000000000n,
    vmalloc_base: 0xffffc90000000000n,
    vmemmap_base: 0xffffea0000000000n,
    nr_node_ids: 1,
    nr_online_nodes: 1,
    watermark_scale_factor: 10,
    user_min_free_kbytes: -1,
    movable_zone: 2,
    sysctl_lowmem_reserve_ratio: words([256, 256, 32, 0], 4),
    // N_POSSIBLE, N_ONLINE and N_CPU hold node 0 from the start; the memory states when its memory is known.
    node_states: words([1, 1, 0, 0, 1, 0], 8),
  },
  defines: {
    PAGE_SHIFT: 12,
    PAGE_SIZE: 4096,
    PAGE_MASK: -4096,
    PMD_SHIFT: 21,
    PUD_SHIFT: 30,
    PGDIR_SHIFT: 39,
    PTRS_PER_PTE: 512,
    PTRS_PER_PMD: 512,
    PTRS_PER_PUD: 512,
    PTRS_PER_PGD: 512,
    PMD_SIZE: "1 << PMD_SHIFT",
    PUD_SIZE: "1 << PUD_SHIFT",
    KERNEL_PGD_BOUNDARY: 256,
    PAGE_OFFSET: 0xffff888000000000n,
    VMALLOC_START: 0xffffc90000000000n,
    VMALLOC_END: 0xffffe8ffffffffffn,
    VMEMMAP_START: 0xffffea0000000000n,
    __START_KERNEL_map: 0xffffffff80000000n,
    __START_KERNEL: 0xffffffff80100000n,
    MODULES_VADDR: 0xffffffffa0000000n,
    MODULES_END: 0xffffffffff000000n,
    KERNEL_IMAGE_SIZE: 512 * 1024 * 1024,
    _PAGE_PRESENT: 0x1,
    _PAGE_RW: 0x2,
    _PAGE_USER: 0x4,
    _PAGE_ACCESSED: 0x20,
    _PAGE_DIRTY: 0x40,
    _PAGE_PSE: 0x80,
    _PAGE_GLOBAL: 0x100,
    _PAGE_NX: 0x8000000000000000n,
    PTE_PFN_MASK: 0x000ffffffffff000n,
    // Entries as the tools know them: table 0x63, large leaf 0x1e3, 4 KiB leaf 0x163.
    _KERNPG_TABLE: 0x63,
    _PAGE_TABLE: 0x67,
    __PAGE_KERNEL_LARGE_EXEC: 0x1e3,
    __PAGE_KERNEL_EXEC: 0x163,
    __PAGE_KERNEL: 0x8000000000000163n,
    __PAGE_KERNEL_RO: 0x8000000000000121n,
    __PAGE_KERNEL_ROX: 0x121,
    PROT_READ: 1,
    PROT_WRITE: 2,
    PROT_EXEC: 4,
    MAX_ORDER: 11,
    MAX_ORDER_NR_PAGES: "1 << (MAX_ORDER - 1)",
    PAGE_ALLOC_COSTLY_ORDER: 3,
    NODES_SHIFT: 1,
    MAX_NUMNODES: "1 << NODES_SHIFT",
    MAX_NR_ZONES: "__MAX_NR_ZONES",
    ZONES_SHIFT: 2,
    NODES_PGSHIFT: "64 - NODES_SHIFT",
    ZONES_PGSHIFT: "NODES_PGSHIFT - ZONES_SHIFT",
    PAGE_FLAGS_CHECK_AT_FREE:
      "(1 << PG_lru) | (1 << PG_locked) | (1 << PG_private) | (1 << PG_private_2) | (1 << PG_writeback) | " +
      "(1 << PG_reserved) | (1 << PG_slab) | (1 << PG_active) | (1 << PG_unevictable) | (1 << PG_mlocked)",
    PAGE_FLAGS_CHECK_AT_PREP: "((1 << __NR_PAGEFLAGS) - 1) & ~(1 << PG_hwpoison)",
    PG_head_mask: "1 << PG_head",
    PAGE_TYPE_BASE: 0xf0000000,
    PAGE_MAPCOUNT_RESERVE: -128,
    PG_buddy: 0x80,
    PG_offline: 0x100,
    PG_table: 0x200,
    PG_guard: 0x400,
    PAGE_BUDDY_MAPCOUNT_VALUE: "~PG_buddy",
    PAGE_OFFLINE_MAPCOUNT_VALUE: "~PG_offline",
    AS_UNEVICTABLE: 3,
    PAGE_MAPPING_ANON: 1,
    PAGE_MAPPING_MOVABLE: 2,
    SECTION_SIZE_BITS: 27,
    MAX_PHYSMEM_BITS: 46,
    SECTIONS_SHIFT: "MAX_PHYSMEM_BITS - SECTION_SIZE_BITS",
    NR_MEM_SECTIONS: "1 << SECTIONS_SHIFT",
    PFN_SECTION_SHIFT: "SECTION_SIZE_BITS - PAGE_SHIFT",
    PAGES_PER_SECTION: "1 << PFN_SECTION_SHIFT",
    SUBSECTION_SHIFT: 21,
    PFN_SUBSECTION_SHIFT: "SUBSECTION_SHIFT - PAGE_SHIFT",
    SECTIONS_PER_ROOT: "PAGE_SIZE / sizeof(struct mem_section)",
    NR_SECTION_ROOTS: "NR_MEM_SECTIONS / SECTIONS_PER_ROOT",
    SECTION_MARKED_PRESENT: 1,
    SECTION_HAS_MEM_MAP: 2,
    SECTION_IS_ONLINE: 4,
    SECTION_IS_EARLY: 8,
    SECTION_MAP_LAST_BIT: 0x20,
    PAGEBLOCK_ORDER: 9,
    PAGEBLOCK_NR_PAGES: "1 << PAGEBLOCK_ORDER",
    SHUFFLE_ORDER: "MAX_ORDER - 1",
    __GFP_DMA: 0x1,
    __GFP_HIGHMEM: 0x2,
    __GFP_DMA32: 0x4,
    __GFP_MOVABLE: 0x8,
    __GFP_RECLAIMABLE: 0x10,
    __GFP_HIGH: 0x20,
    __GFP_IO: 0x40,
    __GFP_FS: 0x80,
    __GFP_ZERO: 0x100,
    __GFP_ATOMIC: 0x200,
    __GFP_DIRECT_RECLAIM: 0x400,
    __GFP_KSWAPD_RECLAIM: 0x800,
    __GFP_RECLAIM: 0xc00,
    __GFP_WRITE: 0x1000,
    __GFP_NOWARN: 0x2000,
    __GFP_RETRY_MAYFAIL: 0x4000,
    __GFP_NOFAIL: 0x8000,
    __GFP_NORETRY: 0x10000,
    __GFP_MEMALLOC: 0x20000,
    __GFP_COMP: 0x40000,
    __GFP_NOMEMALLOC: 0x80000,
    __GFP_HARDWALL: 0x100000,
    __GFP_THISNODE: 0x200000,
    __GFP_ACCOUNT: 0x400000,
    __GFP_BITS_SHIFT: 25,
    GFP_ATOMIC: "__GFP_HIGH | __GFP_ATOMIC | __GFP_KSWAPD_RECLAIM",
    GFP_KERNEL: "__GFP_RECLAIM | __GFP_IO | __GFP_FS",
    GFP_KERNEL_ACCOUNT: "GFP_KERNEL | __GFP_ACCOUNT",
    GFP_NOWAIT: "__GFP_KSWAPD_RECLAIM",
    GFP_NOIO: "__GFP_RECLAIM",
    GFP_NOFS: "__GFP_RECLAIM | __GFP_IO",
    GFP_USER: "GFP_KERNEL | __GFP_HARDWALL",
    GFP_HIGHUSER: "GFP_USER | __GFP_HIGHMEM",
    GFP_HIGHUSER_MOVABLE: "GFP_HIGHUSER | __GFP_MOVABLE",
    GFP_MOVABLE_SHIFT: 3,
    INIT_MEMBLOCK_REGIONS: 128,
    MEMBLOCK_ALLOC_ACCESSIBLE: 0,
    NUMA_NO_NODE: -1,
    E820_MAX_ENTRIES: 64,
    BIOS_BEGIN: 0xa0000,
    BIOS_END: 0x100000,
    ISA_END_ADDRESS: 0x100000,
    MAX_DMA_PFN: "0x1000000 >> PAGE_SHIFT",
    MAX_DMA32_PFN: "0x100000000 >> PAGE_SHIFT",
    IORESOURCE_IO: 0x100,
    IORESOURCE_MEM: 0x200,
    IORESOURCE_SYSRAM: 0x1000000,
    IORESOURCE_SYSTEM_RAM: "IORESOURCE_MEM | IORESOURCE_SYSRAM",
    IORESOURCE_BUSY: 0x80000000,
    IORES_DESC_NONE: 0,
    IORES_DESC_CRASH_KERNEL: 1,
    IORES_DESC_ACPI_TABLES: 2,
    IORES_DESC_ACPI_NV_STORAGE: 3,
    IORES_DESC_RESERVED: 7,
    PERCPU_DYNAMIC_RESERVE: 8192,
    PCPU_MIN_ALLOC_SHIFT: 3,
    PCPU_MIN_ALLOC_SIZE: "1 << PCPU_MIN_ALLOC_SHIFT",
    KMALLOC_SHIFT_LOW: "3 + 3 * CONFIG_BASE_SMALL",
    KMALLOC_SHIFT_HIGH: "PAGE_SHIFT + 1",
    KMALLOC_MIN_SIZE: "1 << KMALLOC_SHIFT_LOW",
    KMALLOC_MAX_CACHE_SIZE: "1 << KMALLOC_SHIFT_HIGH",
    KMALLOC_MAX_SIZE: "1 << (MAX_ORDER + PAGE_SHIFT - 1)",
    ARCH_KMALLOC_MINALIGN: 8,
    SLAB_HWCACHE_ALIGN: 0x2000,
    SLAB_PANIC: 0x40000,
    SLAB_TYPESAFE_BY_RCU: 0x80000,
    SLAB_RECLAIM_ACCOUNT: 0x20000,
    SLAB_ACCOUNT: 0x4000000,
    OO_SHIFT: 16,
    OO_MASK: "(1 << OO_SHIFT) - 1",
    MAX_OBJS_PER_PAGE: 32767,
    MIN_PARTIAL: 5,
    MAX_PARTIAL: 10,
    TID_STEP: "CONFIG_NR_CPUS",
    XA_CHUNK_SHIFT: 6,
    XA_CHUNK_SIZE: "1 << XA_CHUNK_SHIFT",
    XA_CHUNK_MASK: "XA_CHUNK_SIZE - 1",
    XA_MAX_MARKS: 3,
    ROOT_IS_IDR: 4,
    IDR_FREE: 0,
    ROOT_TAG_SHIFT: "__GFP_BITS_SHIFT",
    IDR_RT_MARKER: "ROOT_IS_IDR | (1 << (ROOT_TAG_SHIFT + IDR_FREE))",
    LIST_POISON1: 0xdead000000000100n,
    LIST_POISON2: 0xdead000000000122n,
  },
  backtrace: [
    "__alloc_pages",
    "kmem_cache_alloc",
    "__kmalloc",
    "kfree",
    "bad_page",
    "warn_alloc",
  ],
});

/** A table of little-endian integers, `width` bytes each. */
function words(values: number[], width: number): Uint8Array {
  const bytes = new Uint8Array(values.length * width);
  const view = new DataView(bytes.buffer);
  values.forEach((v, i) => view.setUint32(i * width, v, true));
  return bytes;
}
