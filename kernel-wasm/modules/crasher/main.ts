/**
 * crasher: a module that crashes the kernel. What is written to /proc/crasher tells how; reading it lists the
 * ways. Whoever has the file open keeps the module from being unloaded.
 */
import {
  CRASH_COMMANDS_MAX,
  CRASH_TEXT_MAX,
  EBUSY,
  EFAULT,
  EINVAL,
  ENOMEM,
} from "../../include/generated/constants";
import {
  crash_command,
  file,
  inode,
  proc_dir_entry,
  seq_file,
  timer_list,
} from "../../include/generated/structs";
import { mod, sym } from "../../include/generated/symbols";
import { copy_from_buf } from "../../arch/lib/usercopy";
import { proc_create, proc_remove } from "../../fs/proc/generic";
import { seq_lseek, seq_printf, seq_read, single_open, single_release } from "../../fs/seq_file";
import { add_timer, del_timer_sync, timer_setup } from "../../kernel/time/timer";
import { module_put, try_module_get } from "../../kernel/module/main";
import { panic } from "../../kernel/panic";
import { pr_info } from "../../kernel/printk/printk";
import { BUG, WARN } from "../../lib/bug";
import { strcmp, strim } from "../../lib/string";

/** An address that nothing maps. */
const NOWHERE: u64 = 0xffffc90000dead00;

export function crash_panic(): void {
  panic(c`%s`, mod.message);
}

export function crash_bug(): void {
  BUG(c`modules/crasher/main.ts`, 40);
}

export function crash_warn(): void {
  WARN(true, c`modules/crasher/main.ts`, 44, c`crasher: warning %llu\n`, mod.crash_count);
}

/** A store through a pointer that leads nowhere. */
export function crash_oops(): void {
  store<u64>(pa(NOWHERE), mod.crash_count);
}

export function crash_recurse(): void {
  mod.crash_count += 1;
  crash_recurse();
  mod.crash_count -= 1;
}

/** In interrupt. */
export function crash_timer_fn(timer: timer_list): void {
  panic(c`%s`, mod.message);
}

export function crash_timer_start(): void {
  del_timer_sync(mod.crash_timer);
  mod.crash_timer.expires = sym.jiffies_64 + mod.delay_ms;
  add_timer(mod.crash_timer);
}

function add_command(name: usize, run: u64): void {
  if (mod.nr_crash_commands == CRASH_COMMANDS_MAX) return;
  const command: crash_command = mod.crash_commands[mod.nr_crash_commands++];
  command.name = name;
  command.run = run;
}

export function crasher_show(m: seq_file, v: usize): i32 {
  for (let i: u32 = 0; i < mod.nr_crash_commands; i++) {
    const command: crash_command = mod.crash_commands[i];
    seq_printf(m, c`%s %u\n`, command.name, command.used);
  }
  return 0;
}

export function crasher_open(node: inode, filp: file): i32 {
  if (!try_module_get(THIS_MODULE())) return -EBUSY;
  const err = single_open(filp, fnptr(crasher_show), 0);
  if (err) module_put(THIS_MODULE());
  return err;
}

export function crasher_release(node: inode, filp: file): i32 {
  single_release(node, filp);
  module_put(THIS_MODULE());
  return 0;
}

export function crasher_read(filp: file, buf: u64, count: usize, pos: i64): i64 {
  return seq_read(filp, buf, count, pos);
}

export function crasher_lseek(filp: file, offset: i64, whence: i32): i64 {
  return seq_lseek(filp, offset, whence);
}

export function crasher_write(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const text = mod.command_text;
  const len = min<usize>(count, CRASH_TEXT_MAX - 1);
  if (copy_from_buf(text, buf, len)) return -EFAULT;
  store<u8>(text + len, 0);
  const name = strim(text);
  for (let i: u32 = 0; i < mod.nr_crash_commands; i++) {
    const command: crash_command = mod.crash_commands[i];
    if (strcmp(command.name, name) != 0) continue;
    command.used += 1;
    mod.crash_count += 1;
    call_indirect<void>(text_index(command.run));
    return count;
  }
  return -EINVAL;
}

export function init_module(): i32 {
  if (mod.delay_ms < 0) return -EINVAL;
  if (mod.message_va == 0) mod.message = mod.default_message;
  add_command(c`panic`, fnptr(crash_panic));
  add_command(c`bug`, fnptr(crash_bug));
  add_command(c`warn`, fnptr(crash_warn));
  add_command(c`oops`, fnptr(crash_oops));
  add_command(c`recurse`, fnptr(crash_recurse));
  add_command(c`timer`, fnptr(crash_timer_start));
  timer_setup(mod.crash_timer, fnptr(crash_timer_fn));
  const ops = mod.crasher_proc_ops;
  ops.proc_open = fnptr(crasher_open);
  ops.proc_release = fnptr(crasher_release);
  ops.proc_read = fnptr(crasher_read);
  ops.proc_lseek = fnptr(crasher_lseek);
  ops.proc_write = fnptr(crasher_write);
  mod.crasher_entry = proc_create(c`crasher`, 0o600, changetype<proc_dir_entry>(0), ops);
  if (isnull(mod.crasher_entry)) return -ENOMEM;
  if (!mod.quiet) pr_info(c`crasher: %u ways to crash in /proc/crasher\n`, mod.nr_crash_commands);
  return 0;
}

export function cleanup_module(): void {
  del_timer_sync(mod.crash_timer);
  proc_remove(mod.crasher_entry);
}
