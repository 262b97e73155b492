/** Shared memory without a file (mm/shmem.c). */
import { abi } from "./dsl.ts";

export default abi({
  structs: "",
  bss: `
    struct file_system_type shmem_fs_type;
    struct vfsmount *shm_mnt;
    struct address_space_operations shmem_aops;
    struct file_operations shmem_file_operations;
  `,
  defines: { TMPFS_MAGIC: 0x01021994 },
  targets: ["production"],
});
