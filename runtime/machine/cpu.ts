/**
 * A CPU: an instance of an image over the machine's memory, with the two registers that lie outside wasm
 * code (sp and the CPU's number are the module's globals, TSS and CR3 the hardware's). It enters the image
 * as hardware would, and turns each way out of it into an `Exit`:
 *
 *     enter ---> wasm code --returns--> user mode, or the image's end
 *                  | SwitchTo  -> sp = TSS.sp0, enter cpu_resume
 *                  | trap      -> vector (trap.ts), enter asm_exc;  stack guard -> double fault on TSS.ist1
 *                  | PageFault -> vector 14, enter asm_exc
 *                  | Halt, Jump, PowerOff, Reset, Expired -> an Exit
 *
 * Interrupts come by no entry of their own: a poll in the running code asks for them (apic.ts).
 */

import type { LocalApic } from "./apic.ts";
import type { Fuel } from "./clock.ts";
import { CodeTable } from "./code-table.ts";
import { Expired, Halt, Jump, PageFault, PowerOff, Quit, Reset, SwitchTo } from "./control.ts";
import { type Bus, hardware } from "./hardware.ts";
import type { PhysicalMemory } from "./memory.ts";
import { classifyTrap } from "./trap.ts";
import {
  DIRECT_MAP_HI,
  EXCEPTION_STKSZ,
  IMAGE_MAP_HI,
  IMAGE_MAP_LO,
  pt_regs,
  STACK_GUARD,
  THREAD_SIZE,
  TSS_IST1,
  TSS_SP0,
  X86_TRAP_DF,
  X86_TRAP_GP,
  X86_TRAP_PF,
  X86_TRAP_UD,
} from "./x86.ts";

export type Exit =
  /** The current task is to run in user mode; its registers are at `Cpu.userRegs`. */
  | { kind: "user" }
  | { kind: "halt" }
  | { kind: "jump"; entry: number; arg: number }
  | { kind: "power-off" }
  | { kind: "reset" }
  /** Stopped at the run limit. */
  | { kind: "expired" }
  /** The machine ended while the CPU waited. */
  | { kind: "quit" }
  /** Wasm code ended in a way that no hardware has an answer to. */
  | { kind: "dead"; reason: string };

/** Where in memory an instance finds itself. */
export interface Placement {
  /** Physical address of the image's data. */
  base: number;
  /** Physical minus link address. */
  physBase: number;
  /** Physical address of the boot stack's top. */
  stack: number;
}

/** Words of an exception in user mode, and of a system call. */
const FAULT_WORDS = 3;
const SYSCALL_WORDS = 6;

/** Exceptions that programs have. */
const USER_TRAPS: readonly number[] = [X86_TRAP_UD, X86_TRAP_GP, X86_TRAP_PF];

type Entry = (...args: number[]) => void;

/**
 * Exceptions raised one inside another's handler, after which the CPU gives up: each takes stack, so this
 * is never near.
 */
const NESTED_MAX = 1000;

/** The table registers, and what they lead to. */
export class CpuRegisters {
  /** Physical addresses; 0 until the kernel loads them. */
  tss = 0;
  cr3 = 0;

  /** `physBase`: of the image that runs, physical minus link address. */
  constructor(
    readonly memory: PhysicalMemory,
    readonly physBase: number,
  ) {}

  /**
   * Physical address of the current task's pt_regs, below TSS.sp0; undefined without a TSS, or a stack in
   * memory.
   */
  get userRegs(): number | undefined {
    const top = this.stackAt(TSS_SP0);
    return top === undefined ? undefined : top - pt_regs.SIZE;
  }

  /**
   * Physical address of the stack whose virtual one stands in the TSS at `offset`; undefined when there is
   * none.
   */
  stackAt(offset: number): number | undefined {
    return this.tss === 0 ? undefined : this.stackFrom(this.tss + offset);
  }

