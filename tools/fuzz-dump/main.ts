/** `wkdump fuzz-dump`: damaged dumps of every format, from seeds. */
import { currentHost, hostProc } from "../../runtime/adapter/index.ts";
import { ownCommand, peakMemory, processorTime, watchCommand } from "../../runtime/adapter/process.ts";
import type { Terminal } from "../../runtime/adapter/terminal.ts";
import { SyscallError } from "../../runtime/user/proc.ts";
import { FileBytes } from "../dump/bytes.ts";
import { CommandError, type FlagForm, parseFlags, UsageError } from "../flags.ts";
import { earlyEnd, numberOf, SEED_FORMS, type SeedFlags, seedFlags } from "../seeds.ts";
import { strerror } from "../strerror.ts";
import { examine, type Reading } from "./examine.ts";
import { makeVictims } from "./formats.ts";
import { damage } from "./mutate.ts";
import { sourceOf, type Victim } from "./victim.ts";

export const HELP = `wkdump fuzz-dump - damaged dumps of every format, from seeds

Usage: wkdump fuzz-dump --runs N [--from SEED] [--jobs N] [--json] VMCORE
       wkdump fuzz-dump --replay SEED VMCORE

Makes a dump of each format of VMCORE in memory (ELF of 64 and 32 bits, whole,
filtered, with the logs of older kernels; kdump-compressed with each codec that this
engine has; flattened; a split set), and for each seed damages one of them: headers,
notes, VMCOREINFO, bitmaps, descriptors, packed pages, records, page tables, memory
map and log by what they mean, bits and numbers anywhere, a cut, files of two sets
mixed. Then pages and their states are read, vmcore-dmesg runs, and makedumpfile
does one of its works (filter, compress, -E, -e, -L, -F, -R, --split, --reassemble,
--dump-dmesg, --mem-usage, --explain, --vtop), whose output must read as the dump
does. A run must end soon, with data or with an error that says where the damage lies;
anything else, a process that hangs or takes too much memory among it, is a finding.

  --runs N        how many seeds
  --from SEED     the first of them (0)
  --replay SEED   one seed, and what was damaged
  --jobs N        processes at a time (as many as the machine has processors)
  --json          one JSON object on stdout and nothing else

VMCORE has 32 MiB at most; small ones give more runs a second.

Exit status:
  0  nothing was found
  1  something was, or the runs could not be made
  2  wrong usage
`;

const FORMS: Record<string, FlagForm> = { ...SEED_FORMS, "--jobs": { value: "N" } };

const RUNS_MAX = 10_000_000;
const JOBS_MAX = 256;
/** Seeds a process. */
const BATCH = 2000;
/** A process that says nothing for so long hangs in the seed that comes next, or in making the formats. */
const SILENCE_LIMIT_MS = 120_000;
/** What one seed may take of a processor's time, and what seeds may add to the memory of their process. */
const RUN_LIMIT_MS = 5000;
const MEMORY_LIMIT = 256 * 1024 * 1024;
const PROGRESS_MS = 500;

interface Flags extends SeedFlags {
  vmcore: string;
  jobs: number;
}

/** What a process says of a seed, in a line of JSON. */
interface Line {
  refused: boolean;
  lines: number;
  pages: number;
  /** makedumpfile did its work. */
  made: boolean;
  told?: string;
  finding?: string;
  /** What was found is that the process has taken much memory. */
  large?: true;
}

interface Finding {
  seed: number;
  told: string;
  finding: string;
}

export function parseFuzzDumpFlags(args: readonly string[]): Flags {
  const { values, operands } = parseFlags(FORMS, args);
  const [vmcore] = operands;
  if (vmcore === undefined || operands.length > 1) throw new UsageError("give one VMCORE");
  const jobs = numberOf(values, "--jobs", 1, JOBS_MAX) ?? currentHost().cpus();
  return { vmcore, jobs, ...seedFlags(values, RUNS_MAX) };
}

export async function run(terminal: Terminal, args: readonly string[]): Promise<number> {
  const flags = parseFuzzDumpFlags(args);
  if (flags.worker) return work(terminal, flags);
  if (flags.replay) return replay(terminal, flags);
  const campaign = new Campaign(terminal, flags);
  await Promise.all(Array.from({ length: flags.jobs }, () => campaign.job()));
  campaign.end();
  const { refused, pages, lines, made, findings } = campaign;
  const { from, runs } = flags;
  if (flags.json) terminal.out(`${JSON.stringify({ from, runs, refused, pages, lines, made, findings })}\n`);
  else {
    const read = `${pages} pages and ${lines} lines of the log read, ${made} dumps or logs made`;
    terminal.out(`${refused} of ${runs} refused, ${read}, ${findings.length} findings\n`);
  }
  if (findings.length === 0) return 0;
  throw new CommandError(`${findings.length} findings: --replay SEED shows one`);
}

/** Seeds dealt to processes, and what came of them. */
class Campaign {
  refused = 0;
  pages = 0;
  lines = 0;
  made = 0;
  readonly findings: Finding[] = [];
  private done = 0;
  private next: number;
  private readonly start = performance.now();
  private told = 0;

  constructor(
    private readonly terminal: Terminal,
    private readonly flags: Flags,
  ) {
    this.next = flags.from;
  }

