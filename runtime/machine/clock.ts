/**
 * Time as the machine sees it: nanoseconds since power-on (rdtsc) and the wall clock (rtc). With a seed
 * both are virtual: the fuel that the kernel has used is time, each reading takes a little, and jitter,
 * which the seed decides, so that two seeds interleave differently and one seed never does. Without, they
 * are the host's.
 */

import type { Host } from "../adapter/host.ts";
import type { Board } from "./board.ts";
import { Random, type RandomState } from "./random.ts";

/** Virtual time of one poll, the code between two of them included. */
export const POLL_NS = 50;
/** A reading of the virtual clock takes this long, plus up to JITTER_NS. */
const READ_NS = 10_000;
const JITTER_NS = 16_384;
/** 2024-01-01, from where a seed's wall clock starts, up to a year later. */
const EPOCH_S = 1704067200;
const YEAR_S = 365 * 86400;

export interface ClockState {
  virtual: boolean;
  /** Nanoseconds since power-on. */
  now_ns: number;
  /** The wall clock at power-on, in seconds since 1970. */
  start_s: number;
  jitter: RandomState;
}

/** A register that running code counts down, in polls. */
export interface Fuel {
  value: number;
}

export class Clock {
  readonly virtual: boolean;
  readonly #host: Host;
  readonly #jitter: Random;
  /** Where the time is: virtual as of the last settling, real as of the last reading. */
  readonly #board: Board;
  #start_s: number;
  /** The fuel of the code that runs, and how much of it has not been turned into time yet. */
  #fuel: Fuel | undefined;
  #granted = 0;
  /** For waiting in real time; nobody notifies. */
  readonly #never = new Int32Array(new SharedArrayBuffer(4));

  /** A clock that goes on with the board's time and jitter; it starts at power-on. */
  constructor(host: Host, board: Board, seed: number, virtual: boolean) {
    this.#host = host;
    this.#board = board;
    this.virtual = virtual;
    this.#jitter = new Random(board.stream("clock"));
    this.#start_s = virtual ? EPOCH_S + (new Random(seed, "rtc").u32() % YEAR_S) : host.wallClock_s();
  }

  /** Other code runs from here on, with this fuel; undefined: code without polls. */
  attach(fuel: Fuel | undefined): void {
    this.#settle();
    this.#fuel = fuel;
    this.#granted = 0;
    if (fuel !== undefined) fuel.value = 0;
  }

  /** Sets how many polls there are to the next question. */
  refuel(polls: number): void {
    if (this.#fuel === undefined) return;
    this.#settle();
    this.#fuel.value = polls;
    this.#granted = polls;
  }

  /** Another CPU runs now: time up to here is settled. */
  release(): void {
    this.#settle();
  }

  /** The CPU has its turn again, with the fuel that it had left. */
  acquire(): void {
    if (this.#fuel !== undefined) this.#granted = this.#fuel.value;
  }

  /** Polls to the next question; 0 in the middle of one. */
  get polls(): number {
    return this.#fuel === undefined ? 0 : this.#fuel.value;
  }

  /** Nanoseconds since power-on. Asking costs no time. */
  get now_ns(): number {
    if (this.virtual) this.#settle();
    else {
      const now = Math.floor((this.#host.monotonic_ms() - this.#board.origin_ms) * 1e6);
      this.#board.now_ns = Math.max(now, this.#board.now_ns);
    }
    return this.#board.now_ns;
  }

  /** The same for who runs in the machine: later than any reading before. */
  read_ns(): number {
    const now = this.now_ns;
    this.#board.now_ns = now + (this.virtual ? READ_NS + (this.#jitter.u32() % JITTER_NS) : 1);
    return this.#board.now_ns;
  }

  /** The machine does nothing until then. */
  sleepUntil(then_ns: number): void {
    const rest_ns = then_ns - this.now_ns;
    if (rest_ns <= 0) return;
    if (this.virtual) this.#board.now_ns = then_ns;
    else Atomics.wait(this.#never, 0, 0, rest_ns / 1e6);
  }

  /** Seconds since 1970. Reading it costs no virtual time. */
  wall_s(): number {
    return this.virtual ? this.#start_s + Math.floor(this.now_ns / 1e9) : this.#host.wallClock_s();
  }

  get state(): ClockState {
    const { state: jitter } = this.#jitter;
    return { virtual: this.virtual, now_ns: this.now_ns, start_s: this.#start_s, jitter };
  }

  /** Goes on from a snapshot's time. `virtual` is what the constructor was told. */
  restore(state: ClockState): void {
    this.#board.now_ns = state.now_ns;
    this.#start_s = state.start_s;
    this.#board.origin_ms = this.#host.monotonic_ms() - state.now_ns / 1e6;
    this.#jitter.state = state.jitter;
  }

  /** Turns used fuel into time. */
  #settle(): void {
    if (!this.virtual || this.#fuel === undefined) return;
    const left = this.#fuel.value;
    this.#board.now_ns += (this.#granted - left) * POLL_NS;
    this.#granted = left;
  }
}
