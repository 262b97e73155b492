/**
 * Time as the machine sees it: nanoseconds since power-on (rdtsc) and the wall clock (rtc). With a seed
 * both are virtual: each reading advances the time by a little, and by jitter, which the seed decides, so
 * that two seeds interleave differently and one seed never does. Without, they are the host's.
 */

import type { Host } from "../adapter/host.ts";
import { Random, type RandomState } from "./random.ts";

/**
 * A reading of the virtual clock takes this long, plus up to JITTER_NS. Far more than the instruction costs:
 * it also stands for the work since the last reading, so that a boot takes the milliseconds that its log
 * should show.
 */
const READ_NS = 20_000;
const JITTER_NS = 32_768;
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

export class Clock {
  readonly #host: Host;
  readonly #virtual: boolean;
  readonly #jitter: Random;
  #now_ns = 0;
  #start_s: number;
  /** The host's clock at power-on (real time only). */
  #origin_ms: number;

  constructor(host: Host, seed: number, virtual: boolean) {
    this.#host = host;
    this.#virtual = virtual;
    this.#jitter = new Random(seed, "clock");
    this.#origin_ms = host.monotonic_ms();
    this.#start_s = virtual ? EPOCH_S + (new Random(seed, "rtc").u32() % YEAR_S) : host.wallClock_s();
  }

  /** Nanoseconds since power-on; later than any reading before. */
  read_ns(): number {
    if (this.#virtual) this.#now_ns += READ_NS + (this.#jitter.u32() % JITTER_NS);
    else {
      const now = Math.floor((this.#host.monotonic_ms() - this.#origin_ms) * 1e6);
      this.#now_ns = Math.max(now, this.#now_ns + 1);
    }
    return this.#now_ns;
  }

  /** Seconds since 1970. Reading it costs no virtual time. */
  wall_s(): number {
    return this.#virtual ? this.#start_s + Math.floor(this.#now_ns / 1e9) : this.#host.wallClock_s();
  }

  get state(): ClockState {
    const { state: jitter } = this.#jitter;
    return { virtual: this.#virtual, now_ns: this.#now_ns, start_s: this.#start_s, jitter };
  }

  /** Goes on from a snapshot's time. `virtual` is what the constructor was told. */
  restore(state: ClockState): void {
    this.#now_ns = state.now_ns;
    this.#start_s = state.start_s;
    this.#origin_ms = this.#host.monotonic_ms() - state.now_ns / 1e6;
    this.#jitter.state = state.jitter;
  }
}
