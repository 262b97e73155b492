/**
 * /proc's tree (fs/proc/generic.c, inode.c). An entry is made once, by proc_create() and its kin; inodes
 * follow when a path leads there. Operations of an entry are its proc_ops, or a show function for text.
 * proc_subdir_lock guards the tree.
 */
import {
  CONFIG_CRASH_DUMP,
  EIO,
  ENOENT,
  ENOMEM,
  GFP_KERNEL,
  PROC_ROOT_INO,
  PROC_SUPER_MAGIC,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../../include/generated/constants";
import {
  dentry,
  dir_context,
  file,
  file_system_type,
  inode,
  inode_operations,
  proc_dir_entry,
  proc_ops,
  super_block,
  vm_area_struct,
} from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { ERR_PTR } from "../../include/err";
import { read_lock, read_unlock, write_lock, write_unlock } from "../../kernel/locking/qrwlock";
import { INIT_LIST_HEAD, list_add_tail, list_del, list_is_head } from "../../lib/list";
import { memcmp, strlen } from "../../lib/string";
import { kfree, kzalloc } from "../../mm/slub";
import { d_add, d_make_root } from "../dcache";
import { S_ISDIR, S_ISLNK, new_inode } from "../inode";
import { dir_emit, dir_emit_dots, dt_type } from "../readdir";
import { generic_file_llseek } from "../read_write";
import { seq_lseek, seq_read, single_open, single_release } from "../seq_file";
import { mount_nodev, register_filesystem } from "../super";

@inline
export function PDE(node: inode): proc_dir_entry {
  return changetype<proc_dir_entry>(node.i_private);
}

export function pde_data(node: inode): usize {
  return PDE(node).data;
}

/** With proc_subdir_lock. */
function find_entry(dir: proc_dir_entry, name: usize, len: usize): proc_dir_entry {
  const head = dir.subdir;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const entry = proc_dir_entry.from_subdir_node(at);
    if (entry.namelen == len && memcmp(entry.name, name, len) == 0) return entry;
  }
  return changetype<proc_dir_entry>(0);
}

/**
 * A new entry below `parent` (null: /proc), not in the tree yet. Null when memory is short. `name` is kept.
 */
function proc_alloc(name: usize, mode: u32, parent: proc_dir_entry): proc_dir_entry {
  const entry = changetype<proc_dir_entry>(kzalloc(proc_dir_entry.SIZE, GFP_KERNEL));
  if (isnull(entry)) return entry;
  entry.refcnt.refs.counter = 1;
  entry.nlink = S_ISDIR(mode) ? 2 : 1;
  entry.mode = <u16>mode;
  entry.name = name;
  entry.namelen = <u8>strlen(name);
  entry.parent = isnull(parent) ? sym.proc_root : parent;
  INIT_LIST_HEAD(entry.subdir);
  return entry;
}

/** Into the tree; null, and the entry is freed, when the name is taken. */
function proc_register(entry: proc_dir_entry): proc_dir_entry {
  const dir = entry.parent;
  write_lock(sym.proc_subdir_lock);
  const taken = !isnull(find_entry(dir, entry.name, entry.namelen));
  if (!taken) {
    sym.proc_inum_next += 1;
    entry.low_ino = 0xf0000000 + sym.proc_inum_next;
    if (S_ISDIR(entry.mode)) dir.nlink += 1;
    list_add_tail(entry.subdir_node, dir.subdir);
  }
  write_unlock(sym.proc_subdir_lock);
  if (!taken) return entry;
  kfree(changetype<usize>(entry));
  return changetype<proc_dir_entry>(0);
}

/** A regular file, not in the tree yet. */
function proc_alloc_reg(name: usize, mode: u32, parent: proc_dir_entry, ops: proc_ops): proc_dir_entry {
  const type = mode & S_IFMT ? 0 : S_IFREG;
  const bits = mode & 0o777 ? 0 : 0o444;
  const entry = proc_alloc(name, mode | type | bits, parent);
  if (isnull(entry)) return entry;
  entry.proc_ops = ops;
  entry.proc_iops = sym.proc_file_inode_operations;
  return entry;
}

/** Null when the name is taken or memory is short, as of all that follow. */
export function proc_create_data(
  name: usize,
  mode: u32,
  parent: proc_dir_entry,
  ops: proc_ops,
  data: usize,
): proc_dir_entry {
  const entry = proc_alloc_reg(name, mode, parent, ops);
  if (isnull(entry)) return entry;
  entry.data = data;
  return proc_register(entry);
}

