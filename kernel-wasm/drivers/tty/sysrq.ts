/**
 * The magic SysRq keys (drivers/tty/sysrq.c), by /proc/sysrq-trigger. The table has those whose subsystems
 * exist; help prints what the table has.
 */
import {
  CONFIG_CRASH_DUMP,
  CONSOLE_LOGLEVEL_DEFAULT,
  EFAULT,
  ENOMEM,
  GFP_KERNEL,
  LOGLEVEL_INFO,
  SYSRQ_ENABLE_BOOT,
  SYSRQ_ENABLE_DUMP,
  SYSRQ_ENABLE_LOG,
  SYSRQ_KEYS,
  SYSRQ_OPS,
  TASK_RUNNING,
  TASK_UNINTERRUPTIBLE,
} from "../../include/generated/constants";
import { file, proc_dir_entry, sysrq_key_op, task_struct } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { show_stack } from "../../arch/kernel/dumpstack";
import { trigger_all_cpu_backtrace } from "../../arch/kernel/nmi";
import { copy_from_user } from "../../arch/lib/usercopy";
import { proc_create } from "../../fs/proc/generic";
import { show_mem } from "../../lib/show_mem";
import { panic } from "../../kernel/panic";
import { console_loglevel, pr_cont, pr_info, set_console_loglevel } from "../../kernel/printk/printk";
import { emergency_restart, kernel_power_off } from "../../kernel/reboot";
import { show_state_filter } from "../../kernel/sched/debug";
import { kfree, kmalloc } from "../../mm/slub";

/** Index of a key in the table: 0-9, a-z, A-Z; -1 for others. */
function sysrq_key_table_key2index(key: u32): i32 {
  if (key - 48 < 10) return (key - 48) as i32;
  if (key - 97 < 26) return (key - 87) as i32;
  if (key - 65 < 26) return (key - 29) as i32;
  return -1;
}

function make_op(handler: u64, help: usize, action: usize, mask: i32): sysrq_key_op {
  const index = sym.nr_sysrq_ops++;
  if (index >= SYSRQ_OPS) panic(c`sysrq: too many operations`);
  const op: sysrq_key_op = sym.sysrq_ops[index];
  op.handler = handler;
  op.help_msg = help;
  op.action_msg = action;
  op.enable_mask = mask;
  return op;
}

function register(key: u32, handler: u64, help: usize, action: usize, mask: i32): void {
  sym.sysrq_key_table[sysrq_key_table_key2index(key)] = make_op(handler, help, action, mask);
}

/** device_initcall: the table, and /proc/sysrq-trigger. */
export function sysrq_init(): i32 {
  const set_level = fnptr(sysrq_handle_loglevel);
  const level = make_op(set_level, c`loglevel(0-9)`, c`Changing Loglevel`, SYSRQ_ENABLE_LOG);
  for (let i = 0; i < 10; i++) sym.sysrq_key_table[i] = level;
  register(98, fnptr(sysrq_handle_reboot), c`reboot(b)`, c`Resetting`, SYSRQ_ENABLE_BOOT);
  register(99, fnptr(sysrq_handle_crash), c`crash(c)`, c`Trigger a crash`, SYSRQ_ENABLE_DUMP);
  register(
    108, fnptr(sysrq_handle_showallcpus), c`show-backtrace-all-active-cpus(l)`,
    c`Show backtrace of all active CPUs`, SYSRQ_ENABLE_DUMP,
  );
  register(109, fnptr(sysrq_handle_showmem), c`show-memory-usage(m)`, c`Show Memory`, SYSRQ_ENABLE_DUMP);
  register(111, fnptr(sysrq_handle_poweroff), c`poweroff(o)`, c`Power Off`, SYSRQ_ENABLE_BOOT);
  register(112, fnptr(sysrq_handle_showregs), c`show-registers(p)`, c`Show Regs`, SYSRQ_ENABLE_DUMP);
  register(116, fnptr(sysrq_handle_showstate), c`show-task-states(t)`, c`Show State`, SYSRQ_ENABLE_DUMP);
  register(
    119, fnptr(sysrq_handle_showstate_blocked), c`show-blocked-tasks(w)`, c`Show Blocked State`,
    SYSRQ_ENABLE_DUMP,
  );
  const ops = sym.sysrq_trigger_proc_ops;
  ops.proc_write = fnptr(write_sysrq_trigger);
  if (isnull(proc_create(c`sysrq-trigger`, 0o200, changetype<proc_dir_entry>(0), ops))) return -ENOMEM;
  return 0;
}

