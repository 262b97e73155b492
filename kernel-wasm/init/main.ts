/**
 * The kernel's start (init/main.c): start_kernel() on the boot stack, until it becomes the idle task;
 * kernel_init(), task 1, which finishes the boot and becomes the init program; kthreadd, task 2.
 *
 * kernel_init starts over whenever it had to sleep, so what it has finished stands in kernel_init_step.
 */
import {
  CONFIG_CRASH_DUMP,
  CONFIG_SMP,
  CLONE_FILES,
  CLONE_FS,
  ENOENT,
  SYSTEM_RUNNING,
  SYSTEM_SCHEDULING,
} from "../include/generated/constants";
import { sym } from "../include/generated/symbols";
import { setup_arch } from "../arch/kernel/setup";
import { idt_setup_apic_and_irq_gates, idt_setup_traps } from "../arch/kernel/idt";
import { nmi_init } from "../arch/kernel/nmi";
import { setup_per_cpu_areas } from "../arch/kernel/setup_percpu";
import { random_init } from "../drivers/char/random";
import { univ8250_console_init } from "../drivers/tty/serial8250";
import { kernel_execve } from "../fs/exec";
import { vfs_caches_init } from "../fs/init";
import { proc_root_init } from "../fs/proc/root";
import { console_on_rootfs } from "../fs/init";
import { strlen } from "../lib/string";
import { radix_tree_init } from "../lib/xarray";
import { async_init, async_synchronize_full } from "../kernel/async";
import { fork_init, kernel_thread, proc_caches_init } from "../kernel/fork";
import { boot_cpu_init, cpu_init } from "../kernel/init_task";
import { local_irq_enable } from "../kernel/irqflags";
import { kthreadd } from "../kernel/kthread";
import { early_irq_init } from "../kernel/irq/irqdesc";
import { panic } from "../kernel/panic";
import { find_task_by_vpid, pid_idr_init } from "../kernel/pid";
import { pr_debug, pr_err, pr_info, pr_notice } from "../kernel/printk/printk";
import { smp_init } from "../kernel/smp";
import { sched_init_smp } from "../kernel/sched/balance";
import { sched_init } from "../kernel/sched/core";
import { cpu_startup_entry } from "../kernel/sched/idle";
import { complete, init_completion, wait_for_completion } from "../kernel/sched/wait";
import { timekeeping_init } from "../kernel/time";
import { tick_setup_sched_timer } from "../kernel/time/tick-sched";
import { init_timers } from "../kernel/time/timer";
import { lockup_detector_init } from "../kernel/watchdog";
import { workqueue_init, workqueue_init_early } from "../kernel/workqueue";
import { memblock_alloc_or_panic } from "../mm/memblock";
import { build_all_zonelists, mem_init } from "../mm/mm_init";
import { kmem_cache_init } from "../mm/slub";
import { vmalloc_init } from "../mm/vmalloc";
import { calibrate_delay } from "./calibrate";
import { do_initcalls } from "./initcalls";
import { parse_early_param, parse_kernel_params } from "./setup_params";

/** What kernel_init has finished. */
const STEP_KTHREADD: i32 = 1;
const STEP_INITCALLS: i32 = 2;
const STEP_PROBES: i32 = 3;
const STEP_RUNNING: i32 = 4;

/** Copies of the command line that outlive the boot: one to show, one to cut into parameters. */
function setup_command_line(): void {
  const size = strlen(sym.boot_command_line) + 1;
  sym.saved_command_line = memblock_alloc_or_panic(size, 64);
  sym.static_command_line = memblock_alloc_or_panic(size, 64);
  memory.copy(sym.saved_command_line, sym.boot_command_line, size);
  memory.copy(sym.static_command_line, sym.boot_command_line, size);
}

/** The capture kernel has no interrupts. */
function interrupts_init(): void {
  if (CONFIG_CRASH_DUMP) return;
  idt_setup_traps();
  idt_setup_apic_and_irq_gates();
  nmi_init();
  init_timers();
  tick_setup_sched_timer();
  local_irq_enable();
}

function mm_init(): void {
  mem_init();
  kmem_cache_init();
  radix_tree_init();
  if (!CONFIG_CRASH_DUMP) vmalloc_init();
}

