/**
 * A CPU on a thread of its own: it sleeps until its turn comes, runs the kernel, and asks the main thread
 * for devices and for what programs do.
 */

import type { Host } from "../adapter/host.ts";
import { instantiate, UnusableImage } from "../kexec/instance.ts";
import { remember } from "../kexec/modules.ts";
import { LocalApic } from "../machine/apic.ts";
import { Board, type CpuCells } from "../machine/board.ts";
import { Clock } from "../machine/clock.ts";
import { Quit } from "../machine/control.ts";
import { type Cpu, CpuRegisters, type Exit } from "../machine/cpu.ts";
import type { Bus } from "../machine/hardware.ts";
import { PAGE_SIZE, PhysicalMemory } from "../machine/memory.ts";
import { Random } from "../machine/random.ts";
import { UART } from "../machine/serial.ts";
import { Turns } from "../machine/turns.ts";
import { LOAD_ADDRESS } from "../machine/x86.ts";
import { ASK, type Letter, MAIL, MAIL_ARGS, type ThreadData } from "./protocol.ts";

/** What the first processor begins with. */
const BOOT_CPU = 0;

/** The trampoline page of a startup IPI: where the kernel's image lies, and the stack to begin on. */
const TRAMPOLINE = { start: 0, stack: 8, SIZE: 16 };

class CpuThread {
  readonly #cpu: number;
  readonly #board: Board;
  readonly #cells: CpuCells;
  readonly #host: Host;
  readonly #bus: Bus;
  readonly #apic: LocalApic;
  readonly #post: (letter: Letter) => void;

  constructor(data: ThreadData, host: Host, post: (letter: Letter) => void) {
    const { cpu, cpus, seed, seeded } = data;
    this.#cpu = cpu;
    this.#host = host;
    this.#post = post;
    this.#board = new Board(cpus, data.board);
    this.#cells = this.#board.cpus[cpu] as CpuCells;
    const clock = new Clock(host, this.#board, seed, seeded);
    const turns = new Turns(this.#board, clock, new Random(this.#board.stream("turns")), data.limit_ns);
    this.#apic = new LocalApic(cpu, this.#board, clock, turns);
    this.#bus = {
      memory: new PhysicalMemory(data.memory),
      clock,
      random: new Random(this.#board.stream("rdrand")),
      serial: {
        put: (byte) => void this.#ask(ASK.put, byte),
        outs: (start, length) => void this.#ask(ASK.outs, start, length),
        in8: UART.in8,
        flush: () => void this.#ask(ASK.flush),
      },
      hostfs: { doorbell: (request) => this.#ask(ASK.doorbell, request)[MAIL.result] as number },
    };
    remember(data.kernel);
  }

  /** From the CPU's first turn to the machine's end. */
  run(): void {
    this.#post({ op: "ready" });
    this.#cells.awaitTurn();
    if (this.#board.quit) return;
    const began = this.#cpu === BOOT_CPU ? this.#boot() : this.#startup();
    let { exit } = began;
    while (exit.kind !== "quit") {
      const { tss, cr3, physBase } = began.cpu ?? { tss: 0, cr3: 0, physBase: 0 };
      if (exit.kind !== "user") this.#post({ op: "exit", cpu: this.#cpu, exit, tss, cr3, physBase });
      const mail = exit.kind === "user" ? this.#ask(ASK.user, tss, cr3, physBase) : this.#ask(ASK.letter);
      const args = Array.from(mail.subarray(MAIL.args, MAIL.args + MAIL_ARGS));
      exit = (began.cpu as Cpu).syscall(mail[MAIL.nr] as number, args, mail[MAIL.rbx]);
    }
  }

  #boot(): { cpu?: Cpu; exit: Exit } {
    const { mailbox } = this.#cells;
    const entry = (mailbox[MAIL.entry] as number) >>> 0;
    return this.#begin(entry, (cpu) => cpu.start("startup_64", mailbox[MAIL.arg] as number));
  }

  #startup(): { cpu?: Cpu; exit: Exit } {
    const { memory } = this.#bus;
    const page = this.#cells.startup * PAGE_SIZE;
    const entry = memory.u64(page + TRAMPOLINE.start);
    const registers = new CpuRegisters(memory, (entry - LOAD_ADDRESS) >>> 0);
    const stack = registers.stackFrom(page + TRAMPOLINE.stack);
    if (stack === undefined) return dead("triple fault: a startup IPI without a stack");
    return this.#begin(entry, (cpu) => cpu.start("secondary_startup_64"), stack);
  }

  #begin(entry: number, start: (cpu: Cpu) => Exit, stack?: number): { cpu?: Cpu; exit: Exit } {
    try {
      const image = { entry, type: "kernel", number: this.#cpu, stack } as const;
      const cpu = instantiate({ bus: this.#bus, host: this.#host }, this.#apic, image);
      return { cpu, exit: start(cpu) };
    } catch (error) {
      if (!(error instanceof UnusableImage)) throw error;
      return dead(`no kernel can run at 0x${entry.toString(16)}: ${error.message}`);
    }
  }

  #ask(op: number, a = 0, b = 0, c = 0): Int32Array {
    const { mailbox } = this.#cells;
    mailbox[MAIL.op] = op;
    mailbox[MAIL.op + 1] = a;
    mailbox[MAIL.op + 2] = b;
    mailbox[MAIL.op + 3] = c;
    this.#board.ask(this.#cpu);
    this.#cells.awaitMail();
    if (this.#board.quit) throw new Quit();
    return mailbox;
  }
}

function dead(reason: string): { exit: Exit } {
  return { exit: { kind: "dead", reason } };
}

/** A CPU from the machine's first turn to its end; the last letter says that it is over. */
export function runCpu(data: ThreadData, host: Host, post: (letter: Letter) => void): void {
  try {
    new CpuThread(data, host, post).run();
  } catch (error) {
    if (!(error instanceof Quit)) {
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
      post({ op: "bug", cpu: data.cpu, message });
      const board = new Board(data.cpus, data.board);
      (board.cpus[data.cpu] as CpuCells).mailbox[MAIL.op] = ASK.letter;
      board.ask(data.cpu);
    }
  }
  post({ op: "idle" });
}
