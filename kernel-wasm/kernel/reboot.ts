/**
 * Ending the machine's run (kernel/reboot.c, arch/x86/kernel/reboot.c): restart, halt, power off, and
 * reboot(2). None of the machine_ functions returns.
 */
import {
  CONFIG_SMP,
  EINVAL,
  SYSTEM_HALT,
  SYSTEM_POWER_OFF,
  SYSTEM_RESTART,
} from "../include/generated/constants";
import { sym } from "../include/generated/symbols";
import { native_stop_other_cpus } from "../arch/kernel/smp";
import { pr_emerg } from "./printk/printk";

@external("hw", "out8") declare function hw_out8(port: u32, value: u32): void;
@external("hw", "hlt") declare function hw_hlt(): void;

const LINUX_REBOOT_MAGIC1: u32 = 0xfee1dead;
const LINUX_REBOOT_MAGIC2: u32 = 672274793;
const LINUX_REBOOT_MAGIC2A: u32 = 85072278;
const LINUX_REBOOT_MAGIC2B: u32 = 369367448;
const LINUX_REBOOT_MAGIC2C: u32 = 537993216;
const LINUX_REBOOT_CMD_RESTART: u32 = 0x01234567;
const LINUX_REBOOT_CMD_HALT: u32 = 0xcdef0123;
const LINUX_REBOOT_CMD_CAD_ON: u32 = 0x89abcdef;
const LINUX_REBOOT_CMD_CAD_OFF: u32 = 0;
const LINUX_REBOOT_CMD_POWER_OFF: u32 = 0x4321fedc;

/** The chipset's reset control register: full reset. */
const RESET_CONTROL: u32 = 0xcf9;
const RESET_FULL: u32 = 6;
/** ACPI's PM1a control: sleep type S5, enable. */
const PM1A_CONTROL: u32 = 0x604;
const PM1A_S5: u32 = 0x34;

/** The other CPUs must not go on while the machine ends. */
function native_machine_shutdown(): void {
  if (CONFIG_SMP) native_stop_other_cpus();
}

export function machine_restart(): void {
  hw_out8(RESET_CONTROL, RESET_FULL);
  unreachable();
}

export function machine_power_off(): void {
  hw_out8(PM1A_CONTROL, PM1A_S5);
  unreachable();
}

export function machine_halt(): void {
  for (;;) hw_hlt();
}

/** Restarts at once, from any context; what panic_timeout and sysrq b end in. */
export function emergency_restart(): void {
  sym.system_state = SYSTEM_RESTART;
  machine_restart();
}

export function kernel_restart(): void {
  sym.system_state = SYSTEM_RESTART;
  pr_emerg(c`reboot: Restarting system\n`);
  native_machine_shutdown();
  machine_restart();
}

export function kernel_halt(): void {
  sym.system_state = SYSTEM_HALT;
  pr_emerg(c`reboot: System halted\n`);
  native_machine_shutdown();
  machine_halt();
}

export function kernel_power_off(): void {
  sym.system_state = SYSTEM_POWER_OFF;
  pr_emerg(c`reboot: Power down\n`);
  native_machine_shutdown();
  machine_power_off();
}

/** reboot(2). Returns only errors, and 0 for the Ctrl-Alt-Del switches, which no keyboard uses. */
export function __do_sys_reboot(magic1: u32, magic2: u32, cmd: u32): i64 {
  const second = magic2 == LINUX_REBOOT_MAGIC2 || magic2 == LINUX_REBOOT_MAGIC2A ||
    magic2 == LINUX_REBOOT_MAGIC2B || magic2 == LINUX_REBOOT_MAGIC2C;
  if (magic1 != LINUX_REBOOT_MAGIC1 || !second) return -EINVAL;
  switch (cmd) {
    case LINUX_REBOOT_CMD_RESTART:
      kernel_restart();
      break;
    case LINUX_REBOOT_CMD_HALT:
      kernel_halt();
      break;
    case LINUX_REBOOT_CMD_POWER_OFF:
      kernel_power_off();
      break;
    case LINUX_REBOOT_CMD_CAD_ON:
    case LINUX_REBOOT_CMD_CAD_OFF:
      return 0;
  }
  return -EINVAL;
}
