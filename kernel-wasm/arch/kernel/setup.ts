/**
 * Setting up the machine (arch/x86/kernel/{head_64.S,head64.c,setup.c}): from the boot loader's registers to
 * a kernel that knows its memory. startup_64 makes C possible: bss and stack zero, the boot CPU's per-CPU
 * area the template in the image, the log empty, init_task running.
 */
import { COMMAND_LINE_SIZE, CONFIG_KEXEC_CORE, CONFIG_MODULES, CONFIG_NR_CPUS, CONFIG_SMP, PAGE_OFFSET,
  PAGE_SIZE, THREAD_SIZE } from "../../include/generated/constants";
import { boot_params } from "../../include/generated/structs";
import { BSS_START, DATA_END, PERCPU_TEMPLATE, sym } from "../../include/generated/symbols";
import { setup_init_task } from "../../kernel/init_task";
import { reserve_crashkernel } from "../../kernel/crash_reserve";
import { panic } from "../../kernel/panic";
import { resource_init } from "../../kernel/resource";
import { log_buf_init, pr_info } from "../../kernel/printk/printk";
import { INIT_LIST_HEAD } from "../../lib/list";
import { dump_stack_set_arch_desc } from "../../lib/dump_stack";
import { memblock_end_of_DRAM, memblock_reserve } from "../../mm/memblock";
import { parse_early_param, setup_params_init } from "../../init/setup_params";
import { start_kernel } from "../../init/main";
import {
  e820__end_of_ram,
  e820__memblock_setup,
  e820__memory_setup,
  e820__reserve_resources,
  e820__reserve_resources_late,
  early_reserve_memory,
  insert_kernel_resources,
  trim_bios_range,
} from "./e820";
import { get_smp_config, prefill_possible_map } from "./mpparse";
import { reserve_real_mode } from "./smpboot";
import { init_mem_mapping, paging_init } from "../mm/init";

/** Frameless: sp is the top of the boot CPU's stack, which is a part of the image. */
export function startup_64(real_mode_data: usize): void {
  memory.fill(__base + BSS_START, 0, DATA_END - BSS_START);
  const sp = get_sp();
  memory.fill(sp - THREAD_SIZE, 0, THREAD_SIZE);
  x86_64_start_kernel(real_mode_data);
}

export function x86_64_start_kernel(real_mode_data: usize): void {
  set_cpu(0);
  // Until the firmware's table has been read: nr_cpus= lowers it.
  sym.nr_cpu_ids = CONFIG_NR_CPUS;
  sym.setup_max_cpus = CONFIG_NR_CPUS;
  sym.phys_base = (__phys_base as i32) as u64;
  // Until setup_per_cpu_areas copies it, the template itself serves; areas are named by direct-map addresses.
  sym.__per_cpu_offset[0] = PAGE_OFFSET + ((__base + PERCPU_TEMPLATE) as u64);
  log_buf_init();
  // Oopses list them.
  if (CONFIG_MODULES) INIT_LIST_HEAD(sym.modules);
  setup_init_task();
  copy_bootdata(real_mode_data);
  x86_64_start_reservations();
}

/** boot_params and the command line, out of the loader's low memory. */
function copy_bootdata(real_mode_data: usize): void {
  memory.copy(changetype<usize>(sym.boot_params), real_mode_data, boot_params.SIZE);
  const text: usize = sym.boot_params.cmd_line_ptr;
  if (!text) return;
  for (let i: usize = 0; i < COMMAND_LINE_SIZE - 1 && load<u8>(text + i); i++) {
    store<u8>(sym.boot_command_line + i, load<u8>(text + i));
  }
}

export function x86_64_start_reservations(): void {
  start_kernel();
}

/** Keeps the loader's initrd; it is unpacked into the root file system later. */
function reserve_initrd(): void {
  const start: u64 = sym.boot_params.ramdisk_image;
  const size: u64 = sym.boot_params.ramdisk_size;
  if (!start || !size) return;
  if (start + size > memblock_end_of_DRAM()) panic(c`initrd lies beyond the end of memory`);
  pr_info(c`RAMDISK: [mem %#010llx-%#010llx]\n`, start, start + size - 1);
  // Its last page whole: the initrd's pages are freed after unpacking, so nothing else may lie in them.
  memblock_reserve(start, ((start + size + PAGE_SIZE - 1) & ~<u64>(PAGE_SIZE - 1)) - start);
  sym.initrd_start = PAGE_OFFSET + start;
  sym.initrd_end = PAGE_OFFSET + start + size;
}

/** The machine by its own name, as DMI tables would give it. */
function dmi_setup(): void {
  dump_stack_set_arch_desc(c`wasm-kdump Virtual Machine, BIOS 1.0 01/01/2026`);
  pr_info(c`DMI: %s\n`, sym.dump_stack_arch_desc_str);
}

/**
 * Memory map, crash region, page tables. After this, memblock can allocate, and all memory is mapped. What
 * the loader left in memory is reserved before anything is allocated.
 */
export function setup_arch(): void {
  resource_init();
  pr_info(c`Command line: %s\n`, sym.boot_command_line);
  e820__memory_setup();
  setup_params_init();
  parse_early_param();
  dmi_setup();
  trim_bios_range();
  e820__end_of_ram();
  early_reserve_memory();
  e820__memblock_setup();
  reserve_initrd();
  init_mem_mapping();
  insert_kernel_resources();
  if (CONFIG_KEXEC_CORE) reserve_crashkernel();
  if (CONFIG_SMP) {
    get_smp_config();
    prefill_possible_map();
    reserve_real_mode();
  }
  paging_init();
  e820__reserve_resources();
  e820__reserve_resources_late();
}
