/**
 * Threads for CPUs. Starting one takes tens of milliseconds, so those of a machine that has ended wait here
 * to be CPUs of the next one. A thread that does not leave its machine in time is ended, and so is none that
 * has died taken again.
 */

import type { Host, HostThread } from "../adapter/host.ts";
import type { Letter, ThreadData } from "./protocol.ts";

/** How long a thread may take to leave a machine that is switched off. */
const PATIENCE_MS = 2000;

export interface CrewListener {
  onLetter(letter: Letter): void;
  /** A thread has died of an exception, or could not begin. */
  onError(error: unknown): void;
}

class CpuWorker {
  readonly #thread: HostThread;
  #listener: CrewListener | undefined;
  /** It is of no use any more. */
  dead = false;

  constructor(host: Host, program: URL) {
    this.#thread = host.startThread(program, {
      onMessage: (letter) => this.#listener?.onLetter(letter as Letter),
      onError: (error) => {
        this.dead = true;
        this.#listener?.onError(error);
      },
    });
  }

  employ(data: ThreadData, listener: CrewListener): void {
    this.#listener = listener;
    this.#thread.hold(true);
    this.#thread.post(data);
  }

  rest(): void {
    this.#listener = undefined;
    this.#thread.hold(false);
  }

  terminate(): void {
    this.rest();
    this.#thread.terminate();
  }
}

/** Who waits, by program. */
const idle = new Map<string, CpuWorker[]>();

function resting(program: URL): CpuWorker[] {
  const workers = idle.get(program.href) ?? [];
  idle.set(program.href, workers);
  return workers;
}

/** The threads of a machine, one for each of `cpus`. */
export class Crew {
  /** All of them wait for their turn. Rejected when one cannot. */
  readonly ready: Promise<unknown>;
  readonly #program: URL;
  /** With the promise that it has left the machine. */
  readonly #workers: readonly (readonly [CpuWorker, Promise<void>])[];
  #dismissed: Promise<unknown> | undefined;

  constructor(host: Host, program: URL, cpus: readonly ThreadData[], listener: CrewListener) {
    this.#program = program;
    const ready: Promise<void>[] = [];
    this.#workers = cpus.map((data) => {
      const worker = resting(program).pop() ?? new CpuWorker(host, program);
      const left = new Promise<void>((leave) => {
        const begun = new Promise<void>((begin, fail) => {
          worker.employ(data, {
            onLetter: (letter) => {
              if (letter.op === "ready") begin();
              else if (letter.op === "idle") leave();
              listener.onLetter(letter);
            },
            onError: (error) => {
              leave();
              fail(error);
              listener.onError(error);
            },
          });
        });
        ready.push(begun);
      });
      return [worker, left];
    });
    this.ready = Promise.all(ready);
    // Who never waits for it hears of a failure otherwise.
    this.ready.catch(() => {});
  }

  /** After the machine was switched off: its threads are free for another, or have ended. */
  dismissed(): Promise<unknown> {
    this.#dismissed ??= Promise.all(this.#workers.map(([worker, left]) => this.#dismiss(worker, left)));
    return this.#dismissed;
  }

  async #dismiss(worker: CpuWorker, left: Promise<void>): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), PATIENCE_MS);
    });
    const outcome = await Promise.race([left, late]);
    clearTimeout(timer);
    if (outcome === "late" || worker.dead) worker.terminate();
    else {
      worker.rest();
      resting(this.#program).push(worker);
    }
  }
}
