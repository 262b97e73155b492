/**
 * Virtually contiguous memory (mm/vmalloc.c): pages from anywhere, mapped one behind another between
 * VMALLOC_START and VMALLOC_END, with an unmapped guard page behind each area. Areas lie in a tree and in a
 * list by address, from which debuggers show them; `/proc/vmallocinfo` does too.
 *
 * Compiled code addresses memory physically, so a pointer into an area is a virtual address that holds to
 * the end of its page: it is read and written piece by piece (vm_piece), and nothing larger than a word is
 * used in place unless it lies within one page.
 */
import {
  ENOMEM,
  GFP_KERNEL,
  PAGE_SHIFT,
  PAGE_SIZE,
  PGDIR_SHIFT,
  SLAB_PANIC,
  VMALLOC_END,
  VMALLOC_START,
  VM_ALLOC,
  VM_IOREMAP,
  VM_MAP,
  VM_NO_GUARD,
  VM_USERMAP,
  X86_PF_WRITE,
  __GFP_NOWARN,
  __GFP_ZERO,
  __PAGE_KERNEL,
} from "../include/generated/constants";
import { list_head, page, rb_node, seq_file, vm_struct, vmap_area } from "../include/generated/structs";
import { sym, this_cpu } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";
import { mmu_access } from "../arch/mm/access";
import { kernel_pte } from "../arch/mm/pgtable";
import { seq_printf, seq_putc, seq_puts } from "../fs/seq_file";
import { spin_lock, spin_lock_init, spin_unlock } from "../kernel/locking/spinlock";
import { pr_warn } from "../kernel/printk/printk";
import { fatal_signal_pending } from "../kernel/signal";
import { atomic_long_inc, atomic_long_read, atomic_long_sub } from "../lib/atomic";
import { WARN } from "../lib/bug";
import { dump_stack } from "../lib/dump_stack";
import { INIT_LIST_HEAD, list_add_tail, list_del, list_is_head } from "../lib/list";
import { rb_erase, rb_insert_color, rb_link_node } from "../lib/rbtree";
import { page_to_phys, phys_to_page } from "./page";
import { __free_pages, alloc_page } from "./page_alloc";
import { kfree, kmalloc, kmem_cache_alloc, kmem_cache_create, kmem_cache_free, kzalloc } from "./slub";
import { totalram_pages } from "./vmstat";

/** Text address that the running framed function returns to. */
@inline function return_address(): u64 {
  return load<u64>(get_sp() + 8);
}

@inline export function is_vmalloc_addr(addr: u64): bool {
  return addr >= VMALLOC_START && addr < VMALLOC_END;
}

/** How many of `n` bytes from a kernel address on lie behind each other in physical memory. */
@inline export function vm_piece(addr: u64, n: usize): usize {
  return is_vmalloc_addr(addr) ? min<usize>(n, PAGE_SIZE - (<usize>addr & (PAGE_SIZE - 1))) : n;
}

/** Copies out of kernel memory, an area's pages or any other. */
export function memcpy_from_vm(to: usize, from: u64, n: usize): void {
  while (n) {
    const len = vm_piece(from, n);
    memory.copy(to, pa(from), len);
    to += len;
    from += len;
    n -= len;
  }
}

/** A write goes by the page tables, so that its page fault is one of a write. */
@inline function vm_dest(to: u64): usize {
  return is_vmalloc_addr(to) ? mmu_access(to, X86_PF_WRITE) : pa(to);
}

export function memcpy_to_vm(to: u64, from: usize, n: usize): void {
  while (n) {
    const len = vm_piece(to, n);
    memory.copy(vm_dest(to), from, len);
    to += len;
    from += len;
    n -= len;
  }
}

export function memset_vm(to: u64, byte: u8, n: usize): void {
  while (n) {
    const len = vm_piece(to, n);
    memory.fill(vm_dest(to), byte, len);
    to += len;
    n -= len;
  }
}

/** The page behind an address in an area. */
export function vmalloc_to_page(addr: u64): page {
  return phys_to_page(pa(addr));
}

