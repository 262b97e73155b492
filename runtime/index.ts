/**
 * The runtime's public interface: `boot()` runs a machine from power-on to its end, `resume()` goes on in a
 * new process from memory saved at purgatory. Wrong options throw BootError or SnapshotError before
 * anything runs; whatever happens inside the machine is a BootResult.
 */

import type { Host, HostFs } from "./adapter/host.ts";
import { BootError } from "./boot/error.ts";
import { checkImage, checkMemorySize, loadKernel, placeInitrd } from "./boot/loader.ts";
import { checkInjections, type Injection } from "./kexec/inject.ts";
import { type Ending, Life, type LifeOptions } from "./kexec/life.ts";
import { type Phase, Timeline, type Timings } from "./kexec/timeline.ts";
import { CPUS_MAX } from "./machine/board.ts";
import { Machine, type MachineOptions } from "./machine/machine.ts";
import type { PhysicalMemory } from "./machine/memory.ts";
import { SnapshotReader, type SnapshotSource } from "./machine/snapshot.ts";
import type { Tracer } from "./user/context.ts";
import type { Program } from "./user/proc.ts";

export { BootError } from "./boot/error.ts";
export type { Injection, InjectionPoint } from "./kexec/inject.ts";
export { prepare } from "./kexec/prepare.ts";
export type { Phase, Timings } from "./kexec/timeline.ts";
export { CPUS_MAX } from "./machine/board.ts";
export type { Machine } from "./machine/machine.ts";
export { hashRanges, type PhysicalMemory, type Range } from "./machine/memory.ts";
export { SnapshotError, type SnapshotSource } from "./machine/snapshot.ts";
export type { SystemCall, Tracer } from "./user/context.ts";
export type { UserMemory } from "./user/memory.ts";

interface RunOptions {
  /** What the serial console prints, in lines or when the machine pauses. */
  console(bytes: Uint8Array): void;
  /** The machine's /var/crash. */
  hostfs: HostFs;
  host: Host;
  /** By the name that execve finds in a program's file. */
  programs: Record<string, Program>;
  inject?: readonly Injection[];
  /**
   * Milliseconds of the machine's own time (virtual with a seed) after which it is stopped, wherever it is:
   * nothing in the kernel can run for ever.
   */
  limit?: number;
  /** Called as each phase begins; the machine's memory may be read and written. */
  onPhase?(phase: Phase, machine: Machine): void;
  /** Hears of the first kernel's programs and their system calls. */
  tracer?: Tracer;
}

export interface BootOptions extends RunOptions {
  /** The production kernel's image file. */
  image: Uint8Array;
  initrd: Uint8Array;
  /**
   * Bytes, 4 MiB to 4 GiB in multiples of 64 KiB; or the memory of a machine that has ended, to be used
   * again.
   */
  memory: number | PhysicalMemory;
  cmdline: string;
  /**
   * uint32. The same seed, the same vmcore on every engine; without it the host's clock and randomness are
   * used.
   */
  seed?: number;
  powerOnFill?: "zero" | "random";
  /** 1 to 8 (1). Several run on threads of their own, one at a time, in an order that the seed decides. */
  cpus?: number;
  /** The program of those threads: where build/cpu.js lies. */
  cpuProgram?: URL;
  /** What prepare() gave for the image: the kernel starts when it is done. */
  prepared?: Promise<void>;
  /** Ends the run on the jump into purgatory; saveMemory then gets the pieces of a snapshot. */
  stopAt?: "purgatory";
  saveMemory?(pieces: Iterable<Uint8Array>): void | Promise<void>;
}

/** Going on from a snapshot: injections at "panic" have happened before it was taken. */
export type ResumeOptions = RunOptions;

export interface BootResult extends Ending {
  timings_ms: Timings;
  /** From the start to each phase that was reached. */
  phases_ms: Partial<Record<Phase, number>>;
  /** Paths, relative to the hostfs directory, of the dumps that the capture kernel saved. */
  vmcores: readonly string[];
  /** Its memory can still be read. */
  machine: Machine;
}

/** Power-on to the end. BootError when the options cannot work. */
export async function boot(options: BootOptions): Promise<BootResult> {
  const timeline = new Timeline(options.host);
  const size = typeof options.memory === "number" ? options.memory : options.memory.size;
  checkMemorySize(size);
  if (options.seed !== undefined && options.seed >>> 0 !== options.seed) {
    throw new BootError(`the seed ${options.seed} is not a whole number from 0 to 4294967295`);
  }
  const header = checkImage(options.image, options.host);
  placeInitrd(header, options, size);
  checkInjections(options.inject ?? [], size);
  checkLimit(options.limit);
  checkCpus(options);
  const machine = powerOn(options);
  const life = new Life(machine, options, timeline);
  life.phase("power-on");
  return finish(machine, life, timeline, async () => {
    const entry = loadKernel(machine.memory, header, options, options.cpus);
    await options.prepared;
    return life.run(entry);
  });
}

/** Goes on from a snapshot. SnapshotError when it is damaged, BootError when the options cannot work. */
export async function resume(snapshot: SnapshotSource, options: ResumeOptions): Promise<BootResult> {
  const timeline = new Timeline(options.host);
  const reader = new SnapshotReader(snapshot, options.host);
  const { memory, seed, seeded, jump } = reader.config;
  checkInjections(options.inject ?? [], memory);
  checkLimit(options.limit);
  const machine = powerOn({ ...options, memory, seed, realTime: !seeded });
  reader.restore(machine);
  const life = new Life(machine, options satisfies LifeOptions, timeline);
  life.phase("panic");
  return finish(machine, life, timeline, () => life.resume(jump));
}

function checkLimit(limit: number | undefined): void {
  if (limit === undefined || (Number.isFinite(limit) && limit > 0)) return;
  throw new BootError(`the run limit of ${limit} ms is no time`);
}

function checkCpus({ cpus = 1, cpuProgram }: BootOptions): void {
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > CPUS_MAX) {
    throw new BootError(`a machine of ${cpus} CPUs: it can have 1 to ${CPUS_MAX}`);
  }
  if (cpus > 1 && cpuProgram === undefined) {
    throw new BootError("several CPUs need the program of their threads (cpuProgram)");
  }
}

function powerOn(options: MachineOptions): Machine {
  try {
    return new Machine(options);
  } catch (error) {
    // The size is a possible one, so it is the host that has not got it.
    if (error instanceof RangeError)
      throw new BootError(`the host has no memory for the machine: ${error.message}`);
    throw error;
  }
}

async function finish(
  machine: Machine,
  life: Life,
  timeline: Timeline,
  run: () => Promise<Ending>,
): Promise<BootResult> {
  let ending: Ending;
  try {
    ending = await run();
  } finally {
    machine.end();
  }
  life.phase("end");
  const { timings_ms, phases_ms } = timeline;
  return { ...ending, timings_ms, phases_ms, vmcores: life.vmcores, machine };
}
