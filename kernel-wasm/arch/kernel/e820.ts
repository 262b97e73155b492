/**
 * The firmware's memory map (arch/x86/kernel/e820.c): read from boot_params, cleaned of overlaps, printed,
 * handed to memblock and, as resources, to /proc/iomem. setup_arch calls these in the order in which they
 * stand here; the crash region is entered between insert_kernel_resources and e820__reserve_resources, so
 * that "System RAM" grows around both.
 */
import {
  BIOS_BEGIN,
  BIOS_END,
  BOOT_E820_ENTRY_SIZE,
  E820_MAX_ENTRIES,
  E820_TYPE_ACPI,
  E820_TYPE_NVS,
  E820_TYPE_PMEM,
  E820_TYPE_PRAM,
  E820_TYPE_RAM,
  E820_TYPE_RESERVED,
  E820_TYPE_RESERVED_KERN,
  E820_TYPE_SOFT_RESERVED,
  E820_TYPE_UNUSABLE,
  IORESOURCE_BUSY,
  IORESOURCE_MEM,
  IORESOURCE_SYSTEM_RAM,
  IORES_DESC_ACPI_NV_STORAGE,
  IORES_DESC_ACPI_TABLES,
  IORES_DESC_NONE,
  IORES_DESC_RESERVED,
  PAGE_OFFSET,
  PAGE_SHIFT,
  PAGE_SIZE,
} from "../../include/generated/constants";
import { e820_entry, e820_table, resource } from "../../include/generated/structs";
import { BSS_START, sym } from "../../include/generated/symbols";
import { insert_resource } from "../../kernel/resource";
import { pr_cont, pr_info, pr_warn } from "../../kernel/printk/printk";
import {
  memblock_add,
  memblock_alloc_or_panic,
  memblock_init,
  memblock_reserve,
  memblock_trim_memory,
} from "../../mm/memblock";
import { kernel_image_size } from "../mm/init";

const MAX_ARCH_PFN: u64 = 0x400000000;
/** The top of the 32-bit physical addresses that the machine has. */
const MAX_ADDR: u64 = 0x100000000;

@inline function entry(i: u32): e820_entry {
  return sym.e820_table.entries[i];
}

function set_entry(i: u32, addr: u64, size: u64, type: i32): void {
  const e = entry(i);
  e.addr = addr;
  e.size = size;
  e.type = type;
}

function e820__range_add(addr: u64, size: u64, type: i32): void {
  const table = sym.e820_table;
  if (table.nr_entries >= E820_MAX_ENTRIES) {
    pr_warn(c`e820: too many entries; ignoring [mem %#010llx-%#010llx]\n`, addr, addr + size - 1);
    return;
  }
  set_entry(table.nr_entries, addr, size, type);
  table.nr_entries += 1;
}

function remove_entry(i: u32): void {
  const table = sym.e820_table;
  const bytes = (table.nr_entries - i - 1) * <u32>e820_entry.SIZE;
  memory.copy(changetype<usize>(entry(i)), changetype<usize>(entry(i + 1)), bytes);
  table.nr_entries -= 1;
}

/** Insertion sort by address; the larger of two entries with one address first. */
function sort_table(): void {
  const count = sym.e820_table.nr_entries;
  for (let i: u32 = 1; i < count; i++) {
    const addr = entry(i).addr;
    const size = entry(i).size;
    const type = entry(i).type;
    let j = i;
    for (; j > 0; j--) {
      const before = entry(j - 1);
      if (before.addr < addr || (before.addr == addr && before.size >= size)) break;
      set_entry(j, before.addr, before.size, before.type);
    }
    set_entry(j, addr, size, type);
  }
}

/** Resolves the first overlap: the higher type is the more restrictive and wins. False when there is none. */
function resolve_overlap(): bool {
  for (let i: u32 = 0; i + 1 < sym.e820_table.nr_entries; i++) {
    const a = entry(i);
    const b = entry(i + 1);
    const a_end = a.addr + a.size;
    const b_end = b.addr + b.size;
    const same = a.type == b.type;
    if (a_end < b.addr || (a_end == b.addr && !same)) continue;
    if (same) {
      a.size = max(a_end, b_end) - a.addr;
      remove_entry(i + 1);
    } else if (<u32>b.type > <u32>a.type) {
      a.size = b.addr - a.addr;
      const type = a.type;
      if (!a.size) remove_entry(i);
      if (a_end > b_end) e820__range_add(b_end, a_end - b_end, type);
    } else if (b_end > a_end) {
      b.size = b_end - a_end;
      b.addr = a_end;
    } else {
      remove_entry(i + 1);
    }
    return true;
  }
  return false;
}

