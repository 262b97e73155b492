/** debugfs: its one superblock and the operations of its directories. */
import { abi } from "./dsl.ts";

export default abi({
  targets: ["production"],
  bss: `
    struct file_system_type debug_fs_type;
    struct super_block *debugfs_sb;
    struct inode_operations debugfs_dir_inode_operations;
  `,
  defines: { DEBUGFS_MAGIC: 0x64626720 },
});
