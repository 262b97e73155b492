/**
 * Exceptions in kernel mode (arch/x86/kernel/traps.c, mm/fault.c, entry/entry_64.S). The runtime, as hardware
 * would, enters asm_exc with the vector when wasm code traps; the trapped code never goes on. The registers
 * are built on the stack below the trapped function's record, those of a double fault at the end of its own:
 *
 *     sp at the trap    {saved rbp, return address}      record of the function that trapped
 *     sp - 8            return address of its last call
 *     sp - 176          struct pt_regs (168 bytes)       <- sp of asm_exc_*
 *     sp - 192          {saved rbp, return to asm_exc_*} record of exc_*
 */
import {
  CONFIG_CRASH_DUMP,
  CONFIG_LKDTM,
  PAGE_OFFSET,
  PAGE_SIZE,
  PT_REGS_SIZE,
  PTE_PFN_MASK,
  STACK_GUARD_SIZE,
  ILL_ILLOPN,
  SIGILL,
  SIGSEGV,
  SI_KERNEL,
  THREAD_SIZE,
  USER_CS,
  USER_DS,
  USER_SYSCALL_RETURN,
  X86_EFLAGS_FIXED,
  X86_EFLAGS_IF,
  X86_PF_INSTR,
  X86_PF_PK,
  X86_PF_PROT,
  X86_PF_RSVD,
  X86_PF_USER,
  X86_PF_WRITE,
  X86_TRAP_AC,
  X86_TRAP_DE,
  X86_TRAP_DF,
  X86_TRAP_PF,
  X86_TRAP_UD,
  _PAGE_NX,
} from "../../include/generated/constants";
import { pt_regs } from "../../include/generated/structs";
import { sym, this_cpu } from "../../include/generated/symbols";
import { do_exit } from "../../kernel/exit";
import { irqs_disabled, local_irq_disable } from "../../kernel/irqflags";
import { kallsyms_symbol_start } from "../../kernel/kallsyms";
import { pr_alert, pr_crit, pr_emerg, pr_cont, printk } from "../../kernel/printk/printk";
import { lookup_address, mmu_access } from "../mm/access";
import { do_user_addr_fault, do_user_trap } from "../mm/fault";
import { die, oops_begin, oops_end, __die } from "./dumpstack";
import { is_interrupt_entry } from "./irq";
import { asm_exc_nmi } from "./nmi";
import { syscall_exit_to_user_mode, user_mode } from "./process";
import { fill_kernel_regs } from "./process_regs";
import { stack_end, stack_type, stack_type_name } from "./dumpstack_64";

/** Entry bits of a page table. */
const PRESENT: u64 = 1;
const LARGE: u64 = 0x80;

/** Frameless entries: their records are followed by pt_regs. */
export function is_exception_entry(fn: u64): bool {
  if (!CONFIG_CRASH_DUMP && fn == fnptr(asm_exc_nmi)) return true;
  return is_interrupt_entry(fn) || fn == fnptr(asm_exc_page_fault) || fn == fnptr(asm_exc_invalid_op) ||
    fn == fnptr(asm_exc_divide_error) ||
    fn == fnptr(asm_exc_general_protection) || fn == fnptr(asm_exc_double_fault) ||
    fn == fnptr(asm_exc_alignment_check);
}

/**
 * pa() and text_index() stand for the MMU: a fault that they find belongs to the function that used the
 * address.
 */
function is_address_check(fn: u64): bool {
  if (CONFIG_LKDTM && fn != 0 && fn == fnptr(mmu_access)) return true;
  return fn != 0 && (fn == fnptr(__phys_addr) || fn == fnptr(text_index));
}

/** The registers as they were in the caller, at its call. */
function pop_frame(regs: pt_regs): void {
  const record = pa(regs.sp);
  regs.ip = load<u64>(record + 8);
  regs.bp = load<u64>(record);
  regs.sp = regs.bp;
}

/**
 * The processor's way into an exception. `cr2_lo`, `cr2_hi`: the faulting address of a page fault; of a
 * double fault, which comes on a stack of its own, the low word is the sp it happened at.
 */
