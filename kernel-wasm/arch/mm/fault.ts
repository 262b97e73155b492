/**
 * Page faults of programs (arch/x86/mm/fault.c): a page is made, or copied that was shared; where nothing is
 * mapped, or not for this access, SIGSEGV; behind the end of a mapped file SIGBUS. Those of the kernel are
 * traps.ts's: its accesses to user memory go through arch/lib/usercopy.ts, which does not fault.
 */
import {
  EFAULT,
  EIO,
  LOGLEVEL_EMERG,
  LOGLEVEL_INFO,
  SIGBUS,
  SIGSEGV,
  X86_PF_WRITE,
  X86_TRAP_PF,
} from "../../include/generated/constants";
import { pt_regs, task_struct } from "../../include/generated/structs";
import { pr_cont, printk_level } from "../../kernel/printk/printk";
import { force_sig } from "../../kernel/signal";
import { fault_in_user } from "../../mm/memory";
import { vma_lookup } from "../../mm/mmap";
import { get_current } from "../kernel/current";
import { show_opcodes } from "../kernel/process_regs";

/** The mapping that an instruction lies in. */
function print_vma_addr(t: task_struct, ip: u64): void {
  const vma = vma_lookup(t.mm, ip);
  if (isnull(vma) || vma.vm_file_va == 0) return;
  const name = vma.vm_file.f_path.dentry.d_name.name;
  pr_cont(c` in %s[%llx,%llx+%llx]`, name, ip - vma.vm_start, vma.vm_start, vma.vm_end - vma.vm_start);
}

function show_signal_msg(regs: pt_regs, error_code: u64, address: u64, t: task_struct): void {
  const level = t.pid > 1 ? LOGLEVEL_INFO : LOGLEVEL_EMERG;
  printk_level(
    level, c`%s[%d]: segfault at %llx ip %px sp %px error %llx`, t.comm, t.pid, address, regs.ip, regs.sp,
    error_code,
  );
  print_vma_addr(t, regs.ip);
  pr_cont(c` likely on CPU %d (core %d, socket %d)\n`, get_cpu(), get_cpu(), 0);
  show_opcodes(regs, level);
}

function bad_area(regs: pt_regs, error_code: u64, address: u64): void {
  const t = get_current();
  t.thread.cr2 = address;
  t.thread.error_code = error_code;
  t.thread.trap_nr = X86_TRAP_PF;
  show_signal_msg(regs, error_code, address, t);
  force_sig(SIGSEGV);
}

/** When memory is short, the access is made again: the OOM killer has killed somebody, or this task. */
export function do_user_addr_fault(regs: pt_regs, error_code: u64, address: u64): void {
  const t = get_current();
  const err = address >> 32 ? -EFAULT : fault_in_user(t.mm, <usize>address, (error_code & X86_PF_WRITE) != 0);
  if (err == -EFAULT) bad_area(regs, error_code, address);
  else if (err == -EIO) force_sig(SIGBUS);
  else t.min_flt += 1;
}
