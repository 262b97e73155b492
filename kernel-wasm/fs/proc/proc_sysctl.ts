/**
 * /proc/sys (fs/proc/proc_sysctl.c, kernel/sysctl.c): a file a variable. A ctl_table entry holds the
 * variable, its range and the handler that prints and parses it.
 */
import {
  CONFIG_KEXEC_FILE,
  EFAULT,
  EINVAL,
  ENOMEM,
  EPERM,
  GFP_KERNEL,
  PAGE_SIZE,
} from "../../include/generated/constants";
import { ctl_table, file, proc_dir_entry } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { copy_from_buf, copy_to_buf } from "../../arch/lib/usercopy";
import { kstrtoint, strim } from "../../lib/string";
import { scnprintf } from "../../lib/vsprintf";
import { kfree, kmalloc, kzalloc } from "../../mm/slub";
import { pde_data, proc_create_data, proc_mkdir } from "./generic";

/** Prints or sets an int within [extra1, extra2]. `buffer` is kernel memory; bytes or a negative error. */
export function proc_dointvec_minmax(table: ctl_table, write: i32, buffer: usize, len: usize): i64 {
  if (!write) return scnprintf(buffer, <u32>len, c`%d\n`, load<i32>(table.data));
  const value = buffer + ((len + 8) & ~7);
  const err = kstrtoint(strim(buffer), 0, value);
  if (err) return -EINVAL;
  const v = load<i32>(value);
  if (v < table.extra1 || v > table.extra2) return -EINVAL;
  store<i32>(table.data, v);
  return len;
}

/** The text passes through a page, which ends with room for the handler's scratch. */
function proc_sys_call_handler(filp: file, buf: u64, count: usize, pos: i64, write: i32): i64 {
  const table = changetype<ctl_table>(pde_data(filp.f_inode));
  if (write && (table.mode & 0o222) == 0) return -EPERM;
  if (count >= PAGE_SIZE - 16) {
    if (write) return -ENOMEM;
    count = PAGE_SIZE - 16;
  }
  const text = kmalloc(PAGE_SIZE, GFP_KERNEL);
  if (!text) return -ENOMEM;
  let n: i64 = -EFAULT;
  if (!write) {
    n = call_indirect<i64>(text_index(table.proc_handler), table, write, text, <usize>(PAGE_SIZE - 16));
    n = n < 0 ? n : pos >= n ? 0 : min<i64>(n - pos, count);
    if (n > 0 && copy_to_buf(buf, text + <usize>pos, <usize>n)) n = -EFAULT;
  } else if (copy_from_buf(text, buf, count) == 0) {
    store<u8>(text + count, 0);
    n = call_indirect<i64>(text_index(table.proc_handler), table, write, text, count);
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

/** /proc/sys/kernel/NAME for an int at `data`. */
export function register_sysctl_int(name: usize, data: usize, mode: u32, least: i32, most: i32): void {
  const table = changetype<ctl_table>(kzalloc(ctl_table.SIZE, GFP_KERNEL));
  if (isnull(table)) return;
  table.procname = name;
  table.data = data;
  table.maxlen = 4;
  table.mode = <u16>mode;
  table.proc_handler = fnptr(proc_dointvec_minmax);
  table.extra1 = least;
  table.extra2 = most;
  proc_create_data(name, mode, sym.proc_sys_root, sym.proc_sys_file_operations, changetype<usize>(table));
}

export function proc_sys_init(): void {
  sym.proc_sys_file_operations.proc_read = fnptr(proc_sys_read);
  sym.proc_sys_file_operations.proc_write = fnptr(proc_sys_write);
  const sys = proc_mkdir(c`sys`, changetype<proc_dir_entry>(0));
  sym.proc_sys_root = proc_mkdir(c`kernel`, sys);
  register_sysctl_int(c`panic`, sym.addr_of_panic_timeout(), 0o644, i32.MIN_VALUE, i32.MAX_VALUE);
  register_sysctl_int(c`panic_on_oops`, sym.addr_of_panic_on_oops(), 0o644, i32.MIN_VALUE, i32.MAX_VALUE);
  register_sysctl_int(c`panic_on_warn`, sym.addr_of_panic_on_warn(), 0o644, 0, 1);
  // One way: it can be set, never cleared.
  if (CONFIG_KEXEC_FILE) {
    register_sysctl_int(c`kexec_load_disabled`, sym.addr_of_kexec_load_disabled(), 0o644, 1, 1);
  }
  register_sysctl_int(c`pid_max`, sym.addr_of_pid_max(), 0o644, 301, 4194304);
  register_sysctl_int(c`sysrq`, sym.addr_of_sysrq_enabled(), 0o644, 0, 511);
}
