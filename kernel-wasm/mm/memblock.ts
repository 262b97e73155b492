/**
 * memblock: the allocator before the page allocator (mm/memblock.c). Two sorted tables of physical ranges,
 * `memory` and `reserved`; what is in the first and not in the second is free. Addresses and sizes are u64
 * bytes.
 */
import { memblock_region, memblock_type } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import {
  CONFIG_BASE_SMALL,
  INIT_MEMBLOCK_REGIONS,
  MEMBLOCK_ALLOC_ACCESSIBLE,
  MEMBLOCK_NONE,
  NUMA_NO_NODE,
  PAGE_SIZE,
} from "../include/generated/constants";
import { panic } from "../kernel/panic";

const NOT_FOUND: u64 = 0;

/** Ties the static tables to memblock: their pointers depend on where the image lies. */
export function memblock_init(): void {
  const block = sym.memblock;
  init_type(block.memory, changetype<usize>(sym.memblock_memory_init_regions), c`memory`);
  init_type(block.reserved, changetype<usize>(sym.memblock_reserved_init_regions), c`reserved`);
  block.bottom_up = false;
  block.current_limit = u64.MAX_VALUE;
}

function init_type(type: memblock_type, regions: usize, name: usize): void {
  type.regions = changetype<memblock_region>(regions);
  type.cnt = 1;
  type.max = INIT_MEMBLOCK_REGIONS - 96 * <u64>CONFIG_BASE_SMALL;
  type.total_size = 0;
  type.name = name;
  set_region(region(type, 0), 0, 0);
}

@inline export function region(type: memblock_type, i: u64): memblock_region {
  return changetype<memblock_region>(changetype<usize>(type.regions) + <usize>i * memblock_region.SIZE);
}

@inline function set_region(r: memblock_region, base: u64, size: u64): void {
  r.base = base;
  r.size = size;
  r.flags = MEMBLOCK_NONE;
  r.nid = NUMA_NO_NODE;
}

function insert_region(type: memblock_type, at: u64, base: u64, size: u64): void {
  if (type.cnt == type.max) panic(c`memblock: %s has no room for another region\n`, type.name);
  const r = region(type, at);
  const bytes = <usize>(type.cnt - at) * memblock_region.SIZE;
  memory.copy(changetype<usize>(r) + memblock_region.SIZE, changetype<usize>(r), bytes);
  set_region(r, base, size);
  type.cnt += 1;
  type.total_size += size;
}

function remove_region(type: memblock_type, at: u64): void {
  const r = region(type, at);
  type.total_size -= r.size;
  const bytes = <usize>(type.cnt - at - 1) * memblock_region.SIZE;
  memory.copy(changetype<usize>(r), changetype<usize>(r) + memblock_region.SIZE, bytes);
  type.cnt -= 1;
  if (type.cnt == 0) {
    type.cnt = 1;
    set_region(region(type, 0), 0, 0);
  }
}

/** Joins neighbours that touch. */
function memblock_merge_regions(type: memblock_type): void {
  let i: u64 = 0;
  while (i + 1 < type.cnt) {
    const a = region(type, i);
    const b = region(type, i + 1);
    if (a.base + a.size != b.base || a.flags != b.flags) {
      i++;
      continue;
    }
    a.size += b.size;
    type.total_size += b.size;
    remove_region(type, i + 1);
  }
}

function memblock_add_range(type: memblock_type, base: u64, size: u64): void {
  if (!size) return;
  const end = base + size;
  if (type.cnt == 1 && region(type, 0).size == 0) {
    set_region(region(type, 0), base, size);
    type.total_size = size;
    return;
  }
  let at = base;
  let i: u64 = 0;
  for (; i < type.cnt && at < end; i++) {
    const r = region(type, i);
    if (r.base + r.size <= at) continue;
    if (r.base >= end) break;
    const next = r.base + r.size;
    if (r.base > at) insert_region(type, i++, at, r.base - at);
    at = next;
  }
  if (at < end) insert_region(type, i, at, end - at);
  memblock_merge_regions(type);
}

function memblock_remove_range(type: memblock_type, base: u64, size: u64): void {
  const end = base + size;
  let i: u64 = 0;
  while (i < type.cnt) {
    const r = region(type, i);
    const start = r.base;
    const stop = start + r.size;
    if (stop <= base || start >= end || !r.size) {
      i++;
      continue;
    }
    remove_region(type, i);
    const emptied = type.cnt == 1 && region(type, 0).size == 0;
    if (start < base) memblock_add_range(type, start, base - start);
    if (stop > end) memblock_add_range(type, end, stop - end);
    if (!emptied && start < base) i++;
    if (stop >= end) return;
  }
}

export function memblock_add(base: u64, size: u64): void {
  memblock_add_range(sym.memblock.memory, base, size);
}

export function memblock_remove(base: u64, size: u64): void {
  memblock_remove_range(sym.memblock.memory, base, size);
}

export function memblock_reserve(base: u64, size: u64): void {
  memblock_add_range(sym.memblock.reserved, base, size);
}

