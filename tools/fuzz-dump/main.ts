/** `wkdump fuzz-dump`: damaged dumps of every format, from seeds. */
import { hostProc } from "../../runtime/adapter/index.ts";
import { ownCommand, residentMemory, runCommand } from "../../runtime/adapter/process.ts";
import type { Terminal } from "../../runtime/adapter/terminal.ts";
import { FileBytes } from "../dump/bytes.ts";
import { CommandError, parseFlags, UsageError } from "../flags.ts";
import { earlyEnd, SEED_FORMS, type SeedFlags, seedFlags } from "../seeds.ts";
import { makeVictims } from "./formats.ts";
import { damage } from "./mutate.ts";
import { type Reading, readAll } from "./read.ts";

export const HELP = `wkdump fuzz-dump - damaged dumps of every format, from seeds

Usage: wkdump fuzz-dump --runs N [--from SEED] [--json] VMCORE
       wkdump fuzz-dump --replay SEED VMCORE

Makes a dump of each format of VMCORE in memory (ELF as it is, kdump-compressed
with each codec that this engine has, flattened), and for each seed damages one of
them: bits, numbers at which checks go wrong, blocks from elsewhere, a cut. Then
everything is read of it that can be: headers, notes, log, states and bytes of
pages. A run must end soon, with data or with an error that says where the damage
lies; anything else, a process that hangs or takes too much memory among it, is a
finding.

  --runs N        how many seeds
  --from SEED     the first of them (0)
  --replay SEED   one seed, and what was damaged
  --json          one JSON object on stdout and nothing else

VMCORE has 128 MiB at most. Runs happen in processes of their own, which are killed
when they hang.

Exit status:
  0  nothing was found
  1  something was, or the runs could not be made
  2  wrong usage
`;

const RUNS_MAX = 10_000_000;
/** Seeds a process, and after how many it says where it stands. */
const BATCH = 2000;
const CHUNK = 50;
/** What a process may take: to make the formats, and for each seed. */
const START_LIMIT_MS = 60_000;
const SEED_LIMIT_MS = 50;
/** What one seed may take by itself, and what it may add to the memory of the process. */
const RUN_LIMIT_MS = 5000;
const MEMORY_LIMIT = 256 * 1024 * 1024;

interface Flags extends SeedFlags {
  vmcore: string;
}

/** What a process says of its seeds, in one line. */
interface Summary {
  runs: number;
  refused: number;
  records: number;
  pages: number;
  findings: Finding[];
}

interface Finding {
  seed: number;
  told: string;
  finding: string;
}

export function parseFuzzDumpFlags(args: readonly string[]): Flags {
  const { values, operands } = parseFlags(SEED_FORMS, args);
  const [vmcore] = operands;
  if (vmcore === undefined || operands.length > 1) throw new UsageError("give one VMCORE");
  return { vmcore, ...seedFlags(values, RUNS_MAX) };
}

export async function run(terminal: Terminal, args: readonly string[]): Promise<number> {
  const flags = parseFuzzDumpFlags(args);
  if (flags.worker || flags.replay) return work(terminal, flags);
  const all: Summary = { runs: 0, refused: 0, records: 0, pages: 0, findings: [] };
  const start = performance.now();
  while (all.runs < flags.runs) {
    const part = runBatch(flags, flags.from + all.runs, Math.min(BATCH, flags.runs - all.runs));
    all.runs += part.runs;
    all.refused += part.refused;
    all.records += part.records;
    all.pages += part.pages;
    for (const finding of part.findings) {
      all.findings.push(finding);
      if (!flags.json) terminal.out(describe(finding));
    }
    const speed = Math.round(all.runs / ((performance.now() - start) / 1000));
    const end = all.runs < flags.runs ? "" : "\n";
    if (!flags.json) terminal.err(`\r${all.runs} of ${flags.runs} seeds, ${speed} a second${end}`);
  }
  const { from, runs } = flags;
  if (flags.json) terminal.out(`${JSON.stringify({ from, ...all, runs })}\n`);
  else {
    const read = `${all.pages} pages and ${all.records} log records read of the others`;
    terminal.out(`${all.refused} of ${runs} refused, ${read}, ${all.findings.length} findings\n`);
  }
  if (all.findings.length === 0) return 0;
  throw new CommandError(`${all.findings.length} findings: --replay SEED shows one`);
}

