/**
 * The kernel's settings in /proc/sys (kernel/sysctl.c, panic.c, kexec_core.c, utsname_sysctl.c). What the
 * capture kernel needs is the crash path's own; the rest is there where somebody works.
 */
import {
  CONFIG_CRASH_DUMP,
  CONFIG_KEXEC_FILE,
  EINVAL,
  OVERCOMMIT_GUESS,
  OVERCOMMIT_NEVER,
  TAINT_FLAGS_COUNT,
} from "../include/generated/constants";
import { ctl_table, kexec_load_limit, proc_dir_entry } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import {
  proc_dointvec_minmax,
  proc_dostring,
  proc_doulongvec_minmax,
  register_sysctl,
  register_sysctl_any,
  register_sysctl_int,
} from "../fs/proc/proc_sysctl";
import { drop_caches_sysctl_handler } from "../fs/drop_caches";
import { fs_sysctl_init } from "../fs/file_stat";
import { proc_mkdir } from "../fs/proc/generic";
import { hung_task_sysctl_init } from "./hung_task";
import { mutex_lock, mutex_unlock } from "./locking/mutex";
import { down_read, down_write, up_read, up_write } from "./locking/rwsem";
import { set_max_huge_pages } from "../mm/hugetlb";
import { init_reserves } from "../mm/overcommit";
import { update_per_zone_wmarks } from "../mm/mm_init";
import { add_taint } from "./panic";
import { watchdog_sysctl_init } from "./watchdog";

/** A write only adds taint; bits that panic_on_taint=...,nousertaint names are refused. */
export function proc_taint(table: ctl_table, write: i32, buffer: usize, len: usize): i64 {
  mutex_lock(sym.tainted_mutex);
  sym.tainted_written = sym.tainted_mask;
  const n = proc_doulongvec_minmax(table, write, buffer, len);
  const wanted = sym.tainted_written;
  mutex_unlock(sym.tainted_mutex);
  if (n < 0 || !write) return n;
  if (sym.panic_on_taint_nousertaint && wanted & sym.panic_on_taint) return -EINVAL;
  for (let i: u32 = 0; i < TAINT_FLAGS_COUNT; i++) if ((wanted >> i) & 1) add_taint(i);
  return n;
}

/** Loads that are left: once it is a number, it can only go down. */
export function kexec_limit_handler(table: ctl_table, write: i32, buffer: usize, len: usize): i64 {
  const limit = changetype<kexec_load_limit>(table.data);
  mutex_lock(limit.mutex);
  const n = change_limit(limit, table, write, buffer, len);
  mutex_unlock(limit.mutex);
  return n;
}

function change_limit(limit: kexec_load_limit, table: ctl_table, write: i32, buffer: usize, len: usize): i64 {
  const before = limit.limit;
  table.data = kexec_load_limit.addr_of_limit(limit);
  const n = proc_dointvec_minmax(table, write, buffer, len);
  table.data = changetype<usize>(limit);
  if (n < 0 || !write) return n;
  const value = limit.limit;
  if (value >= 0 && (before == -1 || value < before)) return n;
  limit.limit = before;
  return -EINVAL;
}

/** A string of the system's name, which uname(2) reads meanwhile. */
export function proc_do_uts_string(table: ctl_table, write: i32, buffer: usize, len: usize): i64 {
  if (write) down_write(sym.uts_sem);
  else down_read(sym.uts_sem);
  const n = proc_dostring(table, write, buffer, len);
  if (write) up_write(sym.uts_sem);
  else up_read(sym.uts_sem);
  return n;
}

function kexec_sysctl_init(dir: proc_dir_entry): void {
  // One way: it can be set, never cleared.
  register_sysctl_int(dir, c`kexec_load_disabled`, sym.addr_of_kexec_load_disabled(), 0o644, 1, 1);
  const handler = fnptr(kexec_limit_handler);
  const panic_limit = changetype<usize>(sym.load_limit_panic);
  const reboot_limit = changetype<usize>(sym.load_limit_reboot);
  register_sysctl(dir, c`kexec_load_limit_panic`, panic_limit, 4, 0o644, handler, -1, i32.MAX_VALUE);
  register_sysctl(dir, c`kexec_load_limit_reboot`, reboot_limit, 4, 0o644, handler, -1, i32.MAX_VALUE);
}

