/**
 * The life of a machine around a crash: which image runs, and what each way out of it leads to.
 *
 *   RUNNING    panic(), die() -> __crash_kexec() -> machine_kexec(): hw.jump() --#intoPurgatory--> PURGATORY
 *              the same, with stopAt "purgatory"  --#stop--> stopped; a new process goes on with Life.resume
 *              no image loaded: panic() ends in hlt or, by panic_timeout, a reset  --#end--> not captured
 *              reboot(RB_POWER_OFF): hw.out8(0x604)                                --#end--> powered off
 *   PURGATORY  purgatory(): digests match: hw.jump()                               --#intoCapture--> CAPTURE
 *              digests differ: hlt                                                 --#end--> not captured
 *   CAPTURE    the kdump script named a vmcore, then reset or power-off            --#end--> captured
 *              the same without a vmcore; its own panic; a second jump             --#end--> not captured
 *   any        the run limit (Exit "expired")                                       --#end--> not captured
 *   any        triple fault, or no image that could run (UnusableImage)            --#end--> not captured
 *
 * In every state the kernel comes back from wasm code with an Exit (machine/cpu.ts); "user" means that the
 * task in user mode runs until its next system call (user/context.ts).
 */

import type { EntryPoint } from "../boot/loader.ts";
import type { Exit } from "../machine/cpu.ts";
import type { Machine } from "../machine/machine.ts";
import { Random } from "../machine/random.ts";
import { snapshotChunks } from "../machine/snapshot.ts";
import { type CpuExit, OneProcessor, type Processors, ThreadedProcessors } from "../smp/processors.ts";
import { armsKdump, type SystemCall, type Tracer, UserMode } from "../user/context.ts";
import type { Program } from "../user/proc.ts";
import { type Injection, inject } from "./inject.ts";
import { UnusableImage } from "./instance.ts";
import type { Phase, Timeline } from "./timeline.ts";

type State = "RUNNING" | "PURGATORY" | "CAPTURE";

export interface LifeOptions {
  programs: Record<string, Program>;
  inject?: readonly Injection[];
  /** Ends the run on the jump into purgatory, after injections at "panic". */
  stopAt?: "purgatory";
  /** With stopAt: takes the snapshot. Each piece may be a view of memory: use it before the next. */
  saveMemory?(pieces: Iterable<Uint8Array>): void | Promise<void>;
  onPhase?(phase: Phase, machine: Machine): void;
  /** The program of a CPU's thread, build/cpu.js: needed for several CPUs. */
  cpuProgram?: URL;
  /** Hears of the first kernel's programs and their system calls. */
  tracer?: Tracer;
}

export interface Ending {
  outcome: "captured" | "not-captured" | "powered-off" | "stopped";
  /** A sentence. */
  reason: string;
}

/** What purgatory leaves of low memory is nobody's: the capture kernel must not rely on it. */
const LOW_MEMORY = { start: 0, length: 0xa0000 };
/** The final name of a dump: kdump's, with the suffix of one whose name was taken. */
const VMCORE = /(^|\/)vmcore(\.flat)?(\.\d+)?$/;

export class Life {
  readonly #machine: Machine;
  readonly #options: LifeOptions;
  readonly #timeline: Timeline;
  readonly #injections: readonly Injection[];
  #state: State = "RUNNING";
  #users: UserMode;
  /** What runs now, and the threads of the first kernel if it has several CPUs. */
  #processors: Processors | undefined;
  #threads: ThreadedProcessors | undefined;
  /** Final path of each vmcore that the capture kernel named. */
  readonly vmcores: string[] = [];

