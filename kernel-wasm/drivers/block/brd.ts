/**
 * RAM disks (drivers/block/brd.c): /dev/ram0 and on, rd_nr of them, rd_size KiB each (ramdisk_size=). A page
 * of a disk exists once something was written there; the rest reads as zeros.
 */
import {
  GFP_NOIO,
  ENOMEM,
  GFP_KERNEL,
  PAGE_SHIFT,
  PAGE_SIZE,
  RAMDISK_MAJOR,
  SECTOR_SHIFT,
  __GFP_HIGHMEM,
  __GFP_ZERO,
} from "../../include/generated/constants";
import { block_device, brd_device, gendisk, page } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { register_blkdev } from "../../block/genhd";
import { add_disk, bdev_cache_init } from "../../fs/buffer/bdev";
import { pr_info } from "../../kernel/printk/printk";
import { spin_lock, spin_lock_init, spin_unlock } from "../../kernel/locking/spinlock";
import { INIT_LIST_HEAD, list_add_tail } from "../../lib/list";
import { snprintf } from "../../lib/vsprintf";
import { xa_init_flags, xa_load, xa_store } from "../../lib/xarray";
import { page_to_phys } from "../../mm/page";
import { alloc_page, put_page } from "../../mm/page_alloc";
import { kzalloc } from "../../mm/slub";

const NAME_SIZE: u32 = 32;
const PAGE_SECTORS_SHIFT = PAGE_SHIFT - SECTOR_SHIFT;

/** Pages of a disk are added, never removed: brd_lock is for the tree alone. */
function brd_lookup_page(brd: brd_device, sector: u64): page {
  spin_lock(brd.brd_lock);
  const p = changetype<page>(pa(xa_load(brd.brd_pages, sector >> PAGE_SECTORS_SHIFT)));
  spin_unlock(brd.brd_lock);
  return p;
}

function brd_insert_page(brd: brd_device, sector: u64): page {
  const found = brd_lookup_page(brd, sector);
  if (!isnull(found)) return found;
  const p = alloc_page(GFP_NOIO | __GFP_ZERO | __GFP_HIGHMEM);
  if (isnull(p)) return p;
  p.index = sector >> PAGE_SECTORS_SHIFT;
  spin_lock(brd.brd_lock);
  // Another CPU may have been faster.
  let in_tree = changetype<page>(pa(xa_load(brd.brd_pages, p.index)));
  if (isnull(in_tree) && xa_store(brd.brd_pages, p.index, va(changetype<usize>(p))) == 0) {
    brd.brd_nr_pages += 1;
    in_tree = p;
  }
  spin_unlock(brd.brd_lock);
  if (in_tree != p) put_page(p);
  return in_tree;
}

/** One block, which lies within a page. */
export function brd_rw_block(bdev: block_device, sector: u64, data: usize, bytes: u32, write: i32): i32 {
  const brd = changetype<brd_device>(bdev.bd_disk.private_data);
  const within = <usize>(sector << SECTOR_SHIFT) & (PAGE_SIZE - 1);
  const p = write ? brd_insert_page(brd, sector) : brd_lookup_page(brd, sector);
  if (write) {
    if (isnull(p)) return -ENOMEM;
    memory.copy(page_to_phys(p) + within, data, bytes);
  } else if (isnull(p)) {
    memory.fill(data, 0, bytes);
  } else {
    memory.copy(data, page_to_phys(p) + within, bytes);
  }
  return 0;
}

function brd_alloc(number: i32): i32 {
  const brd = changetype<brd_device>(kzalloc(brd_device.SIZE, GFP_KERNEL));
  const disk = changetype<gendisk>(kzalloc(gendisk.SIZE, GFP_KERNEL));
  if (isnull(brd) || isnull(disk)) return -ENOMEM;
  brd.brd_number = number;
  brd.brd_disk = disk;
  spin_lock_init(brd.brd_lock);
  xa_init_flags(brd.brd_pages, 0);
  list_add_tail(brd.brd_list, sym.brd_devices);
  disk.major = RAMDISK_MAJOR;
  disk.first_minor = number;
  disk.minors = 1;
  disk.fops = sym.brd_fops;
  disk.private_data = changetype<usize>(brd);
  snprintf(disk.disk_name, NAME_SIZE, c`ram%d`, number);
  return add_disk(disk, sym.rd_size << 10);
}

/** device_initcall */
export function brd_init(): i32 {
  const taken = register_blkdev(RAMDISK_MAJOR, c`ramdisk`);
  if (taken) return taken;
  bdev_cache_init();
  INIT_LIST_HEAD(sym.brd_devices);
  sym.brd_fops.rw_block = fnptr(brd_rw_block);
  for (let i = 0; i < sym.rd_nr; i++) {
    const err = brd_alloc(i);
    if (err) return err;
  }
  pr_info(c`brd: module loaded\n`);
  return 0;
}
