/** /proc/devices, filesystems, swaps: what drivers and file systems have registered. */
import {
  BLKDEV_MAJOR_HASH_SIZE,
  CHRDEV_MAJOR_HASH_SIZE,
  FS_REQUIRES_DEV,
  PAGE_SHIFT,
  SWP_USED,
} from "../../include/generated/constants";
import { seq_file } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { S_ISREG } from "../inode";
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

/** A line for each area that is in use. */
export function swaps_proc_show(m: seq_file, v: usize): i32 {
  seq_puts(m, c`Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n`);
  for (let i: usize = 0; i < sym.nr_swapfiles; i++) {
    const si = sym.swap_info[i];
    if (isnull(si) || (si.flags & SWP_USED) == 0) continue;
    const kind = S_ISREG(si.swap_file.f_inode.i_mode) ? c`file` : c`partition`;
    const name = si.swap_file.f_path.dentry.d_name.name;
    seq_printf(
      m, c`%-40s%s\t%u\t\t%u\t\t%d\n`, name, kind, si.pages << (PAGE_SHIFT - 10),
      si.inuse_pages << (PAGE_SHIFT - 10), si.prio,
    );
  }
  return 0;
}
