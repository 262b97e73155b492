/** Majors of block devices, and /proc/partitions (block/genhd.c). */
import {
  BLKDEV_MAJOR_HASH_SIZE,
  BLKDEV_MAJOR_MAX,
  EBUSY,
  EINVAL,
  ENOMEM,
  GFP_KERNEL,
} from "../include/generated/constants";
import { blk_major_name, gendisk, seq_file } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { seq_printf, seq_puts } from "../fs/seq_file";
import { list_is_head } from "../lib/list";
import { strscpy } from "../lib/string";
import { kzalloc } from "../mm/slub";

/** `name` takes a major number; it is what /proc/devices shows. */
export function register_blkdev(major: u32, name: usize): i32 {
  if (major == 0 || major >= BLKDEV_MAJOR_MAX) return -EINVAL;
  const index = major % BLKDEV_MAJOR_HASH_SIZE;
  for (let p = sym.major_names[index]; !isnull(p); p = p.next) if (<u32>p.major == major) return -EBUSY;
  const p = changetype<blk_major_name>(kzalloc(blk_major_name.SIZE, GFP_KERNEL));
  if (isnull(p)) return -ENOMEM;
  p.major = major;
  strscpy(p.name, name, 16);
  p.next_va = sym.major_names.va(index);
  sym.major_names[index] = p;
  return 0;
}

/** /proc/partitions: whole disks that have a size; nobody cuts them into partitions. */
export function show_partition(m: seq_file, v: usize): i32 {
  seq_puts(m, c`major minor  #blocks  name\n\n`);
  const head = sym.block_disks;
  if (head.next_va == 0) return 0;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const disk = gendisk.from_list(at);
    const size = disk.part0.bd_inode.i_size;
    if (size == 0) continue;
    seq_printf(m, c`%4d  %7d %10llu %s\n`, disk.major, disk.first_minor, size >> 10, disk.disk_name);
  }
  return 0;
}
