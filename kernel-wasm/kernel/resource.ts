/**
 * The resource tree (kernel/resource.c): who owns which physical addresses; /proc/iomem shows iomem_resource.
 * Siblings are sorted by address and do not overlap. resource_lock guards the tree: who walks it with
 * next_resource() has it for reading.
 */
import { EBUSY, EINVAL, IORESOURCE_IO, IORESOURCE_MEM } from "../include/generated/constants";
import { resource } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { write_lock, write_unlock } from "./locking/qrwlock";

const NONE: usize = 0;

/** The two roots, whose names depend on where the image lies. */
export function resource_init(): void {
  init_root(sym.iomem_resource, c`PCI mem`, u64.MAX_VALUE, IORESOURCE_MEM);
  init_root(sym.ioport_resource, c`PCI IO`, 0xffff, IORESOURCE_IO);
}

function init_root(root: resource, name: usize, end: u64, flags: u64): void {
  root.start = 0;
  root.end = end;
  root.name = name;
  root.flags = flags;
  root.desc = 0;
  root.parent_va = 0;
  root.sibling_va = 0;
  root.child_va = 0;
}

@inline function same(a: resource, b: resource): bool {
  return changetype<usize>(a) == changetype<usize>(b);
}

/** Puts `at` behind `prev` among root's children; first when prev is null. */
function link_child(root: resource, prev: resource, at: resource): void {
  if (isnull(prev)) {
    at.sibling_va = root.child_va;
    root.child = at;
  } else {
    at.sibling_va = prev.sibling_va;
    prev.sibling = at;
  }
  at.parent = root;
}

/** Enters `at` as a child of root; returns what stands in its way, or null. */
function __request_resource(root: resource, at: resource): resource {
  if (at.end < at.start || at.start < root.start || at.end > root.end) return root;
  let prev = changetype<resource>(NONE);
  let next = root.child;
  while (!isnull(next) && next.end < at.start) {
    prev = next;
    next = next.sibling;
  }
  if (!isnull(next) && next.start <= at.end) return next;
  link_child(root, prev, at);
  return changetype<resource>(NONE);
}

export function request_resource(root: resource, at: resource): i32 {
  write_lock(sym.resource_lock);
  const conflict = __request_resource(root, at);
  write_unlock(sym.resource_lock);
  return isnull(conflict) ? 0 : -EBUSY;
}

/** The resource that `at` is to lie in: the deepest that holds it whole and is not just as large. */
function find_parent(root: resource, at: resource): resource {
  let parent = root;
  let next = root.child;
  while (!isnull(next)) {
    const holds = next.start <= at.start && at.end <= next.end;
    if (holds && !(next.start == at.start && next.end == at.end)) {
      parent = next;
      next = next.child;
    } else {
      next = next.sibling;
    }
  }
  return parent;
}

/**
 * Enters a resource at its place in the tree: inside what holds it, around what it holds. 0 or -EBUSY,
 * -EINVAL.
 */
export function insert_resource(root: resource, at: resource): i32 {
  write_lock(sym.resource_lock);
  const err = __insert_resource(root, at);
  write_unlock(sym.resource_lock);
  return err;
}

function __insert_resource(root: resource, at: resource): i32 {
  if (at.end < at.start || at.start < root.start || at.end > root.end) return -EINVAL;
  const parent = find_parent(root, at);
  const conflict = __request_resource(parent, at);
  if (isnull(conflict)) return 0;
  if (same(conflict, parent)) return -EBUSY;
  // Every child that `at` touches must lie in it whole.
  let last = conflict;
  for (let next = conflict; !isnull(next) && next.start <= at.end; next = next.sibling) {
    if (next.start < at.start || next.end > at.end) return -EBUSY;
    last = next;
  }
  let prev = changetype<resource>(NONE);
  for (let next = parent.child; !same(next, conflict); next = next.sibling) prev = next;
  at.child = conflict;
  at.sibling_va = last.sibling_va;
  at.parent = parent;
  last.sibling_va = 0;
  for (let next = conflict; !isnull(next); next = next.sibling) next.parent = at;
  if (isnull(prev)) parent.child = at;
  else prev.sibling = at;
  return 0;
}

/** Takes a resource out, with its children. */
export function release_resource(old: resource): i32 {
  write_lock(sym.resource_lock);
  const err = __release_resource(old);
  write_unlock(sym.resource_lock);
  return err;
}

function __release_resource(old: resource): i32 {
  const parent = old.parent;
  if (isnull(parent)) return -EINVAL;
  let prev = changetype<resource>(NONE);
  for (let next = parent.child; !isnull(next); prev = next, next = next.sibling) {
    if (!same(next, old)) continue;
    if (isnull(prev)) parent.child_va = old.sibling_va;
    else prev.sibling_va = old.sibling_va;
    old.parent_va = 0;
    return 0;
  }
  return -EINVAL;
}

/** Takes a resource out and leaves its children in its place. */
export function remove_resource(old: resource): i32 {
  write_lock(sym.resource_lock);
  const err = __remove_resource(old);
  write_unlock(sym.resource_lock);
  return err;
}

function __remove_resource(old: resource): i32 {
  const parent = old.parent;
  const child = old.child;
  if (isnull(child)) return __release_resource(old);
  if (isnull(parent)) return -EINVAL;
  let last = child;
  for (let next = child; !isnull(next); next = next.sibling) {
    next.parent = parent;
    last = next;
  }
  last.sibling_va = old.sibling_va;
  let prev = changetype<resource>(NONE);
  for (let next = parent.child; !same(next, old); next = next.sibling) prev = next;
  if (isnull(prev)) parent.child = child;
  else prev.sibling = child;
  old.parent_va = 0;
  old.child_va = 0;
  return 0;
}

/** The next resource in print order: children before siblings; null at the end. */
export function next_resource(at: resource): resource {
  if (!isnull(at.child)) return at.child;
  let r = at;
  while (isnull(r.sibling) && !isnull(r.parent)) r = r.parent;
  return r.sibling;
}

/** How deep a resource lies under its root: the root's children are at 0. */
export function resource_depth(at: resource): u32 {
  let depth: u32 = 0;
  for (let r = at.parent; !isnull(r) && !isnull(r.parent); r = r.parent) depth++;
  return depth;
}
