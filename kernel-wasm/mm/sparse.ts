/**
 * SPARSEMEM_EXTREME: a directory of pages of mem_sections, 128 MiB each, and the memory map behind vmemmap
 * (mm/sparse.c, sparse-vmemmap.c). Linux maps one map a section; here one run of struct pages covers all of
 * memory, which wastes nothing on a small machine and looks the same through vmemmap.
 */
import {
  CONFIG_CRASH_DUMP,
  NR_SECTION_ROOTS,
  PAGE_SHIFT,
  PAGE_SIZE,
  PAGES_PER_SECTION,
  PFN_SECTION_SHIFT,
  PFN_SUBSECTION_SHIFT,
  PMD_SIZE,
  SECTION_HAS_MEM_MAP,
  SECTION_IS_EARLY,
  SECTION_IS_ONLINE,
  SECTION_MARKED_PRESENT,
  SECTIONS_PER_ROOT,
  VMEMMAP_START,
} from "../include/generated/constants";
import { mem_section, mem_section_usage, page } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { vmemmap_populate } from "../arch/mm/init";
import { panic } from "../kernel/panic";
import {
  memblock_alloc_or_panic,
  memblock_end_of_DRAM,
  memblock_phys_alloc_range,
  memblock_start_of_DRAM,
} from "./memblock";
import { mem_section_usage_size } from "./pageblock";

/** struct pages in a page of the memory map: its ends lie at multiples of these, so that it can be mapped. */
const PAGES_PER_MAP_PAGE: usize = 64;

@inline export function pfn_to_section_nr(pfn: usize): usize {
  return pfn >> PFN_SECTION_SHIFT;
}

@inline function root_slot(nr: usize): usize {
  return pa(sym.mem_section_va) + (nr / SECTIONS_PER_ROOT) * 8;
}

@inline export function __nr_to_section(nr: usize): mem_section {
  const root = pa(load<u64>(root_slot(nr)));
  return changetype<mem_section>(root + (nr % SECTIONS_PER_ROOT) * mem_section.SIZE);
}

@inline export function pfn_to_section(pfn: usize): mem_section {
  return __nr_to_section(pfn_to_section_nr(pfn));
}

/**
 * Builds sections and memory map for all of DRAM; memmap_init sets up the struct pages. The capture kernel's
 * sections all lie in the first root, and nobody dumps it: its directory has one entry.
 */
export function sparse_init(): void {
  const start_pfn = <usize>(memblock_start_of_DRAM() >> PAGE_SHIFT);
  const end_pfn = <usize>(memblock_end_of_DRAM() >> PAGE_SHIFT);
  const roots: usize = CONFIG_CRASH_DUMP ? 1 : NR_SECTION_ROOTS;
  sym.mem_section_va = va(memblock_alloc_or_panic(roots * 8, 64));
  for (let nr = pfn_to_section_nr(start_pfn); nr <= pfn_to_section_nr(end_pfn - 1); nr++) {
    if (!load<u64>(root_slot(nr))) {
      store<u64>(root_slot(nr), va(memblock_alloc_or_panic(SECTIONS_PER_ROOT * mem_section.SIZE, 64)));
    }
    sparse_init_one_section(nr, start_pfn, end_pfn);
  }
  alloc_mem_map(start_pfn, end_pfn);
}

function sparse_init_one_section(nr: usize, start_pfn: usize, end_pfn: usize): void {
  const section = __nr_to_section(nr);
  const usage = changetype<mem_section_usage>(memblock_alloc_or_panic(mem_section_usage_size(), 64));
  const first = max(nr << PFN_SECTION_SHIFT, start_pfn);
  const last = min((nr + 1) << PFN_SECTION_SHIFT, end_pfn) - 1;
  for (let pfn = first & ~((1 << PFN_SUBSECTION_SHIFT) - 1); pfn <= last; pfn += 1 << PFN_SUBSECTION_SHIFT) {
    usage.subsection_map[0] |= <u64>1 << <u64>((pfn & (PAGES_PER_SECTION - 1)) >> PFN_SUBSECTION_SHIFT);
  }
  section.usage = usage;
  section.section_mem_map =
    VMEMMAP_START | SECTION_MARKED_PRESENT | SECTION_HAS_MEM_MAP | SECTION_IS_ONLINE | SECTION_IS_EARLY;
}

/**
 * The map begins at frame 0 when it is large enough for 2 MiB leaves: virtual and physical address must agree
 * mod 2 MiB.
 */
function alloc_mem_map(start_pfn: usize, end_pfn: usize): void {
  const last = (end_pfn + PAGES_PER_MAP_PAGE - 1) & ~(PAGES_PER_MAP_PAGE - 1);
  let first = start_pfn & ~(PAGES_PER_MAP_PAGE - 1);
  let align: u64 = PAGE_SIZE;
  if (first < <usize>PAGES_PER_SECTION && (last - first) * page.SIZE >= PMD_SIZE && !CONFIG_CRASH_DUMP) {
    first = 0;
    align = PMD_SIZE;
  }
  const size = (last - first) * page.SIZE;
  let at = <usize>memblock_phys_alloc_range(size, align, 0, 0);
  if (!at) at = <usize>memblock_phys_alloc_range(size, PAGE_SIZE, 0, 0);
  if (!at) panic(c`Failed to allocate %lu bytes for the memory map\n`, size);
  const from = VMEMMAP_START + <u64>first * page.SIZE;
  // Only a debugger walks the tables to the memory map, and nobody debugs the capture kernel.
  if (!CONFIG_CRASH_DUMP) vmemmap_populate(from, from + size, at);
  sym.vmemmap_phys = <u64>(at - first * page.SIZE);
  sym.mem_map_start_phys = at;
  sym.mem_map_end_phys = <u64>at + size;
}
