/**
 * /proc/interrupts (kernel/irq/proc.c): a line for each number that has been requested, a column a CPU.
 */
import { CONFIG_CRASH_DUMP } from "../../include/generated/constants";
import { irq_desc, seq_file } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { arch_show_interrupts } from "../../arch/kernel/irq_show";
import { seq_printf, seq_putc, seq_puts } from "../../fs/seq_file";
import { raw_spin_lock_irqsave, raw_spin_unlock_irqrestore } from "../locking/spinlock";
import { kstat_irqs_cpu } from "./irqdesc";

export function show_interrupts(m: seq_file, v: usize): i32 {
  const cpus = <u32>sym.nr_cpu_ids;
  seq_puts(m, c`           `);
  for (let cpu: u32 = 0; cpu < cpus; cpu++) seq_printf(m, c`CPU%-8d`, cpu);
  seq_putc(m, 0x0a);
  for (let irq: u32 = 0; irq < <u32>sym.nr_irqs; irq++) {
    const desc = sym.irq_desc[irq];
    const flags = raw_spin_lock_irqsave(desc.lock);
    if (desc.action_va != 0) show_desc(m, desc, irq, cpus);
    raw_spin_unlock_irqrestore(desc.lock, flags);
  }
  if (!CONFIG_CRASH_DUMP) arch_show_interrupts(m);
  return 0;
}

/** With the number's lock: its actions do not go. */
function show_desc(m: seq_file, desc: irq_desc, irq: u32, cpus: u32): void {
  seq_printf(m, c`%3d: `, irq);
  for (let cpu: u32 = 0; cpu < cpus; cpu++) seq_printf(m, c`%10u `, kstat_irqs_cpu(irq, cpu));
  seq_printf(m, c` %8s %4lu-%-8s`, desc.irq_data.chip.name, desc.irq_data.hwirq, desc.name);
  for (let action = desc.action; !isnull(action); action = action.next) {
    seq_printf(m, action == desc.action ? c`  %s` : c`, %s`, action.name);
  }
  seq_putc(m, 0x0a);
}
