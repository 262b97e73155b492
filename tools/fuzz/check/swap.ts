/**
 * Swap: each area's swap_map against the page tables and the swap cache, and the counters of places, pages
 * and entries against both.
 */
import {
  address_space,
  constants,
  page as layout,
  mm_struct,
  swap_info_struct,
  task_struct,
  xarray,
} from "../../../build/generated/offsets.ts";
import { type CrashedKernel, hex, Inconsistency } from "../../crashed/kernel.ts";
import { type Guard, type Part, spinlock, strict } from "./in-flight.ts";

const { SWAP_HAS_CACHE, SWAP_MAP_BAD, SWP_USED, SWP_WRITEOK, PG_swapbacked, PG_swapcache } = constants;
const { MM_SWAPENTS, NR_SWAPCACHE, SWAP_ADDRESS_SPACE_PAGES } = constants;
const PTE_PFN_MASK = 0x000ffffffffff000n;
const PRESENT = 1n;
const ENTRIES = 512;
/** Entries of the root that are user space's. */
const USER_ENTRIES = 256;
const TYPE_BITS = BigInt(constants.SWP_TYPE_BITS);
const OFFSET_SHIFT = BigInt(constants.SWP_OFFSET_SHIFT);
const WORD = (1n << 64n) - 1n;

/** What a page table entry that is neither empty nor present stands for. */
function decode(entry: bigint): { type: number; offset: number } {
  const offset = ((~entry & WORD) << TYPE_BITS) & WORD;
  return { type: Number(entry >> (64n - TYPE_BITS)), offset: Number(offset >> OFFSET_SHIFT) };
}

/** The swap entries of a page table and what hangs on it. */
function* swapEntries(kernel: CrashedKernel, table: number, level: number): Generator<bigint> {
  for (let i = 0; i < (level === 3 ? USER_ENTRIES : ENTRIES); i++) {
    const entry = kernel.raw(table + i * 8);
    if (entry === 0n) continue;
    const present = (entry & PRESENT) !== 0n;
    if (level === 0 && !present) yield entry;
    else if (level > 0 && present) yield* swapEntries(kernel, Number(entry & PTE_PFN_MASK), level - 1);
  }
}

/** Address spaces that tasks have. */
function addressSpaces(kernel: CrashedKernel): Set<number> {
  const spaces = new Set<number>();
  const first = kernel.symbol("init_task");
  for (const at of kernel.list(first + task_struct.tasks, "tasks")) {
    const mm = kernel.pointer(at - task_struct.tasks + task_struct.mm);
    if (mm !== 0) spaces.add(mm);
  }
  return spaces;
}

/** How many page table entries stand for each place, "type:offset". */
function usedPlaces(kernel: CrashedKernel): Map<string, number> {
  const used = new Map<string, number>();
  for (const mm of addressSpaces(kernel)) {
    let count = 0;
    for (const entry of swapEntries(kernel, kernel.pointer(mm + mm_struct.pgd), 3)) {
      const { type, offset } = decode(entry);
      used.set(`${type}:${offset}`, (used.get(`${type}:${offset}`) ?? 0) + 1);
      count++;
    }
    const counted = kernel.s64(mm + mm_struct.rss_stat + MM_SWAPENTS * 8);
    if (counted !== count)
      throw new Inconsistency(`mm ${hex(mm)}: ${count} swap entries, its counter says ${counted}`);
  }
  return used;
}

