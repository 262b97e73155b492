/**
 * Hard lockups (kernel/watchdog_perf.c): a performance counter gives an NMI for every watchdog_thresh seconds
 * that this CPU has run. If no timer interrupt came since the last one, interrupts have been off all the
 * time.
 */
import {
  MSR_IA32_PMC0,
  NMI_DONE,
  NMI_HANDLED,
  NMI_LOCAL,
  NSEC_PER_SEC,
} from "../include/generated/constants";
import { pt_regs } from "../include/generated/structs";
import { percpu, sym, this_cpu } from "../include/generated/symbols";
import { hw_wrmsr } from "../arch/kernel/apic";
import { register_nmi_handler } from "../arch/kernel/nmi";
import { pr_info } from "./printk/printk";
import { watchdog_hardlockup_check } from "./watchdog";

@external("hw", "rdpmc") declare function hw_rdpmc(count: usize): void;

/** A counter that counts up to its overflow has this bit. */
const CNTVAL_SIGN: u64 = (<u64>1) << 47;

/** Nanoseconds between two NMIs, which is cycles on this machine; 0: none. */
function hw_nmi_get_sample_period(): u64 {
  if (!sym.watchdog_user_enabled || !sym.watchdog_hardlockup_user_enabled) return 0;
  return <u64>sym.watchdog_thresh * NSEC_PER_SEC;
}

function start_counter(period: u64): void {
  const from = 0 - period;
  hw_wrmsr(MSR_IA32_PMC0, <u32>from, <u32>(from >> 32));
}

/** Each tick, in the interrupt: what the settings have become is what this CPU does. */
export function watchdog_hardlockup_tick(): void {
  if (!sym.watchdog_hardlockup_available) return;
  const period = hw_nmi_get_sample_period();
  if (this_cpu.hardlockup_period == period) return;
  this_cpu.hardlockup_period = period;
  start_counter(period);
}

/** An NMI is the counter's when that has overflowed. */
export function perf_event_nmi_handler(type: u32, regs: pt_regs): i32 {
  const period = this_cpu.hardlockup_period;
  if (!period) return NMI_DONE;
  const count = percpu.addr_of_perf_count(get_cpu());
  hw_rdpmc(count);
  if (load<u64>(count) & CNTVAL_SIGN) return NMI_DONE;
  start_counter(period);
  this_cpu.irq_stat.apic_perf_irqs += 1;
  watchdog_hardlockup_check(regs);
  return NMI_HANDLED;
}

/** lockup_detector_init(): the settings of the command line are known. */
export function watchdog_hardlockup_probe(): void {
  register_nmi_handler(NMI_LOCAL, sym.perf_nmi_action, fnptr(perf_event_nmi_handler), c`PMI`);
  sym.watchdog_hardlockup_available = 1;
  if (hw_nmi_get_sample_period()) {
    pr_info(c`NMI watchdog: Enabled. Permanently consumes one hw-PMU counter.\n`);
  }
}
