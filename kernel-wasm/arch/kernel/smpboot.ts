/**
 * Starting the other CPUs (arch/x86/kernel/smpboot.c). The boot CPU gives each a stack, its idle task's, and
 * a startup IPI; the hardware begins at the trampoline page, which says where the kernel and the stack lie:
 *
 *     secondary_startup_64 -> start_secondary -> cpu_startup_entry
 */
import {
  APIC_DM_INIT,
  APIC_DM_STARTUP,
  PAGE_OFFSET,
  PAGE_SHIFT,
  PAGE_SIZE,
} from "../../include/generated/constants";
import { task_struct, trampoline_header } from "../../include/generated/structs";
import { percpu, sym } from "../../include/generated/symbols";
import { panic } from "../../kernel/panic";
import { local_irq_enable } from "../../kernel/irqflags";
import { cpu_relax } from "../../kernel/locking/spinlock";
import { pr_cont, pr_err, pr_info } from "../../kernel/printk/printk";
import { cpu_startup_entry } from "../../kernel/sched/idle";
import { set_cpu_online } from "../../kernel/cpu";
import { tick_setup_sched_timer } from "../../kernel/time/tick-sched";
import { ktime_get } from "../../kernel/time";
import { memblock_phys_alloc_range } from "../../mm/memblock";
import { hw_wrmsr_icr } from "./apic";
import { load_code_table } from "./module";
import { task_top_of_stack } from "./current";
import { load_TR_desc } from "./tss";

/** Where a startup IPI can begin: below 1 MiB, at a page whose number is a byte. */
const REAL_MODE_END: u64 = 0xa0000;
const STARTUP_TIMEOUT_NS: u64 = 10_000_000_000;

/** A page below 1 MiB for the trampoline, while memblock gives memory. */
export function reserve_real_mode(): void {
  if (sym.nr_cpu_ids == 1) return;
  const page = memblock_phys_alloc_range(PAGE_SIZE, PAGE_SIZE, PAGE_SIZE, REAL_MODE_END);
  if (!page) panic(c`real_mode: Cannot allocate trampoline\n`);
  sym.trampoline_header = changetype<trampoline_header>(<usize>page);
  memory.fill(<usize>page, 0, PAGE_SIZE);
}

/** Frameless: sp is the top of this CPU's idle task's stack. */
export function secondary_startup_64(): void {
  set_cpu(sym.smpboot_control);
  start_secondary();
}

/** An application processor's first steps; it becomes its idle task. */
export function start_secondary(): void {
  const cpu = get_cpu();
  load_TR_desc();
  load_code_table();
  sym.cpu_callin_mask.bits[0] |= <u64>1 << cpu;
  set_cpu_online(cpu, true);
  tick_setup_sched_timer();
  local_irq_enable();
  cpu_startup_entry();
}

function wakeup_secondary_cpu_via_init(apicid: u32, start: usize): void {
  hw_wrmsr_icr(APIC_DM_INIT, apicid);
  hw_wrmsr_icr(APIC_DM_STARTUP | <u32>(start >> PAGE_SHIFT), apicid);
}

/** Starts a CPU on its idle task, and waits until it says so. */
export function do_boot_cpu(cpu: u32, idle: task_struct): bool {
  percpu.set_current_task(cpu, idle);
  percpu.set_hardirqs_enabled(cpu, 0);
  percpu.set___preempt_count(cpu, 0);
  sym.smpboot_control = cpu;
  const header = sym.trampoline_header;
  header.start = sym__text();
  header.stack = PAGE_OFFSET + <u64>task_top_of_stack(idle);
  wakeup_secondary_cpu_via_init(percpu.x86_cpu_to_apicid(cpu), changetype<usize>(header));
  const timeout = ktime_get() + STARTUP_TIMEOUT_NS;
  while (!((sym.__cpu_online_mask.bits[0] >> cpu) & 1)) {
    if (ktime_get() > timeout) return false;
    cpu_relax();
  }
  return true;
}

function announce_cpu(cpu: u32): void {
  if (cpu == 1) pr_info(c`x86: Booting SMP configuration:\n`);
  if (cpu == 1) pr_info(c`.... node  #0, CPUs:      `);
  pr_cont(c` #%d`, cpu);
}

/** cpu_up()'s way into the hardware. */
export function native_cpu_up(cpu: u32, idle: task_struct): i32 {
  announce_cpu(cpu);
  if (do_boot_cpu(cpu, idle)) return 0;
  pr_err(c`smpboot: do_boot_cpu failed(-1) to wakeup CPU#%u\n`, cpu);
  return -5;
}

/** BogoMIPS of all together. */
export function native_smp_cpus_done(): void {
  let cpus: u64 = popcnt<u64>(sym.__cpu_online_mask.bits[0]);
  const sum = cpus * sym.loops_per_jiffy;
  pr_info(
    c`smpboot: Total of %d processors activated (%lu.%02lu BogoMIPS)\n`, <u32>cpus, sum / 500,
    (sum / 5) % 100,
  );
}
