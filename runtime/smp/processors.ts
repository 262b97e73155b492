/**
 * The CPUs of a machine as the life of a crash sees them (kexec/life.ts): what runs, until the kernel comes
 * back with an Exit of one of them. One CPU runs on this thread, several on threads of their own
 * (thread.ts), whose questions are answered here.
 */

import { type ImageType, instantiate, kernelModule } from "../kexec/instance.ts";
import { type CpuCells, cpuState } from "../machine/board.ts";
import { type Cpu, CpuRegisters, type Exit } from "../machine/cpu.ts";
import type { Machine } from "../machine/machine.ts";
import type { SystemCall } from "../user/context.ts";
import { Crew } from "./pool.ts";
import { ASK, type Letter, MAIL, type ThreadData } from "./protocol.ts";

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

/** How long the main thread sleeps at most until it looks whether a thread has died. */
const PATIENCE_MS = 1000;

/** Runs a kernel on all CPUs of the machine; the first one boots the others. */
export class ThreadedProcessors implements Processors {
  readonly #machine: Machine;
  readonly #crew: Crew;
  /** Who waits for a letter with an exit. */
  #waiting: { resolve(exit: CpuExit): void; reject(error: unknown): void } | undefined;
  /** A letter that nobody has waited for yet. */
  #arrived: CpuExit | undefined;
  #failure: { error: unknown } | undefined;

  /** UnusableImage when there is no kernel at `entry`. `program`: what a thread runs, see HostThread. */
  constructor(machine: Machine, program: URL, entry: number) {
    const { board, seed, seeded, limit_ns, memory, host } = machine;
    const kernel = kernelModule(memory, entry, host);
    this.#machine = machine;
    const cpus = board.cpus.map((_, cpu): ThreadData => {
      return {
        cpu,
        cpus: board.cpus.length,
        board: board.buffer,
        memory: memory.wasm,
        seed,
        seeded,
        limit_ns,
        kernel,
      };
    });
    this.#crew = new Crew(host, program, cpus, {
      onLetter: (letter) => this.#read(letter),
      onError: (error) => this.#fail(error),
    });
  }

  /** The first CPU enters the kernel at `entry`. */
  async start(entry: number, arg: number): Promise<CpuExit> {
    await this.#crew.ready;
    const boot = this.#cells(0);
    boot.state = cpuState.RUNNING;
    boot.mailbox[MAIL.entry] = entry | 0;
    boot.mailbox[MAIL.arg] = arg | 0;
    boot.giveTurn();
    return this.#next();
  }

  syscall(cpu: number, { nr, args, rbx }: SystemCall): CpuExit | Promise<CpuExit> {
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
    return this.#crew.dismissed();
  }

  #cells(cpu: number): CpuCells {
    return this.#machine.board.cpus[cpu] as CpuCells;
  }

  /** Answers questions until the kernel comes back. */
  #next(): CpuExit | Promise<CpuExit> {
    for (;;) {
      const cpu = this.#machine.board.awaitQuestion(PATIENCE_MS);
      if (cpu === undefined) return this.#lookUp();
      const { mailbox } = this.#cells(cpu);
      const op = mailbox[MAIL.op] as number;
      if (op === ASK.letter) return this.#letter();
      if (op === ASK.user) {
        this.#setRegisters(
          mailbox[MAIL.tss] as number,
          mailbox[MAIL.cr3] as number,
          mailbox[MAIL.physBase] as number,
        );
        return { exit: { kind: "user" }, cpu };
      }
      mailbox[MAIL.result] = this.#serve(op, mailbox[MAIL.a] as number, mailbox[MAIL.b] as number);
      this.#cells(cpu).giveMail();
    }
  }

  /** Nobody has asked for long: whether that is because a thread has died, the host tells in between. */
  async #lookUp(): Promise<CpuExit> {
    await this.#machine.host.turn();
    if (this.#failure !== undefined) throw this.#failure.error;
    return this.#next();
  }

  #letter(): CpuExit | Promise<CpuExit> {
    return new Promise((resolve, reject) => {
      const exit = this.#arrived;
      this.#arrived = undefined;
      if (this.#failure !== undefined) reject(this.#failure.error);
      else if (exit !== undefined) resolve(exit);
      else this.#waiting = { resolve, reject };
    });
  }

  #read(letter: Letter): void {
    if (letter.op === "bug") this.#fail(new Error(`CPU ${letter.cpu} of the machine: ${letter.message}`));
    if (letter.op !== "exit") return;
    const { cpu, exit, tss, cr3, physBase } = letter;
    this.#setRegisters(tss, cr3, physBase);
    if (this.#waiting === undefined) this.#arrived = { exit, cpu };
    else this.#waiting.resolve({ exit, cpu });
    this.#waiting = undefined;
  }

  #fail(error: unknown): void {
    this.#failure = { error };
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }

  #setRegisters(tss: number, cr3: number, physBase: number): void {
    const { memory } = this.#machine;
    const registers = { tss: tss >>> 0, cr3: cr3 >>> 0 };
    this.#machine.cpu = Object.assign(new CpuRegisters(memory, physBase >>> 0), registers);
  }

  /** A device's answer. */
  #serve(op: number, a: number, b: number): number {
    const { serial, hostfs } = this.#machine;
    if (op === ASK.put) serial.put(a);
    else if (op === ASK.outs) serial.outs(a >>> 0, b >>> 0);
    else if (op === ASK.flush) serial.flush();
    else return hostfs.doorbell(a >>> 0);
    return 0;
  }
}