function utsname_sysctl_init(dir: proc_dir_entry): void {
  const name = sym.init_uts_ns.name;
  const handler = fnptr(proc_do_uts_string);
  register_sysctl(dir, c`ostype`, name.sysname, 65, 0o444, handler, 0, 0);
  register_sysctl(dir, c`osrelease`, name.release, 65, 0o444, handler, 0, 0);
  register_sysctl(dir, c`version`, name.version, 65, 0o444, handler, 0, 0);
  register_sysctl(dir, c`hostname`, name.nodename, 65, 0o644, handler, 0, 0);
  register_sysctl(dir, c`domainname`, name.domainname, 65, 0o644, handler, 0, 0);
}

function more_of_kernel(dir: proc_dir_entry): void {
  utsname_sysctl_init(dir);
  watchdog_sysctl_init(dir);
  hung_task_sysctl_init(dir);
  const ulong = fnptr(proc_doulongvec_minmax);
  const taint = sym.addr_of_tainted_written();
  register_sysctl(dir, c`tainted`, taint, 8, 0o644, fnptr(proc_taint), 0, i64.MAX_VALUE);
  register_sysctl(dir, c`panic_print`, sym.addr_of_panic_print(), 8, 0o644, ulong, 0, i64.MAX_VALUE);
  const ints = fnptr(proc_dointvec_minmax);
  const levels = sym.addr_of_console_printk();
  register_sysctl(dir, c`printk`, levels, 16, 0o644, ints, i32.MIN_VALUE, i32.MAX_VALUE);
  register_sysctl_int(dir, c`oops_limit`, sym.addr_of_sysctl_oops_limit(), 0o644, 0, i32.MAX_VALUE);
  register_sysctl_int(dir, c`threads-max`, sym.addr_of_max_threads(), 0o644, 20, i32.MAX_VALUE);
  register_sysctl_any(dir, c`panic_on_unrecovered_nmi`, sym.addr_of_panic_on_unrecovered_nmi(), 0o644);
  register_sysctl_any(dir, c`unknown_nmi_panic`, sym.addr_of_unknown_nmi_panic(), 0o644);
  register_sysctl_int(dir, c`cap_last_cap`, sym.addr_of_cap_last_cap(), 0o444, 0, 0);
  register_sysctl_int(dir, c`ngroups_max`, sym.addr_of_ngroups_max(), 0o444, 0, 0);
}

/** min_free_kbytes, watermark_scale_factor: the watermarks follow. */
export function watermark_sysctl_handler(table: ctl_table, write: i32, buffer: usize, len: usize): i64 {
  const n = proc_dointvec_minmax(table, write, buffer, len);
  if (n < 0 || !write) return n;
  if (table.data == sym.addr_of_min_free_kbytes()) sym.user_min_free_kbytes = sym.min_free_kbytes;
  update_per_zone_wmarks();
  return n;
}

/** The pool grows or shrinks as far as memory allows; what it has come to is read back. */
export function hugetlb_sysctl_handler(table: ctl_table, write: i32, buffer: usize, len: usize): i64 {
  sym.nr_hugepages_written = sym.hstates[0].nr_huge_pages;
  const n = proc_doulongvec_minmax(table, write, buffer, len);
  if (n >= 0 && write) set_max_huge_pages(sym.nr_hugepages_written);
  return n;
}

/** vm.overcommit_ratio: it or vm.overcommit_kbytes counts, whichever was set last. */
export function overcommit_ratio_handler(table: ctl_table, write: i32, buffer: usize, len: usize): i64 {
  const n = proc_dointvec_minmax(table, write, buffer, len);
  if (n >= 0 && write) sym.sysctl_overcommit_kbytes = 0;
  return n;
}