export function vmalloc_nr_pages(): u64 {
  return <u64>atomic_long_read(sym.nr_vmalloc_pages);
}

/** The tables of the range's first 512 GiB: every address space's root is a copy of the kernel's half. */
export function vmalloc_init(): void {
  INIT_LIST_HEAD(sym.vmap_area_list);
  spin_lock_init(sym.vmap_area_lock);
  sym.vmap_area_cachep = kmem_cache_create(c`vmap_area`, vmap_area.SIZE, 0, SLAB_PANIC, 0);
  kernel_pte(VMALLOC_START, true);
}

/** Where the areas end that the root entry of VMALLOC_START maps. */
const MAPPED_END: u64 = VMALLOC_START + (<u64>1 << PGDIR_SHIFT);

function link_vmap_area(area: vmap_area, next: list_head): void {
  let link = changetype<usize>(sym.vmap_area_root);
  let parent = changetype<rb_node>(0);
  while (load<u64>(link) != 0) {
    parent = changetype<rb_node>(pa(load<u64>(link)));
    const other = vmap_area.from_rb_node(parent);
    const left = area.va_start < other.va_start;
    link = left ? rb_node.addr_of_rb_left(parent) : rb_node.addr_of_rb_right(parent);
  }
  rb_link_node(area.rb_node, parent, link);
  rb_insert_color(area.rb_node, sym.vmap_area_root);
  list_add_tail(area.list, next);
}

/** The lowest gap of `size` bytes in [start, end) becomes an area; null when there is none, or no memory. */
function alloc_vmap_area(size: u64, start: u64, end: u64): vmap_area {
  const area = changetype<vmap_area>(kmem_cache_alloc(sym.vmap_area_cachep, GFP_KERNEL));
  if (isnull(area)) return area;
  const head = sym.vmap_area_list;
  let at = start;
  spin_lock(sym.vmap_area_lock);
  let next = head.next;
  for (; !list_is_head(next, head); next = next.next) {
    const other = vmap_area.from_list(next);
    if (other.va_end <= at) continue;
    if (other.va_start >= at + size) break;
    at = other.va_end;
  }
  const fits = at + size <= end;
  if (fits) {
    area.va_start = at;
    area.va_end = at + size;
    area.subtree_max_size = 0;
    link_vmap_area(area, next);
  }
  spin_unlock(sym.vmap_area_lock);
  if (fits) return area;
  kmem_cache_free(sym.vmap_area_cachep, changetype<usize>(area));
  pr_warn(c`vmap allocation for size %lu failed: use vmalloc=<size> to increase size\n`, size);
  return changetype<vmap_area>(0);
}

/** The area that begins at an address, or null. With the lock held. */
function __find_vmap_area(addr: u64): vmap_area {
  let at = sym.vmap_area_root.rb_node;
  while (!isnull(at)) {
    const area = vmap_area.from_rb_node(at);
    if (addr == area.va_start) return area;
    at = addr < area.va_start ? at.rb_left : at.rb_right;
  }
  return changetype<vmap_area>(0);
}

function free_vmap_area(area: vmap_area): void {
  spin_lock(sym.vmap_area_lock);
  rb_erase(area.rb_node, sym.vmap_area_root);
  list_del(area.list);
  spin_unlock(sym.vmap_area_lock);
  kmem_cache_free(sym.vmap_area_cachep, changetype<usize>(area));
}

export function __get_vm_area(bytes: u64, flags: u64, start: u64, end: u64, caller: u64): vm_struct {
  const none = changetype<vm_struct>(0);
  const vm = changetype<vm_struct>(kzalloc(vm_struct.SIZE, GFP_KERNEL));
  if (isnull(vm)) return none;
  let size = (bytes + PAGE_SIZE - 1) & ~<u64>(PAGE_SIZE - 1);
  if (!(flags & VM_NO_GUARD)) size += PAGE_SIZE;
  const area = alloc_vmap_area(size, start, end);
  if (isnull(area)) {
    kfree(changetype<usize>(vm));
    return none;
  }
  vm.addr_va = area.va_start;
  vm.size = size;
  vm.flags = flags;
  vm.caller_va = caller;
  spin_lock(sym.vmap_area_lock);
  area.vm = vm;
  spin_unlock(sym.vmap_area_lock);
  return vm;
}

