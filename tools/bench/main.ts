/** bench: how fast this is here, as ratios to other programs measured in the same run. */
import { currentHost } from "../../runtime/adapter/index.ts";
import type { Terminal } from "../../runtime/adapter/terminal.ts";
import { type FlagForm, parseFlags, UsageError } from "../flags.ts";
import { formatSize, parseSize, readableSize } from "../size.ts";
import { measureMakedumpfile } from "./makedumpfile.ts";
import {
  BOOT_PARTS,
  measureBoot,
  measureCrash,
  measureMemory,
  measureSave,
  median,
  type Samples,
} from "./measure.ts";
import { type Row, table } from "./table.ts";

export const HELP = `wkdump bench - measure, and compare with the stock tools on this machine

Usage: wkdump bench [--rounds N] [--dump SIZE] [--vmcore FILE] [--only NAME,...]
                    [--out DIR] [--json]

Five things are measured, each beside something else in the same run:

  memory  what the process grows by for a machine of 4 GiB, up to its capture
          kernel's user mode, beside the pages that the machine has in use
          (no more than twice that is aimed at)
  boot    whole runs of \`wkdump boot --memory 64M\`, from the start of the process
          to its end, beside a start of the same engine with an empty program
          (aim: 100 ms). Where the time goes is told too: the first kernel's boot,
          the load, the way to the crash, from there to the capture kernel's user
          mode, the save, and the process around it all. Files in which the machine
          writes zeros have holes there, as cp --sparse=always leaves them
  crash   from the crash to the capture kernel's user mode, in a loop of crashes
          in one process, beside the first kernel's way to user mode (aim: 10 ms)
  save    a vmcore of random data written by the capture kernel, beside
          \`cp --reflink=never --sparse=never\` of the same file onto the same file
          system; as written, and with the wait for the disk on both sides
  makedumpfile
          dump levels and compressions beside the stock makedumpfile on the same
          dump, one run of each in turn, from the start of the process to its
          end: of a machine 60% full, mostly of what level 31 keeps, and of
          --vmcore. Compressing is by two threads here. The aims are the time's
          ratio in the table, an output of at most 1.15 times the size, and at most
          150 MiB of memory. It takes minutes; left out where the stock tool is
          not installed

Options:
  --rounds N      samples of boot and crash (10); save and makedumpfile take a
                  third of them
  --dump SIZE     memory of the machine that is saved, and of the one whose dump
                  makedumpfile reads (1G)
  --vmcore FILE   a dump of some other machine for makedumpfile (none)
  --only NAME     leave the others out; several with commas between
  --out DIR       where the dumps are written and deleted again (./var/bench)
  --json          print one JSON object with all samples, and nothing else

Exit status:
  0  measured, whether or not the aims were met
  1  something could not be measured; the reason is on standard error
  2  wrong usage
`;

const FORMS: Record<string, FlagForm> = {
  "--rounds": { value: "N" },
  "--dump": { value: "SIZE" },
  "--vmcore": { value: "FILE" },
  "--only": { value: "NAME" },
  "--out": { value: "DIR" },
  "--json": { value: "switch" },
};
/** Memory first: what the others leave would count. */
const NAMES = ["memory", "boot", "crash", "save", "makedumpfile"] as const;
type Name = (typeof NAMES)[number];
const ROUNDS_MAX = 1000;

export interface BenchFlags {
  rounds: number;
  dump: number;
  vmcore: string | undefined;
  only: readonly Name[];
  out: string;
  json: boolean;
}

export function parseBenchFlags(args: readonly string[]): BenchFlags {
  const { values, operands } = parseFlags(FORMS, args);
  if (operands.length > 0) throw new UsageError(`unexpected argument ${operands[0]}`);
  const get = (name: string, absent: string) => values.get(name)?.[0] ?? absent;
  const rounds = Number(get("--rounds", "10"));
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > ROUNDS_MAX) {
    throw new UsageError(`--rounds ${get("--rounds", "")}: a number from 1 to ${ROUNDS_MAX}`);
  }
  const dump = parseSize(get("--dump", "1G"));
  if (dump === undefined)
    throw new UsageError(`--dump ${get("--dump", "")} is no size: write it as 1G or 256M`);
  const only = get("--only", NAMES.join(",")).split(",");
  for (const name of only) {
    if (!NAMES.some((known) => known === name)) {
      throw new UsageError(`--only ${name}: the measurements are ${NAMES.join(", ")}`);
    }
  }
  return {
    rounds,
    dump,
    vmcore: values.get("--vmcore")?.[0],
    only: NAMES.filter((name) => only.includes(name)),
    out: get("--out", "./var/bench"),
    json: values.has("--json"),
  };
}

const BOOT_AIM_MS = 100;
const CRASH_AIM_MS = 10;
const SAVE_AIM = 0.7;
const MEMORY_AIM = 2;

const ms = (value: number) => `${value.toFixed(1)} ms`;

