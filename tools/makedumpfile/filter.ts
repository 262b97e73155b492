/**
 * Which pages a dump level leaves out, by the struct pages that VMCOREINFO describes: makedumpfile's rules in
 * makedumpfile's order. Pages of zeros are not looked for here: their bytes tell, not their struct.
 */
import { AddressSpace } from "../dump/address-space.ts";
import type { KernelDump } from "../dump/memory-source.ts";
import type { PageBitmap } from "../dump/page-bitmap.ts";
import { type VmcoreInfo, vmcoreinfoOrNull } from "../dump/vmcoreinfo.ts";
import { MemMap } from "./mem-map.ts";
import { DL_EXCLUDE } from "./options.ts";

export interface Excluded {
  cache: number;
  cachePrivate: number;
  user: number;
  free: number;
  hwpoison: number;
  offline: number;
}

/** Told of each page or block that a rule takes: its first page, and how many pages it has. */
export type Taken = (rule: keyof Excluded, pfn: number, pages: number) => void;

/** A buddy block or compound page above this order is damage. */
const ORDER_MAX = 31;
const MAPPING_ANON = 1;

/** Where the struct has what, in words of 4 bytes; -1: VMCOREINFO does not tell. */
interface Layout {
  words: number;
  flags: number;
  mapping: number;
  mapcount: number;
  private: number;
  compoundHead: number;
  /** In bytes, of the second page. */
  compoundOrder: number;
  compoundDtor: number;
  lru: number;
  privateFlag: number;
  swapcache: number;
  swapbacked: number;
  slab: number;
  hwpoison: number;
  head: number;
  buddy: number;
  offline: number;
  hugetlb: number;
}

/** Throws DumpError when VMCOREINFO lacks what every kernel of this design has. */
function layoutOf(info: VmcoreInfo): Layout {
  const word = (member: string): number => {
    const offset = info.offset(member);
    return offset >> 2;
  };
  const has = (key: string): boolean => info.has(key);
  const bit = (name: string): number => (has(`NUMBER(${name})`) ? 1 << Number(info.number(name)) : 0);
  const number = (name: string): number => Number(info.numberOr(name, -1n)) | 0;
  const optional = (member: string): number => (has(`OFFSET(${member})`) ? info.offset(member) : -1);
  return {
    words: info.size("page") >> 2,
    flags: word("page.flags"),
    mapping: word("page.mapping"),
    mapcount: word("page._mapcount"),
    private: word("page.private"),
    compoundHead: optional("page.compound_head") >> 2,
    compoundOrder: optional("page.compound_order"),
    compoundDtor: optional("page.compound_dtor"),
    lru: bit("PG_lru"),
    privateFlag: bit("PG_private"),
    swapcache: bit("PG_swapcache"),
    swapbacked: bit("PG_swapbacked"),
    slab: bit("PG_slab"),
    hwpoison: bit("PG_hwpoison"),
    head: number("PG_head_mask"),
    buddy: number("PAGE_BUDDY_MAPCOUNT_VALUE"),
    offline: number("PAGE_OFFLINE_MAPCOUNT_VALUE"),
    hugetlb: number("HUGETLB_PAGE_DTOR"),
  };
}

/** Whether struct pages matter: to levels 0 and 1 they do where hardware may have poisoned pages. */
export function looksAtStructs(dump: KernelDump, level: number): boolean {
  return (level & ~DL_EXCLUDE.zero) !== 0 || vmcoreinfoOrNull(dump)?.has("NUMBER(PG_hwpoison)") === true;
}

/**
 * Takes the pages that `level` leaves out of `dumped`, and counts them. `taken` is told of every block that
 * goes, in ascending order; parts of a block may be pages that no memory has, or that were not in `dumped`.
 * Throws DumpError when the memory map cannot be found.
 */
export async function excludePages(
  dump: KernelDump,
  level: number,
  exist: PageBitmap,
  dumped: PageBitmap,
  taken: Taken | null = null,
): Promise<Excluded> {
  const counts: Excluded = { cache: 0, cachePrivate: 0, user: 0, free: 0, hwpoison: 0, offline: 0 };
  if (!looksAtStructs(dump, level)) return counts;
  const info = dump.vmcoreinfo;
  const map = await MemMap.open(new AddressSpace(dump), info, exist.pages);
  const layout = layoutOf(info);
  /** Pages before this one belong to a block that was excluded with its first page. */
  let next = 0;
  for await (const { pfn, count, bytes } of map.pieces(exist.pages)) {
    if (bytes === null) continue;
    const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
    const words = new Int32Array(aligned.buffer, aligned.byteOffset, aligned.length >> 2);
    for (let n = Math.max(0, next - pfn); n < count; n++) {
      if (!exist.has(pfn + n)) continue;
      const pages = excludeAt(level, layout, words, n, count, pfn + n, dumped, counts, taken);
      n += pages - 1;
      next = pfn + n + 1;
    }
  }
  return counts;
}

/** One page, or the block that begins with it; how many pages that is. */
function excludeAt(
  level: number,
  layout: Layout,
  words: Int32Array,
  n: number,
  count: number,
  pfn: number,
  dumped: PageBitmap,
  counts: Excluded,
  taken: Taken | null,
): number {
  const at = n * layout.words;
  // Tails of a compound page went with its head.
  if (layout.compoundHead >= 0 && (words[at + layout.compoundHead]! & 1) !== 0) return 1;
  const flags = words[at + layout.flags]!;
  const mapcount = words[at + layout.mapcount]!;
  let order = 0;
  let dtor = 0;
  if (layout.compoundOrder >= 0 && n < count - 1 && (flags & layout.head) !== 0) {
    const second = at + layout.words;
    order = byteOf(words, second, layout.compoundOrder);
    dtor = layout.compoundDtor < 0 ? 0 : byteOf(words, second, layout.compoundDtor);
    if (order > ORDER_MAX || pfn % 2 ** order !== 0) order = 0;
  }
  const slab = (flags & layout.slab) !== 0;
  const anonymous = (words[at + layout.mapping]! & MAPPING_ANON) !== 0;
  const swapcache =
    (flags & layout.swapcache) !== 0 && (layout.swapbacked === 0 || (flags & layout.swapbacked) !== 0);
  const cache = (flags & layout.lru) !== 0 || swapcache;
  const hasPrivate = (flags & layout.privateFlag) !== 0;
  let kind: keyof Excluded;
  if ((level & DL_EXCLUDE.free) !== 0 && !slab && mapcount === layout.buddy) {
    kind = "free";
    order = Math.min(words[at + layout.private]! >>> 0, ORDER_MAX);
  } else if ((level & DL_EXCLUDE.cache) !== 0 && cache && !hasPrivate && !anonymous) kind = "cache";
  else if ((level & DL_EXCLUDE.cachePrivate) !== 0 && cache && !anonymous) {
    kind = hasPrivate ? "cachePrivate" : "cache";
  } else if ((level & DL_EXCLUDE.user) !== 0 && (anonymous || (dtor !== 0 && dtor === layout.hugetlb))) {
    kind = "user";
  } else if ((flags & layout.hwpoison) !== 0) kind = "hwpoison";
  else if (layout.offline !== -1 && !slab && mapcount === layout.offline) kind = "offline";
  else return 1;
  const pages = 2 ** order;
  const end = Math.min(pfn + pages, dumped.pages);
  taken?.(kind, pfn, end - pfn);
  counts[kind] += dumped.removeRange(pfn, end);
  return pages;
}

function byteOf(words: Int32Array, base: number, offset: number): number {
  return (words[base + (offset >> 2)]! >> ((offset & 3) * 8)) & 0xff;
}
