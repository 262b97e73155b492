/**
 * execve (fs/exec.c, binfmt_program in the place of binfmt_elf). An executable is a file that begins with
 * "#!program NAME\n"; its bytes are the text of the process, and the machine, which finds them at the program
 * counter, runs the program of that name.
 *
 *     00400000  text: the file, private, from the page cache
 *     10000000  heap (brk)
 *     bfff0000  stack, growing down from bffff000: strings, then envp[], argv[], argc at sp (System V ABI)
 */
import {
  CONFIG_CRASH_DUMP,
  BINPRM_BUF_SIZE,
  E2BIG,
  EACCES,
  EFAULT,
  ENOEXEC,
  ENOMEM,
  GFP_KERNEL,
  O_RDONLY,
  PAGE_SIZE,
  PF_FORKNOEXEC,
  PF_KTHREAD,
  PF_NO_SETAFFINITY,
  SIGCHLD,
  SIGNAL_UNKILLABLE,
  SIGSEGV,
  TASK_COMM_LEN,
  USER_HEAP,
  USER_STACK_SIZE,
  USER_STACK_TOP,
  USER_TEXT,
  VM_STACK_FLAGS,
  VM_TEXT_FLAGS,
} from "../include/generated/constants";
import { file, linux_binprm, mm_struct, task_struct } from "../include/generated/structs";
import { IS_ERR, PTR_ERR } from "../include/err";
import { get_current, task_pt_regs } from "../arch/kernel/current";
import { start_thread } from "../arch/kernel/process";
import { copy_to_user } from "../arch/lib/usercopy";
import { is_global_init, mm_release } from "../kernel/exit";
import { mm_alloc, mmput } from "../kernel/fork";
import { unshare_sighand } from "../kernel/sighand";
import { flush_signal_handlers, force_sigsegv } from "../kernel/signal";
import { sas_ss_reset } from "../kernel/signal_calls";
import { memcmp, strlen, strrchr, strscpy } from "../lib/string";
import { mm_populate } from "../mm/memory";
import { insert_vma } from "../mm/mmap";
import { kfree, kzalloc } from "../mm/slub";
import { copy_strings } from "./exec_args";
import { do_close_on_exec } from "./file";
import { fput, get_file } from "./file_table";
import { S_ISREG } from "./inode";
import { getname, putname } from "./namei";
import { filp_open } from "./open";
import { kernel_read } from "./read_write";

@external("hw", "write_cr3") declare function hw_write_cr3(pgd: usize): void;

/** Strings and pointers of the new program must fit above this. */
const STACK_ROOM: u64 = USER_STACK_SIZE - 4096;

function count_strings(list: usize): i32 {
  let n = 0;
  while (load<u64>(list + (n << 3)) != 0) n++;
  return n;
}

/** Bytes that a list of strings takes on the user's stack. */
function strings_size(list: usize, count: i32): u64 {
  let size: u64 = 0;
  for (let i = 0; i < count; i++) size += strlen(pa(load<u64>(list + (i << 3)))) + 1;
  return size;
}

/**
 * Copies the strings upwards from `at`, and a pointer to each to `table`. Where the strings end, or 0: a
 * fault.
 */
function put_strings(list: usize, count: i32, at: u64, table: u64, scratch: usize): u64 {
  for (let i = 0; i < count; i++) {
    const text = pa(load<u64>(list + (i << 3)));
    const len = strlen(text) + 1;
    store<u64>(scratch, at);
    if (copy_to_user(at, text, len) || copy_to_user(table + (i << 3), scratch, 8)) return 0;
    at += len;
  }
  return at;
}

/** Bytes of the pointers on the initial stack: argc, argv[], NULL, envp[], NULL. */
@inline
function tables_size(bprm: linux_binprm): u64 {
  return (<u64>bprm.argc + bprm.envc + 3) << 3;
}

/** The initial stack. mm is the running task's by now. */
function create_tables(bprm: linux_binprm, argv: usize, envp: usize): i32 {
  const mm = bprm.mm;
  const scratch = bprm.buf;
  const size = strings_size(argv, bprm.argc) + strings_size(envp, bprm.envc);
  const tables = tables_size(bprm);
  const strings = (USER_STACK_TOP - 8 - size) & ~7;
  const sp = (strings - tables) & ~15;
  const argv_at = sp + 8;
  const envp_at = argv_at + ((<u64>bprm.argc + 1) << 3);
  if (mm_populate(mm, sp & ~<u64>(PAGE_SIZE - 1), USER_STACK_TOP)) return -ENOMEM;
  store<u64>(scratch, bprm.argc);
  if (copy_to_user(sp, scratch, 8)) return -EFAULT;
  mm.arg_start = strings;
  mm.arg_end = put_strings(argv, bprm.argc, strings, argv_at, scratch);
  if (!mm.arg_end) return -EFAULT;
  mm.env_start = mm.arg_end;
  mm.env_end = put_strings(envp, bprm.envc, mm.env_start, envp_at, scratch);
  if (!mm.env_end) return -EFAULT;
  mm.start_stack = sp;
  bprm.p = sp;
  return 0;
}

