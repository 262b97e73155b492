/**
 * Consoles of the log (the console half of kernel/printk/printk.c): registration, console=, the console lock,
 * and printing records with their time stamps. Whoever releases the lock prints what is waiting, so a printk
 * that finds it taken leaves its record to the holder. One of those on other CPUs waits while the holder is
 * in a console's driver, and is handed the lock after that record: nobody prints for the others for ever.
 */
import {
  CONFIG_SMP,
  CON_CONSDEV,
  CON_ENABLED,
  CONSOLE_LOG_MAX,
  MAX_CMDLINECONSOLES,
  PRINTK_PREFIX_MAX,
} from "../../include/generated/constants";
import { console } from "../../include/generated/structs";
import { sym, this_cpu } from "../../include/generated/symbols";
import { isdigit } from "../../lib/ctype";
import { simple_strtoul, strcmp } from "../../lib/string";
import { scnprintf } from "../../lib/vsprintf";
import { in_nmi, local_irq_restore, local_irq_save } from "../irqflags";
import { cpu_relax, raw_spin_lock, raw_spin_unlock } from "../locking/spinlock";
import { console_loglevel, pr_info } from "./printk";
import { PRB_NONE, prb_next_valid, prb_read } from "./printk_ringbuffer";

export function console_trylock(): bool {
  if (atomic.cmpxchg<u32>(sym.addr_of_console_locked(), 0, 1) != 0) return false;
  sym.console_owner_cpu = get_cpu() as i32;
  return true;
}

/** The holder goes into the drivers: who waits from here on gets the lock. */
function console_lock_spinning_enable(): void {
  if (!CONFIG_SMP) return;
  raw_spin_lock(sym.console_owner_lock);
  sym.console_owner_va = this_cpu.current_task_va;
  raw_spin_unlock(sym.console_owner_lock);
}

/** The record is out. True: somebody waited, and has the lock now. */
function console_lock_spinning_disable_and_check(): bool {
  if (!CONFIG_SMP) return false;
  raw_spin_lock(sym.console_owner_lock);
  const waiter = sym.console_waiter != 0;
  sym.console_owner_va = 0;
  raw_spin_unlock(sym.console_owner_lock);
  if (waiter) atomic.store<i32>(sym.addr_of_console_waiter(), 0);
  return waiter;
}

/**
 * A holder that an NMI has stopped, for the capture kernel's sake or panic's, hands nothing over any more.
 */
function owner_runs(cpu: i32): bool {
  return sym.crashing_cpu < 0 && ((sym.__cpu_online_mask.bits[0] >> (cpu as u64)) & 1) != 0;
}

/**
 * console_trylock(), or one wait until the holder, on another CPU, is through with the record that it prints.
 * Interrupts are off meanwhile: what they print goes to the same holder.
 */
export function console_trylock_spinning(): bool {
  if (console_trylock()) return true;
  if (!CONFIG_SMP || in_nmi()) return false;
  const flags = local_irq_save();
  raw_spin_lock(sym.console_owner_lock);
  const owner = sym.console_owner_va;
  const cpu = sym.console_owner_cpu;
  let taken = owner != 0 && owner != this_cpu.current_task_va && !sym.console_waiter && owner_runs(cpu);
  if (taken) sym.console_waiter = 1;
  raw_spin_unlock(sym.console_owner_lock);
  while (taken && atomic.load<i32>(sym.addr_of_console_waiter()) != 0) {
    if (!owner_runs(cpu)) taken = false;
    cpu_relax();
  }
  if (taken) sym.console_owner_cpu = get_cpu() as i32;
  local_irq_restore(flags);
  return taken;
}

/**
 * Breaks the lock when its holder on this CPU will never go on (it trapped, or this is panic's last output).
 */
export function console_zap_lock(): void {
  if (sym.console_locked && sym.console_owner_cpu == (get_cpu() as i32)) {
    if (console_lock_spinning_disable_and_check()) return;
    sym.console_owner_cpu = -1;
    atomic.store<u32>(sym.addr_of_console_locked(), 0);
  }
}

function suppress_message_printing(level: i32): bool {
  return level >= console_loglevel() && !sym.ignore_loglevel;
}

export function call_console_drivers(text: usize, length: u32): void {
  for (let con = sym.console_drivers; !isnull(con); con = con.next) {
    if (!(con.flags & CON_ENABLED)) continue;
    call_indirect<void>(text_index(con.write), changetype<usize>(con), text, length);
  }
}

