/**
 * Mounts (fs/namespace.c): the tree of file systems, and the initial namespace with rootfs at its root.
 * namespace_sem is held while something is mounted or the list is read, mount_lock where the tree changes and
 * by walks that cross mounts.
 */
import {
  DCACHE_MOUNTED,
  ENODEV,
  ENOMEM,
  ENOTDIR,
  GFP_KERNEL,
  LOOKUP_FOLLOW,
  MINORBITS,
  SB_RDONLY,
} from "../include/generated/constants";
import {
  atomic_t,
  dentry,
  file_system_type,
  mnt_namespace,
  mount,
  path,
  seq_file,
  vfsmount,
} from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { ERR_PTR, IS_ERR, PTR_ERR } from "../include/err";
import { down_read, down_write, up_read, up_write } from "../kernel/locking/rwsem";
import { spin_lock, spin_unlock } from "../kernel/locking/spinlock";
import { panic } from "../kernel/panic";
import { atomic_dec, atomic_inc } from "../lib/atomic";
import { INIT_LIST_HEAD, list_add_tail, list_is_head } from "../lib/list";
import { strlen, strscpy } from "../lib/string";
import { kzalloc } from "../mm/slub";
import { dget, dput } from "./dcache";
import { S_ISDIR } from "./inode";
import { kern_path, put_nameidata } from "./namei";
import { seq_path_root, seq_printf } from "./seq_file";
import { get_fs_type } from "./super";

@inline
export function real_mount(mnt: vfsmount): mount {
  return mount.from_mnt(mnt);
}

@inline
function mnt_count(mnt: vfsmount): atomic_t {
  return changetype<atomic_t>(mount.addr_of_mnt_count(real_mount(mnt)));
}

export function mntget(mnt: vfsmount): vfsmount {
  if (!isnull(mnt)) atomic_inc(mnt_count(mnt));
  return mnt;
}

export function mntput(mnt: vfsmount): void {
  if (!isnull(mnt)) atomic_dec(mnt_count(mnt));
}

/** A mount of a new superblock, not in the tree yet. ERR_PTR on failure. */
export function vfs_kern_mount(type: file_system_type, flags: i32, devname: usize, data: usize): mount {
  const m = changetype<mount>(kzalloc(mount.SIZE, GFP_KERNEL));
  const name = kzalloc(strlen(devname) + 1, GFP_KERNEL);
  if (isnull(m) || !name) return ERR_PTR<mount>(-ENOMEM);
  const root = call_indirect<dentry>(text_index(type.mount), type, flags, devname, data);
  if (IS_ERR(root)) return ERR_PTR<mount>(PTR_ERR(root));
  strscpy(name, devname, strlen(devname) + 1);
  m.mnt_id = atomic.add<i32>(sym.addr_of_mnt_id_next(), 1) + 1;
  m.mnt_count = 1;
  m.mnt_devname = name;
  m.mnt.mnt_root = root;
  m.mnt.mnt_sb = root.d_sb;
  m.mnt_parent = m;
  m.mnt_mountpoint = root;
  INIT_LIST_HEAD(m.mnt_mounts);
  INIT_LIST_HEAD(m.mnt_child);
  INIT_LIST_HEAD(m.mnt_list);
  spin_lock(sym.mount_lock);
  list_add_tail(m.mnt_instance, root.d_sb.s_mounts);
  spin_unlock(sym.mount_lock);
  return m;
}

function attach_to_namespace(m: mount): void {
  const ns = sym.init_mnt_ns;
  m.mnt_ns = ns;
  list_add_tail(m.mnt_list, ns.list);
  ns.mounts += 1;
}

/** Mounts a file system of type `fstype` at `dir`. Kernel strings; 0 or a negative error. */
export function do_mount(devname: usize, dir: usize, fstype: usize, flags: i32, data: usize): i32 {
  const type = get_fs_type(fstype);
  if (isnull(type)) return -ENODEV;
  const nd = kern_path(dir, LOOKUP_FOLLOW);
  if (IS_ERR(nd)) return PTR_ERR(nd);
  down_write(sym.namespace_sem);
  const err = mount_at(nd.path, type, flags, devname, data);
  up_write(sym.namespace_sem);
  put_nameidata(nd);
  return err;
}

function mount_at(at: path, type: file_system_type, flags: i32, devname: usize, data: usize): i32 {
  const where = at.dentry;
  if (!S_ISDIR(where.d_inode.i_mode)) return -ENOTDIR;
  const m = vfs_kern_mount(type, flags, devname, data);
  if (IS_ERR(m)) return PTR_ERR(m);
  spin_lock(sym.mount_lock);
  m.mnt_parent = real_mount(at.mnt);
  m.mnt_mountpoint = dget(where);
  spin_lock(sym.dcache_lock);
  where.d_flags |= DCACHE_MOUNTED;
  spin_unlock(sym.dcache_lock);
  list_add_tail(m.mnt_child, m.mnt_parent.mnt_mounts);
  attach_to_namespace(m);
  spin_unlock(sym.mount_lock);
  return 0;
}