export function asm_exc(vector: i32, error_code: i32, cr2_lo: u32, cr2_hi: u32): void {
  const sp = get_sp();
  // A double fault's are at the end of its stack.
  const regs = changetype<pt_regs>(sp - PT_REGS_SIZE - (vector == X86_TRAP_DF ? 0 : 8));
  // Before the first call: its record would lie in the registers, and its return address over the trapped
  // function's.
  set_sp(changetype<usize>(regs));
  const enabled = !irqs_disabled();
  local_irq_disable();
  const current = this_cpu.current_task;
  const address = ((cr2_hi as u64) << 32) | (cr2_lo as u64);
  // What checks a function pointer knows no page tables: whether the page is there is found here.
  if (CONFIG_LKDTM && vector == X86_TRAP_PF && error_code & X86_PF_INSTR && lookup_address(address)) {
    error_code |= X86_PF_PROT;
  }
  let trapped = sp;
  if (vector == X86_TRAP_DF) trapped = cr2_lo;
  fill_kernel_regs(regs, trapped, error_code as u64);
  if (!CONFIG_CRASH_DUMP && !enabled) regs.flags &= ~(X86_EFLAGS_IF as u64);
  if (vector == X86_TRAP_PF && is_address_check(kallsyms_symbol_start(regs.ip))) pop_frame(regs);
  if (!isnull(current)) {
    current.thread.trap_nr = vector as u64;
    current.thread.error_code = error_code as u64;
    if (vector == X86_TRAP_PF) current.thread.cr2 = address;
  }
  if (vector == X86_TRAP_PF) asm_exc_page_fault(regs, error_code as u64, address);
  else if (vector == X86_TRAP_UD) asm_exc_invalid_op(regs);
  else if (vector == X86_TRAP_DE) asm_exc_divide_error(regs);
  else if (vector == X86_TRAP_DF) asm_exc_double_fault(regs, error_code as u64);
  else if (vector == X86_TRAP_AC) asm_exc_alignment_check(regs, error_code as u64);
  else asm_exc_general_protection(regs, error_code as u64);
}

/**
 * The processor's way into an exception of a program: a store that the page tables do not allow, or a jump to
 * where no instruction is. Frameless; sp is at the top of the task's kernel stack, as for a system call, and
 * what the task goes on with lies in the registers there.
 */
export function asm_exc_user(vector: i32, error_code: u32, cr2_lo: u32, cr2_hi: u32, bx: u32): void {
  const at = get_sp() - PT_REGS_SIZE;
  set_sp(at);
  const regs = changetype<pt_regs>(at);
  regs.orig_ax = -1;
  // An instruction that could not be fetched or made, and a program that has not begun (rbx is 0): the
  // registers stay as they were.
  if (vector == X86_TRAP_PF && error_code & X86_PF_INSTR) regs.ip = ((cr2_hi as u64) << 32) | (cr2_lo as u64);
  else if (vector == X86_TRAP_PF && bx) {
    regs.bx = bx;
    regs.ax = 0;
    regs.ip = USER_SYSCALL_RETURN;
    regs.cs = USER_CS;
    regs.flags = X86_EFLAGS_IF | X86_EFLAGS_FIXED;
    regs.ss = USER_DS;
  }
  // Nothing is shared in the capture kernel: there it is an error.
  if (CONFIG_CRASH_DUMP) do_exit(SIGSEGV);
  else if (vector == X86_TRAP_PF) {
    asm_exc_page_fault(regs, error_code, ((cr2_hi as u64) << 32) | (cr2_lo as u64));
  } else if (vector == X86_TRAP_UD) do_user_trap(regs, vector, 0, c`invalid opcode`, SIGILL, ILL_ILLOPN);
  else do_user_trap(regs, vector, error_code, c`general protection fault`, SIGSEGV, SI_KERNEL);
  syscall_exit_to_user_mode(regs);
}

export function asm_exc_page_fault(regs: pt_regs, error_code: u64, address: u64): void {
  exc_page_fault(regs, error_code, address);
}

export function asm_exc_invalid_op(regs: pt_regs): void {
  exc_invalid_op(regs);
}

export function asm_exc_divide_error(regs: pt_regs): void {
  exc_divide_error(regs);
}

export function asm_exc_double_fault(regs: pt_regs, error_code: u64): void {
  exc_double_fault(regs, error_code);
}

export function asm_exc_alignment_check(regs: pt_regs, error_code: u64): void {
  exc_alignment_check(regs, error_code);
}

export function asm_exc_general_protection(regs: pt_regs, error_code: u64): void {
  exc_general_protection(regs, error_code);
}

export function exc_divide_error(regs: pt_regs): void {
  die(c`divide error`, regs, 0);
}

export function exc_alignment_check(regs: pt_regs, error_code: u64): void {
  die(c`alignment check`, regs, error_code);
}

export function exc_general_protection(regs: pt_regs, error_code: u64): void {
  die(c`general protection fault`, regs, error_code);
}

