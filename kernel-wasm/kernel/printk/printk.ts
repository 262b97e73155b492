/**
 * The kernel's log (kernel/printk/printk.c): printk and the pr_ family put records into the ring buffer,
 * consoles print them from there, each record once, in order; records from before a console was registered
 * are printed when it is. Safe everywhere: in traps, inside itself (PRINTK_MAX_RECURSION deep), without a
 * console.
 *
 * Format arguments: see lib/vsprintf. A format may begin with KERN_SOH and a level ("\x016...", "\x01c").
 */
import {
  CONFIG_CONSOLE_LOGLEVEL_DEFAULT,
  CONFIG_LOG_BUF_SHIFT,
  CONFIG_MESSAGE_LOGLEVEL_DEFAULT,
  CONSOLE_LOGLEVEL_MIN,
  LOG_CONT,
  LOG_LINE_MAX,
  LOG_NEWLINE,
  LOGLEVEL_ALERT,
  LOGLEVEL_CONT,
  LOGLEVEL_CRIT,
  LOGLEVEL_DEBUG,
  LOGLEVEL_DEFAULT,
  LOGLEVEL_EMERG,
  LOGLEVEL_ERR,
  LOGLEVEL_INFO,
  LOGLEVEL_NOTICE,
  LOGLEVEL_WARNING,
  PRB_AVGBITS,
  PRINTK_MAX_RECURSION,
} from "../../include/generated/constants";
import { sym, this_cpu } from "../../include/generated/symbols";
import { vscnprintf, vsnprintf } from "../../lib/vsprintf";
import { local_irq_restore, local_irq_save } from "../irqflags";
import { local_clock } from "../time";
import { console_trylock_spinning, console_unlock } from "./console";
import {
  PRB_NONE,
  prb_commit,
  prb_final_commit,
  prb_info,
  prb_init,
  prb_reserve,
  prb_reserve_in_last,
  prb_text,
} from "./printk_ringbuffer";

const KERN_SOH: u32 = 1;
/** printk_info.caller_id outside of a task. */
const CALLER_CPU: u32 = 0x80000000;

/** Makes the empty log; the very first thing the kernel does, since everything may print. */
export function log_buf_init(): void {
  prb_init(
    sym.printk_rb_static,
    sym.__log_buf,
    CONFIG_LOG_BUF_SHIFT,
    sym.addr_of__printk_rb_static_descs(),
    sym.addr_of__printk_rb_static_infos(),
    CONFIG_LOG_BUF_SHIFT - PRB_AVGBITS,
  );
  sym.prb = sym.printk_rb_static;
  sym.log_buf = sym.__log_buf;
  sym.log_buf_len = 1 << CONFIG_LOG_BUF_SHIFT;
  sym.console_printk[0] = CONFIG_CONSOLE_LOGLEVEL_DEFAULT;
  sym.console_printk[1] = CONFIG_MESSAGE_LOGLEVEL_DEFAULT;
  sym.console_printk[2] = CONSOLE_LOGLEVEL_MIN;
  sym.console_printk[3] = CONFIG_CONSOLE_LOGLEVEL_DEFAULT;
}

export function console_loglevel(): i32 {
  return sym.console_printk[0];
}

export function set_console_loglevel(level: i32): void {
  sym.console_printk[0] = level;
}

function printk_caller_id(): u32 {
  const current = this_cpu.current_task;
  return isnull(current) ? CALLER_CPU + get_cpu() : current.pid;
}

/** The level character of a format's KERN_SOH prefix, or 0: '0'..'7', or 'c' for KERN_CONT. */
function printk_get_level(fmt: usize): u32 {
  if (load<u8>(fmt) != KERN_SOH) return 0;
  const level: u32 = load<u8>(fmt + 1);
  return level - 48 < 8 || level == 99 ? level : 0;
}

/** Stores one record, or goes on with the last one; returns the length of the text. */
function vprintk_store(
  facility: i32, level: i32, fmt: usize,
  a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, a6: u64, a7: u64, a8: u64, a9: u64,
): i32 {
  const ts_nsec = local_clock();
  const caller_id = printk_caller_id();
  const prb = sym.prb;
  let flags: u32 = 0;
  if (level == LOGLEVEL_CONT) {
    flags = LOG_CONT;
    level = LOGLEVEL_DEFAULT;
  }
  const prefix = facility == 0 ? printk_get_level(fmt) : 0;
  if (prefix) {
    fmt += 2;
    if (prefix == 99) flags |= LOG_CONT;
    else if (level == LOGLEVEL_DEFAULT) level = (prefix - 48) as i32;
  }
  if (level == LOGLEVEL_DEFAULT) level = sym.console_printk[1];

  let size = (vsnprintf(0, 0, fmt, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9) as u32) + 1;
  if (size > LOG_LINE_MAX) size = LOG_LINE_MAX;
  let id = PRB_NONE;
  let before: u32 = 0;
  // An interrupt's record would not be printed before this one is complete.
  const irq = local_irq_save();
  if (flags & LOG_CONT) {
    id = prb_reserve_in_last(prb, caller_id, LOG_LINE_MAX, size);
    if (id != PRB_NONE) before = prb_info(prb, id).text_len;
  }
  if (id == PRB_NONE) {
    id = prb_reserve(prb, size);
    // A buffer that is too small, or full of records being written: what fits a quarter of it is better than
    // nothing.
    if (id == PRB_NONE) {
      size = min<u32>(size, sym.log_buf_len >> 2);
      id = prb_reserve(prb, size);
      if (id == PRB_NONE) {
        local_irq_restore(irq);
        return 0;
      }
    }
    const info = prb_info(prb, id);
    info.facility = facility as u8;
    info.level = level as u8 & 7;
    info.flags = flags as u8;
    info.ts_nsec = ts_nsec;
    info.caller_id = caller_id;
  }

  const text = prb_text(prb, id) + before;
  let length: u32 = vscnprintf(text, size, fmt, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9);
  const info = prb_info(prb, id);
  const newline = length != 0 && load<u8>(text + length - 1) == 10;
  if (newline) length--;
  info.text_len = (before + length) as u16;
  if (newline) {
    info.flags = info.flags | LOG_NEWLINE;
    prb_final_commit(prb, id);
  } else prb_commit(prb, id);
  local_irq_restore(irq);
  return length as i32;
}

