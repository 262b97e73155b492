/**
 * Names (fs/dcache.c): the tree of dentries. A dentry is found among its parent's children; those of
 * directories here are few. A negative dentry (no inode) says that a name does not exist. A dentry is freed
 * with its last reference when it was dropped from the tree, or when its file system keeps none (d_delete);
 * otherwise it stays on its superblock's list of unused ones, for the next who asks or until memory is
 * wanted back.
 *
 * dcache_lock guards the tree: links, names, inodes of dentries, and each count's way to zero (one lock for
 * all, as in Linux before 2.6.38; d_lockref.lock is not used). Whoever has a reference may take another one
 * without it. Order of the locks of this folder:
 *
 *     namespace_sem, s_umount
 *       s_vfs_rename_mutex
 *         i_rwsem             of a directory before those below it
 *           mount_lock
 *             dcache_lock
 *               s_inode_list_lock
 */
import {
  CONFIG_CRASH_DUMP,
  CONFIG_SMP,
  DCACHE_LRU_LIST,
  DCACHE_OP_DELETE,
  DCACHE_PAR_LOOKUP,
  DNAME_INLINE_LEN,
  GFP_KERNEL,
} from "../include/generated/constants";
import { atomic_t, dentry, external_name, inode, lockref, super_block } from "../include/generated/structs";
import { sym, this_cpu } from "../include/generated/symbols";
import { spin_lock, spin_unlock } from "../kernel/locking/spinlock";
import {
  atomic_add_unless,
  atomic_dec_and_test,
  atomic_inc,
  atomic_read,
  atomic_set,
} from "../lib/atomic";
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

@inline
function d_count(d: dentry): atomic_t {
  return changetype<atomic_t>(lockref.addr_of_count(d.d_lockref));
}

export function dget(d: dentry): dentry {
  if (!isnull(d)) atomic_inc(d_count(d));
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
    const p = kzalloc(external_name.SIZE + len + 1, GFP_KERNEL);
    if (!p) return false;
    atomic_set(changetype<external_name>(p).count, 1);
    to = p + external_name.SIZE;
  }
  memory.copy(to, name, len);
  store<u8>(to + len, 0);
  d.d_name.len = <u32>len;
  d.d_name.hash = name_hash(name, len);
  d.d_name.name = to;
  return true;
}

@inline
function external_name_of(d: dentry): external_name {
  return changetype<external_name>(d.d_name.name - external_name.SIZE);
}

function free_name(d: dentry): void {
  if (d.d_name.name == d.d_iname) return;
  const name = external_name_of(d);
  if (atomic_dec_and_test(name.count)) kfree(changetype<usize>(name));
}

/** `d` gets the name of `from`, which keeps it: who has that open still sees what it was called. */
function copy_name(d: dentry, from: dentry): void {
  free_name(d);
  if (from.d_name.name == from.d_iname) {
    memory.copy(d.d_iname, from.d_iname, DNAME_INLINE_LEN);
    d.d_name.name = d.d_iname;
  } else {
    atomic_inc(external_name_of(from).count);
    d.d_name.name = from.d_name.name;
  }
  d.d_name.len = from.d_name.len;
  d.d_name.hash = from.d_name.hash;
}

/**
 * A new negative dentry, in the tree below `parent` (null: a root), where lookups do not see it before
 * d_add(). Null when memory is short.
 */
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
  if (!CONFIG_CRASH_DUMP) this_cpu.nr_dentry += 1;
  if (isnull(parent)) {
    d.d_parent = d;
  } else {
    if (CONFIG_SMP) d.d_flags |= DCACHE_PAR_LOOKUP;
    d.d_parent = dget(parent);
    spin_lock(sym.dcache_lock);
    list_add(d.d_child, parent.d_subdirs);
    spin_unlock(sym.dcache_lock);
  }
  return d;
}

/** A child by name, with a reference; null when the tree does not know it. */
export function d_lookup(parent: dentry, name: usize, len: usize): dentry {
  let found = changetype<dentry>(0);
  spin_lock(sym.dcache_lock);
  const head = parent.d_subdirs;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const d = dentry.from_d_child(at);
    if (d.d_name.len != len || memcmp(d.d_name.name, name, len) != 0) continue;
    if (CONFIG_SMP && d.d_flags & DCACHE_PAR_LOOKUP) continue;
    found = dget(d);
    break;
  }
  spin_unlock(sym.dcache_lock);
  return found;
}

/** A dentry gets its inode, whose reference it takes over; null: it is known to be negative. */
export function d_add(d: dentry, node: inode): void {
  spin_lock(sym.dcache_lock);
  if (!isnull(node)) {
    hlist_add_head(d.d_alias, node.i_dentry);
    d.d_inode = node;
  }
  if (CONFIG_SMP) d.d_flags &= ~DCACHE_PAR_LOOKUP;
  spin_unlock(sym.dcache_lock);
}

export function d_instantiate(d: dentry, node: inode): void {
  d_add(d, node);
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
  spin_lock(sym.dcache_lock);
  list_del_init(d.d_child);
  spin_unlock(sym.dcache_lock);
}

/** Turns a dentry negative after its file was unlinked; users keep what they have open. */
export function d_delete(d: dentry): void {
  d_drop(d);
}

