/**
 * The boot parameters this kernel knows: Linux's early_param() and __setup() (collected from all over its
 * sources by the linker; here they are this list), and its core_param()s. What nobody knows goes to init.
 */
import {
  COMMAND_LINE_SIZE,
  CONFIG_CRASH_DUMP,
  CONSOLE_LOGLEVEL_DEBUG,
  CONSOLE_LOGLEVEL_QUIET,
  EINVAL,
  MAX_INIT_ARGS,
  MAX_INIT_ENVS,
  SETUP_PARAMS_MAX,
  TAINT_FLAGS_MAX,
} from "../include/generated/constants";
import { obs_kernel_param } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { simple_strtol, simple_strtoul, strchr, strcmp, strlcat, strlen, strncmp } from "../lib/string";
import { hung_task_panic_setup } from "../kernel/hung_task";
import { parameq, parse_args } from "../kernel/params";
import { console_setup } from "../kernel/printk/console";
import { panic } from "../kernel/panic";
import { pr_info, pr_notice, pr_warn, set_console_loglevel } from "../kernel/printk/printk";
import { hugepages_setup } from "../mm/hugetlb";
import { setup_unknown_nmi_panic } from "../arch/kernel/nmi";
import { setup_elfcorehdr } from "../kernel/crash_dump";
import {
  hardlockup_panic_setup,
  nosoftlockup_setup,
  nowatchdog_setup,
  softlockup_panic_setup,
  watchdog_thresh_setup,
} from "../kernel/watchdog";

/** envp_init starts with HOME and TERM. */
const ENVP_FIXED: i32 = 2;

function add(str: usize, fn: u64, early: bool): void {
  const index = sym.nr_setup_params++;
  if (index >= SETUP_PARAMS_MAX) panic(c`setup_params: too many boot parameters`);
  const param: obs_kernel_param = sym.setup_params[index];
  param.str = str;
  param.setup_func = fn;
  param.early = early ? 1 : 0;
}

/** Fills the table, in no particular order but early ones first. */
export function setup_params_init(): void {
  sym.nr_setup_params = 0;
  add(c`debug`, fnptr(debug_kernel), true);
  add(c`quiet`, fnptr(quiet_kernel), true);
  add(c`loglevel`, fnptr(loglevel), true);
  add(c`ignore_loglevel`, fnptr(ignore_loglevel_setup), true);
  add(c`nosmp`, fnptr(nosmp), true);
  add(c`nr_cpus`, fnptr(nrcpus), true);
  add(c`maxcpus`, fnptr(maxcpus), true);
  add(c`oops`, fnptr(oops_setup), true);
  add(c`panic_on_taint`, fnptr(panic_on_taint_setup), true);
  add(c`crashkernel`, fnptr(parse_crashkernel_dummy), true);
  if (CONFIG_CRASH_DUMP) add(c`elfcorehdr`, fnptr(setup_elfcorehdr), true);
  add(c`console=`, fnptr(console_setup), false);
  add(c`init=`, fnptr(init_setup), false);
  add(c`rdinit=`, fnptr(rdinit_setup), false);
  if (!CONFIG_CRASH_DUMP) {
    add(c`ramdisk_size=`, fnptr(ramdisk_size), false);
    add(c`hugepages=`, fnptr(hugepages_setup), false);
    add(c`nowatchdog`, fnptr(nowatchdog_setup), false);
    add(c`nmi_watchdog=`, fnptr(hardlockup_panic_setup), false);
    add(c`nosoftlockup`, fnptr(nosoftlockup_setup), false);
    add(c`watchdog_thresh=`, fnptr(watchdog_thresh_setup), false);
    add(c`softlockup_panic=`, fnptr(softlockup_panic_setup), false);
    add(c`hung_task_panic=`, fnptr(hung_task_panic_setup), false);
  }
  add(c`reset_devices`, fnptr(set_reset_devices), false);
  add(c`irqpoll`, fnptr(irqpoll_setup), false);
  if (!CONFIG_CRASH_DUMP) add(c`unknown_nmi_panic`, fnptr(setup_unknown_nmi_panic), false);
  add(c`sysrq_always_enabled`, fnptr(sysrq_always_enabled_setup), false);
}

function debug_kernel(value: usize): i32 {
  set_console_loglevel(CONSOLE_LOGLEVEL_DEBUG);
  return 0;
}

function quiet_kernel(value: usize): i32 {
  set_console_loglevel(CONSOLE_LOGLEVEL_QUIET);
  return 0;
}

