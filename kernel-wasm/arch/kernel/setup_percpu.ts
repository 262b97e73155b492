/**
 * Per-CPU areas (arch/x86/kernel/setup_percpu.c): each CPU's copy of the template, page aligned, with room
 * for dynamic allocation behind it. Per-CPU symbols are offsets from 0, so __per_cpu_offset[cpu] is the
 * area's direct-map address.
 */
import {
  CONFIG_BASE_SMALL,
  CONFIG_NR_CPUS,
  CONFIG_SMP,
  PAGE_OFFSET,
  PAGE_SHIFT,
  PAGE_SIZE,
  PERCPU_DYNAMIC_RESERVE,
} from "../../include/generated/constants";
import { PERCPU_SIZE, PERCPU_TEMPLATE, percpu, per_cpu_base, sym } from "../../include/generated/symbols";
import { pr_debug, pr_info } from "../../kernel/printk/printk";
import { memblock_alloc_or_panic } from "../../mm/memblock";
import { pcpu_setup_first_chunk } from "../../mm/percpu";

/**
 * A kernel with a few pages gets what its static variables leave of their last page, but not less than 1 KiB.
 */
const SMALL_DYNAMIC_RESERVE: usize = 1024;

/**
 * The boot CPU's area has lived in the template until now: its current values are what every area starts
 * with.
 */
export function setup_per_cpu_areas(): void {
  pr_info(
    c`setup_percpu: NR_CPUS:%d nr_cpumask_bits:%d nr_cpu_ids:%u nr_node_ids:%u\n`,
    CONFIG_NR_CPUS,
    sym.nr_cpu_ids,
    sym.nr_cpu_ids,
    sym.nr_node_ids,
  );
  const reserve: usize = CONFIG_BASE_SMALL ? SMALL_DYNAMIC_RESERVE : PERCPU_DYNAMIC_RESERVE;
  const unit = (PERCPU_SIZE + reserve + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
  const cpus = <usize>sym.nr_cpu_ids;
  const base = memblock_alloc_or_panic(unit * cpus, PAGE_SIZE);
  pr_info(
    c`percpu: Embedded %zu pages/cpu s%zu r%zu d%zu u%zu\n`,
    unit >> PAGE_SHIFT,
    PERCPU_SIZE,
    0,
    unit - PERCPU_SIZE,
    unit,
  );
  const dynamic = unit - PERCPU_SIZE;
  pr_debug(c`pcpu-alloc: s%zu r%zu d%zu u%zu alloc=%zu*%zu\n`, PERCPU_SIZE, 0, dynamic, unit, cpus, unit);
  for (let cpu: usize = 0; cpu < cpus; cpu++) {
    const area = base + cpu * unit;
    const from = cpu ? __base + PERCPU_TEMPLATE : per_cpu_base(0);
    memory.copy(area, from, PERCPU_SIZE);
    sym.__per_cpu_offset[cpu] = PAGE_OFFSET + area;
    percpu.set_this_cpu_off(<u32>cpu, PAGE_OFFSET + area);
    percpu.set_cpu_number(<u32>cpu, <i32>cpu);
    if (CONFIG_SMP) percpu.set_x86_cpu_to_apicid(<u32>cpu, sym.x86_cpu_to_apicid_early_map[cpu]);
  }
  pcpu_setup_first_chunk(base, unit);
}
