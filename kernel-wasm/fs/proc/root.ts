/**
 * /proc and the files that every kernel has there (fs/proc/root.c, version.c, cmdline.c, uptime.c,
 * loadavg.c).
 */
import { proc_dir_entry, resource, seq_file } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { nr_running } from "../../kernel/sched/core";
import { ktime_get } from "../../kernel/time";
import { show_vfsmounts } from "../namespace";
import { seq_printf, seq_putc, seq_puts } from "../seq_file";
import { proc_create_single, proc_init_root, proc_mkdir } from "./generic";
import { meminfo_proc_show } from "./meminfo";
import { proc_sys_init } from "./proc_sysctl";

const FSHIFT: u64 = 11;
const MAX_IORES_LEVEL: i32 = 5;

function version_proc_show(m: seq_file, v: usize): i32 {
  const name = sym.init_uts_ns.name;
  seq_printf(m, sym.linux_proc_banner, name.sysname, name.release, name.version);
  return 0;
}

function cmdline_proc_show(m: seq_file, v: usize): i32 {
  seq_puts(m, sym.saved_command_line);
  seq_putc(m, 0x0a);
  return 0;
}

function uptime_proc_show(m: seq_file, v: usize): i32 {
  const up = ktime_get();
  const idle = sym.init_task.se.sum_exec_runtime;
  seq_printf(
    m, c`%lu.%02lu %lu.%02lu\n`,
    up / 1000000000, (up % 1000000000) / 10000000, idle / 1000000000, (idle % 1000000000) / 10000000,
  );
  return 0;
}

function load(i: usize): u64 {
  return sym.avenrun[i] + ((1 << FSHIFT) / 200);
}

function fraction(i: usize): u64 {
  return ((load(i) & ((1 << FSHIFT) - 1)) * 100) >> FSHIFT;
}

function loadavg_proc_show(m: seq_file, v: usize): i32 {
  seq_printf(
    m, c`%lu.%02lu %lu.%02lu %lu.%02lu %u/%d %d\n`,
    load(0) >> FSHIFT, fraction(0), load(1) >> FSHIFT, fraction(1), load(2) >> FSHIFT, fraction(2),
    nr_running(), sym.nr_threads, sym.init_pid_ns.idr.idr_next - 1,
  );
  return 0;
}

/** One line a resource, two blanks a level; root sees addresses. */
function show_resources(m: seq_file, first: resource, level: i32, width: i32): void {
  for (let r = first; !isnull(r); r = r.sibling) {
    const name = r.name_va ? r.name : c`<BAD>`;
    seq_printf(m, c`%*s%0*llx-%0*llx : %s\n`, level * 2, c``, width, r.start, width, r.end, name);
    if (level < MAX_IORES_LEVEL) show_resources(m, r.child, level + 1, width);
  }
}

function iomem_proc_show(m: seq_file, v: usize): i32 {
  const root = sym.iomem_resource;
  show_resources(m, root.child, 0, root.end < 0x10000 ? 4 : 8);
  return 0;
}

/** Entries of /proc that need no driver. The tree can be filled before /proc is mounted. */
export function proc_root_init(): void {
  const root = changetype<proc_dir_entry>(0);
  proc_init_root();
  proc_create_single(c`version`, 0o444, root, fnptr(version_proc_show));
  proc_create_single(c`cmdline`, 0o444, root, fnptr(cmdline_proc_show));
  proc_create_single(c`uptime`, 0o444, root, fnptr(uptime_proc_show));
  proc_create_single(c`loadavg`, 0o444, root, fnptr(loadavg_proc_show));
  proc_create_single(c`meminfo`, 0o444, root, fnptr(meminfo_proc_show));
  proc_create_single(c`iomem`, 0o400, root, fnptr(iomem_proc_show));
  proc_create_single(c`mounts`, 0o444, root, fnptr(show_vfsmounts));
  proc_mkdir(c`fs`, root);
  proc_mkdir(c`driver`, root);
  proc_sys_init();
}
