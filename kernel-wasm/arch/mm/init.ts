/**
 * The kernel's page tables and memory at boot (arch/x86/mm/init.c, init_64.c): direct map, image, vmemmap,
 * zone limits. The capture kernel maps all of memory by 1 GiB leaves, since its few pages are dear; the
 * production kernel maps RAM exactly, by 2 MiB leaves and 4 KiB ones at the end.
 */
import {
  CONFIG_CRASH_DUMP,
  CONFIG_STRICT_KERNEL_RWX,
  MAX_DMA32_PFN,
  MAX_DMA_PFN,
  PAGE_OFFSET,
  PAGE_SHIFT,
  PAGE_SIZE,
  PGDIR_SHIFT,
  PMD_SHIFT,
  PMD_SIZE,
  PTRS_PER_PUD,
  PUD_SHIFT,
  PUD_SIZE,
  ZONE_DMA,
  ZONE_DMA32,
  ZONE_NORMAL,
  _KERNPG_TABLE,
  __PAGE_KERNEL,
  __PAGE_KERNEL_EXEC,
  __PAGE_KERNEL_RO,
  __PAGE_KERNEL_ROX,
  __START_KERNEL,
  __START_KERNEL_map,
} from "../../include/generated/constants";
import { image_header } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { free_area_init, initmem_init } from "../../mm/mm_init";
import { sparse_init } from "../../mm/sparse";
import { map_range } from "./pgtable";

@external("hw", "write_cr3") declare function hw_write_cr3(pgd: usize): void;

/** Entries of the image's address range in the two tables above its pages. */
const KERNEL_PGD_INDEX = 511;
const KERNEL_PUD_INDEX = PTRS_PER_PUD - 2;

/** Bytes from _text to _end, or to the end of the boot stack where that follows _end. */
export function kernel_image_size(): usize {
  return changetype<image_header>(sym__text()).mem_size;
}

/** A part of the image, from one page boundary to the next. */
function map_image_part(level2: usize, start: u64, end: u64, prot: u64): void {
  const phys = <u64>(<u32>(start - __START_KERNEL_map) + <u32>__phys_base);
  map_range(level2, PMD_SHIFT, start, end, phys, PAGE_SHIFT, prot);
}

/**
 * The image at its link address: page by page, text and constants not to be written and only text to be run
 * (CONFIG_STRICT_KERNEL_RWX); else by 2 MiB leaves when it is loaded where it was linked, modulo 2 MiB.
 */
function map_kernel_image(): void {
  const level3 = sym.addr_of_level3_kernel_pgt();
  const level2 = sym.addr_of_level2_kernel_pgt();
  memory.fill(level3, 0, PAGE_SIZE);
  memory.fill(level2, 0, PAGE_SIZE);
  sym.swapper_pg_dir[KERNEL_PGD_INDEX] = <u64>level3 | _KERNPG_TABLE;
  sym.level3_kernel_pgt[KERNEL_PUD_INDEX] = <u64>level2 | _KERNPG_TABLE;
  if (CONFIG_STRICT_KERNEL_RWX) {
    const text = va(sym__text());
    const rodata = va(sym__etext());
    const data = va(__base);
    map_image_part(level2, text, rodata, __PAGE_KERNEL_ROX);
    map_image_part(level2, rodata, data, __PAGE_KERNEL_RO);
    map_image_part(level2, data, __START_KERNEL + kernel_image_size(), __PAGE_KERNEL);
    return;
  }
  const large = (<u32>__phys_base & (PMD_SIZE - 1)) == 0;
  const align: u64 = large ? PMD_SIZE : PAGE_SIZE;
  const start = __START_KERNEL & ~(align - 1);
  const end = (__START_KERNEL + kernel_image_size() + align - 1) & ~(align - 1);
  const phys = <u64>(<u32>(start - __START_KERNEL_map) + <u32>__phys_base);
  map_range(level2, PMD_SHIFT, start, end, phys, large ? PMD_SHIFT : PAGE_SHIFT, __PAGE_KERNEL_EXEC);
}

/** Builds swapper_pg_dir and loads it; needs memblock, before anything large is reserved. */
export function init_mem_mapping(): void {
  const pgd = sym.addr_of_swapper_pg_dir();
  memory.fill(pgd, 0, PAGE_SIZE);
  if (CONFIG_CRASH_DUMP) {
    const end = ((sym.max_pfn << PAGE_SHIFT) + PUD_SIZE - 1) & ~<u64>(PUD_SIZE - 1);
    map_range(pgd, PGDIR_SHIFT, PAGE_OFFSET, PAGE_OFFSET + end, 0, PUD_SHIFT, __PAGE_KERNEL);
  } else {
    map_kernel_image();
    const end = PAGE_OFFSET + (sym.max_pfn << PAGE_SHIFT);
    map_range(pgd, PGDIR_SHIFT, PAGE_OFFSET, end, 0, PMD_SHIFT, __PAGE_KERNEL);
  }
  hw_write_cr3(pgd);
}

/** Maps a stretch of the memory map; 2 MiB leaves where both addresses are aligned. */
export function vmemmap_populate(start: u64, end: u64, phys: usize): void {
  map_range(sym.addr_of_swapper_pg_dir(), PGDIR_SHIFT, start, end, phys, PMD_SHIFT, __PAGE_KERNEL);
}

/** Sections, memory map and zones. Boot memory can still be allocated afterwards. */
export function paging_init(): void {
  initmem_init();
  sparse_init();
  zone_sizes_init();
}

function zone_sizes_init(): void {
  sym.arch_zone_highest_possible_pfn[ZONE_DMA] = min<u64>(MAX_DMA_PFN, sym.max_low_pfn);
  sym.arch_zone_highest_possible_pfn[ZONE_DMA32] = min<u64>(MAX_DMA32_PFN, sym.max_low_pfn);
  sym.arch_zone_highest_possible_pfn[ZONE_NORMAL] = sym.max_low_pfn;
  free_area_init();
}
