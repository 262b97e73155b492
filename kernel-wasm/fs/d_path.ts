/** The name of an open file or directory, from the root of the tree (fs/d_path.c). */
import { path } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { spin_lock, spin_unlock } from "../kernel/locking/spinlock";
import { strlen } from "../lib/string";
import { d_unhashed } from "./dcache";
import { real_mount } from "./namespace";

const SLASH: u8 = 0x2f;

function prepend(at: usize, start: usize, text: usize, len: usize): usize {
  if (at < start + len) return start;
  memory.copy(at - len, text, len);
  return at - len;
}

/** Written to the end of [buf, buf + size), with its NUL; returns where it begins. */
export function d_path(p: path, buf: usize, size: usize): usize {
  spin_lock(sym.mount_lock);
  spin_lock(sym.dcache_lock);
  const at = prepend_path(p, buf, size);
  spin_unlock(sym.dcache_lock);
  spin_unlock(sym.mount_lock);
  return at;
}

/** The name of a file that no directory has (simple_dname of fs/d_path.c). */
function simple_dname(p: path, buf: usize, end: usize): usize {
  const d = p.dentry;
  const deleted = c` (deleted)`;
  let at = prepend(end, buf, deleted, strlen(deleted));
  at = prepend(at, buf, d.d_name.name, d.d_name.len);
  return prepend(at, buf, c`/`, 1);
}

function prepend_path(p: path, buf: usize, size: usize): usize {
  let at = buf + size - 1;
  store<u8>(at, 0);
  let d = p.dentry;
  if (p.mnt_va != 0 && d.d_parent == d && d != p.mnt.mnt_root) return simple_dname(p, buf, at);
  const deleted = c` (deleted)`;
  if (d_unhashed(d)) at = prepend(at, buf, deleted, strlen(deleted));
  if (p.mnt_va == 0) return prepend(at, buf, d.d_name.name, d.d_name.len);
  let m = real_mount(p.mnt);
  const end = at;
  while (true) {
    if (d == m.mnt.mnt_root) {
      if (m.mnt_parent == m) break;
      d = m.mnt_mountpoint;
      m = m.mnt_parent;
      continue;
    }
    if (d.d_parent == d) break;
    at = prepend(at, buf, d.d_name.name, d.d_name.len);
    at = prepend(at, buf, c`/`, 1);
    d = d.d_parent;
  }
  if (at == end || load<u8>(at) != SLASH) at = prepend(at, buf, c`/`, 1);
  return at;
}
