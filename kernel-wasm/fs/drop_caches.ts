/**
 * /proc/sys/vm/drop_caches (fs/drop_caches.c): 1 drops the clean pages of all files that nobody maps, 2 the
 * names and inodes that nobody uses, 3 both. What is dirty stays, and so does everything of a ramfs, which
 * has no other home. 4 turns the message off.
 */
import { DROP_PAGECACHE, DROP_SLAB } from "../include/generated/constants";
import { ctl_table, inode, super_block } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";
import { pr_info } from "../kernel/printk/printk";
import { count_vm_event } from "../mm/vm_event";
import { invalidate_mapping_pages } from "./buffer/bdev";
import { shrink_dcache_sb } from "./dcache";
import { inode_lock, inode_unlock, next_inode } from "./inode";
import { proc_dointvec_minmax } from "./proc/proc_sysctl";
import { iterate_supers } from "./super";

const PAGES: i32 = 1;
const SLAB: i32 = 2;
const QUIET: i32 = 4;

export function drop_pagecache_sb(sb: super_block): u64 {
  let dropped: u64 = 0;
  let node = next_inode(sb, changetype<inode>(0));
  for (; !isnull(node); node = next_inode(sb, node)) {
    if (node.i_mapping.nrpages == 0) continue;
    inode_lock(node);
    dropped += invalidate_mapping_pages(node.i_mapping);
    inode_unlock(node);
  }
  return dropped;
}

/** The table's handler. */
export function drop_caches_sysctl_handler(table: ctl_table, write: i32, buffer: usize, len: usize): i64 {
  const n = proc_dointvec_minmax(table, write, buffer, len);
  if (n < 0 || !write) return n;
  const what = sym.sysctl_drop_caches;
  if (what & PAGES) {
    iterate_supers(fnptr(drop_pagecache_sb));
    count_vm_event(DROP_PAGECACHE);
  }
  // A name that goes may have been the last in its directory's.
  if (what & SLAB) {
    while (iterate_supers(fnptr(shrink_dcache_sb))) {}
    count_vm_event(DROP_SLAB);
  }
  if ((sym.drop_caches_quiet & QUIET) == 0) {
    const t = get_current();
    pr_info(c`%s (%d): drop_caches: %d\n`, t.comm, t.pid, what);
  }
  sym.drop_caches_quiet |= what & QUIET;
  return n;
}
