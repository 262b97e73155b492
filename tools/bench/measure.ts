/**
 * The measurements of `wkdump bench`. Each compares with something measured in the same run, since times on
 * one machine say little about another, and on a shared one little about the next minute.
 */

import { constants } from "../../build/generated/offsets.ts";
import { currentHost, type HostFs, MemoryFs, openDirectory } from "../../runtime/adapter/index.ts";
import {
  type Finished,
  freeSpace,
  ownCommand,
  residentMemory,
  runCommand,
  temporaryDirectory,
} from "../../runtime/adapter/process.ts";
import type { Terminal } from "../../runtime/adapter/terminal.ts";
import { type BootOptions, type BootResult, boot } from "../../runtime/index.ts";
import type { Program } from "../../runtime/user/proc.ts";
import { readAsset } from "../assets.ts";
import { parseBootFlags } from "../boot/options.ts";
import { SystemMap } from "../crashed/system-map.ts";
import { CommandError } from "../flags.ts";
import { machinePrograms } from "../init/programs.ts";
import { REBOOT_CMD_POWER_OFF } from "../init/reboot.ts";
import { formatSize, readableSize } from "../size.ts";

const PAGE_SIZE = 4096;
const CHILD_TIMEOUT_MS = 60_000;
export const COPY_TIMEOUT_MS = 600_000;
/** Bytes beside the dumps themselves. */
export const SPARE = 64 << 20;

/** What was measured, in order; milliseconds. */
export type Samples = number[];

export function median(samples: Samples): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Called before each sample: which of how many. */
export type Progress = (round: number, rounds: number) => void;

/** The parts of a whole boot, in order; the last is the process before power-on and after the end. */
export const BOOT_PARTS = ["boot", "load", "crash", "crash to capture", "save", "process"] as const;
export type BootPart = (typeof BOOT_PARTS)[number];

export interface BootMeasure {
  boot_ms: Samples;
  parts_ms: Record<BootPart, Samples>;
  /** The engine with an empty program. */
  empty_ms: Samples;
}

/** Whole runs of `boot` at 64M, each a process of its own: from its start to its end. */
export function measureBoot(out: string, rounds: number, progress: Progress): BootMeasure {
  const { engine, program } = ownCommand();
  const parts_ms: BootMeasure["parts_ms"] = {
    boot: [],
    load: [],
    crash: [],
    "crash to capture": [],
    save: [],
    process: [],
  };
  const measure: BootMeasure = { boot_ms: [], parts_ms, empty_ms: [] };
  for (let round = 0; round < rounds; round++) {
    progress(round, rounds);
    const directory = temporaryDirectory(out);
    try {
      measure.empty_ms.push(succeed([...engine, "-e", "0"], CHILD_TIMEOUT_MS).elapsed_ms);
      const flags = ["--memory", "64M", "--out", directory.path];
      const { elapsed_ms, stdout } = succeed([...program, "boot", ...flags], CHILD_TIMEOUT_MS);
      measure.boot_ms.push(elapsed_ms);
      const times = bootTimes(stdout);
      const between = times.total - times.boot - times.load - times["crash to capture"] - times.save;
      const parts = { ...times, crash: between, process: elapsed_ms - times.total };
      for (const part of BOOT_PARTS) measure.parts_ms[part].push(parts[part]);
    } finally {
      directory.remove();
    }
  }
  return measure;
}

type BootTimes = Record<Exclude<BootPart, "crash" | "process"> | "total", number>;

/** What `boot` says at its end. */
export function bootTimes(output: string): BootTimes {
  const line = /^Times in ms: (.*)$/m.exec(output)?.[1] ?? "";
  const time = (name: string): number => {
    const ms = new RegExp(`(?:^|, )${name} ([0-9.]+)`).exec(line)?.[1];
    if (ms === undefined) throw new CommandError(`boot told no time of its ${name}`);
    return Number(ms);
  };
  const [boot, load, save, total] = [time("boot"), time("load"), time("save"), time("total")];
  return { boot, load, "crash to capture": time("crash to capture"), save, total };
}

export interface CrashMeasure {
  /** The jump into purgatory until the capture kernel is in user mode. */
  crash_to_capture_ms: Samples;
  /** Power-on until the first kernel is in user mode, in the same runs. */
  power_on_to_user_ms: Samples;
}

/** Crashes at 64M, one after another in this process; the first, which compiles, is not counted. */
export async function measureCrash(
  terminal: Terminal,
  rounds: number,
  progress: Progress,
): Promise<CrashMeasure> {
  const options = machineOptions(terminal, ["--memory", "64M"], new MemoryFs(), leaveAtOnce());
  const measure: CrashMeasure = { crash_to_capture_ms: [], power_on_to_user_ms: [] };
  let memory: BootOptions["memory"] = options.memory;
  for (let round = -1; round < rounds; round++) {
    progress(Math.max(round, 0), rounds);
    const result = await boot({ ...options, memory, seed: round + 1 });
    // Engines slow down when many shared memories were made (one is used again and again).
    memory = result.machine.memory;
    if (round < 0) continue;
    measure.crash_to_capture_ms.push(reached(result, "crash_to_capture"));
    measure.power_on_to_user_ms.push(reached(result, "boot"));
  }
  return measure;
}

export interface MemoryMeasure {
  /** What the process has grown by, bytes. */
  resident: number;
  /** Pages that the machine has taken from its allocators, and the crash region; bytes. */
  used: number;
}

