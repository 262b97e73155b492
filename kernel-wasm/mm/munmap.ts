/** munmap(2): taking a part out of an address space, which may be the middle of a mapping (mm/mmap.c). */
import {
  CONFIG_CRASH_DUMP,
  DEFAULT_MAX_MAP_COUNT,
  EINVAL,
  ENOMEM,
  GFP_KERNEL,
  PAGE_SHIFT,
  PAGE_SIZE,
  USER_STACK_TOP,
} from "../include/generated/constants";
import { mm_struct, vm_area_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";
import { get_file } from "../fs/file_table";
import { down_write, up_write } from "../kernel/locking/rwsem";
import { INIT_LIST_HEAD } from "../lib/list";
import { i_mmap_lock_write, i_mmap_unlock_write } from "./i_mmap";
import { find_vma, page_align, remove_vma, vm_stat_account, vma_link, vma_unlink } from "./mmap";
import { anon_vma_clone, unlink_anon_vmas } from "./rmap";
import { kmem_cache_alloc, kmem_cache_free } from "./slub";

/** What of a mapping lies from `addr` on becomes one of its own; 0 or -ENOMEM. */
export function __split_vma(mm: mm_struct, vma: vm_area_struct, addr: u64): i32 {
  const upper = changetype<vm_area_struct>(kmem_cache_alloc(sym.vm_area_cachep, GFP_KERNEL));
  if (isnull(upper)) return -ENOMEM;
  memory.copy(changetype<usize>(upper), changetype<usize>(vma), vm_area_struct.SIZE);
  INIT_LIST_HEAD(upper.anon_vma_chain);
  upper.vm_start = addr;
  upper.vm_pgoff += (addr - vma.vm_start) >> PAGE_SHIFT;
  if (!CONFIG_CRASH_DUMP && anon_vma_clone(upper, vma)) {
    upper.anon_vma_va = 0;
    unlink_anon_vmas(upper);
    kmem_cache_free(sym.vm_area_cachep, changetype<usize>(upper));
    return -ENOMEM;
  }
  if (vma.vm_file_va != 0) get_file(vma.vm_file);
  if (!CONFIG_CRASH_DUMP) i_mmap_lock_write(vma);
  vma.vm_end = addr;
  if (!CONFIG_CRASH_DUMP) i_mmap_unlock_write(vma);
  vma_link(mm, upper);
  return 0;
}

/** With mmap_lock, for writing. What was not mapped stays so. */
export function do_munmap(mm: mm_struct, start: u64, len: u64): i32 {
  if (start & (PAGE_SIZE - 1) || start > USER_STACK_TOP || len > USER_STACK_TOP - start) return -EINVAL;
  const end = start + page_align(len);
  if (end == start) return -EINVAL;
  let vma = find_vma(mm, start);
  if (isnull(vma) || vma.vm_start >= end) return 0;
  if (start > vma.vm_start) {
    if (end < vma.vm_end && mm.map_count >= DEFAULT_MAX_MAP_COUNT) return -ENOMEM;
    if (__split_vma(mm, vma, start)) return -ENOMEM;
    vma = vma.vm_next;
  }
  const last = find_vma(mm, end);
  if (!isnull(last) && last.vm_start < end && __split_vma(mm, last, end)) return -ENOMEM;
  while (!isnull(vma) && vma.vm_start < end) {
    const next = vma.vm_next;
    vma_unlink(mm, vma);
    vm_stat_account(mm, vma.vm_flags, -(<i64>(vma.vm_end - vma.vm_start) >> PAGE_SHIFT));
    remove_vma(vma);
    vma = next;
  }
  return 0;
}

/** munmap(2). */
export function __vm_munmap(start: u64, len: u64): i32 {
  const mm = get_current().mm;
  down_write(mm.mmap_lock);
  const err = do_munmap(mm, start, len);
  up_write(mm.mmap_lock);
  return err;
}