export function proc_create(name: usize, mode: u32, parent: proc_dir_entry, ops: proc_ops): proc_dir_entry {
  return proc_create_data(name, mode, parent, ops, 0);
}

/** A file whose text `show(m: seq_file, v: usize): i32` makes. */
export function proc_create_single(
  name: usize,
  mode: u32,
  parent: proc_dir_entry,
  show: u64,
): proc_dir_entry {
  const entry = proc_alloc_reg(name, mode, parent, sym.proc_single_ops);
  if (isnull(entry)) return entry;
  entry.single_show = show;
  return proc_register(entry);
}

export function proc_mkdir(name: usize, parent: proc_dir_entry): proc_dir_entry {
  const entry = proc_alloc(name, S_IFDIR | 0o555, parent);
  return isnull(entry) ? entry : proc_register(entry);
}

/** A symbolic link; `dest` is kept, and `ops` are those of links with a text when they are null. */
export function proc_symlink(
  name: usize,
  parent: proc_dir_entry,
  dest: usize,
  ops: inode_operations = changetype<inode_operations>(0),
): proc_dir_entry {
  const entry = proc_alloc(name, S_IFLNK | 0o777, parent);
  if (isnull(entry)) return entry;
  entry.data = dest;
  entry.size = dest ? strlen(dest) : 0;
  entry.proc_iops = isnull(ops) ? sym.proc_link_inode_operations : ops;
  return proc_register(entry);
}

/** With proc_subdir_lock for writing. */
function proc_unlink(entry: proc_dir_entry): void {
  const head = entry.subdir;
  while (!list_is_head(head.next, head)) proc_unlink(proc_dir_entry.from_subdir_node(head.next));
  list_del(entry.subdir_node);
  if (S_ISDIR(entry.mode)) entry.parent.nlink -= 1;
  kfree(changetype<usize>(entry));
}

/**
 * Takes an entry and what is below it away. Nobody may have a file of it open: the module that made it sees
 * to that.
 */
export function proc_remove(entry: proc_dir_entry): void {
  if (isnull(entry)) return;
  write_lock(sym.proc_subdir_lock);
  proc_unlink(entry);
  write_unlock(sym.proc_subdir_lock);
}

export function proc_set_size(entry: proc_dir_entry, size: i64): void {
  entry.size = size;
}

function proc_get_inode(sb: super_block, entry: proc_dir_entry): inode {
  const node = new_inode(sb);
  if (isnull(node)) return node;
  node.i_ino = entry.low_ino;
  node.i_mode = entry.mode;
  node.i_nlink = entry.nlink;
  node.i_size = entry.size;
  node.i_private = changetype<usize>(entry);
  if (S_ISDIR(entry.mode)) {
    const root = !CONFIG_CRASH_DUMP && entry.low_ino == PROC_ROOT_INO;
    node.i_op = root ? sym.proc_root_inode_operations : sym.proc_dir_inode_operations;
    node.i_fop = root ? sym.proc_root_operations : sym.proc_dir_operations;
  } else if (!CONFIG_CRASH_DUMP && S_ISLNK(entry.mode)) {
    node.i_op = entry.proc_iops;
    node.i_link = entry.data;
  } else {
    node.i_op = entry.proc_iops;
    node.i_fop = sym.proc_reg_file_ops;
  }
  return node;
}

export function proc_lookup(dir: inode, d: dentry, flags: u32): dentry {
  read_lock(sym.proc_subdir_lock);
  const entry = find_entry(PDE(dir), d.d_name.name, d.d_name.len);
  read_unlock(sym.proc_subdir_lock);
  if (isnull(entry)) return ERR_PTR<dentry>(-ENOENT);
  const node = proc_get_inode(dir.i_sb, entry);
  if (isnull(node)) return ERR_PTR<dentry>(-ENOMEM);
  d_add(d, node);
  return changetype<dentry>(0);
}

export function proc_readdir(filp: file, ctx: dir_context): i32 {
  if (!dir_emit_dots(filp, ctx)) return 0;
  const head = PDE(filp.f_inode).subdir;
  let pos: i64 = 2;
  read_lock(sym.proc_subdir_lock);
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const entry = proc_dir_entry.from_subdir_node(at);
    if (pos++ != ctx.pos) continue;
    if (!dir_emit(ctx, entry.name, entry.namelen, entry.low_ino, dt_type(entry.mode))) break;
    ctx.pos += 1;
  }
  read_unlock(sym.proc_subdir_lock);
  return 0;
}

