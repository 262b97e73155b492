/**
 * User mode: which program runs, and its next system call. A program is an async function; a system call is
 * a promise that the kernel resolves. Where a program goes on after a call is its registers, as on hardware:
 * rbx holds the number of the continuation (Context) that made the call.
 *
 *     kernel returns to user mode --> UserMode.next(): resolves the promise of the task's system call, or
 *     starts its program; runs it up to the next call --> the CPU enters the kernel with that call
 *
 * A task starts in user mode in two ways. At USER_ENTRY it is a fresh program (execve made it): its first
 * page says which. Behind the system call, but on a kernel stack (TSS.sp0) where that continuation never was,
 * it is the child of a clone(2): an async function cannot be copied, so a child begins like one of glibc's
 * clone(), with a function whose address is the top word of its user stack.
 */

import type { CpuRegisters } from "../machine/cpu.ts";
import type { Machine } from "../machine/machine.ts";
import { pt_regs, syscall, USER_ENTRY } from "../machine/x86.ts";
import { SegmentationFault, UserMemory } from "./memory.ts";
import type { Program } from "./proc.ts";
import { Process } from "./process.ts";

export interface SystemCall {
  nr: number;
  args: readonly number[];
  /** The continuation's number. */
  rbx: number;
}

/** What a child of clone(2) begins with. */
export type ChildStart = (context: Context) => void;

/**
 * Hears of everything that passes between programs and the kernel: what the host can know of the machine
 * without asking its kernel. It must not change anything.
 */
export interface Tracer {
  /**
   * A continuation begins: a program, in the task whose continuation was `former` (0: none), or the child of
   * a clone, with the function at the address `placed`.
   */
  onStart(continuation: number, origin: { former: number } | { placed: number }): void;
  /** `memory` is the calling program's. */
  onCall(call: SystemCall, memory: UserMemory): void;
  onResult(call: SystemCall, result: number, memory: UserMemory): void;
}

/** What the first page of a program holds, up to a newline. */
const MARK = "#!program ";
const MARK_MAX = 256;
const ARGUMENTS_MAX = 8192;
/** Functions lie this far apart. */
const FUNCTION_SIZE = 16;
const ARGUMENT_MAX = 131072;
/** Shells' status for a command that is not there. */
const STATUS_NOT_FOUND = 127;
/** Shells' status for a program that SIGSEGV ended. */
const STATUS_SEGV = 128 + 11;

export class UserMode {
  readonly #machine: Machine;
  readonly #programs: Readonly<Record<string, Program>>;
  readonly #memory: UserMemory;
  readonly #tracer: Tracer | undefined;
  /** By the address of the registers on the task's kernel stack. */
  readonly #contexts = new Map<number, Context>();
  /** Functions that children are to begin with, by address. */
  readonly #functions = new Map<number, ChildStart>();
  #lastFunction = USER_ENTRY;
  #lastContext = 0;

  constructor(machine: Machine, programs: Readonly<Record<string, Program>>, tracer?: Tracer) {
    this.#machine = machine;
    this.#programs = programs;
    this.#tracer = tracer;
    this.#memory = new UserMemory(machine);
  }

  /**
   * Runs the current task in user mode until its next system call. `onResult` hears of the call that has
   * just ended. Undefined when the TSS names no kernel stack.
   */
  async next(
    cpu: CpuRegisters,
    onResult: (call: SystemCall, result: number) => void,
  ): Promise<SystemCall | undefined> {
    const regs = cpu.userRegs;
    if (regs === undefined) return undefined;
    const { memory } = this.#machine;
    let context = this.#contexts.get(regs);
    const fresh = memory.u64(regs + pt_regs.ip) === USER_ENTRY;
    if (fresh || context?.number !== memory.u32(regs + pt_regs.bx)) {
      const sp = memory.u64(regs + pt_regs.sp);
      context = fresh ? this.#exec(sp, context?.number ?? 0) : this.#child(sp);
      this.#contexts.set(regs, context);
    } else {
      const result = signed64(memory.u32(regs + pt_regs.ax), memory.u32(regs + pt_regs.ax + 4));
      const call = context.finish(result);
      if (call !== undefined) {
        onResult(call, result);
        this.#tracer?.onResult(call, result, this.#memory);
      }
    }
    const made = await context.next();
    this.#tracer?.onCall(made, this.#memory);
    return made;
  }

