/**
 * Swap areas, swap entries and reclaim (include/linux/{swap,swapops}.h, mm/{swapfile,swap_state,vmscan}.c).
 *
 * A swap entry is type << SWP_TYPE_SHIFT | offset, the type being the area's index in swap_info. Its form in
 * a page table is x86_64's: the type in the top bits, the offset inverted below, bit 0 (present) clear.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    union swap_header {
      struct { char reserved[4096 - 10]; char magic[10]; } magic;
      struct {
        char bootbits[1024];
        u32 version;
        u32 last_page;
        u32 nr_badpages;
        unsigned char sws_uuid[16];
        unsigned char sws_volume[16];
        u32 padding[117];
        u32 badpages[1];
      } info;
    };
    struct swap_info_struct {
      unsigned long flags;
      signed short prio;
      signed char type;
      unsigned int max;
      unsigned char *swap_map;
      unsigned int lowest_bit, highest_bit;
      unsigned int pages;
      unsigned int inuse_pages;
      unsigned int cluster_next;
      struct block_device *bdev;
      struct file *swap_file;
      unsigned int old_block_size;
      spinlock_t lock;
    };
    /* What one run of reclaim is to do and has done. */
    struct scan_control {
      unsigned long nr_to_reclaim;
      unsigned long nr_scanned;
      unsigned long nr_reclaimed;
      gfp_t gfp_mask;
      signed char order;
      signed char priority;
      signed char reclaim_idx;
    };
  `,
  data: `
    int vm_swappiness;
    int least_priority;
  `,
  bss: `
    struct swap_info_struct *swap_info[MAX_SWAPFILES];
    unsigned int nr_swapfiles;
    atomic_long_t nr_swap_pages;
    long total_swap_pages;
    spinlock_t swap_lock;
    struct mutex swapon_mutex;
    int swapoff_pid;
    struct address_space *swapper_spaces[MAX_SWAPFILES];
    unsigned int nr_swapper_spaces[MAX_SWAPFILES];
  `,
  percpu: `
    struct scan_control scan_control;
  `,
  init: { vm_swappiness: 60, least_priority: -1 },
  defines: {
    MAX_SWAPFILES_SHIFT: 5,
    // Two types are for migration, one for poisoned pages.
    MAX_SWAPFILES: "(1 << MAX_SWAPFILES_SHIFT) - 2 - 1",
    SWP_TYPE_SHIFT: "63 - MAX_SWAPFILES_SHIFT",
    SWP_TYPE_BITS: 5,
    SWP_OFFSET_FIRST_BIT: 9,
    SWP_OFFSET_SHIFT: "SWP_OFFSET_FIRST_BIT + SWP_TYPE_BITS",
    SWAP_ADDRESS_SPACE_SHIFT: 14,
    SWAP_ADDRESS_SPACE_PAGES: "1 << SWAP_ADDRESS_SPACE_SHIFT",
    SWAP_CLUSTER_MAX: 32,
    SWAP_MAP_MAX: 0x3e,
    SWAP_MAP_BAD: 0x3f,
    SWAP_HAS_CACHE: 0x40,
    SWAP_FLAG_PREFER: 0x8000,
    SWAP_FLAG_PRIO_MASK: 0x7fff,
    SWAP_FLAG_DISCARD: 0x10000,
    SWAP_FLAG_DISCARD_ONCE: 0x20000,
    SWAP_FLAG_DISCARD_PAGES: 0x40000,
    SWAP_FLAGS_VALID:
      "SWAP_FLAG_PRIO_MASK | SWAP_FLAG_PREFER | SWAP_FLAG_DISCARD | SWAP_FLAG_DISCARD_ONCE | " +
      "SWAP_FLAG_DISCARD_PAGES",
    SWP_USED: 0x1,
    SWP_WRITEOK: 0x2,
    SWP_SOLIDSTATE: 0x10,
    SWP_BLKDEV: 0x40,
    DEF_PRIORITY: 12,
    MAX_RECLAIM_RETRIES: 16,
    __NR_swapon: 167,
    __NR_swapoff: 168,
  },
  backtrace: [
    "kswapd",
    "balance_pgdat",
    "try_to_free_pages",
    "shrink_node",
    "shrink_page",
    "swap_writepage",
    "do_swap_page",
    "__x64_sys_swapon",
    "__x64_sys_swapoff",
  ],
  targets: ["production"],
});