/** ud2: a BUG() when it has left a record, else code that must not be reached. */
export function exc_invalid_op(regs: pt_regs): void {
  const record = this_cpu.bug_record;
  if (record.armed) {
    record.armed = 0;
    // The trap is in BUG() itself; Linux has its ud2 in the function that calls it.
    pop_frame(regs);
    printk(c`------------[ cut here ]------------\n`);
    pr_crit(c`kernel BUG at %s:%u!\n`, record.file, record.line);
  }
  die(c`invalid opcode`, regs, 0);
}

/** A kernel stack used up to its guard, or the engine's own. */
export function exc_double_fault(regs: pt_regs, error_code: u64): void {
  const current = this_cpu.current_task;
  const depth = (regs.sp as usize) & (THREAD_SIZE - 1);
  if (depth < STACK_GUARD_SIZE) handle_stack_overflow(regs, error_code);
  pr_emerg(c`PANIC: double fault, error_code: 0x%llx\n`, error_code);
  die(c`double fault`, regs, error_code);
}

export function handle_stack_overflow(regs: pt_regs, error_code: u64): void {
  const sp = <usize>regs.sp;
  pr_emerg(
    c`BUG: %s stack guard page was hit at %px (stack is %px..%px)\n`, stack_type_name(stack_type(sp)),
    regs.sp - 16, regs.sp & ~((THREAD_SIZE as u64) - 1), PAGE_OFFSET + <u64>stack_end(sp) - 1,
  );
  die(c`stack guard page`, regs, error_code);
}

export function exc_page_fault(regs: pt_regs, error_code: u64, address: u64): void {
  if (!CONFIG_CRASH_DUMP && user_mode(regs)) do_user_addr_fault(regs, error_code, address);
  else page_fault_oops(regs, error_code, address);
}

/** Entry `index` of the table that `entry` points at, or 0 when that is not in memory. */
function table_entry(entry: u64, index: u64): u64 {
  const table = entry & PTE_PFN_MASK;
  if (!(entry & PRESENT) || table >> 12 >= sym.max_pfn) return 0;
  return load<u64>((table as usize) + ((index & 511) as usize) * 8);
}

/** The page table entries on the way to an address, as far as they are present. */
function dump_pagetable(address: u64): void {
  const pgd = load<u64>(sym.addr_of_swapper_pg_dir() + (((address >> 39) & 511) as usize) * 8);
  pr_alert(c`PGD %llx P4D %llx `, pgd, pgd);
  let entry = pgd;
  for (let shift = 30; shift >= 12 && entry & PRESENT; shift -= 9) {
    if (shift < 30 && entry & LARGE) break;
    entry = table_entry(entry, address >> (shift as u64));
    pr_cont(shift == 30 ? c`PUD %llx ` : shift == 21 ? c`PMD %llx ` : c`PTE %llx`, entry);
  }
  pr_cont(c`\n`);
}

function show_fault_oops(regs: pt_regs, error_code: u64, address: u64): void {
  if (CONFIG_LKDTM && error_code & X86_PF_INSTR && lookup_address(address) & _PAGE_NX) {
    const uid = this_cpu.current_task.cred.uid.val;
    pr_crit(c`kernel tried to execute NX-protected page - exploit attempt? (uid: %d)\n`, uid);
  }
  if (address < PAGE_SIZE && !user_mode(regs)) {
    pr_alert(c`BUG: kernel NULL pointer dereference, address: %px\n`, address);
  } else pr_alert(c`BUG: unable to handle page fault for address: %px\n`, address);
  pr_alert(
    c`#PF: %s %s in %s mode\n`, error_code & X86_PF_USER ? c`user` : c`supervisor`,
    error_code & X86_PF_INSTR ? c`instruction fetch`
      : error_code & X86_PF_WRITE ? c`write access` : c`read access`,
    user_mode(regs) ? c`user` : c`kernel`,
  );
  pr_alert(
    c`#PF: error_code(0x%04llx) - %s\n`, error_code,
    !(error_code & X86_PF_PROT) ? c`not-present page` : error_code & X86_PF_RSVD ? c`reserved bit violation` :
      error_code & X86_PF_PK ? c`protection keys violation` : c`permissions violation`,
  );
  dump_pagetable(address);
}

export function page_fault_oops(regs: pt_regs, error_code: u64, address: u64): void {
  oops_begin();
  show_fault_oops(regs, error_code, address);
  __die(c`Oops`, regs, error_code);
  printk(c`CR2: %016llx\n`, address);
  oops_end(regs, SIGSEGV);
}