export function overcommit_kbytes_handler(table: ctl_table, write: i32, buffer: usize, len: usize): i64 {
  const n = proc_doulongvec_minmax(table, write, buffer, len);
  if (n >= 0 && write) sym.sysctl_overcommit_ratio = 0;
  return n;
}

/** Below /proc/sys/vm. */
function overcommit_sysctl_init(dir: proc_dir_entry): void {
  init_reserves();
  const most = i64.MAX_VALUE;
  const ulong = fnptr(proc_doulongvec_minmax);
  const mode = sym.addr_of_sysctl_overcommit_memory();
  const ratio = sym.addr_of_sysctl_overcommit_ratio();
  const kbytes = sym.addr_of_sysctl_overcommit_kbytes();
  const user = sym.addr_of_sysctl_user_reserve_kbytes();
  const admin = sym.addr_of_sysctl_admin_reserve_kbytes();
  register_sysctl_int(dir, c`overcommit_memory`, mode, 0o644, OVERCOMMIT_GUESS, OVERCOMMIT_NEVER);
  const by_ratio = fnptr(overcommit_ratio_handler);
  register_sysctl(dir, c`overcommit_ratio`, ratio, 4, 0o644, by_ratio, 0, i32.MAX_VALUE);
  register_sysctl(dir, c`overcommit_kbytes`, kbytes, 8, 0o644, fnptr(overcommit_kbytes_handler), 0, most);
  register_sysctl(dir, c`user_reserve_kbytes`, user, 8, 0o644, ulong, 0, most);
  register_sysctl(dir, c`admin_reserve_kbytes`, admin, 8, 0o644, ulong, 0, most);
}

function vm_sysctl_init(dir: proc_dir_entry): void {
  sym.proc_sys_vm = dir;
  overcommit_sysctl_init(dir);
  const most = i32.MAX_VALUE;
  const marks = fnptr(watermark_sysctl_handler);
  const scale = sym.addr_of_watermark_scale_factor();
  register_sysctl_int(dir, c`panic_on_oom`, sym.addr_of_sysctl_panic_on_oom(), 0o644, 0, 2);
  register_sysctl(dir, c`min_free_kbytes`, sym.addr_of_min_free_kbytes(), 4, 0o644, marks, 0, most);
  register_sysctl(dir, c`watermark_scale_factor`, scale, 4, 0o644, marks, 1, 3000);
  const drop = fnptr(drop_caches_sysctl_handler);
  register_sysctl(dir, c`drop_caches`, sym.addr_of_sysctl_drop_caches(), 4, 0o200, drop, 1, 4);
  register_sysctl_int(dir, c`swappiness`, sym.addr_of_vm_swappiness(), 0o644, 0, 200);
  const pool = fnptr(hugetlb_sysctl_handler);
  register_sysctl(dir, c`nr_hugepages`, sym.addr_of_nr_hugepages_written(), 8, 0o644, pool, 0, i64.MAX_VALUE);
}

/** The tree below `root`, /proc/sys. */
export function kernel_sysctl_init(root: proc_dir_entry): void {
  const dir = proc_mkdir(c`kernel`, root);
  sym.proc_sys_root = dir;
  register_sysctl_any(dir, c`panic`, sym.addr_of_panic_timeout(), 0o644);
  register_sysctl_any(dir, c`panic_on_oops`, sym.addr_of_panic_on_oops(), 0o644);
  register_sysctl_int(dir, c`panic_on_warn`, sym.addr_of_panic_on_warn(), 0o644, 0, 1);
  if (CONFIG_KEXEC_FILE) kexec_sysctl_init(dir);
  register_sysctl_int(dir, c`pid_max`, sym.addr_of_pid_max(), 0o644, 301, 4194304);
  register_sysctl_any(dir, c`sysrq`, sym.addr_of_sysrq_enabled(), 0o644);
  if (!CONFIG_CRASH_DUMP) {
    more_of_kernel(dir);
    vm_sysctl_init(proc_mkdir(c`vm`, root));
    fs_sysctl_init(proc_mkdir(c`fs`, root));
  }
}
