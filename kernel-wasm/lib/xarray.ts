/**
 * The XArray (lib/xarray.c): a tree of 64-slot nodes from index to entry. An entry is a pointer's virtual
 * address (bits 0 and 1 clear) or a value (bit 0 set); inner nodes are marked by bit 1. In an IDR's array
 * (ROOT_IS_IDR) mark 0 says where free indexes are, which lib/idr.ts searches.
 */
import { bitmap_set, find_next_bit, __clear_bit, __set_bit } from "./bitmap";
import { kmem_cache_alloc, kmem_cache_create, kmem_cache_free } from "../mm/slub";
import {
  ENOMEM,
  GFP_NOWAIT,
  IDR_FREE,
  ROOT_IS_IDR,
  ROOT_TAG_SHIFT,
  SLAB_PANIC,
  SLAB_RECLAIM_ACCOUNT,
  XA_CHUNK_MASK,
  XA_CHUNK_SHIFT,
  XA_CHUNK_SIZE,
} from "../include/generated/constants";
import { xa_node, xarray } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";

const SLAB_NODE_FLAGS: u32 = SLAB_PANIC | SLAB_RECLAIM_ACCOUNT;
const ROOT_FREE: u32 = 1 << (ROOT_TAG_SHIFT + IDR_FREE);
/** Internal entries up to here are siblings and error codes, no nodes. */
const XA_NODE_MIN: u64 = 4096;

export function xa_init_flags(xa: xarray, flags: u32): void {
  xa.xa_lock.rlock.raw_lock.val.counter = 0;
  xa.xa_flags = flags;
  xa.xa_head_va = 0;
}

@inline export function xa_is_node(entry: u64): bool {
  return (entry & 3) == 2 && entry > XA_NODE_MIN;
}

@inline export function xa_to_node(entry: u64): xa_node {
  return changetype<xa_node>(pa(entry - 2));
}

@inline function xa_mk_node(node: xa_node): u64 {
  return va(changetype<usize>(node)) | 2;
}

@inline function is_idr(xa: xarray): bool {
  return (xa.xa_flags & ROOT_IS_IDR) != 0;
}

@inline export function xa_free_marks(node: xa_node): usize {
  return changetype<usize>(node.marks) + IDR_FREE * 8;
}

@inline export function xa_root_has_free(xa: xarray): bool {
  return (xa.xa_flags & ROOT_FREE) != 0;
}

/** Highest index that a tree with this head can hold. */
export function xa_max_index(head: u64): u64 {
  if (!xa_is_node(head)) return 0;
  return ((<u64>XA_CHUNK_SIZE) << <u64>xa_to_node(head).shift) - 1;
}

@inline function slot_of(node: xa_node, index: u64): usize {
  return <usize>(index >> <u64>node.shift) & XA_CHUNK_MASK;
}

export function xa_load(xa: xarray, index: u64): u64 {
  let entry = xa.xa_head_va;
  if (index > xa_max_index(entry)) return 0;
  while (xa_is_node(entry)) {
    const node = xa_to_node(entry);
    entry = node.slots.va(slot_of(node, index));
  }
  return entry;
}

function new_node(xa: xarray, parent: usize, shift: u8, offset: u8): xa_node {
  const node = changetype<xa_node>(kmem_cache_alloc(sym.radix_tree_node_cachep, GFP_NOWAIT));
  if (isnull(node)) return node;
  memory.fill(changetype<usize>(node), 0, xa_node.SIZE);
  node.shift = shift;
  node.offset = offset;
  node.parent_va = va(parent);
  node.array_va = va(changetype<usize>(xa));
  if (is_idr(xa)) bitmap_set(xa_free_marks(node), 0, XA_CHUNK_SIZE);
  return node;
}

/** Puts nodes on top until `index` fits. */
function xa_expand(xa: xarray, index: u64): i32 {
  if (!xa.xa_head_va && index) {
    let shift: u8 = 0;
    while (index >> <u64>shift >= XA_CHUNK_SIZE) shift += XA_CHUNK_SHIFT;
    const node = new_node(xa, 0, shift, 0);
    if (isnull(node)) return -ENOMEM;
    xa.xa_head_va = xa_mk_node(node);
  }
  while (index > xa_max_index(xa.xa_head_va)) {
    const head = xa.xa_head_va;
    const inner = xa_is_node(head);
    const node = new_node(xa, 0, inner ? xa_to_node(head).shift + XA_CHUNK_SHIFT : 0, 0);
    if (isnull(node)) return -ENOMEM;
    node.count = 1;
    node.nr_values = <u8>(head & 1);
    node.slots.set_va(0, head);
    if (inner) xa_to_node(head).parent_va = va(changetype<usize>(node));
    if (is_idr(xa) && !xa_root_has_free(xa)) {
      __clear_bit(0, xa_free_marks(node));
      xa.xa_flags |= ROOT_FREE;
    }
    xa.xa_head_va = xa_mk_node(node);
  }
  return 0;
}