/** Stores a record and prints what the consoles have not printed yet. Returns the text's length. */
export function vprintk_emit(
  facility: i32, level: i32, fmt: usize,
  a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, a6: u64, a7: u64, a8: u64, a9: u64,
): i32 {
  if (sym.suppress_printk || this_cpu.printk_count >= PRINTK_MAX_RECURSION) return 0;
  this_cpu.printk_count += 1;
  const length = vprintk_store(facility, level, fmt, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9);
  if (console_trylock_spinning()) console_unlock();
  this_cpu.printk_count -= 1;
  return length;
}

/** After a trap: what ran on this CPU, perhaps a printk, will never go on. */
export function printk_reset_recursion(): void {
  this_cpu.printk_count = 0;
}

export function printk(
  fmt: usize, a0: u64 = 0, a1: u64 = 0, a2: u64 = 0, a3: u64 = 0, a4: u64 = 0,
  a5: u64 = 0, a6: u64 = 0, a7: u64 = 0, a8: u64 = 0, a9: u64 = 0,
): i32 {
  return vprintk_emit(0, LOGLEVEL_DEFAULT, fmt, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9);
}

/** printk at a level that is computed; LOGLEVEL_DEFAULT takes the format's own. */
export function printk_level(
  level: i32, fmt: usize, a0: u64 = 0, a1: u64 = 0, a2: u64 = 0, a3: u64 = 0, a4: u64 = 0,
  a5: u64 = 0, a6: u64 = 0, a7: u64 = 0, a8: u64 = 0, a9: u64 = 0,
): i32 {
  return vprintk_emit(0, level, fmt, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9);
}

export function pr_emerg(
  fmt: usize, a0: u64 = 0, a1: u64 = 0, a2: u64 = 0, a3: u64 = 0, a4: u64 = 0,
  a5: u64 = 0, a6: u64 = 0, a7: u64 = 0, a8: u64 = 0, a9: u64 = 0,
): void {
  vprintk_emit(0, LOGLEVEL_EMERG, fmt, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9);
}

export function pr_alert(
  fmt: usize, a0: u64 = 0, a1: u64 = 0, a2: u64 = 0, a3: u64 = 0, a4: u64 = 0,
  a5: u64 = 0, a6: u64 = 0, a7: u64 = 0, a8: u64 = 0, a9: u64 = 0,
): void {
  vprintk_emit(0, LOGLEVEL_ALERT, fmt, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9);
}

export function pr_crit(
  fmt: usize, a0: u64 = 0, a1: u64 = 0, a2: u64 = 0, a3: u64 = 0, a4: u64 = 0,
  a5: u64 = 0, a6: u64 = 0, a7: u64 = 0, a8: u64 = 0, a9: u64 = 0,
): void {
  vprintk_emit(0, LOGLEVEL_CRIT, fmt, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9);
}

export function pr_err(
  fmt: usize, a0: u64 = 0, a1: u64 = 0, a2: u64 = 0, a3: u64 = 0, a4: u64 = 0,
  a5: u64 = 0, a6: u64 = 0, a7: u64 = 0, a8: u64 = 0, a9: u64 = 0,
): void {
  vprintk_emit(0, LOGLEVEL_ERR, fmt, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9);
}

export function pr_warn(
  fmt: usize, a0: u64 = 0, a1: u64 = 0, a2: u64 = 0, a3: u64 = 0, a4: u64 = 0,
  a5: u64 = 0, a6: u64 = 0, a7: u64 = 0, a8: u64 = 0, a9: u64 = 0,
): void {
  vprintk_emit(0, LOGLEVEL_WARNING, fmt, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9);
}

export function pr_notice(
  fmt: usize, a0: u64 = 0, a1: u64 = 0, a2: u64 = 0, a3: u64 = 0, a4: u64 = 0,
  a5: u64 = 0, a6: u64 = 0, a7: u64 = 0, a8: u64 = 0, a9: u64 = 0,
): void {
  vprintk_emit(0, LOGLEVEL_NOTICE, fmt, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9);
}

export function pr_info(
  fmt: usize, a0: u64 = 0, a1: u64 = 0, a2: u64 = 0, a3: u64 = 0, a4: u64 = 0,
  a5: u64 = 0, a6: u64 = 0, a7: u64 = 0, a8: u64 = 0, a9: u64 = 0,
): void {
  vprintk_emit(0, LOGLEVEL_INFO, fmt, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9);
}

export function pr_debug(
  fmt: usize, a0: u64 = 0, a1: u64 = 0, a2: u64 = 0, a3: u64 = 0, a4: u64 = 0,
  a5: u64 = 0, a6: u64 = 0, a7: u64 = 0, a8: u64 = 0, a9: u64 = 0,
): void {
  vprintk_emit(0, LOGLEVEL_DEBUG, fmt, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9);
}

export function pr_cont(
  fmt: usize, a0: u64 = 0, a1: u64 = 0, a2: u64 = 0, a3: u64 = 0, a4: u64 = 0,
  a5: u64 = 0, a6: u64 = 0, a7: u64 = 0, a8: u64 = 0, a9: u64 = 0,
): void {
  vprintk_emit(0, LOGLEVEL_CONT, fmt, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9);
}
