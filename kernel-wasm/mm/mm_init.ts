/**
 * The node, its zones and their struct pages (free_area_init and what it calls, mm/page_alloc.c in 5.15),
 * zone lists, watermarks, and the line that tells what memory there is.
 */
import {
  CONFIG_CRASH_DUMP,
  MAX_NR_ZONES,
  MAX_ORDER,
  MIGRATE_TYPES,
  NR_LRU_LISTS,
  N_MEMORY,
  N_NORMAL_MEMORY,
  PAGEBLOCK_NR_PAGES,
  PAGEBLOCK_ORDER,
  PAGE_SHIFT,
  PG_reserved,
  THREAD_SIZE,
  WMARK_HIGH,
  WMARK_LOW,
  WMARK_MIN,
  ZONELIST_FALLBACK,
  ZONELIST_NOFALLBACK,
  ZONE_MOVABLE,
  ZONE_NORMAL,
} from "../include/generated/constants";
import { image_header, page, pglist_data } from "../include/generated/structs";
import { BSS_START, sym } from "../include/generated/symbols";
import { INIT_LIST_HEAD } from "../lib/list";
import { pr_cont, pr_info } from "../kernel/printk/printk";
import {
  memblock_alloc_or_panic,
  memblock_end_of_DRAM,
  memblock_free_size,
  memblock_start_of_DRAM,
  region,
} from "./memblock";
import { NODE_DATA, page_to_pfn } from "./page";
import { init_page_range, zone_of_pfn } from "./page_init";
import { free_reserved_area, memblock_free_all } from "./page_alloc";
import { init_pageblocks } from "./pageblock";
import { shuffle_free_memory } from "./shuffle";
import { nr_free_pages, totalram_pages } from "./vmstat";

function zone_name(i: usize): usize {
  switch (<i32>i) {
    case 0:
      return c`DMA`;
    case 1:
      return c`DMA32`;
    case 2:
      return c`Normal`;
    default:
      return c`Movable`;
  }
}

/** Node 0 from boot memory: with NUMA the pglist_data is no symbol of the image. */
export function initmem_init(): void {
  const node = memblock_alloc_or_panic(pglist_data.SIZE, 64);
  sym.node_data[0] = changetype<pglist_data>(node);
  pr_info(c`NODE_DATA(0) allocated [mem %#010llx-%#010llx]\n`, node, node + pglist_data.SIZE - 1);
}

/** Pages of boot memory in [start, end). */
function present_pages_in(start: u64, end: u64): u64 {
  const memory_type = sym.memblock.memory;
  let pages: u64 = 0;
  for (let i: u64 = 0; i < memory_type.cnt; i++) {
    const r = region(memory_type, i);
    const from = max(r.base >> PAGE_SHIFT, start);
    const to = min((r.base + r.size) >> PAGE_SHIFT, end);
    if (from < to) pages += to - from;
  }
  return pages;
}

/** From the exclusive end of each zone that zone_sizes_init has put into arch_zone_highest_possible_pfn. */
export function free_area_init(): void {
  const lowest = sym.arch_zone_lowest_possible_pfn;
  const highest = sym.arch_zone_highest_possible_pfn;
  const first = memblock_start_of_DRAM() >> PAGE_SHIFT;
  const last = memblock_end_of_DRAM() >> PAGE_SHIFT;
  let start = first;
  for (let i: usize = 0; i < ZONE_MOVABLE; i++) {
    const end = max(min(highest[i], last), start);
    lowest[i] = start;
    highest[i] = end;
    start = end;
  }
  print_zone_ranges();
  const node = NODE_DATA(0);
  node.node_id = 0;
  node.node_start_pfn = first;
  sym.node_states[N_NORMAL_MEMORY].bits[0] = 1;
  sym.node_states[N_MEMORY].bits[0] = 1;
  sym.pageblock_order = PAGEBLOCK_ORDER;
  pr_info(c`Initmem setup node 0 [mem %#018llx-%#018llx]\n`, first << PAGE_SHIFT, (last << PAGE_SHIFT) - 1);
  init_lruvec(node);
  for (let i: usize = 0; i < MAX_NR_ZONES; i++) free_area_init_zone(node, i);
  node.node_spanned_pages = last - first;
  init_pageblocks(<usize>first, <usize>last);
  memmap_init();
}

