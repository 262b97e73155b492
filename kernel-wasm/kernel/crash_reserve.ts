/**
 * crashkernel=: what the parameter asks for (parse_crashkernel, kernel/crash_reserve.c) and the region it
 * gets (reserve_crashkernel). The region leaves memblock before the page allocator sees it, and stands as
 * "Crash kernel" in /proc/iomem. Linux aligns it to 16 MiB; here it is 64 KiB (CRASH_ALIGN), so that small
 * machines have one.
 */
import {
  CRASH_ADDR_HIGH_MAX,
  CRASH_ADDR_LOW_MAX,
  CRASH_ALIGN,
  DEFAULT_CRASH_KERNEL_LOW_SIZE,
  EINVAL,
  ENOENT,
  ENOMEM,
  IORES_DESC_CRASH_KERNEL,
  IORESOURCE_BUSY,
  IORESOURCE_SYSTEM_RAM,
  PAGE_SIZE,
} from "../include/generated/constants";
import { crashkernel_param, resource } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { memparse, strchr, strlen, strncmp, strstr } from "../lib/string";
import { memblock_phys_alloc_range, memblock_phys_free, memblock_phys_mem_size } from "../mm/memblock";
import { pr_info, pr_warn } from "./printk/printk";
import { insert_resource } from "./resource";

const SPACE: u8 = 0x20;
const COLON: u8 = 0x3a;
const COMMA: u8 = 0x2c;
const DASH: u8 = 0x2d;
const AT: u8 = 0x40;
const SZ_128M: u64 = 128 << 20;

/** The number at the cursor, which moves behind it; sets no_number when there is none. */
function parse_number(): u64 {
  const param = sym.crashkernel;
  const cur = param.cur;
  const value = memparse(cur, crashkernel_param.addr_of_cur(param));
  param.no_number = param.cur == cur;
  return value;
}

@inline
function cursor_char(): u8 {
  return load<u8>(sym.crashkernel.cur);
}

@inline
function skip_char(): void {
  sym.crashkernel.cur += 1;
}

function memory_value_expected(): i32 {
  pr_warn(c`crashkernel: Memory value expected\n`);
  return -EINVAL;
}

/**
 * start-[end]:size[,...][@offset]: the first range that holds the system's memory decides, later ones are not
 * read.
 */
function parse_crashkernel_mem(system_ram: u64): i32 {
  const param = sym.crashkernel;
  // Firmware takes some memory for itself: rounding by 128 MiB puts a machine of 1G into the range "1G-".
  const total_mem = (system_ram + SZ_128M - 1) & ~(SZ_128M - 1);
  while (true) {
    const start = parse_number();
    if (param.no_number) return memory_value_expected();
    if (cursor_char() != DASH) {
      pr_warn(c`crashkernel: '-' expected\n`);
      return -EINVAL;
    }
    skip_char();
    let end = u64.MAX_VALUE;
    if (cursor_char() != COLON) {
      end = parse_number();
      if (param.no_number) return memory_value_expected();
      if (end <= start) {
        pr_warn(c`crashkernel: end <= start\n`);
        return -EINVAL;
      }
    }
    if (cursor_char() != COLON) {
      pr_warn(c`crashkernel: ':' expected\n`);
      return -EINVAL;
    }
    skip_char();
    const size = parse_number();
    if (param.no_number) return memory_value_expected();
    if (size >= total_mem) {
      pr_warn(c`crashkernel: invalid size\n`);
      return -EINVAL;
    }
    if (total_mem >= start && total_mem < end) {
      param.size = size;
      break;
    }
    if (cursor_char() != COMMA) break;
    skip_char();
  }
  if (param.size == 0) {
    pr_info(c`crashkernel size resulted in zero bytes\n`);
    return 0;
  }
  while (cursor_char() != 0 && cursor_char() != SPACE && cursor_char() != AT) skip_char();
  if (cursor_char() == AT) {
    skip_char();
    param.base = parse_number();
    if (param.no_number) {
      pr_warn(c`crashkernel: Memory value expected after '@'\n`);
      return -EINVAL;
    }
  }
  return 0;
}

function unrecognized_char(): i32 {
  pr_warn(c`crashkernel: unrecognized char: %c\n`, cursor_char());
  return -EINVAL;
}

/** A number, for size or (low) for low_size; 0 or an error when there is none. */
function parse_crashkernel_size(low: bool): i32 {
  const param = sym.crashkernel;
  const size = parse_number();
  if (low) param.low_size = size;
  else param.size = size;
  if (!param.no_number) return 0;
  pr_warn(c`crashkernel: memory value expected\n`);
  return -EINVAL;
}

/** size[@offset] */
function parse_crashkernel_simple(): i32 {
  const error = parse_crashkernel_size(false);
  if (error) return error;
  if (cursor_char() == AT) {
    skip_char();
    sym.crashkernel.base = parse_number();
  } else if (cursor_char() != SPACE && cursor_char() != 0) {
    return unrecognized_char();
  }
  return 0;
}

/** size,high or size,low */
function parse_crashkernel_suffix(suffix: usize, low: bool): i32 {
  const error = parse_crashkernel_size(low);
  if (error) return error;
  const length = strlen(suffix);
  if (strncmp(sym.crashkernel.cur, suffix, length) != 0) return unrecognized_char();
  sym.crashkernel.cur += length;
  if (cursor_char() != SPACE && cursor_char() != 0) return unrecognized_char();
  return 0;
}

@inline
function word_ends_with(word: usize, end: usize, suffix: usize): bool {
  const length = strlen(suffix);
  return end - word >= length && strncmp(end - length, suffix, length) == 0;
}

