/**
 * Interrupt descriptors (kernel/irq/irqdesc.c, manage.c, handle.c, chip.c): drivers request numbers, whoever
 * plays the interrupt controller calls generic_handle_irq().
 */
import {
  EBUSY,
  EINVAL,
  ENOMEM,
  GFP_KERNEL,
  IRQF_SHARED,
  IRQ_NOREQUEST,
  NR_IRQS,
} from "../../include/generated/constants";
import { irq_desc, irqaction } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import {
  raw_spin_lock,
  raw_spin_lock_irqsave,
  raw_spin_unlock,
  raw_spin_unlock_irqrestore,
} from "../locking/spinlock";
import { __alloc_percpu, per_cpu_ptr, this_cpu_ptr } from "../../mm/percpu";
import { kfree, kzalloc } from "../../mm/slub";

const WORD: usize = 4;

/** Interrupts of a number that a CPU has handled. */
export function kstat_irqs_cpu(irq: u32, cpu: u32): u32 {
  return load<u32>(per_cpu_ptr(sym.irq_counts_va, cpu) + irq * WORD);
}

/** After the per-CPU areas and the allocators: all numbers are there, none is requested. */
export function early_irq_init(): void {
  sym.irq_counts_va = __alloc_percpu(NR_IRQS * WORD, 8);
  sym.ioapic_chip.name = c`IO-APIC`;
  for (let irq: u32 = 0; irq < NR_IRQS; irq++) {
    const desc = sym.irq_desc[irq];
    desc.irq_data.irq = irq;
    desc.irq_data.hwirq = irq;
    desc.irq_data.common = desc.irq_common_data;
    desc.irq_data.chip = sym.ioapic_chip;
    desc.irq_common_data.affinity[0].bits[0] = sym.__cpu_possible_mask.bits[0];
    desc.handle_irq = fnptr(handle_edge_irq);
    desc.kstat_irqs_va = sym.irq_counts_va + irq * WORD;
    desc.depth = 1;
    desc.name = c`edge`;
    // The cascade of the two old controllers.
    if (irq == 2) desc.status_use_accessors = IRQ_NOREQUEST;
  }
}

/**
 * `handler(irq: i32, dev_id: usize): i32` shall be called for interrupt `irq`. Several share a number when
 * all say so. desc->lock, with interrupts off, guards the list of actions and the counts; the handlers run
 * without it.
 */
export function request_irq(irq: u32, handler: u64, flags: u32, name: usize, dev_id: usize): i32 {
  if (irq >= NR_IRQS || handler == 0) return -EINVAL;
  const desc = sym.irq_desc[irq];
  if (desc.status_use_accessors & IRQ_NOREQUEST) return -EINVAL;
  const action = changetype<irqaction>(kzalloc(irqaction.SIZE, GFP_KERNEL));
  if (isnull(action)) return -ENOMEM;
  action.handler = handler;
  action.flags = flags;
  action.name = name;
  action.dev_id = dev_id;
  action.irq = irq;
  const state = raw_spin_lock_irqsave(desc.lock);
  const err = __setup_irq(desc, action);
  raw_spin_unlock_irqrestore(desc.lock, state);
  if (err) kfree(changetype<usize>(action));
  return err;
}

function __setup_irq(desc: irq_desc, action: irqaction): i32 {
  let last = desc.action;
  if (isnull(last)) {
    desc.action = action;
    desc.depth = 0;
    return 0;
  }
  if ((last.flags & action.flags & IRQF_SHARED) == 0) return -EBUSY;
  while (!isnull(last.next)) last = last.next;
  last.next = action;
  return 0;
}

/** Takes the action of `dev_id` off a number; the last one disables it. */
export function free_irq(irq: u32, dev_id: usize): void {
  if (irq >= NR_IRQS) return;
  const desc = sym.irq_desc[irq];
  const state = raw_spin_lock_irqsave(desc.lock);
  const action = __free_irq(desc, dev_id);
  raw_spin_unlock_irqrestore(desc.lock, state);
  if (!isnull(action)) kfree(changetype<usize>(action));
}

function __free_irq(desc: irq_desc, dev_id: usize): irqaction {
  let before = changetype<irqaction>(0);
  let action = desc.action;
  while (!isnull(action) && action.dev_id != dev_id) {
    before = action;
    action = action.next;
  }
  if (isnull(action)) return action;
  if (isnull(before)) desc.action = action.next;
  else before.next = action.next;
  if (desc.action_va == 0) desc.depth = 1;
  return action;
}

/** Calls the actions; IRQ_HANDLED when one of them knew what it was about. */
export function handle_irq_event(desc: irq_desc): i32 {
  let result = 0;
  for (let action = desc.action; !isnull(action); action = action.next) {
    result |= call_indirect<i32>(text_index(action.handler), <i32>desc.irq_data.irq, action.dev_id);
  }
  return result;
}

export function handle_edge_irq(desc: irq_desc): void {
  const count = this_cpu_ptr(desc.kstat_irqs_va);
  store<u32>(count, load<u32>(count) + 1);
  raw_spin_lock(desc.lock);
  desc.tot_count += 1;
  const ready = desc.depth == 0 && desc.action_va != 0;
  raw_spin_unlock(desc.lock);
  if (ready && handle_irq_event(desc)) return;
  raw_spin_lock(desc.lock);
  desc.irqs_unhandled += 1;
  raw_spin_unlock(desc.lock);
}

/** An interrupt has arrived on this CPU. */
export function generic_handle_irq(irq: u32): i32 {
  if (irq >= NR_IRQS) return -EINVAL;
  const desc = sym.irq_desc[irq];
  call_indirect<void>(text_index(desc.handle_irq), desc);
  return 0;
}
