/**
 * sysfs (fs/kernfs, fs/sysfs): attributes of the kernel's objects, one value a file.
 *
 *     show(node: kernfs_node, buf: usize): i64                      text into a page, its length
 *     store(node: kernfs_node, buf: usize, count: usize): i64       text with NUL; bytes taken or an error
 *
 * kernfs_rwsem guards the tree. One show or store runs at a time (kernfs_open_file_mutex, which in Linux is
 * there for what each open file has of its own): they parse into shared words.
 */
import {
  CONFIG_CRASH_DUMP,
  EACCES,
  EFAULT,
  EIO,
  ENODEV,
  ENOENT,
  ENOMEM,
  FMODE_READ,
  FMODE_WRITE,
  GFP_KERNEL,
  KN_DEACTIVATED_BIAS,
  PAGE_SIZE,
  S_IFDIR,
  S_IFREG,
  SYSFS_MAGIC,
} from "../include/generated/constants";
import {
  dentry,
  dir_context,
  file,
  file_system_type,
  inode,
  kernfs_node,
  super_block,
} from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { ERR_PTR } from "../include/err";
import { copy_from_buf, copy_to_buf } from "../arch/lib/usercopy";
import { mutex_lock, mutex_unlock } from "../kernel/locking/mutex";
import { down_read, down_write, init_rwsem, up_read, up_write } from "../kernel/locking/rwsem";
import { atomic_dec_and_test, atomic_inc, atomic_read, atomic_set } from "../lib/atomic";
import { INIT_LIST_HEAD, list_add_tail, list_del_init, list_empty, list_is_head } from "../lib/list";
import { memcmp, strlen } from "../lib/string";
import { free_page, get_zeroed_page } from "../mm/page_alloc";
import { kfree, kzalloc } from "../mm/slub";
import { d_add, d_make_root, shrink_dcache_sb } from "./dcache";
import { S_ISDIR, new_inode } from "./inode";
import { dir_emit, dir_emit_dots, dt_type } from "./readdir";
import { generic_file_llseek } from "./read_write";
import { mount_nodev, register_filesystem } from "./super";

function kernfs_get(kn: kernfs_node): kernfs_node {
  atomic_inc(kn.count);
  return kn;
}

/** A node has a reference of the tree's, of each child's and of each inode's. */
function kernfs_put(kn: kernfs_node): void {
  while (atomic_dec_and_test(kn.count)) {
    const parent = kn.parent;
    kfree(changetype<usize>(kn));
    kn = parent;
  }
}

/** Not in the tree yet. Null when memory is short. `name` is kept. */
function kernfs_new_node(parent: kernfs_node, name: usize, mode: u32): kernfs_node {
  const kn = changetype<kernfs_node>(kzalloc(kernfs_node.SIZE, GFP_KERNEL));
  if (isnull(kn)) return kn;
  kn.count.counter = 1;
  kn.parent = CONFIG_CRASH_DUMP ? parent : kernfs_get(parent);
  kn.name = name;
  kn.mode = <u16>mode;
  INIT_LIST_HEAD(kn.children);
  return kn;
}

/** With kernfs_rwsem for writing. */
function kernfs_link_sibling(kn: kernfs_node): void {
  sym.kernfs_id_next += 1;
  kn.id = sym.kernfs_id_next;
  list_add_tail(kn.sibling, kn.parent.children);
}

function kernfs_add_one(kn: kernfs_node): void {
  down_write(sym.kernfs_rwsem);
  kernfs_link_sibling(kn);
  up_write(sym.kernfs_rwsem);
}

/** A directory below `parent` (null: /sys). `name` is kept. */
export function sysfs_create_dir(name: usize, parent: kernfs_node): kernfs_node {
  const kn = kernfs_new_node(isnull(parent) ? sym.sysfs_root : parent, name, S_IFDIR | 0o755);
  if (!isnull(kn)) kernfs_add_one(kn);
  return kn;
}

/** With kernfs_rwsem. */
function kernfs_find(parent: kernfs_node, name: usize, len: usize): kernfs_node {
  const head = parent.children;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const kn = kernfs_node.from_sibling(at);
    if (strlen(kn.name) == len && memcmp(kn.name, name, len) == 0) return kn;
  }
  return changetype<kernfs_node>(0);
}

