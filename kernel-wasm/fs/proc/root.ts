/** /proc and the files that every kernel has there (fs/proc/root.c, version.c, cmdline.c, loadavg.c). */
import { CONFIG_CRASH_DUMP, CONFIG_IKCONFIG } from "../../include/generated/constants";
import { proc_dir_entry, resource, seq_file } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { read_lock, read_unlock } from "../../kernel/locking/qrwlock";
import { proc_modules_init } from "../../kernel/module/procfs";
import { nr_running } from "../../kernel/sched/core";
import { show_partition } from "../../block/genhd";
import { show_interrupts } from "../../kernel/irq/proc";
import { swaps_proc_show } from "../../mm/swapon";
import { vmallocinfo_show } from "../../mm/vmalloc";
import { show_vfsmounts } from "../namespace";
import { seq_printf, seq_putc, seq_puts } from "../seq_file";
import { proc_create_single, proc_init_root, proc_mkdir } from "./generic";
import { proc_base_init } from "./base";
import { ikconfig_init } from "./configs";
import { cpuinfo_proc_show } from "./cpuinfo";
import { devinfo_show, filesystems_proc_show } from "./devices";
import { kallsyms_init } from "./kallsyms";
import { meminfo_proc_show } from "./meminfo";
import { proc_sys_init } from "./proc_sysctl";
import { slabinfo_proc_show } from "./slabinfo";
import { stat_proc_show, uptime_proc_show } from "./stat";
import {
  buddyinfo_proc_show, pagetypeinfo_proc_show, vmstat_proc_show, zoneinfo_proc_show,
} from "./vmstat";

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
  read_lock(sym.resource_lock);
  show_resources(m, root.child, 0, root.end < 0x10000 ? 4 : 8);
  read_unlock(sym.resource_lock);
  return 0;
}

/** What the capture kernel has no use for. */
function proc_more_init(root: proc_dir_entry): void {
  proc_create_single(c`uptime`, 0o444, root, fnptr(uptime_proc_show));
  proc_create_single(c`stat`, 0o444, root, fnptr(stat_proc_show));
  proc_create_single(c`cpuinfo`, 0o444, root, fnptr(cpuinfo_proc_show));
  proc_create_single(c`devices`, 0o444, root, fnptr(devinfo_show));
  proc_create_single(c`filesystems`, 0o444, root, fnptr(filesystems_proc_show));
  proc_create_single(c`interrupts`, 0o444, root, fnptr(show_interrupts));
  proc_create_single(c`partitions`, 0o444, root, fnptr(show_partition));
  proc_create_single(c`swaps`, 0o444, root, fnptr(swaps_proc_show));
  proc_create_single(c`vmstat`, 0o444, root, fnptr(vmstat_proc_show));
  proc_create_single(c`zoneinfo`, 0o444, root, fnptr(zoneinfo_proc_show));
  proc_create_single(c`buddyinfo`, 0o444, root, fnptr(buddyinfo_proc_show));
  proc_create_single(c`pagetypeinfo`, 0o400, root, fnptr(pagetypeinfo_proc_show));
  proc_create_single(c`vmallocinfo`, 0o400, root, fnptr(vmallocinfo_show));
  proc_create_single(c`slabinfo`, 0o400, root, fnptr(slabinfo_proc_show));
  proc_base_init();
  kallsyms_init();
  proc_modules_init();
  if (CONFIG_IKCONFIG) ikconfig_init();
}

/** Entries of /proc that need no driver. The tree can be filled before /proc is mounted. */
export function proc_root_init(): void {
  const root = changetype<proc_dir_entry>(0);
  proc_init_root();
  proc_create_single(c`version`, 0o444, root, fnptr(version_proc_show));
  proc_create_single(c`cmdline`, 0o444, root, fnptr(cmdline_proc_show));
  proc_create_single(c`loadavg`, 0o444, root, fnptr(loadavg_proc_show));
  proc_create_single(c`meminfo`, 0o444, root, fnptr(meminfo_proc_show));
  proc_create_single(c`iomem`, 0o400, root, fnptr(iomem_proc_show));
  if (CONFIG_CRASH_DUMP) proc_create_single(c`mounts`, 0o444, root, fnptr(show_vfsmounts));
  proc_mkdir(c`fs`, root);
  proc_mkdir(c`driver`, root);
  if (!CONFIG_CRASH_DUMP) proc_more_init(root);
  proc_sys_init();
}
