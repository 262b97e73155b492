/** dump_stack(): who runs on what, and the way there (lib/dump_stack.c). */
import { init_utsname } from "../init/version";
import { show_trace_log_lvl } from "../arch/kernel/dumpstack";
import { CONFIG_KEXEC_CORE, LOGLEVEL_DEFAULT } from "../include/generated/constants";
import { sym, this_cpu } from "../include/generated/symbols";
import { kexec_crash_loaded } from "../kernel/kexec_core";
import { print_tainted } from "../kernel/panic";
import { printk_level } from "../kernel/printk/printk";

/** What `Hardware name:` says: DMI's vendor, product and BIOS. */
export function dump_stack_set_arch_desc(text: usize): void {
  let i: usize = 0;
  for (; i < 127 && load<u8>(text + i); i++) store<u8>(sym.dump_stack_arch_desc_str + i, load<u8>(text + i));
  store<u8>(sym.dump_stack_arch_desc_str + i, 0);
}

function kdump_loaded(): bool {
  if (CONFIG_KEXEC_CORE) return kexec_crash_loaded();
  return false;
}

export function dump_stack_print_info(level: i32): void {
  const current = this_cpu.current_task;
  const uts = init_utsname();
  let version: usize = uts.version;
  let words: u32 = 0;
  while (load<u8>(version + words) && load<u8>(version + words) != 32) words++;
  printk_level(
    level, c`CPU: %d PID: %d Comm: %.20s %s%s %s %.*s\n`, get_cpu(), isnull(current) ? 0 : current.pid,
    isnull(current) ? c`swapper` : current.comm, kdump_loaded() ? c`Kdump: loaded ` : c``, print_tainted(),
    uts.release, words, version,
  );
  if (load<u8>(sym.dump_stack_arch_desc_str)) {
    printk_level(level, c`Hardware name: %s\n`, sym.dump_stack_arch_desc_str);
  }
}

export function dump_stack_lvl(level: i32): void {
  dump_stack_print_info(level);
  show_trace_log_lvl(this_cpu.current_task, 0, level);
}

export function dump_stack(): void {
  dump_stack_lvl(LOGLEVEL_DEFAULT);
}