/** Gives back what memblock_reserve or an allocation took. */
export function memblock_phys_free(base: u64, size: u64): void {
  memblock_remove_range(sym.memblock.reserved, base, size);
}

@inline export function memblock_phys_mem_size(): u64 {
  return sym.memblock.memory.total_size;
}

@inline export function memblock_reserved_size(): u64 {
  return sym.memblock.reserved.total_size;
}

export function memblock_start_of_DRAM(): u64 {
  return region(sym.memblock.memory, 0).base;
}

export function memblock_end_of_DRAM(): u64 {
  const type = sym.memblock.memory;
  const r = region(type, type.cnt - 1);
  return r.base + r.size;
}

/** Hands memory in whole pages out to the allocator instead of odd ends. */
export function memblock_trim_memory(align: u64): void {
  const type = sym.memblock.memory;
  for (let i: u64 = 0; i < type.cnt; ) {
    const r = region(type, i);
    const start = (r.base + align - 1) & ~(align - 1);
    const end = (r.base + r.size) & ~(align - 1);
    if (start == r.base && end == r.base + r.size) {
      i++;
    } else if (start < end) {
      type.total_size += end - start - r.size;
      r.base = start;
      r.size = end - start;
      i++;
    } else {
      remove_region(type, i);
    }
  }
}

/**
 * The next free range (in `memory`, not in `reserved`) at or above `from`: for_each_free_mem_range without
 * its state. Returns its start, u64.MAX_VALUE when there is none; free_range_end(start) has its end.
 */
export function next_free_range(from: u64): u64 {
  const memory_type = sym.memblock.memory;
  const reserved = sym.memblock.reserved;
  for (let i: u64 = 0; i < memory_type.cnt; i++) {
    const r = region(memory_type, i);
    const end = r.base + r.size;
    if (end <= from || !r.size) continue;
    let at = max(from, r.base);
    for (let j: u64 = 0; j < reserved.cnt && at < end; j++) {
      const q = region(reserved, j);
      if (q.base > at) break;
      if (q.base + q.size > at) at = q.base + q.size;
    }
    if (at < end) return at;
  }
  return u64.MAX_VALUE;
}

export function free_range_end(start: u64): u64 {
  const memory_type = sym.memblock.memory;
  const reserved = sym.memblock.reserved;
  let end: u64 = start;
  for (let i: u64 = 0; i < memory_type.cnt; i++) {
    const r = region(memory_type, i);
    if (r.base <= start && start < r.base + r.size) end = r.base + r.size;
  }
  for (let j: u64 = 0; j < reserved.cnt; j++) {
    const q = region(reserved, j);
    if (q.size && q.base >= start && q.base < end) return q.base;
  }
  return end;
}

/** Lowest (bottom up) or highest fit for `size` in [start, end); 0 when there is none. */
export function memblock_find_in_range(start: u64, end: u64, size: u64, align: u64): u64 {
  const block = sym.memblock;
  const low = max<u64>(start, PAGE_SIZE);
  const high = end == MEMBLOCK_ALLOC_ACCESSIBLE ? block.current_limit : end;
  let found = NOT_FOUND;
  for (let at = next_free_range(low); at != u64.MAX_VALUE && at < high; ) {
    const stop = free_range_end(at);
    const limit = min(stop, high);
    if (block.bottom_up) {
      const candidate = (at + align - 1) & ~(align - 1);
      if (candidate < limit && limit - candidate >= size) return candidate;
    } else if (limit >= size) {
      const candidate = (limit - size) & ~(align - 1);
      if (candidate >= at) found = candidate;
    }
    at = next_free_range(stop);
  }
  return found;
}

/** Finds and reserves; physical address or 0. The memory is not cleared. */
export function memblock_phys_alloc_range(size: u64, align: u64, start: u64, end: u64): u64 {
  const found = memblock_find_in_range(start, end, size, align);
  if (found) memblock_reserve(found, size);
  return found;
}

/** Zeroed memory below memblock.current_limit; 0 when there is none. */
export function memblock_alloc(size: usize, align: usize): usize {
  const found = <usize>memblock_phys_alloc_range(size, align, 0, MEMBLOCK_ALLOC_ACCESSIBLE);
  if (found) memory.fill(found, 0, size);
  return found;
}

/** Zeroed memory that the boot cannot go on without. */
export function memblock_alloc_or_panic(size: usize, align: usize): usize {
  const found = memblock_alloc(size, align);
  if (!found) panic(c`memblock: Failed to allocate %lu bytes align=0x%lx\n`, size, align);
  return found;
}

@inline export function memblock_set_bottom_up(enable: bool): void {
  sym.memblock.bottom_up = enable;
}

/** Bytes in [start, end) that are free now. */
export function memblock_free_size(start: u64, end: u64): u64 {
  let size: u64 = 0;
  for (let at = next_free_range(start); at < end; ) {
    const stop = free_range_end(at);
    size += min(stop, end) - at;
    at = next_free_range(stop);
  }
  return size;
}