/** The directory of that name, made when there is none; null when memory is short or `parent` is null. */
export function sysfs_find_dir(name: usize, parent: kernfs_node): kernfs_node {
  if (isnull(parent)) return parent;
  down_write(sym.kernfs_rwsem);
  let kn = kernfs_find(parent, name, strlen(name));
  if (isnull(kn)) {
    kn = kernfs_new_node(parent, name, S_IFDIR | 0o755);
    if (!isnull(kn)) kernfs_link_sibling(kn);
  }
  up_write(sym.kernfs_rwsem);
  return kn;
}

/**
 * A file; `show` and `store` are function addresses, 0 for none, and find `priv` in their node. Null when
 * memory is short.
 */
export function sysfs_create_file(
  dir: kernfs_node,
  name: usize,
  mode: u32,
  show: u64,
  store: u64,
  priv: usize = 0,
): kernfs_node {
  const kn = kernfs_new_node(dir, name, S_IFREG | mode);
  if (isnull(kn)) return kn;
  kn.show = show;
  kn.store = store;
  kn.priv = priv;
  kernfs_add_one(kn);
  return kn;
}

/** With kernfs_rwsem for writing. */
function kernfs_unlink(kn: kernfs_node): void {
  while (!list_empty(kn.children)) kernfs_unlink(kernfs_node.from_sibling(kn.children.next));
  atomic_set(kn.active, KN_DEACTIVATED_BIAS);
  list_del_init(kn.sibling);
  kernfs_put(kn);
}

/**
 * Takes a file or a directory with all that is in it out of the tree, and waits for those who are in one of
 * its functions; what has it open gets ENODEV. Not for a store() of its own.
 */
export function sysfs_remove_dir(kn: kernfs_node): void {
  down_write(sym.kernfs_rwsem);
  kernfs_unlink(kn);
  up_write(sym.kernfs_rwsem);
  mutex_lock(sym.kernfs_open_file_mutex);
  mutex_unlock(sym.kernfs_open_file_mutex);
  if (sym.sysfs_sb_va != 0) shrink_dcache_sb(sym.sysfs_sb);
}

@inline
function kernfs_active(kn: kernfs_node): bool {
  return CONFIG_CRASH_DUMP || atomic_read(kn.active) >= 0;
}

/** A name that was looked up before is good as long as its node is in the tree. */
export function kernfs_dop_revalidate(d: dentry, flags: u32): i32 {
  return kernfs_active(kn_of(d.d_inode)) ? 1 : 0;
}

export function kernfs_evict_inode(node: inode): void {
  kernfs_put(kn_of(node));
}

/** A text file that cannot be written, whose show() finds `priv` in its node. */
export function sysfs_create_attr(dir: kernfs_node, name: usize, mode: u32, show: u64, priv: usize): void {
  sysfs_create_file(dir, name, mode, show, 0, priv);
}

@inline
function kn_of(node: inode): kernfs_node {
  return changetype<kernfs_node>(node.i_private);
}

function kernfs_get_inode(sb: super_block, kn: kernfs_node): inode {
  const node = new_inode(sb);
  if (isnull(node)) return node;
  node.i_ino = kn.id;
  node.i_mode = kn.mode;
  node.i_private = changetype<usize>(CONFIG_CRASH_DUMP ? kn : kernfs_get(kn));
  if (S_ISDIR(kn.mode)) {
    node.i_op = sym.kernfs_dir_iops;
    node.i_fop = sym.kernfs_dir_fops;
    node.i_nlink = 2;
  } else {
    node.i_size = kn.size ? kn.size : PAGE_SIZE;
    node.i_fop = sym.kernfs_file_fops;
  }
  return node;
}

export function kernfs_iop_lookup(dir: inode, d: dentry, flags: u32): dentry {
  down_read(sym.kernfs_rwsem);
  const kn = kernfs_find(kn_of(dir), d.d_name.name, d.d_name.len);
  const node = isnull(kn) ? changetype<inode>(0) : kernfs_get_inode(dir.i_sb, kn);
  up_read(sym.kernfs_rwsem);
  if (isnull(kn)) return ERR_PTR<dentry>(-ENOENT);
  if (isnull(node)) return ERR_PTR<dentry>(-ENOMEM);
  d_add(d, node);
  return changetype<dentry>(0);
}

export function kernfs_fop_readdir(filp: file, ctx: dir_context): i32 {
  if (!dir_emit_dots(filp, ctx)) return 0;
  const head = kn_of(filp.f_inode).children;
  let pos: i64 = 2;
  down_read(sym.kernfs_rwsem);
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const kn = kernfs_node.from_sibling(at);
    if (pos++ != ctx.pos) continue;
    if (!dir_emit(ctx, kn.name, strlen(kn.name), kn.id, dt_type(kn.mode))) break;
    ctx.pos += 1;
  }
  up_read(sym.kernfs_rwsem);
  return 0;
}

