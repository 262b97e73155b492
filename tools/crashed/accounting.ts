/**
 * The crashed kernel's own accounting at the moment of the crash, read from its memory: a truth to compare
 * the tools' reports with. After the run the first kernel's memory still stands; only the low 640 KiB and the
 * crash region, where none of this lies, have changed.
 */
import {
  address_space,
  constants,
  hstate,
  inode,
  page as pageLayout,
  resource,
  super_block,
  virtio_balloon,
} from "../../build/generated/offsets.ts";
import { hostProc } from "../../runtime/adapter/index.ts";
import type { PhysicalMemory } from "../../runtime/index.ts";
import { FileBytes } from "../dump/bytes.ts";
import type { KernelDump } from "../dump/memory-source.ts";
import { openDump } from "../dump/open.ts";
import type { PageBitmap } from "../dump/page-bitmap.ts";
import type { SystemMap } from "./system-map.ts";

/** Physical address and bytes. */
export interface CrashRegion {
  base: number;
  size: number;
}

/** Pages of 4 KiB, by the classes that makedumpfile's dump levels know. */
export interface PageCounts {
  /** Counted here: pages of zeros in the dump that are in no other class. */
  zero: number;
  /** File pages on the LRU lists, without private data: the LRU counters less the next. */
  cache: number;
  /** File pages with private data (buffers): those of the block devices. */
  cache_private: number;
  /** Anonymous pages on the LRU lists, and the pool of huge pages. */
  user: number;
  /** NR_FREE_PAGES. */
  free: number;
  hwpoison: number;
  offline: number;
  /** All pages that the dump holds. */
  total: number;
}

const PAGE_SIZE = 4096;
/** Pages that are read at once. */
const READ_PAGES = 64;
/**
 * page._mapcount of the first page of a free block, whose `private` is the block's order; of an offline page.
 */
const PAGE_BUDDY_MAPCOUNT_VALUE = 0xffffff7f;
const PAGE_OFFLINE_MAPCOUNT_VALUE = 0xfffffeff;
/** PAGE_MAPPING_ANON: bit 0 of page.mapping. */
const PAGE_MAPPING_ANON = 1;

/** What the memory map says of a page; 0 is none of these. */
export const CLASSES = ["none", "cache", "cache_private", "user", "free", "hwpoison", "offline"] as const;
type PageClass = (typeof CLASSES)[number];
/** Pages of a huge page. */
const HUGE_PAGES = 512;

/** crashk_res; undefined when nothing was reserved. */
export function crashRegion(memory: PhysicalMemory, symbols: SystemMap): CrashRegion | undefined {
  const at = symbols.physical("crashk_res");
  const base = memory.u64(at + resource.start);
  const end = memory.u64(at + resource.end);
  return end > base ? { base, size: end - base + 1 } : undefined;
}

/** The kernel's own counters, which no look at the dump is needed for. */
export function countedPages(memory: PhysicalMemory, symbols: SystemMap): Omit<PageCounts, "zero" | "total"> {
  const zone = (item: number): number => memory.u64(symbols.physical("vm_zone_stat") + item * 8);
  const node = (item: number): number => memory.u64(symbols.physical("vm_node_stat") + item * 8);
  // Pages of ramfs cannot be evicted, and stay on a list of their own.
  const file_lru = ["NR_ACTIVE_FILE", "NR_INACTIVE_FILE", "NR_UNEVICTABLE"] as const;
  // A page that reclaim has in its hands is on no list.
  const anon_lru = ["NR_ACTIVE_ANON", "NR_INACTIVE_ANON", "NR_ISOLATED_ANON"] as const;
  const sum = (items: readonly (typeof file_lru | typeof anon_lru)[number][]): number =>
    items.reduce<number>((pages, item) => pages + node(constants[item]), 0);
  const cache_private = bufferPages(memory, symbols);
  const hugepages = memory.u64(symbols.physical("hstates") + hstate.nr_huge_pages);
  return {
    cache: sum(file_lru) - cache_private,
    cache_private,
    user: sum(anon_lru) + hugepages * HUGE_PAGES,
    free: zone(constants.NR_FREE_PAGES),
    hwpoison: memory.u64(symbols.physical("num_poisoned_pages")),
    offline: memory.u32(symbols.physical("virtio_balloon") + virtio_balloon.num_pages),
  };
}

/** Counts for the machine whose dump is the file `vmcore`. */
export async function pageCounts(
  memory: PhysicalMemory,
  symbols: SystemMap,
  vmcore: string,
): Promise<PageCounts> {
  const file = await FileBytes.open(hostProc(["wkdump"]), vmcore);
  try {
    const dump = await openDump([file]);
    const { exist, dumped } = await dump.pages();
    return {
      ...countedPages(memory, symbols),
      zero: await countZero(dump, exist, dumped, classify(memory, symbols)),
      total: exist.count(),
    };
  } finally {
    await file.close();
  }
}

