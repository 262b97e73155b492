/** Drivers' registrations: block majors (block/genhd.c) and swap areas (include/linux/swap.h). */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct blk_major_name {
      struct blk_major_name *next;
      int major;
      char name[16];
      void (*probe)(dev_t devt);
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
      struct block_device *bdev;
      struct file *swap_file;
      unsigned int old_block_size;
    };
  `,
  bss: `
    struct blk_major_name *major_names[BLKDEV_MAJOR_HASH_SIZE];
    struct swap_info_struct *swap_info[MAX_SWAPFILES];
    unsigned int nr_swapfiles;
    atomic_long_t nr_swap_pages;
    long total_swap_pages;
  `,
  defines: {
    BLKDEV_MAJOR_HASH_SIZE: 255,
    BLKDEV_MAJOR_MAX: 512,
    FS_REQUIRES_DEV: 1,
    MAX_SWAPFILES: 27,
    SWP_USED: 1,
  },
  targets: ["production"],
});