/** Sorts the table, drops empty entries, resolves overlaps and joins what touches. */
export function e820__update_table(): void {
  for (let i: u32 = 0; i < sym.e820_table.nr_entries; ) {
    if (entry(i).size) i++;
    else remove_entry(i);
  }
  do sort_table();
  while (resolve_overlap());
}

/** Gives [start, start + size) another type where it has `old_type`; type 0 removes it. */
function change_range(start: u64, size: u64, old_type: i32, new_type: i32): void {
  const end = start + size;
  const count = sym.e820_table.nr_entries;
  for (let i: u32 = 0; i < count; i++) {
    const e = entry(i);
    const from = max(e.addr, start);
    const to = min(e.addr + e.size, end);
    if (e.type != old_type || from >= to) continue;
    const tail = e.addr + e.size - to;
    e.size = from - e.addr;
    if (new_type) e820__range_add(from, to - from, new_type);
    if (tail) e820__range_add(to, tail, old_type);
  }
  e820__update_table();
}

export function e820__range_update(start: u64, size: u64, old_type: i32, new_type: i32): void {
  pr_info(c`e820: update [mem %#010llx-%#010llx] `, start, start + size - 1);
  e820_print_type(old_type);
  pr_cont(c` ==> `);
  e820_print_type(new_type);
  pr_cont(c`\n`);
  change_range(start, size, old_type, new_type);
}

export function e820__range_remove(start: u64, size: u64, old_type: i32): void {
  pr_info(c`e820: remove [mem %#010llx-%#010llx] `, start, start + size - 1);
  e820_print_type(old_type);
  pr_cont(c`\n`);
  change_range(start, size, old_type, 0);
}

function e820_print_type(type: i32): void {
  switch (type) {
    case E820_TYPE_RAM:
    case E820_TYPE_RESERVED_KERN:
      pr_cont(c`usable`);
      break;
    case E820_TYPE_RESERVED:
      pr_cont(c`reserved`);
      break;
    case E820_TYPE_SOFT_RESERVED:
      pr_cont(c`soft reserved`);
      break;
    case E820_TYPE_ACPI:
      pr_cont(c`ACPI data`);
      break;
    case E820_TYPE_NVS:
      pr_cont(c`ACPI NVS`);
      break;
    case E820_TYPE_UNUSABLE:
      pr_cont(c`unusable`);
      break;
    case E820_TYPE_PMEM:
    case E820_TYPE_PRAM:
      pr_cont(c`persistent (type %u)`, type);
      break;
    default:
      pr_cont(c`type %u`, type);
  }
}

function e820__print_table(): void {
  for (let i: u32 = 0; i < sym.e820_table.nr_entries; i++) {
    const e = entry(i);
    pr_info(c`BIOS-e820: [mem %#018llx-%#018llx] `, e.addr, e.addr + e.size - 1);
    e820_print_type(e.type);
    pr_cont(c`\n`);
  }
}

/** Reads the map of boot_params and prints it. */
export function e820__memory_setup(): void {
  sym.e820_table = changetype<e820_table>(sym.addr_of_e820_table_init());
  sym.e820_table.nr_entries = 0;
  const count = <u32>sym.boot_params.e820_entries;
  for (let i: u32 = 0; i < count; i++) {
    const at = sym.boot_params.e820_table + i * BOOT_E820_ENTRY_SIZE;
    e820__range_add(load<u64>(at), load<u64>(at + 8), load<i32>(at + 16));
  }
  e820__update_table();
  pr_info(c`BIOS-provided physical RAM map:\n`);
  e820__print_table();
}

/** Page 0 may hold what the BIOS keeps there, and 640K to 1M is no RAM whatever the map says. */
export function trim_bios_range(): void {
  e820__range_update(0, PAGE_SIZE, E820_TYPE_RAM, E820_TYPE_RESERVED);
  e820__range_remove(BIOS_BEGIN, BIOS_END - BIOS_BEGIN, E820_TYPE_RAM);
}

/** Sets max_pfn and its kin from the end of RAM. */
export function e820__end_of_ram(): void {
  let last: u64 = 0;
  for (let i: u32 = 0; i < sym.e820_table.nr_entries; i++) {
    const e = entry(i);
    if (e.type == E820_TYPE_RAM) last = max(last, min(e.addr + e.size, MAX_ADDR) >> PAGE_SHIFT);
  }
  pr_info(c`last_pfn = 0x%lx max_arch_pfn = 0x%lx\n`, last, MAX_ARCH_PFN);
  sym.max_pfn = last;
  sym.max_low_pfn = last;
  sym.max_possible_pfn = last;
  sym.min_low_pfn = 0;
  sym.high_memory_va = PAGE_OFFSET + (last << PAGE_SHIFT);
}

