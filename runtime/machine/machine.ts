/**
 * The machine: memory, clock, random source, serial console and hostfs device, which outlive every kernel
 * that runs on it, and the CPU, which each image gets anew. No kernel knowledge.
 */

import type { Host, HostFs } from "../adapter/host.ts";
import { LocalApic } from "./apic.ts";
import { Clock } from "./clock.ts";
import type { Cpu } from "./cpu.ts";
import { HostFsDevice, type Renamed } from "./hostfs.ts";
import { PhysicalMemory } from "./memory.ts";
import { Random } from "./random.ts";
import { Serial } from "./serial.ts";

export interface MachineOptions {
  /** Bytes of memory, or the memory of an earlier machine that has ended: it is cleared and used again. */
  memory: number | PhysicalMemory;
  /** uint32; without it time is the host's, and randomness too. */
  seed?: number;
  /** Time is the host's in spite of a seed: a snapshot of a machine that was started without one. */
  realTime?: boolean;
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
  readonly clock: Clock;
  /** Of the one CPU. */
  readonly apic: LocalApic;
  /** What rdrand gives. */
  readonly random: Random;
  readonly serial: Serial;
  readonly hostfs: HostFsDevice;
  readonly host: Host;
  /** The image that runs, once one does. */
  cpu: Cpu | undefined;
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
    this.clock = new Clock(options.host, this.seed, this.seeded);
    this.apic = new LocalApic(this.clock, options.limit === undefined ? undefined : options.limit * 1e6);
    this.random = new Random(this.seed, "rdrand");
    this.serial = new Serial(options.console);
    this.hostfs = new HostFsDevice(this.memory, options.hostfs, (renamed) => this.onRename(renamed));
    if (options.powerOnFill === "random") {
      this.memory.scribble(new Random(this.seed, "power-on"), { start: 0, length: this.memory.size });
    }
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