/** nr_blockdev_pages(): every page in a block device's cache has buffers. */
function bufferPages(memory: PhysicalMemory, symbols: SystemMap): number {
  const sb = memory.u32(symbols.physical("blockdev_superblock"));
  if (sb === 0) return 0;
  const head = sb + super_block.s_inodes;
  let pages = 0;
  // The low half of a direct-map address is the physical one.
  for (let at = memory.u32(head); at !== head; at = memory.u32(at)) {
    const mapping = memory.u32(at - inode.i_sb_list + inode.i_mapping);
    pages += memory.u64(mapping + address_space.nrpages);
  }
  return pages;
}

/** By page frame number: what the memory map says, as an index of CLASSES. */
export function classify(memory: PhysicalMemory, symbols: SystemMap): Uint8Array {
  const classes = new Uint8Array(memory.size / PAGE_SIZE);
  const vmemmap = memory.u64(symbols.physical("vmemmap_phys"));
  const first = (memory.u64(symbols.physical("mem_map_start_phys")) - vmemmap) / pageLayout.SIZE;
  const end = (memory.u64(symbols.physical("mem_map_end_phys")) - vmemmap) / pageLayout.SIZE;
  for (let pfn = first; pfn < Math.min(end, classes.length); pfn++) {
    const at = vmemmap + pfn * pageLayout.SIZE;
    let name = pageClass(memory, at);
    let pages = name === "free" ? 1 << memory.u32(at + pageLayout.private) : 1;
    if (name === "none" && isHuge(memory, at)) {
      name = "user";
      pages = HUGE_PAGES;
    }
    classes.fill(CLASSES.indexOf(name), pfn, pfn + pages);
    pfn += pages - 1;
  }
  return classes;
}

/** The class of the struct page at a physical address. */
function pageClass(memory: PhysicalMemory, at: number): PageClass {
  const mapcount = memory.u32(at + pageLayout._mapcount);
  if (mapcount === PAGE_BUDDY_MAPCOUNT_VALUE) return "free";
  if (mapcount === PAGE_OFFLINE_MAPCOUNT_VALUE) return "offline";
  const flags = memory.u32(at + pageLayout.flags);
  const has = (bit: number): boolean => (flags & (1 << bit)) !== 0;
  if (has(constants.PG_hwpoison)) return "hwpoison";
  if ((memory.u32(at + pageLayout.mapping) & PAGE_MAPPING_ANON) !== 0) return "user";
  if (!has(constants.PG_lru)) return "none";
  return has(constants.PG_private) ? "cache_private" : "cache";
}

/** Whether a page heads a compound page whose destructor is hugetlb's. */
function isHuge(memory: PhysicalMemory, at: number): boolean {
  if ((memory.u32(at + pageLayout.flags) & (1 << constants.PG_head)) === 0) return false;
  return memory.u8(at + pageLayout.SIZE + pageLayout.compound_dtor) === constants.HUGETLB_PAGE_DTOR;
}

/**
 * Only pages in no class are read: of a large machine they are few. One that the dump lacks is of zeros:
 * nothing else leaves it out.
 */
async function countZero(
  dump: KernelDump,
  exist: PageBitmap,
  dumped: PageBitmap,
  classes: Uint8Array,
): Promise<number> {
  const wanted = (pfn: number): boolean => dumped.has(pfn) && classes[pfn] === 0;
  let zero = 0;
  for (let pfn = exist.next(0); pfn < exist.pages; pfn = exist.next(pfn)) {
    if (!wanted(pfn)) {
      if (classes[pfn] === 0) zero++;
      pfn++;
      continue;
    }
    let end = pfn + 1;
    while (end - pfn < READ_PAGES && wanted(end)) end++;
    const bytes = await dump.read(pfn * PAGE_SIZE, (end - pfn) * PAGE_SIZE);
    const words = new Int32Array(bytes.byteOffset % 4 === 0 ? bytes.buffer : bytes.slice().buffer);
    const from = bytes.byteOffset % 4 === 0 ? bytes.byteOffset / 4 : 0;
    for (let page = 0; page < end - pfn; page++) {
      if (isZeroPage(words, from + (page * PAGE_SIZE) / 4)) zero++;
    }
    pfn = end;
  }
  return zero;
}

export function isZeroPage(words: Int32Array, from: number): boolean {
  for (let i = from; i < from + PAGE_SIZE / 4; i++) if (words[i] !== 0) return false;
  return true;
}
