/**
 * The capture kernel's knowledge of the crashed one (kernel/crash_dump.c, include/linux/crash_dump.h): where
 * its ELF core headers are, and how its memory is read.
 */
import { CONFIG_CRASH_DUMP, EFAULT, EINVAL } from "../include/generated/constants";
import { sym } from "../include/generated/symbols";
import { memparse } from "../lib/string";

/** elfcorehdr_addr without an elfcorehdr=, and once the headers are taken over or found bad. */
export const ELFCORE_ADDR_MAX: u64 = u64.MAX_VALUE;
export const ELFCORE_ADDR_ERR: u64 = u64.MAX_VALUE - 1;

const AT: u8 = 0x40;

/** early_param("elfcorehdr"): [size@]offset, each with an optional K, M, G. */
export function setup_elfcorehdr(arg: usize): i32 {
  if (!CONFIG_CRASH_DUMP || arg == 0) return -EINVAL;
  const end = sym.addr_of_elfcorehdr_parsed();
  let addr = memparse(arg, end);
  if (sym.elfcorehdr_parsed == arg) return -EINVAL;
  if (load<u8>(sym.elfcorehdr_parsed) == AT) {
    const offset = sym.elfcorehdr_parsed + 1;
    sym.elfcorehdr_size = addr;
    addr = memparse(offset, end);
    if (sym.elfcorehdr_parsed == offset) return -EINVAL;
  }
  sym.elfcorehdr_addr = addr;
  return 0;
}

/** Whether this kernel was started to capture a dump. */
export function is_kdump_kernel(): bool {
  return CONFIG_CRASH_DUMP && sym.elfcorehdr_addr != ELFCORE_ADDR_MAX;
}

export function is_vmcore_usable(): bool {
  return is_kdump_kernel() && sym.elfcorehdr_addr != ELFCORE_ADDR_ERR;
}

/**
 * 0 when [paddr, paddr + len) is memory that can be read, else -EFAULT. Damaged headers may name any address.
 */
export function oldmem_check(paddr: u64, len: u64): i32 {
  const top = <u64>(<u32>memory.size()) << 16;
  return paddr <= top && len <= top - paddr ? 0 : -EFAULT;
}
