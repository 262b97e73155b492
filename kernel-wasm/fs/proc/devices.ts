/** /proc/devices, filesystems: what drivers and file systems have registered. */
import {
  BLKDEV_MAJOR_HASH_SIZE,
  CHRDEV_MAJOR_HASH_SIZE,
  FS_REQUIRES_DEV,
} from "../../include/generated/constants";
import { seq_file } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { seq_printf, seq_puts } from "../seq_file";

export function devinfo_show(m: seq_file, v: usize): i32 {
  seq_puts(m, c`Character devices:\n`);
  for (let i: usize = 0; i < CHRDEV_MAJOR_HASH_SIZE; i++) {
    for (let cd = sym.chrdevs[i]; !isnull(cd); cd = cd.next) seq_printf(m, c`%3d %s\n`, cd.major, cd.name);
  }
  seq_puts(m, c`\nBlock devices:\n`);
  for (let i: usize = 0; i < BLKDEV_MAJOR_HASH_SIZE; i++) {
    for (let dp = sym.major_names[i]; !isnull(dp); dp = dp.next) {
      seq_printf(m, c`%3d %s\n`, dp.major, dp.name);
    }
  }
  return 0;
}

export function filesystems_proc_show(m: seq_file, v: usize): i32 {
  for (let type = sym.file_systems; !isnull(type); type = type.next) {
    seq_printf(m, c`%s\t%s\n`, type.fs_flags & FS_REQUIRES_DEV ? c`` : c`nodev`, type.name);
  }
  return 0;
}
