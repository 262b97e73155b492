/**
 * What a crashed kernel leaves in ELF notes (kernel/crash_core.c, kernel/vmcore_info.c): VMCOREINFO, the text
 * by which tools read the dump, and a note of registers for each CPU. The elfcorehdr of a loaded capture
 * image points at both by physical address, so they are written in place and never move.
 */
import {
  CRASH_CORE_NOTE_HEAD_BYTES,
  ELF_PRARGSZ,
  ENOMEM,
  GFP_KERNEL,
  NT_PRPSINFO,
  NT_PRSTATUS,
  PID_MAX_LIMIT,
  VMCOREINFO_BYTES,
  VMCOREINFO_LINE_MAX,
  VMCOREINFO_NOTE_SIZE,
} from "../include/generated/constants";
import { elf_prpsinfo, elf_prstatus, elf64_note, pt_regs, task_struct } from "../include/generated/structs";
import { per_cpu_base, percpu, sym } from "../include/generated/symbols";
import { vmcoreinfo_layout } from "../include/generated/vmcoreinfo";
import { strlen, strscpy } from "../lib/string";
import { scnprintf } from "../lib/vsprintf";
import { alloc_pages_exact, free_page, get_zeroed_page } from "../mm/page_alloc";
import { pr_warn } from "./printk/printk";
import { ktime_get_real_seconds } from "./time";

const BUILD_ID_SIZE: usize = 20;
/** elf_prpsinfo.pr_fname */
const FNAME_BYTES: usize = 16;

@inline
function align4(n: usize): usize {
  return (n + 3) & ~3;
}

/** A note's header and name at `buf`; returns where its descriptor of `size` bytes stands. */
function append_elf_note_header(buf: usize, name: usize, type: u32, size: usize): usize {
  const note = changetype<elf64_note>(buf);
  note.n_namesz = <u32>(strlen(name) + 1);
  note.n_descsz = <u32>size;
  note.n_type = type;
  buf += CRASH_CORE_NOTE_HEAD_BYTES;
  memory.copy(buf, name, note.n_namesz);
  return buf + align4(note.n_namesz);
}

/** The empty note that ends a list of notes. */
function final_note(buf: usize): void {
  memory.fill(buf, 0, CRASH_CORE_NOTE_HEAD_BYTES);
}

function update_vmcoreinfo_note(): void {
  const size = <usize>sym.vmcoreinfo_size;
  if (size == 0) return;
  const desc = append_elf_note_header(sym.vmcoreinfo_note, c`VMCOREINFO`, 0, size);
  memory.copy(desc, sym.vmcoreinfo_data, size);
  final_note(desc + align4(size));
}

/** Whole lines of `length` bytes; what does not fit into the page is cut off. */
export function vmcoreinfo_append(text: usize, length: usize): void {
  const room = <usize>VMCOREINFO_BYTES - <usize>sym.vmcoreinfo_size;
  memory.copy(sym.vmcoreinfo_data + <usize>sym.vmcoreinfo_size, text, min(length, room));
  sym.vmcoreinfo_size += min(length, room);
  if (length > room) pr_warn(c`vmcoreinfo data exceeds allocated size, truncating\n`);
}

/** One line of at most 79 characters. */
export function vmcoreinfo_append_str(format: usize, a0: u64, a1: u64 = 0): void {
  const line = sym.vmcoreinfo_line;
  vmcoreinfo_append(line, scnprintf(line, VMCOREINFO_LINE_MAX, format, a0, a1));
}

/** SYMBOL(name)=address; `address` is a virtual one. */
export function vmcoreinfo_symbol(name: usize, address: u64): void {
  vmcoreinfo_append_str(c`SYMBOL(%s)=%lx\n`, name, address);
}

export function vmcoreinfo_number(name: usize, value: i64): void {
  vmcoreinfo_append_str(c`NUMBER(%s)=%ld\n`, name, <u64>value);
}

/** Where the next kernel finds the note. */
export function paddr_vmcoreinfo_note(): u64 {
  return sym.vmcoreinfo_note;
}