/** Prints console_record as lines, each with the record's time in front. */
function print_record(length: u32, ts_nsec: u64): void {
  const text = sym.console_text;
  let used: u32 = 0;
  for (let at: u32 = 0; at <= length; ) {
    let end = at;
    while (end < length && load<u8>(sym.console_record + end) != 10) end++;
    if (used + PRINTK_PREFIX_MAX + (end - at) + 1 > CONSOLE_LOG_MAX) {
      call_console_drivers(text, used);
      used = 0;
    }
    const seconds = ts_nsec / 1000000000;
    const micros = (ts_nsec % 1000000000) / 1000;
    used += scnprintf(text + used, CONSOLE_LOG_MAX - used, c`[%5lu.%06lu] `, seconds, micros);
    memory.copy(text + used, sym.console_record + at, end - at);
    used += end - at;
    store<u8>(text + used++, 10);
    at = end + 1;
  }
  call_console_drivers(text, used);
}

/** Releases the console lock, after printing every record that the consoles have not had. */
export function console_unlock(): void {
  for (;;) {
    while (!isnull(sym.console_drivers)) {
      const seq = prb_next_valid(sym.prb, sym.console_seq);
      if (seq == PRB_NONE) break;
      const info = sym.console_info;
      const room = CONSOLE_LOG_MAX - PRINTK_PREFIX_MAX - 1;
      const length = prb_read(sym.prb, seq, info, sym.console_record, room);
      if (length < 0) continue;
      sym.console_seq = seq + 1;
      if (suppress_message_printing(info.level)) continue;
      console_lock_spinning_enable();
      print_record(length, info.ts_nsec);
      if (console_lock_spinning_disable_and_check()) return;
    }
    sym.console_owner_cpu = -1;
    atomic.store<u32>(sym.addr_of_console_locked(), 0);
    // A record may have come in between the last look and the release: its writer found the lock taken.
    if (isnull(sym.console_drivers) || prb_next_valid(sym.prb, sym.console_seq) == PRB_NONE) return;
    if (!console_trylock()) return;
  }
}

/** panic's last output: prints all that is left, whoever holds the lock. */
export function console_flush_on_panic(): void {
  console_zap_lock();
  console_trylock();
  console_unlock();
}

/** Prints the whole log again (panic_print bit 5). */
export function console_replay_all(): void {
  if (!console_trylock()) return;
  sym.console_seq = 0;
  console_unlock();
}

/** `console=ttyS0,115200`: name, number, options. The last one given is the preferred console. */
export function console_setup(text: usize): i32 {
  let name: u32 = 0;
  while (load<u8>(text + name) && load<u8>(text + name) != 44 && !isdigit(load<u8>(text + name))) name++;
  const number = text + name;
  if (!name || name >= 16) return 1;
  let options = number;
  while (load<u8>(options) && load<u8>(options) != 44) options++;
  for (let i = 0; i < MAX_CMDLINECONSOLES; i++) {
    const entry = sym.console_cmdline[i];
    const free = load<u8>(entry.name) == 0;
    if (free) {
      memory.copy(entry.name, text, name);
      store<u8>(entry.name + name, 0);
      entry.index = simple_strtoul(number, 0, 10) as i32;
      entry.user_specified = true;
      entry.options = load<u8>(options) ? options + 1 : 0;
    }
    const same = entry.index == (simple_strtoul(number, 0, 10) as i32) && starts_with(text, name, entry.name);
    if (!free && !same) continue;
    sym.preferred_console = i;
    return 1;
  }
  return 1;
}

function starts_with(text: usize, length: u32, name: usize): bool {
  for (let i: u32 = 0; i < length; i++) if (load<u8>(text + i) != load<u8>(name + i)) return false;
  return load<u8>(name + length) == 0;
}

/** Adds a console when console= names it, or none was named; prints the log so far on it. */
export function register_console(con: console): void {
  let chosen = sym.preferred_console < 0;
  let options: usize = 0;
  for (let i = 0; i < MAX_CMDLINECONSOLES; i++) {
    const entry = sym.console_cmdline[i];
    if (strcmp(entry.name, con.name) != 0) continue;
    if (con.index >= 0 && con.index as i32 != entry.index) continue;
    con.index = entry.index as i16;
    options = entry.options;
    chosen = true;
    if (i == sym.preferred_console) con.flags |= CON_CONSDEV;
    break;
  }
  if (!chosen) return;
  if (con.index < 0) con.index = 0;
  if (con.setup && call_indirect<i32>(text_index(con.setup), changetype<usize>(con), options) < 0) return;
  con.flags |= CON_ENABLED;
  con.next = sym.console_drivers;
  sym.console_drivers = con;
  sym.console_seq = 0;
  if (console_trylock()) console_unlock();
  pr_info(c`printk: console [%s%d] enabled\n`, con.name, con.index);
}

/** Set by panic and oopses while their output must get through. */
export function bust_spinlocks(yes: bool): void {
  if (yes) {
    sym.oops_in_progress += 1;
    console_zap_lock();
  } else {
    sym.oops_in_progress -= 1;
    if (console_trylock()) console_unlock();
  }
}
