/** `wkdump fuzz`: explore crash paths from seeds. */

import { openDirectory } from "../../runtime/adapter/index.ts";
import { ownCommand, runCommand } from "../../runtime/adapter/process.ts";
import type { Terminal } from "../../runtime/adapter/terminal.ts";
import { CPUS_MAX } from "../../runtime/index.ts";
import { readAsset } from "../assets.ts";
import { SystemMap } from "../crashed/system-map.ts";
import { CommandError, type FlagForm, parseFlags, UsageError } from "../flags.ts";
import { earlyEnd, numberOf, SEED_FORMS, type SeedFlags, seedFlags } from "../seeds.ts";
import { type Cpus, makePlan, planTitle } from "./plan.ts";
import { type FuzzAssets, type Memories, type Remains, runSeed, type Verdict } from "./run.ts";

export const HELP = `wkdump fuzz - explore crash paths from seeds

Usage: wkdump fuzz --runs N [--from SEED] [--cpus N] [--operations N]
                   [--limit SECONDS] [--out DIR] [--json]
       wkdump fuzz --replay SEED [--cpus N] [--operations N]
                   [--limit SECONDS] [--out DIR] [--json]

A seed gives a machine (memory, crashkernel=, power-on memory, words of the
command line), a workload, and a crash: its kind, its moment (after the workload or
in the middle of it, on which CPU; an NMI in the middle of anything), and at times a
byte damaged on the way. Each seed is run twice, and held against what the host
recorded: the crashed kernel's lists, page allocator, slabs, tasks, files and run
queue agree with each other; every byte of the dump is the memory's, with its
notes, and its log is what the console showed; the run ends as it must, captured
or for a reason that is known; the second run gives the same dump.

  --runs N        how many seeds
  --from SEED     the first of them (0)
  --replay SEED   one seed, and its console on the way
  --cpus N        CPUs of every machine, 1 to 8, or any: 1, 2, 4 or 8 as the seed
                  says (1). What an operation has left half changed because it was
                  stopped in the middle (its lock is held, or its function is on that
                  CPU's stack) is excused and counted
  --operations N  steps of every workload, up to 10000, instead of the seed's own
                  number: up to 200, in one seed of twenty up to 10000
  --limit SECONDS what a seed may take until its process is killed for hanging
                  (2, 1 more for each 1000 of --operations, and 20 a process)
  --out DIR       where runs with a finding leave their folder, seed-N with --cpus and
                  --operations if given: title, console and vmcore (./var/fuzz); with
                  --replay, in any case
  --json          one JSON object on stdout and nothing else: outcomes, what was excused,
                  and how many are unseen: machines that stopped without a trace of what
                  was under way

Runs happen in a process of their own with a time limit.

Exit status:
  0  nothing was found
  1  something was, or the runs could not be made
  2  wrong usage
`;

const FORMS: Record<string, FlagForm> = {
  ...SEED_FORMS,
  "--cpus": { value: "N|any" },
  "--operations": { value: "N" },
  "--limit": { value: "SECONDS" },
  "--out": { value: "DIR" },
};

const RUNS_MAX = 1_000_000;
/** Seeds a process: long enough to be worth its start, short enough to see progress. */
const BATCH = 25;
const BATCH_OF_LONG_STORIES = 5;
/** What a process may take: for itself, for each seed, and for each operation of one. */
const PROCESS_LIMIT_MS = 20_000;
const SEED_LIMIT_MS = 2000;
const OPERATION_LIMIT_MS = 1;
/** Several CPUs take longer: so many times, on a host that has other things to do. */
const CPUS_FACTOR = 4;
/** From here on a workload is a long story. */
const LONG_STORY = 1000;
const LIMIT_MAX = 3600;
const OPERATIONS_MAX = 10_000;

export interface FuzzFlags extends SeedFlags {
  cpus: Cpus;
  operations: number | undefined;
  /** Seconds that a seed may take. */
  limit: number | undefined;
  out: string;
}

export function parseFuzzFlags(args: readonly string[]): FuzzFlags {
  const { values, operands } = parseFlags(FORMS, args);
  if (operands.length > 0) throw new UsageError(`unexpected argument ${operands[0]}`);
  const seeds = seedFlags(values, RUNS_MAX);
  const operations = numberOf(values, "--operations", 0, OPERATIONS_MAX);
  const cpus = values.get("--cpus")?.[0] === "any" ? "any" : (numberOf(values, "--cpus", 1, CPUS_MAX) ?? 1);
  const limit = numberOf(values, "--limit", 1, LIMIT_MAX);
  const out = values.get("--out")?.[0] ?? "./var/fuzz";
  if (out === "") throw new UsageError("--out wants the name of a directory");
  return { ...seeds, cpus, operations, limit, out };
}

