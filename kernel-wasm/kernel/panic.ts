/**
 * panic(), taint and warnings (kernel/panic.c).
 *
 * What a debugger finds after a crash, by name:
 *     panic_cpu           the CPU that owns the panic, -1 while there is none
 *     panic_buf           panic's message
 *     crashing_cpu        the CPU that went into machine_crash_shutdown
 *     tainted_mask        taint bits, letters in taint_flags
 *     oops_in_progress    > 0 while an oops or panic prints
 *     die_counter         oopses so far; exec_summary_regs  registers of the first of them
 *     prb                 the log;  __log_buf, clear_seq
 *     runqueues.curr      the task of each CPU; its stack holds panic <- ... and the trap's registers
 *     bug_record          per CPU: file and line of the last BUG()
 *     crash_notes         per CPU: NT_PRSTATUS of the crash, once __crash_kexec has run
 */
import { crash_smp_send_stop } from "../arch/kernel/crash";
import { show_trace_log_lvl } from "../arch/kernel/dumpstack";
import { native_stop_other_cpus } from "../arch/kernel/smp";
import {
  CONFIG_KEXEC_CORE,
  CONFIG_MODULES,
  CONFIG_SMP,
  CONSOLE_LOGLEVEL_MOTORMOUTH,
  LOGLEVEL_WARNING,
  PANIC_BLINK_SPD,
  PANIC_CPU_INVALID,
  PANIC_TIMER_STEP,
  TAINT_DIE,
  TAINT_FLAGS_COUNT,
  TAINT_WARN,
  TASK_RUNNING,
} from "../include/generated/constants";
import { taint_flag } from "../include/generated/structs";
import { sym, this_cpu } from "../include/generated/symbols";
import { dump_stack, dump_stack_print_info } from "../lib/dump_stack";
import { show_mem } from "../lib/show_mem";
import { vscnprintf } from "../lib/vsprintf";
import { local_irq_disable } from "./irqflags";
import { cpu_relax } from "./locking/spinlock";
import { __crash_kexec } from "./kexec_core";
import { print_modules } from "./module/main";
import { atomic_notifier_call_chain } from "./notifier";
import { print_oops_end_marker } from "./oops";
import { bust_spinlocks, console_flush_on_panic, console_replay_all } from "./printk/console";
import { pr_emerg, pr_warn, set_console_loglevel } from "./printk/printk";
import { emergency_restart } from "./reboot";
import { show_state_filter } from "./sched/debug";
import { mdelay } from "./time";

@external("hw", "hlt") declare function hw_hlt(): void;

const PANIC_BUF_SIZE: u32 = 1024;
/** Bits of panic_print. */
const PANIC_PRINT_TASK_INFO: u64 = 1;
const PANIC_PRINT_MEM_INFO: u64 = 2;
const PANIC_PRINT_ALL_PRINTK_MSG: u64 = 0x20;

export function console_verbose(): void {
  if (sym.console_printk[0]) set_console_loglevel(CONSOLE_LOGLEVEL_MOTORMOUTH);
}

/** panic_print=: what to show besides the panic itself. */
function panic_print_sys_info(): void {
  if (sym.panic_print & PANIC_PRINT_ALL_PRINTK_MSG) console_replay_all();
  if (sym.panic_print & PANIC_PRINT_TASK_INFO) show_state_filter(TASK_RUNNING);
  if (sym.panic_print & PANIC_PRINT_MEM_INFO) show_mem();
}

/** Another CPU panics already: this one waits until it is stopped. */
export function panic_smp_self_stop(): void {
  for (;;) {
    if (CONFIG_SMP) cpu_relax();
    else hw_hlt();
  }
}

/** Takes the panic for this CPU; false when another one has it. */
function panic_try_start(): bool {
  const cpu = get_cpu() as i32;
  const old = atomic.cmpxchg<i32>(sym.addr_of_panic_cpu(), PANIC_CPU_INVALID, cpu);
  return old == PANIC_CPU_INVALID || old == cpu;
}

/** In an NMI: this CPU may be panicking already, which goes on then. */
export function nmi_panic(message: usize): void {
  if (sym.panic_cpu.counter != (get_cpu() as i32)) panic(message);
}

/**
 * Halts the system, and starts the capture kernel when one is loaded. Never returns. The message takes up to
 * four arguments, see lib/vsprintf.
 */