/** The virtual address at which page `i` of an area has its entry in the array. */
@inline function page_slot(pages: u64, i: u32): usize {
  return pa(pages + (<u64>i << 3));
}

@inline function area_page(vm: vm_struct, i: u32): page {
  return changetype<page>(pa(load<u64>(page_slot(vm.pages_va, i))));
}

function unmap_pages(vm: vm_struct): void {
  for (let at = vm.addr_va; at < vm.addr_va + vm.size; at += PAGE_SIZE) {
    const pte = kernel_pte(at, false);
    if (pte) store<u64>(pte, 0);
  }
}

/** Enters an area's pages into the kernel's tables; -ENOMEM leaves the first of them there. */
function map_pages(vm: vm_struct, prot: u64): i32 {
  for (let i: u32 = 0; i < vm.nr_pages; i++) {
    const pte = kernel_pte(vm.addr_va + (<u64>i << PAGE_SHIFT), true);
    if (!pte) return -ENOMEM;
    store<u64>(pte, <u64>page_to_phys(area_page(vm, i)) | prot);
  }
  return 0;
}

function free_area_pages(vm: vm_struct): void {
  for (let i: u32 = 0; i < vm.nr_pages; i++) __free_pages(area_page(vm, i), 0);
  atomic_long_sub(vm.nr_pages, sym.nr_vmalloc_pages);
}

function free_array(pages: u64): void {
  if (is_vmalloc_addr(pages)) vfree(pages);
  else kfree(pa(pages));
}

/** Takes an area out of the address space; its pages too when they are its own. */
function __vunmap(addr: u64, own_pages: bool): void {
  spin_lock(sym.vmap_area_lock);
  const area = __find_vmap_area(addr);
  spin_unlock(sym.vmap_area_lock);
  const text = c`Trying to vfree() nonexistent vm area (%px)\n`;
  if (WARN(isnull(area), c`mm/vmalloc.ts`, 241, text, addr)) return;
  const vm = area.vm;
  unmap_pages(vm);
  free_vmap_area(area);
  if (own_pages) {
    free_area_pages(vm);
    free_array(vm.pages_va);
  }
  kfree(changetype<usize>(vm));
}

function alloc_failed(gfp: u32, size: u64): void {
  if (gfp & __GFP_NOWARN || fatal_signal_pending(get_current())) return;
  pr_warn(
    c`%s: vmalloc error: size %lu, failed to allocate pages, mode:0x%x, nodemask=(null)\n`,
    this_cpu.current_task.comm, size, gfp,
  );
  dump_stack();
}

/** Gives an area pages of its own. */
function alloc_area_pages(vm: vm_struct, gfp: u32, prot: u64, count: u32, caller: u64): i32 {
  const array_size = <u64>count << 3;
  if (array_size > PAGE_SIZE) {
    vm.pages_va = __vmalloc_node_range(
      array_size, VMALLOC_START, MAPPED_END, GFP_KERNEL, __PAGE_KERNEL, 0, caller,
    );
  } else vm.pages_va = va(kmalloc(<usize>array_size, GFP_KERNEL));
  if (vm.pages_va == 0) return -ENOMEM;
  for (let i: u32 = 0; i < count; i++) {
    if (fatal_signal_pending(get_current())) return -ENOMEM;
    const p = alloc_page(gfp | __GFP_NOWARN);
    if (isnull(p)) return -ENOMEM;
    store<u64>(page_slot(vm.pages_va, i), va(changetype<usize>(p)));
    vm.nr_pages += 1;
    atomic_long_inc(sym.nr_vmalloc_pages);
  }
  return map_pages(vm, prot);
}