function print_zone_ranges(): void {
  pr_info(c`Zone ranges:\n`);
  for (let i: usize = 0; i < ZONE_MOVABLE; i++) {
    const from = sym.arch_zone_lowest_possible_pfn[i];
    const to = sym.arch_zone_highest_possible_pfn[i];
    if (from == to) pr_info(c`  %-8s empty\n`, zone_name(i));
    else {
      pr_info(c`  %-8s [mem %#018llx-%#018llx]\n`, zone_name(i), from << PAGE_SHIFT, (to << PAGE_SHIFT) - 1);
    }
  }
  pr_info(c`Movable zone start for each node\n`);
  pr_info(c`Early memory node ranges\n`);
  const memory_type = sym.memblock.memory;
  for (let i: u64 = 0; i < memory_type.cnt; i++) {
    const r = region(memory_type, i);
    pr_info(c`  node %3d: [mem %#018llx-%#018llx]\n`, 0, r.base, r.base + r.size - 1);
  }
}

function init_lruvec(node: pglist_data): void {
  for (let i: usize = 0; i < NR_LRU_LISTS; i++) INIT_LIST_HEAD(node.__lruvec.lists[i]);
  node.__lruvec.pgdat = node;
}

function free_area_init_zone(node: pglist_data, i: usize): void {
  const z = node.node_zones[i];
  z.name = zone_name(i);
  z.node = 0;
  z.zone_pgdat = node;
  const start = i < ZONE_MOVABLE ? sym.arch_zone_lowest_possible_pfn[i] : 0;
  const end = i < ZONE_MOVABLE ? sym.arch_zone_highest_possible_pfn[i] : 0;
  z.spanned_pages = end - start;
  z.zone_start_pfn = end > start ? start : 0;
  z.present_pages = present_pages_in(start, end);
  // An estimate until memblock_free_all counts: what is not reserved now.
  z.managed_pages.counter = <i64>(memblock_free_size(start << PAGE_SHIFT, end << PAGE_SHIFT) >> PAGE_SHIFT);
  node.node_present_pages += z.present_pages;
  for (let order: usize = 0; order < MAX_ORDER; order++) {
    const area = z.free_area[order];
    for (let type: usize = 0; type < MIGRATE_TYPES; type++) INIT_LIST_HEAD(area.free_list[type]);
    area.nr_free = 0;
  }
  if (!z.spanned_pages) return;
  z.initialized = 1;
  node.nr_zones = <i32>i + 1;
}

/** Reserves every page, those without memory behind them too; memblock_free_all gives back what is free. */
function memmap_init(): void {
  const first = page_to_pfn(changetype<page>(<usize>sym.mem_map_start_phys));
  const end = first + <usize>(sym.mem_map_end_phys - sym.mem_map_start_phys) / page.SIZE;
  init_page_range(first, end, (<u64>1) << PG_reserved, 1);
  const memory_type = sym.memblock.memory;
  let hole = first;
  for (let i: u64 = 0; i < memory_type.cnt; i++) {
    const r = region(memory_type, i);
    print_unavailable_range(hole, <usize>(r.base >> PAGE_SHIFT));
    hole = <usize>((r.base + r.size) >> PAGE_SHIFT);
  }
  print_unavailable_range(hole, end);
}

function print_unavailable_range(start: usize, end: usize): void {
  if (start >= end) return;
  pr_info(
    c`On node 0, zone %s: %lld pages in unavailable ranges\n`, zone_name(zone_of_pfn(start)), end - start,
  );
}

function managed(i: usize): u64 {
  return <u64>NODE_DATA(0).node_zones[i].managed_pages.counter;
}

/** Which zones to try, the highest first. */
export function build_all_zonelists(): void {
  const node = NODE_DATA(0);
  let n: usize = 0;
  let pages: u64 = 0;
  for (let i: i32 = ZONE_MOVABLE; i >= 0; i--) {
    const z = node.node_zones[i];
    if (!z.managed_pages.counter) continue;
    pages += managed(i) - min(managed(i), z._watermark[WMARK_HIGH]);
    for (let list: usize = ZONELIST_FALLBACK; list <= ZONELIST_NOFALLBACK; list++) {
      const ref = node.node_zonelists[list]._zonerefs[n];
      ref.zone = z;
      ref.zone_idx = i;
    }
    n++;
  }
  const disabled = pages < PAGEBLOCK_NR_PAGES * MIGRATE_TYPES;
  sym.page_group_by_mobility_disabled = disabled ? 1 : 0;
  pr_info(
    c`Built %u zonelists, mobility grouping %s.  Total pages: %ld\n`,
    sym.nr_online_nodes,
    disabled ? c`off` : c`on`,
    pages,
  );
  pr_info(c`Policy zone: %s\n`, zone_name(n && managed(1) ? 1 : 0));
}

/** Integer square root. */
export function int_sqrt(x: u64): u64 {
  let root: u64 = 0;
  for (let bit: u64 = 1 << 31; bit; bit >>= 1) if ((root | bit) * (root | bit) <= x) root |= bit;
  return root;
}

/**
 * min_free_kbytes = sqrt(16 * lowmem), between 128K and 256M. Linux's 128K would be a third of what a capture
 * kernel in a region of 1 MiB has: below 4 MiB the reserve is a thirty-second of memory instead.
 */
