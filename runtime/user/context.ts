/**
 * User mode: which program runs, and its next system call. A program is an async function; a system call is
 * a promise that the kernel resolves. Where a program goes on after a call is its registers, as on hardware:
 * rbx holds the number of the continuation (Context) that made the call.
 *
 *     kernel returns to user mode --> UserMode.next(): what lies at rip says what runs, up to its next call
 *     --> the CPU enters the kernel with that call
 *
 *     rip          what lies there
 *     400000       a program's entry, with rbx 0: execve made it, and its first page says which. Else the
 *                  syscall instruction, which is made again (a call that a signal has interrupted).
 *     400002       behind that instruction: the continuation in rbx goes on with rax. One that was never in
 *                  this task (on this kernel stack, TSS.sp0) is the child of a clone(2): an async function
 *                  cannot be copied, so a child begins like one of glibc's clone(), with a function whose
 *                  address is the top word of its user stack.
 *     400010       the restorer, where a handler returns to: it calls rt_sigreturn
 *     400020...    functions of programs: children's, and signal handlers
 *
 * A handler is a continuation of its own, above the interrupted one: the kernel has put what that goes on
 * with on the user's stack, and rt_sigreturn takes it from there. Anything else that rip may be is a fault.
 *
 * What is read before a program goes on (its name and arguments, its function's address) may be in no page:
 * that is a page fault too, which leaves the registers as they are, so it is read again.
 */

import type { CpuRegisters } from "../machine/cpu.ts";
import type { Machine } from "../machine/machine.ts";
import {
  pt_regs,
  syscall,
  USER_CS,
  USER_DS,
  USER_ENTRY,
  USER_SYSCALL_RETURN,
  X86_TRAP_GP,
  X86_TRAP_PF,
  X86_TRAP_UD,
} from "../machine/x86.ts";
import { loadU64 } from "./fault.ts";
import { SegmentationFault, UserMemory } from "./memory.ts";
import type { Handler, Program } from "./proc.ts";
import { Process } from "./process.ts";
import { type HandlerEntry, ProcessState, runHandler } from "./signals.ts";

export interface SystemCall {
  nr: number;
  args: readonly number[];
  /** The continuation's number. */
  rbx: number;
}

/** What a child of clone(2) begins with. */
export interface ChildStart {
  state: ProcessState;
  run(context: Context): void;
}

/**
 * Hears of everything that passes between programs and the kernel: what the host can know of the machine
 * without asking its kernel. It must not change anything.
 */
export interface Tracer {
  /**
   * A continuation begins: a program, in the task whose continuation was `former` (0: none); the child of a
   * clone, with the function at the address `placed`; or the handler of a signal, which has interrupted
   * another continuation of its task, or a child that has not begun (0).
   */
  onStart(
    continuation: number,
    origin: { former: number } | { placed: number } | { interrupted: number; signal: number },
  ): void;
  /**
   * `memory` is the calling program's. A call that is made again since a signal has interrupted it is heard
   * of once; rt_sigreturn has no result.
   */
  onCall(call: SystemCall, memory: UserMemory): void;
  onResult(call: SystemCall, result: number, memory: UserMemory): void;
}

/** What the first page of a program holds, up to a newline. */
const MARK = "#!program ";
const MARK_MAX = 256;
const ARGUMENTS_MAX = 8192;
/** Functions lie this far apart. */
const FUNCTION_SIZE = 16;
const RESTORER = USER_ENTRY + FUNCTION_SIZE;
const ARGUMENT_MAX = 131072;
/** Stack that a handler has for the arguments of its calls. */
const HANDLER_ROOM = 8192;
/** Shells' status for a command that is not there. */
const STATUS_NOT_FOUND = 127;
/** Shells' status for a program that SIGSEGV ended. */
const STATUS_SEGV = 128 + 11;

/** A task's continuations by number: its program's, and those of the handlers above it. */
class Task {
  readonly contexts = new Map<number, Context>();
  /** Which one made the task's last call. */
  last = 0;
}

