/**
 * The hardware imports of an image, module "hw": ports, clocks, and the instructions that leave wasm code.
 * All parameters arrive as i32, so addresses go through `>>> 0`; an address outside memory is a page fault,
 * as a bus error would be.
 */

import type { LocalApic } from "./apic.ts";
import type { Clock } from "./clock.ts";
import type { CodeTable } from "./code-table.ts";
import { Halt, Jump, PageFault, PowerOff, Reset, SwitchTo } from "./control.ts";
import type { PhysicalMemory } from "./memory.ts";
import type { Random } from "./random.ts";
import { COM1 } from "./serial.ts";
import { DIRECT_MAP_HI, X86_PF_WRITE } from "./x86.ts";

/** ACPI's PM1a control register, as QEMU's q35 has it: SLP_TYP 5, SLP_EN in the high byte. */
const PM1A_CONTROL = 0x604;
const PM1A_S5 = 0x34;
/** The reset control register of PC chipsets. */
const RESET_CONTROL = 0xcf9;
const RESET_FULL = 6;
const PORTS_OF_A_UART = 8;

const isUart = (port: number): boolean => port >= COM1 && port < COM1 + PORTS_OF_A_UART;

/** What a CPU reaches: memory, and the devices, which may be on another thread. */
export interface Bus {
  readonly memory: PhysicalMemory;
  readonly clock: Clock;
  readonly random: Random;
  readonly serial: {
    put(byte: number): void;
    /** Memory's bytes at [start, start + length), which lie in it. */
    outs(start: number, length: number): void;
    in8(port: number): number;
    flush(): void;
  };
  readonly hostfs: { doorbell(request: number): number };
}

/** Registers that say where tables lie: physical addresses, 0 until the kernel loads them. */
export interface TableRegisters {
  tss: number;
  cr3: number;
  /** Of modules; undefined in an image that loads none. */
  readonly code: CodeTable | undefined;
}

export function hardware(bus: Bus, apic: LocalApic, cpu: TableRegisters): WebAssembly.ModuleImports {
  const { memory, serial, clock, hostfs, random } = bus;

  const check = (pa: number, length: number, errorCode: number): number => {
    const address = pa >>> 0;
    if (!memory.has(address, length)) throw new PageFault(address, DIRECT_MAP_HI, errorCode);
    return address;
  };

  return {
    out8(port: number, value: number): void {
      if (port === COM1) serial.put(value & 0xff);
      else if (port === PM1A_CONTROL && (value & 0xff) === PM1A_S5) throw new PowerOff();
      else if (port === RESET_CONTROL && (value & 0xff) === RESET_FULL) throw new Reset();
    },
    in8: (port: number): number => (isUart(port) ? serial.in8(port) : 0xff),
    outs8(port: number, pa: number, length: number): void {
      const bytes = length >>> 0;
      const start = check(pa, bytes, 0);
      if (port === COM1) serial.outs(start, bytes);
    },
    rdtsc(pa: number): void {
      memory.setU64(check(pa, 8, X86_PF_WRITE), apic.readTsc());
    },
    rtc(pa: number): void {
      memory.setU64(check(pa, 8, X86_PF_WRITE), clock.wall_s());
    },
    rdrand: (): number => random.u32() | 0,
    /** With interrupts off: only an NMI ends it. */
    hlt(): void {
      if (!apic.halt(false)) throw new Halt();
    },
    /** hlt right behind sti: an interrupt ends it. */
    sti_hlt(): void {
      serial.flush();
      if (!apic.halt(true)) throw new Halt();
      cpu.code?.sync();
    },
    tpause(lo: number, hi: number, enabled: number): void {
      apic.pause((hi >>> 0) * 2 ** 32 + (lo >>> 0), enabled !== 0);
      cpu.code?.sync();
    },
    /** What a loop does that waits for another CPU. */
    pause(): void {
      if (apic.relax()) cpu.code?.sync();
    },
    wrmsr(msr: number, lo: number, hi: number): void {
      apic.wrmsr(msr >>> 0, lo, hi);
    },
    rdpmc(pa: number): void {
      memory.setU64(check(pa, 8, X86_PF_WRITE), apic.readPmc());
    },
    /** What a poll asks when the fuel is used up. */
    iack(enabled: number): number {
      const vector = apic.acknowledge(enabled !== 0);
      cpu.code?.sync();
      return vector;
    },
    switch_to(): never {
      throw new SwitchTo();
    },
    jump(entry: number, arg: number): never {
      throw new Jump(entry >>> 0, arg >>> 0);
    },
    page_fault(lo: number, hi: number, errorCode: number): never {
      throw new PageFault(lo >>> 0, hi >>> 0, errorCode >>> 0);
    },
    ltr(pa: number): void {
      cpu.tss = pa >>> 0;
    },
    load_code_table(pa: number): void {
      cpu.code?.load(pa >>> 0);
    },
    /** Makes code that was written to memory, or taken away, known to this CPU; 0 when some cannot run. */
    sync_core: (): number => (cpu.code?.sync() === false ? 0 : 1),
    write_cr3(pa: number): void {
      cpu.cr3 = pa >>> 0;
    },
    hostfs: (request: number): number => hostfs.doorbell(request >>> 0),
  };
}
