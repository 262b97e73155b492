/**
 * The local APIC of a CPU: its timer (TSC-deadline mode), interrupts and NMIs that wait, orders to other
 * CPUs, and the fuel by which code that runs comes to ask for them. In wasm nothing can break in from
 * outside, so the kernel's code counts fuel down at its polls (link/rewrite.ts) and calls acknowledge() when
 * there is none left:
 *
 *     seeded     each poll is POLL_NS of virtual time, and the fuel lasts until the timer's deadline, or
 *                until another CPU may want the turn: both come at the same instruction on every engine
 *     real time  after FUEL_REAL polls the host's clock is looked at
 *
 * What waits while the kernel has interrupts off is asked for again every FUEL_MASKED polls.
 *
 * A performance counter counts the cycles, of a nanosecond each, in which the CPU does not wait: when it
 * overflows there is an NMI. So a watchdog by it wakes no CPU that halts.
 */

import type { Board, CpuCells } from "./board.ts";
import { type Clock, type Fuel, POLL_NS } from "./clock.ts";
import { Expired } from "./control.ts";
import { LVT_MASKED, type Turns, timerArmed } from "./turns.ts";

/** Model-specific registers (Intel SDM vol. 4; x2APIC: vol. 3, 10.12). */
const MSR_TSC_DEADLINE = 0x6e0;
const MSR_X2APIC_ICR = 0x830;
const MSR_X2APIC_LVT_TIMER = 0x832;
const MSR_IA32_PMC0 = 0xc1;
/** The counter's bits. */
const PMC_RANGE = 2 ** 48;
const ICR_DELIVERY_MODE = 0x700;
const ICR_FIXED = 0;
const ICR_NMI = 0x400;
const ICR_STARTUP = 0x600;
/** To all but the sender. */
const ICR_ALL_BUT_SELF = 0xc0000;
const VECTOR_MASK = 0xff;

/** Vectors of exceptions, which no interrupt has. */
const NMI_VECTOR = 2;
const VECTOR_MIN = 32;

/** At most this much fuel at a time: virtual time must not run away from the run limit. */
const FUEL_MAX = 1 << 20;
const FUEL_REAL = 4096;
const FUEL_MASKED = 32;

export interface ApicState {
  /** When the timer fires, in nanoseconds since power-on; 0: never. */
  deadline_ns: number;
  /** The timer's local vector table entry. */
  timer: number;
  pending: number[];
  nmi: boolean;
}

export class LocalApic {
  readonly #board: Board;
  readonly #clock: Clock;
  readonly #turns: Turns;
  readonly #cells: CpuCells;

