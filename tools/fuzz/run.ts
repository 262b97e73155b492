/**
 * One run: the machine of a plan from power-on to its end, held against what the host recorded. `runSeed`
 * gives a verdict; whatever goes wrong is a finding in words, never an exception.
 */
import { constants, rq } from "../../build/generated/offsets.ts";
import { currentHost, fileChunks, MemoryFs } from "../../runtime/adapter/index.ts";
import {
  type BootResult,
  boot,
  type Injection,
  type Machine,
  type PhysicalMemory,
} from "../../runtime/index.ts";
import { crashRegion } from "../boot/accounting.ts";
import type { SystemMap } from "../boot/system-map.ts";
import { CRASH_TYPES } from "../init/crashes.ts";
import { runner } from "../init/exec.ts";
import { machinePrograms } from "../init/programs.ts";
import { firstDifference } from "./check/bytes.ts";
import { checkDump } from "./check/dump.ts";
import { CrashedKernel } from "./check/kernel.ts";
import { checkPages } from "./check/pages.ts";
import { checkRecord } from "./check/record.ts";
import { checkSlabs } from "./check/slabs.ts";
import { checkExist, checkTasks } from "./check/tasks.ts";
import { type Cpus, makePlan, type Plan, planTitle } from "./plan.ts";
import { MachineRecord } from "./record.ts";
import type { Story } from "./story.ts";
import { fuzzInit } from "./workload.ts";

export interface FuzzAssets {
  /** Steps of every workload; without it each seed has its own number. */
  operations?: number;
  /** CPUs of every machine, 1 without it. */
  cpus?: Cpus;
  /** What their threads run: needed for several. */
  cpuProgram?: URL;
  image: Uint8Array;
  initrd: Uint8Array;
  symbols: SystemMap;
}

/** Memories by size: an engine slows down when it has made many. */
export type Memories = Map<number, PhysicalMemory>;

export interface Verdict {
  seed: number;
  title: string;
  outcome: BootResult["outcome"] | "threw";
  /** What is wrong; undefined when all is as it must be. */
  finding: string | undefined;
  elapsed_ms: number;
}

/** What a run leaves for whoever looks into it. */
export interface Remains {
  console: string;
  vmcore: Uint8Array | undefined;
}

/**
 * Changes memory, or the host's record, at the jump into purgatory before they are looked at, and after that
 * what it returns does: a test's planted defect.
 */
export type Plant = (machine: Machine, record: RunRecord) => (() => void) | undefined;

export interface Plants {
  /** In the first run; there is no second then. */
  first?: Plant;
  /** In the second. */
  second?: Plant;
}

/** What the host knows of a run. */
export interface RunRecord {
  console: string;
  loaded: boolean;
  crashed: boolean;
  /** Memory at the jump into purgatory. */
  memory: Uint8Array | undefined;
  /** What was found wrong on the way. */
  findings: string[];
  story: Story;
  /** What passed between programs and kernel. */
  calls: MachineRecord;
  region: { base: number; size: number } | undefined;
}

/** A machine's own time. The longest stories take seconds of it; a kernel that goes round and round ends. */
const LIMIT_MS = 60_000;

/** A panic for want of memory: nobody is left that could be killed, or it was init itself. */
const STARVED =
  /Kernel panic - not syncing: (System is deadlocked|Attempted to kill init! exitcode=0x00000009)/;

/** init's death of an oops is a panic. */
function mustCrash({ crash, cmdline, writer }: Plan): boolean {
  const ends = CRASH_TYPES.find(({ name }) => name === crash)?.ends ?? "nothing";
  if (ends === "warning") return /panic_on_(warn=1|taint=0x200)/.test(cmdline);
  if (ends === "oops") return writer === "init" || cmdline.includes("oops=panic");
  return ends !== "nothing";
}

