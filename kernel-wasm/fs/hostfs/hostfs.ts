/**
 * hostfs: the host's directory as a file system, mounted at /var/crash in both kernels. Nothing is cached:
 * each operation goes to the host and its errors come back as they are. What copy_file_range hands over as
 * extents is written by DMA from where it lies; other reads and writes go through one page.
 *
 * The device takes one request at a time: hostfs_mutex is held from where a path or a request is filled in
 * until its answer has been read.
 */
import {
  EINVAL,
  ENAMETOOLONG,
  ENOENT,
  ENOMEM,
  GFP_KERNEL,
  HOSTFS_MAGIC,
  HOSTFS_PATH_MAX,
  HOSTFS_READ,
  HOSTFS_WRITE,
  O_ACCMODE,
  O_CREAT,
  O_EXCL,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  PAGE_SIZE,
  RENAME_NOREPLACE,
  S_IFDIR,
  S_IFMT,
  ATTR_SIZE,
  EFAULT,
} from "../../include/generated/constants";
import { dentry, file, file_system_type, iattr, inode, super_block } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { copy_from_buf, copy_to_buf } from "../../arch/lib/usercopy";
import { ERR_PTR } from "../../include/err";
import { mutex_lock, mutex_unlock } from "../../kernel/locking/mutex";
import { spin_lock, spin_unlock } from "../../kernel/locking/spinlock";
import { free_page, __get_free_page } from "../../mm/page_alloc";
import { d_add, d_instantiate, d_make_root } from "../dcache";
import { get_next_ino, inode_lock, inode_unlock, new_inode } from "../inode";
import { default_llseek } from "../read_write";
import { mount_nodev, register_filesystem } from "../super";
import {
  hostfs_close,
  hostfs_fsync,
  hostfs_fsync_dir,
  hostfs_mkdir,
  hostfs_open,
  hostfs_rename,
  hostfs_stat,
  hostfs_transfer,
  hostfs_unlink,
} from "./device";

const SLASH: u8 = 0x2f;

/**
 * The path of `d` below the mount, written to the end of `buf` (HOSTFS_PATH_MAX bytes); 0 when it is too
 * long.
 */
function dentry_path(d: dentry, buf: usize): usize {
  spin_lock(sym.dcache_lock);
  const at = prepend_names(d, buf);
  spin_unlock(sym.dcache_lock);
  return at;
}

function prepend_names(d: dentry, buf: usize): usize {
  let at = buf + HOSTFS_PATH_MAX - 1;
  store<u8>(at, 0);
  for (; d.d_parent != d; d = d.d_parent) {
    const len = <usize>d.d_name.len;
    if (at - buf < len + 1) return 0;
    if (load<u8>(at) != 0) store<u8>(--at, SLASH);
    at -= len;
    memory.copy(at, d.d_name.name, len);
  }
  return at;
}

@inline
function path_of(d: dentry): usize {
  return dentry_path(d, sym.hostfs_path);
}

/** An inode for what the host says; null without memory. */
function hostfs_inode(sb: super_block, mode: u32, size: u64): inode {
  const node = new_inode(sb);
  if (isnull(node)) return node;
  node.i_ino = get_next_ino();
  node.i_mode = <u16>mode;
  node.i_size = size;
  if ((mode & S_IFMT) == S_IFDIR) {
    node.i_op = sym.hostfs_dir_inode_operations;
    node.i_fop = sym.hostfs_dir_operations;
  } else {
    node.i_op = sym.hostfs_file_inode_operations;
    node.i_fop = sym.hostfs_file_operations;
  }
  return node;
}

/** Fills `d` with the file at its path, which must exist: after create and mkdir. */
function instantiate(dir: inode, d: dentry, path: usize): i32 {
  const mode = hostfs_stat(path);
  if (mode < 0) return mode;
  const node = hostfs_inode(dir.i_sb, mode, sym.hostfs_req.size);
  if (isnull(node)) return -ENOMEM;
  d_instantiate(d, node);
  return 0;
}

function look_up(dir: inode, d: dentry): dentry {
  const path = path_of(d);
  if (path == 0) return ERR_PTR<dentry>(-ENAMETOOLONG);
  const mode = hostfs_stat(path);
  if (mode < 0 && mode != -ENOENT) return ERR_PTR<dentry>(mode);
  if (mode == -ENOENT) {
    d_add(d, changetype<inode>(0));
    return changetype<dentry>(0);
  }
  const node = hostfs_inode(dir.i_sb, mode, sym.hostfs_req.size);
  if (isnull(node)) return ERR_PTR<dentry>(-ENOMEM);
  d_add(d, node);
  return changetype<dentry>(0);
}

