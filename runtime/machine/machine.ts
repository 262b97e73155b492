/**
 * The machine: memory, clock, random source, serial console and hostfs device, which outlive every kernel
 * that runs on it, and the CPUs, which each image gets anew. No kernel knowledge.
 */

import type { Host, HostFs } from "../adapter/host.ts";
import { LocalApic } from "./apic.ts";
import { Board } from "./board.ts";
import { Clock } from "./clock.ts";
import type { CpuRegisters } from "./cpu.ts";
import { HostFsDevice, type Renamed } from "./hostfs.ts";
import { PhysicalMemory } from "./memory.ts";
import { Random } from "./random.ts";
import { Serial } from "./serial.ts";
import { Turns } from "./turns.ts";

export interface MachineOptions {
  /** Bytes of memory, or the memory of an earlier machine that has ended: it is cleared and used again. */
  memory: number | PhysicalMemory;
  /** uint32; without it time is the host's, and randomness too. */
  seed?: number;
  /** Time is the host's in spite of a seed: a snapshot of a machine that was started without one. */
  realTime?: boolean;
  /** How many CPUs, 1 without it, at most CPUS_MAX. */
  cpus?: number;
  /** What memory holds at power-on. Random bytes come from the seed. */
  powerOnFill?: "zero" | "random";
  /** Milliseconds of the machine's time after which it is stopped. */
  limit?: number;
  console(bytes: Uint8Array): void;
  hostfs: HostFs;
  host: Host;
}

export class Machine {
  readonly memory: PhysicalMemory;
  /** The seed given, or one drawn from the host. */
  readonly seed: number;
  /** Whether time and randomness come from a given seed. */
  readonly seeded: boolean;
  /** What its CPUs share, also with other threads. */
  readonly board: Board;
  /** When it is stopped, in nanoseconds since power-on. */
  readonly limit_ns: number;
  readonly clock: Clock;
  /** By the number of the CPU. */
  readonly apics: readonly LocalApic[];
  /** What rdrand gives. */
  readonly random: Random;
  readonly serial: Serial;
  readonly hostfs: HostFsDevice;
  readonly host: Host;
  /** The CPU that runs, or was the last to. */
  cpu: CpuRegisters | undefined;
  /** Called after each rename that the hostfs device completed. */
  onRename: (renamed: Renamed) => void = () => {};

  constructor(options: MachineOptions) {
    this.host = options.host;
    this.seeded = options.seed !== undefined && options.realTime !== true;
    this.seed = options.seed ?? drawSeed(options.host);
    if (typeof options.memory === "number") this.memory = new PhysicalMemory(options.memory);
    else {
      this.memory = options.memory;
      this.memory.zero(0, this.memory.size);
    }
    this.board = new Board(options.cpus ?? 1);
    const { board } = this;
    board.origin_ms = options.host.monotonic_ms();
    new Random(this.seed, "clock", board.stream("clock"));
    this.clock = new Clock(options.host, board, this.seed, this.seeded);
    this.limit_ns = options.limit === undefined ? Number.POSITIVE_INFINITY : options.limit * 1e6;
    const random = new Random(this.seed, "turns", board.stream("turns"));
    const turns = new Turns(board, this.clock, random, this.limit_ns);
    this.apics = board.cpus.map((_, id) => new LocalApic(id, board, this.clock, turns));
    this.random = new Random(this.seed, "rdrand", board.stream("rdrand"));
    this.serial = new Serial(this.memory, options.console);
    this.hostfs = new HostFsDevice(this.memory, options.hostfs, (renamed) => this.onRename(renamed));
    if (options.powerOnFill === "random") {
      this.memory.scribble(new Random(this.seed, "power-on"), { start: 0, length: this.memory.size });
    }
  }

  /** The boot CPU's. */
  get apic(): LocalApic {
    return this.apics[0] as LocalApic;
  }

  /**
   * The NMI button of the front panel: CPU `cpu` gets a non-maskable interrupt after so much of the machine's
   * time. One at a time is under way.
   */
  pressNmi(cpu: number, after_ns: number): void {
    this.board.nmi = { at_ns: this.clock.now_ns + after_ns, cpu };
  }

  /** The end: what the console still holds is printed, files are closed. Memory stays readable. */
  end(): void {
    this.serial.flush();
    this.hostfs.closeAll();
  }
}

function drawSeed(host: Host): number {
  const word = new Uint32Array(1);
  host.random(new Uint8Array(word.buffer));
  return word[0] as number;
}