  constructor(machine: Machine, options: LifeOptions, timeline: Timeline) {
    this.#machine = machine;
    this.#options = options;
    this.#timeline = timeline;
    this.#injections = options.inject ?? [];
    this.#users = new UserMode(machine, options.programs, options.tracer);
    machine.onRename = ({ to }) => {
      if (this.#state !== "CAPTURE" || !VMCORE.test(to)) return;
      this.vmcores.push(to);
      this.phase("saved");
    };
  }

  phase(phase: Phase): void {
    this.#timeline.mark(phase);
    this.#options.onPhase?.(phase, this.#machine);
  }

  /** Runs the production kernel at `entry`, on all CPUs, and what follows, to the end. */
  async run({ entry, arg }: EntryPoint): Promise<Ending> {
    return this.#live(await this.#boot(entry, arg));
  }

  /** Goes on from the jump into purgatory that a snapshot was taken at. */
  async resume({ entry }: EntryPoint): Promise<Ending> {
    this.#state = "PURGATORY";
    return this.#live(this.#start(0, entry, "purgatory"));
  }

  async #live(first: CpuExit): Promise<Ending> {
    try {
      for (let { exit, cpu } = first; ; ) {
        this.#machine.serial.flush();
        if (exit.kind === "user") ({ exit, cpu } = await this.#user(cpu));
        else if (exit.kind !== "jump") return this.#end(exit);
        else if (this.#state === "RUNNING") {
          // What the crashed kernel did not stop ends here, as a CPU without memory of its own would.
          this.#processors?.stop();
          // Programs run without one: a kernel that was compiled ahead would come too late.
          await this.#machine.host.turn();
          this.phase("panic");
          inject(this.#machine.memory, this.#injections, "panic");
          if (this.#options.stopAt === "purgatory") return this.#stop(exit);
          ({ exit, cpu } = this.#intoPurgatory(cpu, exit));
        } else if (this.#state === "PURGATORY") ({ exit, cpu } = this.#intoCapture(cpu, exit));
        else return this.#end({ kind: "dead", reason: "it crashed too, and left for another kernel" });
      }
    } finally {
      this.#processors?.stop();
      await this.#threads?.ended;
    }
  }

  #intoPurgatory(cpu: number, { entry }: EntryPoint): CpuExit {
    this.#state = "PURGATORY";
    return this.#start(cpu, entry, "purgatory");
  }

  #intoCapture(cpu: number, { entry, arg }: EntryPoint): CpuExit {
    const { memory, seed } = this.#machine;
    this.phase("purgatory-done");
    memory.scribble(new Random(seed, "low-memory"), LOW_MEMORY);
    inject(memory, this.#injections, "purgatory");
    this.#state = "CAPTURE";
    return this.#start(cpu, entry, "kernel", arg);
  }

  async #stop(jump: EntryPoint): Promise<Ending> {
    const { entry, arg } = jump;
    await this.#options.saveMemory?.(snapshotChunks(this.#machine, { entry, arg }));
    return { outcome: "stopped", reason: "stopped at purgatory" };
  }

  /** The first kernel. */
  async #boot(entry: number, arg: number): Promise<CpuExit> {
    const { cpuProgram } = this.#options;
    if (this.#machine.board.cpus.length === 1) return this.#start(0, entry, "kernel", arg);
    if (cpuProgram === undefined) throw new TypeError("several CPUs need the program of their threads");
    return this.#attempt(entry, "kernel", () => {
      this.#threads = new ThreadedProcessors(this.#machine, cpuProgram, entry);
      this.#processors = this.#threads;
      return this.#threads.start(entry, arg);
    });
  }

  /** The image at `entry` runs from its first instruction, on one CPU. */
  #start(cpu: number, entry: number, type: "kernel" | "purgatory", ...args: number[]): CpuExit {
    // A new image, new tasks: programs of the former kernel never hear of their calls again.
    const tracer = this.#state === "RUNNING" ? this.#options.tracer : undefined;
    this.#users = new UserMode(this.#machine, this.#options.programs, tracer);
    this.#machine.cpu = undefined;
    return this.#attempt(entry, type, () => {
      const processor = new OneProcessor(this.#machine, cpu, entry, type, ...args);
      this.#processors = processor;
      if (this.#state === "CAPTURE") this.phase("capture-boot");
      return processor.start();
    });
  }

  /** A reason instead when the image cannot run. */
  #attempt<T>(entry: number, type: string, run: () => T): T | CpuExit {
    try {
      return run();
    } catch (error) {
      if (!(error instanceof UnusableImage)) throw error;
      const reason = `no ${type} can run at 0x${entry.toString(16)}: ${error.message}`;
      return { exit: { kind: "dead", reason }, cpu: 0 };
    }
  }

  /** The current task of a CPU in user mode, up to its next system call and through the kernel. */
  async #user(cpu: number): Promise<CpuExit> {
    const { cpu: registers } = this.#machine;
    if (registers === undefined || this.#processors === undefined) throw new Error("user mode without a CPU");
    this.#firstUser();
    const onResult = (call: SystemCall, result: number): void => {
      if (this.#state === "RUNNING" && armsKdump(call, result)) this.phase("loaded");
    };
    const call = await this.#users.next(registers, onResult);
    if (call === undefined) {
      return { exit: { kind: "dead", reason: "triple fault: user mode without a kernel stack" }, cpu };
    }
    return this.#processors.syscall(cpu, call);
  }

  #firstUser(): void {
    const phase = this.#state === "CAPTURE" ? "capture-user" : "user";
    if (this.#timeline.has(phase)) return;
    this.phase(phase);
    if (phase === "capture-user") inject(this.#machine.memory, this.#injections, "capture");
  }

  #end(exit: Exclude<Exit, { kind: "user" | "jump" }>): Ending {
    const how = this.#describe(exit);
    if (this.vmcores.length > 0) {
      return {
        outcome: "captured",
        reason: `the capture kernel saved ${this.vmcores.join(", ")} and ${how}`,
      };
    }
    if (this.#state === "RUNNING") {
      if (exit.kind === "power-off") return { outcome: "powered-off", reason: `the machine ${how}` };
      return { outcome: "not-captured", reason: `the machine ${how} before a capture kernel ran` };
    }
    const who = this.#state === "PURGATORY" ? "purgatory" : "the capture kernel";
    return { outcome: "not-captured", reason: `${who} ${how} without saving a dump` };
  }

  #describe(exit: Exclude<Exit, { kind: "user" | "jump" }>): string {
    const { lastLine } = this.#machine.serial;
    const said = lastLine === "" ? "" : ` (last on the console: ${lastLine})`;
    switch (exit.kind) {
      case "halt":
        return `halted${said}`;
      case "reset":
        return `reset${said}`;
      case "power-off":
        return "powered off";
      case "expired":
        return `was stopped: it had run up to its limit${said}`;
      case "quit":
        return "was switched off";
      case "dead":
        return `died: ${exit.reason}${said}`;
    }
  }
}
