/**
 * hostfs: the host's directory as a file system. The kernel writes a request into memory and rings the
 * doorbell with its physical address; the device completes it, moving file data by DMA, before the doorbell
 * returns.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct hostfs_extent { u64 addr; u64 len; };        /* physical */
    struct hostfs_req {
      u32 op;                 /*  0 enum hostfs_op */
      s32 result;             /*  4 negative errno, or what the operation returns */
      u32 handle;             /*  8 of an open file */
      u32 flags;              /* 12 OPEN: O_*; RENAME: HOSTFS_RENAME_NOREPLACE */
      u64 offset;             /* 16 in the file */
      u64 size;               /* 24 bytes moved; STAT: the file's size */
      u64 path;               /* 32 physical address, NUL-terminated, relative to the host's directory */
      u64 path2;              /* 40 */
      u64 extents;            /* 48 physical address of struct hostfs_extent[] */
      u32 nr_extents;         /* 56 */
      u32 mode;               /* 60 st_mode */
    };
    enum hostfs_op {
      HOSTFS_OPEN = 1,
      HOSTFS_CLOSE = 2,
      HOSTFS_WRITE = 3,
      HOSTFS_READ = 4,
      HOSTFS_FSYNC = 5,
      HOSTFS_RENAME = 6,
      HOSTFS_MKDIR = 7,
      HOSTFS_STAT = 8,
      HOSTFS_UNLINK = 9,
      HOSTFS_FSYNCDIR = 10
    };
  `,
  bss: `
    struct mutex hostfs_mutex;                /* the request, the bounce extent and the paths */
    struct hostfs_req hostfs_req;
    struct hostfs_extent hostfs_bounce;       /* the page that small reads and writes go through */
    char hostfs_path[HOSTFS_PATH_MAX];
    char hostfs_path2[HOSTFS_PATH_MAX];
    struct file_system_type hostfs_fs_type;
    struct inode_operations hostfs_dir_inode_operations, hostfs_file_inode_operations;
    struct file_operations hostfs_file_operations, hostfs_dir_operations;
  `,
  defines: {
    HOSTFS_RENAME_NOREPLACE: 1,
    HOSTFS_EXTENTS_MAX: 256,
    HOSTFS_PATH_MAX: 256,
    HOSTFS_MAGIC: 0x00c0ffee,
  },
});
