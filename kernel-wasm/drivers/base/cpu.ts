/**
 * /sys/devices/system/cpu (drivers/base/cpu.c) and /sys/firmware/memmap (drivers/firmware/memmap.c): where
 * kexec-tools and makedumpfile's helpers look up the notes of each CPU and the firmware's memory map.
 */
import {
  CONFIG_NR_CPUS,
  CRASH_CORE_NOTE_BYTES,
  E820_TYPE_ACPI,
  E820_TYPE_NVS,
  E820_TYPE_RAM,
  E820_TYPE_RESERVED,
  E820_TYPE_UNUSABLE,
  GFP_KERNEL,
} from "../../include/generated/constants";
import { e820_entry, kernfs_node } from "../../include/generated/structs";
import { percpu, sym } from "../../include/generated/symbols";
import { sysfs_create_attr, sysfs_create_dir, sysfs_create_file } from "../../fs/sysfs";
import { scnprintf, snprintf } from "../../lib/vsprintf";
import { kmalloc } from "../../mm/slub";

const PAGE: u32 = 4096;

/** A mask as a list of ranges: `0-3,5`. */
function print_cpumask(buf: usize, mask: u64): i64 {
  let at = buf;
  for (let cpu: u64 = 0; cpu < 64; cpu++) {
    if (((mask >> cpu) & 1) == 0) continue;
    const first = cpu;
    while (cpu < 63 && (mask >> (cpu + 1)) & 1) cpu++;
    if (at != buf) store<u8>(at++, 0x2c);
    at += scnprintf(at, 32, first == cpu ? c`%llu` : c`%llu-%llu`, first, cpu);
  }
  store<u8>(at++, 0x0a);
  return at - buf;
}

function possible_show(kn: kernfs_node, buf: usize): i64 {
  return print_cpumask(buf, sym.__cpu_possible_mask.bits[0]);
}

function present_show(kn: kernfs_node, buf: usize): i64 {
  return print_cpumask(buf, sym.__cpu_present_mask.bits[0]);
}

function online_show(kn: kernfs_node, buf: usize): i64 {
  return print_cpumask(buf, sym.__cpu_online_mask.bits[0]);
}

function offline_show(kn: kernfs_node, buf: usize): i64 {
  return print_cpumask(buf, sym.__cpu_possible_mask.bits[0] & ~sym.__cpu_online_mask.bits[0]);
}

function kernel_max_show(kn: kernfs_node, buf: usize): i64 {
  return snprintf(buf, PAGE, c`%d\n`, CONFIG_NR_CPUS - 1);
}

function cpu_online_show(kn: kernfs_node, buf: usize): i64 {
  return snprintf(buf, PAGE, c`%d\n`, (sym.__cpu_online_mask.bits[0] >> kn.priv) & 1);
}

/** Physical address of the CPU's note. */
function crash_notes_show(kn: kernfs_node, buf: usize): i64 {
  return snprintf(buf, PAGE, c`%llx\n`, percpu.addr_of_crash_note_buf(kn.priv));
}

function crash_notes_size_show(kn: kernfs_node, buf: usize): i64 {
  return snprintf(buf, PAGE, c`%zu\n`, CRASH_CORE_NOTE_BYTES);
}

/** A name that stays: `prefix` and a number. */
function numbered(prefix: usize, n: u32): usize {
  const name = kmalloc(16, GFP_KERNEL);
  if (name) snprintf(name, 16, c`%s%u`, prefix, n);
  return name;
}

function register_cpu(cpu: u32): void {
  const name = numbered(c`cpu`, cpu);
  if (!name) return;
  const dir = sysfs_create_dir(name, sym.cpu_kobj);
  if (isnull(dir)) return;
  sysfs_create_attr(dir, c`crash_notes`, 0o400, fnptr(crash_notes_show), cpu);
  sysfs_create_attr(dir, c`crash_notes_size`, 0o400, fnptr(crash_notes_size_show), cpu);
  // The boot CPU cannot be switched off, and has no switch.
  if (cpu != 0) sysfs_create_attr(dir, c`online`, 0o444, fnptr(cpu_online_show), cpu);
}

function memmap_start_show(kn: kernfs_node, buf: usize): i64 {
  return snprintf(buf, PAGE, c`0x%llx\n`, changetype<e820_entry>(kn.priv).addr);
}

function memmap_end_show(kn: kernfs_node, buf: usize): i64 {
  const entry = changetype<e820_entry>(kn.priv);
  return snprintf(buf, PAGE, c`0x%llx\n`, entry.addr + entry.size - 1);
}

function e820_type_to_string(type: u32): usize {
  if (type == E820_TYPE_RAM) return c`System RAM`;
  if (type == E820_TYPE_ACPI) return c`ACPI Tables`;
  if (type == E820_TYPE_NVS) return c`ACPI Non-volatile Storage`;
  if (type == E820_TYPE_UNUSABLE) return c`Unusable memory`;
  return type == E820_TYPE_RESERVED ? c`Reserved` : c`Unknown E820 type`;
}

function memmap_type_show(kn: kernfs_node, buf: usize): i64 {
  return snprintf(buf, PAGE, c`%s\n`, e820_type_to_string(changetype<e820_entry>(kn.priv).type));
}

/** As the firmware gave it, before the kernel changed its own copy. */
function firmware_memmap_init(): void {
  const dir = sysfs_create_dir(c`memmap`, sysfs_create_dir(c`firmware`, changetype<kernfs_node>(0)));
  const params = sym.boot_params;
  for (let i: u32 = 0; i < params.e820_entries; i++) {
    const name = numbered(c``, i);
    const entry = name ? sysfs_create_dir(name, dir) : changetype<kernfs_node>(0);
    if (isnull(entry)) return;
    const range = params.e820_table + i * e820_entry.SIZE;
    sysfs_create_attr(entry, c`start`, 0o444, fnptr(memmap_start_show), range);
    sysfs_create_attr(entry, c`end`, 0o444, fnptr(memmap_end_show), range);
    sysfs_create_attr(entry, c`type`, 0o444, fnptr(memmap_type_show), range);
  }
}

/** subsys_initcall. */
export function cpu_dev_init(): i32 {
  const devices = sysfs_create_dir(c`devices`, changetype<kernfs_node>(0));
  const dir = sysfs_create_dir(c`cpu`, sysfs_create_dir(c`system`, devices));
  if (isnull(dir)) return 0;
  sym.cpu_kobj = dir;
  sysfs_create_file(dir, c`possible`, 0o444, fnptr(possible_show), 0);
  sysfs_create_file(dir, c`present`, 0o444, fnptr(present_show), 0);
  sysfs_create_file(dir, c`online`, 0o444, fnptr(online_show), 0);
  sysfs_create_file(dir, c`offline`, 0o444, fnptr(offline_show), 0);
  sysfs_create_file(dir, c`kernel_max`, 0o444, fnptr(kernel_max_show), 0);
  for (let cpu: u32 = 0; cpu < <u32>sym.nr_cpu_ids; cpu++) {
    if ((sym.__cpu_present_mask.bits[0] >> cpu) & 1) register_cpu(cpu);
  }
  firmware_memmap_init();
  return 0;
}
