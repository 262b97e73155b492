/**
 * The CPUs of a machine as the life of a crash sees them (kexec/life.ts): what runs, until the kernel comes
 * back with an Exit of one of them. One CPU runs on this thread, several on threads of their own
 * (thread.ts), whose questions are answered here.
 */

import type { HostThread } from "../adapter/host.ts";
import { type ImageType, instantiate, kernelModule } from "../kexec/instance.ts";
import { type CpuCells, cpuState } from "../machine/board.ts";
import { type Cpu, CpuRegisters, type Exit } from "../machine/cpu.ts";
import type { Machine } from "../machine/machine.ts";
import type { SystemCall } from "../user/context.ts";
import { MAIL, type Question, type ThreadData } from "./protocol.ts";

/** An Exit, and the number of the CPU that it is of; `machine.cpu` has that CPU's registers. */
export interface CpuExit {
  exit: Exit;
  cpu: number;
}

export interface Processors {
  /** Goes on with the CPU whose task made this call. */
  syscall(cpu: number, call: SystemCall): CpuExit | Promise<CpuExit>;
  /** The kernel that they ran is left for another: none of them runs any more. */
  stop(): void;
  /** After stop(): what they held of the host is free. */
  readonly ended: Promise<unknown>;
}

/** Runs the image at `entry` on CPU `id`, on this thread. UnusableImage when it cannot. */
export class OneProcessor implements Processors {
  readonly #cpu: Cpu;
  readonly #id: number;
  readonly #entry: "startup_64" | "purgatory";
  readonly #args: readonly number[];

  constructor(machine: Machine, id: number, entry: number, type: ImageType, ...args: number[]) {
    const apic = machine.apics[id];
    if (apic === undefined) throw new RangeError(`there is no CPU ${id}`);
    this.#id = id;
    (machine.board.cpus[id] as CpuCells).state = cpuState.RUNNING;
    this.#cpu = instantiate({ bus: machine, host: machine.host }, apic, { entry, type });
    this.#entry = type === "kernel" ? "startup_64" : "purgatory";
    this.#args = args;
    machine.cpu = this.#cpu;
  }

  start(): CpuExit {
    return { exit: this.#cpu.start(this.#entry, ...this.#args), cpu: this.#id };
  }

  syscall(_cpu: number, { nr, args, rbx }: SystemCall): CpuExit {
    return { exit: this.#cpu.syscall(nr, args, rbx), cpu: this.#id };
  }

  stop(): void {}

  readonly ended = Promise.resolve();
}

/** Runs a kernel on all CPUs of the machine; the first one boots the others. */
export class ThreadedProcessors implements Processors {
  readonly #machine: Machine;
  readonly #threads: HostThread[];
  #waiting: { resolve(exit: CpuExit): void; reject(error: unknown): void } | undefined;
  /** Why a thread ended when nobody waited for it. */
  #failure: { error: unknown } | undefined;

  /** UnusableImage when there is no kernel at `entry`. `program`: what a thread runs, see HostThread. */
  constructor(machine: Machine, program: URL, entry: number) {
    const { board, seed, seeded, limit_ns, memory, host } = machine;
    const kernel = kernelModule(memory, entry, host);
    this.#machine = machine;
    this.#threads = board.cpus.map((_, cpu) => {
      const data: ThreadData = {
        cpu,
        cpus: board.cpus.length,
        board: board.buffer,
        memory: memory.wasm,
        seed,
        seeded,
        limit_ns,
        kernel,
      };
      return host.startThread(program, data, {
        onMessage: (question) => this.#answer(question as Question),
        onError: (error) => this.#fail(error),
      });
    });
  }

  /** The first CPU enters the kernel at `entry`. */
  start(entry: number, arg: number): Promise<CpuExit> {
    const boot = this.#cells(0);
    boot.state = cpuState.RUNNING;
    boot.mailbox[MAIL.entry] = entry | 0;
    boot.mailbox[MAIL.arg] = arg | 0;
    boot.giveTurn();
    return this.#next();
  }

  syscall(cpu: number, { nr, args, rbx }: SystemCall): Promise<CpuExit> {
    const { mailbox } = this.#cells(cpu);
    mailbox[MAIL.nr] = nr;
    for (let i = 0; i < args.length; i++) mailbox[MAIL.args + i] = (args[i] as number) | 0;
    mailbox.fill(0, MAIL.args + args.length, MAIL.rbx);
    mailbox[MAIL.rbx] = rbx;
    this.#cells(cpu).giveMail();
    return this.#next();
  }

  stop(): void {
    this.#machine.board.setQuit();
  }

  get ended(): Promise<unknown> {
    return Promise.all(this.#threads.map((thread) => thread.ended));
  }

  #cells(cpu: number): CpuCells {
    return this.#machine.board.cpus[cpu] as CpuCells;
  }

  #next(): Promise<CpuExit> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) reject(this.#failure.error);
      else this.#waiting = { resolve, reject };
    });
  }

  #fail(error: unknown): void {
    this.#failure = { error };
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }

  #answer(question: Question): void {
    try {
      const result = this.#serve(question);
      if (result === undefined) return;
      const cells = this.#cells(question.cpu);
      cells.mailbox[MAIL.result] = result;
      cells.giveMail();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The answer of a device at once; that of a program comes with its next system call. */
  #serve(question: Question): number | undefined {
    const machine = this.#machine;
    switch (question.op) {
      case "put":
        machine.serial.put(question.byte);
        return 0;
      case "outs":
        machine.serial.outs(question.start, question.length);
        return 0;
      case "flush":
        machine.serial.flush();
        return 0;
      case "doorbell":
        return machine.hostfs.doorbell(question.request);
      case "exit": {
        const { cpu, exit, tss, cr3, physBase } = question;
        machine.cpu = Object.assign(new CpuRegisters(machine.memory, physBase), { tss, cr3 });
        this.#waiting?.resolve({ exit, cpu });
        return undefined;
      }
      case "bug":
        this.#fail(new Error(`CPU ${question.cpu} of the machine: ${question.message}`));
        return undefined;
    }
  }
}
