/**
 * Pages to and from swap areas (mm/page_io.c). The device is memory and answers at once: there is no
 * writeback under way when these return.
 */
import {
  MINORBITS,
  PAGE_SHIFT,
  PAGE_SIZE,
  PGPGIN,
  PGPGOUT,
  PG_dirty,
  PG_error,
  PSWPIN,
  PSWPOUT,
  SECTOR_SHIFT,
} from "../include/generated/constants";
import { page } from "../include/generated/structs";
import { pr_alert } from "../kernel/printk/printk";
import { clear_page_flag, page_to_phys, set_page_flag } from "./page";
import { swap_info_of, try_to_free_swap } from "./swapfile";
import { swp_offset } from "./swapops";
import { count_vm_event, count_vm_events } from "./vm_event";

const PAGE_SECTORS: u64 = PAGE_SIZE >> SECTOR_SHIFT;
const PAGE_SECTORS_SHIFT: u64 = PAGE_SHIFT - SECTOR_SHIFT;

/** Moves a page of the swap cache to or from its place. */
function swap_rw_page(p: page, write: bool): i32 {
  const entry = p.private_;
  const bdev = swap_info_of(entry).bdev;
  const sector = <u64>swp_offset(entry) << PAGE_SECTORS_SHIFT;
  count_vm_event(write ? PSWPOUT : PSWPIN);
  count_vm_events(write ? PGPGOUT : PGPGIN, PAGE_SECTORS);
  const fn = text_index(bdev.bd_disk.fops.rw_block);
  const err = call_indirect<i32>(fn, bdev, sector, page_to_phys(p), <u32>PAGE_SIZE, write ? 1 : 0);
  if (err) {
    const what = write ? c`Write` : c`Read`;
    const minor = bdev.bd_dev & ((1 << MINORBITS) - 1);
    pr_alert(c`%s-error on swap-device (%u:%u:%llu)\n`, what, bdev.bd_dev >> MINORBITS, minor, sector);
  }
  return err;
}

/** Writes a dirty page of the swap cache out, unless nobody needs its place any more. With its lock. */
export function swap_writepage(p: page): i32 {
  if (try_to_free_swap(p)) return 0;
  clear_page_flag(p, PG_dirty);
  const err = swap_rw_page(p, true);
  if (!err) return 0;
  // Its contents are nowhere else.
  set_page_flag(p, PG_error);
  set_page_flag(p, PG_dirty);
  return err;
}

export function swap_readpage(p: page): i32 {
  return swap_rw_page(p, false);
}