  /** The same for an address in memory at `at`. */
  stackFrom(at: number): number | undefined {
    const { memory } = this;
    if (!memory.has(at, 8)) return undefined;
    const lo = memory.u32(at);
    const hi = memory.u32(at + 4);
    let top: number;
    if (hi === DIRECT_MAP_HI) top = lo;
    else if (hi === IMAGE_MAP_HI) top = (lo - IMAGE_MAP_LO + this.physBase) >>> 0;
    else return undefined;
    return top >= THREAD_SIZE && top <= memory.size ? top : undefined;
  }
}

export class Cpu extends CpuRegisters {
  /** Of modules; undefined in an image that loads none. */
  readonly code: CodeTable | undefined;
  readonly #exports: WebAssembly.Exports;
  readonly #sp: WebAssembly.Global;
  /** Names of traps that were delivered, newest last: for a reason when the image dies. */
  #lastTrap = "";

  /**
   * A CPU whose number the kernel sees as `number`. Throws WebAssembly.LinkError, or TypeError, when the
   * module is no image's.
   */
  constructor(
    bus: Bus,
    apic: LocalApic,
    module: WebAssembly.Module,
    { base, physBase, stack }: Placement,
    number = 0,
  ) {
    super(bus.memory, physBase);
    const instance = new WebAssembly.Instance(module, {
      env: {
        memory: bus.memory.wasm,
        __base: new WebAssembly.Global({ value: "i32", mutable: false }, base | 0),
        __phys_base: new WebAssembly.Global({ value: "i32", mutable: false }, physBase | 0),
      },
      hw: hardware(bus, apic, this),
    });
    this.#exports = instance.exports;
    this.code = codeTableOf(bus.memory, this.#exports);
    this.#sp = this.#register("sp");
    this.#sp.value = stack | 0;
    this.#register("cpu").value = number;
    apic.attach(fuelOf(this.#exports));
  }

  /** Calls the image's first function, which does not return. */
  start(name: "startup_64" | "secondary_startup_64" | "purgatory", ...args: number[]): Exit {
    const entry = this.#entry(name);
    if (entry === undefined) return { kind: "dead", reason: `the image has no ${name}` };
    return this.#run(entry, args, `${name} returned`);
  }

  /**
   * The `syscall` instruction of the task in user mode, with what the program has in rbx. A number that is
   * the negative of an exception's vector is that exception instead: its error code and, of a page fault, the
   * two halves of the address are `args`.
   */
  syscall(nr: number, args: readonly number[], rbx = 0): Exit {
    const fault = USER_TRAPS.includes(-nr);
    const name = fault ? "asm_exc_user" : "entry_SYSCALL_64";
    const entry = this.#entry(name);
    if (entry === undefined) return { kind: "dead", reason: `the kernel has no ${name}` };
    const regs = this.userRegs;
    if (regs === undefined) return { kind: "dead", reason: "triple fault: no kernel stack in the TSS" };
    this.#sp.value = (regs + pt_regs.SIZE) | 0;
    const words = (count: number): number[] => Array.from({ length: count }, (_, i) => (args[i] ?? 0) | 0);
    return this.#run(entry, fault ? [-nr, ...words(FAULT_WORDS), rbx] : [nr, ...words(SYSCALL_WORDS), rbx]);
  }

  /** `returned` says what it means that the entry returns; without it, the current task goes to user mode. */
  #run(first: Entry, firstArgs: readonly number[], returned?: string): Exit {
    let entry = first;
    let args = firstArgs;
    let atReturn = returned;
    this.code?.sync();
    for (let nested = 0; ; ) {
      try {
        entry(...args);
        return atReturn === undefined ? { kind: "user" } : { kind: "dead", reason: atReturn };
      } catch (thrown) {
        if (thrown instanceof SwitchTo) {
          const top = this.stackAt(TSS_SP0);
          const resume = this.#entry("cpu_resume");
          if (top === undefined || resume === undefined)
            return this.#tripleFault("a task switch without a TSS");
          this.#sp.value = top | 0;
          entry = resume;
          args = [];
          atReturn = undefined;
          nested = 0;
          continue;
        }
        const exit = exitOf(thrown);
        if (exit !== undefined) return exit;
        const exception = this.#exception(thrown);
        if (typeof exception === "string") return this.#tripleFault(exception);
        const handler = this.#entry("asm_exc");
        if (handler === undefined) return { kind: "dead", reason: this.#lastTrap };
        if (++nested > NESTED_MAX) return this.#tripleFault(this.#lastTrap);
        entry = handler;
        args = exception;
        atReturn = `the handler of an exception returned (${this.#lastTrap})`;
      }
    }
  }

  /**
   * The arguments of asm_exc for what was thrown; a reason when there is no stack to take the exception on.
   * Throws what is no trap: a bug of the runtime.
   */
  #exception(thrown: unknown): number[] | string {
    const sp = (this.#sp.value as number) >>> 0;
    if (thrown instanceof PageFault) {
      const { lo, hi, errorCode } = thrown;
      this.#lastTrap = `page fault at 0x${hex(hi)}${hex(lo)}`;
      return [X86_TRAP_PF, errorCode | 0, lo | 0, hi | 0];
    }
    const trap = classifyTrap(thrown);
    if (trap === undefined) throw thrown;
    this.#lastTrap = trap.name;
    // At 0 the stack is empty, not full: the guard was passed long before.
    const depth = sp % THREAD_SIZE;
    const guard = trap.vector === X86_TRAP_UD && depth > 0 && depth < STACK_GUARD;
    if (guard || trap.vector === X86_TRAP_DF) {
      this.#lastTrap = guard ? "kernel stack overflow" : trap.name;
      const ist = this.stackAt(TSS_IST1);
      // No stack for the handler, or it was that stack that overflowed.
      if (ist === undefined || (sp < ist && sp >= ist - EXCEPTION_STKSZ)) return this.#lastTrap;
      this.#sp.value = ist | 0;
      // As the hardware pushes the old rsp on the new stack.
      return [X86_TRAP_DF, 0, sp | 0, 0];
    }
    if (trap.vector === X86_TRAP_PF) {
      // The engine does not say which address: the first that is not there is the nearest to the truth.
      const end = this.memory.size;
      return [X86_TRAP_PF, 0, end | 0, (end >= 2 ** 32 ? DIRECT_MAP_HI + 1 : DIRECT_MAP_HI) | 0];
    }
    return [trap.vector, 0, 0, 0];
  }

  #tripleFault(cause: string): Exit {
    return { kind: "dead", reason: `triple fault: ${cause}` };
  }

  #entry(name: string): Entry | undefined {
    const entry = this.#exports[name];
    return typeof entry === "function" ? (entry as Entry) : undefined;
  }

  #register(name: string): WebAssembly.Global {
    const global = this.#exports[name];
    if (!(global instanceof WebAssembly.Global)) throw new TypeError(`the image has no global ${name}`);
    return global;
  }
}

