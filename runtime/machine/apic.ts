/**
 * The local APIC of a CPU: its timer (TSC-deadline mode), interrupts and NMIs that wait, and the fuel by
 * which code that runs comes to ask for them. In wasm nothing can break in from outside, so the kernel's
 * code counts fuel down at its polls (link/rewrite.ts) and calls acknowledge() when there is none left:
 *
 *     seeded     each poll is POLL_NS of virtual time, and the fuel lasts until the timer's deadline: it
 *                fires at the same instruction on every engine
 *     real time  after FUEL_REAL polls the host's clock is looked at
 *
 * What waits while the kernel has interrupts off is asked for again every FUEL_MASKED polls.
 */

import { type Clock, type Fuel, POLL_NS } from "./clock.ts";
import { Expired } from "./control.ts";

/** Model-specific registers (Intel SDM vol. 4; x2APIC: vol. 3, 10.12). */
const MSR_TSC_DEADLINE = 0x6e0;
const MSR_X2APIC_ICR = 0x830;
const MSR_X2APIC_LVT_TIMER = 0x832;
const ICR_NMI = 0x400;
const ICR_DELIVERY_MODE = 0x700;
const LVT_MASKED = 0x10000;
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
  readonly #clock: Clock;
  /** When the machine is stopped, in nanoseconds since power-on. */
  readonly #limit_ns: number;
  readonly #pending = new Set<number>();
  #nmi = false;
  /** Whether the last poll found interrupts off. */
  #masked = false;
  #deadline_ns = 0;
  #timer = LVT_MASKED;

  constructor(clock: Clock, limit_ns = Number.POSITIVE_INFINITY) {
    this.#clock = clock;
    this.#limit_ns = limit_ns;
  }

  /** A new image runs, whose fuel is this register; undefined for one without polls. */
  attach(fuel: Fuel | undefined): void {
    this.#clock.attach(fuel);
    this.#refuel();
  }

  wrmsr(msr: number, lo: number, hi: number): void {
    if (msr === MSR_TSC_DEADLINE) this.#deadline_ns = (hi >>> 0) * 2 ** 32 + (lo >>> 0);
    else if (msr === MSR_X2APIC_LVT_TIMER) this.#timer = lo >>> 0;
    else if (msr === MSR_X2APIC_ICR) {
      if ((lo & ICR_DELIVERY_MODE) === ICR_NMI) this.#nmi = true;
      else this.raise(lo & VECTOR_MASK);
    }
    this.#refuel();
  }

  /** An interrupt by its vector; those below 32 are exceptions and ignored. */
  raise(vector: number): void {
    if (vector >= VECTOR_MIN) this.#pending.add(vector);
    this.#refuel();
  }

  /** A non-maskable interrupt: taken at the next poll. */
  raiseNmi(): void {
    this.#nmi = true;
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
   * for nothing. An NMI comes whatever the flag, of interrupts the highest first.
   */
  acknowledge(enabled: boolean): number {
    this.#elapsed();
    let vector = 0;
    this.#masked = !enabled;
    if (this.#nmi) {
      this.#nmi = false;
      vector = NMI_VECTOR;
    } else if (enabled && this.#pending.size > 0) {
      vector = Math.max(...this.#pending);
      this.#pending.delete(vector);
    }
    this.#refuel();
    return vector;
  }

  /** sti; hlt: time passes until something is pending. False when nothing ever will be. */
  wait(): boolean {
    // Interrupts are on: what is pending comes at the very next poll.
    this.#masked = false;
    this.#elapsed();
    if (this.#pending.size === 0 && !this.#nmi) {
      if (!this.#armed) return false;
      this.#clock.sleepUntil(Math.min(this.#deadline_ns, this.#limit_ns));
      this.#elapsed();
    }
    this.#refuel();
    return true;
  }

  /** tpause: time passes until the deadline, or an earlier interrupt if they are enabled. */
  pause(until_ns: number, enabled: boolean): void {
    this.#elapsed();
    const idle = !this.#nmi && !(enabled && this.#pending.size > 0);
    const timer = enabled && this.#armed ? this.#deadline_ns : Number.POSITIVE_INFINITY;
    if (idle) this.#clock.sleepUntil(Math.min(until_ns, timer, this.#limit_ns));
    this.#elapsed();
    this.#refuel();
  }

  get state(): ApicState {
    const pending = [...this.#pending].sort((a, b) => a - b);
    return { deadline_ns: this.#deadline_ns, timer: this.#timer, pending, nmi: this.#nmi };
  }

  restore(state: ApicState): void {
    this.#deadline_ns = state.deadline_ns;
    this.#timer = state.timer;
    this.#nmi = state.nmi;
    this.#pending.clear();
    for (const vector of state.pending) this.#pending.add(vector);
  }

  get #armed(): boolean {
    return this.#deadline_ns > 0 && (this.#timer & LVT_MASKED) === 0;
  }

  /** What time has brought. Throws Expired at the run limit. */
  #elapsed(): void {
    const now = this.#clock.now_ns;
    if (now >= this.#limit_ns) throw new Expired();
    if (!this.#armed || now < this.#deadline_ns) return;
    this.#deadline_ns = 0;
    this.#pending.add(this.#timer & VECTOR_MASK);
  }

  /** As much fuel as the next event is away. */
  #refuel(): void {
    const clock = this.#clock;
    if (this.#nmi) clock.refuel(1);
    else if (this.#pending.size > 0)
      clock.refuel(this.#masked ? Math.min(clock.polls || FUEL_MASKED, FUEL_MASKED) : 1);
    else if (!clock.virtual) clock.refuel(FUEL_REAL);
    else {
      const next = this.#armed ? Math.min(this.#deadline_ns, this.#limit_ns) : this.#limit_ns;
      const polls = Math.ceil((next - clock.now_ns) / POLL_NS);
      clock.refuel(Math.max(1, Math.min(polls, FUEL_MAX)));
    }
  }
}