function hostfs_lookup(dir: inode, d: dentry, flags: u32): dentry {
  mutex_lock(sym.hostfs_mutex);
  const result = look_up(dir, d);
  mutex_unlock(sym.hostfs_mutex);
  return result;
}

function create(dir: inode, d: dentry, mode: u32, excl: i32): i32 {
  const path = path_of(d);
  if (path == 0) return -ENAMETOOLONG;
  const handle = hostfs_open(path, O_RDWR | O_CREAT | (excl ? O_EXCL : 0), mode);
  if (handle < 0) return handle;
  hostfs_close(handle);
  return instantiate(dir, d, path);
}

function hostfs_create(dir: inode, d: dentry, mode: u32, excl: i32): i32 {
  mutex_lock(sym.hostfs_mutex);
  const result = create(dir, d, mode, excl);
  mutex_unlock(sym.hostfs_mutex);
  return result;
}

function make_directory(dir: inode, d: dentry, mode: u32): i32 {
  const path = path_of(d);
  if (path == 0) return -ENAMETOOLONG;
  const error = hostfs_mkdir(path, mode);
  return error < 0 ? error : instantiate(dir, d, path);
}

function hostfs_dir_mkdir(dir: inode, d: dentry, mode: u32): i32 {
  mutex_lock(sym.hostfs_mutex);
  const result = make_directory(dir, d, mode);
  mutex_unlock(sym.hostfs_mutex);
  return result;
}

function unlink(d: dentry): i32 {
  const path = path_of(d);
  return path == 0 ? -ENAMETOOLONG : hostfs_unlink(path);
}

function hostfs_dir_unlink(dir: inode, d: dentry): i32 {
  mutex_lock(sym.hostfs_mutex);
  const result = unlink(d);
  mutex_unlock(sym.hostfs_mutex);
  return result;
}

function rename(from: dentry, to: dentry, flags: u32): i32 {
  if ((flags & ~RENAME_NOREPLACE) != 0) return -EINVAL;
  const old = path_of(from);
  const path = dentry_path(to, sym.hostfs_path2);
  if (old == 0 || path == 0) return -ENAMETOOLONG;
  return hostfs_rename(old, path, flags);
}

function hostfs_dir_rename(dir: inode, from: dentry, to_dir: inode, to: dentry, flags: u32): i32 {
  mutex_lock(sym.hostfs_mutex);
  const result = rename(from, to, flags);
  mutex_unlock(sym.hostfs_mutex);
  return result;
}

function set_attributes(d: dentry, attr: iattr): i32 {
  if ((attr.ia_valid & ATTR_SIZE) == 0) return 0;
  if (attr.ia_size != 0) return -EINVAL;
  const path = path_of(d);
  if (path == 0) return -ENAMETOOLONG;
  const handle = hostfs_open(path, O_WRONLY | O_TRUNC, 0);
  if (handle < 0) return handle;
  d.d_inode.i_size = 0;
  return hostfs_close(handle);
}

function hostfs_setattr(d: dentry, attr: iattr): i32 {
  mutex_lock(sym.hostfs_mutex);
  const result = set_attributes(d, attr);
  mutex_unlock(sym.hostfs_mutex);
  return result;
}

@inline
function handle_of(f: file): u32 {
  return <u32>f.private_data_va;
}

function open_handle(f: file): i32 {
  const path = path_of(f.f_path.dentry);
  if (path == 0) return -ENAMETOOLONG;
  const handle = hostfs_open(path, f.f_flags & O_ACCMODE, 0);
  if (handle < 0) return handle;
  f.private_data_va = <u64>handle;
  return 0;
}

function hostfs_file_open(node: inode, f: file): i32 {
  mutex_lock(sym.hostfs_mutex);
  const result = open_handle(f);
  mutex_unlock(sym.hostfs_mutex);
  return result;
}

function hostfs_file_release(node: inode, f: file): i32 {
  mutex_lock(sym.hostfs_mutex);
  const error = hostfs_close(handle_of(f));
  mutex_unlock(sym.hostfs_mutex);
  return error;
}

function hostfs_file_fsync(f: file, start: i64, end: i64, datasync: i32): i32 {
  mutex_lock(sym.hostfs_mutex);
  const error = hostfs_fsync(handle_of(f));
  mutex_unlock(sym.hostfs_mutex);
  return error;
}

function sync_directory(f: file): i32 {
  const path = path_of(f.f_path.dentry);
  return path == 0 ? -ENAMETOOLONG : hostfs_fsync_dir(path);
}

function hostfs_dir_fsync(f: file, start: i64, end: i64, datasync: i32): i32 {
  mutex_lock(sym.hostfs_mutex);
  const result = sync_directory(f);
  mutex_unlock(sym.hostfs_mutex);
  return result;
}

