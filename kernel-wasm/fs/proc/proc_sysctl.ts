/**
 * /proc/sys (fs/proc/proc_sysctl.c, and the handlers of kernel/sysctl.c): a file a variable. A ctl_table
 * entry holds the variable, its range and the handler that prints and parses it:
 *
 *     handler(table: ctl_table, write: i32, buffer: usize, len: usize): i64
 *
 * `buffer` is a page of the kernel's, NUL-terminated at `len` when written, whose last 16 bytes are the
 * handler's scratch. It returns the bytes printed or consumed, or a negative error. One handler runs at a
 * time (sysctl_mutex): they parse into shared words, and some change their table for a moment.
 */
import {
  CONFIG_CRASH_DUMP,
  EACCES,
  EFAULT,
  EINVAL,
  ENOMEM,
  EPERM,
  GFP_KERNEL,
  MAY_READ,
  MAY_WRITE,
  PAGE_SIZE,
} from "../../include/generated/constants";
import { ctl_table, file, inode, proc_dir_entry } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { copy_from_buf, copy_to_buf } from "../../arch/lib/usercopy";
import { mutex_lock, mutex_unlock } from "../../kernel/locking/mutex";
import { kernel_sysctl_init } from "../../kernel/sysctl";
import { isdigit, isspace } from "../../lib/ctype";
import { kstrtoull, skip_spaces } from "../../lib/string";
import { scnprintf } from "../../lib/vsprintf";
import { kfree, kmalloc, kzalloc } from "../../mm/slub";
import { pde_data, proc_create_data, proc_mkdir } from "./generic";

/** What handlers may print: the page without their scratch. */
const TEXT_SIZE: usize = PAGE_SIZE - 16;
/** Longest number, sign included (TMPBUFLEN - 1). */
const NUMBER_MAX: usize = 21;
const MINUS: u8 = 0x2d;

@inline
function scratch_of(buffer: usize): usize {
  return (buffer & ~(PAGE_SIZE - 1)) + TEXT_SIZE;
}

/** A number up to white space: magnitude and sign go to `out`. Where it ends; 0 when there is none. */
function proc_get_long(at: usize, out: usize): usize {
  const negative = load<u8>(at) == MINUS;
  if (negative) at++;
  if (!isdigit(load<u8>(at))) return 0;
  let end = at;
  while (load<u8>(end) && !isspace(load<u8>(end))) end++;
  if (end - at > NUMBER_MAX) return 0;
  const after = load<u8>(end);
  store<u8>(end, 0);
  const err = kstrtoull(at, 0, out);
  store<u8>(end, after);
  store<u64>(out, negative ? 1 : 0, 8);
  return err ? 0 : end;
}

/** The number in `out` as an int within the table's range; false when it is none. */
function store_int(table: ctl_table, index: usize, out: usize): bool {
  const magnitude = load<u64>(out);
  if (magnitude > 0x80000000) return false;
  const value = load<u64>(out, 8) ? -<i64>magnitude : <i64>magnitude;
  if (value > i32.MAX_VALUE || value < table.extra1 || value > table.extra2) return false;
  store<i32>(table.data + (index << 2), <i32>value);
  return true;
}

/** Prints or sets the ints at the table's data, each within [extra1, extra2]. */
export function proc_dointvec_minmax(table: ctl_table, write: i32, buffer: usize, len: usize): i64 {
  const count = <usize>table.maxlen >> 2;
  const out = scratch_of(buffer);
  let at = buffer;
  let done: usize = 0;
  for (; done < count; done++) {
    if (!write) {
      const value = load<i32>(table.data + (done << 2));
      at += scnprintf(at, <u32>(buffer + len - at), done ? c`\t%d` : c`%d`, value);
      continue;
    }
    at = skip_spaces(at);
    if (!load<u8>(at)) break;
    at = proc_get_long(at, out);
    if (!at || !store_int(table, done, out)) return -EINVAL;
  }
  if (!write) return at + scnprintf(at, <u32>(buffer + len - at), c`\n`) - buffer;
  return done ? skip_spaces(at) - buffer : -EINVAL;
}

/** Prints the unsigned longs at the table's data; one alone can be set. A negative number is read over. */
export function proc_doulongvec_minmax(table: ctl_table, write: i32, buffer: usize, len: usize): i64 {
  if (!write) {
    let at = buffer;
    for (let i: usize = 0; i < <usize>table.maxlen >> 3; i++) {
      const value = load<u64>(table.data + (i << 3));
      at += scnprintf(at, <u32>(buffer + len - at), i ? c`\t%lu` : c`%lu`, value);
    }
    return at + scnprintf(at, <u32>(buffer + len - at), c`\n`) - buffer;
  }
  const out = scratch_of(buffer);
  const at = proc_get_long(skip_spaces(buffer), out);
  if (!at) return -EINVAL;
  if (!load<u64>(out, 8)) {
    const value = load<u64>(out);
    if (value < <u64>table.extra1 || value > <u64>table.extra2) return -EINVAL;
    store<u64>(table.data, value);
  }
  return skip_spaces(at) - buffer;
}

