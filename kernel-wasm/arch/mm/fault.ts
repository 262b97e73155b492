/**
 * Page faults of programs (arch/x86/mm/fault.c): a page is made, or copied that was shared; where nothing is
 * mapped, or not for this access, SIGSEGV; behind the end of a mapped file SIGBUS. Those of the kernel are
 * traps.ts's: its accesses to user memory go through arch/lib/usercopy.ts, which does not fault.
 */
import {
  BUS_ADRERR,
  EFAULT,
  EIO,
  LOGLEVEL_EMERG,
  LOGLEVEL_INFO,
  SEGV_ACCERR,
  SEGV_MAPERR,
  SIGBUS,
  SIGSEGV,
  SIG_DFL,
  SIG_IGN,
  SI_KERNEL,
  VM_ACCESS_FLAGS,
  VM_EXEC,
  VM_WRITE,
  X86_PF_INSTR,
  X86_PF_WRITE,
  X86_TRAP_PF,
} from "../../include/generated/constants";
import { mm_struct, pt_regs, task_struct } from "../../include/generated/structs";
import { is_global_init } from "../../kernel/exit";
import { down_read, up_read } from "../../kernel/locking/rwsem";
import { pr_cont, printk_level } from "../../kernel/printk/printk";
import { force_sig, force_sig_fault, sig_handler } from "../../kernel/signal";
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

/** What a program's signal is about: SEGV_ACCERR when something is mapped there, else SEGV_MAPERR. */
function segv_code(mm: mm_struct, address: u64): i32 {
  down_read(mm.mmap_lock);
  const mapped = !(address >> 32) && !isnull(vma_lookup(mm, address));
  up_read(mm.mmap_lock);
  return mapped ? SEGV_ACCERR : SEGV_MAPERR;
}

function bad_area(regs: pt_regs, error_code: u64, address: u64): void {
  const t = get_current();
  t.thread.cr2 = address;
  t.thread.error_code = error_code;
  t.thread.trap_nr = X86_TRAP_PF;
  // As Linux: nothing is said of a program that has a handler for it.
  if (unhandled_signal(t, SIGSEGV)) show_signal_msg(regs, error_code, address, t);
  force_sig_fault(SIGSEGV, segv_code(t.mm, address), address);
}

function unhandled_signal(t: task_struct, sig: i32): bool {
  const handler = sig_handler(t, sig);
  return is_global_init(t) || handler == SIG_IGN || handler == SIG_DFL;
}

/** An exception of a program that is no page fault (do_trap of arch/x86/kernel/traps.c). */
export function do_user_trap(
  regs: pt_regs, vector: i32, error_code: u64, what: usize, sig: i32, code: i32,
): void {
  const t = get_current();
  t.thread.error_code = error_code;
  t.thread.trap_nr = vector;
  if (unhandled_signal(t, sig)) {
    printk_level(
      LOGLEVEL_INFO, c`traps: %s[%d] trap %s ip:%llx sp:%llx error:%llx`, t.comm, t.pid, what, regs.ip,
      regs.sp, error_code,
    );
    print_vma_addr(t, regs.ip);
    pr_cont(c`\n`);
  }
  if (code == SI_KERNEL) force_sig(sig);
  else force_sig_fault(sig, code, regs.ip);
}

/** The right that an access of a program's needs (access_error). */
function wanted_rights(error_code: u64): u64 {
  if (error_code & X86_PF_WRITE) return VM_WRITE;
  return error_code & X86_PF_INSTR ? VM_EXEC : VM_ACCESS_FLAGS;
}

/** When memory is short, the access is made again: the OOM killer has killed somebody, or this task. */
export function do_user_addr_fault(regs: pt_regs, error_code: u64, address: u64): void {
  const t = get_current();
  const major = t.maj_flt;
  const err = address >> 32 ? -EFAULT : fault_in_user(t.mm, <usize>address, wanted_rights(error_code));
  if (err == -EFAULT) bad_area(regs, error_code, address);
  else if (err == -EIO) force_sig_fault(SIGBUS, BUS_ADRERR, address);
  else if (t.maj_flt == major) t.min_flt += 1;
}
