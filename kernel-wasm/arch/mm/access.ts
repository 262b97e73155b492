/**
 * The MMU's answer to one access (Intel SDM volume 3, 4.6), by the page tables in memory. Compiled code
 * reaches memory by physical addresses, so that its own mistakes show when a pointer is translated
 * (include/addr.ts) or leaves memory; what is wrong only by a page's permissions, or by a null pointer that
 * is used untranslated, is asked for here.
 */
import {
  PAGE_SHIFT,
  PGDIR_SHIFT,
  PTE_PFN_MASK,
  PTRS_PER_PTE,
  X86_PF_INSTR,
  X86_PF_PROT,
  X86_PF_WRITE,
  _PAGE_NX,
  _PAGE_PRESENT,
  _PAGE_PSE,
  _PAGE_RW,
} from "../../include/generated/constants";
import { sym } from "../../include/generated/symbols";
import { get_current } from "../kernel/current";

@external("hw", "page_fault") declare function hw_page_fault(lo: u32, hi: u32, error_code: u32): void;

/**
 * The leaf entry for an address in the running task's page tables, 0 when there is none. Its write bit is set
 * only when every level allows to write, its NX bit when one forbids to execute.
 */
export function lookup_address(addr: u64): u64 {
  const mm = get_current().active_mm;
  let table = isnull(mm) ? sym.addr_of_swapper_pg_dir() : changetype<usize>(mm.pgd);
  let writable: u64 = _PAGE_RW;
  let never: u64 = 0;
  let shift: u32 = PGDIR_SHIFT;
  while (true) {
    const entry = load<u64>(table + ((<usize>(addr >> <u64>shift) & (PTRS_PER_PTE - 1)) << 3));
    if (!(entry & _PAGE_PRESENT)) return 0;
    writable &= entry;
    never |= entry & _PAGE_NX;
    const leaf = shift == PAGE_SHIFT || (entry & _PAGE_PSE && shift != PGDIR_SHIFT);
    if (leaf) {
      const span = ((<u64>1 << <u64>shift) - 1) & ~<u64>0xfff;
      return (entry & ~<u64>_PAGE_RW & ~span) | writable | never | (addr & span);
    }
    table = <usize>(entry & PTE_PFN_MASK);
    shift -= 9;
  }
}

/** Physical address behind `addr`; faults when the access (X86_PF_WRITE, X86_PF_INSTR, 0) is not allowed. */
export function mmu_access(addr: u64, access: u32): usize {
  const leaf = lookup_address(addr);
  let denied = !leaf;
  if (access & X86_PF_WRITE && !(leaf & _PAGE_RW)) denied = true;
  if (access & X86_PF_INSTR && leaf & _PAGE_NX) denied = true;
  if (denied) hw_page_fault(<u32>addr, <u32>(addr >> 32), access | (leaf ? X86_PF_PROT : 0));
  return <usize>(leaf & PTE_PFN_MASK) | <usize>(addr & 0xfff);
}