/** Places whose page is in the swap cache. Each page must know its own. */
function cachedPlaces(kernel: CrashedKernel, type: number): Set<number> {
  const cached = new Set<number>();
  const spaces = kernel.pointer(kernel.symbol("swapper_spaces") + type * 8);
  const nr = kernel.u32(kernel.symbol("nr_swapper_spaces") + type * 4);
  for (let i = 0; i < nr; i++) {
    const space = spaces + i * address_space.SIZE;
    let pages = 0;
    for (const [index, at] of kernel.xarray(space + address_space.i_pages + xarray.xa_head)) {
      const flags = kernel.u32(at + layout.flags);
      const wanted = (1 << PG_swapcache) | (1 << PG_swapbacked);
      const entry = (BigInt(type) << BigInt(constants.SWP_TYPE_SHIFT)) | BigInt(index);
      if ((flags & wanted) !== wanted || kernel.raw(at + layout.private) !== entry) {
        throw new Inconsistency(
          `swap cache: page ${hex(kernel.pfnOf(at))} does not know its place ${type}:${index}`,
        );
      }
      if (Math.floor(index / SWAP_ADDRESS_SPACE_PAGES) !== i) {
        throw new Inconsistency(`swap cache: place ${type}:${index} is in the wrong tree`);
      }
      cached.add(index);
      pages++;
    }
    const counted = kernel.u64(space + address_space.nrpages);
    if (counted !== pages)
      throw new Inconsistency(`swap cache: ${pages} pages in a tree, nrpages says ${counted}`);
  }
  return cached;
}

/** Who moves pages to their places or back, and who makes or takes apart an address space. */
const CHANGES_PLACES =
  /^(shrink_page|do_swap_page|do_wp_page|zap_page|copy_pte|swap_on|swap_off|free_swap_cache)$/;
/** Address spaces that are no task's yet, or no longer. */
const CHANGES_SPACES = /^(load_program|begin_new_exec|sys_execve|copy_process|exit_mm|exit_mmap|mmput)$/;

/** All areas. `part`: what the operations under way excuse; nothing without it. */
export function checkSwap(kernel: CrashedKernel, part: Part = strict): void {
  const guard: Guard = {
    what: "swap",
    locks: [spinlock(kernel.symbol("swap_lock"))],
    functions: new RegExp(`${CHANGES_PLACES.source}|${CHANGES_SPACES.source}`),
  };
  part(guard, () => checkAreas(kernel));
}

function checkAreas(kernel: CrashedKernel): void {
  const used = usedPlaces(kernel);
  let [cachedPages, free, total] = [0, 0, 0];
  const areas = kernel.u32(kernel.symbol("nr_swapfiles"));
  for (let type = 0; type < areas; type++) {
    const si = kernel.pointer(kernel.symbol("swap_info") + type * 8);
    const flags = kernel.u32(si + swap_info_struct.flags);
    if ((flags & SWP_USED) === 0) continue;
    const cached = cachedPlaces(kernel, type);
    cachedPages += cached.size;
    const map = kernel.pointer(si + swap_info_struct.swap_map);
    if (kernel.u8(map) !== SWAP_MAP_BAD)
      throw new Inconsistency(`swap area ${type}: its header's place may be given out`);
    let inuse = 0;
    for (let offset = 1; offset < kernel.u32(si + swap_info_struct.max); offset++) {
      const value = kernel.u8(map + offset);
      const entries = used.get(`${type}:${offset}`) ?? 0;
      used.delete(`${type}:${offset}`);
      const wanted = entries + (cached.has(offset) ? SWAP_HAS_CACHE : 0);
      if (value !== wanted) {
        throw new Inconsistency(
          `swap_map of place ${type}:${offset} is ${hex(value)}, should be ${hex(wanted)}`,
        );
      }
      if (value !== 0) inuse++;
    }
    const counted = kernel.u32(si + swap_info_struct.inuse_pages);
    if (counted !== inuse)
      throw new Inconsistency(`swap area ${type}: ${inuse} places in use, inuse_pages says ${counted}`);
    if ((flags & SWP_WRITEOK) === 0) continue;
    const pages = kernel.u32(si + swap_info_struct.pages);
    total += pages;
    free += pages - inuse;
  }
  const [lost] = used.keys();
  if (lost !== undefined)
    throw new Inconsistency(`a page table entry stands for place ${lost}, which is in no area`);
  const expect = (name: string, counted: number, found: number): void => {
    if (counted !== found) throw new Inconsistency(`swap: ${name} says ${counted}, found are ${found}`);
  };
  expect("nr_swap_pages", kernel.s64(kernel.symbol("nr_swap_pages")), free);
  expect("total_swap_pages", kernel.s64(kernel.symbol("total_swap_pages")), total);
  expect("NR_SWAPCACHE", kernel.s64(kernel.symbol("vm_node_stat") + NR_SWAPCACHE * 8), cachedPages);
}