function loglevel(value: usize): i32 {
  if (!value || load<u8>(value) - 48 > 9) return -EINVAL;
  set_console_loglevel(simple_strtol(value, 0, 0) as i32);
  return 0;
}

function ignore_loglevel_setup(value: usize): i32 {
  sym.ignore_loglevel = true;
  pr_info(c`printk: debug: ignoring loglevel setting.\n`);
  return 0;
}

function nosmp(value: usize): i32 {
  sym.setup_max_cpus = 0;
  return 0;
}

function nrcpus(value: usize): i32 {
  const count = value ? (simple_strtoul(value, 0, 0) as u32) : 0;
  if (count > 0 && count < sym.nr_cpu_ids) sym.nr_cpu_ids = count;
  return 0;
}

function maxcpus(value: usize): i32 {
  if (value) sym.setup_max_cpus = simple_strtoul(value, 0, 0) as u32;
  return 0;
}

function oops_setup(value: usize): i32 {
  if (!value) return -EINVAL;
  if (strcmp(value, c`panic`) == 0) sym.panic_on_oops = 1;
  return 0;
}

function panic_on_taint_setup(value: usize): i32 {
  if (!value) return -EINVAL;
  const mask = simple_strtoul(value, 0, 16) & TAINT_FLAGS_MAX;
  if (!mask) return -EINVAL;
  sym.panic_on_taint = mask;
  const option = strchr(value, 44);
  sym.panic_on_taint_nousertaint = option != 0 && strcmp(option + 1, c`nousertaint`) == 0;
  pr_info(
    c`panic_on_taint: bitmask=0x%lx nousertaint_mode=%s\n`, mask,
    sym.panic_on_taint_nousertaint ? c`enabled` : c`disabled`,
  );
  return 0;
}

/** reserve_crashkernel() reads the command line itself; this only makes the word known. */
function parse_crashkernel_dummy(value: usize): i32 {
  return 0;
}

function init_setup(value: usize): i32 {
  sym.execute_command = value;
  // "init=/bin/sh foo" hands foo on; what stood before init= does not reach it.
  for (let i = 1; i < MAX_INIT_ARGS; i++) sym.argv_init[i] = 0;
  sym.nr_init_args = 0;
  return 1;
}

function rdinit_setup(value: usize): i32 {
  sym.ramdisk_execute_command = value;
  for (let i = 1; i < MAX_INIT_ARGS; i++) sym.argv_init[i] = 0;
  sym.nr_init_args = 0;
  return 1;
}

/** KiB of each /dev/ramN; the disks take memory only for what is written. */
function ramdisk_size(value: usize): i32 {
  sym.rd_size = simple_strtoul(value, 0, 0);
  return 1;
}

function set_reset_devices(value: usize): i32 {
  sym.reset_devices = true;
  return 1;
}

/**
 * Devices complete in their doorbells, so no handler can miss an interrupt; the mode is kept where tools
 * look.
 */
function irqpoll_setup(value: usize): i32 {
  sym.irqfixup = 2;
  pr_warn(c`Misrouted IRQ fixup and polling support enabled\n`);
  pr_warn(c`This may significantly impact system performance\n`);
  return 1;
}

function sysrq_always_enabled_setup(value: usize): i32 {
  sym.sysrq_always_enabled = 1;
  pr_info(c`sysrq: sysrq always enabled.\n`);
  return 1;
}

/** core_param()s: numbers and switches of the crash path. False when the name is none of them. */
function core_param(name: usize, value: usize): bool {
  const number = value ? simple_strtol(value, 0, 0) : 0;
  if (parameq(name, c`panic`)) sym.panic_timeout = number as i32;
  else if (parameq(name, c`panic_print`)) sym.panic_print = number as u64;
  else if (parameq(name, c`pause_on_oops`)) sym.pause_on_oops = number as i32;
  else if (parameq(name, c`panic_on_warn`)) sym.panic_on_warn = number as i32;
  else if (parameq(name, c`crash_kexec_post_notifiers`)) sym.crash_kexec_post_notifiers = switched_on(value);
  else if (parameq(name, c`initcall_debug`)) sym.initcall_debug = switched_on(value);
  else return false;
  return true;
}

/** A bool parameter without a value is on. */
function switched_on(value: usize): bool {
  if (!value) return true;
  const letter: u32 = load<u8>(value) | 32;
  return letter == 121 || load<u8>(value) == 49 || (letter == 111 && (load<u8>(value + 1) | 32) == 110);
}

