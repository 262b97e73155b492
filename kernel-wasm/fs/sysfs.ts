/**
 * sysfs (fs/kernfs, fs/sysfs): attributes of the kernel's objects, one value a file.
 *
 *     show(node: kernfs_node, buf: usize): i64                      text into a page, its length
 *     store(node: kernfs_node, buf: usize, count: usize): i64       text with NUL; bytes taken or an error
 */
import {
  CONFIG_MODULES,
  EACCES,
  EFAULT,
  ENODEV,
  ENOENT,
  ENOMEM,
  FMODE_READ,
  FMODE_WRITE,
  GFP_KERNEL,
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
import { INIT_LIST_HEAD, list_add_tail, list_del, list_empty, list_is_head } from "../lib/list";
import { memcmp, strcmp, strlen } from "../lib/string";
import { free_page, get_zeroed_page } from "../mm/page_alloc";
import { kfree, kzalloc } from "../mm/slub";
import { d_add, d_make_root } from "./dcache";
import { S_ISDIR, new_inode } from "./inode";
import { dir_emit, dir_emit_dots, dt_type } from "./readdir";
import { generic_file_llseek } from "./read_write";
import { mount_nodev, register_filesystem } from "./super";

function kernfs_new_node(parent: kernfs_node, name: usize, mode: u32): kernfs_node {
  const kn = changetype<kernfs_node>(kzalloc(kernfs_node.SIZE, GFP_KERNEL));
  if (isnull(kn)) return kn;
  sym.kernfs_id_next += 1;
  kn.count.counter = 1;
  kn.parent = parent;
  kn.name = name;
  kn.mode = <u16>mode;
  kn.id = sym.kernfs_id_next;
  INIT_LIST_HEAD(kn.children);
  list_add_tail(kn.sibling, parent.children);
  return kn;
}

/** A directory below `parent` (null: /sys). `name` is kept. */
export function sysfs_create_dir(name: usize, parent: kernfs_node): kernfs_node {
  return kernfs_new_node(isnull(parent) ? sym.sysfs_root : parent, name, S_IFDIR | 0o755);
}

/** The directory of that name, made when there is none; null when memory is short or `parent` is null. */
export function sysfs_find_dir(name: usize, parent: kernfs_node): kernfs_node {
  if (isnull(parent)) return parent;
  const head = parent.children;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const kn = kernfs_node.from_sibling(at);
    if (S_ISDIR(kn.mode) && strcmp(kn.name, name) == 0) return kn;
  }
  return sysfs_create_dir(name, parent);
}

/** A file; `show` and `store` are function addresses, 0 for none. Null when memory is short. */
export function sysfs_create_file(
  dir: kernfs_node,
  name: usize,
  mode: u32,
  show: u64,
  store: u64,
): kernfs_node {
  const kn = kernfs_new_node(dir, name, S_IFREG | mode);
  if (isnull(kn)) return kn;
  kn.show = show;
  kn.store = store;
  return kn;
}

/** A text file that cannot be written, whose show() finds `priv` in its node. */
export function sysfs_create_attr(dir: kernfs_node, name: usize, mode: u32, show: u64, priv: usize): void {
  const kn = sysfs_create_file(dir, name, mode, show, 0);
  if (!isnull(kn)) kn.priv = priv;
}

/** One user less; the last one frees it. */
function kernfs_put(kn: kernfs_node): void {
  kn.count.counter -= 1;
  if (kn.count.counter == 0) kfree(changetype<usize>(kn));
}

/** Takes a directory and all below it away. What is open stays, and can be neither read nor written. */
export function sysfs_remove_dir(dir: kernfs_node): void {
  const head = dir.children;
  while (!list_empty(head)) sysfs_remove_dir(kernfs_node.from_sibling(head.next));
  list_del(dir.sibling);
  dir.show = 0;
  dir.store = 0;
  kernfs_put(dir);
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
  node.i_private = changetype<usize>(kn);
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
  const head = kn_of(dir).children;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const kn = kernfs_node.from_sibling(at);
    if (strlen(kn.name) != d.d_name.len || memcmp(kn.name, d.d_name.name, d.d_name.len) != 0) continue;
    const node = kernfs_get_inode(dir.i_sb, kn);
    if (isnull(node)) return ERR_PTR<dentry>(-ENOMEM);
    d_add(d, node);
    return changetype<dentry>(0);
  }
  return ERR_PTR<dentry>(-ENOENT);
}

