/**
 * One run: the machine of a plan from power-on to its end, held against what the host recorded. `runSeed`
 * gives a verdict; whatever goes wrong is a finding in words, never an exception.
 */
import { rq } from "../../build/generated/offsets.ts";
import { currentHost, fileChunks, MemoryFs } from "../../runtime/adapter/index.ts";
import {
  type BootResult,
  boot,
  type Injection,
  type Machine,
  type PhysicalMemory,
} from "../../runtime/index.ts";
import { crashRegion } from "../crashed/accounting.ts";
import { CrashedKernel } from "../crashed/kernel.ts";
import type { SystemMap } from "../crashed/system-map.ts";
import { CRASH_TYPES } from "../init/crashes.ts";
import { runner } from "../init/exec.ts";
import { machinePrograms } from "../init/programs.ts";
import { firstDifference } from "./check/bytes.ts";
import { checkDump } from "./check/dump.ts";
import { InFlight } from "./check/in-flight.ts";
import { checkPages } from "./check/pages.ts";
import { checkRecord } from "./check/record.ts";
import { checkSlabs } from "./check/slabs.ts";
import { checkSwap } from "./check/swap.ts";
import { checkExist, checkTasks } from "./check/tasks.ts";
import { type Cpus, INIT_EXIT, makePlan, NMI, OOM, type Plan, planTitle } from "./plan.ts";
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
  /** What the checks have excused because it was under way, by what they looked at. */
  excused: Record<string, number>;
  /** Nobody has looked at the kernel's accounts: it stopped without a trace of what was under way. */
  unseen: boolean;
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
  /** What the checks have excused because it was under way, by what they looked at. */
  excused: Record<string, number>;
  /** The machine stopped without a trace of what was under way: nobody has looked. */
  unseen: boolean;
}

/** A machine's own time. The longest stories take seconds of it; a kernel that goes round and round ends. */
const LIMIT_MS = 60_000;

/** A panic for want of memory: nobody is left that could be killed, or it was init itself. */
const STARVED =
  /Kernel panic - not syncing: (System is deadlocked|Attempted to kill init! exitcode=0x00000009)/;

/** init's death of an oops is a panic. */
function mustCrash({ crash, cmdline, writer }: Plan): boolean {
  if (crash === NMI || crash === INIT_EXIT) return true;
  const ends = CRASH_TYPES.find(({ name }) => name === crash)?.ends ?? "nothing";
  if (crash === OOM) return true;
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
      unasked: false,
      starved: false,
      killed: () => false,
      adopted: () => false,
      pressNmi: () => {},
    },
    calls: new MachineRecord(),
    region: undefined,
    excused: {},
    unseen: false,
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
      if (phase === "power-on") record.story.pressNmi = (cpu, after_ns) => machine.pressNmi(cpu, after_ns);
      if (phase === "loaded") record.loaded = true;
      if (phase !== "panic") return;
      record.crashed = true;
      const after = plant?.(machine, record);
      look(record, machine, assets.symbols, plan.moment !== "after");
      after?.();
      inject.push(...injections(plan, record.region));
    },
  });
  memories.set(plan.memory, result.machine.memory);
  // A kernel that went to its end without kdump has its accounts in order too.
  if (!record.crashed) look(record, result.machine, assets.symbols, plan.moment !== "after");
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

/**
 * The crashed kernel as it is: a copy for later, and its own accounts. `planned`: it was to crash in the
 * middle of something; want of memory does that at any moment.
 */
function look(record: RunRecord, { memory }: Machine, symbols: SystemMap, planned: boolean): void {
  const interrupted = planned || STARVED.test(record.console);
  record.region = crashRegion(memory, symbols);
  record.memory = memory.copy(0, memory.size);
  const { children, disagreements, killed } = record.story;
  const kernel = new CrashedKernel(viewOf(record.memory), symbols);
  record.findings.push(...disagreements);
  const inFlight = new InFlight(kernel, symbols);
  if (!seen(kernel, inFlight, interrupted)) {
    record.unseen = true;
    return;
  }
  checkAll(inFlight, kernel);
  inFlight.check("checkExist", (part) => checkExist(kernel, children, part));
  inFlight.check("checkRecord", (part) => checkRecord(kernel, record.calls, killed, part));
  record.findings.push(...inFlight.findings);
  record.excused = inFlight.excused;
}

/**
 * Whether all that was under way is known. Without a capture kernel nobody saves registers: then only of a
 * machine that was not interrupted in the middle of something, and whose other CPUs did nothing.
 */
function seen(kernel: CrashedKernel, { stacks }: InFlight, interrupted: boolean): boolean {
  const saved = [...stacks.values()].every((stack) => stack !== undefined);
  if (kernel.s32(kernel.symbol("crashing_cpu")) >= 0 && saved) return true;
  if (interrupted && kernel.s32(kernel.symbol("panic_cpu")) >= 0) return false;
  const cpus = kernel.u32(kernel.symbol("nr_cpu_ids"));
  return Array.from({ length: cpus }, (_, cpu) => cpu).every((cpu) => {
    const queue = kernel.percpu("runqueues", cpu);
    return stacks.has(cpu) || kernel.pointer(queue + rq.curr) === kernel.pointer(queue + rq.idle);
  });
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** What is wrong in a crashed kernel's memory, a sentence each. */
export function checkKernel(memory: Uint8Array, symbols: SystemMap): string[] {
  const kernel = new CrashedKernel(viewOf(memory), symbols);
  const inFlight = new InFlight(kernel, symbols);
  checkAll(inFlight, kernel);
  return inFlight.findings;
}

function checkAll(inFlight: InFlight, kernel: CrashedKernel): void {
  inFlight.check("checkTasks", (part) => checkTasks(kernel, part));
  inFlight.check("checkPages", (part) => checkPages(kernel, part));
  inFlight.check("checkSlabs", (part) => checkSlabs(kernel, part));
  inFlight.check("checkSwap", (part) => checkSwap(kernel, part));
}

type Run = Awaited<ReturnType<typeof runOnce>>;

/** Whether the run came to the end it must come to. */
function checkOutcome(plan: Plan, { record, result, injected }: Run): string | undefined {
  const { outcome, reason } = result;
  const starved = record.story.starved || STARVED.test(record.console);
  // Whoever wants too much may be refused instead.
  if (plan.crash === OOM && outcome === "powered-off") return undefined;
  if (plan.crashkernel.fits !== record.loaded) {
    return `${plan.crashkernel.words}: the capture kernel is ${record.loaded ? "" : "not "}loaded`;
  }
  if ((!mustCrash(plan) || record.story.unasked) && !starved) {
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
    excused: {},
    unseen: false,
    elapsed_ms: 0,
  };
  const remains: Remains = { console: "", vmcore: undefined };
  try {
    const run = await runOnce(plan, assets, memories, plants.first);
    remains.console = run.record.console;
    remains.vmcore = run.vmcore;
    verdict.outcome = run.result.outcome;
    verdict.excused = run.record.excused;
    verdict.unseen = run.record.unseen;
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