/** `size` bytes in [start, end) of the kernel's addresses; 0 without memory. */
export function __vmalloc_node_range(
  size: u64,
  start: u64,
  end: u64,
  gfp: u32,
  prot: u64,
  flags: u64,
  caller: u64,
): u64 {
  const pages = (size + PAGE_SIZE - 1) >> PAGE_SHIFT;
  if (pages == 0) return 0;
  if (pages > totalram_pages()) {
    pr_warn(c`vmalloc error: size %lu, exceeds total pages\n`, size);
    return 0;
  }
  const vm = __get_vm_area(size, VM_ALLOC | flags, start, end, caller);
  if (isnull(vm)) return 0;
  if (alloc_area_pages(vm, gfp, prot, <u32>pages, caller) == 0) return vm.addr_va;
  alloc_failed(gfp, size);
  __vunmap(vm.addr_va, true);
  return 0;
}

export function __vmalloc(size: u64, gfp: u32, caller: u64): u64 {
  return __vmalloc_node_range(size, VMALLOC_START, MAPPED_END, gfp, __PAGE_KERNEL, 0, caller);
}

/** Memory of whole pages, of whatever content; its virtual address, or 0. */
export function vmalloc(size: u64): u64 {
  return __vmalloc(size, GFP_KERNEL, return_address());
}

/** The same, cleared. */
export function vzalloc(size: u64): u64 {
  return __vmalloc(size, GFP_KERNEL | __GFP_ZERO, return_address());
}

/** Takes 0. */
export function vfree(addr: u64): void {
  if (addr) __vunmap(addr, true);
}

/**
 * Maps `count` pages, whose virtual addresses lie at `pages`, behind each other. They stay the caller's. The
 * address, or 0.
 */
export function vmap(pages: usize, count: u32, flags: u64, prot: u64): u64 {
  const vm = __get_vm_area(<u64>count << PAGE_SHIFT, flags, VMALLOC_START, MAPPED_END, return_address());
  if (isnull(vm)) return 0;
  const addr = vm.addr_va;
  for (let i: u32 = 0; i < count; i++) {
    const pte = kernel_pte(addr + (<u64>i << PAGE_SHIFT), true);
    if (!pte) {
      __vunmap(addr, false);
      return 0;
    }
    const p = changetype<page>(pa(load<u64>(pages + (i << 3))));
    store<u64>(pte, <u64>page_to_phys(p) | prot);
  }
  return addr;
}

/** Ends a vmap(); takes 0. */
export function vunmap(addr: u64): void {
  if (addr) __vunmap(addr, false);
}

function show_area(m: seq_file, vm: vm_struct): void {
  seq_printf(m, c`0x%px-0x%px %7ld`, vm.addr_va, vm.addr_va + vm.size, vm.size);
  if (vm.caller_va) seq_printf(m, c` %pS`, vm.caller_va);
  if (vm.nr_pages) seq_printf(m, c` pages=%d`, vm.nr_pages);
  if (vm.phys_addr) seq_printf(m, c` phys=0x%016llx`, vm.phys_addr);
  if (vm.flags & VM_IOREMAP) seq_puts(m, c` ioremap`);
  if (vm.flags & VM_ALLOC) seq_puts(m, c` vmalloc`);
  if (vm.flags & VM_MAP) seq_puts(m, c` vmap`);
  if (vm.flags & VM_USERMAP) seq_puts(m, c` user`);
  if (is_vmalloc_addr(vm.pages_va)) seq_puts(m, c` vpages`);
  if (vm.nr_pages) seq_printf(m, c` N0=%u`, vm.nr_pages);
  seq_putc(m, 0x0a);
}

/** /proc/vmallocinfo */
export function vmallocinfo_show(m: seq_file, v: usize): i32 {
  const head = sym.vmap_area_list;
  spin_lock(sym.vmap_area_lock);
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const vm = vmap_area.from_list(at).vm;
    if (!isnull(vm)) show_area(m, vm);
  }
  spin_unlock(sym.vmap_area_lock);
  return 0;
}
