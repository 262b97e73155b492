/**
 * Names (fs/dcache.c): the tree of dentries. A dentry is found among its parent's children; those of
 * directories here are few. A negative dentry (no inode) says that a name does not exist. A dentry is freed
 * with its last reference when it was dropped from the tree, or when its file system keeps none (d_delete).
 */
import {
  DCACHE_OP_DELETE,
  DNAME_INLINE_LEN,
  GFP_KERNEL,
} from "../include/generated/constants";
import { dentry, inode, super_block } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import {
  INIT_LIST_HEAD,
  hlist_add_head,
  hlist_del_init,
  list_add,
  list_del_init,
  list_empty,
  list_is_head,
} from "../lib/list";
import { memcmp } from "../lib/string";
import { kfree, kzalloc } from "../mm/slub";
import { iput } from "./inode";

export function dget(d: dentry): dentry {
  if (!isnull(d)) d.d_lockref.count += 1;
  return d;
}

/** full_name_hash's place: the name's hash for debuggers; lookups compare the names themselves. */
function name_hash(name: usize, len: usize): u32 {
  let hash: u32 = 0;
  for (let i: usize = 0; i < len; i++) {
    const byte = <u32>load<u8>(name + i);
    hash = (hash + (byte << 4) + (byte >> 4)) * 11;
  }
  return hash;
}

function set_name(d: dentry, name: usize, len: usize): bool {
  let to = d.d_iname;
  if (len >= DNAME_INLINE_LEN) {
    to = kzalloc(len + 1, GFP_KERNEL);
    if (!to) return false;
  }
  memory.copy(to, name, len);
  store<u8>(to + len, 0);
  d.d_name.len = <u32>len;
  d.d_name.hash = name_hash(name, len);
  d.d_name.name = to;
  return true;
}

function free_name(d: dentry): void {
  if (d.d_name.name != d.d_iname) kfree(d.d_name.name);
}

/** A new negative dentry, in the tree below `parent` (null: a root). Null when memory is short. */
export function d_alloc(parent: dentry, name: usize, len: usize, sb: super_block): dentry {
  const d = changetype<dentry>(kzalloc(dentry.SIZE, GFP_KERNEL));
  if (isnull(d)) return d;
  if (!set_name(d, name, len)) {
    kfree(changetype<usize>(d));
    return changetype<dentry>(0);
  }
  d.d_lockref.count = 1;
  d.d_sb = sb;
  d.d_op_va = sb.s_d_op_va;
  if (d.d_op_va != 0 && d.d_op.d_delete != 0) d.d_flags |= DCACHE_OP_DELETE;
  INIT_LIST_HEAD(d.d_lru);
  INIT_LIST_HEAD(d.d_child);
  INIT_LIST_HEAD(d.d_subdirs);
  if (isnull(parent)) {
    d.d_parent = d;
  } else {
    d.d_parent = dget(parent);
    list_add(d.d_child, parent.d_subdirs);
  }
  return d;
}

/** A child by name, with a reference; null when the tree does not know it. */
export function d_lookup(parent: dentry, name: usize, len: usize): dentry {
  const head = parent.d_subdirs;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const d = dentry.from_d_child(at);
    if (d.d_name.len == len && memcmp(d.d_name.name, name, len) == 0) return dget(d);
  }
  return changetype<dentry>(0);
}

export function d_instantiate(d: dentry, node: inode): void {
  if (isnull(node)) return;
  hlist_add_head(d.d_alias, node.i_dentry);
  d.d_inode = node;
}

export function d_add(d: dentry, node: inode): void {
  d_instantiate(d, node);
}

/** The root of a file system; takes over the inode's reference. */
export function d_make_root(root: inode): dentry {
  if (isnull(root)) return changetype<dentry>(0);
  const d = d_alloc(changetype<dentry>(0), c`/`, 1, root.i_sb);
  if (isnull(d)) iput(root);
  else d_instantiate(d, root);
  return d;
}

@inline
export function d_unhashed(d: dentry): bool {
  return list_empty(d.d_child) && d.d_parent != d;
}

export function d_drop(d: dentry): void {
  list_del_init(d.d_child);
}

/** Turns a dentry negative after its file was unlinked; users keep what they have open. */
export function d_delete(d: dentry): void {
  d_drop(d);
}

function dentry_kill(d: dentry): void {
  const parent = d.d_parent;
  list_del_init(d.d_child);
  if (d.d_inode_va != 0) {
    const node = d.d_inode;
    hlist_del_init(d.d_alias);
    d.d_inode_va = 0;
    iput(node);
  }
  free_name(d);
  kfree(changetype<usize>(d));
  if (parent != d) dput(parent);
}

export function dput(d: dentry): void {
  if (isnull(d)) return;
  d.d_lockref.count -= 1;
  if (d.d_lockref.count > 0) return;
  if (d_unhashed(d) || d.d_flags & DCACHE_OP_DELETE || d.d_inode_va == 0) dentry_kill(d);
}

export function always_delete_dentry(d: dentry): i32 {
  return 1;
}

/** Gives a dentry another place and name (rename); `target` is the negative or replaced one there. */
export function d_move(d: dentry, target: dentry): void {
  const old_parent = d.d_parent;
  d_drop(target);
  list_del_init(d.d_child);
  free_name(d);
  set_name(d, target.d_name.name, target.d_name.len);
  d.d_parent = dget(target.d_parent);
  list_add(d.d_child, target.d_parent.d_subdirs);
  dput(old_parent);
}

/** Whether a directory has a name in it. */
export function simple_empty(d: dentry): bool {
  const head = d.d_subdirs;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    if (dentry.from_d_child(at).d_inode_va != 0) return false;
  }
  return true;
}

export function dcache_init(): void {
  sym.simple_dentry_operations.d_delete = fnptr(always_delete_dentry);
}
