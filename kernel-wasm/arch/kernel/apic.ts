/** The local APIC (arch/x86/kernel/apic/apic.c): its timer in TSC-deadline mode, and its NMIs. */
import {
  APIC_DM_NMI,
  APIC_LVT_MASKED,
  APIC_LVT_TIMER_TSCDEADLINE,
  LOCAL_TIMER_VECTOR,
  MSR_IA32_PMC0,
  MSR_IA32_TSC_DEADLINE,
  MSR_X2APIC_ICR,
  MSR_X2APIC_LVT_TIMER,
} from "../../include/generated/constants";
import { percpu } from "../../include/generated/symbols";
import { pr_info } from "../../kernel/printk/printk";

@external("hw", "wrmsr") declare function wrmsr(msr: u32, lo: u32, hi: u32): void;

export function hw_wrmsr(msr: u32, lo: u32, hi: u32): void {
  wrmsr(msr, lo, hi);
}

/** This CPU's timer gives interrupts from here on, when it is armed. */
export function setup_APIC_timer(): void {
  if (get_cpu() == 0) {
    pr_info(c`x2apic enabled\n`);
    pr_info(c`TSC deadline timer available\n`);
  }
  hw_wrmsr(MSR_X2APIC_LVT_TIMER, APIC_LVT_TIMER_TSCDEADLINE | LOCAL_TIMER_VECTOR, 0);
}

/** The next timer interrupt comes at `tsc`; 0 disarms. The counter is in nanoseconds. */
export function lapic_next_deadline(tsc: u64): void {
  hw_wrmsr(MSR_IA32_TSC_DEADLINE, <u32>tsc, <u32>(tsc >> 32));
}

/** Timer and counter must not reach the next kernel. */
export function disable_local_APIC(): void {
  lapic_next_deadline(0);
  hw_wrmsr(MSR_IA32_PMC0, 0, 0);
  hw_wrmsr(MSR_X2APIC_LVT_TIMER, APIC_LVT_MASKED, 0);
}

/** An interrupt command: delivery mode and vector, and the APIC id that it is for. */
export function hw_wrmsr_icr(command: u32, apicid: u32): void {
  hw_wrmsr(MSR_X2APIC_ICR, command, apicid);
}

export function apic_send_nmi(cpu: u32): void {
  hw_wrmsr_icr(APIC_DM_NMI, percpu.x86_cpu_to_apicid(cpu));
}
