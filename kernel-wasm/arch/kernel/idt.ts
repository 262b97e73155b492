/**
 * The interrupt descriptor table (arch/x86/kernel/idt.c): for each vector the function that it enters, and
 * which stack of the TSS it comes on. Polls go by it (irq.ts); debuggers find the exception stacks' names
 * here.
 */
import {
  CALL_FUNCTION_VECTOR,
  GATE_INTERRUPT,
  IST_INDEX_DF,
  IST_INDEX_NMI,
  KERNEL_CS,
  LOCAL_TIMER_VECTOR,
  REBOOT_VECTOR,
  RESCHEDULE_VECTOR,
  X86_TRAP_AC,
  X86_TRAP_DE,
  X86_TRAP_DF,
  X86_TRAP_GP,
  X86_TRAP_NMI,
  X86_TRAP_PF,
  X86_TRAP_UD,
} from "../../include/generated/constants";
import { gate_struct } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { asm_sysvec_apic_timer_interrupt, asm_sysvec_reschedule_ipi } from "./irq";
import { asm_exc_nmi } from "./nmi";
import { asm_sysvec_call_function, asm_sysvec_reboot } from "./smp";
import {
  asm_exc_alignment_check,
  asm_exc_divide_error,
  asm_exc_double_fault,
  asm_exc_general_protection,
  asm_exc_invalid_op,
  asm_exc_page_fault,
} from "./traps";

/** `ist`: 0 for the stack that the CPU is on, else the TSS's, counted from 1. */
function set_intr_gate(vector: u32, address: u64, ist: u16): void {
  const gate: gate_struct = sym.idt_table[vector];
  gate.offset_low = <u16>address;
  gate.segment = KERNEL_CS;
  gate.bits.ist = ist;
  gate.bits.type = GATE_INTERRUPT;
  gate.bits.p = 1;
  gate.offset_middle = <u16>(address >> 16);
  gate.offset_high = <u32>(address >> 32);
}

/** The function that a vector enters; 0 when there is none. */
export function gate_offset(vector: u32): u64 {
  const gate: gate_struct = sym.idt_table[vector];
  if (!gate.bits.p) return 0;
  return <u64>gate.offset_low | ((<u64>gate.offset_middle) << 16) | ((<u64>gate.offset_high) << 32);
}

export function idt_setup_traps(): void {
  set_intr_gate(X86_TRAP_DE, fnptr(asm_exc_divide_error), 0);
  set_intr_gate(X86_TRAP_NMI, fnptr(asm_exc_nmi), IST_INDEX_NMI + 1);
  set_intr_gate(X86_TRAP_UD, fnptr(asm_exc_invalid_op), 0);
  set_intr_gate(X86_TRAP_DF, fnptr(asm_exc_double_fault), IST_INDEX_DF + 1);
  set_intr_gate(X86_TRAP_GP, fnptr(asm_exc_general_protection), 0);
  set_intr_gate(X86_TRAP_PF, fnptr(asm_exc_page_fault), 0);
  set_intr_gate(X86_TRAP_AC, fnptr(asm_exc_alignment_check), 0);
}

export function idt_setup_apic_and_irq_gates(): void {
  set_intr_gate(LOCAL_TIMER_VECTOR, fnptr(asm_sysvec_apic_timer_interrupt), 0);
  set_intr_gate(RESCHEDULE_VECTOR, fnptr(asm_sysvec_reschedule_ipi), 0);
  set_intr_gate(CALL_FUNCTION_VECTOR, fnptr(asm_sysvec_call_function), 0);
  set_intr_gate(REBOOT_VECTOR, fnptr(asm_sysvec_reboot), 0);
}