export async function run(terminal: Terminal, args: readonly string[]): Promise<number> {
  const flags = parseFuzzFlags(args);
  if (flags.worker) return work(terminal, flags);
  // Better to hear of it now than with the first finding.
  openDirectory(flags.out);
  const verdicts: Verdict[] = [];
  const outcomes: Record<string, number> = {};
  let elapsed_ms = 0;
  const progress = (): string => {
    const found = verdicts.filter(({ finding }) => finding !== undefined).length;
    const speed = verdicts.length / (elapsed_ms / 1000);
    return `${verdicts.length} of ${flags.runs} seeds, ${speed.toFixed(1)} a second, ${found} findings`;
  };
  const size = (flags.operations ?? 0) >= LONG_STORY ? BATCH_OF_LONG_STORIES : BATCH;
  for (let done = 0; done < flags.runs; ) {
    const batch = runBatch(flags, flags.from + done, Math.min(size, flags.runs - done));
    elapsed_ms += batch.elapsed_ms;
    done += batch.verdicts.length;
    for (const verdict of batch.verdicts) {
      verdicts.push(verdict);
      outcomes[verdict.outcome] = (outcomes[verdict.outcome] ?? 0) + 1;
      if (!flags.json && (verdict.finding !== undefined || flags.replay)) terminal.out(describe(verdict));
    }
    if (!flags.json && !flags.replay) terminal.err(`\r${progress()}${done < flags.runs ? "" : "\n"}`);
  }
  const findings = verdicts.filter(({ finding }) => finding !== undefined);
  if (flags.json) {
    const speed = Math.round((verdicts.length / elapsed_ms) * 1e5) / 100;
    const { from, runs } = flags;
    const excused = totals(verdicts);
    const unseen = verdicts.filter((verdict) => verdict.unseen).length;
    const sums = { from, runs, outcomes, seeds_per_second: speed, excused, unseen, findings };
    terminal.out(`${JSON.stringify(sums)}\n`);
  } else if (!flags.replay) {
    const counts = Object.entries(outcomes).map(([outcome, count]) => `${count} ${outcome}`);
    terminal.out(`${progress()}: ${counts.join(", ")}\n`);
  }
  if (findings.length === 0) return 0;
  throw new CommandError(`${findings.length} of ${verdicts.length} seeds with findings, in ${flags.out}`);
}

/** How often what was found was excused, by what was looked at. */
function totals(verdicts: readonly Verdict[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const { excused } of verdicts) {
    for (const [what, count] of Object.entries(excused)) sums[what] = (sums[what] ?? 0) + count;
  }
  return sums;
}

function describe({ seed, title, outcome, finding }: Verdict): string {
  return `seed ${seed}: ${title}\n  ${outcome}: ${finding ?? "nothing found"}\n`;
}

/** Some seeds in a process of their own. The one that used up its time, or ended it, is a finding. */
function runBatch(flags: FuzzFlags, from: number, runs: number): { verdicts: Verdict[]; elapsed_ms: number } {
  const { program } = ownCommand();
  const seeds = flags.replay ? ["--replay", String(from)] : ["--from", String(from), "--runs", String(runs)];
  const command = [...program, "fuzz", "--worker", ...seeds, ...choices(flags), "--out", flags.out];
  const factor = flags.cpus === 1 ? 1 : CPUS_FACTOR;
  const each_ms = factor * (SEED_LIMIT_MS + (flags.operations ?? 0) * OPERATION_LIMIT_MS);
  const limit_ms = flags.limit === undefined ? PROCESS_LIMIT_MS + runs * each_ms : runs * flags.limit * 1000;
  const ended = runCommand(command, limit_ms);
  const { signal, stdout, elapsed_ms } = ended;
  // Somebody wants no more of it: that is no finding.
  if (signal === "SIGINT" || signal === "SIGTERM") throw new CommandError(`stopped by ${signal}`);
  const lines = stdout.split("\n").slice(0, -1);
  const verdicts = lines.map((line) => JSON.parse(line) as Verdict);
  if (verdicts.length < runs) {
    const seed = from + verdicts.length;
    verdicts.push({
      seed,
      title: planTitle(makePlan(seed, flags.operations, flags.cpus)),
      outcome: "threw",
      finding: earlyEnd(ended),
      excused: {},
      unseen: false,
      elapsed_ms,
    });
  }
  return { verdicts, elapsed_ms };
}

/** The runs themselves. */
async function work(terminal: Terminal, flags: FuzzFlags): Promise<number> {
  const assets: FuzzAssets = {
    image: readAsset(terminal, "vmlinuz"),
    initrd: readAsset(terminal, "initrd.img"),
    symbols: SystemMap.parse(readAsset(terminal, "System.map")),
    cpus: flags.cpus,
    cpuProgram: terminal.assetUrl("cpu.js"),
    ...(flags.operations === undefined ? {} : { operations: flags.operations }),
  };
  const memories: Memories = new Map();
  for (let seed = flags.from; seed < flags.from + flags.runs; seed++) {
    const { verdict, remains } = await runSeed(seed, assets, memories);
    if (verdict.finding !== undefined || flags.replay) save(flags, verdict, remains);
    terminal.out(`${JSON.stringify(verdict)}\n`);
  }
  return 0;
}

/** What was asked for beside the seeds: a seed's run depends on it. */
function choices({ cpus, operations }: FuzzFlags): string[] {
  const steps = operations === undefined ? [] : ["--operations", String(operations)];
  return [...(cpus === 1 ? [] : ["--cpus", String(cpus)]), ...steps];
}

/**
 * OUT/seed-N, and the choices: the seed and its title, what was found, how to see it again, the console, the
 * dump.
 */
function save(flags: FuzzFlags, verdict: Verdict, { console, vmcore }: Remains): void {
  const chosen = choices(flags);
  const hostfs = openDirectory(
    `${flags.out}/${[`seed-${verdict.seed}`, ...chosen].join("").replaceAll("--", "-")}`,
  );
  const write = (name: string, bytes: Uint8Array): void => {
    const handle = hostfs.open(name, { write: true, create: true, truncate: true });
    hostfs.writev(handle, [bytes], 0);
    hostfs.close(handle);
  };
  const encoder = new TextEncoder();
  const { seed, title, outcome, finding } = verdict;
  const again = ["wkdump fuzz --replay", seed, ...chosen].join(" ");
  const text = `seed ${seed}: ${title}\n${outcome}: ${finding ?? "nothing found"}\n${again}\n`;
  write("title", encoder.encode(text));
  write("console", encoder.encode(console));
  if (vmcore !== undefined) write("vmcore", vmcore);
}
