/**
 * Whose turn it is. Of several CPUs one runs at a time, in the order that the seed decides: a turn ends at a
 * poll when its time is over and another CPU could run, when the CPU halts, or when it spins. What a CPU
 * does in its turn is what it would do in a virtual machine with one physical CPU; so the same seed gives
 * the same run, races between CPUs included.
 *
 *     OFF ---startup IPI---> RUNNING ---hlt, tpause---> WAITING ---NMI, interrupt, until_ns---> RUNNING
 *
 * One CPU alone has the turn always; that it waits only means that time passes.
 */

import { type Board, type CpuCells, cpuState } from "./board.ts";
import { type Clock, POLL_NS } from "./clock.ts";
import { Expired, Quit } from "./control.ts";
import type { Random } from "./random.ts";

/** Most turns are long, one in SHORT_ONE_IN short: races hide in both. In polls. */
const TURN_POLLS = 4096;
const SHORT_POLLS = 64;
const SHORT_ONE_IN = 8;

/** A turn of so few polls was spent waiting for another CPU; after so many of each CPU time passes faster. */
const SPIN_POLLS = 4;
const SPINS_EACH = 4;
const SPIN_MAX_NS = 100_000;

export const LVT_MASKED = 0x10000;

/** Whether the APIC's timer of a CPU will fire. */
export function timerArmed(cpu: CpuCells): boolean {
  return cpu.deadline_ns > 0 && (cpu.timer & LVT_MASKED) === 0;
}

export class Turns {
  readonly #board: Board;
  readonly #clock: Clock;
  readonly #random: Random;
  /** When the present turn began. */
  #began_ns = 0;
  /** When the machine is stopped, in nanoseconds since power-on. */
  readonly limit_ns: number;

  constructor(board: Board, clock: Clock, random: Random, limit_ns: number) {
    this.#board = board;
    this.#clock = clock;
    this.#random = random;
    this.limit_ns = limit_ns;
  }

  /** When something other than the CPU's own timer may want its attention. */
  horizon_ns(self: number): number {
    const { cpus } = this.#board;
    let horizon = Math.min(this.limit_ns, this.#board.nmiDue_ns);
    for (let i = 0; i < cpus.length; i++) {
      if (i === self) continue;
      const cpu = cpus[i] as CpuCells;
      if (this.#ready(cpu)) return Math.min(horizon, this.#board.turnEnd_ns);
      horizon = Math.min(horizon, wake_ns(cpu));
    }
    return horizon;
  }

  /** The NMI button has been pressed: its CPU gets the NMI when its time has come. */
  button(): void {
    const board = this.#board;
    if (this.#clock.now_ns < board.nmiDue_ns) return;
    (board.cpus[board.nmi.cpu] as CpuCells).nmi = true;
    board.nmi = { at_ns: 0, cpu: 0 };
  }

  /** At a poll: hands the turn on when it is over and somebody waits for it. */
  poll(self: number): void {
    if (this.#board.cpus.length === 1 || this.#clock.now_ns < this.#board.turnEnd_ns) return;
    if (this.#others(self)) this.#next(self);
  }

  /**
   * A loop that waits for another CPU: hands the turn on to one that could run. When all that run only wait,
   * it is for one that sleeps, or for ever: time passes faster and faster then, or a second of such waiting
   * would take minutes. False: no time has passed, and nobody had a turn.
   */
  relax(self: number): boolean {
    const others = this.#others(self);
    const board = this.#board;
    const now = this.#clock.now_ns;
    board.spins = now - this.#began_ns <= SPIN_POLLS * POLL_NS ? board.spins + 1 : 0;
    const patience = board.cpus.length * SPINS_EACH;
    const hurry = this.#clock.virtual && board.spins > patience;
    if (hurry) {
      const later = now + Math.min(POLL_NS * 2 ** (board.spins - patience), SPIN_MAX_NS);
      this.#clock.sleepUntil(others ? later : Math.min(later, this.#event_ns(self)));
    }
    if (others) return this.#next(self, true);
    this.#began_ns = this.#clock.now_ns;
    return hurry;
  }

  /** When something wants the attention of a CPU that runs alone. */
  #event_ns(self: number): number {
    const cells = this.#board.cpus[self] as CpuCells;
    const timer = timerArmed(cells) ? cells.deadline_ns : Number.POSITIVE_INFINITY;
    return Math.min(this.horizon_ns(self), timer, cells.overflow_ns || Number.POSITIVE_INFINITY);
  }

  /**
   * The CPU does nothing until an NMI, an interrupt if they may end it, or `until_ns`. False when nothing
   * ever will. Throws Expired at the run limit.
   */
  wait(self: number, interruptible: boolean, until_ns = Number.POSITIVE_INFINITY): boolean {
    const cpu = this.#board.cpus[self] as CpuCells;
    cpu.state = cpuState.WAITING;
    cpu.interruptible = interruptible;
    cpu.until_ns = until_ns;
    const woken = this.#next(self);
    cpu.state = cpuState.RUNNING;
    return woken;
  }

  /** A CPU begins: a startup IPI has reached it. */
  start(cpu: CpuCells, vector: number): void {
    if (cpu.state !== cpuState.OFF) return;
    cpu.startup = vector;
    cpu.state = cpuState.RUNNING;
  }

  /** Gives the turn to the next CPU, and comes back with it. False when no CPU will ever go on. */
  #next(self: number, other = false): boolean {
    const { cpus } = this.#board;
    for (;;) {
      if (this.#clock.now_ns >= this.limit_ns) throw new Expired();
      this.button();
      const ready = [...cpus.keys()].filter(
        (i) => !(other && i === self) && this.#ready(cpus[i] as CpuCells),
      );
      if (ready.length > 0) {
        this.#hand(self, ready[ready.length === 1 ? 0 : this.#random.u32() % ready.length] as number);
        return true;
      }
      const wake = Math.min(...cpus.map(wake_ns), this.#board.nmiDue_ns);
      if (wake === Number.POSITIVE_INFINITY) return false;
      this.#clock.sleepUntil(Math.min(wake, this.limit_ns));
    }
  }

  #hand(self: number, next: number): void {
    const { cpus } = this.#board;
    if (cpus.length > 1) this.#board.turnEnd_ns = this.#clock.now_ns + this.#draw() * POLL_NS;
    if (next === self) return;
    this.#clock.release();
    (cpus[next] as CpuCells).giveTurn();
    (cpus[self] as CpuCells).awaitTurn();
    if (this.#board.quit) throw new Quit();
    this.#clock.acquire();
    this.#began_ns = this.#clock.now_ns;
  }

  #draw(): number {
    const short = this.#random.u32() % SHORT_ONE_IN === 0;
    return 1 + (this.#random.u32() % (short ? SHORT_POLLS : TURN_POLLS));
  }

  #others(self: number): boolean {
    return this.#board.cpus.some((cpu, i) => i !== self && this.#ready(cpu));
  }

  #ready(cpu: CpuCells): boolean {
    if (cpu.state !== cpuState.WAITING) return cpu.state === cpuState.RUNNING;
    if (cpu.nmi || (cpu.interruptible && cpu.pending !== 0)) return true;
    return wake_ns(cpu) <= this.#clock.now_ns;
  }
}

/** When a CPU that waits goes on by itself. */
function wake_ns(cpu: CpuCells): number {
  if (cpu.state !== cpuState.WAITING) return Number.POSITIVE_INFINITY;
  return cpu.interruptible && timerArmed(cpu) ? Math.min(cpu.until_ns, cpu.deadline_ns) : cpu.until_ns;
}
