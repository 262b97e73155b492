/** Which CPUs there are, and bringing them up (kernel/cpu.c). */
import { sym } from "../include/generated/symbols";
import { IS_ERR, PTR_ERR } from "../include/err";
import { native_cpu_up } from "../arch/kernel/smpboot";
import { fork_idle } from "./fork";
import { task_struct } from "../include/generated/structs";

@inline
export function cpu_online(cpu: u32): bool {
  return ((atomic.load<u64>(changetype<usize>(sym.__cpu_online_mask)) >> cpu) & 1) != 0;
}

export function num_online_cpus(): u32 {
  return <u32>popcnt<u64>(atomic.load<u64>(changetype<usize>(sym.__cpu_online_mask)));
}

export function set_cpu_online(cpu: u32, online: bool): void {
  const bit = <u64>1 << cpu;
  const mask = changetype<usize>(sym.__cpu_online_mask);
  const active = changetype<usize>(sym.__cpu_active_mask);
  if (online) {
    atomic.or<u64>(mask, bit);
    atomic.or<u64>(active, bit);
  } else {
    atomic.and<u64>(mask, ~bit);
    atomic.and<u64>(active, ~bit);
  }
}

/** Brings a CPU up: 0, or a negative error. */
export function cpu_up(cpu: u32): i32 {
  const idle = fork_idle(cpu);
  if (IS_ERR<task_struct>(idle)) return PTR_ERR(idle);
  return native_cpu_up(cpu, idle);
}

/** All that are present, up to maxcpus=. */
export function bringup_nonboot_cpus(setup_max_cpus: u32): void {
  for (let cpu: u32 = 1; cpu < <u32>sym.nr_cpu_ids; cpu++) {
    if (num_online_cpus() >= setup_max_cpus) break;
    if ((sym.__cpu_present_mask.bits[0] >> cpu) & 1) cpu_up(cpu);
  }
}