/** Slot `offset` of `node` is taken: no mark, nor in parents that have none left. */
function clear_free(xa: xarray, from: xa_node, from_offset: usize): void {
  let node = from;
  let offset = from_offset;
  while (!isnull(node)) {
    __clear_bit(offset, xa_free_marks(node));
    if (find_next_bit(xa_free_marks(node), XA_CHUNK_SIZE, 0) < XA_CHUNK_SIZE) return;
    offset = node.offset;
    node = node.parent;
  }
  xa.xa_flags &= ~ROOT_FREE;
}

function set_free(xa: xarray, from: xa_node, from_offset: usize): void {
  let node = from;
  let offset = from_offset;
  while (!isnull(node)) {
    __set_bit(offset, xa_free_marks(node));
    offset = node.offset;
    node = node.parent;
  }
  xa.xa_flags |= ROOT_FREE;
}

/** Stores a non-zero entry; 0 or -ENOMEM. What was there is lost. */
export function xa_store(xa: xarray, index: u64, entry: u64): i32 {
  const error = xa_expand(xa, index);
  if (error) return error;
  let node = changetype<xa_node>(0);
  let offset: usize = 0;
  let at = xa.xa_head_va;
  while (xa_is_node(at)) {
    node = xa_to_node(at);
    offset = slot_of(node, index);
    at = node.slots.va(offset);
    if (!node.shift) break;
    if (!at) {
      const child = new_node(xa, changetype<usize>(node), node.shift - XA_CHUNK_SHIFT, <u8>offset);
      if (isnull(child)) return -ENOMEM;
      at = xa_mk_node(child);
      node.slots.set_va(offset, at);
      node.count += 1;
    }
  }
  if (isnull(node)) {
    xa.xa_head_va = entry;
  } else {
    if (!at) node.count += 1;
    node.nr_values += <u8>(entry & 1) - <u8>(at & 1);
    node.slots.set_va(offset, entry);
  }
  if (is_idr(xa)) clear_free(xa, node, offset);
  return 0;
}

/** Removes an entry and returns it; nodes that hold nothing more are freed and a tall tree shrinks. */
export function xa_erase(xa: xarray, index: u64): u64 {
  let node = changetype<xa_node>(0);
  let offset: usize = 0;
  let entry = xa.xa_head_va;
  if (index > xa_max_index(entry)) return 0;
  while (xa_is_node(entry)) {
    node = xa_to_node(entry);
    offset = slot_of(node, index);
    entry = node.slots.va(offset);
  }
  if (!entry) return 0;
  if (is_idr(xa)) set_free(xa, node, offset);
  if (isnull(node)) {
    xa.xa_head_va = 0;
    return entry;
  }
  node.slots.set_va(offset, 0);
  node.nr_values -= <u8>(entry & 1);
  node.count -= 1;
  while (!node.count) {
    const parent = node.parent;
    if (isnull(parent)) xa.xa_head_va = 0;
    else {
      parent.slots.set_va(node.offset, 0);
      parent.count -= 1;
    }
    kmem_cache_free(sym.radix_tree_node_cachep, changetype<usize>(node));
    if (isnull(parent)) return entry;
    node = parent;
  }
  xa_shrink(xa);
  return entry;
}

function xa_shrink(xa: xarray): void {
  while (xa_is_node(xa.xa_head_va)) {
    const node = xa_to_node(xa.xa_head_va);
    const only = node.slots.va(0);
    if (node.count != 1 || !only || (!xa_is_node(only) && node.shift)) return;
    if (is_idr(xa) && find_next_bit(xa_free_marks(node), 1, 0) == 1) xa.xa_flags &= ~ROOT_FREE;
    xa.xa_head_va = only;
    if (xa_is_node(only)) xa_to_node(only).parent_va = 0;
    kmem_cache_free(sym.radix_tree_node_cachep, changetype<usize>(node));
  }
}

/** First index >= `from` that has an entry, or u64.MAX_VALUE. */
export function xa_find(xa: xarray, from: u64): u64 {
  let index = from;
  while (true) {
    let entry = xa.xa_head_va;
    if (!entry || index > xa_max_index(entry)) return u64.MAX_VALUE;
    let step: u64 = 1;
    while (xa_is_node(entry)) {
      const node = xa_to_node(entry);
      step = <u64>1 << <u64>node.shift;
      entry = node.slots.va(slot_of(node, index));
    }
    if (entry) return index;
    const next = (index | (step - 1)) + 1;
    if (next == 0) return u64.MAX_VALUE;
    index = next;
  }
}

/** The cache of nodes; needs the slab allocator and comes before the first xa_store. */
export function radix_tree_init(): void {
  const size = <u32>xa_node.SIZE;
  sym.radix_tree_node_cachep = kmem_cache_create(c`radix_tree_node`, size, 0, SLAB_NODE_FLAGS, 0);
}