/** subsys_initcall: writes VMCOREINFO, once; a crash only appends to it. */
export function crash_save_vmcoreinfo_init(): i32 {
  sym.vmcoreinfo_data = get_zeroed_page(GFP_KERNEL);
  if (sym.vmcoreinfo_data == 0) {
    pr_warn(c`Memory allocation for vmcoreinfo_data failed\n`);
    return -ENOMEM;
  }
  sym.vmcoreinfo_note = alloc_pages_exact(VMCOREINFO_NOTE_SIZE, GFP_KERNEL);
  if (sym.vmcoreinfo_note == 0) {
    free_page(sym.vmcoreinfo_data);
    sym.vmcoreinfo_data = 0;
    pr_warn(c`Memory allocation for vmcoreinfo_note failed\n`);
    return -ENOMEM;
  }
  memory.fill(sym.vmcoreinfo_note, 0, VMCOREINFO_NOTE_SIZE);
  vmcoreinfo_append_str(c`OSRELEASE=%s\n`, sym.init_uts_ns.name.release);
  vmcoreinfo_append_str(c`BUILD-ID=`, 0);
  for (let i: usize = 0; i < BUILD_ID_SIZE; i++) {
    vmcoreinfo_append_str(c`%02x`, load<u8>(sym.vmlinux_build_id + i));
  }
  vmcoreinfo_append_str(c`\n`, 0);
  vmcoreinfo_layout();
  update_vmcoreinfo_note();
  return 0;
}

/** A copy in the crash region, mapped at `copy`, becomes the truth: stray writes do not reach it. */
export function crash_update_vmcoreinfo_safecopy(copy: u64): void {
  if (copy != 0) memory.copy(pa(copy), sym.vmcoreinfo_data, <usize>sym.vmcoreinfo_size);
  sym.vmcoreinfo_data_safecopy_va = copy;
}

/** At the crash: the time goes in, and the note is made again. */
export function crash_save_vmcoreinfo(): void {
  if (sym.vmcoreinfo_note == 0) return;
  if (sym.vmcoreinfo_data_safecopy_va != 0) sym.vmcoreinfo_data_va = sym.vmcoreinfo_data_safecopy_va;
  vmcoreinfo_append_str(c`CRASHTIME=%lld\n`, ktime_get_real_seconds());
  update_vmcoreinfo_note();
}

/** subsys_initcall: the elfcorehdr and /sys name the notes through this pointer. */
export function crash_notes_memory_init(): i32 {
  sym.crash_notes_va = percpu.addr_of_crash_note_buf(0) - per_cpu_base(0);
  return 0;
}

/**
 * What makes gdb see a CPU that idles: a thread is what NT_PRSTATUS calls pr_pid, unless that is 0; then it
 * is the pid of the NT_PRPSINFO before it. All idle tasks have pid 0, so without this they would be one
 * thread. drgn tells idle tasks by the 0 in NT_PRSTATUS, where no other number may stand. Returns the note's
 * end.
 */
function append_idle_psinfo(buf: usize, cpu: u32, task: task_struct): usize {
  const desc = append_elf_note_header(buf, c`CORE`, NT_PRPSINFO, elf_prpsinfo.SIZE);
  const psinfo = changetype<elf_prpsinfo>(desc);
  memory.fill(desc, 0, elf_prpsinfo.SIZE);
  psinfo.pr_sname = 0x52; // R
  psinfo.pr_flag = task.flags;
  psinfo.pr_pid = PID_MAX_LIMIT + cpu;
  // As in /proc/kcore: gdb compares the name with that of the executable.
  strscpy(psinfo.pr_fname, c`vmlinux`, FNAME_BYTES);
  strscpy(psinfo.pr_psargs, sym.saved_command_line, ELF_PRARGSZ);
  return desc + elf_prpsinfo.SIZE;
}

/** `regs` as the registers of `cpu`, with the task that runs there, into that CPU's note. */
export function crash_save_cpu(regs: pt_regs, cpu: u32, task: task_struct): void {
  if (cpu >= sym.nr_cpu_ids) return;
  let buf = percpu.addr_of_crash_note_buf(cpu);
  if (task.pid == 0) buf = append_idle_psinfo(buf, cpu, task);
  const desc = append_elf_note_header(buf, c`CORE`, NT_PRSTATUS, elf_prstatus.SIZE);
  const prstatus = changetype<elf_prstatus>(desc);
  memory.fill(desc, 0, elf_prstatus.SIZE);
  prstatus.common.pr_pid = task.pid;
  // pt_regs are the first words of user_regs_struct; segment bases are the task's, selectors 0 as in 64-bit
  // mode.
  const reg = prstatus.pr_reg;
  memory.copy(changetype<usize>(reg), changetype<usize>(regs), pt_regs.SIZE);
  reg.fs_base = task.thread.fsbase;
  reg.gs_base = task.thread.gsbase;
  final_note(desc + elf_prstatus.SIZE);
}