/** The last crashkernel= that has this suffix (0: none of the known ones); its value's address, or 0. */
function get_last_crashkernel(cmdline: usize, suffix: usize): usize {
  const name = c`crashkernel=`;
  let last: usize = 0;
  for (let p = strstr(cmdline, name); p != 0; p = strstr(p + 1, name)) {
    let end = strchr(p, SPACE);
    if (end == 0) end = p + strlen(p);
    const fits =
      suffix != 0
        ? word_ends_with(p, end, suffix)
        : !word_ends_with(p, end, c`,high`) && !word_ends_with(p, end, c`,low`);
    if (fits) last = p + strlen(name);
  }
  return last;
}

function __parse_crashkernel(cmdline: usize, system_ram: u64, suffix: usize, low: bool): i32 {
  const value = get_last_crashkernel(cmdline, suffix);
  if (value == 0) return -ENOENT;
  sym.crashkernel.cur = value;
  if (suffix != 0) return parse_crashkernel_suffix(suffix, low);
  const first_colon = strchr(value, COLON);
  const first_space = strchr(value, SPACE);
  if (first_colon != 0 && (first_space == 0 || first_colon < first_space)) {
    return parse_crashkernel_mem(system_ram);
  }
  return parse_crashkernel_simple();
}

/**
 * Reads the command line into sym.crashkernel. 0, -ENOENT (no crashkernel=) or -EINVAL: nothing to reserve.
 */
export function parse_crashkernel(cmdline: usize, system_ram: u64): i32 {
  const param = sym.crashkernel;
  memory.fill(changetype<usize>(param), 0, crashkernel_param.SIZE);
  let error = __parse_crashkernel(cmdline, system_ram, 0, false);
  if (error == -ENOENT) {
    error = __parse_crashkernel(cmdline, 0, c`,high`, false);
    if (error == -ENOENT) return error;
    if (error || param.size == 0) return -EINVAL;
    error = __parse_crashkernel(cmdline, 0, c`,low`, true);
    if (error == -ENOENT) {
      param.low_size = DEFAULT_CRASH_KERNEL_LOW_SIZE;
      error = 0;
    } else if (error) {
      return error;
    }
    param.high = true;
  }
  return error == 0 && param.size == 0 ? -EINVAL : error;
}

/** Below 4 GiB, for a region above: the capture kernel's devices may need it. */
function reserve_crashkernel_low(low_size: u64): i32 {
  const base = memblock_phys_alloc_range(low_size, CRASH_ALIGN, 0, CRASH_ADDR_LOW_MAX);
  if (base == 0) {
    pr_warn(c`cannot allocate crashkernel low memory (size:0x%llx).\n`, low_size);
    return -ENOMEM;
  }
  const text = c`crashkernel low memory reserved: 0x%08llx - 0x%08llx (%lld MB)\n`;
  pr_info(text, base, base + low_size, low_size >> 20);
  crash_resource(sym.crashk_low_res, base, low_size);
  return 0;
}

function crash_resource(res: resource, base: u64, size: u64): void {
  res.name = c`Crash kernel`;
  res.flags = IORESOURCE_BUSY | IORESOURCE_SYSTEM_RAM;
  res.desc = IORES_DESC_CRASH_KERNEL;
  res.start = base;
  res.end = base + size - 1;
  insert_resource(sym.iomem_resource, res);
}

/** From setup_arch, when memblock knows all memory and what the boot needs of it. */
export function reserve_crashkernel(): void {
  const total_mem = memblock_phys_mem_size();
  const param = sym.crashkernel;
  if (parse_crashkernel(sym.boot_command_line, total_mem) != 0) return;
  const size = (param.size + PAGE_SIZE - 1) & ~<u64>(PAGE_SIZE - 1);
  let search_base: u64 = 0;
  let search_end: u64 = CRASH_ADDR_LOW_MAX;
  const fixed_base = param.base != 0;
  if (fixed_base) {
    search_base = param.base;
    search_end = param.base + size;
  } else if (param.high) {
    search_base = CRASH_ADDR_LOW_MAX;
    search_end = CRASH_ADDR_HIGH_MAX;
  }
  // A size that rounds over the end of 64 bits fits nowhere.
  let base: u64 = size == 0 ? 0 : memblock_phys_alloc_range(size, CRASH_ALIGN, search_base, search_end);
  if (base == 0 && fixed_base) {
    pr_warn(c`crashkernel reservation failed - memory is in use.\n`);
    return;
  }
  if (base == 0 && size != 0 && param.high) {
    base = memblock_phys_alloc_range(size, CRASH_ALIGN, 0, CRASH_ADDR_LOW_MAX);
  } else if (base == 0 && size != 0) {
    param.low_size = DEFAULT_CRASH_KERNEL_LOW_SIZE;
    base = memblock_phys_alloc_range(size, CRASH_ALIGN, CRASH_ADDR_LOW_MAX, CRASH_ADDR_HIGH_MAX);
  }
  if (base == 0) {
    pr_warn(c`cannot allocate crashkernel (size:0x%llx)\n`, param.size);
    return;
  }
  if (base >= CRASH_ADDR_LOW_MAX && param.low_size != 0 && reserve_crashkernel_low(param.low_size) != 0) {
    memblock_phys_free(base, size);
    return;
  }
  pr_info(
    c`Reserving %ldMB of memory at %ldMB for crashkernel (System RAM: %ldMB)\n`,
    size >> 20,
    base >> 20,
    total_mem >> 20,
  );
  crash_resource(sym.crashk_res, base, size);
}