function read(hostfs: MemoryFs, path: string): Uint8Array {
  const bytes = new Uint8Array(hostfs.stat(path).size);
  let at = 0;
  for (const piece of fileChunks(hostfs, path)) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** The byte that a plan's damage hits, once the region is known. */
function injections({ damage, memory }: Plan, region: RunRecord["region"]): Injection[] {
  if (damage === undefined || region === undefined) return [];
  const { at, xor, target, where } = damage;
  if (target === "region") return [{ at, xor, phys: region.base + Math.floor(where * region.size) }];
  const outside = Math.floor(where * (memory - region.size));
  return [{ at, xor, phys: outside < region.base ? outside : outside + region.size }];
}

async function runOnce(plan: Plan, assets: FuzzAssets, memories: Memories, plant?: Plant) {
  const record: RunRecord = {
    console: "",
    loaded: false,
    crashed: false,
    memory: undefined,
    findings: [],
    story: {
      disagreements: [],
      children: new Set(),
      starved: false,
      killed: () => false,
      adopted: () => false,
    },
    calls: new MachineRecord(),
    region: undefined,
  };
  const quiet = /quiet|loglevel=3/.test(plan.cmdline);
  record.story.killed = (pid) => quiet || record.console.includes(`Killed process ${pid} (`);
  record.story.adopted = (pid) => record.calls.wasAdopted(pid);
  const decoder = new TextDecoder("latin1");
  const hostfs = new MemoryFs();
  const programs = machinePrograms();
  const usual = programs.init as NonNullable<typeof programs.init>;
  const run = runner(programs);
  programs.init = fuzzInit(plan, usual, run, record.story);
  // The runtime reads this list at each point: what it hits is known once the region is.
  const inject: Injection[] = [];
  const result = await boot({
    image: assets.image,
    initrd: assets.initrd,
    memory: memories.get(plan.memory) ?? plan.memory,
    cpus: plan.cpus,
    ...(assets.cpuProgram === undefined ? {} : { cpuProgram: assets.cpuProgram }),
    cmdline: plan.cmdline,
    seed: plan.seed,
    powerOnFill: plan.powerOnFill,
    console: (bytes) => {
      if (!record.crashed) record.console += decoder.decode(bytes);
    },
    hostfs,
    host: currentHost(),
    programs,
    inject,
    tracer: record.calls,
    limit: LIMIT_MS,
    onPhase: (phase, machine) => {
      if (phase === "loaded") record.loaded = true;
      if (phase !== "panic") return;
      record.crashed = true;
      const after = plant?.(machine, record);
      look(record, machine, assets.symbols);
      after?.();
      inject.push(...injections(plan, record.region));
    },
  });
  memories.set(plan.memory, result.machine.memory);
  // A kernel that went to its end without kdump has its accounts in order too.
  if (!record.crashed) look(record, result.machine, assets.symbols);
  const vmcore = result.vmcores.at(-1);
  const dmesg =
    vmcore === undefined ? undefined : `${vmcore.slice(0, vmcore.lastIndexOf("/"))}/vmcore-dmesg.txt`;
  return {
    record,
    result,
    injected: inject,
    vmcore: vmcore === undefined ? undefined : read(hostfs, vmcore),
    dmesg: dmesg === undefined ? "" : decoder.decode(read(hostfs, dmesg)),
  };
}

/** The crashed kernel as it is: a copy for later, and its own accounts. */
function look(record: RunRecord, { memory }: Machine, symbols: SystemMap): void {
  record.region = crashRegion(memory, symbols);
  record.memory = memory.copy(0, memory.size);
  const { children, disagreements, killed } = record.story;
  const kernel = new CrashedKernel(viewOf(record.memory), symbols);
  record.findings.push(...disagreements);
  // A CPU that was stopped in the middle of a change has left what it changed half done.
  if (!othersIdle(kernel)) return;
  record.findings.push(
    ...checkKernel(record.memory, symbols),
    ...findings({
      checkExist: () => checkExist(kernel, children),
      checkRecord: () => checkRecord(kernel, record.calls, killed),
    }),
  );
}

/** What the NMI that stopped a CPU adds to its preempt count. */
const STOPPED_BY_NMI = constants.NMI_OFFSET + constants.HARDIRQ_OFFSET;

/** Whether every CPU but the one that crashed did nothing, and had nothing begun. */
function othersIdle(kernel: CrashedKernel): boolean {
  const crashing = kernel.s32(kernel.symbol("crashing_cpu"));
  return kernel.onlineCpus.every((cpu) => {
    const queue = kernel.percpu("runqueues", cpu);
    const idle = kernel.pointer(queue + rq.curr) === kernel.pointer(queue + rq.idle);
    const count = kernel.u32(kernel.percpu("__preempt_count", cpu));
    return cpu === crashing || kernel.onlineCpus.length === 1 || (idle && count === STOPPED_BY_NMI);
  });
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** What is wrong in a crashed kernel's memory, a sentence each. */
export function checkKernel(memory: Uint8Array, symbols: SystemMap): string[] {
  const kernel = new CrashedKernel(viewOf(memory), symbols);
  return findings({
    checkTasks: () => checkTasks(kernel),
    checkPages: () => checkPages(kernel),
    checkSlabs: () => checkSlabs(kernel),
  });
}

/** What the checks find, a sentence each. */
function findings(checks: { [name: string]: () => void }): string[] {
  return Object.entries(checks).flatMap(([name, check]) => {
    try {
      check();
      return [];
    } catch (error) {
      return [`${name}: ${(error as Error).message}`];
    }
  });
}

type Run = Awaited<ReturnType<typeof runOnce>>;

/** Whether the run came to the end it must come to. */
function checkOutcome(plan: Plan, { record, result, injected }: Run): string | undefined {
  const { outcome, reason } = result;
  const starved = record.story.starved || STARVED.test(record.console);
  if (plan.crashkernel.fits !== record.loaded) {
    return `${plan.crashkernel.words}: the capture kernel is ${record.loaded ? "" : "not "}loaded`;
  }
  if (!mustCrash(plan) && !starved) {
    return outcome === "powered-off" ? undefined : `${plan.crash} is no crash: ${outcome}, ${reason}`;
  }
  if (!record.loaded) {
    return outcome === "not-captured" ? undefined : `nothing was loaded: ${outcome}, ${reason}`;
  }
  if (outcome === "captured") return undefined;
  const [hit] = injected;
  const region = record.region;
  const inRegion =
    hit !== undefined &&
    region !== undefined &&
    hit.phys >= region.base &&
    hit.phys < region.base + region.size;
  return inRegion && outcome === "not-captured" ? undefined : `${outcome}, ${reason}`;
}

/** The dump against memory; damage at `panic` is part of what crashed. */
async function checkCapture(run: Run, symbols: SystemMap): Promise<string | undefined> {
  const { record, injected, vmcore, dmesg } = run;
  const { memory, region, console } = record;
  if (vmcore === undefined || memory === undefined || region === undefined) return undefined;
  for (const { at, phys, xor } of injected) {
    const inRegion = phys >= region.base && phys < region.base + region.size;
    // A capture kernel with another bit somewhere may do anything but harm the host; purgatory lets none
    // start that was hit before.
    if (inRegion && at !== "panic") return undefined;
    if (inRegion) continue;
    const low = phys < 0xa0000;
    if (at === "panic" || !low) memory[phys] = (memory[phys] as number) ^ xor;
    // What describes the dump may have been hit.
    if (at !== "purgatory" || !low) return undefined;
  }
  try {
    const kernel = new CrashedKernel(viewOf(memory), symbols);
    await checkDump({ vmcore, memory, kernel, region, console, dmesg });
    return undefined;
  } catch (error) {
    return `checkDump: ${(error as Error).message}`;
  }
}

function same(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : firstDifference(a, b) < 0;
}

/** Runs a seed twice: the first run is held against the record, the second against the first. */
export async function runSeed(
  seed: number,
  assets: FuzzAssets,
  memories: Memories,
  plants: Plants = {},
): Promise<{ verdict: Verdict; remains: Remains }> {
  const plan = makePlan(seed, assets.operations, assets.cpus);
  const start = currentHost().monotonic_ms();
  const verdict: Verdict = {
    seed,
    title: planTitle(plan),
    outcome: "threw",
    finding: undefined,
    elapsed_ms: 0,
  };
  const remains: Remains = { console: "", vmcore: undefined };
  try {
    const run = await runOnce(plan, assets, memories, plants.first);
    remains.console = run.record.console;
    remains.vmcore = run.vmcore;
    verdict.outcome = run.result.outcome;
    const findings = [
      ...run.record.findings,
      checkOutcome(plan, run),
      await checkCapture(run, assets.symbols),
    ];
    verdict.finding = findings.find((finding) => finding !== undefined);
    if (verdict.finding === undefined && plants.first === undefined) {
      const again = await runOnce(plan, assets, memories, plants.second);
      if (again.record.console !== run.record.console)
        verdict.finding = "the second run printed something else";
      else if (!same(again.vmcore, run.vmcore)) verdict.finding = "the second run's dump is another";
    }
  } catch (error) {
    verdict.finding = `threw: ${(error as Error).stack ?? String(error)}`;
    memories.delete(plan.memory);
  }
  verdict.elapsed_ms = currentHost().monotonic_ms() - start;
  return { verdict, remains };
}