export function panic(fmt: usize, a0: u64 = 0, a1: u64 = 0, a2: u64 = 0, a3: u64 = 0): void {
  const post_notifiers = sym.crash_kexec_post_notifiers;
  // A WARN inside of panic must not panic again.
  sym.panic_on_warn = 0;
  // A panic is not to be interrupted.
  local_irq_disable();

  if (!panic_try_start()) panic_smp_self_stop();

  console_verbose();
  bust_spinlocks(true);
  const buf = sym.panic_buf;
  const length = vscnprintf(buf, PANIC_BUF_SIZE, fmt, a0, a1, a2, a3, 0, 0, 0, 0, 0, 0) as u32;
  if (length && load<u8>(buf + length - 1) == 10) store<u8>(buf + length - 1, 0);
  pr_emerg(c`Kernel panic - not syncing: %s\n`, buf);
  // In an oops the stack has been shown already.
  if (!test_taint(TAINT_DIE) && sym.oops_in_progress <= 1) dump_stack();

  if (CONFIG_KEXEC_CORE) {
    if (!post_notifiers) __crash_kexec(0);
  }
  // The console and the notifiers want the machine for themselves.
  if (CONFIG_SMP) {
    if (post_notifiers) crash_smp_send_stop();
    else native_stop_other_cpus();
  }

  atomic_notifier_call_chain(sym.panic_notifier_list, 0, buf);
  panic_print_sys_info();
  if (CONFIG_KEXEC_CORE) {
    if (post_notifiers) __crash_kexec(0);
  }

  console_flush_on_panic();
  if (sym.panic_timeout > 0) {
    pr_emerg(c`Rebooting in %d seconds..\n`, sym.panic_timeout);
    for (let i: i64 = 0; i < (sym.panic_timeout as i64) * 1000; i += PANIC_TIMER_STEP) panic_blink(i);
  }
  if (sym.panic_timeout != 0) emergency_restart();

  pr_emerg(c`---[ end Kernel panic - not syncing: %s ]---\n`, buf);
  sym.suppress_printk = 1;
  console_flush_on_panic();
  // Without interrupts there is nothing that could end the wait.
  for (;;) hw_hlt();
}

/** One step of waiting, in which a keyboard's LEDs would blink. */
function panic_blink(step_ms: i64): void {
  if (step_ms % (3600 / PANIC_BLINK_SPD) == 0) sym.panic_blink_on ^= 1;
  mdelay(PANIC_TIMER_STEP);
}

export function test_taint(flag: u32): bool {
  return ((sym.tainted_mask >> flag) & 1) != 0;
}

export function add_taint(flag: u32): void {
  sym.tainted_mask |= (1 as u64) << flag;
  if (sym.tainted_mask & sym.panic_on_taint) {
    sym.panic_on_taint = 0;
    panic(c`panic_on_taint set ...`);
  }
}

/** `Not tainted`, or `Tainted: ` with a character per flag. The text is valid until the next call. */
export function print_tainted(): usize {
  if (!sym.tainted_mask) return c`Not tainted`;
  const buf = sym.taint_buf;
  memory.copy(buf, c`Tainted: `, 9);
  for (let i: u32 = 0; i < TAINT_FLAGS_COUNT; i++) {
    const flag: taint_flag = sym.taint_flags[i];
    store<u8>(buf + 9 + i, test_taint(i) ? flag.c_true : flag.c_false);
  }
  store<u8>(buf + 9 + TAINT_FLAGS_COUNT, 0);
  return buf;
}

/** What code compiled with a stack protector calls when the canary above its arrays has changed. */
export function __stack_chk_fail(): void {
  panic(c`stack-protector: Kernel stack is corrupted in: %pB`, load<u64>(get_sp() + 8));
}

/** WARN()'s report; `caller` is the text address that it names. A fmt of 0 is WARN_ON's. */
export function __warn(file: usize, line: i32, caller: u64, fmt: usize, arg: u64): void {
  const current = this_cpu.current_task;
  pr_warn(c`------------[ cut here ]------------\n`);
  const pid = isnull(current) ? 0 : current.pid;
  pr_warn(c`WARNING: CPU: %d PID: %d at %s:%d %pS\n`, get_cpu(), pid, file, line, caller);
  if (fmt) pr_warn(fmt, arg);
  if (CONFIG_MODULES) print_modules();
  else pr_warn(c`Modules linked in:\n`);
  if (sym.panic_on_warn) {
    sym.panic_on_warn = 0;
    panic(c`panic_on_warn set ...\n`);
  }
  dump_stack_print_info(LOGLEVEL_WARNING);
  show_trace_log_lvl(current, 0, LOGLEVEL_WARNING);
  sym.warn_count.counter += 1;
  print_oops_end_marker();
  add_taint(TAINT_WARN);
}
