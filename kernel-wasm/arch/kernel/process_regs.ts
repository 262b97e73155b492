/**
 * Registers: printing them (arch/x86/kernel/process_64.c, dumpstack.c), and finding out where a trap
 * happened, from the return addresses on the stack.
 */
import { CONFIG_MODULES, KERNEL_CS, KERNEL_DS, PT_REGS_SIZE } from "../../include/generated/constants";
import { pt_regs } from "../../include/generated/structs";
import { sym, this_cpu, per_cpu_base } from "../../include/generated/symbols";
import { kallsyms_symbol_start } from "../../kernel/kallsyms";
import { is_module_text_address } from "../../kernel/module/kallsyms";
import { pr_cont, printk_level } from "../../kernel/printk/printk";
import { user_mode } from "./process";

const DIRECT_HI: u32 = 0xffff8880;
/**
 * CR0 and CR4 of this machine: protection, paging and write protection on; physical address extension, global
 * pages.
 */
const CR0_STATE: u64 = 0x80050033;
const CR4_STATE: u64 = 0xa0;
const CODE_PROLOGUE: u64 = 42;
const CODE_BYTES: u64 = 64;

export function is_kernel_text(address: u64): bool {
  if (address >= va(sym__stext()) && address < va(sym__etext())) return true;
  return CONFIG_MODULES && is_module_text_address(address);
}

/**
 * The kernel stack position that a virtual address means, or 0 when it is none: no fault, whatever the stack
 * holds.
 */
export function stack_address(address: u64): usize {
  const at = address as usize;
  if ((address >> 32) as u32 != DIRECT_HI || at & 7 || (at as u64) >> 12 >= sym.max_pfn) return 0;
  return at;
}

/**
 * Text address that stands for the point where the code stopped whose newest frame record is at `sp`. Below
 * the record is the return address of the last call; it is this function's only if the function made a call.
 * Which function it is, is told by the caller's `call`: e8 rel32 before the record's return address.
 */
export function stopped_at(sp: usize): u64 {
  const last = load<u64>(sp - 8);
  const back = load<u64>(sp + 8);
  if (!is_kernel_text(back) || !is_kernel_text(back - 5)) return is_kernel_text(last) ? last : 0;
  const call = pa(back - 5);
  if (load<u8>(call) != 0xe8) return is_kernel_text(last) ? last : back;
  const owner = back + ((load<i32>(call + 1) as i64) as u64);
  if (is_kernel_text(last) && kallsyms_symbol_start(last) == owner) return last;
  // Past push %rbp; mov %rsp,%rbp.
  return owner + 4;
}

/**
 * Fills the registers of a kernel-mode exception. What wasm keeps in locals has no register: those stay zero.
 */
export function fill_kernel_regs(regs: pt_regs, sp: usize, error_code: u64): void {
  memory.fill(changetype<usize>(regs), 0, PT_REGS_SIZE);
  regs.ip = stopped_at(sp);
  regs.sp = va(sp);
  regs.bp = va(sp);
  regs.cs = KERNEL_CS;
  regs.ss = KERNEL_DS;
  regs.flags = 0x10246;
  regs.orig_ax = error_code;
}

export function show_opcodes(regs: pt_regs, level: i32): void {
  const first = regs.ip - CODE_PROLOGUE;
  // A user's instructions before the start of its text cannot be read, nor can what is no text of ours.
  if (user_mode(regs) || !is_kernel_text(first) || !is_kernel_text(first + CODE_BYTES)) {
    printk_level(level, c`Code: Unable to access opcode bytes at 0x%llx.\n`, first);
    return;
  }
  const code = pa(first);
  printk_level(level, c`Code:`);
  for (let i: usize = 0; i < (CODE_BYTES as usize); i++) {
    pr_cont(i == (CODE_PROLOGUE as usize) ? c` <%02x>` : c` %02x`, load<u8>(code + i));
  }
  pr_cont(c`\n`);
}

export function show_iret_regs(regs: pt_regs, level: i32): void {
  if (user_mode(regs)) printk_level(level, c`RIP: %04x:0x%llx\n`, regs.cs, regs.ip);
  else printk_level(level, c`RIP: %04x:%pS\n`, regs.cs, regs.ip);
  show_opcodes(regs, level);
  printk_level(level, c`RSP: %04x:%016llx EFLAGS: %08llx`, regs.ss, regs.sp, regs.flags);
}

/** All general registers; `all` adds segments and control registers. */
export function __show_regs(regs: pt_regs, all: bool, level: i32): void {
  show_iret_regs(regs, level);
  if (regs.orig_ax != 0xffffffffffffffff) pr_cont(c` ORIG_RAX: %016llx\n`, regs.orig_ax);
  else pr_cont(c`\n`);
  printk_level(level, c`RAX: %016llx RBX: %016llx RCX: %016llx\n`, regs.ax, regs.bx, regs.cx);
  printk_level(level, c`RDX: %016llx RSI: %016llx RDI: %016llx\n`, regs.dx, regs.si, regs.di);
  printk_level(level, c`RBP: %016llx R08: %016llx R09: %016llx\n`, regs.bp, regs.r8, regs.r9);
  printk_level(level, c`R10: %016llx R11: %016llx R12: %016llx\n`, regs.r10, regs.r11, regs.r12);
  printk_level(level, c`R13: %016llx R14: %016llx R15: %016llx\n`, regs.r13, regs.r14, regs.r15);
  if (!all) return;
  const current = this_cpu.current_task;
  const thread = current.thread;
  const kernel_gs = va(per_cpu_base(get_cpu()));
  printk_level(
    level, c`FS:  %016llx(%04x) GS:%016llx(%04x) knlGS:%016llx\n`, thread.fsbase, thread.fsindex, kernel_gs,
    thread.gsindex, thread.gsbase,
  );
  printk_level(
    level, c`CS:  %04x DS: %04x ES: %04x CR0: %016llx\n`, regs.cs, thread.ds, thread.es, CR0_STATE,
  );
  const mm = current.active_mm;
  const pgd: u64 = isnull(mm) ? sym.addr_of_swapper_pg_dir() : changetype<usize>(mm.pgd);
  printk_level(level, c`CR2: %016llx CR3: %016llx CR4: %016llx\n`, thread.cr2, pgd, CR4_STATE);
}