/** Text, stack and heap of the program, in a new address space. */
function setup_mm(bprm: linux_binprm): i32 {
  const mm = bprm.mm;
  const pages_end = (bprm.file.f_inode.i_size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
  const end = <u64>USER_TEXT + pages_end;
  if (end > USER_HEAP) return -ENOMEM;
  const text = insert_vma(mm, USER_TEXT, end, VM_TEXT_FLAGS, get_file(bprm.file));
  if (isnull(text)) {
    fput(bprm.file);
    return -ENOMEM;
  }
  const bottom = <u64>USER_STACK_TOP - USER_STACK_SIZE;
  bprm.vma = insert_vma(mm, bottom, USER_STACK_TOP, VM_STACK_FLAGS, changetype<file>(0));
  if (isnull(bprm.vma)) return -ENOMEM;
  mm.start_code = USER_TEXT;
  mm.end_code = <u64>USER_TEXT + bprm.file.f_inode.i_size;
  mm.start_data = mm.end_code;
  mm.end_data = mm.end_code;
  mm.start_brk = USER_HEAP;
  mm.brk = USER_HEAP;
  mm.exe_file = get_file(bprm.file);
  return mm_populate(mm, USER_TEXT, end);
}

/** The new address space takes the place of the old. From here on a failure ends the task. */
function exec_mmap(t: task_struct, mm: mm_struct): void {
  const old = t.mm;
  mm_release(t);
  t.mm = mm;
  t.active_mm = mm;
  mm.owner = t;
  hw_write_cr3(changetype<usize>(mm.pgd));
  if (!isnull(old)) mmput(old);
}

function set_comm(t: task_struct, filename: usize): void {
  const slash = strrchr(filename, 0x2f);
  memory.fill(t.comm, 0, TASK_COMM_LEN);
  strscpy(t.comm, slash ? slash + 1 : filename, TASK_COMM_LEN);
}

/** The point of no return: what belonged to the old program goes. */
export function begin_new_exec(bprm: linux_binprm): i32 {
  const t = get_current();
  const err = unshare_sighand(t);
  if (err) return err;
  exec_mmap(t, bprm.mm);
  t.flags &= ~(PF_FORKNOEXEC | PF_KTHREAD | PF_NO_SETAFFINITY);
  t.signal.flags &= ~SIGNAL_UNKILLABLE;
  if (is_global_init(t)) t.signal.flags |= SIGNAL_UNKILLABLE;
  flush_signal_handlers(t);
  if (!CONFIG_CRASH_DUMP) sas_ss_reset(t);
  t.exit_signal = SIGCHLD;
  if (!CONFIG_CRASH_DUMP) do_close_on_exec();
  set_comm(t, bprm.filename);
  return 0;
}

/** "#!program " opens an executable. */
function is_program(bprm: linux_binprm): bool {
  return memcmp(bprm.buf, c`#!program `, 10) == 0;
}

function load_program(bprm: linux_binprm, argv: usize, envp: usize): i32 {
  if (!is_program(bprm)) return -ENOEXEC;
  bprm.argc = count_strings(argv);
  bprm.envc = count_strings(envp);
  const size = strings_size(argv, bprm.argc) + strings_size(envp, bprm.envc);
  if (size + tables_size(bprm) + 32 > STACK_ROOM) return -E2BIG;
  bprm.mm = mm_alloc();
  if (isnull(bprm.mm)) return -ENOMEM;
  let err = setup_mm(bprm);
  if (!err) err = begin_new_exec(bprm);
  if (err) {
    mmput(bprm.mm);
    return err;
  }
  err = create_tables(bprm, argv, envp);
  if (err) return err;
  start_thread(task_pt_regs(get_current()), USER_TEXT, bprm.p);
  return 0;
}

function open_exec(filename: usize): file {
  const filp = filp_open(filename, O_RDONLY, 0);
  if (IS_ERR(filp)) return filp;
  const mode = filp.f_inode.i_mode;
  if (S_ISREG(mode) && mode & 0o111) return filp;
  fput(filp);
  return changetype<file>(<usize>-EACCES);
}

/**
 * Replaces the running kernel task's image by the program in `filename`. argv and envp are arrays of kernel
 * pointers that end with NULL. 0: the task is a user task now and must return to the machine; else a negative
 * error.
 */
export function kernel_execve(filename: usize, argv: usize, envp: usize): i32 {
  const filp = open_exec(filename);
  if (IS_ERR(filp)) return PTR_ERR(filp);
  const bprm = changetype<linux_binprm>(kzalloc(linux_binprm.SIZE, GFP_KERNEL));
  let err = -ENOMEM;
  if (!isnull(bprm)) {
    bprm.file = filp;
    bprm.filename = filename;
    const n = kernel_read(filp, bprm.buf, BINPRM_BUF_SIZE - 1, 0);
    err = n < 0 ? <i32>n : load_program(bprm, argv, envp);
    kfree(changetype<usize>(bprm));
  }
  fput(filp);
  return err;
}

/**
 * execve(2). Returns to the caller's program only when it fails; a failure after that program's memory is
 * gone ends the task by SIGSEGV, as in Linux.
 */
export function sys_execve(user_name: u64, user_argv: u64, user_envp: u64): i64 {
  const name = getname(user_name);
  if (IS_ERR(name)) return PTR_ERR(name);
  const block = copy_strings(user_argv, user_envp);
  if (IS_ERR(block)) {
    putname(name);
    return PTR_ERR(block);
  }
  const t = get_current();
  const old = t.mm;
  const err = kernel_execve(name, block, block + ((count_strings(block) + 1) << 3));
  kfree(block);
  putname(name);
  if (err && t.mm != old) force_sigsegv(SIGSEGV);
  return err;
}
