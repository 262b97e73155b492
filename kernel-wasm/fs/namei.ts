/**
 * From names to files (fs/namei.c): path walk and open; names.ts makes and removes names. All names are
 * kernel strings; getname() fetches a user's. A walk's state is a nameidata on the heap, given back by
 * put_nameidata().
 *
 * A directory's i_rwsem is held where its names are looked up by the file system, made, removed or renamed;
 * a walk that meets a name in the tree takes none.
 */
import {
  CONFIG_CRASH_DUMP,
  CONFIG_SMP,
  EEXIST,
  EISDIR,
  ELOOP,
  ENAMETOOLONG,
  ENOENT,
  ENOMEM,
  ENOTDIR,
  EPERM,
  GFP_KERNEL,
  LAST_DOT,
  LAST_DOTDOT,
  LAST_NORM,
  LAST_ROOT,
  LOOKUP_DIRECTORY,
  LOOKUP_FOLLOW,
  LOOKUP_PARENT,
  MAXSYMLINKS,
  MAY_READ,
  MAY_WRITE,
  NAME_MAX,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_TRUNC,
  O_ACCMODE,
  O_WRONLY,
  PATH_MAX,
  S_DEAD,
  S_IFREG,
} from "../include/generated/constants";
import { dentry, file, inode, nameidata, path } from "../include/generated/structs";
import { ERR_PTR, IS_ERR, PTR_ERR } from "../include/err";
import { strncpy_from_user } from "../arch/lib/usercopy";
import { get_current } from "../arch/kernel/current";
import { strlen } from "../lib/string";
import { kfree, kmalloc, kzalloc } from "../mm/slub";
import { d_alloc, d_drop, d_lookup, dget_parent, dput } from "./dcache";
import { get_fs_pwd, get_fs_root } from "./fs_struct";
import { S_ISDIR, S_ISLNK, inode_lock, inode_unlock } from "./inode";
import { follow_mounts, follow_up, path_get, path_put } from "./namespace";
import { alloc_empty_file, fput } from "./file_table";
import { do_truncate, vfs_open } from "./open";

const SLASH: u8 = 0x2f;
const DOT: u8 = 0x2e;

/**
 * A user's string, copied; ERR_PTR(-EFAULT), -ENAMETOOLONG, -ENOENT for an empty one. Free with putname().
 */
export function getname(user: u64): usize {
  const name = kmalloc(PATH_MAX, GFP_KERNEL);
  if (!name) return ERR_PTR<usize>(-ENOMEM);
  const len = strncpy_from_user(name, user, PATH_MAX);
  const err = len < 0 ? len : len == PATH_MAX ? -ENAMETOOLONG : len == 0 ? -ENOENT : 0;
  if (!err) return name;
  kfree(name);
  return ERR_PTR<usize>(err);
}

export function putname(name: usize): void {
  kfree(name);
}

function set_path(p: path, from: path): void {
  path_get(from);
  if (p.dentry_va != 0) path_put(p);
  p.mnt_va = from.mnt_va;
  p.dentry_va = from.dentry_va;
}

/** `..`: up over mount points, never above the task's root. */
function follow_dotdot(nd: nameidata): void {
  const p = nd.path;
  while (!(p.dentry == nd.root.dentry && p.mnt == nd.root.mnt)) {
    if (p.dentry != p.mnt.mnt_root) {
      const parent = dget_parent(p.dentry);
      dput(p.dentry);
      p.dentry = parent;
      break;
    }
    if (!follow_up(p)) break;
  }
  follow_mounts(p);
}

/** Whether a known name still means the same: a process may have ended. */
function d_valid(d: dentry): bool {
  if (d.d_op_va == 0 || d.d_op.d_revalidate == 0) return true;
  return call_indirect<i32>(text_index(d.d_op.d_revalidate), d, <u32>0) != 0;
}

/** A directory that another CPU has removed meanwhile: nothing is found or made in it any more. */
@inline
export function is_dead(dir: inode): bool {
  return CONFIG_SMP && (dir.i_flags & S_DEAD) != 0;
}

/** A name that the tree knows, and that still means the same; null for others. */
function lookup_fast(parent: dentry, name: usize, len: usize): dentry {
  const known = d_lookup(parent, name, len);
  if (isnull(known) || CONFIG_CRASH_DUMP || d_valid(known)) return known;
  d_drop(known);
  dput(known);
  return changetype<dentry>(0);
}

/**
 * The dentry of a name in a directory that is locked, negative when there is no such file; asks the file
 * system if need be.
 */
export function lookup_one(parent: dentry, name: usize, len: usize): dentry {
  if (len > NAME_MAX) return ERR_PTR<dentry>(-ENAMETOOLONG);
  const known = lookup_fast(parent, name, len);
  if (!isnull(known)) return known;
  const dir = parent.d_inode;
  if (is_dead(dir)) return ERR_PTR<dentry>(-ENOENT);
  const d = d_alloc(parent, name, len, parent.d_sb);
  if (isnull(d)) return ERR_PTR<dentry>(-ENOMEM);
  const found = call_indirect<dentry>(text_index(dir.i_op.lookup), dir, d, <u32>0);
  if (isnull(found)) return d;
  dput(d);
  return found;
}

