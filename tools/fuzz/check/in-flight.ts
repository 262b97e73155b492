/**
 * What was under way on the CPUs when they stopped: the functions on their stacks and the locks that were
 * held. A check of something that an operation may have left half changed says so by a Guard; what it finds
 * is excused if that operation was really under way, and counted.
 */
import { elf_prstatus, pt_regs } from "../../../build/generated/offsets.ts";
import type { SystemMap } from "../../boot/system-map.ts";
import { type CrashedKernel, Inconsistency } from "./kernel.ts";

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

/** Elf64_Nhdr and "CORE". */
const NOTE_DESC = 20;
/** A record: the saved frame pointer, and the return address. */
const RECORD_RETURN = 8;
const DIRECT_HI = 0xffff8880n;
/** More records than a stack has room for. */
const DEPTH_MAX = 2048;

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
    this.stacks = new Map(kernel.onlineCpus.map((cpu) => [cpu, stackOf(kernel, symbols, cpu)]));
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

/**
 * The functions that a CPU was in, from its registers and the records on its stack. The record above an
 * interrupt's is no record but the registers of what it came into.
 */
function stackOf(kernel: CrashedKernel, symbols: SystemMap, cpu: number): Set<string> | undefined {
  const notes = kernel.percpuBase(cpu) + kernel.u32(kernel.symbol("crash_notes"));
  if (kernel.u32(notes) === 0) return undefined;
  const names = new Set<string>();
  const nameAt = (at: number): string | undefined => symbols.textAt(kernel.raw(at));
  // Stacks are in the direct map: what leads elsewhere is the chain's end.
  const saved = (at: number): number => {
    const value = kernel.raw(at);
    const physical = Number(value & 0xffffffffn);
    const inside = physical % 8 === 0 && physical + pt_regs.SIZE <= kernel.size;
    return value >> 32n === DIRECT_HI && inside ? physical : 0;
  };
  let at = notes + NOTE_DESC + elf_prstatus.pr_reg;
  for (let depth = 0; at !== 0 && depth < DEPTH_MAX; depth++) {
    const record = depth > 0 ? nameAt(at + RECORD_RETURN) : undefined;
    const name = record ?? nameAt(at + pt_regs.ip);
    if (name !== undefined) names.add(name);
    else if (depth > 0) break;
    at = saved(record === undefined ? at + pt_regs.bp : at);
  }
  return names;
}