  /** Of the CPU with this number, its APIC id. */
  constructor(
    readonly id: number,
    board: Board,
    clock: Clock,
    turns: Turns,
  ) {
    this.#board = board;
    this.#clock = clock;
    this.#turns = turns;
    this.#cells = board.cpus[id] as CpuCells;
    if (this.#cells.timer === 0) this.#cells.timer = LVT_MASKED;
  }

  /** A new image runs, whose fuel is this register; undefined for one without polls. */
  attach(fuel: Fuel | undefined): void {
    this.#clock.attach(fuel);
    this.#refuel();
  }

  wrmsr(msr: number, lo: number, hi: number): void {
    if (msr === MSR_TSC_DEADLINE) this.#cells.deadline_ns = (hi >>> 0) * 2 ** 32 + (lo >>> 0);
    else if (msr === MSR_X2APIC_LVT_TIMER) this.#cells.timer = lo >>> 0;
    else if (msr === MSR_X2APIC_ICR) this.#command(lo, hi);
    else if (msr === MSR_IA32_PMC0) this.#count((hi & 0xffff) * 2 ** 32 + (lo >>> 0));
    this.#refuel();
  }

  /** rdpmc: the counter, which stands at 0 when it does not count, or has overflowed. */
  readPmc(): number {
    const { overflow_ns } = this.#cells;
    return overflow_ns === 0 ? 0 : Math.min(PMC_RANGE - 1, PMC_RANGE - (overflow_ns - this.#clock.now_ns));
  }

  /** An interrupt by its vector; those below 32 are exceptions and ignored. */
  raise(vector: number): void {
    if (vector >= VECTOR_MIN) this.#cells.raise(vector);
    this.#refuel();
  }

  /** A non-maskable interrupt: taken at the next poll. */
  raiseNmi(): void {
    this.#cells.nmi = true;
    this.#refuel();
  }

  /** rdtsc: nanoseconds since power-on. */
  readTsc(): number {
    const now = this.#clock.read_ns();
    this.#elapsed();
    this.#refuel();
    return now;
  }

  /**
   * The poll's question, with the interrupt flag: the vector of what comes now, and is pending no longer; 0
   * for nothing. An NMI comes whatever the flag, of interrupts the highest first. Other CPUs may have had
   * their turn in between.
   */
  acknowledge(enabled: boolean): number {
    const cells = this.#cells;
    this.#elapsed();
    cells.masked = !enabled;
    this.#turns.poll(this.id);
    this.#elapsed();
    let vector = 0;
    if (cells.nmi) {
      cells.nmi = false;
      vector = NMI_VECTOR;
    } else if (enabled) {
      vector = cells.pending;
      if (vector !== 0) cells.lower(vector);
    }
    this.#refuel();
    return vector;
  }

  /** hlt: time passes until an NMI, or something pending if interrupts are on. False: nothing ever will. */
  halt(enabled: boolean): boolean {
    if (enabled) this.#cells.masked = false;
    return this.#wait(enabled);
  }

  /** tpause: time passes until the deadline, or an earlier interrupt if they are enabled. */
  pause(until_ns: number, enabled: boolean): void {
    this.#wait(enabled, until_ns);
  }

  /** The counter stands still meanwhile. */
  #wait(enabled: boolean, until_ns?: number): boolean {
    this.#elapsed();
    const cells = this.#cells;
    const counting = cells.overflow_ns > 0;
    if (counting) cells.overflow_ns -= this.#clock.now_ns;
    const woken = this.#turns.wait(this.id, enabled, until_ns);
    if (counting) cells.overflow_ns += this.#clock.now_ns;
    this.#elapsed();
    this.#refuel();
    return woken;
  }

  /** The counter goes on from `value`; from 0 it does not. */
  #count(value: number): void {
    this.#cells.overflow_ns = value === 0 ? 0 : this.#clock.now_ns + PMC_RANGE - value;
  }

  /** pause: what a loop does that waits for another CPU. Whether one has had its turn, or time has passed. */
  relax(): boolean {
    if (this.#board.cpus.length === 1 || !this.#turns.relax(this.id)) return false;
    this.#elapsed();
    this.#refuel();
    return true;
  }

  get state(): ApicState {
    const { deadline_ns, timer, vectors: pending, nmi } = this.#cells;
    return { deadline_ns, timer, pending, nmi };
  }

  restore(state: ApicState): void {
    this.#cells.deadline_ns = state.deadline_ns;
    this.#cells.timer = state.timer;
    this.#cells.nmi = state.nmi;
    this.#cells.vectors = state.pending;
  }

  /** An interrupt command: to the CPU with the id in `hi`, or to all others. */
  #command(lo: number, hi: number): void {
    const { cpus } = this.#board;
    const all = (lo & ICR_ALL_BUT_SELF) === ICR_ALL_BUT_SELF;
    for (const [id, cpu] of cpus.entries()) {
      if (all ? id === this.id : id !== hi) continue;
      const mode = lo & ICR_DELIVERY_MODE;
      const vector = lo & VECTOR_MASK;
      if (mode === ICR_NMI) cpu.nmi = true;
      else if (mode === ICR_STARTUP) this.#turns.start(cpu, vector);
      else if (mode === ICR_FIXED && vector >= VECTOR_MIN) cpu.raise(vector);
    }
  }

  /** What time has brought. Throws Expired at the run limit. */
  #elapsed(): void {
    const cells = this.#cells;
    const now = this.#clock.now_ns;
    if (now >= this.#turns.limit_ns) throw new Expired();
    if (cells.overflow_ns > 0 && now >= cells.overflow_ns) {
      cells.overflow_ns = 0;
      cells.nmi = true;
    }
    this.#turns.button();
    if (!timerArmed(cells) || now < cells.deadline_ns) return;
    cells.deadline_ns = 0;
    cells.raise(cells.timer & VECTOR_MASK);
  }

  /** As much fuel as the next event is away. */
  #refuel(): void {
    const clock = this.#clock;
    const cells = this.#cells;
    if (cells.nmi) clock.refuel(1);
    else if (cells.pending !== 0)
      clock.refuel(cells.masked ? Math.min(clock.polls || FUEL_MASKED, FUEL_MASKED) : 1);
    else if (!clock.virtual) clock.refuel(FUEL_REAL);
    else {
      const horizon = this.#turns.horizon_ns(this.id);
      const overflow = cells.overflow_ns > 0 ? cells.overflow_ns : horizon;
      const timer = timerArmed(cells) ? cells.deadline_ns : horizon;
      const next = Math.min(timer, overflow, horizon);
      const polls = Math.ceil((next - clock.now_ns) / POLL_NS);
      clock.refuel(Math.max(1, Math.min(polls, FUEL_MAX)));
    }
  }
}