  /** One process after another, until no seeds are left. */
  async job(): Promise<void> {
    const end = this.flags.from + this.flags.runs;
    while (this.next < end) {
      const from = this.next;
      this.next = Math.min(end, from + BATCH);
      const { next } = this;
      for (let seed = from; seed < next; ) seed = await this.batch(seed, next);
    }
  }

  end(): void {
    if (!this.flags.json) this.terminal.err(`\r${this.progress()}\n`);
  }

  /** The seeds from one to another in a process of their own; the first that is left. */
  private async batch(from: number, to: number): Promise<number> {
    const { program } = ownCommand();
    const seeds = ["--from", String(from), "--runs", String(to - from)];
    const command = [...program, "fuzz-dump", "--worker", ...seeds, this.flags.vmcore];
    let seed = from;
    let ready = false;
    const ended = await watchCommand(command, SILENCE_LIMIT_MS, (text) => {
      const line = ready ? (JSON.parse(text) as Line) : null;
      ready = true;
      // Of the memory much may be what the seeds before have left: it is run again, as the first.
      if (line !== null && !(line.large && seed > from)) this.take(seed++, line);
    });
    if (!ready) throw new CommandError(ended.stderr.trim() || "the process of the runs ended at once");
    // A process that has told of too much memory ends there.
    if (seed === to || ended.status === 0) return seed;
    this.found({ seed, told: "what --replay says", finding: earlyEnd(ended) });
    this.done++;
    return seed + 1;
  }

  private take(seed: number, { refused, pages, lines, made, told = "", finding }: Line): void {
    this.done++;
    this.refused += refused ? 1 : 0;
    this.pages += pages;
    this.lines += lines;
    this.made += made ? 1 : 0;
    if (finding !== undefined) this.found({ seed, told, finding });
    if (this.flags.json || performance.now() - this.told < PROGRESS_MS) return;
    this.told = performance.now();
    this.terminal.err(`\r${this.progress()}`);
  }

  private found(finding: Finding): void {
    this.findings.push(finding);
    if (!this.flags.json)
      this.terminal.out(`\nseed ${finding.seed}: ${finding.told}\n  ${finding.finding}\n`);
  }

  private progress(): string {
    const speed = Math.round(this.done / ((performance.now() - this.start) / 1000));
    return `${this.done} of ${this.flags.runs} seeds, ${speed} a second`;
  }
}

/** The dumps to damage, each read once: what is compiled and kept is there before memory is measured. */
async function prepare(vmcore: string): Promise<Victim[]> {
  const victims = await makeVictims(await open(vmcore));
  for (const { name, files } of victims) {
    const { refused } = await examine(
      files.map(({ bytes }, n) => sourceOf(`dump${n}`, bytes)),
      0,
    );
    if (refused) throw new CommandError(`the undamaged dump (${name}) cannot be read`);
  }
  return victims;
}

async function open(path: string): Promise<FileBytes> {
  try {
    return await FileBytes.open(hostProc(["fuzz-dump"]), path);
  } catch (error) {
    if (error instanceof SyscallError) throw new CommandError(`${path}: ${strerror(error)}`);
    throw error;
  }
}

interface Verdict {
  title: string;
  reading?: Reading;
  finding?: string;
}

/** One seed. */
async function runSeed(seed: number, victims: readonly Victim[]): Promise<Verdict> {
  const { victim, sources, told, undo } = damage(seed, victims);
  const title = `${victim.name}: ${told}`;
  const start_ms = processorTime();
  try {
    const reading = await examine(sources, seed);
    const took_ms = Math.round(processorTime() - start_ms);
    return { title, reading, ...(took_ms > RUN_LIMIT_MS ? { finding: `took ${took_ms} ms` } : {}) };
  } catch (error) {
    return { title, finding: error instanceof Error ? `${error.stack}` : String(error) };
  } finally {
    undo();
  }
}

/** The runs themselves, a line each behind a first one that says that all is ready. */
async function work(terminal: Terminal, flags: Flags): Promise<number> {
  const victims = await prepare(flags.vmcore);
  const before = peakMemory();
  terminal.out("ready\n");
  for (let seed = flags.from; seed < flags.from + flags.runs; seed++) {
    const { title, reading, finding } = await runSeed(seed, victims);
    const grown = peakMemory() - before;
    const large = grown > MEMORY_LIMIT ? `memory grew by ${grown} bytes` : undefined;
    const wrong = finding ?? large;
    const grew = finding === undefined && large !== undefined;
    const { refused = false, lines = 0, pages = 0, status = 1 } = reading ?? {};
    const line: Line = { refused, lines, pages, made: status === 0, ...(grew ? { large: true } : {}) };
    terminal.out(
      `${JSON.stringify(wrong === undefined ? line : { ...line, told: title, finding: wrong })}\n`,
    );
    // A peak stays: the seeds that are left get a process without it.
    if (large !== undefined) return 0;
  }
  return 0;
}

async function replay(terminal: Terminal, flags: Flags): Promise<number> {
  const victims = await prepare(flags.vmcore);
  const before = peakMemory();
  const { title, reading, finding } = await runSeed(flags.from, victims);
  const grown = peakMemory() - before;
  const wrong = finding ?? (grown > MEMORY_LIMIT ? `memory grew by ${grown} bytes` : undefined);
  terminal.out(`seed ${flags.from}: ${title}\n  ${wrong ?? JSON.stringify(reading)}\n`);
  return wrong === undefined ? 0 : 1;
}
