/**
 * The memory balloon (drivers/virtio/virtio_balloon.c): pages that the guest gives back to its host. They
 * have page type offline, so that nobody reads them and no dump holds them. What the host would ask for by
 * the device's configuration is written to
 *
 *     /sys/devices/virtio0/num_pages      pages wanted in the balloon; reads as what it has
 */
import {
  EINVAL,
  GFP_HIGHUSER_MOVABLE,
  __GFP_NOMEMALLOC,
  __GFP_NORETRY,
  __GFP_NOWARN,
} from "../../include/generated/constants";
import { kernfs_node, page, virtio_balloon } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { sysfs_create_file, sysfs_find_dir } from "../../fs/sysfs";
import { mutex_init, mutex_lock, mutex_unlock } from "../../kernel/locking/mutex";
import { spin_lock_irqsave, spin_unlock_irqrestore } from "../../kernel/locking/spinlock";
import { pr_info } from "../../kernel/printk/printk";
import { INIT_LIST_HEAD, list_add, list_del } from "../../lib/list";
import { kstrtoull } from "../../lib/string";
import { snprintf } from "../../lib/vsprintf";
import { __ClearPageOffline, __SetPageOffline } from "../../mm/page";
import { adjust_managed_page_count, alloc_page, put_page } from "../../mm/page_alloc";

const TEXT_SIZE: u32 = 4096;

/** One page into the balloon; false without memory. */
function fill_balloon(vb: virtio_balloon): bool {
  const p = alloc_page(GFP_HIGHUSER_MOVABLE | __GFP_NOMEMALLOC | __GFP_NORETRY | __GFP_NOWARN);
  if (isnull(p)) return false;
  __SetPageOffline(p);
  const flags = spin_lock_irqsave(vb.vb_dev_info.pages_lock);
  list_add(p.lru, vb.vb_dev_info.pages);
  spin_unlock_irqrestore(vb.vb_dev_info.pages_lock, flags);
  vb.num_pages += 1;
  adjust_managed_page_count(p, -1);
  return true;
}

function leak_balloon(vb: virtio_balloon): void {
  const flags = spin_lock_irqsave(vb.vb_dev_info.pages_lock);
  const p = page.from_lru(vb.vb_dev_info.pages.next);
  list_del(p.lru);
  spin_unlock_irqrestore(vb.vb_dev_info.pages_lock, flags);
  __ClearPageOffline(p);
  vb.num_pages -= 1;
  adjust_managed_page_count(p, 1);
  put_page(p);
}

/** The device's config change: towards the target, as far as memory allows. */
function update_balloon_size(vb: virtio_balloon): void {
  mutex_lock(vb.balloon_lock);
  while (vb.num_pages < vb.target && fill_balloon(vb)) {}
  while (vb.num_pages > vb.target) leak_balloon(vb);
  if (vb.num_pages < vb.target) {
    pr_info(c`virtio_balloon virtio0: Out of puff! Can't get %u pages\n`, vb.target - vb.num_pages);
  }
  mutex_unlock(vb.balloon_lock);
}

function num_pages_show(kn: kernfs_node, buf: usize): i64 {
  return snprintf(buf, TEXT_SIZE, c`%u\n`, sym.virtio_balloon.num_pages);
}

function num_pages_store(kn: kernfs_node, buf: usize, count: usize): i64 {
  if (kstrtoull(buf, 10, sym.addr_of_mm_sysfs_value()) || sym.mm_sysfs_value >> 32) return -EINVAL;
  sym.virtio_balloon.target = <u32>sym.mm_sysfs_value;
  update_balloon_size(sym.virtio_balloon);
  return count;
}

/** device_initcall */
export function virtio_balloon_init(): i32 {
  mutex_init(sym.virtio_balloon.balloon_lock);
  INIT_LIST_HEAD(sym.virtio_balloon.vb_dev_info.pages);
  const dir = sysfs_find_dir(c`virtio0`, sysfs_find_dir(c`devices`, sym.sysfs_root));
  if (isnull(dir)) return 0;
  sysfs_create_file(dir, c`num_pages`, 0o644, fnptr(num_pages_show), fnptr(num_pages_store));
  return 0;
}