export class UserMode {
  readonly #machine: Machine;
  readonly #programs: Readonly<Record<string, Program>>;
  readonly #memory: UserMemory;
  /** The tracer's: looks without being seen. */
  readonly #looks: UserMemory;
  readonly #tracer: Tracer | undefined;
  /** By the address of the registers on the task's kernel stack. */
  readonly #tasks = new Map<number, Task>();
  /** Functions that children are to begin with, by address; and signal handlers. */
  readonly #functions = new Map<number, ChildStart>();
  readonly #handlers = new Map<number, HandlerEntry>();
  /** Theirs: a function has one address, or two, as it may be called in two ways. */
  readonly #addresses = new WeakMap<Handler, Map<boolean, number>>();
  #lastFunction = RESTORER;
  #lastContext = 0;

  constructor(machine: Machine, programs: Readonly<Record<string, Program>>, tracer?: Tracer) {
    this.#machine = machine;
    this.#programs = programs;
    this.#tracer = tracer;
    this.#memory = new UserMemory(machine);
    this.#looks = new UserMemory(machine, { accessed: false });
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
    const word = (offset: number): number => memory.u64(regs + offset);
    const rbx = memory.u32(regs + pt_regs.bx);
    const ip = word(pt_regs.ip);
    if (word(pt_regs.cs) !== USER_CS || word(pt_regs.ss) !== USER_DS) return trap(X86_TRAP_GP, rbx);
    let context: Context | SystemCall;
    if (ip === USER_ENTRY && rbx !== 0) return this.#again(regs, rbx);
    if (ip === USER_ENTRY) context = this.#begin(rbx, () => this.#exec(regs, word(pt_regs.sp)));
    else if (ip === USER_SYSCALL_RETURN) {
      const found = this.#tasks.get(regs)?.contexts.get(rbx);
      if (found !== undefined) {
        found.sp = word(pt_regs.sp);
        this.#result(
          found,
          signed64(memory.u32(regs + pt_regs.ax), memory.u32(regs + pt_regs.ax + 4)),
          onResult,
        );
      }
      context = found ?? this.#begin(rbx, () => this.#child(regs, word(pt_regs.sp)));
    } else {
      const entry = this.#handlers.get(ip);
      if (entry === undefined) return this.#noInstruction(ip, rbx);
      context = this.#signal(regs, entry, rbx);
    }
    if (!(context instanceof Context)) return context;
    const made = await context.next();
    const task = this.#tasks.get(regs) as Task;
    task.last = context.number;
    if (context.returned) task.contexts.delete(context.number);
    // What the CPU pushes on the kernel's stack with the rest.
    memory.setU64(regs + pt_regs.sp, context.sp);
    this.#tracer?.onCall(made, this.#looks);
    return made;
  }

  /** A continuation, or the page fault of what had to be read for it: then nothing has begun. */
  #begin(rbx: number, start: () => Context): Context | SystemCall {
    try {
      return start();
    } catch (error) {
      if (!(error instanceof SegmentationFault)) throw error;
      return trap(X86_TRAP_PF, rbx, error.errorCode, error.address);
    }
  }

  #result(context: Context, result: number, onResult: (call: SystemCall, result: number) => void): void {
    const call = context.finish(result);
    if (call === undefined) return;
    onResult(call, result);
    this.#tracer?.onResult(call, result, this.#looks);
  }

  /** The syscall instruction, with what the registers hold now. */
  #again(regs: number, rbx: number): SystemCall {
    const { memory } = this.#machine;
    const register = (offset: number): number => memory.u32(regs + offset);
    const args = [pt_regs.di, pt_regs.si, pt_regs.dx, pt_regs.r10, pt_regs.r8, pt_regs.r9].map(register);
    return { nr: register(pt_regs.ax) | 0, args, rbx };
  }

  /** Nothing of ours lies there: a page that may not be executed, or bytes that are no instruction. */
  #noInstruction(ip: number, rbx: number): SystemCall {
    const error = this.#memory.fetchFault(ip);
    return error === undefined ? trap(X86_TRAP_UD, rbx) : trap(X86_TRAP_PF, rbx, error, ip);
  }

  /** The task on this kernel stack begins anew. */
  #task(regs: number, context: Context): Context {
    const task = new Task();
    task.contexts.set(context.number, context);
    this.#tasks.set(regs, task);
    return context;
  }

  /** Starts the program that execve left in the page tables, its stack at `sp`. The former one is gone. */
  #exec(regs: number, sp: number): Context {
    const former = this.#tasks.get(regs)?.last ?? 0;
    const name = programName(this.#memory);
    const argv = readArguments(this.#memory, sp);
    const program = Object.hasOwn(this.#programs, name) ? this.#programs[name] : undefined;
    const context = this.#task(regs, this.#context(sp, new ProcessState(argv)));
    this.#tracer?.onStart(context.number, { former });
    void run(new Process(context, this.#memory), program ?? ((proc) => notFound(proc as Process, name)));
    return context;
  }

  #place<T>(functions: Map<number, T>, entry: T): number {
    this.#lastFunction += FUNCTION_SIZE;
    functions.set(this.#lastFunction, entry);
    return this.#lastFunction;
  }

  #placeHandler(entry: HandlerEntry): number {
    const { handler, siginfo } = entry;
    const known = this.#addresses.get(handler) ?? new Map<boolean, number>();
    this.#addresses.set(handler, known);
    const address = known.get(siginfo) ?? this.#place(this.#handlers, entry);
    known.set(siginfo, address);
    return address;
  }

  #context(sp: number, state: ProcessState): Context {
    return new Context(++this.#lastContext, sp, state, {
      child: (start) => this.#place(this.#functions, start),
      handler: (entry) => this.#placeHandler(entry),
    });
  }

  /** Starts the child of a clone, its stack at `sp`. */
  #child(regs: number, sp: number): Context {
    const address = this.#memory.u64(sp);
    const start = this.#functions.get(address);
    const context = this.#task(regs, this.#context(sp, start?.state ?? new ProcessState([])));
    this.#tracer?.onStart(context.number, { placed: address });
    this.#functions.delete(address);
    if (start !== undefined) start.run(context);
    else void run(new Process(context, this.#memory), () => Promise.reject(new SegmentationFault(address)));
    return context;
  }

  /** Starts a handler; the frame that the kernel has made for it lies at rsp. */
  #signal(regs: number, entry: HandlerEntry, rbx: number): Context {
    const { memory } = this.#machine;
    const frame = memory.u64(regs + pt_regs.sp);
    const task = this.#tasks.get(regs);
    const below = task?.contexts.get(rbx);
    const room = frame - (frame % 16) - HANDLER_ROOM;
    const context = this.#context(room, below?.state ?? new ProcessState([]));
    if (below === undefined) this.#task(regs, context);
    else task?.contexts.set(context.number, context);
    const signal = memory.u32(regs + pt_regs.di);
    this.#tracer?.onStart(context.number, { interrupted: below?.number ?? 0, signal });
    const process = new Process(context, this.#memory, { start: room, size: HANDLER_ROOM });
    void runHandler(process, context, this.#memory, entry, {
      frame,
      signal,
      info: memory.u64(regs + pt_regs.si),
      ucontext: memory.u64(regs + pt_regs.dx),
    });
    return context;
  }
}