function describe({ seed, told, finding }: Finding): string {
  return `seed ${seed}: ${told}\n  ${finding}\n`;
}

/** Some seeds in a process of their own, which says on each line where it stands. */
function runBatch(flags: Flags, from: number, runs: number): Summary {
  const { program } = ownCommand();
  const seeds = ["--from", String(from), "--runs", String(runs)];
  const command = [...program, "fuzz-dump", "--worker", ...seeds, flags.vmcore];
  const ended = runCommand(command, START_LIMIT_MS + runs * SEED_LIMIT_MS);
  const { stdout, stderr } = ended;
  const lines = stdout.split("\n").slice(0, -1);
  const last = lines.at(-1);
  if (last === undefined) throw new CommandError(stderr.trim() || "the process of the runs ended at once");
  const summary = JSON.parse(last) as Summary;
  if (summary.runs === runs) return summary;
  const told = `one of the ${CHUNK} seeds from here on`;
  const findings = [...summary.findings, { seed: from + summary.runs, told, finding: earlyEnd(ended) }];
  return { ...summary, runs: Math.min(runs, summary.runs + CHUNK), findings };
}

/** The runs themselves. */
async function work(terminal: Terminal, flags: Flags): Promise<number> {
  const file = await FileBytes.open(hostProc(["fuzz-dump"]), flags.vmcore);
  const victims = await makeVictims(file);
  await file.close();
  const summary: Summary = { runs: 0, refused: 0, records: 0, pages: 0, findings: [] };
  // Once around, so that what is compiled and kept is there before memory is measured.
  for (const victim of victims) {
    const { bytes } = victim;
    const pread = async (buffer: Uint8Array, offset: number) => {
      const part = bytes.subarray(offset, offset + buffer.length);
      buffer.set(part);
      return part.length;
    };
    const { refused } = await readAll({ name: victim.name, size: bytes.length, pread });
    if (refused) throw new CommandError(`the undamaged dump (${victim.name}) cannot be read`);
  }
  const resident = residentMemory();
  if (!flags.replay) terminal.out(`${JSON.stringify(summary)}\n`);
  for (let seed = flags.from; seed < flags.from + flags.runs; seed++) {
    const { victim, source, told, undo } = damage(seed, victims);
    const start = performance.now();
    let finding: string | undefined;
    let reading: Reading | undefined;
    try {
      reading = await readAll(source);
      summary.refused += reading.refused ? 1 : 0;
      summary.records += reading.records;
      summary.pages += reading.pages;
    } catch (error) {
      finding = error instanceof Error ? `${error.stack}` : String(error);
    }
    undo();
    const elapsed_ms = performance.now() - start;
    if (elapsed_ms > RUN_LIMIT_MS) finding ??= `took ${Math.round(elapsed_ms)} ms`;
    const grown = residentMemory() - resident;
    if (grown > MEMORY_LIMIT) finding ??= `memory grew by ${grown} bytes`;
    if (finding !== undefined) summary.findings.push({ seed, told: `${victim.name}: ${told}`, finding });
    if (flags.replay) {
      terminal.out(`seed ${seed}: ${victim.name}: ${told}\n  ${finding ?? JSON.stringify(reading)}\n`);
    }
    summary.runs++;
    const pause = summary.runs % CHUNK === 0 || summary.runs === flags.runs;
    if (!flags.replay && pause) terminal.out(`${JSON.stringify(summary)}\n`);
  }
  return flags.replay && summary.findings.length > 0 ? 1 : 0;
}