export async function run(terminal: Terminal, args: readonly string[]): Promise<number> {
  const flags = parseBenchFlags(args);
  const rows: Row[] = [];
  const skipped: Partial<Record<Name, string>> = {};
  for (const name of flags.only) {
    const progress = (round: number, rounds: number) => {
      if (!flags.json) terminal.err(`\rmeasuring ${name}: ${round + 1} of ${rounds} `);
    };
    const measured = await MEASUREMENTS[name](terminal, flags, progress);
    if (Array.isArray(measured)) rows.push(...measured);
    else skipped[name] = measured.skipped;
    if (!flags.json) terminal.err("\n");
  }
  const { engine } = currentHost();
  if (flags.json) {
    const members = rows.map(({ name, ratio, aim, met, samples }) => [name, { ratio, aim, met, ...samples }]);
    const told = { engine, rounds: flags.rounds, ...Object.fromEntries(members) };
    for (const [name, why] of Object.entries(skipped)) told[name] = { skipped: why };
    terminal.out(`${JSON.stringify(told)}\n`);
  } else {
    terminal.out(`${engine}, medians of ${flags.rounds}\n\n${table(rows)}`);
    for (const { what, parts } of rows) if (parts !== undefined) terminal.out(`\n${what}: ${parts}\n`);
    for (const [name, why] of Object.entries(skipped)) terminal.out(`\n${name}: skipped, ${why}\n`);
  }
  return 0;
}

type Measurement = (
  terminal: Terminal,
  flags: BenchFlags,
  progress: (round: number, rounds: number) => void,
) => Promise<Row[] | { skipped: string }>;

const MEASUREMENTS: Record<Name, Measurement> = {
  async memory(terminal, _flags, progress) {
    progress(0, 1);
    const { resident, used } = await measureMemory(terminal);
    const ratio = resident / used;
    return [
      {
        name: "memory",
        what: "resident memory, 4G",
        value: readableSize(resident),
        beside: `machine's pages in use ${readableSize(used)}`,
        ratio,
        aim: `ratio <= ${MEMORY_AIM}`,
        met: ratio <= MEMORY_AIM,
        samples: { resident, used },
      },
    ];
  },

  async boot(_terminal, { out, rounds }, progress) {
    const { boot_ms, empty_ms, parts_ms } = measureBoot(out, rounds, progress);
    const parts = BOOT_PARTS.map((part) => `${part} ${median(parts_ms[part]).toFixed(1)}`).join(", ");
    const [value, beside] = [median(boot_ms), median(empty_ms)];
    return [
      {
        name: "boot",
        what: "whole boot, 64M",
        value: ms(value),
        beside: `empty program ${ms(beside)}`,
        ratio: value / beside,
        aim: `<= ${BOOT_AIM_MS} ms`,
        met: value <= BOOT_AIM_MS,
        parts: `${parts}; the fastest ${ms(Math.min(...boot_ms))}`,
        samples: { boot_ms, empty_ms, parts_ms },
      },
    ];
  },

  async crash(terminal, { rounds }, progress) {
    const { crash_to_capture_ms, power_on_to_user_ms } = await measureCrash(terminal, rounds, progress);
    const [value, beside] = [median(crash_to_capture_ms), median(power_on_to_user_ms)];
    return [
      {
        name: "crash",
        what: "crash to capture kernel, 64M",
        value: ms(value),
        beside: `first kernel's boot ${ms(beside)}`,
        ratio: value / beside,
        aim: `<= ${CRASH_AIM_MS} ms`,
        met: value <= CRASH_AIM_MS,
        samples: { crash_to_capture_ms, power_on_to_user_ms },
      },
    ];
  },

  async save(terminal, { out, dump, rounds }, progress) {
    const few = Math.max(1, Math.ceil(rounds / 3));
    const { bytes, ...samples } = await measureSave(terminal, out, dump, few, progress);
    const row = (name: string, what: string, ours: Samples, theirs: Samples, other: string): Row => {
      const speed = (times: Samples) => `${readableSize((bytes / median(times)) * 1000)}/s`;
      const ratio = median(theirs) / median(ours);
      return {
        name,
        what: `${what}, ${formatSize(dump)} random`,
        value: speed(ours),
        beside: `${other} ${speed(theirs)}`,
        ratio,
        aim: `ratio >= ${SAVE_AIM}`,
        met: ratio >= SAVE_AIM,
        samples: { bytes, ours_ms: ours, theirs_ms: theirs },
      };
    };
    return [
      row("save", "vmcore written", samples.write_ms, samples.cp_ms, "cp"),
      row("save_sync", "vmcore on the disk", samples.save_ms, samples.cp_sync_ms, "cp and sync"),
    ];
  },

  makedumpfile: (_terminal, { out, dump, vmcore, rounds }, progress) =>
    measureMakedumpfile(out, dump, vmcore, Math.max(1, Math.ceil(rounds / 3)), progress),
};