/** In Linux's order; never returns. */
export function start_kernel(): void {
  boot_cpu_init();
  pr_notice(c`%s`, sym.linux_banner);
  setup_arch();
  setup_command_line();
  setup_per_cpu_areas();
  cpu_init();
  build_all_zonelists();
  pr_notice(c`Kernel command line: %s\n`, sym.saved_command_line);
  parse_early_param();
  parse_kernel_params();
  mm_init();
  random_init();
  sched_init();
  if (!CONFIG_CRASH_DUMP) early_irq_init();
  workqueue_init_early();
  timekeeping_init();
  interrupts_init();
  univ8250_console_init();
  calibrate_delay();
  pid_idr_init();
  fork_init();
  proc_caches_init();
  vfs_caches_init();
  proc_root_init();
  async_init();
  rest_init();
}

/**
 * Starts tasks 1 and 2; then this becomes the idle task. Task 1 waits for kthreadd_done, so both exist by
 * then.
 */
function rest_init(): void {
  init_completion(sym.kthreadd_done);
  const error = kernel_thread(fnptr(kernel_init), 0, CLONE_FS);
  const pid = error < 0 ? error : kernel_thread(fnptr(kthreadd), 0, CLONE_FS | CLONE_FILES);
  if (pid < 0) panic(c`cannot start the first tasks: error %d`, pid);
  sym.kthreadd_task = find_task_by_vpid(pid);
  sym.system_state = SYSTEM_SCHEDULING;
  complete(sym.kthreadd_done);
  cpu_startup_entry();
}

/** Boots what needs tasks. Sleeps, and then starts over. */
function kernel_init_freeable(): void {
  if (sym.kernel_init_step < STEP_KTHREADD) {
    wait_for_completion(sym.kthreadd_done);
    sym.kernel_init_step = STEP_KTHREADD;
    workqueue_init();
    if (!CONFIG_CRASH_DUMP) lockup_detector_init();
    if (CONFIG_SMP) {
      smp_init();
      sched_init_smp();
    }
  }
  if (sym.kernel_init_step < STEP_INITCALLS) {
    do_initcalls();
    console_on_rootfs();
    sym.kernel_init_step = STEP_INITCALLS;
  }
}

/** Returns only when the program cannot be started. */
function run_init_process(filename: usize): i32 {
  sym.argv_init[0] = filename;
  pr_info(c`Run %s as init process\n`, filename);
  pr_debug(c`  with arguments:\n`);
  for (let i = 0; sym.argv_init[i]; i++) pr_debug(c`    %s\n`, sym.argv_init[i]);
  pr_debug(c`  with environment:\n`);
  for (let i = 0; sym.envp_init[i]; i++) pr_debug(c`    %s\n`, sym.envp_init[i]);
  return kernel_execve(filename, sym.addr_of_argv_init(), sym.addr_of_envp_init());
}

function try_to_run_init_process(filename: usize): i32 {
  const error = run_init_process(filename);
  if (error && error != -ENOENT) {
    pr_err(c`Starting init: %s exists but couldn't execute it (error %d)\n`, filename, error);
  }
  return error;
}

/** Task 1. Returns 0 when it has become the init program. */
export function kernel_init(unused: usize): i32 {
  kernel_init_freeable();
  if (sym.kernel_init_step < STEP_PROBES) {
    async_synchronize_full();
    sym.kernel_init_step = STEP_PROBES;
  }
  if (sym.kernel_init_step < STEP_RUNNING) {
    sym.system_state = SYSTEM_RUNNING;
    sym.kernel_init_step = STEP_RUNNING;
  }
  const ramdisk = sym.ramdisk_execute_command ? sym.ramdisk_execute_command : c`/init`;
  let error = run_init_process(ramdisk);
  if (!error) return 0;
  pr_err(c`Failed to execute %s (error %d)\n`, ramdisk, error);
  if (sym.execute_command) {
    error = run_init_process(sym.execute_command);
    if (!error) return 0;
    panic(c`Requested init %s failed (error %d).`, sym.execute_command, error);
  }
  if (!try_to_run_init_process(c`/sbin/init`) || !try_to_run_init_process(c`/etc/init`) ||
    !try_to_run_init_process(c`/bin/init`) || !try_to_run_init_process(c`/bin/sh`)) return 0;
  panic(
    c`%s%s`, c`No working init found.  Try passing init= option to kernel. `,
    c`See Linux Documentation/admin-guide/init.rst for guidance.`,
  );
  return error;
}