/** The same for a directory that is not locked: its lock is taken when the tree does not know the name. */
function lookup_slow(parent: dentry, name: usize, len: usize): dentry {
  if (!CONFIG_SMP) return lookup_one(parent, name, len);
  if (len > NAME_MAX) return ERR_PTR<dentry>(-ENAMETOOLONG);
  const known = lookup_fast(parent, name, len);
  if (!isnull(known)) return known;
  const dir = parent.d_inode;
  inode_lock(dir);
  const d = lookup_one(parent, name, len);
  inode_unlock(dir);
  return d;
}

/** A component's kind: `.`, `..` or a name. */
function component_type(name: usize, len: usize): i32 {
  if (load<u8>(name) != DOT) return LAST_NORM;
  if (len == 1) return LAST_DOT;
  return len == 2 && load<u8>(name + 1) == DOT ? LAST_DOTDOT : LAST_NORM;
}

/** The text of a link to be freed, 0 when the walk has gone where it leads, or an ERR_PTR. */
function get_link(nd: nameidata, d: dentry): usize {
  const node = d.d_inode;
  if (node.i_op.get_link != 0) return call_indirect<usize>(text_index(node.i_op.get_link), d, nd);
  const len = strlen(node.i_link) + 1;
  const text = kmalloc(len, GFP_KERNEL);
  if (!text) return ERR_PTR<usize>(-ENOMEM);
  memory.copy(text, node.i_link, len);
  return text;
}

/** Goes where the link `d` leads, from the directory that the walk is in. Takes over the reference. */
function follow_link(nd: nameidata, d: dentry, parent_only: bool): i32 {
  nd.depth += 1;
  const text = nd.depth > MAXSYMLINKS ? ERR_PTR<usize>(-ELOOP) : get_link(nd, d);
  let err = IS_ERR(text) ? PTR_ERR(text) : 0;
  if (!err && text) {
    if (load<u8>(text) == SLASH) set_path(nd.path, nd.root);
    err = load<u8>(text) == 0 ? -ENOENT : link_path_walk(nd, text, true, parent_only);
    // The last component is looked up while its text is there.
    if (!err && parent_only) nd.link_text = text;
    else kfree(text);
  }
  dput(d);
  return err;
}

/** For get_link: the walk goes on at `to`. */
export function nd_jump_link(nd: nameidata, to: path): void {
  set_path(nd.path, to);
}

/** Steps into one component of the path, and on when it is a link and `follow`. The result exists. */
function walk_component(nd: nameidata, name: usize, len: usize, type: i32, follow: bool): i32 {
  if (type == LAST_DOT) return 0;
  if (type == LAST_DOTDOT) {
    follow_dotdot(nd);
    return 0;
  }
  const d = lookup_slow(nd.path.dentry, name, len);
  if (IS_ERR(d)) return PTR_ERR(d);
  if (d.d_inode_va == 0) {
    dput(d);
    return -ENOENT;
  }
  if (!CONFIG_CRASH_DUMP && follow && S_ISLNK(d.d_inode.i_mode)) return follow_link(nd, d, false);
  dput(nd.path.dentry);
  nd.path.dentry = d;
  follow_mounts(nd.path);
  return 0;
}

/** `nested`: the text of a link that is being followed, so to its end unless `parent_only`. */
function link_path_walk(nd: nameidata, name: usize, nested: bool, parent_only: bool): i32 {
  nd.last_type = LAST_ROOT;
  while (load<u8>(name) == SLASH) name++;
  while (load<u8>(name) != 0) {
    if (!S_ISDIR(nd.path.dentry.d_inode.i_mode)) return -ENOTDIR;
    const start = name;
    while (load<u8>(name) != 0 && load<u8>(name) != SLASH) name++;
    const len = name - start;
    const slash = load<u8>(name) == SLASH;
    while (load<u8>(name) == SLASH) name++;
    const type = component_type(start, len);
    if (load<u8>(name) == 0) {
      nd.last_type = type;
      if (slash && !nested) nd.flags |= LOOKUP_DIRECTORY;
      if (parent_only) {
        nd.last.name = start;
        nd.last.len = <u32>len;
        return 0;
      }
    }
    const follow = nested || slash || (nd.flags & LOOKUP_FOLLOW) != 0;
    const err = walk_component(nd, start, len, type, follow);
    if (err) return err;
  }
  if (!nested && nd.flags & LOOKUP_DIRECTORY && !S_ISDIR(nd.path.dentry.d_inode.i_mode)) return -ENOTDIR;
  return 0;
}

/**
 * Walks a path from the task's root or working directory. With LOOKUP_PARENT, path is the directory and
 * `last` the final component, whose bytes stay the caller's. Returns a nameidata or an ERR_PTR.
 */