/** Onto its superblock's list of unused dentries. */
function d_lru_add(d: dentry): void {
  if (CONFIG_CRASH_DUMP || d.d_flags & DCACHE_LRU_LIST) return;
  const node = d.d_sb.s_dentry_lru.node;
  d.d_flags |= DCACHE_LRU_LIST;
  list_add(d.d_lru, node.lru.list);
  node.lru.nr_items += 1;
  node.nr_items += 1;
  this_cpu.nr_dentry_unused += 1;
}

function d_lru_del(d: dentry): void {
  if (CONFIG_CRASH_DUMP || (d.d_flags & DCACHE_LRU_LIST) == 0) return;
  const node = d.d_sb.s_dentry_lru.node;
  d.d_flags &= ~DCACHE_LRU_LIST;
  list_del_init(d.d_lru);
  node.lru.nr_items -= 1;
  node.nr_items -= 1;
  this_cpu.nr_dentry_unused -= 1;
}

/** Frees a dentry without references; drops dcache_lock. The parent, whose reference is the caller's now. */
function dentry_kill(d: dentry): dentry {
  const parent = d.d_parent;
  const node = d.d_inode;
  d_lru_del(d);
  list_del_init(d.d_child);
  if (!isnull(node)) {
    hlist_del_init(d.d_alias);
    d.d_inode_va = 0;
  }
  if (!CONFIG_CRASH_DUMP) this_cpu.nr_dentry -= 1;
  spin_unlock(sym.dcache_lock);
  iput(node);
  free_name(d);
  kfree(changetype<usize>(d));
  return parent == d ? changetype<dentry>(0) : parent;
}

export function dput(d: dentry): void {
  while (!isnull(d)) {
    if (CONFIG_SMP && atomic_add_unless(d_count(d), -1, 1)) return;
    spin_lock(sym.dcache_lock);
    if (!atomic_dec_and_test(d_count(d))) {
      spin_unlock(sym.dcache_lock);
      return;
    }
    if (!d_unhashed(d) && (d.d_flags & DCACHE_OP_DELETE) == 0 && d.d_inode_va != 0) {
      d_lru_add(d);
      spin_unlock(sym.dcache_lock);
      return;
    }
    d = dentry_kill(d);
  }
}

/** Frees a superblock's unused dentries, and with each the directories that only it kept. How many. */
export function shrink_dcache_sb(sb: super_block): u64 {
  const head = sb.s_dentry_lru.node.lru.list;
  let freed: u64 = 0;
  for (;;) {
    spin_lock(sym.dcache_lock);
    if (list_empty(head)) break;
    const d = dentry.from_d_lru(head.prev);
    d_lru_del(d);
    if (atomic_read(d_count(d))) {
      // Somebody has found it since; it comes back when it is unused again.
      spin_unlock(sym.dcache_lock);
      continue;
    }
    freed++;
    dput(dentry_kill(d));
  }
  spin_unlock(sym.dcache_lock);
  return freed;
}

export function always_delete_dentry(d: dentry): i32 {
  return 1;
}

/** Gives a dentry another place and name (rename); `target` is the negative or replaced one there. */
export function d_move(d: dentry, target: dentry): void {
  const old_parent = d.d_parent;
  spin_lock(sym.dcache_lock);
  list_del_init(target.d_child);
  list_del_init(d.d_child);
  copy_name(d, target);
  d.d_parent = dget(target.d_parent);
  list_add(d.d_child, target.d_parent.d_subdirs);
  spin_unlock(sym.dcache_lock);
  dput(old_parent);
}

/** Whether `d` is `below` or lies above it. */
export function d_ancestor(d: dentry, below: dentry): bool {
  spin_lock(sym.dcache_lock);
  let at = below;
  while (at != d && at.d_parent != at) at = at.d_parent;
  spin_unlock(sym.dcache_lock);
  return at == d;
}

/** The parent, with a reference. */
export function dget_parent(d: dentry): dentry {
  spin_lock(sym.dcache_lock);
  const parent = dget(d.d_parent);
  spin_unlock(sym.dcache_lock);
  return parent;
}

/** Whether a directory has no name in it. */
export function simple_empty(d: dentry): bool {
  const head = d.d_subdirs;
  let empty = true;
  spin_lock(sym.dcache_lock);
  for (let at = head.next; empty && !list_is_head(at, head); at = at.next) {
    empty = dentry.from_d_child(at).d_inode_va == 0;
  }
  spin_unlock(sym.dcache_lock);
  return empty;
}

/**
 * The child behind `from` in the order of creation, or the oldest for null, with a reference; that of `from`
 * is given up. Only names of files. Null at the end. The directory's lock keeps `from` where it is.
 */
export function next_positive(dir: dentry, from: dentry): dentry {
  const head = dir.d_subdirs;
  let found = changetype<dentry>(0);
  spin_lock(sym.dcache_lock);
  let at = isnull(from) ? head.prev : from.d_child.prev;
  for (; isnull(found) && !list_is_head(at, head); at = at.prev) {
    const d = dentry.from_d_child(at);
    if (d.d_inode_va != 0) found = dget(d);
  }
  spin_unlock(sym.dcache_lock);
  dput(from);
  return found;
}

export function dcache_init(): void {
  sym.simple_dentry_operations.d_delete = fnptr(always_delete_dentry);
}
