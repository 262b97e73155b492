/**
 * Page tables: four levels of 512 entries, as the hardware and the tools walk them. Entries hold physical
 * addresses, so tables are plain arrays of u64. Kernel ranges are mapped at boot by map_range; user pages one
 * at a time, in tables that come from the page allocator and count as page tables.
 *
 *     pgd 47..39 -> pud 38..30 (1 GiB leaf) -> pmd 29..21 (2 MiB leaf) -> pte 20..12
 */
import {
  CONFIG_CRASH_DUMP,
  CONFIG_SMP,
  GFP_KERNEL,
  KERNEL_PGD_BOUNDARY,
  NR_PAGETABLE,
  PAGE_SHIFT,
  PAGE_SIZE,
  PGDIR_SHIFT,
  PROT_EXEC,
  PROT_WRITE,
  PTE_PFN_MASK,
  PTRS_PER_PGD,
  PTRS_PER_PTE,
  _KERNPG_TABLE,
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_NX,
  _PAGE_PRESENT,
  _PAGE_PSE,
  _PAGE_RW,
  _PAGE_TABLE,
  _PAGE_USER,
  __GFP_ZERO,
} from "../../include/generated/constants";
import { page } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { memblock_alloc_or_panic } from "../../mm/memblock";
import { __ClearPageTable, __SetPageTable, page_to_phys, phys_to_page } from "../../mm/page";
import { __get_free_pages, free_page, put_page } from "../../mm/page_alloc";
import { mod_node_page_state } from "../../mm/vmstat";

const LEVEL_BITS: u32 = 9;

/** Address of the entry for `addr` in `table`, whose entries each span 2^shift bytes. */
@inline function entry_at(table: usize, addr: u64, shift: u32): usize {
  return table + ((<usize>(addr >> <u64>shift) & (PTRS_PER_PTE - 1)) << 3);
}

@inline function entry_target(entry: u64): usize {
  return <usize>(entry & PTE_PFN_MASK);
}

/**
 * Maps [start, end) to physical memory at `phys` by leaves of at most 2^leaf_shift bytes, with tables from
 * boot memory. `root` spans 2^(root_shift + 9) bytes; all addresses are page aligned. `prot` is
 * that of a 4 KiB page.
 */
export function map_range(
  root: usize,
  root_shift: u32,
  start: u64,
  end: u64,
  phys: u64,
  leaf_shift: u32,
  prot: u64,
): void {
  let at = start;
  let to = phys;
  while (at < end) {
    let table = root;
    let shift = root_shift;
    for (;;) {
      const size = <u64>1 << <u64>shift;
      const entry = entry_at(table, at, shift);
      if (shift <= leaf_shift && ((at | to) & (size - 1)) == 0 && (shift == PAGE_SHIFT || end - at >= size)) {
        store<u64>(entry, to | prot | (shift == PAGE_SHIFT ? 0 : _PAGE_PSE));
        at += size;
        to += size;
        break;
      }
      if (!(load<u64>(entry) & _PAGE_PRESENT)) {
        store<u64>(entry, <u64>memblock_alloc_or_panic(PAGE_SIZE, PAGE_SIZE) | _KERNPG_TABLE);
      }
      table = entry_target(load<u64>(entry));
      shift -= LEVEL_BITS;
    }
  }
}

/** The leaf entry that maps `addr`, or 0; with `write`, only a writable one, with `user` only a user one. */
function walk(pgd: usize, addr: u64, need: u64): u64 {
  let table = pgd;
  let shift: u32 = PGDIR_SHIFT;
  while (true) {
    const entry = load<u64>(entry_at(table, addr, shift));
    if ((entry & need) != need) return 0;
    if (shift == PAGE_SHIFT || entry & _PAGE_PSE) {
      const offset_mask = ((<u64>1 << <u64>shift) - 1) & ~<u64>(PAGE_SIZE - 1);
      return (entry & ~offset_mask) | (addr & offset_mask);
    }
    table = entry_target(entry);
    shift -= LEVEL_BITS;
  }
}

/**
 * Physical address behind a kernel virtual one by the page tables, as slow_virt_to_phys does; 0 when
 * unmapped.
 */
export function slow_virt_to_phys(addr: u64): usize {
  const leaf = walk(sym.addr_of_swapper_pg_dir(), addr, _PAGE_PRESENT);
  return leaf ? entry_target(leaf) | <usize>(addr & (PAGE_SIZE - 1)) : 0;
}

/** Physical address of a user address in `pgd`, or 0 when the access would fault. */
export function follow_user(pgd: usize, addr: usize, write: bool): usize {
  const need: u64 = _PAGE_PRESENT | _PAGE_USER | (write ? _PAGE_RW : 0);
  const slot = user_pte_slot(pgd, addr);
  const leaf = slot ? load<u64>(slot) : 0;
  if ((leaf & need) != need) return 0;
  // As the hardware does.
  if (!CONFIG_CRASH_DUMP && !(leaf & _PAGE_ACCESSED)) store<u64>(slot, leaf | _PAGE_ACCESSED);
  return entry_target(leaf) | (addr & (PAGE_SIZE - 1));
}

/** Enters a new table; false when another CPU was first. */
function install_table(entry: usize, value: u64): bool {
  if (CONFIG_SMP) return atomic.cmpxchg<u64>(entry, 0, value) == 0;
  store<u64>(entry, value);
  return true;
}