  /**
   * Starts the program that execve left in the page tables, its stack at `sp`. The task's former program is
   * gone, its continuation `former`.
   */
  #exec(sp: number, former: number): Context {
    const context = this.#context();
    this.#tracer?.onStart(context.number, { former });
    try {
      const name = programName(this.#memory);
      const process = new Process(context, this.#memory, readArguments(this.#memory, sp));
      const program = Object.hasOwn(this.#programs, name) ? this.#programs[name] : undefined;
      void run(process, program ?? (() => notFound(process, name)));
    } catch (error) {
      if (!(error instanceof SegmentationFault)) throw error;
      // Its first instruction, or its stack, is not mapped.
      void run(new Process(context, this.#memory, []), () => Promise.reject(error));
    }
    return context;
  }

  #context(): Context {
    return new Context(++this.#lastContext, (start) => {
      this.#lastFunction += FUNCTION_SIZE;
      this.#functions.set(this.#lastFunction, start);
      return this.#lastFunction;
    });
  }

  /** Starts the child of a clone, its stack at `sp`. */
  #child(sp: number): Context {
    const context = this.#context();
    try {
      const address = this.#memory.u64(sp);
      const start = this.#functions.get(address);
      if (start === undefined) throw new SegmentationFault(address);
      this.#tracer?.onStart(context.number, { placed: address });
      this.#functions.delete(address);
      start(context);
    } catch (error) {
      if (!(error instanceof SegmentationFault)) throw error;
      void run(new Process(context, this.#memory, []), () => Promise.reject(error));
    }
    return context;
  }
}

/** The name that the program's first page holds; "" when that is no program of ours. */
function programName(memory: UserMemory): string {
  const image = memory.string(USER_ENTRY, MARK_MAX);
  const newline = image.indexOf("\n");
  return image.startsWith(MARK) && newline > 0 ? image.slice(MARK.length, newline) : "";
}

/** One task in user mode: hands system calls over to the kernel, one at a time, and their results back. */
export class Context {
  /** `place` puts a function for a child where it has an address. */
  constructor(
    readonly number: number,
    readonly place: (start: ChildStart) => number,
  ) {}

  #pending: { call: SystemCall; resolve: (result: number) => void } | undefined;
  /** The call that the program has made and the kernel not yet taken. */
  #made: SystemCall | undefined;
  #waiting: ((call: SystemCall) => void) | undefined;

  /** What the program calls. Resolves with rax, or never: exit_group, reboot, execve. */
  syscall(nr: number, ...args: number[]): Promise<number> {
    if (this.#pending !== undefined) throw new Error("a second system call while one is under way");
    return new Promise((resolve) => {
      const call = { nr, args, rbx: this.number };
      this.#pending = { call, resolve };
      if (this.#waiting === undefined) this.#made = call;
      else {
        const waiting = this.#waiting;
        this.#waiting = undefined;
        waiting(call);
      }
    });
  }

  /** Ends the call under way; returns it. */
  finish(result: number): SystemCall | undefined {
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.resolve(result);
    return pending?.call;
  }

  /** The program's next call. */
  next(): Promise<SystemCall> {
    return new Promise((resolve) => {
      const made = this.#made;
      this.#made = undefined;
      if (made === undefined) this.#waiting = resolve;
      else resolve(made);
    });
  }
}

/**
 * The whole life of a program: its main, and exit_group with what that returns. A bug in it is status 1 and
 * a message.
 */
export async function run(process: Process, program: Program): Promise<void> {
  let status: number;
  try {
    status = await program(process);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    status = error instanceof SegmentationFault ? STATUS_SEGV : 1;
    await process.complain(`${process.argv[0] ?? "?"}: ${message}\n`);
  }
  await process.exit(status);
}

async function notFound(process: Process, name: string): Promise<number> {
  await process.complain(name === "" ? "exec format error\n" : `${name}: program not found\n`);
  return STATUS_NOT_FOUND;
}

/** argv as execve leaves it: argc, the pointers, NULL (System V ABI, 3.4.1). */
function readArguments(memory: UserMemory, sp: number): string[] {
  const count = Math.min(memory.u64(sp), ARGUMENTS_MAX);
  const argv: string[] = [];
  for (let i = 0; i < count; i++) argv.push(memory.string(memory.u64(sp + 8 + i * 8), ARGUMENT_MAX));
  return argv;
}

/** Whether a finished call is a kexec_file_load that armed kdump. */
export function armsKdump({ nr, args }: SystemCall, result: number): boolean {
  const KEXEC_FILE_UNLOAD = 1;
  const KEXEC_FILE_ON_CRASH = 2;
  const flags = args[4] ?? 0;
  return (
    nr === syscall.kexec_file_load &&
    result === 0 &&
    (flags & KEXEC_FILE_ON_CRASH) !== 0 &&
    (flags & KEXEC_FILE_UNLOAD) === 0
  );
}

function signed64(lo: number, hi: number): number {
  return (hi | 0) * 2 ** 32 + (lo >>> 0);
}
