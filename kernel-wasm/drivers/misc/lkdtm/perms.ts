/**
 * LKDTM: memory used as its page's permissions forbid (drivers/misc/lkdtm/perms.c).
 */
import { GFP_KERNEL, LKDTM_EXEC_SIZE, X86_PF_WRITE } from "../../../include/generated/constants";
import { sym } from "../../../include/generated/symbols";
import { mmu_access } from "../../../arch/mm/access";
import { pr_err, pr_info } from "../../../kernel/printk/printk";
import { kfree, kmalloc } from "../../../mm/slub";
import { vfree, vmalloc } from "../../../mm/vmalloc";
import { CRASHTYPE } from "./core";

/** A function whose text is copied to where none may run. */
export function do_nothing(): void {
  return;
}

/** Another, to be overwritten. */
export function do_overwritten(): void {
  pr_info(c`lkdtm: do_overwritten wasn't overwritten!\n`);
}

/** Calls the code at `dst`, for which its text is copied there first. */
function execute_location(dst: u64, write: bool): void {
  const start = fnptr(do_nothing);
  pr_info(c`lkdtm: attempting ok execution at %px\n`, start);
  call_indirect<void>(text_index(start));
  // The nop in front says to which table entry the function belongs.
  if (write) memory.copy(pa(dst) - 8, pa(start) - 8, LKDTM_EXEC_SIZE / 2);
  pr_info(c`lkdtm: attempting bad execution at %px\n`, dst);
  call_indirect<void>(text_index(dst));
  pr_err(c`lkdtm: FAIL: func returned\n`);
}

/** One store that goes by the page tables. */
function write_u64(at: u64): void {
  store<u64>(mmu_access(at, X86_PF_WRITE), load<u64>(pa(at)) ^ 0xabcd1234);
}

export function lkdtm_WRITE_RO(): void {
  // A string of the kernel's .rodata.
  const at = va((c`lkdtm: read only data`) & ~7);
  pr_info(c`lkdtm: attempting bad rodata write at %px\n`, at);
  write_u64(at);
  pr_err(c`lkdtm: FAIL: survived bad write\n`);
}

export function lkdtm_WRITE_KERN(): void {
  const at = fnptr(do_overwritten);
  pr_info(c`lkdtm: attempting bad %lu byte write at %px\n`, 8, at);
  write_u64(at);
  pr_err(c`lkdtm: FAIL: survived bad write\n`);
  do_overwritten();
}

export function lkdtm_EXEC_DATA(): void {
  execute_location(va((sym.addr_of_lkdtm_data_area() + 31) & ~15), true);
}

export function lkdtm_EXEC_STACK(): void {
  // Free stack, far below this function's record.
  execute_location(va((get_sp() - 2048) & ~15), true);
}

export function lkdtm_EXEC_KMALLOC(): void {
  const kmalloc_area = kmalloc(LKDTM_EXEC_SIZE, GFP_KERNEL);
  execute_location(va(kmalloc_area + 16), true);
  kfree(kmalloc_area);
}

export function lkdtm_EXEC_VMALLOC(): void {
  const vmalloc_area = vmalloc(LKDTM_EXEC_SIZE);
  execute_location(vmalloc_area + 16, true);
  vfree(vmalloc_area);
}

export function lkdtm_EXEC_RODATA(): void {
  execute_location(va((c`lkdtm: data, and no code`) & ~15), false);
}

export function lkdtm_EXEC_NULL(): void {
  execute_location(0, false);
}

export function lkdtm_ACCESS_NULL(): void {
  pr_info(c`lkdtm: attempting bad read at %px\n`, 0);
  const tmp = load<u64>(mmu_access(0, 0));
  pr_err(c`lkdtm: FAIL: survived bad read\n`);
  pr_info(c`lkdtm: attempting bad write at %px\n`, 0);
  store<u64>(mmu_access(0, X86_PF_WRITE), tmp + 0xc0dec0de);
  pr_err(c`lkdtm: FAIL: survived bad write\n`);
}

export function lkdtm_perms_types(): void {
  CRASHTYPE(c`WRITE_RO`, fnptr(lkdtm_WRITE_RO));
  CRASHTYPE(c`WRITE_KERN`, fnptr(lkdtm_WRITE_KERN));
  CRASHTYPE(c`EXEC_DATA`, fnptr(lkdtm_EXEC_DATA));
  CRASHTYPE(c`EXEC_STACK`, fnptr(lkdtm_EXEC_STACK));
  CRASHTYPE(c`EXEC_KMALLOC`, fnptr(lkdtm_EXEC_KMALLOC));
  CRASHTYPE(c`EXEC_VMALLOC`, fnptr(lkdtm_EXEC_VMALLOC));
  CRASHTYPE(c`EXEC_RODATA`, fnptr(lkdtm_EXEC_RODATA));
  CRASHTYPE(c`EXEC_NULL`, fnptr(lkdtm_EXEC_NULL));
  CRASHTYPE(c`ACCESS_NULL`, fnptr(lkdtm_ACCESS_NULL));
}
