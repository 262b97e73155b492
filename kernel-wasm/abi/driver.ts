/** Drivers' registrations: block majors (block/genhd.c). */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct blk_major_name {
      struct blk_major_name *next;
      int major;
      char name[16];
      void (*probe)(dev_t devt);
    };
  `,
  bss: `
    struct blk_major_name *major_names[BLKDEV_MAJOR_HASH_SIZE];
  `,
  defines: {
    BLKDEV_MAJOR_HASH_SIZE: 255,
    BLKDEV_MAJOR_MAX: 512,
    FS_REQUIRES_DEV: 1,
  },
  targets: ["production"],
});
