/**
 * The serial line (drivers/tty/serial/8250): ttyS0, a 16550A at I/O 0x3f8, as console of the log. The machine
 * takes a whole string at once (rep outsb), so there is no transmitter to wait for.
 */
import {
  CONFIG_CRASH_DUMP,
  CON_PRINTBUFFER,
  IRQF_SHARED,
  IRQ_HANDLED,
  IRQ_NONE,
  SERIAL_IRQ,
  UART_COM1,
} from "../../include/generated/constants";
import { console } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { request_irq } from "../../kernel/irq/irqdesc";
import { in_nmi, local_irq_restore, local_irq_save } from "../../kernel/irqflags";
import {
  spin_lock,
  spin_lock_init,
  spin_lock_irqsave,
  spin_trylock,
  spin_unlock,
  spin_unlock_irqrestore,
} from "../../kernel/locking/spinlock";
import { register_console } from "../../kernel/printk/console";
import { pr_info } from "../../kernel/printk/printk";
import { wait_for_device } from "../probe";

@external("hw", "outs8") declare function hw_outs8(port: u32, pa: usize, length: u32): void;
@external("hw", "in8") declare function hw_in8(port: u32): u32;

/** Interrupt identification register: both FIFO bits set on a 16550A. */
const UART_IIR: u32 = 2;
const UART_IIR_FIFO_ENABLED: u32 = 0xc0;
/** As autoconfig waits after each change of a mode. */
const SETTLE_MIN_NS: u32 = 10000;
const SETTLE_MAX_NS: u32 = 30000;

/** Writes to the line, for /dev/console. */
export function serial8250_write(text: usize, length: u32): void {
  const flags = spin_lock_irqsave(sym.serial8250_port.lock);
  hw_outs8(UART_COM1, text, length);
  spin_unlock_irqrestore(sym.serial8250_port.lock, flags);
}

/** Whoever was stopped with the port's lock does not keep an oops or a panic from being seen. */
export function serial8250_console_write(con: usize, text: usize, length: u32): void {
  const lock = sym.serial8250_port.lock;
  const flags = local_irq_save();
  let locked = true;
  if (sym.oops_in_progress || in_nmi()) locked = spin_trylock(lock);
  else spin_lock(lock);
  hw_outs8(UART_COM1, text, length);
  if (locked) spin_unlock(lock);
  local_irq_restore(flags);
}

/** Only the first port exists. Speed and parity of the options mean nothing to this line. */
export function serial8250_console_setup(con: usize, options: usize): i32 {
  return changetype<console>(con).index == 0 ? 0 : -19;
}

/** console_initcall: the console works long before the driver probes the port. */
export function univ8250_console_init(): i32 {
  const con = sym.serial8250_console;
  const port = sym.serial8250_port;
  spin_lock_init(port.lock);
  port.iobase = UART_COM1;
  port.irq = SERIAL_IRQ;
  memory.copy(con.name, c`ttyS`, 5);
  con.write = fnptr(serial8250_console_write);
  con.setup = fnptr(serial8250_console_setup);
  con.flags = CON_PRINTBUFFER;
  con.index = -1;
  register_console(con);
  return 0;
}

/** The line interrupts when IIR's lowest bit is clear; there is no receiver to read then. */
export function serial8250_interrupt(irq: i32, dev_id: usize): i32 {
  return hw_in8(UART_COM1 + UART_IIR) & 1 ? IRQ_NONE : IRQ_HANDLED;
}

/** The driver's probe, an asynchronous one. */
export function serial8250_probe(data: usize, cookie: u64): void {
  wait_for_device(sym.addr_of_uart_ready(), SETTLE_MIN_NS, SETTLE_MAX_NS);
  const fifo = (hw_in8(UART_COM1 + UART_IIR) & UART_IIR_FIFO_ENABLED) == UART_IIR_FIFO_ENABLED;
  pr_info(
    c`%s%d at I/O 0x%x (irq = %d, base_baud = %d) is a %s\n`, c`ttyS`, 0, UART_COM1, SERIAL_IRQ, 115200,
    fifo ? c`16550A` : c`8250`,
  );
  if (!CONFIG_CRASH_DUMP) {
    const handler = fnptr(serial8250_interrupt);
    request_irq(SERIAL_IRQ, handler, IRQF_SHARED, c`ttyS0`, changetype<usize>(sym.serial8250_console));
  }
}