export function kernfs_fop_readdir(filp: file, ctx: dir_context): i32 {
  if (!dir_emit_dots(filp, ctx)) return 0;
  const head = kn_of(filp.f_inode).children;
  let pos: i64 = 2;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const kn = kernfs_node.from_sibling(at);
    if (pos++ != ctx.pos) continue;
    if (!dir_emit(ctx, kn.name, strlen(kn.name), kn.id, dt_type(kn.mode))) return 0;
    ctx.pos += 1;
  }
  return 0;
}

/** A file can be opened for what it can do, by root too. */
export function kernfs_fop_open(node: inode, filp: file): i32 {
  const kn = kn_of(node);
  if (filp.f_mode & FMODE_WRITE && ((kn.mode & 0o222) == 0 || kn.store == 0)) return -EACCES;
  if (filp.f_mode & FMODE_READ && ((kn.mode & 0o444) == 0 || kn.show == 0)) return -EACCES;
  if (CONFIG_MODULES) kn.count.counter += 1;
  return 0;
}

export function kernfs_fop_release(node: inode, filp: file): i32 {
  kernfs_put(kn_of(node));
  return 0;
}

export function kernfs_fop_read(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const kn = kn_of(filp.f_inode);
  if (kn.show == 0) return -ENODEV;
  const text = get_zeroed_page(GFP_KERNEL);
  if (!text) return -ENOMEM;
  let n = call_indirect<i64>(text_index(kn.show), kn, text);
  if (n >= 0) {
    n = pos >= n ? 0 : min<i64>(n - pos, count);
    if (n > 0 && copy_to_buf(buf, text + <usize>pos, <usize>n)) n = -EFAULT;
  }
  free_page(text);
  return n;
}

export function kernfs_fop_write(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const kn = kn_of(filp.f_inode);
  if (kn.store == 0) return -ENODEV;
  const text = get_zeroed_page(GFP_KERNEL);
  if (!text) return -ENOMEM;
  const len = min<usize>(count, PAGE_SIZE - 1);
  const n = copy_from_buf(text, buf, len) ? -EFAULT : call_indirect<i64>(text_index(kn.store), kn, text, len);
  free_page(text);
  return n;
}

export function sysfs_fill_super(sb: super_block, data: usize): i32 {
  sb.s_magic = SYSFS_MAGIC;
  sb.s_d_op = sym.simple_dentry_operations;
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
  sym.kernfs_id_next = 1;
  root.id = 1;
  root.mode = S_IFDIR | 0o755;
  root.name = c`/`;
  root.parent = root;
  INIT_LIST_HEAD(root.children);
  INIT_LIST_HEAD(root.sibling);
  sym.kernfs_dir_iops.lookup = fnptr(kernfs_iop_lookup);
  sym.kernfs_dir_fops.iterate_shared = fnptr(kernfs_fop_readdir);
  sym.kernfs_dir_fops.llseek = fnptr(generic_file_llseek);
  sym.kernfs_file_fops.open = fnptr(kernfs_fop_open);
  if (CONFIG_MODULES) sym.kernfs_file_fops.release = fnptr(kernfs_fop_release);
  sym.kernfs_file_fops.read = fnptr(kernfs_fop_read);
  sym.kernfs_file_fops.write = fnptr(kernfs_fop_write);
  sym.kernfs_file_fops.llseek = fnptr(generic_file_llseek);
  const type = sym.sysfs_fs_type;
  type.name = c`sysfs`;
  type.mount = fnptr(sysfs_mount);
  register_filesystem(type);
  sym.kernel_kobj = sysfs_create_dir(c`kernel`, root);
}