/** parse_early_param's callback. */
function do_early_param(name: usize, value: usize): i32 {
  for (let i = 0; i < sym.nr_setup_params; i++) {
    const param = sym.setup_params[i];
    if (!param.early || !parameq(name, param.str)) continue;
    if (call_indirect<i32>(text_index(param.setup_func), value) != 0) {
      pr_notice(c`Malformed early option '%s'\n`, name);
    }
  }
  return 0;
}

export function parse_early_param(): void {
  if (sym.early_params_done) return;
  memory.copy(sym.early_command_line, sym.boot_command_line, strlen(sym.boot_command_line) + 1);
  parse_args(sym.early_command_line, fnptr(do_early_param));
  sym.early_params_done = true;
}

/** A __setup() takes the word when its text, `=` included, begins it; an early_param has had it. */
function obsolete_checksetup(name: usize, value: usize): bool {
  const length = strlen(name);
  for (let i = 0; i < sym.nr_setup_params; i++) {
    const param = sym.setup_params[i];
    if (param.early) {
      if (parameq(name, param.str)) return true;
      continue;
    }
    const text = param.str;
    const takes_value = load<u8>(text + strlen(text) - 1) == 61;
    if (strncmp(name, text, length) != 0 || load<u8>(text + length) != (takes_value ? 61 : 0)) continue;
    if (takes_value && !value) continue;
    if (call_indirect<i32>(text_index(param.setup_func), value) != 0) return true;
  }
  return false;
}

/** Makes one text of name and value again, without the quotes of the value. */
function repair_env_string(name: usize, value: usize): void {
  const equals = name + strlen(name);
  store<u8>(equals, 61);
  if (value != equals + 1) memory.copy(equals + 1, value, strlen(value) + 1);
}

/** Words that nobody knows: `name=value` goes to init's environment, a bare one becomes its argument. */
function unknown_bootoption(name: usize, value: usize): i32 {
  if (core_param(name, value) || obsolete_checksetup(name, value)) return 0;
  // A parameter of a module that may be loaded later.
  if (strchr(name, 46)) return 0;
  if (value) repair_env_string(name, value);
  if (value) {
    let i = 0;
    while (i < sym.nr_init_envs && !same_variable(sym.envp_init[i + ENVP_FIXED], name)) i++;
    if (i >= MAX_INIT_ENVS - ENVP_FIXED) panic(c`Too many boot env vars at \`%s'`, name);
    sym.envp_init[i + ENVP_FIXED] = name;
    if (i == sym.nr_init_envs) sym.nr_init_envs++;
  } else {
    if (sym.nr_init_args >= MAX_INIT_ARGS - 1) panic(c`Too many boot init vars at \`%s'`, name);
    sym.argv_init[++sym.nr_init_args] = name;
  }
  return 0;
}

function same_variable(a: usize, b: usize): bool {
  for (; load<u8>(a) == load<u8>(b); a++, b++) if (load<u8>(a) == 61) return true;
  return false;
}

function set_init_arg(name: usize, value: usize): i32 {
  if (value) repair_env_string(name, value);
  if (sym.nr_init_args < MAX_INIT_ARGS - 1) sym.argv_init[++sym.nr_init_args] = name;
  return 0;
}

/** Everything but the early parameters; cuts static_command_line, which init's arguments point into. */
export function parse_kernel_params(): void {
  sym.argv_init[0] = c`init`;
  sym.envp_init[0] = c`HOME=/`;
  sym.envp_init[1] = c`TERM=linux`;
  const after_dashes = parse_args(sym.static_command_line, fnptr(unknown_bootoption));
  print_unknown_bootoptions();
  if (after_dashes) parse_args(after_dashes, fnptr(set_init_arg));
}

function print_unknown_bootoptions(): void {
  if (!sym.nr_init_args && !sym.nr_init_envs) return;
  const text = sym.unknown_options;
  const size = COMMAND_LINE_SIZE;
  store<u8>(text, 0);
  for (let i = 1; i <= sym.nr_init_args; i++) {
    strlcat(text, c` `, size);
    strlcat(text, sym.argv_init[i], size);
  }
  for (let i = 0; i < sym.nr_init_envs; i++) {
    strlcat(text, c` `, size);
    strlcat(text, sym.envp_init[i + ENVP_FIXED], size);
  }
  pr_notice(c`Unknown kernel command line parameters "%s", will be passed to user space.\n`, text + 1);
}