/** What already holds something when memblock starts: the image with its boot stack, and page 0. */
export function early_reserve_memory(): void {
  memblock_init();
  memblock_reserve(sym__text(), kernel_image_size());
  memblock_reserve(0, PAGE_SIZE);
}

/** RAM goes to memblock, in whole pages. */
export function e820__memblock_setup(): void {
  for (let i: u32 = 0; i < sym.e820_table.nr_entries; i++) {
    const e = entry(i);
    if (e.type != E820_TYPE_RAM && e.type != E820_TYPE_RESERVED_KERN) continue;
    if (e.addr < MAX_ADDR) memblock_add(e.addr, min(e.size, MAX_ADDR - e.addr));
  }
  memblock_trim_memory(PAGE_SIZE);
}

function insert_kernel_part(res: resource, name: usize, start: usize, end: usize): void {
  res.name = name;
  res.start = start;
  res.end = <u64>end - 1;
  res.flags = IORESOURCE_BUSY | IORESOURCE_SYSTEM_RAM;
  insert_resource(sym.iomem_resource, res);
}

/** Kernel code, rodata, data and bss, as setup_arch enters them: "System RAM" grows around them later. */
export function insert_kernel_resources(): void {
  insert_kernel_part(sym.code_resource, c`Kernel code`, sym__text(), sym__etext());
  insert_kernel_part(sym.rodata_resource, c`Kernel rodata`, sym__etext(), __base);
  insert_kernel_part(sym.data_resource, c`Kernel data`, __base, __base + BSS_START);
  insert_kernel_part(sym.bss_resource, c`Kernel bss`, __base + BSS_START, sym__end());
}

function e820_type_to_string(type: i32): usize {
  switch (type) {
    case E820_TYPE_RAM:
    case E820_TYPE_RESERVED_KERN:
      return c`System RAM`;
    case E820_TYPE_ACPI:
      return c`ACPI Tables`;
    case E820_TYPE_NVS:
      return c`ACPI Non-volatile Storage`;
    case E820_TYPE_UNUSABLE:
      return c`Unusable memory`;
    case E820_TYPE_PRAM:
      return c`Persistent Memory (legacy)`;
    case E820_TYPE_PMEM:
      return c`Persistent Memory`;
    case E820_TYPE_RESERVED:
      return c`Reserved`;
    case E820_TYPE_SOFT_RESERVED:
      return c`Soft Reserved`;
    default:
      return c`Unknown E820 type`;
  }
}

function e820_type_to_iores_desc(type: i32): u64 {
  switch (type) {
    case E820_TYPE_ACPI:
      return IORES_DESC_ACPI_TABLES;
    case E820_TYPE_NVS:
      return IORES_DESC_ACPI_NV_STORAGE;
    case E820_TYPE_RESERVED:
      return IORES_DESC_RESERVED;
    default:
      return IORES_DESC_NONE;
  }
}

/**
 * Reserved ranges above 1 MiB may still turn out to belong to a device: they are entered late, and not busy.
 */
@inline function do_mark_busy(type: i32, res: resource): bool {
  return res.start < BIOS_END || (type != E820_TYPE_RESERVED && type != E820_TYPE_SOFT_RESERVED);
}

@inline function nth_resource(i: u32): resource {
  return changetype<resource>(changetype<usize>(sym.e820_res) + i * <u32>resource.SIZE);
}

export function e820__reserve_resources(): void {
  const count = sym.e820_table.nr_entries;
  sym.e820_res = changetype<resource>(memblock_alloc_or_panic(resource.SIZE * count, 64));
  for (let i: u32 = 0; i < count; i++) {
    const e = entry(i);
    const res = nth_resource(i);
    const ram = e.type == E820_TYPE_RAM || e.type == E820_TYPE_RESERVED_KERN;
    res.start = e.addr;
    res.end = e.addr + e.size - 1;
    res.name = e820_type_to_string(e.type);
    res.flags = ram ? IORESOURCE_SYSTEM_RAM : IORESOURCE_MEM;
    res.desc = e820_type_to_iores_desc(e.type);
    if (!do_mark_busy(e.type, res)) continue;
    res.flags |= IORESOURCE_BUSY;
    insert_resource(sym.iomem_resource, res);
  }
}

export function e820__reserve_resources_late(): void {
  for (let i: u32 = 0; i < sym.e820_table.nr_entries; i++) {
    const res = nth_resource(i);
    if (isnull(res.parent) && res.end) insert_resource(sym.iomem_resource, res);
  }
}