/** Text up to its first newline, cut to fit. */
export function proc_dostring(table: ctl_table, write: i32, buffer: usize, len: usize): i64 {
  if (!write) return scnprintf(buffer, <u32>len, c`%s\n`, table.data);
  let n: usize = 0;
  const room = <usize>table.maxlen - 1;
  for (; n < len && n < room; n++) {
    const ch = load<u8>(buffer + n);
    if (ch == 0 || ch == 10) break;
    store<u8>(table.data + n, ch);
  }
  store<u8>(table.data + n, 0);
  return len;
}

/** The text passes through a page. What is written behind a file's start counts for nothing. */
export function proc_sys_call_handler(filp: file, buf: u64, count: usize, pos: i64, write: i32): i64 {
  const table = changetype<ctl_table>(pde_data(filp.f_inode));
  if (write && (table.mode & 0o222) == 0) return -EPERM;
  if (count >= TEXT_SIZE) {
    if (write) return -ENOMEM;
    count = TEXT_SIZE;
  }
  if (write && pos > 0) return count;
  const text = kmalloc(PAGE_SIZE, GFP_KERNEL);
  if (!text) return -ENOMEM;
  let n: i64 = -EFAULT;
  if (!write) {
    mutex_lock(sym.sysctl_mutex);
    n = call_indirect<i64>(text_index(table.proc_handler), table, write, text, TEXT_SIZE);
    mutex_unlock(sym.sysctl_mutex);
    n = n < 0 ? n : pos >= n ? 0 : min<i64>(n - pos, count);
    if (n > 0 && copy_to_buf(buf, text + <usize>pos, <usize>n)) n = -EFAULT;
  } else if (copy_from_buf(text, buf, count) == 0) {
    store<u8>(text + count, 0);
    mutex_lock(sym.sysctl_mutex);
    n = call_indirect<i64>(text_index(table.proc_handler), table, write, text, count);
    mutex_unlock(sym.sysctl_mutex);
  }
  kfree(text);
  return n;
}

export function proc_sys_read(filp: file, buf: u64, count: usize, pos: i64): i64 {
  return proc_sys_call_handler(filp, buf, count, pos, 0);
}

export function proc_sys_write(filp: file, buf: u64, count: usize, pos: i64): i64 {
  return proc_sys_call_handler(filp, buf, count, pos, 1);
}

/** The mode binds root too. */
export function proc_sys_permission(node: inode, mask: i32): i32 {
  const mode = <u32>node.i_mode >> 6;
  return mask & (MAY_READ | MAY_WRITE) & ~mode ? -EACCES : 0;
}

/** A file below one of /proc/sys's directories. `name` is kept. */
export function register_sysctl(
  dir: proc_dir_entry,
  name: usize,
  data: usize,
  maxlen: i32,
  mode: u32,
  handler: u64,
  least: i64,
  most: i64,
): void {
  const table = changetype<ctl_table>(kzalloc(ctl_table.SIZE, GFP_KERNEL));
  if (isnull(table)) return;
  table.procname = name;
  table.data = data;
  table.maxlen = maxlen;
  table.mode = <u16>mode;
  table.proc_handler = handler;
  table.extra1 = least;
  table.extra2 = most;
  const entry = proc_create_data(name, mode, dir, sym.proc_sys_file_operations, changetype<usize>(table));
  if (!CONFIG_CRASH_DUMP && !isnull(entry)) entry.proc_iops = sym.proc_sys_inode_operations;
}

/** An int within [least, most]. */
export function register_sysctl_int(
  dir: proc_dir_entry,
  name: usize,
  data: usize,
  mode: u32,
  least: i32,
  most: i32,
): void {
  register_sysctl(dir, name, data, 4, mode, fnptr(proc_dointvec_minmax), least, most);
}

/** Any int. */
export function register_sysctl_any(dir: proc_dir_entry, name: usize, data: usize, mode: u32): void {
  register_sysctl_int(dir, name, data, mode, i32.MIN_VALUE, i32.MAX_VALUE);
}

export function proc_sys_init(): void {
  sym.proc_sys_file_operations.proc_read = fnptr(proc_sys_read);
  sym.proc_sys_file_operations.proc_write = fnptr(proc_sys_write);
  if (!CONFIG_CRASH_DUMP) {
    sym.proc_sys_inode_operations.permission = fnptr(proc_sys_permission);
    sym.proc_sys_inode_operations.getattr = sym.proc_file_inode_operations.getattr;
  }
  kernel_sysctl_init(proc_mkdir(c`sys`, changetype<proc_dir_entry>(0)));
}
