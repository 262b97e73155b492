/**
 * swapon(2), swapoff(2) and /proc/swaps (mm/swapfile.c). Swap areas are block devices; there is nobody who
 * may not, as all programs run as root. Errors: EINVAL for what is no swap area, or none any more; EBUSY for
 * one that is in use; ENOMEM for a swapoff whose pages memory has no room for.
 */
import {
  EBUSY,
  EINVAL,
  ENOMEM,
  EPERM,
  GFP_KERNEL,
  MAX_SWAPFILES,
  O_RDWR,
  PAGE_SHIFT,
  PAGE_SIZE,
  SWAP_FLAGS_VALID,
  SWAP_FLAG_PREFER,
  SWAP_FLAG_PRIO_MASK,
  SWAP_MAP_BAD,
  SWP_BLKDEV,
  SWP_SOLIDSTATE,
  SWP_USED,
  SWP_WRITEOK,
  S_IFBLK,
  S_IFMT,
} from "../include/generated/constants";
import { block_device, file, seq_file, swap_header, swap_info_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { IS_ERR, PTR_ERR } from "../include/err";
import { get_current } from "../arch/kernel/current";
import { blkdev_get_no_open, set_blocksize } from "../fs/buffer/bdev";
import { d_path } from "../fs/d_path";
import { fput } from "../fs/file_table";
import { getname, putname } from "../fs/namei";
import { filp_open } from "../fs/open";
import { seq_printf, seq_puts } from "../fs/seq_file";
import { mutex_init, mutex_lock, mutex_unlock } from "../kernel/locking/mutex";
import { spin_lock, spin_lock_init, spin_unlock } from "../kernel/locking/spinlock";
import { pr_err, pr_info, pr_warn } from "../kernel/printk/printk";
import { atomic_long_add, atomic_long_sub } from "../lib/atomic";
import { strlen, strncmp } from "../lib/string";
import { __vm_enough_memory } from "./overcommit";
import { __get_free_page, alloc_pages_exact, free_page, free_pages_exact } from "./page_alloc";
import { kzalloc } from "./slub";
import { exit_swap_address_space, init_swap_address_space } from "./swap_state";
import { try_to_unuse } from "./swap_unuse";

const MAGIC_SIZE: usize = 10;
const KB_SHIFT: u32 = PAGE_SHIFT - 10;
/** Where /proc/swaps has the type. */
const TYPE_COLUMN: i32 = 40;

/** A file's device, if it is one. */
function device_of(filp: file): block_device {
  const node = filp.f_inode;
  if ((node.i_mode & S_IFMT) != S_IFBLK) return changetype<block_device>(0);
  return blkdev_get_no_open(node.i_rdev);
}

function same_device(si: swap_info_struct, bdev: block_device): bool {
  return (si.flags & SWP_USED) != 0 && changetype<usize>(si.bdev) == changetype<usize>(bdev);
}

/** The area on a device that is in use, or null. With swapon_mutex. */
function find_area(bdev: block_device): swap_info_struct {
  for (let type: u32 = 0; type < sym.nr_swapfiles; type++) {
    if (same_device(sym.swap_info[type], bdev)) return sym.swap_info[type];
  }
  return changetype<swap_info_struct>(0);
}

/** A free number and its struct; null: there are too many areas, or no memory. With swapon_mutex. */
function alloc_swap_info(): swap_info_struct {
  let type: u32 = 0;
  while (type < sym.nr_swapfiles && sym.swap_info[type].flags & SWP_USED) type++;
  if (type < sym.nr_swapfiles) return sym.swap_info[type];
  const si = changetype<swap_info_struct>(kzalloc(swap_info_struct.SIZE, GFP_KERNEL));
  if (isnull(si)) return si;
  spin_lock_init(si.lock);
  si.type = <i8>type;
  sym.swap_info[type] = si;
  sym.nr_swapfiles = type + 1;
  return si;
}

/** Pages of the area with its header, 0 for what is none: says why. `header` is its first page. */
function read_swap_header(header: swap_header, device_pages: u64): u32 {
  if (strncmp(header.magic.magic, c`SWAPSPACE2`, MAGIC_SIZE) != 0) {
    pr_err(c`Unable to find swap-space signature\n`);
    return 0;
  }
  const info = header.info;
  if (info.version != 1) {
    pr_warn(c`Unable to handle swap header version %d\n`, info.version);
    return 0;
  }
  const last = <u64>info.last_page;
  if (last == 0) {
    pr_warn(c`Empty swap-file\n`);
    return 0;
  }
  if (last >= device_pages) {
    pr_warn(c`Swap area shorter than signature indicates\n`);
    return 0;
  }
  // Bad blocks are for disks; the header has room for many.
  return info.nr_badpages ? 0 : <u32>last + 1;
}

/** The number of pages that the header on a device speaks of, or a negative error. */
function area_pages(bdev: block_device): i64 {
  const page = __get_free_page(GFP_KERNEL);
  if (!page) return -ENOMEM;
  const fn = text_index(bdev.bd_disk.fops.rw_block);
  const err = call_indirect<i32>(fn, bdev, <u64>0, page, <u32>PAGE_SIZE, <i32>0);
  const pages = err ? 0 : read_swap_header(changetype<swap_header>(page), bdev.bd_inode.i_size >> PAGE_SHIFT);
  free_page(page);
  return err ? err : pages ? <i64>pages : -EINVAL;
}

/** All places free but the header's. */
function setup_swap_map(si: swap_info_struct, pages: u32): i32 {
  const map = alloc_pages_exact(pages, GFP_KERNEL);
  if (!map) return -ENOMEM;
  const err = init_swap_address_space(<u32>si.type, pages);
  if (err) {
    free_pages_exact(map, pages);
    return err;
  }
  memory.fill(map, 0, pages);
  store<u8>(map, SWAP_MAP_BAD);
  si.swap_map = map;
  return 0;
}

function enable_swap_info(si: swap_info_struct, pages: u32, flags: i32): void {
  spin_lock(sym.swap_lock);
  if (!(flags & SWAP_FLAG_PREFER)) sym.least_priority -= 1;
  si.prio = <i16>(flags & SWAP_FLAG_PREFER ? flags & SWAP_FLAG_PRIO_MASK : sym.least_priority);
  si.max = pages;
  si.pages = pages - 1;
  si.inuse_pages = 0;
  si.lowest_bit = 1;
  si.highest_bit = pages - 1;
  si.cluster_next = 1;
  atomic_long_add(si.pages, sym.nr_swap_pages);
  sym.total_swap_pages += si.pages;
  si.flags = SWP_USED | SWP_WRITEOK | SWP_BLKDEV | SWP_SOLIDSTATE;
  spin_unlock(sym.swap_lock);
}

/** With swapon_mutex; takes the file over when it succeeds. */
function swap_on(filp: file, name: usize, flags: i32): i32 {
  const bdev = device_of(filp);
  if (isnull(bdev)) return -EINVAL;
  if (!isnull(find_area(bdev))) return -EBUSY;
  const si = alloc_swap_info();
  if (isnull(si)) return -ENOMEM;
  if (<u32>si.type >= MAX_SWAPFILES) return -EPERM;
  const bits = bdev.bd_inode.i_blkbits;
  let err = set_blocksize(bdev, PAGE_SHIFT);
  const pages = err ? <i64>err : area_pages(bdev);
  err = pages < 0 ? <i32>pages : setup_swap_map(si, <u32>pages);
  if (err) {
    set_blocksize(bdev, bits);
    return err;
  }
  si.bdev = bdev;
  si.swap_file = filp;
  si.old_block_size = (1 as u32) << (bits as u32);
  enable_swap_info(si, <u32>pages, flags);
  const size = si.pages << KB_SHIFT;
  pr_info(c`Adding %uk swap on %s.  Priority:%d extents:%d across:%lluk SS\n`, size, name, si.prio, 1, size);
  return 0;
}

/** swapon(2): `flags` are SWAP_FLAG_*. */
export function sys_swapon(specialfile: u64, flags: i32): i64 {
  if (flags & ~SWAP_FLAGS_VALID) return -EINVAL;
  const name = getname(specialfile);
  if (IS_ERR(name)) return PTR_ERR(name);
  const filp = filp_open(name, O_RDWR, 0);
  let err = IS_ERR(filp) ? PTR_ERR(filp) : 0;
  if (!err) {
    mutex_lock(sym.swapon_mutex);
    err = swap_on(filp, name, flags);
    mutex_unlock(sym.swapon_mutex);
    if (err) fput(filp);
  }
  putname(name);
  return err;
}

function set_write_ok(si: swap_info_struct, ok: bool): void {
  spin_lock(sym.swap_lock);
  si.flags = ok ? si.flags | SWP_WRITEOK : si.flags & ~<u64>SWP_WRITEOK;
  sym.total_swap_pages += ok ? <i64>si.pages : -<i64>si.pages;
  spin_unlock(sym.swap_lock);
  if (ok) atomic_long_add(si.pages, sym.nr_swap_pages);
  else atomic_long_sub(si.pages, sym.nr_swap_pages);
}

/** With swapon_mutex. */
function swap_off(si: swap_info_struct): i32 {
  // What has been promised must fit into the rest.
  if (__vm_enough_memory(get_current().mm, si.pages)) return -ENOMEM;
  // From now on places only come free.
  set_write_ok(si, false);
  const err = try_to_unuse(<u32>si.type);
  if (err) {
    set_write_ok(si, true);
    return err;
  }
  const filp = si.swap_file;
  const map = si.swap_map;
  const pages = si.max;
  const bits = ctz<u32>(si.old_block_size);
  spin_lock(sym.swap_lock);
  si.flags = 0;
  si.swap_map = 0;
  si.max = 0;
  si.swap_file = changetype<file>(0);
  spin_unlock(sym.swap_lock);
  free_pages_exact(map, pages);
  exit_swap_address_space(<u32>si.type);
  set_blocksize(si.bdev, <u8>bits);
  fput(filp);
  return 0;
}

/** swapoff(2) */
export function sys_swapoff(specialfile: u64): i64 {
  const name = getname(specialfile);
  if (IS_ERR(name)) return PTR_ERR(name);
  const filp = filp_open(name, O_RDWR, 0);
  putname(name);
  if (IS_ERR(filp)) return PTR_ERR(filp);
  const bdev = device_of(filp);
  mutex_lock(sym.swapon_mutex);
  const si = isnull(bdev) ? changetype<swap_info_struct>(0) : find_area(bdev);
  const err = isnull(si) ? -EINVAL : swap_off(si);
  mutex_unlock(sym.swapon_mutex);
  fput(filp);
  return err;
}

/** /proc/swaps: a line for each area. */
export function swaps_proc_show(m: seq_file, v: usize): i32 {
  seq_puts(m, c`Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n`);
  const page = __get_free_page(GFP_KERNEL);
  if (!page) return -ENOMEM;
  mutex_lock(sym.swapon_mutex);
  for (let type: u32 = 0; type < sym.nr_swapfiles; type++) {
    const si = sym.swap_info[type];
    if ((si.flags & SWP_USED) == 0) continue;
    const name = d_path(si.swap_file.f_path, page, PAGE_SIZE);
    const size = si.pages << KB_SHIFT;
    const used = si.inuse_pages << KB_SHIFT;
    seq_printf(
      m, c`%s%*s%s\t%u\t%s%u\t%s%d\n`, name, max<i32>(TYPE_COLUMN - <i32>strlen(name), 1), c` `, c`partition`,
      size, size < 10000000 ? c`\t` : c``, used, used < 10000000 ? c`\t` : c``, si.prio,
    );
  }
  mutex_unlock(sym.swapon_mutex);
  free_page(page);
  return 0;
}

/** subsys_initcall */
export function swap_init(): i32 {
  mutex_init(sym.swapon_mutex);
  return 0;
}
