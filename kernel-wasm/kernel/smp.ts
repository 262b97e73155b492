/**
 * Calls of functions on other CPUs, and bringing those up (kernel/smp.c). One call at a time is under way
 * per sender: each sender has one entry, with a bit for each CPU that has not answered.
 */
import { native_send_call_func_single_ipi } from "../arch/kernel/smp";
import { native_smp_cpus_done } from "../arch/kernel/smpboot";
import { percpu, sym, this_cpu } from "../include/generated/symbols";
import { bringup_nonboot_cpus, num_online_cpus } from "./cpu";
import { preempt_disable, preempt_enable } from "./locking/preempt";
import { cpu_relax } from "./locking/spinlock";
import { pr_info } from "./printk/printk";

/** Brings up the other CPUs. */
export function smp_init(): void {
  pr_info(c`smp: Bringing up secondary CPUs ...\n`);
  bringup_nonboot_cpus(sym.setup_max_cpus);
  const cpus = num_online_cpus();
  pr_info(c`smp: Brought up 1 node, %d CPU%s\n`, cpus, cpus > 1 ? c`s` : c``);
  native_smp_cpus_done();
}

/** This CPU answers every sender that waits for it. In an interrupt. */
export function flush_smp_call_function_queue(): void {
  const self = <u64>1 << get_cpu();
  for (let cpu: u32 = 0; cpu < <u32>sym.nr_cpu_ids; cpu++) {
    const pending = percpu.addr_of_csd_pending(cpu);
    if (!(atomic.load<u64>(pending) & self)) continue;
    const csd = percpu.csd_data(cpu);
    call_indirect<void>(text_index(csd.func), csd.info);
    atomic.and<u64>(pending, ~self);
  }
}

/** Runs `func(info)` on all other CPUs, in an interrupt there, and waits until it has run. */
export function smp_call_function_many_cond(func: u64, info: usize): void {
  const self = get_cpu();
  const others = sym.__cpu_online_mask.bits[0] & ~(<u64>1 << self);
  if (!others) return;
  const csd = this_cpu.csd_data;
  csd.func = func;
  csd.info = info;
  const pending = percpu.addr_of_csd_pending(self);
  atomic.store<u64>(pending, others);
  for (let cpu: u32 = 0; cpu < <u32>sym.nr_cpu_ids; cpu++) {
    if ((others >> cpu) & 1) native_send_call_func_single_ipi(cpu);
  }
  while (atomic.load<u64>(pending) != 0) cpu_relax();
}

/**
 * Runs `func(info)` on every CPU and waits. Not with interrupts off: two such senders would wait for each
 * other.
 */
export function on_each_cpu(func: u64, info: usize): void {
  preempt_disable();
  smp_call_function_many_cond(func, info);
  call_indirect<void>(text_index(func), info);
  preempt_enable();
}