export function sysrq_handle_loglevel(key: i32): void {
  const level = key - 48;
  set_console_loglevel(CONSOLE_LOGLEVEL_DEFAULT);
  pr_info(c`sysrq: Loglevel set to %u\n`, level);
  set_console_loglevel(level);
}

export function sysrq_handle_reboot(key: i32): void {
  emergency_restart();
}

export function sysrq_handle_crash(key: i32): void {
  panic(c`sysrq triggered crash\n`);
}

export function sysrq_handle_poweroff(key: i32): void {
  kernel_power_off();
}

/** Shows the registers of the interrupt it came by; through /proc there is none, as in Linux. */
export function sysrq_handle_showregs(key: i32): void {
  return;
}

export function sysrq_handle_showallcpus(key: i32): void {
  if (!CONFIG_CRASH_DUMP) {
    trigger_all_cpu_backtrace();
  } else {
    pr_info(c`sysrq: CPU%d:\n`, get_cpu());
    show_stack(changetype<task_struct>(0), 0, LOGLEVEL_INFO);
  }
}

export function sysrq_handle_showmem(key: i32): void {
  show_mem();
}

export function sysrq_handle_showstate(key: i32): void {
  show_state_filter(TASK_RUNNING);
}

export function sysrq_handle_showstate_blocked(key: i32): void {
  show_state_filter(TASK_UNINTERRUPTIBLE);
}

/** Whether kernel.sysrq allows an operation to the keyboard. */
export function sysrq_on_mask(mask: i32): bool {
  return sym.sysrq_always_enabled != 0 || sym.sysrq_enabled == 1 || (sym.sysrq_enabled & mask) != 0;
}

/** Runs a key's operation, at a console level at which what it says is seen. */
export function __handle_sysrq(key: u32, check_mask: bool): void {
  const level = console_loglevel();
  set_console_loglevel(CONSOLE_LOGLEVEL_DEFAULT);
  const index = sysrq_key_table_key2index(key);
  const op = index < 0 ? changetype<sysrq_key_op>(0) : sym.sysrq_key_table[index];
  if (isnull(op)) {
    print_help();
    set_console_loglevel(level);
    return;
  }
  if (check_mask && !sysrq_on_mask(op.enable_mask)) {
    pr_info(c`sysrq: This sysrq operation is disabled.\n`);
    set_console_loglevel(level);
    return;
  }
  pr_info(c`sysrq: %s\n`, op.action_msg);
  set_console_loglevel(level);
  call_indirect<void>(text_index(op.handler), key as i32);
}

function print_help(): void {
  pr_info(c`sysrq: HELP : `);
  for (let i = 0; i < SYSRQ_KEYS; i++) {
    const op = sym.sysrq_key_table[i];
    if (isnull(op)) continue;
    // An operation of several keys is named once.
    if (i > 0 && sym.sysrq_key_table[i - 1] == op) continue;
    pr_cont(c`%s `, op.help_msg);
  }
  pr_cont(c`\n`);
}

/** proc_write of /proc/sysrq-trigger: the first character, or all after an underscore. */
export function write_sysrq_trigger(f: file, buf: u64, count: usize, pos: i64): i64 {
  const at = kmalloc(1, GFP_KERNEL);
  if (!at) return -ENOMEM;
  let bulk = false;
  let err = 0;
  for (let i: usize = 0; i < count && !err; i++) {
    err = copy_from_user(at, buf + i, 1) ? -EFAULT : 0;
    const ch = load<u8>(at);
    if (!err && ch == 95) bulk = true;
    else if (!err) __handle_sysrq(ch, false);
    if (!bulk) break;
  }
  kfree(at);
  return err ? err : count;
}