export function init_per_zone_wmark_min(): void {
  let pages: u64 = 0;
  for (let i: usize = 0; i <= ZONE_NORMAL; i++) pages += managed(i);
  const lowmem_kbytes = pages << (PAGE_SHIFT - 10);
  const least = min<u64>(128, lowmem_kbytes / 32);
  if (sym.user_min_free_kbytes < 0) {
    const root = lowmem_kbytes < 4096 ? least : int_sqrt(lowmem_kbytes * 16);
    sym.min_free_kbytes = <i32>min<u64>(max(root, least), 262144);
  }
  setup_per_zone_wmarks(pages);
  setup_per_zone_lowmem_reserve();
  calculate_totalreserve_pages();
}

/** A sysctl has changed what they follow from. */
export function update_per_zone_wmarks(): void {
  let pages: u64 = 0;
  for (let i: usize = 0; i <= ZONE_NORMAL; i++) pages += managed(i);
  setup_per_zone_wmarks(pages);
  calculate_totalreserve_pages();
}

function setup_per_zone_wmarks(lowmem_pages: u64): void {
  const pages_min = <u64>sym.min_free_kbytes >> (PAGE_SHIFT - 10);
  for (let i: usize = 0; i < MAX_NR_ZONES; i++) {
    const z = NODE_DATA(0).node_zones[i];
    if (!managed(i)) continue;
    const least = (pages_min * managed(i)) / lowmem_pages;
    const step = max(least >> 2, (managed(i) * <u64>sym.watermark_scale_factor) / 10000);
    z.watermark_boost = 0;
    z._watermark[WMARK_MIN] = least;
    z._watermark[WMARK_LOW] = least + step;
    z._watermark[WMARK_HIGH] = least + step * 2;
  }
}

/** A zone keeps pages back from allocations that a higher zone could serve. */
function setup_per_zone_lowmem_reserve(): void {
  for (let i: usize = 0; i < MAX_NR_ZONES - 1; i++) {
    const ratio = sym.sysctl_lowmem_reserve_ratio[i];
    const z = NODE_DATA(0).node_zones[i];
    let above: u64 = 0;
    for (let j = i + 1; j < MAX_NR_ZONES; j++) {
      above += managed(j);
      z.lowmem_reserve[j] = ratio < 1 || !managed(i) ? 0 : <i64>(above / <u64>ratio);
    }
  }
}

function calculate_totalreserve_pages(): void {
  let reserve: u64 = 0;
  for (let i: usize = 0; i < MAX_NR_ZONES; i++) {
    const z = NODE_DATA(0).node_zones[i];
    let most: i64 = 0;
    for (let j = i; j < MAX_NR_ZONES; j++) most = max(most, z.lowmem_reserve[j]);
    reserve += min(<u64>most + z._watermark[WMARK_HIGH], managed(i));
  }
  NODE_DATA(0).totalreserve_pages = reserve;
  sym.totalreserve_pages = reserve;
}

/**
 * The module's bytes: the CPU took them in when it started, as a bzImage's payload is unpacked once, and in a
 * crash region of 1 MiB they would be half of what is left to live in. But for the boot stack, which lies
 * among them. The first kernel keeps them: its memory is dumped.
 */
function free_initmem(): void {
  const stack_top = sym__text() + changetype<image_header>(sym__text()).stack_offset;
  free_reserved_area(sym___wasm_start(), stack_top - THREAD_SIZE, c`unused kernel image (initmem)`);
  free_reserved_area(stack_top, sym___wasm_end(), c`unused kernel image (initmem)`);
}

/**
 * Boot memory becomes the page allocator's; call before the first alloc_pages and after the last
 * memblock_alloc.
 */
export function mem_init(): void {
  memblock_free_all();
  if (CONFIG_CRASH_DUMP) free_initmem();
  shuffle_free_memory();
  init_per_zone_wmark_min();
  mem_init_print_info();
}

function mem_init_print_info(): void {
  const physpages = NODE_DATA(0).node_present_pages;
  const shift: u64 = PAGE_SHIFT - 10;
  const code = sym__etext() - sym__text();
  const rodata = __base - sym__etext();
  const bss = sym__end() - (__base + BSS_START);
  pr_info(
    c`Memory: %luK/%luK available (%luK kernel code, %luK rwdata, %luK rodata, %luK init, %luK bss, `,
    nr_free_pages() << shift,
    physpages << shift,
    code >> 10,
    BSS_START >> 10,
    rodata >> 10,
    0,
    bss >> 10,
  );
  const reserved = physpages - totalram_pages() - sym.totalcma_pages;
  pr_cont(c`%luK reserved, %luK cma-reserved)\n`, reserved << shift, sym.totalcma_pages << shift);
}