/** The mount whose mountpoint is `d` in `mnt`, with a reference, or null. */
export function lookup_mnt(mnt: vfsmount, d: dentry): vfsmount {
  const head = real_mount(mnt).mnt_mounts;
  let found = changetype<vfsmount>(0);
  spin_lock(sym.mount_lock);
  for (let at = head.prev; isnull(found) && !list_is_head(at, head); at = at.prev) {
    const m = mount.from_mnt_child(at);
    if (m.mnt_mountpoint == d) found = mntget(m.mnt);
  }
  spin_unlock(sym.mount_lock);
  return found;
}

/** Goes on to the root of what is mounted on `p`, as often as needed. */
export function follow_mounts(p: path): void {
  while (p.dentry.d_flags & DCACHE_MOUNTED) {
    const mnt = lookup_mnt(p.mnt, p.dentry);
    if (isnull(mnt)) return;
    const root = dget(mnt.mnt_root);
    path_put(p);
    p.mnt = mnt;
    p.dentry = root;
  }
}

/** From the root of what is mounted to where; false at the top. */
export function follow_up(p: path): bool {
  const m = real_mount(p.mnt);
  spin_lock(sym.mount_lock);
  const up = m.mnt_parent;
  const at = up == m ? changetype<dentry>(0) : dget(m.mnt_mountpoint);
  if (up != m) mntget(up.mnt);
  spin_unlock(sym.mount_lock);
  if (up == m) return false;
  path_put(p);
  p.mnt = up.mnt;
  p.dentry = at;
  return true;
}

export function path_get(p: path): void {
  mntget(p.mnt);
  dget(p.dentry);
}

export function path_put(p: path): void {
  dput(p.dentry);
  mntput(p.mnt);
}

/** Mounts rootfs and makes it root and working directory of init_task. */
export function init_mount_tree(): void {
  const type = get_fs_type(c`rootfs`);
  const ns = changetype<mnt_namespace>(kzalloc(mnt_namespace.SIZE, GFP_KERNEL));
  if (isnull(type) || isnull(ns)) panic(c`Can't create rootfs`);
  INIT_LIST_HEAD(ns.list);
  ns.ns.count.refs.counter = 1;
  ns.ns.inum = 0xeffffffb;
  sym.init_mnt_ns = ns;
  sym.init_nsproxy.mnt_ns = ns;
  const m = vfs_kern_mount(type, 0, c`rootfs`, 0);
  if (IS_ERR(m)) panic(c`Can't create rootfs`);
  ns.root = m;
  attach_to_namespace(m);
  const fs = sym.init_fs;
  fs.root.mnt = mntget(m.mnt);
  fs.root.dentry = dget(m.mnt.mnt_root);
  fs.pwd.mnt = mntget(m.mnt);
  fs.pwd.dentry = dget(m.mnt.mnt_root);
  fs.users = 1;
  fs.umask = 0o022;
}

/** /proc/mounts. */
export function show_vfsmounts(m: seq_file, unused: usize): i32 {
  const head = sym.init_mnt_ns.list;
  down_read(sym.namespace_sem);
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const mnt = mount.from_mnt_list(at);
    seq_printf(m, c`%s `, mnt.mnt_devname);
    show_mountpoint(m, mnt);
    seq_printf(m, c` %s %s 0 0\n`, mnt.mnt.mnt_sb.s_type.name, ro_or_rw(mnt.mnt.mnt_sb.s_flags));
  }
  up_read(sym.namespace_sem);
  return 0;
}

@inline
function ro_or_rw(flags: u64): usize {
  return flags & SB_RDONLY ? c`ro` : c`rw`;
}

function show_mountpoint(m: seq_file, mnt: mount): void {
  spin_lock(sym.dcache_lock);
  seq_path_root(m, mnt);
  spin_unlock(sym.dcache_lock);
}

/**
 * /proc/PID/mountinfo: number, parent's number, device, root, mountpoint, options - type, source, options.
 */
export function show_mountinfo(m: seq_file, unused: usize): i32 {
  const head = sym.init_mnt_ns.list;
  down_read(sym.namespace_sem);
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const mnt = mount.from_mnt_list(at);
    const sb = mnt.mnt.mnt_sb;
    const minor = sb.s_dev & ((1 << MINORBITS) - 1);
    seq_printf(m, c`%i %i %u:%u / `, mnt.mnt_id, mnt.mnt_parent.mnt_id, sb.s_dev >> MINORBITS, minor);
    show_mountpoint(m, mnt);
    const rights = ro_or_rw(sb.s_flags);
    seq_printf(m, c` %s - %s %s %s\n`, rights, sb.s_type.name, mnt.mnt_devname, rights);
  }
  up_read(sym.namespace_sem);
  return 0;
}

export function mnt_init(): void {
  INIT_LIST_HEAD(sym.super_blocks);
}
