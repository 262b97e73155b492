/**
 * IDs that name objects (lib/idr.c), on an XArray whose mark 0 shows where IDs are free. Pointers are
 * physical here.
 */
import { find_next_bit } from "./bitmap";
import {
  xa_erase,
  xa_find,
  xa_free_marks,
  xa_init_flags,
  xa_is_node,
  xa_load,
  xa_max_index,
  xa_root_has_free,
  xa_store,
  xa_to_node,
} from "./xarray";
import { EINVAL, ENOSPC, IDR_RT_MARKER, XA_CHUNK_MASK, XA_CHUNK_SIZE } from "../include/generated/constants";
import { idr } from "../include/generated/structs";

export function idr_init_base(ids: idr, base: u32): void {
  xa_init_flags(ids.idr_rt, IDR_RT_MARKER);
  ids.idr_base = base;
  ids.idr_next = 0;
}

@inline export function idr_init(ids: idr): void {
  idr_init_base(ids, 0);
}

/** First free index >= `from`. */
function idr_get_free(ids: idr, from: u64): u64 {
  let index = from;
  while (true) {
    const head = ids.idr_rt.xa_head_va;
    const max_index = xa_max_index(head);
    if (!head || index > max_index) return index;
    if (!xa_root_has_free(ids.idr_rt)) return max_index + 1;
    if (!xa_is_node(head)) return head ? 1 : 0;
    let node = xa_to_node(head);
    while (true) {
      const shift = <u64>node.shift;
      const offset = <usize>(index >> shift) & XA_CHUNK_MASK;
      const bit = find_next_bit(xa_free_marks(node), XA_CHUNK_SIZE, offset);
      if (bit != offset) index = (((index >> shift) & ~<u64>XA_CHUNK_MASK) + bit) << shift;
      if (bit == XA_CHUNK_SIZE) break;
      const slot = node.slots.va(bit);
      if (!shift || !slot) return index;
      node = xa_to_node(slot);
    }
  }
}

function idr_alloc_from(ids: idr, ptr: usize, start: i32, end: i32): i32 {
  const base = ids.idr_base;
  const index = idr_get_free(ids, <u64>(<u32>start < base ? 0 : <u32>start - base));
  const id = index + base;
  const limit = end > 0 ? <u64>(end - 1) : <u64>i32.MAX_VALUE;
  if (id > limit) return -ENOSPC;
  const error = xa_store(ids.idr_rt, index, va(ptr));
  return error ? error : <i32>id;
}

/** A new ID in [start, end), end 0 for no limit; -ENOSPC, -ENOMEM or -EINVAL. `ptr` must not be NULL. */
export function idr_alloc(ids: idr, ptr: usize, start: i32, end: i32): i32 {
  return start < 0 ? -EINVAL : idr_alloc_from(ids, ptr, start, end);
}

/** Like idr_alloc, but goes on from the last ID given out and wraps at `end`. */
export function idr_alloc_cyclic(ids: idr, ptr: usize, start: i32, end: i32): i32 {
  const next = max<i32>(<i32>ids.idr_next, start);
  let id = idr_alloc(ids, ptr, next, end);
  if (id == -ENOSPC && next > start) id = idr_alloc(ids, ptr, start, end);
  if (id >= 0) ids.idr_next = <u32>id + 1;
  return id;
}

export function idr_find(ids: idr, id: u32): usize {
  return pa(xa_load(ids.idr_rt, <u64>(id - ids.idr_base)));
}

export function idr_remove(ids: idr, id: u32): usize {
  return pa(xa_erase(ids.idr_rt, <u64>(id - ids.idr_base)));
}

/** What `id` names becomes `ptr`. */
export function idr_replace(ids: idr, ptr: usize, id: u32): i32 {
  return xa_store(ids.idr_rt, <u64>(id - ids.idr_base), va(ptr));
}

/** The lowest ID >= `id` in use, or -1. */
export function idr_get_next_id(ids: idr, id: u32): i32 {
  const base = ids.idr_base;
  const index = xa_find(ids.idr_rt, <u64>(id < base ? 0 : id - base));
  return index > <u64>i32.MAX_VALUE ? -1 : <i32>(<u32>index + base);
}
