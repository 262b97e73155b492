/** The lines of /proc/interrupts that have no number (arch_show_interrupts of arch/x86/kernel/irq.c). */
import { seq_file } from "../../include/generated/structs";
import { percpu, sym } from "../../include/generated/symbols";
import { seq_printf } from "../../fs/seq_file";

const NMI: i32 = 0;
const LOC: i32 = 1;
const SPU: i32 = 2;
const PMI: i32 = 3;
const RES: i32 = 4;

function count(which: i32, cpu: u32): u32 {
  const stat = percpu.irq_stat(cpu);
  if (which == NMI) return stat.__nmi_count;
  if (which == LOC) return stat.apic_timer_irqs;
  if (which == PMI) return stat.apic_perf_irqs;
  return which == SPU ? stat.irq_spurious_count : stat.irq_resched_count;
}

function show_line(m: seq_file, name: usize, which: i32, what: usize): void {
  seq_printf(m, c`%3s: `, name);
  for (let cpu: u32 = 0; cpu < <u32>sym.nr_cpu_ids; cpu++) seq_printf(m, c`%10u `, count(which, cpu));
  seq_printf(m, c`  %s\n`, what);
}

export function arch_show_interrupts(m: seq_file): void {
  show_line(m, c`NMI`, NMI, c`Non-maskable interrupts`);
  show_line(m, c`LOC`, LOC, c`Local timer interrupts`);
  show_line(m, c`SPU`, SPU, c`Spurious interrupts`);
  show_line(m, c`PMI`, PMI, c`Performance monitoring interrupts`);
  show_line(m, c`RES`, RES, c`Rescheduling interrupts`);
}