/**
 * Address of the entry for a page at `addr` in the kernel's own tables, or 0 without a table for it; with
 * `alloc` the tables that are missing are made, and 0 is no memory for one. They never go again.
 */
export function kernel_pte(addr: u64, alloc: bool): usize {
  let table = sym.addr_of_swapper_pg_dir();
  for (let shift: u32 = PGDIR_SHIFT; shift > PAGE_SHIFT; shift -= LEVEL_BITS) {
    const entry = entry_at(table, addr, shift);
    if (!(load<u64>(entry) & _PAGE_PRESENT)) {
      const lower = alloc ? __get_free_pages(GFP_KERNEL | __GFP_ZERO, 0) : 0;
      if (!lower) return 0;
      if (!install_table(entry, <u64>lower | _KERNPG_TABLE)) free_page(lower);
    }
    table = entry_target(load<u64>(entry));
  }
  return entry_at(table, addr, PAGE_SHIFT);
}

/** A cleared page that serves as a table. */
function alloc_table(): usize {
  const table = __get_free_pages(GFP_KERNEL | __GFP_ZERO, 0);
  if (table) {
    __SetPageTable(phys_to_page(table));
    mod_node_page_state(NR_PAGETABLE, 1);
  }
  return table;
}

function free_table(table: usize): void {
  __ClearPageTable(phys_to_page(table));
  mod_node_page_state(NR_PAGETABLE, -1);
  free_page(table);
}

/**
 * Page tables for a new address space: the kernel's half is shared by its entries. 0 when there is no memory.
 */
export function pgd_alloc(): usize {
  const pgd = alloc_table();
  if (!pgd) return 0;
  const half = KERNEL_PGD_BOUNDARY * 8;
  memory.copy(pgd + half, sym.addr_of_swapper_pg_dir() + half, (PTRS_PER_PGD - KERNEL_PGD_BOUNDARY) * 8);
  return pgd;
}

/** Address of the last-level entry for a user address, with the tables that are missing; 0 without memory. */
export function user_pte_alloc(pgd: usize, addr: usize): usize {
  let table = pgd;
  for (let shift: u32 = PGDIR_SHIFT; shift > PAGE_SHIFT; shift -= LEVEL_BITS) {
    const entry = entry_at(table, addr, shift);
    if (!(load<u64>(entry) & _PAGE_PRESENT)) {
      const lower = alloc_table();
      if (!lower) return 0;
      if (!install_table(entry, <u64>lower | _PAGE_TABLE)) free_table(lower);
    }
    table = entry_target(load<u64>(entry));
  }
  return entry_at(table, addr, PAGE_SHIFT);
}

/** The entry that maps `p` for user mode. */
export function mk_pte(p: page, prot: u32): u64 {
  let pte: u64 = <u64>page_to_phys(p) | (_PAGE_PRESENT | _PAGE_USER | _PAGE_ACCESSED);
  if (prot & PROT_WRITE) pte |= _PAGE_RW | _PAGE_DIRTY;
  return prot & PROT_EXEC ? pte : pte | _PAGE_NX;
}

@inline export function pte_present(pte: u64): bool {
  return (pte & _PAGE_PRESENT) != 0;
}

@inline export function pte_write(pte: u64): bool {
  return (pte & _PAGE_RW) != 0;
}

@inline export function pte_page(pte: u64): page {
  return phys_to_page(entry_target(pte));
}

/** Address of the last-level entry for a user address, or 0 when there is no table for it. */
export function user_pte_slot(pgd: usize, addr: usize): usize {
  let table = pgd;
  for (let shift: u32 = PGDIR_SHIFT; shift > PAGE_SHIFT; shift -= LEVEL_BITS) {
    const entry = load<u64>(entry_at(table, addr, shift));
    if (!(entry & _PAGE_PRESENT)) return 0;
    table = entry_target(entry);
  }
  return entry_at(table, addr, PAGE_SHIFT);
}

/** Address of the present last-level entry for a user address, or 0. */
export function user_pte(pgd: usize, addr: usize): usize {
  const entry = user_pte_slot(pgd, addr);
  return entry && load<u64>(entry) & _PAGE_PRESENT ? entry : 0;
}

/**
 * Takes a user page out of the tables and returns it, its reference with it; null when nothing was mapped.
 */
export function unmap_user_page(pgd: usize, addr: usize): page {
  const entry = user_pte(pgd, addr);
  if (!entry) return changetype<page>(0);
  const p = phys_to_page(entry_target(load<u64>(entry)));
  store<u64>(entry, 0);
  return p;
}

function free_user_level(table: usize, entries: i32, shift: u32): void {
  for (let i = 0; i < entries; i++) {
    const entry = load<u64>(table + (i << 3));
    if (!(entry & _PAGE_PRESENT)) continue;
    if (shift == PAGE_SHIFT) put_page(phys_to_page(entry_target(entry)));
    else {
      free_user_level(entry_target(entry), PTRS_PER_PTE, shift - LEVEL_BITS);
      free_table(entry_target(entry));
    }
    store<u64>(table + (i << 3), 0);
  }
}

/** Drops every user page that is still mapped and the tables of the user half; `pgd` itself stays. */
export function free_user_pages(pgd: usize): void {
  free_user_level(pgd, KERNEL_PGD_BOUNDARY, PGDIR_SHIFT);
}

/** Frees the root, after free_user_pages. */
export function pgd_free(pgd: usize): void {
  free_table(pgd);
}