/** One page's worth at most between the file and the bounce page. */
function bounce(op: u32, f: file, page: usize, len: usize, pos: u64): i64 {
  mutex_lock(sym.hostfs_mutex);
  sym.hostfs_bounce.addr = page;
  sym.hostfs_bounce.len = len;
  const moved = hostfs_transfer(op, handle_of(f), pos, changetype<usize>(sym.hostfs_bounce), 1);
  mutex_unlock(sym.hostfs_mutex);
  return moved;
}

function hostfs_file_read(f: file, buf: u64, count: usize, pos: i64): i64 {
  const page = __get_free_page(GFP_KERNEL);
  if (page == 0) return -ENOMEM;
  let done: usize = 0;
  let error: i64 = 0;
  while (done < count) {
    const part = min<usize>(count - done, PAGE_SIZE);
    const moved = bounce(HOSTFS_READ, f, page, part, <u64>pos + done);
    if (moved <= 0) {
      error = moved;
      break;
    }
    if (copy_to_buf(buf + done, page, <usize>moved) != 0) {
      error = -EFAULT;
      break;
    }
    done += <usize>moved;
    if (<usize>moved < part) break;
  }
  free_page(page);
  return done != 0 ? <i64>done : error;
}

/** A write went as far as `end`. */
function wrote_to(f: file, end: i64): void {
  inode_lock(f.f_inode);
  if (end > f.f_inode.i_size) f.f_inode.i_size = end;
  inode_unlock(f.f_inode);
}

function hostfs_file_write(f: file, buf: u64, count: usize, pos: i64): i64 {
  const page = __get_free_page(GFP_KERNEL);
  if (page == 0) return -ENOMEM;
  let done: usize = 0;
  let error: i64 = 0;
  while (done < count) {
    const part = min<usize>(count - done, PAGE_SIZE);
    if (copy_from_buf(page, buf + done, part) != 0) {
      error = -EFAULT;
      break;
    }
    const moved = bounce(HOSTFS_WRITE, f, page, part, <u64>pos + done);
    if (moved <= 0) {
      error = moved;
      break;
    }
    done += <usize>moved;
    if (<usize>moved < part) break;
  }
  free_page(page);
  wrote_to(f, pos + <i64>done);
  return done != 0 ? <i64>done : error;
}

/** The device takes the extents as they are. */
function hostfs_file_write_extents(f: file, pos: i64, extents: usize, n: i32): i64 {
  mutex_lock(sym.hostfs_mutex);
  const moved = hostfs_transfer(HOSTFS_WRITE, handle_of(f), pos, extents, n);
  mutex_unlock(sym.hostfs_mutex);
  if (moved > 0) wrote_to(f, pos + moved);
  return moved;
}

function hostfs_fill_super(sb: super_block, data: usize): i32 {
  sb.s_magic = HOSTFS_MAGIC;
  sb.s_d_op = sym.simple_dentry_operations;
  mutex_lock(sym.hostfs_mutex);
  store<u8>(sym.hostfs_path, 0);
  const mode = hostfs_stat(sym.hostfs_path);
  mutex_unlock(sym.hostfs_mutex);
  if (mode < 0) return mode;
  if ((mode & S_IFMT) != S_IFDIR) return -EINVAL;
  const root = d_make_root(hostfs_inode(sb, mode, 0));
  if (isnull(root)) return -ENOMEM;
  sb.s_root = root;
  return 0;
}

function hostfs_mount(type: file_system_type, flags: i32, dev_name: usize, data: usize): dentry {
  return mount_nodev(type, flags, data, fnptr(hostfs_fill_super));
}

/** module_init: registers the file system "hostfs". */
export function init_hostfs(): i32 {
  const dir = sym.hostfs_dir_inode_operations;
  dir.lookup = fnptr(hostfs_lookup);
  dir.create = fnptr(hostfs_create);
  dir.mkdir = fnptr(hostfs_dir_mkdir);
  dir.unlink = fnptr(hostfs_dir_unlink);
  dir.rename = fnptr(hostfs_dir_rename);
  sym.hostfs_file_inode_operations.setattr = fnptr(hostfs_setattr);

  const fops = sym.hostfs_file_operations;
  fops.llseek = fnptr(default_llseek);
  fops.read = fnptr(hostfs_file_read);
  fops.write = fnptr(hostfs_file_write);
  fops.open = fnptr(hostfs_file_open);
  fops.release = fnptr(hostfs_file_release);
  fops.fsync = fnptr(hostfs_file_fsync);
  fops.write_extents = fnptr(hostfs_file_write_extents);
  sym.hostfs_dir_operations.fsync = fnptr(hostfs_dir_fsync);

  const type = sym.hostfs_fs_type;
  type.name = c`hostfs`;
  type.mount = fnptr(hostfs_mount);
  return register_filesystem(type);
}
