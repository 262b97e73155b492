/**
 * Counting events (count_vm_event() of include/linux/vmstat.h): each CPU counts its own. Between the load and
 * the store of a count there is no poll, so no interrupt and no other CPU comes between them.
 */
import { PGMAJFAULT } from "../include/generated/constants";
import { percpu, sym, this_cpu } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";

export function count_vm_events(item: i32, delta: u64): void {
  const events = this_cpu.vm_event_states.event;
  events[item] += delta;
}

@inline export function count_vm_event(item: i32): void {
  count_vm_events(item, 1);
}

/** A page had to be read for the running task. */
export function count_major_fault(): void {
  count_vm_event(PGMAJFAULT);
  get_current().maj_flt += 1;
}

/** How often an event came, on all CPUs. */
export function vm_event_count(item: i32): u64 {
  let sum: u64 = 0;
  for (let cpu: u32 = 0; cpu < <u32>sym.nr_cpu_ids; cpu++) sum += percpu.vm_event_states(cpu).event[item];
  return sum;
}
