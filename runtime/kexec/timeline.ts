/**
 * When each phase of a run began: for the story on the console, the timings, and tests that want to look
 * inside.
 */

import type { Host } from "../adapter/host.ts";

/**
 * power-on; user: the production kernel first enters user mode; loaded: kdump is armed; panic: the jump
 * into purgatory; purgatory-done: the jump out of it; capture-boot: the capture kernel's first instruction;
 * capture-user: it first enters user mode; saved: a vmcore has got its final name; end.
 */
export type Phase =
  | "power-on"
  | "user"
  | "loaded"
  | "panic"
  | "purgatory-done"
  | "capture-boot"
  | "capture-user"
  | "saved"
  | "end";

export interface Timings {
  /** Power-on to user mode. */
  boot: number | null;
  /** From then until kdump was armed. */
  load: number | null;
  /** From the jump into purgatory until the capture kernel is in user mode. */
  crash_to_capture: number | null;
  /** From then until the vmcore has got its name. */
  save: number | null;
  total: number;
}

export class Timeline {
  readonly #host: Host;
  readonly #start_ms: number;
  readonly #at_ms = new Map<Phase, number>();

  constructor(host: Host) {
    this.#host = host;
    this.#start_ms = host.monotonic_ms();
  }

  mark(phase: Phase): void {
    this.#at_ms.set(phase, this.#host.monotonic_ms() - this.#start_ms);
  }

  has(phase: Phase): boolean {
    return this.#at_ms.has(phase);
  }

  /**
   * Milliseconds from the start of the run to each phase that was reached (the last time, where it
   * repeats).
   */
  get phases_ms(): Partial<Record<Phase, number>> {
    return Object.fromEntries(this.#at_ms);
  }

  get timings_ms(): Timings {
    return {
      boot: this.#between("power-on", "user"),
      load: this.#between("user", "loaded"),
      crash_to_capture: this.#between("panic", "capture-user"),
      save: this.#between("capture-user", "saved"),
      total: this.#at_ms.get("end") ?? this.#host.monotonic_ms() - this.#start_ms,
    };
  }

  /** Null unless both were reached. */
  #between(from: Phase, to: Phase): number | null {
    const start = this.#at_ms.get(from);
    const end = this.#at_ms.get(to);
    return start === undefined || end === undefined ? null : end - start;
  }
}