/** A machine of 4 GiB from power-on to the capture kernel's user mode. */
export async function measureMemory(terminal: Terminal): Promise<MemoryMeasure> {
  const options = machineOptions(terminal, ["--memory", "4G"], new MemoryFs(), leaveAtOnce());
  const symbols = SystemMap.parse(readAsset(terminal, "System.map"));
  const before = residentMemory();
  const result = await boot({ ...options, seed: 1 });
  reached(result, "crash_to_capture");
  const resident = residentMemory() - before;
  const { memory } = result.machine;
  const free = memory.u64(symbols.physical("vm_zone_stat") + constants.NR_FREE_PAGES * 8);
  return { resident, used: memory.size - free * PAGE_SIZE };
}

/** Nothing is saved: the capture kernel's first program switches the machine off. */
function leaveAtOnce(): Record<string, Program> {
  const programs = machinePrograms();
  programs.kdump = async (proc) => {
    await proc.reboot(REBOOT_CMD_POWER_OFF);
    return 1;
  };
  return programs;
}

export interface SaveMeasure {
  /** Size of the vmcore. */
  bytes: number;
  /**
   * The capture kernel's user mode until the vmcore has its final name: all of it, then without waiting for
   * the disk.
   */
  save_ms: Samples;
  write_ms: Samples;
  /** cp of the same file; then the same with sync(1) of the copy. */
  cp_ms: Samples;
  cp_sync_ms: Samples;
}

/** Dumps of a machine full of random data, and copies of them by cp, onto the same file system. */
export async function measureSave(
  terminal: Terminal,
  out: string,
  memory: number,
  rounds: number,
  progress: Progress,
): Promise<SaveMeasure> {
  const measure: SaveMeasure = { bytes: 0, save_ms: [], write_ms: [], cp_ms: [], cp_sync_ms: [] };
  const directory = temporaryDirectory(out);
  try {
    checkSpace(directory.path, out, 2 * memory + SPARE, "a dump and its copy");
    const flags = ["--memory", formatSize(memory), "--poweron", "random", "--seed", "1"];
    const fs = openDirectory(directory.path);
    let sync_ms = 0;
    const timed = timeSync(fs, (ms) => {
      sync_ms += ms;
    });
    const options = machineOptions(terminal, flags, timed, machinePrograms());
    for (let round = 0; round < rounds; round++) {
      progress(round, rounds);
      // Neither side is to wait for what the other has left to the disk.
      const settle = () => succeed(["sync", "-f", directory.path], COPY_TIMEOUT_MS);
      settle();
      sync_ms = 0;
      const result = await boot(options);
      options.memory = result.machine.memory;
      const save_ms = reached(result, "save");
      const vmcore = result.vmcores[0];
      if (vmcore === undefined) throw new CommandError(`no vmcore was saved: ${result.reason}`);
      measure.bytes = fs.stat(vmcore).size;
      measure.save_ms.push(save_ms);
      measure.write_ms.push(save_ms - sync_ms);
      const original = `${directory.path}/${vmcore}`;
      const copy = `${directory.path}/copy`;
      settle();
      const cp = ["cp", "--reflink=never", "--sparse=never", original, copy];
      const cp_ms = succeed(cp, COPY_TIMEOUT_MS).elapsed_ms;
      measure.cp_ms.push(cp_ms);
      measure.cp_sync_ms.push(cp_ms + succeed(["sync", copy], COPY_TIMEOUT_MS).elapsed_ms);
      fs.unlink("copy");
      fs.unlink(vmcore);
    }
  } finally {
    directory.remove();
  }
  return measure;
}

function machineOptions(
  terminal: Terminal,
  flags: readonly string[],
  hostfs: HostFs,
  programs: Record<string, Program>,
): BootOptions {
  const { memory, cmdline, powerOnFill, seed } = parseBootFlags(flags);
  return {
    image: readAsset(terminal, "vmlinuz"),
    initrd: readAsset(terminal, "initrd.img"),
    memory,
    cmdline,
    powerOnFill,
    ...(seed === undefined ? {} : { seed }),
    console: () => {},
    hostfs,
    host: currentHost(),
    programs,
  };
}

/** The same file system; `waited` is told how long each fsync took. */
function timeSync(fs: HostFs, waited: (ms: number) => void): HostFs {
  const host = currentHost();
  const clocked = (call: () => void) => {
    const start = host.monotonic_ms();
    call();
    waited(host.monotonic_ms() - start);
  };
  return new Proxy(fs, {
    get(target, name) {
      if (name === "fsync") return (handle: number) => clocked(() => target.fsync(handle));
      if (name === "fsyncDirectory") return (path: string) => clocked(() => target.fsyncDirectory(path));
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function reached(result: BootResult, phase: "boot" | "crash_to_capture" | "save"): number {
  const ms = result.timings_ms[phase];
  if (ms === null) throw new CommandError(`the machine did not come that far (${phase}): ${result.reason}`);
  return ms;
}

/** CommandError when `directory`, below `out`, has no space for so many bytes. */
export function checkSpace(directory: string, out: string, needed: number, what: string): void {
  const free = freeSpace(directory);
  if (free >= needed) return;
  const sizes = `${readableSize(needed)} are needed, ${readableSize(free)} are free`;
  throw new CommandError(`${out}: ${what} do not fit: ${sizes} (--out DIR, or a smaller --dump SIZE)`);
}

/** Runs a command that must succeed. */
export function succeed(command: readonly string[], timeout_ms: number): Finished {
  const finished = runCommand(command, timeout_ms);
  const { status, stderr } = finished;
  if (status === 0) return finished;
  const how = status === null ? `did not end in ${timeout_ms} ms` : `ended with ${status}`;
  throw new CommandError(`${command.join(" ")} ${how}: ${stderr.trim()}`);
}
