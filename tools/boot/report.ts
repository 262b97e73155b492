/**
 * How a run of the machine ended, for people (`boot`, `capture`) and for programs (`--json`, the keys of the
 * command line's description).
 */
import { currentHost, fileChunks, type HostFs } from "../../runtime/adapter/index.ts";
import type { Terminal } from "../../runtime/adapter/terminal.ts";
import type { BootResult } from "../../runtime/index.ts";
import { type CrashRegion, crashRegion, type PageCounts, pageCounts } from "../crashed/accounting.ts";
import type { SystemMap } from "../crashed/system-map.ts";
import { FLAT_SIGNATURE } from "../dump/flattened.ts";
import { KDUMP_SIGNATURE } from "../dump/kdump-header.ts";
import { CommandError } from "../flags.ts";
import { readableSize } from "../size.ts";
import type { DumpFormat } from "./format.ts";
import { leaveVmlinux, type VmlinuxName } from "./vmlinux.ts";

/** Where the dump is, and how large. */
interface Saved {
  /** Paths below the out directory. */
  vmcore: string;
  dmesg: string | undefined;
  vmlinux: string;
  bytes: number;
  format: SavedFormat;
}

/** "other": what a collector made. */
type SavedFormat = DumpFormat["format"] | "other";

export interface ReportOptions {
  /** The host directory that is the machine's /var/crash, and its files. */
  out: string;
  hostfs: HostFs;
  json: boolean;
  quiet: boolean;
  /** What the machine complained of on its console. */
  complaint: string | undefined;
  symbols: () => SystemMap;
  /** The debug kernel that goes with the dump. */
  vmlinux?: VmlinuxName;
  /** What a run that was stopped left behind. */
  snapshot?: string | undefined;
}

/**
 * --json: the object on stdout. Milliseconds have three decimals, sizes are bytes, addresses are physical.
 */
export interface JsonReport {
  outcome: string;
  reason: string;
  vmcore?: string;
  format?: SavedFormat;
  dmesg?: string;
  vmlinux?: string;
  bytes?: number;
  sha256?: string;
  /** null when time and randomness were the host's. */
  seed: number | null;
  crashkernel?: CrashRegion;
  timings_ms: Record<string, number | null>;
  pages?: PageCounts;
}

const ELF_MAGIC = "\u007fELF";

const FORMAT_NAMES: Record<SavedFormat, string> = {
  elf: "ELF core",
  kdump: "kdump-compressed",
  flattened: "kdump-compressed, flattened",
  other: "in a form of its collector's",
};

/** What the tools that read each format are told. */
const NEXT: Record<SavedFormat, (vmcore: string, vmlinux: string) => string[]> = {
  elf: (vmcore, vmlinux) => [
    `readelf -lnW ${vmcore}`,
    `makedumpfile --dump-dmesg ${vmcore} dmesg.txt`,
    `makedumpfile -l -d 31 ${vmcore} dump.kdump`,
    `crash ${vmlinux} ${vmcore}`,
    `gdb ${vmlinux} ${vmcore}`,
    `drgn -c ${vmcore} -s ${vmlinux}`,
  ],
  kdump: (vmcore, vmlinux) => [
    `makedumpfile --dump-dmesg ${vmcore} dmesg.txt`,
    `crash ${vmlinux} ${vmcore}`,
    `drgn -c ${vmcore} -s ${vmlinux}`,
  ],
  flattened: (vmcore, vmlinux) => [`makedumpfile -R dump.kdump < ${vmcore}`, `crash ${vmlinux} ${vmcore}`],
  other: () => [],
};

/** Prints the end of the run, and gives the exit status: 0 when it came to what was asked for. */
export async function report(
  terminal: Terminal,
  result: BootResult,
  wanted: BootResult["outcome"],
  options: ReportOptions,
): Promise<number> {
  const saved = findSaved(terminal, result, options);
  if (options.json) terminal.out(`${JSON.stringify(await jsonReport(terminal, result, saved, options))}\n`);
  else if (options.quiet) {
    if (saved !== undefined) terminal.out(`${terminal.display(`${options.out}/${saved.vmcore}`)}\n`);
  } else terminal.out(closing(terminal, result, saved, options));
  if (result.outcome === wanted) return 0;
  throw new CommandError(`${result.outcome}: ${reasonOf(result, options)}`);
}

/** The runtime saw how the machine ended; the console says why no dump came before. */
function reasonOf({ outcome, reason }: BootResult, { complaint }: ReportOptions): string {
  if (outcome !== "not-captured" || complaint === undefined) return reason;
  return `${complaint}; ${reason.replace(/ \(last on the console: .*\)/, "")}`;
}