/** The size may have been set after a path first led there. */
export function proc_getattr(node: inode): i32 {
  node.i_size = PDE(node).size;
  return 0;
}

export function proc_reg_open(node: inode, filp: file): i32 {
  const ops = PDE(node).proc_ops;
  node.i_size = PDE(node).size;
  return ops.proc_open == 0 ? 0 : call_indirect<i32>(text_index(ops.proc_open), node, filp);
}

export function proc_reg_release(node: inode, filp: file): i32 {
  const ops = PDE(node).proc_ops;
  return ops.proc_release == 0 ? 0 : call_indirect<i32>(text_index(ops.proc_release), node, filp);
}

export function proc_reg_read(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const ops = PDE(filp.f_inode).proc_ops;
  return ops.proc_read == 0 ? -EIO : call_indirect<i64>(text_index(ops.proc_read), filp, buf, count, pos);
}

export function proc_reg_write(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const ops = PDE(filp.f_inode).proc_ops;
  return ops.proc_write == 0 ? -EIO : call_indirect<i64>(text_index(ops.proc_write), filp, buf, count, pos);
}

export function proc_reg_llseek(filp: file, offset: i64, whence: i32): i64 {
  const ops = PDE(filp.f_inode).proc_ops;
  if (ops.proc_lseek == 0) return generic_file_llseek(filp, offset, whence);
  return call_indirect<i64>(text_index(ops.proc_lseek), filp, offset, whence);
}

export function proc_reg_mmap(filp: file, vma: vm_area_struct): i32 {
  const ops = PDE(filp.f_inode).proc_ops;
  return ops.proc_mmap == 0 ? -EIO : call_indirect<i32>(text_index(ops.proc_mmap), filp, vma);
}

export function proc_reg_get_extents(filp: file, pos: i64, len: u64, extents: usize, max_extents: i32): i64 {
  const ops = PDE(filp.f_inode).proc_ops;
  if (ops.proc_get_extents == 0) return 0;
  return call_indirect<i64>(text_index(ops.proc_get_extents), filp, pos, len, extents, max_extents);
}

export function proc_single_open(node: inode, filp: file): i32 {
  return single_open(filp, PDE(node).single_show, PDE(node).data);
}

export function proc_fill_super(sb: super_block, data: usize): i32 {
  sb.s_magic = PROC_SUPER_MAGIC;
  sb.s_d_op = sym.simple_dentry_operations;
  if (!CONFIG_CRASH_DUMP) sb.s_op = sym.proc_sops;
  const root = d_make_root(proc_get_inode(sb, sym.proc_root));
  if (isnull(root)) return -ENOMEM;
  sb.s_root = root;
  return 0;
}

export function proc_mount(type: file_system_type, flags: i32, dev_name: usize, data: usize): dentry {
  return mount_nodev(type, flags, data, fnptr(proc_fill_super));
}

function init_operations(): void {
  sym.proc_dir_inode_operations.lookup = fnptr(proc_lookup);
  sym.proc_dir_operations.iterate_shared = fnptr(proc_readdir);
  sym.proc_dir_operations.llseek = fnptr(generic_file_llseek);
  sym.proc_file_inode_operations.getattr = fnptr(proc_getattr);
  const file = sym.proc_reg_file_ops;
  file.open = fnptr(proc_reg_open);
  file.release = fnptr(proc_reg_release);
  file.read = fnptr(proc_reg_read);
  file.write = fnptr(proc_reg_write);
  file.llseek = fnptr(proc_reg_llseek);
  file.mmap = fnptr(proc_reg_mmap);
  file.get_extents = fnptr(proc_reg_get_extents);
  const single = sym.proc_single_ops;
  single.proc_open = fnptr(proc_single_open);
  single.proc_read = fnptr(seq_read);
  single.proc_lseek = fnptr(seq_lseek);
  single.proc_release = fnptr(single_release);
}

export function proc_init_root(): void {
  const root = sym.proc_root;
  INIT_LIST_HEAD(root.subdir);
  INIT_LIST_HEAD(root.subdir_node);
  root.low_ino = PROC_ROOT_INO;
  root.mode = S_IFDIR | 0o555;
  root.nlink = 2;
  root.name = c`/proc`;
  root.namelen = 5;
  root.parent = root;
  init_operations();
  const type = sym.proc_fs_type;
  type.name = c`proc`;
  type.mount = fnptr(proc_mount);
  register_filesystem(type);
}
