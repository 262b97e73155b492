/**
 * Orders from one CPU to others (arch/x86/kernel/smp.c): to look at its run queue, to call a function, to
 * stop. A stop goes as an interrupt first, and as an NMI to those that do not hear it.
 */
import {
  APIC_DEST_ALLBUT,
  APIC_DM_FIXED,
  APIC_DM_NMI,
  CALL_FUNCTION_VECTOR,
  NMI_DONE,
  NMI_HANDLED,
  NMI_LOCAL,
  REBOOT_VECTOR,
  RESCHEDULE_VECTOR,
} from "../../include/generated/constants";
import { pt_regs } from "../../include/generated/structs";
import { percpu, sym, this_cpu } from "../../include/generated/symbols";
import { num_online_cpus, set_cpu_online } from "../../kernel/cpu";
import { local_irq_disable, local_irq_restore, local_irq_save } from "../../kernel/irqflags";
import { flush_smp_call_function_queue } from "../../kernel/smp";
import { irq_enter_rcu, irq_exit_rcu } from "../../kernel/softirq";
import { mdelay } from "../../kernel/time";
import { disable_local_APIC, hw_wrmsr_icr } from "./apic";
import { register_nmi_handler } from "./nmi";

@external("hw", "hlt") declare function hw_hlt(): void;

/** How long others have to stop: after an interrupt, and after an NMI. */
const STOP_IRQ_MS: i32 = 1000;
const STOP_NMI_MS: i32 = 10;

export function native_smp_send_reschedule(cpu: u32): void {
  hw_wrmsr_icr(APIC_DM_FIXED | RESCHEDULE_VECTOR, percpu.x86_cpu_to_apicid(cpu));
}

export function native_send_call_func_single_ipi(cpu: u32): void {
  hw_wrmsr_icr(APIC_DM_FIXED | CALL_FUNCTION_VECTOR, percpu.x86_cpu_to_apicid(cpu));
}

/** A CPU's last steps: it is not online any more, and halts for good. */
export function stop_this_cpu(): void {
  local_irq_disable();
  set_cpu_online(get_cpu(), false);
  disable_local_APIC();
  for (;;) hw_hlt();
}

export function asm_sysvec_reboot(regs: pt_regs): void {
  sysvec_reboot(regs);
}

export function sysvec_reboot(regs: pt_regs): void {
  stop_this_cpu();
}

/** NMI handler "smp_stop": only while some CPU stops the others. */
export function smp_stop_nmi_callback(type: u32, regs: pt_regs): i32 {
  const stopping = atomic.load<i32>(sym.addr_of_stopping_cpu());
  if (stopping == -1 || stopping == <i32>get_cpu()) return NMI_DONE;
  stop_this_cpu();
  return NMI_HANDLED;
}

export function asm_sysvec_call_function(regs: pt_regs): void {
  sysvec_call_function(regs);
}

export function sysvec_call_function(regs: pt_regs): void {
  irq_enter_rcu();
  this_cpu.irq_stat.irq_call_count += 1;
  flush_smp_call_function_queue();
  irq_exit_rcu();
}

/** Waits until this CPU is the only one online. */
function wait_for_others(ms: i32): void {
  for (; num_online_cpus() > 1 && ms > 0; ms--) mdelay(1);
}

/** The other CPUs halt; what smp_send_stop() does. Only the first CPU that asks stops others. */
export function native_stop_other_cpus(): void {
  if (num_online_cpus() > 1) {
    const cpu = <i32>get_cpu();
    if (atomic.cmpxchg<i32>(sym.addr_of_stopping_cpu(), -1, cpu) != -1) return;
    hw_wrmsr_icr(APIC_DM_FIXED | APIC_DEST_ALLBUT | REBOOT_VECTOR, 0);
    wait_for_others(STOP_IRQ_MS);
    if (num_online_cpus() > 1) {
      register_nmi_handler(NMI_LOCAL, sym.smp_stop_nmi_action, fnptr(smp_stop_nmi_callback), c`smp_stop`);
      hw_wrmsr_icr(APIC_DM_NMI | APIC_DEST_ALLBUT, 0);
      wait_for_others(STOP_NMI_MS);
    }
  }
  const flags = local_irq_save();
  disable_local_APIC();
  local_irq_restore(flags);
}
