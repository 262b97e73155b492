/**
 * Dynamic per-CPU memory (mm/percpu.c): one chunk, the room behind the static variables. An address handed
 * out is an offset into every CPU's area, as a per-CPU symbol's is; it must not be used as a pointer without
 * per_cpu_ptr().
 */
import { PCPU_MIN_ALLOC_SHIFT, PCPU_MIN_ALLOC_SIZE } from "../include/generated/constants";
import { pcpu_chunk } from "../include/generated/structs";
import { PERCPU_SIZE, per_cpu_base, sym } from "../include/generated/symbols";
import { spin_lock_irqsave, spin_unlock_irqrestore } from "../kernel/locking/spinlock";
import { INIT_LIST_HEAD } from "../lib/list";
import {
  __clear_bit,
  __set_bit,
  bitmap_clear,
  bitmap_find_next_zero_area,
  bitmap_set,
  bitmap_size,
  find_next_bit,
} from "../lib/bitmap";
import { memblock_alloc_or_panic } from "./memblock";

/** `base`: CPU 0's area; `unit`: bytes from one CPU's area to the next. Needs memblock. */
export function pcpu_setup_first_chunk(base: usize, unit: usize): void {
  const bits = (unit - PERCPU_SIZE) >> PCPU_MIN_ALLOC_SHIFT;
  const size = pcpu_chunk.SIZE + 2 * (bitmap_size(bits) + 8);
  const chunk = changetype<pcpu_chunk>(memblock_alloc_or_panic(size, 64));
  INIT_LIST_HEAD(chunk.list);
  chunk.base_addr = base;
  chunk.start_offset = <i32>PERCPU_SIZE;
  chunk.nr_bits = <i32>bits;
  chunk.free_bytes = <i32>(bits << PCPU_MIN_ALLOC_SHIFT);
  chunk.alloc_map = changetype<usize>(chunk) + pcpu_chunk.SIZE;
  // One bit more: the bound behind the last allocation.
  chunk.bound_map = chunk.alloc_map + bitmap_size(bits) + 8;
  sym.pcpu_first_chunk = chunk;
  sym.pcpu_base_addr = base;
  sym.pcpu_unit_size = <i32>unit;
}

/** Where `bits` units came free in the chunk, or nr_bits. With pcpu_lock. */
function pcpu_alloc_area(chunk: pcpu_chunk, bits: usize, align: usize): usize {
  const total = <usize>chunk.nr_bits;
  const step = max<usize>(align >> PCPU_MIN_ALLOC_SHIFT, 1);
  const at = bitmap_find_next_zero_area(chunk.alloc_map, total, 0, bits, step);
  if (at >= total) return total;
  bitmap_set(chunk.alloc_map, at, bits);
  __set_bit(at, chunk.bound_map);
  __set_bit(at + bits, chunk.bound_map);
  chunk.free_bytes -= <i32>(bits << PCPU_MIN_ALLOC_SHIFT);
  return at;
}

/** Cleared memory on every CPU: an offset, or 0 when there is no room. `align`: a power of two. */
export function __alloc_percpu(size: usize, align: usize): u64 {
  const chunk = sym.pcpu_first_chunk;
  const bits = (size + PCPU_MIN_ALLOC_SIZE - 1) >> PCPU_MIN_ALLOC_SHIFT;
  const flags = spin_lock_irqsave(sym.pcpu_lock);
  const at = pcpu_alloc_area(chunk, bits, align);
  spin_unlock_irqrestore(sym.pcpu_lock, flags);
  if (at >= <usize>chunk.nr_bits) return 0;
  const offset = <usize>chunk.start_offset + (at << PCPU_MIN_ALLOC_SHIFT);
  for (let cpu: u32 = 0; cpu < sym.nr_cpu_ids; cpu++) {
    memory.fill(per_cpu_base(cpu) + offset, 0, bits << PCPU_MIN_ALLOC_SHIFT);
  }
  return offset;
}

function pcpu_free_area(chunk: pcpu_chunk, ptr: u64): void {
  const at = (<usize>ptr - <usize>chunk.start_offset) >> PCPU_MIN_ALLOC_SHIFT;
  const end = find_next_bit(chunk.bound_map, <usize>chunk.nr_bits + 1, at + 1);
  bitmap_clear(chunk.alloc_map, at, end - at);
  chunk.free_bytes += <i32>((end - at) << PCPU_MIN_ALLOC_SHIFT);
  // A bound stays where an allocation still begins or ends.
  if (at == 0 || find_next_bit(chunk.alloc_map, at, at - 1) >= at) __clear_bit(at, chunk.bound_map);
  if (find_next_bit(chunk.alloc_map, end + 1, end) > end) __clear_bit(end, chunk.bound_map);
}

export function free_percpu(ptr: u64): void {
  if (!ptr) return;
  const flags = spin_lock_irqsave(sym.pcpu_lock);
  pcpu_free_area(sym.pcpu_first_chunk, ptr);
  spin_unlock_irqrestore(sym.pcpu_lock, flags);
}

/** Physical address of a CPU's copy. */
@inline export function per_cpu_ptr(ptr: u64, cpu: u32): usize {
  return per_cpu_base(cpu) + <usize>ptr;
}

@inline export function this_cpu_ptr(ptr: u64): usize {
  return per_cpu_base(get_cpu()) + <usize>ptr;
}