export function kern_path(name: usize, flags: u32): nameidata {
  const nd = changetype<nameidata>(kzalloc(nameidata.SIZE, GFP_KERNEL));
  if (isnull(nd)) return ERR_PTR<nameidata>(-ENOMEM);
  const fs = get_current().fs;
  nd.flags = flags;
  get_fs_root(fs, nd.root);
  if (load<u8>(name) == SLASH) set_path(nd.path, nd.root);
  else get_fs_pwd(fs, nd.path);
  const err = load<u8>(name) == 0 ? -ENOENT : link_path_walk(nd, name, false, (flags & LOOKUP_PARENT) != 0);
  if (!err) return nd;
  put_nameidata(nd);
  return ERR_PTR<nameidata>(err);
}

export function put_nameidata(nd: nameidata): void {
  path_put(nd.path);
  path_put(nd.root);
  kfree(changetype<usize>(nd));
}

/** The dentry that a walk with LOOKUP_PARENT stopped before; maybe negative. The directory is locked. */
export function lookup_last(nd: nameidata): dentry {
  return lookup_one(nd.path.dentry, nd.last.name, nd.last.len);
}

/** open(O_CREAT) of a link opens or makes what it leads to. */
function create_behind_link(nd: nameidata, d: dentry, flags: i32, mode: u32): i32 {
  nd.last_type = LAST_ROOT;
  const err = follow_link(nd, d, true);
  if (err) return err;
  const text = nd.link_text;
  nd.link_text = 0;
  // A link of /proc leads to the file itself.
  const made = text ? lookup_create(nd, flags, mode) : 0;
  kfree(text);
  return made;
}

/** An empty file for a negative dentry of a locked directory. */
function create_file(nd: nameidata, dir: inode, d: dentry, flags: i32, mode: u32): i32 {
  if (is_dead(dir)) return -ENOENT;
  if (dir.i_op.create == 0) return -EPERM;
  const bits = (mode & 0o7777 & ~get_current().fs.umask) | S_IFREG;
  return call_indirect<i32>(text_index(dir.i_op.create), dir, d, bits, <i32>((flags & O_EXCL) != 0));
}

/** open(O_CREAT): finds or makes the last component, and goes there. */
function lookup_create(nd: nameidata, flags: i32, mode: u32): i32 {
  if (nd.last_type != LAST_NORM || nd.flags & LOOKUP_DIRECTORY) return -EISDIR;
  const dir = nd.path.dentry.d_inode;
  inode_lock(dir);
  const d = lookup_last(nd);
  let err = IS_ERR(d) ? PTR_ERR(d) : 0;
  if (!err && d.d_inode_va == 0) err = create_file(nd, dir, d, flags, mode);
  else if (!err && flags & O_EXCL) err = -EEXIST;
  inode_unlock(dir);
  if (IS_ERR(d)) return err;
  if (!CONFIG_CRASH_DUMP && !err && d.d_inode_va != 0 && S_ISLNK(d.d_inode.i_mode)) {
    if ((flags & O_NOFOLLOW) == 0) return create_behind_link(nd, d, flags, mode);
    err = -ELOOP;
  }
  if (err) {
    dput(d);
    return err;
  }
  dput(nd.path.dentry);
  nd.path.dentry = d;
  follow_mounts(nd.path);
  return 0;
}

/** What an open with these flags will do with the file. */
function acc_mode(flags: i32): i32 {
  const access = flags & O_ACCMODE;
  return (access != O_WRONLY ? MAY_READ : 0) | (access != O_RDONLY || flags & O_TRUNC ? MAY_WRITE : 0);
}

/** Root may do everything but what the file system itself forbids. */
function inode_permission(node: inode, mask: i32): i32 {
  if (node.i_op_va == 0 || node.i_op.permission == 0) return 0;
  return call_indirect<i32>(text_index(node.i_op.permission), node, mask);
}

function do_open(filp: file, nd: nameidata, flags: i32): i32 {
  const node = nd.path.dentry.d_inode;
  if (S_ISLNK(node.i_mode)) return -ELOOP;
  if (S_ISDIR(node.i_mode)) {
    if ((flags & O_ACCMODE) != 0 || flags & O_CREAT) return -EISDIR;
  } else if (flags & O_DIRECTORY) {
    return -ENOTDIR;
  }
  let err = CONFIG_CRASH_DUMP ? 0 : inode_permission(node, acc_mode(flags));
  if (!err) err = vfs_open(nd.path, filp);
  if (err) return err;
  if (flags & O_TRUNC && (flags & O_ACCMODE) != 0) return do_truncate(nd.path.dentry, 0);
  return 0;
}

export function path_openat(name: usize, flags: i32, mode: u32): file {
  const filp = alloc_empty_file(flags);
  if (IS_ERR(filp)) return filp;
  const nd = kern_path(name, flags & O_CREAT ? LOOKUP_PARENT : flags & O_NOFOLLOW ? 0 : LOOKUP_FOLLOW);
  let err = IS_ERR(nd) ? PTR_ERR(nd) : 0;
  if (!err) {
    if (flags & O_CREAT) err = lookup_create(nd, flags, mode);
    if (!err) err = do_open(filp, nd, flags);
    put_nameidata(nd);
  }
  if (!err) return filp;
  fput(filp);
  return ERR_PTR<file>(err);
}
