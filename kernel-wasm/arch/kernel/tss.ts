/**
 * The task state segment, from which the hardware takes stacks: of a CPU's task (sp0), and for exceptions
 * that must not rely on it (ist); and the stack that interrupts come on, which Linux switches to by itself.
 * Each begins at a multiple of THREAD_SIZE: that is where frame records find the guard.
 */
import {
  CONFIG_CRASH_DUMP,
  EXCEPTION_STKSZ,
  IRQ_STACK_SIZE,
  IST_INDEX_DF,
  IST_INDEX_NMI,
  PAGE_OFFSET,
  THREAD_SIZE,
} from "../../include/generated/constants";
import { irq_stack, task_struct, tss_struct, x86_hw_tss } from "../../include/generated/structs";
import { percpu, sym, this_cpu } from "../../include/generated/symbols";
import { memblock_alloc_or_panic, memblock_set_bottom_up } from "../../mm/memblock";
import { task_top_of_stack } from "./current";

@external("hw", "ltr") declare function hw_ltr(tss: usize): void;

/** Stacks lie in the direct map, the boot CPU's too, which is why this is not va(). */
export function load_sp0(t: task_struct): void {
  this_cpu.cpu_tss_rw.x86_tss.sp0 = PAGE_OFFSET + <u64>task_top_of_stack(t);
}

/** The physical address of a new stack's end. */
function alloc_stack(size: usize): usize {
  return memblock_alloc_or_panic(size, THREAD_SIZE) + size;
}

/** The TSS of each CPU, while memblock gives memory. */
export function setup_cpu_tss(): void {
  const cpus = <u32>sym.nr_cpu_ids;
  for (let cpu: u32 = 0; cpu < cpus; cpu++) {
    const tss = percpu.cpu_tss_rw(cpu);
    memory.fill(changetype<usize>(tss), 0, tss_struct.SIZE);
    tss.x86_tss.io_bitmap_base = <u16>x86_hw_tss.SIZE;
  }
  if (CONFIG_CRASH_DUMP) return;
  // gdb takes a caller that lies lower for a damaged stack. So what interrupts goes below what it may
  // interrupt, and all below where tasks' stacks can be.
  memblock_set_bottom_up(true);
  for (let cpu: u32 = 0; cpu < cpus; cpu++) {
    percpu.cpu_tss_rw(cpu).x86_tss.ist[IST_INDEX_NMI] = va(alloc_stack(EXCEPTION_STKSZ));
  }
  // Double faults: the usual cause is that the task's stack is used up.
  for (let cpu: u32 = 0; cpu < cpus; cpu++) {
    percpu.cpu_tss_rw(cpu).x86_tss.ist[IST_INDEX_DF] = va(alloc_stack(EXCEPTION_STKSZ));
  }
  for (let cpu: u32 = 0; cpu < cpus; cpu++) {
    percpu.set_hardirq_stack_ptr(cpu, changetype<irq_stack>(alloc_stack(IRQ_STACK_SIZE) - 8));
  }
  memblock_set_bottom_up(false);
}

/** Tells this CPU where its TSS lies (cpu_init). */
export function load_TR_desc(): void {
  load_sp0(this_cpu.current_task);
  hw_ltr(changetype<usize>(this_cpu.cpu_tss_rw));
}
