/**
 * Struct pages set up in bulk (__init_single_page, mm/page_alloc.c): one is written, the rest are copies. A
 * page's lru stays zero until the page is put on a list.
 */
import { MAX_DMA_PFN, ZONE_DMA, ZONE_DMA32 } from "../include/generated/constants";
import { page } from "../include/generated/structs";
import { page_flags_of, page_mapcount_reset, pfn_to_page, set_page_count } from "./page";

/** Copies are made from at most this many bytes, which stay in the processor's cache. */
const COPY_MAX: usize = 0x4000;

@inline export function zone_of_pfn(pfn: usize): usize {
  return pfn < MAX_DMA_PFN ? ZONE_DMA : ZONE_DMA32;
}

function fill_pages(start: usize, end: usize, flags: u64, count: i32): void {
  const first = pfn_to_page(start);
  memory.fill(changetype<usize>(first), 0, page.SIZE);
  first.flags = flags;
  set_page_count(first, count);
  page_mapcount_reset(first);
  const at = changetype<usize>(first);
  const bytes = (end - start) * page.SIZE;
  for (let done: usize = page.SIZE; done < bytes; ) {
    const size = min(min(done, COPY_MAX), bytes - done);
    memory.copy(at + done, at, size);
    done += size;
  }
}

/** Pages [start, end): unmapped, with `count` references, these flags and their zone's bits. */
export function init_page_range(start: usize, end: usize, flags: u64, count: i32): void {
  const limit = min(end, max<usize>(start, MAX_DMA_PFN));
  if (start < limit) fill_pages(start, limit, flags | page_flags_of(ZONE_DMA, 0), count);
  if (limit < end) fill_pages(limit, end, flags | page_flags_of(ZONE_DMA32, 0), count);
}
