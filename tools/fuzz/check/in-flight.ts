/**
 * What was under way on the CPUs when they stopped: the functions on their stacks and the locks that were
 * held. A check of something that an operation may have left half changed says so by a Guard; what it finds
 * is excused if that operation was really under way, and counted.
 */

import { type CrashedKernel, Inconsistency } from "../../crashed/kernel.ts";
import { Stacks } from "../../crashed/stacks.ts";
import type { SystemMap } from "../../crashed/system-map.ts";
import { KernelText } from "../../crashed/text.ts";

/** What may leave something half changed. */
export interface Guard {
  /** A word or two on what is looked at, for the count. */
  what: string;
  /** Who changes it has one of these. */
  locks?: readonly Lock[];
  /** Or is in one of these functions. */
  functions?: RegExp;
  /** Only on these CPUs; any without it. */
  cpus?: readonly number[];
}

/** Physical address of a lock's word, and the bits that say that it is held for writing. */
export interface Lock {
  at: number;
  mask: number;
}

/** spinlock_t and raw_spinlock_t: any bit. */
export const spinlock = (at: number): Lock => ({ at, mask: 0xffffffff });
/** rwlock_t: the low byte is the writer's. */
export const rwlock = (at: number): Lock => ({ at, mask: 0xff });

/** Looks, with a guard: an Inconsistency comes of it, or is excused. */
export type Part = (guard: Guard, look: () => void) => void;

/** Nothing is excused: for a kernel that nobody has interrupted. */
export const strict: Part = (_guard, look) => look();

/** The functions on the stack of each CPU that left its registers in its note; undefined: it has not. */
export class InFlight {
  readonly #kernel: CrashedKernel;
  readonly stacks: ReadonlyMap<number, ReadonlySet<string> | undefined>;
  /** How often what was found has been excused, by what was looked at. */
  readonly excused: Record<string, number> = {};
  /** What was found, and not excused. */
  readonly findings: string[] = [];

  constructor(kernel: CrashedKernel, symbols: SystemMap) {
    this.#kernel = kernel;
    const stacks = new Stacks(kernel, new KernelText(kernel, symbols));
    this.stacks = new Map(
      kernel.onlineCpus.map((cpu) => {
        const chain = stacks.ofCpu(cpu);
        return [cpu, chain && new Set(chain)];
      }),
    );
  }

  /** Runs a check whose parts are excused where something was under way. */
  check(name: string, check: (part: Part) => void): void {
    const found = (error: unknown): void => {
      if (!(error instanceof Inconsistency)) throw error;
      this.findings.push(`${name}: ${error.message}${this.#where()}`);
    };
    try {
      check((guard, look) => {
        try {
          look();
        } catch (error) {
          if (!(error instanceof Inconsistency) || !this.#excuses(guard)) return found(error);
          this.excused[guard.what] = (this.excused[guard.what] ?? 0) + 1;
        }
      });
    } catch (error) {
      found(error);
    }
  }

  /** Where the CPUs were, for whoever looks into a finding. */
  #where(): string {
    const busy = [...this.stacks].filter(
      ([, stack]) => stack !== undefined && !stack.has("cpu_startup_entry"),
    );
    return busy.map(([cpu, stack]) => `; CPU ${cpu}: ${[...(stack ?? [])].join(" < ")}`).join("");
  }

  #excuses({ locks = [], functions, cpus }: Guard): boolean {
    const held = ({ at, mask }: Lock): boolean => (this.#kernel.u32(at) & mask) !== 0;
    if (locks.some(held)) return true;
    if (functions === undefined) return false;
    return [...this.stacks].some(([cpu, stack]) => {
      if (stack === undefined || (cpus !== undefined && !cpus.includes(cpu))) return false;
      return [...stack].some((name) => functions.test(name));
    });
  }
}
