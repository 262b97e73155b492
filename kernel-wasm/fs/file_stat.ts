/**
 * /proc/sys/fs: how many files, names and inodes there are, as each CPU has counted them, and how many files
 * there may be (fs/{file_table,dcache,inode}.c). Root may have more.
 */
import { PAGE_SHIFT } from "../include/generated/constants";
import { ctl_table, proc_dir_entry } from "../include/generated/structs";
import { percpu, sym } from "../include/generated/symbols";
import { totalram_pages } from "../mm/vmstat";
import { proc_doulongvec_minmax, register_sysctl } from "./proc/proc_sysctl";

/** NR_FILE: at least so many. */
const FILES_MIN: u64 = 8192;

/** A table's handler: brings files_stat up to date. */
export function proc_nr_files(table: ctl_table, write: i32, buffer: usize, len: usize): i64 {
  let files: i64 = 0;
  for (let cpu: u32 = 0; cpu < <u32>sym.nr_cpu_ids; cpu++) files += percpu.nr_files(cpu);
  sym.files_stat.nr_files = files;
  return proc_doulongvec_minmax(table, write, buffer, len);
}

export function proc_nr_dentry(table: ctl_table, write: i32, buffer: usize, len: usize): i64 {
  let all: i64 = 0;
  let unused: i64 = 0;
  for (let cpu: u32 = 0; cpu < <u32>sym.nr_cpu_ids; cpu++) {
    all += percpu.nr_dentry(cpu);
    unused += percpu.nr_dentry_unused(cpu);
  }
  sym.dentry_stat.nr_dentry = all;
  sym.dentry_stat.nr_unused = unused;
  return proc_doulongvec_minmax(table, write, buffer, len);
}

export function proc_nr_inodes(table: ctl_table, write: i32, buffer: usize, len: usize): i64 {
  let inodes: i64 = 0;
  for (let cpu: u32 = 0; cpu < <u32>sym.nr_cpu_ids; cpu++) inodes += percpu.nr_inodes(cpu);
  sym.inodes_stat.nr_inodes = inodes;
  return proc_doulongvec_minmax(table, write, buffer, len);
}

export function fs_sysctl_init(dir: proc_dir_entry): void {
  const files = sym.addr_of_files_stat();
  sym.files_stat.max_files = max<u64>((totalram_pages() << (PAGE_SHIFT - 10)) / 10, FILES_MIN);
  sym.dentry_stat.age_limit = 45;
  register_sysctl(dir, c`file-nr`, files, 24, 0o444, fnptr(proc_nr_files), 0, 0);
  register_sysctl(dir, c`file-max`, files + 16, 8, 0o644, fnptr(proc_doulongvec_minmax), 0, i64.MAX_VALUE);
  register_sysctl(dir, c`dentry-state`, sym.addr_of_dentry_stat(), 48, 0o444, fnptr(proc_nr_dentry), 0, 0);
  register_sysctl(dir, c`inode-nr`, sym.addr_of_inodes_stat(), 16, 0o444, fnptr(proc_nr_inodes), 0, 0);
  register_sysctl(dir, c`inode-state`, sym.addr_of_inodes_stat(), 56, 0o444, fnptr(proc_nr_inodes), 0, 0);
}