/** A file can be opened for what it can do, by root too. */
export function kernfs_fop_open(node: inode, filp: file): i32 {
  const kn = kn_of(node);
  if (filp.f_mode & FMODE_WRITE && ((kn.mode & 0o222) == 0 || kn.store == 0)) return -EACCES;
  if (filp.f_mode & FMODE_READ && ((kn.mode & 0o444) == 0 || kn.show == 0)) return -EACCES;
  return 0;
}

export function kernfs_fop_read(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const kn = kn_of(filp.f_inode);
  if (kn.show == 0) return -EIO;
  const text = get_zeroed_page(GFP_KERNEL);
  if (!text) return -ENOMEM;
  mutex_lock(sym.kernfs_open_file_mutex);
  let n = kernfs_active(kn) ? call_indirect<i64>(text_index(kn.show), kn, text) : -ENODEV;
  mutex_unlock(sym.kernfs_open_file_mutex);
  if (n >= 0) {
    n = pos >= n ? 0 : min<i64>(n - pos, count);
    if (n > 0 && copy_to_buf(buf, text + <usize>pos, <usize>n)) n = -EFAULT;
  }
  free_page(text);
  return n;
}

export function kernfs_fop_write(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const kn = kn_of(filp.f_inode);
  if (kn.store == 0) return -EIO;
  const text = get_zeroed_page(GFP_KERNEL);
  if (!text) return -ENOMEM;
  const len = min<usize>(count, PAGE_SIZE - 1);
  let n: i64 = -EFAULT;
  if (copy_from_buf(text, buf, len) == 0) {
    mutex_lock(sym.kernfs_open_file_mutex);
    n = kernfs_active(kn) ? call_indirect<i64>(text_index(kn.store), kn, text, len) : -ENODEV;
    mutex_unlock(sym.kernfs_open_file_mutex);
  }
  free_page(text);
  return n;
}

export function sysfs_fill_super(sb: super_block, data: usize): i32 {
  sb.s_magic = SYSFS_MAGIC;
  // Production keeps the names that were looked up, until memory is wanted back.
  if (CONFIG_CRASH_DUMP) {
    sb.s_d_op = sym.simple_dentry_operations;
  } else {
    sym.kernfs_dops.d_revalidate = fnptr(kernfs_dop_revalidate);
    sym.sysfs_ops.evict_inode = fnptr(kernfs_evict_inode);
    sb.s_d_op = sym.kernfs_dops;
    sb.s_op = sym.sysfs_ops;
    sym.sysfs_sb = sb;
  }
  const root = d_make_root(kernfs_get_inode(sb, sym.sysfs_root));
  if (isnull(root)) return -ENOMEM;
  sb.s_root = root;
  return 0;
}

export function sysfs_mount(type: file_system_type, flags: i32, dev_name: usize, data: usize): dentry {
  return mount_nodev(type, flags, data, fnptr(sysfs_fill_super));
}

/** The tree, with /sys/kernel (sym.kernel_kobj). */
export function sysfs_init(): void {
  const root = sym.sysfs_root;
  init_rwsem(sym.kernfs_rwsem);
  sym.kernfs_id_next = 1;
  root.id = 1;
  root.count.counter = 1;
  root.mode = S_IFDIR | 0o755;
  root.name = c`/`;
  root.parent = root;
  INIT_LIST_HEAD(root.children);
  INIT_LIST_HEAD(root.sibling);
  sym.kernfs_dir_iops.lookup = fnptr(kernfs_iop_lookup);
  sym.kernfs_dir_fops.iterate_shared = fnptr(kernfs_fop_readdir);
  sym.kernfs_dir_fops.llseek = fnptr(generic_file_llseek);
  sym.kernfs_file_fops.open = fnptr(kernfs_fop_open);
  sym.kernfs_file_fops.read = fnptr(kernfs_fop_read);
  sym.kernfs_file_fops.write = fnptr(kernfs_fop_write);
  sym.kernfs_file_fops.llseek = fnptr(generic_file_llseek);
  const type = sym.sysfs_fs_type;
  type.name = c`sysfs`;
  type.mount = fnptr(sysfs_mount);
  register_filesystem(type);
  sym.kernel_kobj = sysfs_create_dir(c`kernel`, root);
}