function findSaved(
  terminal: Terminal,
  result: BootResult,
  { hostfs, vmlinux }: ReportOptions,
): Saved | undefined {
  const vmcore = result.vmcores.at(-1);
  if (vmcore === undefined) return undefined;
  const directory = vmcore.slice(0, vmcore.lastIndexOf("/") + 1);
  const dmesg = `${directory}vmcore-dmesg.txt`;
  return {
    vmcore,
    dmesg: fileExists(hostfs, dmesg) ? dmesg : undefined,
    vmlinux: leaveVmlinux(terminal, hostfs, vmlinux),
    bytes: hostfs.stat(vmcore).size,
    format: formatOf(hostfs, vmcore),
  };
}

/** By the file itself: a machine from saved memory does as its own kdump.conf says. */
function formatOf(hostfs: HostFs, path: string): SavedFormat {
  for (const piece of fileChunks(hostfs, path)) {
    const start = String.fromCharCode(...piece.subarray(0, FLAT_SIGNATURE.length));
    if (start === FLAT_SIGNATURE) return "flattened";
    if (start.startsWith(KDUMP_SIGNATURE)) return "kdump";
    if (start.startsWith(ELF_MAGIC)) return "elf";
    break;
  }
  return "other";
}

function fileExists(hostfs: HostFs, path: string): boolean {
  try {
    hostfs.stat(path);
    return true;
  } catch {
    return false;
  }
}

async function jsonReport(
  terminal: Terminal,
  result: BootResult,
  saved: Saved | undefined,
  options: ReportOptions,
): Promise<JsonReport> {
  const { out, hostfs, symbols } = options;
  const { outcome, machine, timings_ms } = result;
  const reason = reasonOf(result, options);
  const json: JsonReport = { outcome, reason, seed: machine.seeded ? machine.seed : null, timings_ms: {} };
  for (const [name, time] of Object.entries(timings_ms)) {
    json.timings_ms[name] = time === null ? null : Math.round(time * 1000) / 1000;
  }
  const region = crashRegion(machine.memory, symbols());
  if (region !== undefined) json.crashkernel = region;
  if (saved === undefined) return json;
  const path = (name: string): string => terminal.absolute(`${out}/${name}`);
  json.vmcore = path(saved.vmcore);
  json.format = saved.format;
  if (saved.dmesg !== undefined) json.dmesg = path(saved.dmesg);
  json.vmlinux = path(saved.vmlinux);
  json.bytes = saved.bytes;
  const hasher = currentHost().hasher();
  for (const piece of fileChunks(hostfs, saved.vmcore)) hasher.update(piece);
  json.sha256 = Array.from(hasher.digest(), (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (saved.format !== "other") json.pages = await pageCounts(machine.memory, symbols(), json.vmcore);
  return json;
}

function closing(
  terminal: Terminal,
  result: BootResult,
  saved: Saved | undefined,
  options: ReportOptions,
): string {
  const { timings_ms } = result;
  const times = Object.entries(timings_ms)
    .filter(([, time]) => time !== null)
    .map(([name, time]) => `${name.replaceAll("_", " ")} ${time!.toFixed(1)}`);
  const lines = ["", `Times in ms: ${times.join(", ")}`];
  if (options.snapshot !== undefined && result.outcome === "stopped") {
    const file = quoted(terminal.display(options.snapshot));
    lines.push(
      `Memory at the jump into purgatory: ${file}`,
      "",
      "Next, to go on from there (in a checkout: npm run wkdump -- capture FILE):",
      `  wkdump capture ${file}`,
    );
  }
  if (saved !== undefined) {
    const vmcore = quoted(terminal.display(`${options.out}/${saved.vmcore}`));
    const vmlinux = quoted(terminal.display(`${options.out}/${saved.vmlinux}`));
    const form = FORMAT_NAMES[saved.format];
    lines.push(`The dump: ${vmcore} (${form}, ${readableSize(saved.bytes)})`, "", "Next:");
    if (saved.dmesg !== undefined)
      lines.push(`  less ${quoted(terminal.display(`${options.out}/${saved.dmesg}`))}`);
    lines.push(...NEXT[saved.format](vmcore, vmlinux).map((line) => `  ${line}`));
  }
  return `${lines.join("\n")}\n`;
}

/** As a shell takes it. */
function quoted(path: string): string {
  return /^[\w./:@%+=,-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
