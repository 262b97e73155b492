/**
 * User address spaces (mm/mmap.c, mm/memory.c): mappings by address, the heap, and the pages behind them. An
 * anonymous page belongs to its mapping's anon_vma: mapping | PAGE_MAPPING_ANON, which is what makes it a
 * user page to the tools.
 */
import {
  EFAULT,
  ENOMEM,
  GFP_HIGHUSER_MOVABLE,
  GFP_KERNEL,
  MM_ANONPAGES,
  MM_FILEPAGES,
  NR_ANON_MAPPED,
  NR_FILE_MAPPED,
  PAGE_MAPPING_ANON,
  PAGE_SHIFT,
  PAGE_SIZE,
  PG_swapbacked,
  PG_uptodate,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
  RLIMIT_STACK,
  USER_STACK_TOP,
  VM_DATA_FLAGS,
  VM_EXEC,
  VM_READ,
  VM_WRITE,
} from "../include/generated/constants";
import { anon_vma, file, mm_struct, page, rb_node, vm_area_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";
import { free_user_pages, map_user_page, unmap_user_page, follow_user } from "../arch/mm/pgtable";
import { fput, get_file } from "../fs/file_table";
import { INIT_LIST_HEAD } from "../lib/list";
import { rb_insert_color, rb_link_node } from "../lib/rbtree";
import { find_get_page } from "./filemap";
import { page_to_phys, set_page_flag } from "./page";
import { alloc_page, get_page, put_page } from "./page_alloc";
import { kfree, kmem_cache_alloc, kmem_cache_free, kzalloc } from "./slub";
import { lru_cache_add, lru_cache_del } from "./swap";
import { mod_node_page_state, nr_free_pages } from "./vmstat";

/**
 * The mapping that holds `addr`, or null. Linux's find_vma also finds the next one; nobody asks for that
 * here.
 */
export function vma_lookup(mm: mm_struct, addr: u64): vm_area_struct {
  let vma = mm.mmap;
  while (!isnull(vma) && vma.vm_end <= addr) vma = vma.vm_next;
  return isnull(vma) || vma.vm_start > addr ? changetype<vm_area_struct>(0) : vma;
}

function prot_of(flags: u64): u32 {
  let prot = flags & VM_READ ? PROT_READ : 0;
  if (flags & VM_WRITE) prot |= PROT_WRITE;
  if (flags & VM_EXEC) prot |= PROT_EXEC;
  return prot;
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

function vm_stat_account(mm: mm_struct, flags: u64, pages: u64): void {
  mm.total_vm += pages;
  if (flags & VM_EXEC) mm.exec_vm += pages;
  else if (flags & 0x100) mm.stack_vm += pages;
  else if (flags & VM_WRITE) mm.data_vm += pages;
}

/**
 * Maps [start, end), page aligned and free, with flags VM_*; of `filp` from its start, or anonymous. Null: no
 * memory.
 */
export function insert_vma(mm: mm_struct, start: u64, end: u64, flags: u64, filp: file): vm_area_struct {
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
  vma_link_list(mm, vma);
  vma_link_rb(mm, vma);
  mm.map_count += 1;
  if (end > mm.highest_vm_end) mm.highest_vm_end = end;
  vm_stat_account(mm, flags, (end - start) >> PAGE_SHIFT);
  return vma;
}

function anon_vma_prepare(vma: vm_area_struct): i32 {
  if (vma.anon_vma_va != 0) return 0;
  const av = changetype<anon_vma>(kzalloc(anon_vma.SIZE, GFP_KERNEL));
  if (isnull(av)) return -ENOMEM;
  av.root = av;
  av.refcount.counter = 1;
  av.degree = 1;
  INIT_LIST_HEAD(av.rwsem.wait_list);
  vma.anon_vma = av;
  return 0;
}

function do_anonymous_page(vma: vm_area_struct, addr: usize): i32 {
  if (anon_vma_prepare(vma)) return -ENOMEM;
  const p = alloc_page(GFP_HIGHUSER_MOVABLE);
  if (isnull(p)) return -ENOMEM;
  memory.fill(page_to_phys(p), 0, PAGE_SIZE);
  set_page_flag(p, PG_uptodate);
  set_page_flag(p, PG_swapbacked);
  p.mapping_va = va(changetype<usize>(vma.anon_vma)) | PAGE_MAPPING_ANON;
  p.index = addr >> PAGE_SHIFT;
  p._mapcount.counter = 0;
  const err = map_user_page(changetype<usize>(vma.vm_mm.pgd), addr, p, prot_of(vma.vm_flags));
  if (err) {
    p._mapcount.counter = -1;
    p.mapping_va = 0;
    put_page(p);
    return err;
  }
  lru_cache_add(p);
  vma.vm_mm.rss_stat.count[MM_ANONPAGES].counter += 1;
  mod_node_page_state(NR_ANON_MAPPED, 1);
  return 0;
}

/** A page of the file itself: mappings of files are private and never written here. */
function do_read_fault(vma: vm_area_struct, addr: usize): i32 {
  const index = vma.vm_pgoff + ((<u64>addr - vma.vm_start) >> PAGE_SHIFT);
  const p = find_get_page(vma.vm_file.f_mapping, index);
  if (isnull(p)) return -EFAULT;
  const err = map_user_page(changetype<usize>(vma.vm_mm.pgd), addr, p, prot_of(vma.vm_flags));
  if (err) return err;
  get_page(p);
  p._mapcount.counter += 1;
  vma.vm_mm.rss_stat.count[MM_FILEPAGES].counter += 1;
  mod_node_page_state(NR_FILE_MAPPED, 1);
  return 0;
}

/** Gives a page to an address that has none; -EFAULT where nothing is mapped or the access is not allowed. */
export function handle_mm_fault(mm: mm_struct, addr: usize, write: bool): i32 {
  const vma = vma_lookup(mm, addr);
  if (isnull(vma) || (vma.vm_flags & (write ? VM_WRITE : VM_READ)) == 0) return -EFAULT;
  const at = addr & ~(PAGE_SIZE - 1);
  if (follow_user(changetype<usize>(mm.pgd), at, false)) return -EFAULT;
  return vma.vm_file_va != 0 ? do_read_fault(vma, at) : do_anonymous_page(vma, at);
}

/** Makes all pages of [start, end): user programs touch their memory without faulting. */
export function mm_populate(mm: mm_struct, start: u64, end: u64): i32 {
  for (let at = <usize>start; at < <usize>end; at += PAGE_SIZE) {
    if (follow_user(changetype<usize>(mm.pgd), at, false)) continue;
    const err = handle_mm_fault(mm, at, false);
    if (err) return err;
  }
  return 0;
}

function zap_page(vma: vm_area_struct, addr: usize): void {
  const p = unmap_user_page(changetype<usize>(vma.vm_mm.pgd), addr);
  if (isnull(p)) return;
  p._mapcount.counter -= 1;
  if (p.mapping_va & PAGE_MAPPING_ANON) {
    lru_cache_del(p);
    p.mapping_va = 0;
    vma.vm_mm.rss_stat.count[MM_ANONPAGES].counter -= 1;
    mod_node_page_state(NR_ANON_MAPPED, -1);
  } else {
    vma.vm_mm.rss_stat.count[MM_FILEPAGES].counter -= 1;
    mod_node_page_state(NR_FILE_MAPPED, -1);
  }
  put_page(p);
}

function zap_range(vma: vm_area_struct, start: u64, end: u64): void {
  for (let at = <usize>start; at < <usize>end; at += PAGE_SIZE) zap_page(vma, at);
}

/** Takes the anonymous pages of an address space whose tasks are being killed (__oom_reap_task_mm). */
export function reap_anonymous(mm: mm_struct): void {
  for (let vma = mm.mmap; !isnull(vma); vma = vma.vm_next) {
    if (vma.vm_file_va == 0) zap_range(vma, vma.vm_start, vma.vm_end);
  }
}

/** Takes every mapping and page out of an address space that nobody uses any more. */
export function exit_mmap(mm: mm_struct): void {
  let vma = mm.mmap;
  while (!isnull(vma)) {
    const next = vma.vm_next;
    zap_range(vma, vma.vm_start, vma.vm_end);
    if (vma.anon_vma_va != 0) kfree(changetype<usize>(vma.anon_vma));
    if (vma.vm_file_va != 0) fput(vma.vm_file);
    kmem_cache_free(sym.vm_area_cachep, changetype<usize>(vma));
    vma = next;
  }
  mm.mmap_va = 0;
  mm.mm_rb.rb_node_va = 0;
  free_user_pages(changetype<usize>(mm.pgd));
  if (mm.exe_file_va != 0) fput(mm.exe_file);
  mm.exe_file_va = 0;
}

/** The child's page for a parent's: the same one of a file, a copy of an anonymous one. */
function copy_present_page(vma: vm_area_struct, from: usize, addr: usize): i32 {
  if (vma.vm_file_va != 0) return do_read_fault(vma, addr);
  const err = do_anonymous_page(vma, addr);
  if (err) return err;
  memory.copy(follow_user(changetype<usize>(vma.vm_mm.pgd), addr, false), from, PAGE_SIZE);
  return 0;
}

function copy_page_range(to: vm_area_struct, from: vm_area_struct): i32 {
  const pgd = changetype<usize>(from.vm_mm.pgd);
  for (let at = <usize>from.vm_start; at < <usize>from.vm_end; at += PAGE_SIZE) {
    const page_at = follow_user(pgd, at, false);
    if (!page_at) continue;
    const err = copy_present_page(to, page_at, at);
    if (err) return err;
  }
  return 0;
}

/** Fills an empty address space with what another one has (fork). The caller undoes half of a failure. */
export function dup_mmap(mm: mm_struct, old: mm_struct): i32 {
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
  for (let vma = old.mmap; !isnull(vma); vma = vma.vm_next) {
    const filp = vma.vm_file;
    const copy = insert_vma(mm, vma.vm_start, vma.vm_end, vma.vm_flags, filp);
    if (isnull(copy)) return -ENOMEM;
    if (!isnull(filp)) get_file(filp);
    copy.vm_pgoff = vma.vm_pgoff;
    const err = copy_page_range(copy, vma);
    if (err) return err;
  }
  return 0;
}

/** The heap's mapping, when there is one. */
function heap_vma(mm: mm_struct): vm_area_struct {
  return vma_lookup(mm, mm.start_brk);
}

function set_heap_end(mm: mm_struct, end: u64): i32 {
  const vma = heap_vma(mm);
  if (isnull(vma)) {
    const made = insert_vma(mm, mm.start_brk, end, VM_DATA_FLAGS, changetype<file>(0));
    return isnull(made) ? -ENOMEM : 0;
  }
  const pages = <i64>(end - vma.vm_end) >> PAGE_SHIFT;
  if (end < vma.vm_end) zap_range(vma, end, vma.vm_end);
  vma.vm_end = end;
  mm.total_vm += pages;
  mm.data_vm += pages;
  return 0;
}

/**
 * Whether the heap may grow by so many pages. They are populated at once, so a program gets at most half of
 * what is free: the kernel must be able to work for it.
 */
function vm_enough_memory(pages: u64): bool {
  return pages <= nr_free_pages() >> 1;
}

/**
 * brk(2): moves the end of the heap; new pages are there at once. Returns the end, unmoved when it could not.
 */
export function do_brk(brk: u64): u64 {
  const mm = get_current().mm;
  const top = <u64>USER_STACK_TOP - get_current().signal.rlim[RLIMIT_STACK].rlim_cur;
  if (brk < mm.start_brk || brk > top) return mm.brk;
  const old = (mm.brk + PAGE_SIZE - 1) & ~<u64>(PAGE_SIZE - 1);
  const end = (brk + PAGE_SIZE - 1) & ~<u64>(PAGE_SIZE - 1);
  // A mapping is never empty: the heap's first page stays.
  if (end != old && end > mm.start_brk) {
    if (end > old && !vm_enough_memory((end - old) >> PAGE_SHIFT)) return mm.brk;
    if (set_heap_end(mm, end)) return mm.brk;
    if (end > old && mm_populate(mm, old, end)) {
      if (old > mm.start_brk) set_heap_end(mm, old);
      return mm.brk;
    }
  }
  mm.brk = brk;
  return brk;
}
