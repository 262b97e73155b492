/**
 * The panic notifier that tells debuggers where the kernel is (arch/x86/kernel/setup.c, dump_kernel_offset).
 */
import { sym } from "../../include/generated/symbols";
import { atomic_notifier_chain_register } from "../../kernel/notifier";
import { pr_emerg } from "../../kernel/printk/printk";

/** Virtual addresses are link-time constants at every physical address: there is no KASLR. */
export function dump_kernel_offset(block: usize, action: u64, data: usize): i32 {
  pr_emerg(c`Kernel Offset: disabled\n`);
  return 0;
}

export function register_kernel_offset_dumper(): i32 {
  sym.kernel_offset_notifier.notifier_call = fnptr(dump_kernel_offset);
  atomic_notifier_chain_register(sym.panic_notifier_list, sym.kernel_offset_notifier);
  return 0;
}