/** An exception in the place of a system call; see Cpu.syscall(). */
function trap(vector: number, rbx: number, errorCode = 0, address = 0): SystemCall {
  return { nr: -vector, args: [errorCode, address, Math.floor(address / 2 ** 32)], rbx };
}

/** The name that the program's first page holds; "" when that is no program of ours. */
function programName(memory: UserMemory): string {
  const image = memory.string(USER_ENTRY, MARK_MAX);
  const newline = image.indexOf("\n");
  return image.startsWith(MARK) && newline > 0 ? image.slice(MARK.length, newline) : "";
}

/** Where a program's functions get addresses. */
export interface Places {
  child(start: ChildStart): number;
  handler(entry: HandlerEntry): number;
}

/** One continuation in user mode: hands system calls over to the kernel, one at a time, and results back. */
export class Context {
  constructor(
    readonly number: number,
    /** The stack pointer. */
    public sp: number,
    readonly state: ProcessState,
    readonly places: Places,
  ) {}

  /** It is a handler that has come to its end. */
  returned = false;
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

  /**
   * The end of a handler, whose frame is at `frame`: `ret` takes the address there and goes to it, which is
   * the restorer unless somebody has written over it.
   */
  async return(frame: number, memory: UserMemory): Promise<void> {
    const address = await loadU64(this, memory, frame);
    this.returned = true;
    this.sp = frame + 8;
    const error = memory.fetchFault(address);
    if (address === RESTORER) void this.syscall(syscall.rt_sigreturn);
    else if (error === undefined) void this.syscall(-X86_TRAP_UD);
    else void this.syscall(-X86_TRAP_PF, error, address, Math.floor(address / 2 ** 32));
  }

  /** Where a handler returns to: sigaction's sa_restorer. */
  get restorer(): number {
    return RESTORER;
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
