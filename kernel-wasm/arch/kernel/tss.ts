/** The task state segment: the hardware takes the kernel stack of a CPU's task from its sp0. */
import { CONFIG_BASE_SMALL, PAGE_OFFSET, THREAD_SIZE } from "../../include/generated/constants";
import { tss64, task_struct } from "../../include/generated/structs";
import { percpu, this_cpu } from "../../include/generated/symbols";
import { memblock_alloc_or_panic } from "../../mm/memblock";
import { task_top_of_stack } from "./current";

@external("hw", "ltr") declare function hw_ltr(tss: usize): void;

/** Stacks lie in the direct map, the boot CPU's too, which is why this is not va(). */
export function load_sp0(t: task_struct): void {
  this_cpu.cpu_tss64.sp0 = PAGE_OFFSET + <u64>task_top_of_stack(t);
}

/** A CPU's TSS, while memblock gives memory. */
export function setup_cpu_tss(cpu: u32): void {
  const tss = percpu.cpu_tss64(cpu);
  memory.fill(changetype<usize>(tss), 0, tss64.SIZE);
  // Double faults come on a stack of their own: the usual cause is that the task's is used up.
  if (!CONFIG_BASE_SMALL) {
    tss.ist[0] = PAGE_OFFSET + <u64>memblock_alloc_or_panic(THREAD_SIZE, THREAD_SIZE) + THREAD_SIZE;
  }
  tss.io_bitmap_base = <u16>tss64.SIZE;
}

/** Tells this CPU where its TSS lies (cpu_init). */
export function load_TR_desc(): void {
  load_sp0(this_cpu.current_task);
  hw_ltr(changetype<usize>(this_cpu.cpu_tss64));
}
