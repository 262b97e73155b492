/**
 * Non-maskable interrupts (arch/x86/kernel/nmi.c, nmi_cpu_backtrace of lib/nmi_backtrace.c). They come
 * whatever the interrupt flag; one that comes inside another waits for its end (NMI_LATCHED).
 */
import {
  HARDIRQ_OFFSET,
  NMI_DONE,
  NMI_EXECUTING,
  NMI_HANDLED,
  NMI_LATCHED,
  NMI_LOCAL,
  NMI_MAX,
  NMI_NOT_RUNNING,
  NMI_OFFSET,
  NMI_UNKNOWN,
} from "../../include/generated/constants";
import { nmi_desc, nmiaction, pt_regs } from "../../include/generated/structs";
import { sym, this_cpu } from "../../include/generated/symbols";
import { panic } from "../../kernel/panic";
import { pr_emerg, pr_warn } from "../../kernel/printk/printk";
import { dump_stack } from "../../lib/dump_stack";
import { INIT_LIST_HEAD, list_add_tail, list_is_head } from "../../lib/list";
import { apic_send_nmi } from "./apic";
import { show_regs } from "./dumpstack";

export function nmi_init(): void {
  for (let i: usize = 0; i < NMI_MAX; i++) {
    const desc: nmi_desc = sym.nmi_desc[i];
    INIT_LIST_HEAD(desc.head);
  }
  const action = sym.nmi_cpu_backtrace_action;
  register_nmi_handler(NMI_LOCAL, action, fnptr(nmi_cpu_backtrace_handler), c`arch_bt`);
}

export function register_nmi_handler(type: u32, action: nmiaction, handler: u64, name: usize): void {
  const desc: nmi_desc = sym.nmi_desc[type];
  action.handler = handler;
  action.name = name;
  action.flags = 0;
  list_add_tail(action.list, desc.head);
}

/** unknown_nmi_panic on the command line. */
export function setup_unknown_nmi_panic(value: usize): i32 {
  sym.unknown_nmi_panic = 1;
  return 0;
}

/** How many of a type's handlers say that the NMI was theirs. */
export function nmi_handle(type: u32, regs: pt_regs): i32 {
  const desc: nmi_desc = sym.nmi_desc[type];
  let handled = 0;
  for (let at = desc.head.next; !list_is_head(at, desc.head); at = at.next) {
    handled += call_indirect<i32>(text_index(nmiaction.from_list(at).handler), type, regs);
  }
  return handled;
}

export function unknown_nmi_error(reason: u32, regs: pt_regs): void {
  if (nmi_handle(NMI_UNKNOWN, regs)) return;
  pr_emerg(c`Uhhuh. NMI received for unknown reason %02x on CPU %d.\n`, reason, get_cpu());
  pr_emerg(c`Do you have a strange power saving mode enabled?\n`);
  if (sym.unknown_nmi_panic) panic(c`NMI: Not continuing`);
  pr_emerg(c`Dazed and confused, but trying to continue\n`);
}

export function default_do_nmi(regs: pt_regs): void {
  if (!nmi_handle(NMI_LOCAL, regs)) unknown_nmi_error(0, regs);
}

export function asm_exc_nmi(regs: pt_regs): void {
  exc_nmi(regs);
}

export function exc_nmi(regs: pt_regs): void {
  if (this_cpu.nmi_state != NMI_NOT_RUNNING) {
    this_cpu.nmi_state = NMI_LATCHED;
    return;
  }
  do {
    this_cpu.nmi_state = NMI_EXECUTING;
    this_cpu.__preempt_count += NMI_OFFSET + HARDIRQ_OFFSET;
    this_cpu.irq_stat.__nmi_count += 1;
    default_do_nmi(regs);
    this_cpu.__preempt_count -= NMI_OFFSET + HARDIRQ_OFFSET;
    this_cpu.nmi_state -= 1;
  } while (this_cpu.nmi_state != NMI_NOT_RUNNING);
}

/** Handler "arch_bt": shows the stack when some CPU asked this one to. */
export function nmi_cpu_backtrace_handler(type: u32, regs: pt_regs): i32 {
  return nmi_cpu_backtrace(changetype<usize>(regs)) ? NMI_HANDLED : NMI_DONE;
}

/** `regs`: those of the NMI, or 0 when the CPU shows itself. */
export function nmi_cpu_backtrace(regs: usize): bool {
  const cpu = get_cpu();
  const bit = <u64>1 << cpu;
  if (!(sym.backtrace_mask & bit)) return false;
  pr_warn(c`NMI backtrace for cpu %d\n`, cpu);
  if (regs) show_regs(changetype<pt_regs>(regs));
  else dump_stack();
  sym.backtrace_mask &= ~bit;
  return true;
}

/** All online CPUs show their stacks: this one here, the others by NMI (sysrq l). */
export function trigger_all_cpu_backtrace(): void {
  nmi_trigger_cpumask_backtrace(sym.__cpu_online_mask.bits[0]);
}

export function trigger_allbutcpu_cpu_backtrace(cpu: u32): void {
  nmi_trigger_cpumask_backtrace(sym.__cpu_online_mask.bits[0] & ~(<u64>1 << cpu));
}

function nmi_trigger_cpumask_backtrace(mask: u64): void {
  if (sym.backtrace_mask) return;
  const self = get_cpu();
  sym.backtrace_mask = mask;
  nmi_cpu_backtrace(0);
  if (sym.backtrace_mask) pr_warn(c`Sending NMI from CPU %d to CPUs:\n`, self);
  for (let cpu: u32 = 0; cpu < sym.nr_cpu_ids; cpu++) {
    if (cpu != self && (sym.backtrace_mask >> cpu) & 1) apic_send_nmi(cpu);
  }
}
