/**
 * Module space and the code table (arch/x86/kernel/module.c). Modules live in one block of memory, taken when
 * the first one is loaded and mapped at MODULES_VADDR, page by page as modules have them; so code translates
 * their addresses without page tables (include/addr.ts). What a CPU may run beside the kernel's own code
 * stands in the code table in memory; sync_core() has it look there.
 */
import {
  GFP_KERNEL,
  MODULES_MAX,
  MODULES_VADDR,
  MODULE_SPACE_ORDER,
  NR_PAGETABLE,
  PAGE_SHIFT,
  PAGE_SIZE,
  PMD_SHIFT,
  PTRS_PER_PTE,
  _KERNPG_TABLE,
  __GFP_ZERO,
  __START_KERNEL_map,
} from "../../include/generated/constants";
import { code_entry, image_header } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { __SetPageTable, phys_to_page } from "../../mm/page";
import { __get_free_pages, free_pages } from "../../mm/page_alloc";
import { mod_node_page_state } from "../../mm/vmstat";

@external("hw", "load_code_table") declare function hw_load_code_table(table: usize): void;
@external("hw", "sync_core") declare function hw_sync_core(): u32;

const SPACE_PAGES: u32 = 1 << MODULE_SPACE_ORDER;

/** The level-2 entry of module space: it follows the image's 512 MiB, and one table maps all of it. */
@inline function space_pmd(): u32 {
  return <u32>(<u64>(MODULES_VADDR - __START_KERNEL_map) >> <u64>PMD_SHIFT) & (PTRS_PER_PTE - 1);
}

/** Memory and page table of module space; false when there is none. */
function module_space_init(): bool {
  if (sym.module_space_phys) return true;
  const block = __get_free_pages(GFP_KERNEL, MODULE_SPACE_ORDER);
  if (!block) return false;
  const table = __get_free_pages(GFP_KERNEL | __GFP_ZERO, 0);
  if (!table) {
    free_pages(block, MODULE_SPACE_ORDER);
    return false;
  }
  __SetPageTable(phys_to_page(table));
  mod_node_page_state(NR_PAGETABLE, 1);
  sym.level2_kernel_pgt[space_pmd()] = <u64>table | _KERNPG_TABLE;
  sym.module_space_phys = block;
  return true;
}

/** Bits of `pages` pages from page `first` on. */
@inline function span(first: u32, pages: u32): u64 {
  return (pages >= 64 ? u64.MAX_VALUE : ((<u64>1 << <u64>pages) - 1)) << <u64>first;
}

/** Zeroed pages of module space, lowest first; the physical address, 0 when they do not fit. */
export function module_alloc(size: u32): usize {
  if (!module_space_init()) return 0;
  const pages = (size + PAGE_SIZE - 1) >> PAGE_SHIFT;
  for (let first: u32 = 0; first + pages <= SPACE_PAGES; first++) {
    const bits = span(first, pages);
    if (sym.module_space_pages & bits) continue;
    const at = <usize>sym.module_space_phys + (first << PAGE_SHIFT);
    memory.fill(at, 0, pages << PAGE_SHIFT);
    sym.module_space_pages |= bits;
    return at;
  }
  return 0;
}

/** Enters pages of a module into the page table; `prot` 0 takes them out. */
export function module_set_memory(at: usize, size: u32, prot: u64): void {
  const table = <usize>(sym.level2_kernel_pgt[space_pmd()] & ~<u64>(PAGE_SIZE - 1));
  const first = <u32>(at - <usize>sym.module_space_phys) >> PAGE_SHIFT;
  for (let i: u32 = 0; i < size >> PAGE_SHIFT; i++) {
    store<u64>(table + ((first + i) << 3), prot ? <u64>(at + (i << PAGE_SHIFT)) | prot : 0);
  }
}

/** From here on function pointers may lead into these pages. */
export function module_set_text(at: usize, size: u32): void {
  sym.module_space_text |= span(<u32>(at - <usize>sym.module_space_phys) >> PAGE_SHIFT, size >> PAGE_SHIFT);
}

export function module_memfree(at: usize, size: u32): void {
  const pages = (size + PAGE_SIZE - 1) >> PAGE_SHIFT;
  module_set_memory(at, pages << PAGE_SHIFT, 0);
  const bits = span(<u32>(at - <usize>sym.module_space_phys) >> PAGE_SHIFT, pages);
  sym.module_space_text &= ~bits;
  sym.module_space_pages &= ~bits;
}

/** The first of `count` free slots of the function table, behind the kernel's own. */
export function module_table_base(count: u32): u32 {
  let base = changetype<image_header>(sym__text()).table_size;
  const table = sym.code_table;
  for (let i: u32 = 0; i < table.count; i++) {
    const entry: code_entry = table.entries[i];
    if (base + count <= entry.table_base || entry.table_base + entry.table_slots <= base) continue;
    base = entry.table_base + entry.table_slots;
    i = u32.MAX_VALUE;
  }
  return base;
}

/** Makes code runnable on every CPU; false when the table is full, or it is no code. */
export function code_table_add(start: usize, size: u32, table_base: u32, table_slots: u32): bool {
  const table = sym.code_table;
  if (table.count == MODULES_MAX) return false;
  const entry: code_entry = table.entries[table.count];
  entry.generation = table.generation + 1;
  entry.start = start;
  entry.size = size;
  entry.table_base = table_base;
  entry.table_slots = table_slots;
  table.count += 1;
  table.generation += 1;
  if (hw_sync_core()) return true;
  code_table_remove(start, size);
  return false;
}

/** Takes out the code that lies in these bytes; the slots of the function table that led there are empty. */
export function code_table_remove(base: usize, size: u32): void {
  const table = sym.code_table;
  for (let i: u32 = 0; i < table.count; i++) {
    const entry: code_entry = table.entries[i];
    if (<usize>entry.start - base >= size) continue;
    const last: code_entry = table.entries[table.count - 1];
    memory.copy(changetype<usize>(entry), changetype<usize>(last), code_entry.SIZE);
    table.count -= 1;
    table.generation += 1;
    hw_sync_core();
    return;
  }
}

/** For each CPU, when it starts. */
export function load_code_table(): void {
  hw_load_code_table(sym.addr_of_code_table());
}
