/**
 * User address spaces (mm/mmap.c): mappings by address, and the heap. The pages behind them are memory.ts's,
 * mmap(2) is do_mmap.ts's. mmap_lock guards the mappings: whoever looks at those of another task takes it
 * too.
 */
import {
  CONFIG_CRASH_DUMP,
  ENOMEM,
  GFP_KERNEL,
  PAGE_SHIFT,
  PAGE_SIZE,
  RLIMIT_STACK,
  USER_STACK_TOP,
  VM_ACCOUNT,
  VM_DATA_FLAGS,
  VM_EXEC,
  VM_GROWSDOWN,
  VM_SHARED,
  VM_WRITE,
} from "../include/generated/constants";
import { file, mm_struct, rb_node, vm_area_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";
import { free_user_pages } from "../arch/mm/pgtable";
import { fput, get_file } from "../fs/file_table";
import { down_write, up_write } from "../kernel/locking/rwsem";
import { INIT_LIST_HEAD } from "../lib/list";
import { rb_erase, rb_insert_color, rb_link_node } from "../lib/rbtree";
import { vma_link_file, vma_unlink_file } from "./i_mmap";
import { copy_page_range, mm_populate, prot_of, zap_page_range } from "./memory";
import { do_munmap } from "./munmap";
import { __vm_enough_memory, vm_acct_memory } from "./overcommit";
import { anon_vma_fork, unlink_anon_vmas } from "./rmap";
import { kmem_cache_alloc, kmem_cache_free } from "./slub";
import { get_nr_swap_pages } from "./swapfile";
import { nr_free_pages } from "./vmstat";

/** The first mapping that ends behind `addr`, or null. */
export function find_vma(mm: mm_struct, addr: u64): vm_area_struct {
  let vma = mm.mmap;
  while (!isnull(vma) && vma.vm_end <= addr) vma = vma.vm_next;
  return vma;
}

/** The mapping that holds `addr`, or null. */
export function vma_lookup(mm: mm_struct, addr: u64): vm_area_struct {
  const vma = find_vma(mm, addr);
  return isnull(vma) || vma.vm_start > addr ? changetype<vm_area_struct>(0) : vma;
}

function vma_link_rb(mm: mm_struct, vma: vm_area_struct): void {
  let link = changetype<usize>(mm.mm_rb);
  let parent = changetype<rb_node>(0);
  while (load<u64>(link) != 0) {
    parent = changetype<rb_node>(pa(load<u64>(link)));
    const other = vm_area_struct.from_vm_rb(parent);
    link = vma.vm_start < other.vm_start ? rb_node.addr_of_rb_left(parent) : rb_node.addr_of_rb_right(parent);
  }
  rb_link_node(vma.vm_rb, parent, link);
  rb_insert_color(vma.vm_rb, mm.mm_rb);
}

function vma_link_list(mm: mm_struct, vma: vm_area_struct): void {
  let prev = changetype<vm_area_struct>(0);
  let next = mm.mmap;
  while (!isnull(next) && next.vm_start < vma.vm_start) {
    prev = next;
    next = next.vm_next;
  }
  vma.vm_prev = prev;
  vma.vm_next = next;
  if (isnull(prev)) mm.mmap = vma;
  else prev.vm_next = vma;
  if (!isnull(next)) next.vm_prev = vma;
}

/** Whether a mapping of so many pages may be promised, where it is one that promises. */
export function may_promise(mm: mm_struct, flags: u64, pages: u64): bool {
  if (!CONFIG_CRASH_DUMP && flags & VM_ACCOUNT) return __vm_enough_memory(mm, pages) == 0;
  return true;
}

/** By what a mapping is for: code, a stack, or data of the program's own; and what it promises. */
export function vm_stat_account(mm: mm_struct, flags: u64, pages: i64): void {
  if (!CONFIG_CRASH_DUMP && flags & VM_ACCOUNT) vm_acct_memory(pages);
  mm.total_vm += pages;
  if ((flags & (VM_EXEC | VM_WRITE | VM_GROWSDOWN)) == VM_EXEC) mm.exec_vm += pages;
  else if (flags & VM_GROWSDOWN) mm.stack_vm += pages;
  else if ((flags & (VM_WRITE | VM_SHARED)) == VM_WRITE) mm.data_vm += pages;
}

/**
 * A mapping of [start, end), page aligned, with flags VM_*; of `filp`, from its start, or anonymous. Nobody
 * sees it yet. Null: no memory.
 */
export function vm_area_alloc(mm: mm_struct, start: u64, end: u64, flags: u64, filp: file): vm_area_struct {
  const vma = changetype<vm_area_struct>(kmem_cache_alloc(sym.vm_area_cachep, GFP_KERNEL));
  if (isnull(vma)) return vma;
  memory.fill(changetype<usize>(vma), 0, vm_area_struct.SIZE);
  vma.vm_start = start;
  vma.vm_end = end;
  vma.vm_mm = mm;
  vma.vm_flags = flags;
  vma.vm_page_prot = prot_of(flags);
  vma.vm_file = filp;
  vma.vm_pgoff = isnull(filp) ? start >> PAGE_SHIFT : 0;
  INIT_LIST_HEAD(vma.anon_vma_chain);
  return vma;
}

/** The mapping takes its place, which is free, in the address space and among those of its file. */
export function vma_link(mm: mm_struct, vma: vm_area_struct): void {
  vma_link_list(mm, vma);
  vma_link_rb(mm, vma);
  if (!CONFIG_CRASH_DUMP) vma_link_file(vma);
  mm.map_count += 1;
  if (vma.vm_end > mm.highest_vm_end) mm.highest_vm_end = vma.vm_end;
}

/** The opposite. */
export function vma_unlink(mm: mm_struct, vma: vm_area_struct): void {
  const prev = vma.vm_prev;
  if (isnull(prev)) mm.mmap_va = vma.vm_next_va;
  else prev.vm_next_va = vma.vm_next_va;
  if (!isnull(vma.vm_next)) vma.vm_next.vm_prev_va = vma.vm_prev_va;
  else mm.highest_vm_end = isnull(prev) ? 0 : prev.vm_end;
  rb_erase(vma.vm_rb, mm.mm_rb);
  if (!CONFIG_CRASH_DUMP) vma_unlink_file(vma);
  mm.map_count -= 1;
}

/** A mapping in its place. Null: no memory. */
export function insert_vma(mm: mm_struct, start: u64, end: u64, flags: u64, filp: file): vm_area_struct {
  if (!may_promise(mm, flags, (end - start) >> PAGE_SHIFT)) return changetype<vm_area_struct>(0);
  const vma = vm_area_alloc(mm, start, end, flags, filp);
  if (isnull(vma)) return vma;
  if (!isnull(filp)) vma.vm_ops = sym.generic_file_vm_ops;
  vma_link(mm, vma);
  vm_stat_account(mm, flags, (end - start) >> PAGE_SHIFT);
  return vma;
}

/** Gives a mapping up that nobody sees any more, with its pages. */
export function remove_vma(vma: vm_area_struct): void {
  zap_page_range(vma, vma.vm_start, vma.vm_end);
  unlink_anon_vmas(vma);
  if (vma.vm_file_va != 0) fput(vma.vm_file);
  kmem_cache_free(sym.vm_area_cachep, changetype<usize>(vma));
}

/** Takes every mapping and page out of an address space that nobody uses any more. */
export function exit_mmap(mm: mm_struct): void {
  // The OOM killer may be at it.
  down_write(mm.mmap_lock);
  let vma = mm.mmap;
  while (!isnull(vma)) {
    const next = vma.vm_next;
    const promised = vma.vm_flags & VM_ACCOUNT ? (vma.vm_end - vma.vm_start) >> PAGE_SHIFT : 0;
    if (!CONFIG_CRASH_DUMP && promised) vm_acct_memory(-<i64>promised);
    if (!CONFIG_CRASH_DUMP) vma_unlink_file(vma);
    remove_vma(vma);
    vma = next;
  }
  mm.mmap_va = 0;
  mm.mm_rb.rb_node_va = 0;
  free_user_pages(changetype<usize>(mm.pgd));
  up_write(mm.mmap_lock);
  if (mm.exe_file_va != 0) fput(mm.exe_file);
  mm.exe_file_va = 0;
}

function dup_vma(mm: mm_struct, vma: vm_area_struct): i32 {
  const filp = vma.vm_file;
  if (!may_promise(mm, vma.vm_flags, (vma.vm_end - vma.vm_start) >> PAGE_SHIFT)) return -ENOMEM;
  const copy = vm_area_alloc(mm, vma.vm_start, vma.vm_end, vma.vm_flags, filp);
  if (isnull(copy)) return -ENOMEM;
  if (!isnull(filp)) get_file(filp);
  copy.vm_pgoff = vma.vm_pgoff;
  copy.vm_ops = vma.vm_ops;
  vma_link(mm, copy);
  vm_stat_account(mm, vma.vm_flags, (vma.vm_end - vma.vm_start) >> PAGE_SHIFT);
  const err = anon_vma_fork(copy, vma);
  return err ? err : copy_page_range(copy, vma);
}

/** Fills an empty address space with what another one has (fork). The caller undoes half of a failure. */
export function dup_mmap(mm: mm_struct, old: mm_struct): i32 {
  down_write(old.mmap_lock);
  down_write(mm.mmap_lock);
  mm.start_code = old.start_code;
  mm.end_code = old.end_code;
  mm.start_data = old.start_data;
  mm.end_data = old.end_data;
  mm.start_brk = old.start_brk;
  mm.brk = old.brk;
  mm.start_stack = old.start_stack;
  mm.arg_start = old.arg_start;
  mm.arg_end = old.arg_end;
  mm.env_start = old.env_start;
  mm.env_end = old.env_end;
  if (old.exe_file_va != 0) mm.exe_file = get_file(old.exe_file);
  let err = 0;
  for (let vma = old.mmap; !err && !isnull(vma); vma = vma.vm_next) err = dup_vma(mm, vma);
  up_write(mm.mmap_lock);
  up_write(old.mmap_lock);
  return err;
}

@inline export function page_align(addr: u64): u64 {
  return (addr + PAGE_SIZE - 1) & ~<u64>(PAGE_SIZE - 1);
}

/** Moves the heap's end from `old`: its last mapping grows, unless the program has taken that away. */
function set_heap_end(mm: mm_struct, old: u64, end: u64): i32 {
  if (end < old) return do_munmap(mm, end, old - end);
  const vma = find_vma(mm, old - 1);
  const heap = !isnull(vma) && vma.vm_end == old && vma.vm_flags == VM_DATA_FLAGS && vma.vm_file_va == 0;
  if (!heap) return isnull(insert_vma(mm, old, end, VM_DATA_FLAGS, changetype<file>(0))) ? -ENOMEM : 0;
  vma.vm_end = end;
  if (end > mm.highest_vm_end) mm.highest_vm_end = end;
  vm_stat_account(mm, VM_DATA_FLAGS, (end - old) >> PAGE_SHIFT);
  return 0;
}

/**
 * Whether the heap may grow by so many pages. They are populated at once, so a program gets at most half of
 * what is free, in memory and in swap areas: the kernel must be able to work for it.
 */
function vm_enough_memory(mm: mm_struct, pages: u64): bool {
  if (!CONFIG_CRASH_DUMP && __vm_enough_memory(mm, pages)) return false;
  const swap = CONFIG_CRASH_DUMP ? 0 : <u64>max<i64>(get_nr_swap_pages(), 0);
  return pages <= (nr_free_pages() + swap) >> 1;
}

/** With mmap_lock, for writing; false when the end stays where it is. */
function move_brk(mm: mm_struct, brk: u64): bool {
  const top = <u64>USER_STACK_TOP - get_current().signal.rlim[RLIMIT_STACK].rlim_cur;
  if (brk < mm.start_brk || brk > top) return false;
  const old = page_align(mm.brk);
  const end = page_align(brk);
  // A mapping is never empty: the heap's first page stays.
  if (end != old && end > mm.start_brk) {
    if (end > old) {
      const next = find_vma(mm, old);
      // Linux leaves a page between the heap and what follows it.
      if (!isnull(next) && next.vm_start < end + PAGE_SIZE) return false;
      if (!vm_enough_memory(mm, (end - old) >> PAGE_SHIFT)) return false;
    }
    if (set_heap_end(mm, old, end)) return false;
  }
  mm.brk = brk;
  return true;
}

/**
 * brk(2): moves the end of the heap; new pages are there at once. Returns the end, unmoved when it could not.
 */
export function do_brk(brk: u64): u64 {
  const mm = get_current().mm;
  down_write(mm.mmap_lock);
  const before = mm.brk;
  const moved = move_brk(mm, brk);
  up_write(mm.mmap_lock);
  if (!moved) return before;
  const old = page_align(before);
  if (page_align(brk) > old && mm_populate(mm, old, page_align(brk))) {
    down_write(mm.mmap_lock);
    if (old > mm.start_brk) set_heap_end(mm, page_align(brk), old);
    mm.brk = before;
    up_write(mm.mmap_lock);
    return before;
  }
  return brk;
}