/** For a kernel that has what modules need: a table that others may fill, and a poll for them. */
function codeTableOf(memory: PhysicalMemory, exports: WebAssembly.Exports): CodeTable | undefined {
  const { table, sp, cpu, poll } = exports;
  if (!(table instanceof WebAssembly.Table) || typeof poll !== "function") return undefined;
  const imports = { memory: memory.wasm, table, sp, cpu, poll } as WebAssembly.ModuleImports;
  return new CodeTable(memory, { table, imports });
}

/** The fuel register of an image with polls. */
function fuelOf({ fuel_left, refuel }: WebAssembly.Exports): Fuel | undefined {
  if (typeof fuel_left !== "function" || typeof refuel !== "function") return undefined;
  return {
    get value(): number {
      return fuel_left();
    },
    set value(polls: number) {
      refuel(polls);
    },
  };
}

function exitOf(thrown: unknown): Exit | undefined {
  if (thrown instanceof Jump) return { kind: "jump", entry: thrown.entry, arg: thrown.arg };
  if (thrown instanceof Halt) return { kind: "halt" };
  if (thrown instanceof PowerOff) return { kind: "power-off" };
  if (thrown instanceof Reset) return { kind: "reset" };
  if (thrown instanceof Expired) return { kind: "expired" };
  if (thrown instanceof Quit) return { kind: "quit" };
  return undefined;
}

function hex(word: number): string {
  return word.toString(16).padStart(8, "0");
}
