/**
 * Block devices and their page cache (include/linux/{blk_types,genhd,buffer_head}.h, drivers/block/brd.c). A
 * page of a block device's cache carries PG_private and a ring of buffer heads, one a block.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct block_device {
      u64 bd_start_sect;
      bool bd_read_only;
      dev_t bd_dev;
      int bd_openers;
      struct inode *bd_inode;
      struct super_block *bd_super;
      void *bd_holder;
      int bd_holders;
      u8 bd_partno;
      struct gendisk *bd_disk;
    };
    /* A block device is the inode of the file system "bdev" that holds its page cache. */
    struct bdev_inode { struct block_device bdev; struct inode vfs_inode; };
    struct block_device_operations {
      /* one block of a page: sector, physical address of the data, bytes, write? */
      int (*rw_block)(struct block_device *, u64 sector, void *data, u32 bytes, int write);
    };
    struct gendisk {
      int major;
      int first_minor;
      int minors;
      char disk_name[32];
      struct block_device *part0;
      const struct block_device_operations *fops;
      void *private_data;
      struct list_head list;
    };

    enum bh_state_bits {
      BH_Uptodate, BH_Dirty, BH_Lock, BH_Req, BH_Mapped, BH_New, BH_Async_Read, BH_Async_Write, BH_Delay,
      BH_Boundary, BH_Write_EIO, BH_Unwritten, BH_Quiet, BH_Meta, BH_Prio, BH_Defer_Completion,
      BH_PrivateStart
    };
    struct buffer_head {
      unsigned long b_state;
      struct buffer_head *b_this_page;
      struct page *b_page;
      u64 b_blocknr;
      size_t b_size;
      char *b_data;
      struct block_device *b_bdev;
      void (*b_end_io)(struct buffer_head *, int uptodate);
      void *b_private;
      struct list_head b_assoc_buffers;
      struct address_space *b_assoc_map;
      atomic_t b_count;
      spinlock_t b_uptodate_lock;
    };

    struct brd_device {
      int brd_number;
      struct gendisk *brd_disk;
      struct list_head brd_list;
      spinlock_t brd_lock;
      struct xarray brd_pages;
      u64 brd_nr_pages;
    };
  `,
  data: `
    int rd_nr;
    unsigned long rd_size;
  `,
  bss: `
    struct kmem_cache *bh_cachep;
    struct kmem_cache *bdev_cachep;
    struct file_system_type bd_type;
    struct address_space_operations def_blk_aops;
    struct file_operations def_blk_fops, urandom_fops;
    struct block_device_operations brd_fops;
    struct list_head block_disks;
    struct list_head brd_devices;
  `,
  init: { rd_nr: 2, rd_size: 16384 },
  defines: {
    SECTOR_SHIFT: 9,
    RAMDISK_MAJOR: 1,
    BDEVFS_MAGIC: 0x62646576,
  },
  backtrace: ["blkdev_write_iter", "__sync_blockdev"],
  targets: ["production"],
});
