/**
 * Memory that is out of the page allocator's hands: huge pages (include/linux/hugetlb.h), poisoned pages and
 * the balloon (drivers/virtio/virtio_balloon.c, include/linux/balloon_compaction.h).
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct hstate {
      struct mutex resize_lock;
      int next_nid_to_alloc;
      int next_nid_to_free;
      unsigned int order;
      unsigned long mask;
      unsigned long max_huge_pages;
      unsigned long nr_huge_pages;
      unsigned long free_huge_pages;
      unsigned long resv_huge_pages;
      unsigned long surplus_huge_pages;
      unsigned long nr_overcommit_huge_pages;
      struct list_head hugepage_activelist;
      struct list_head hugepage_freelists[MAX_NUMNODES];
      unsigned int nr_huge_pages_node[MAX_NUMNODES];
      unsigned int free_huge_pages_node[MAX_NUMNODES];
      unsigned int surplus_huge_pages_node[MAX_NUMNODES];
      char name[32];
    };
    struct balloon_dev_info { unsigned long isolated_pages; spinlock_t pages_lock; struct list_head pages; };
    struct virtio_balloon {
      struct mutex balloon_lock;
      unsigned int num_pages;        /* inflated, in pages of 4 KiB */
      unsigned int target;           /* what the host wants: config.num_pages */
      struct balloon_dev_info vb_dev_info;
    };
  `,
  data: `
    struct hstate hstates[1];
  `,
  bss: `
    int hugetlb_max_hstate;
    spinlock_t hugetlb_lock;
    struct mutex mf_mutex;
    unsigned int default_hstate_idx;
    unsigned long default_hstate_max_huge_pages;
    u64 mm_sysfs_value;
    atomic_long_t num_poisoned_pages;
    struct virtio_balloon virtio_balloon;
  `,
  defines: {
    HUGETLB_PAGE_ORDER: "PMD_SHIFT - PAGE_SHIFT",
    HPAGE_SIZE: "1 << PMD_SHIFT",
  },
  backtrace: ["memory_failure"],
  targets: ["production"],
});
