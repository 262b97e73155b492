/** `wkdump collect`: a collector on a file of the host. */
import { hostProc } from "../../runtime/adapter/index.ts";
import type { Terminal } from "../../runtime/adapter/terminal.ts";
import { type Proc, SyscallError } from "../../runtime/user/proc.ts";
import { readAsset } from "../assets.ts";
import { CommandError, type FlagForm, parseFlags, UsageError } from "../flags.ts";
import { formatSize, parseSize } from "../size.ts";
import { strerror } from "../strerror.ts";
import { COLLECTOR_ASSETS, collect } from "./collect.ts";
import { CollectorError } from "./error.ts";
import { type Limits, MEMORY_LIMIT, TIME_LIMIT_s } from "./run.ts";

export const HELP = `wkdump collect - have a WebAssembly component make a file of a dump

Usage: wkdump collect --collector FILE [FLAGS] VMCORE OUTPUT [-- ARGS]

FILE is a component of the world in collectors/collector.wit beside the program; ARGS are
its own. It is given the dump VMCORE, in any form that wkdump reads, and a file to write, and
nothing else: no clock, no other files, no network, no environment. OUTPUT appears when
all of it is there. docs/collectors.md tells how to make one.

  --collector FILE   the component; collectors/makedumpfile.wasm beside the program is
                     makedumpfile's core, with -d LEVEL, -c, -l, -p, -z
  --time-limit N     seconds that it may take (${TIME_LIMIT_s})
  --output-limit SIZE
                     how long OUTPUT may become (the memory that VMCORE has, an eighth
                     more, and 16M)
  --memory-limit SIZE
                     how much memory it may have (${formatSize(MEMORY_LIMIT)})
  --force            overwrite OUTPUT
  --quiet            no line of progress
  --help             print this text

Exit status:
  0  OUTPUT was made
  1  it was not; the reason is on standard error
  2  wrong usage
`;

const FORMS: Record<string, FlagForm> = {
  "--collector": { value: "FILE" },
  "--time-limit": { value: "SECONDS" },
  "--output-limit": { value: "SIZE" },
  "--memory-limit": { value: "SIZE" },
  "--force": { value: "switch" },
  "--quiet": { value: "switch" },
};
const TIME_MAX_s = 1_000_000;
const PROGRESS_ms = 200;
const INCOMPLETE = ".incomplete";

export async function run(terminal: Terminal, args: readonly string[]): Promise<number> {
  const dashes = args.indexOf("--");
  const { values, operands } = parseFlags(FORMS, dashes < 0 ? args : args.slice(0, dashes));
  const collector = values.get("--collector")?.[0];
  const [vmcore, output, extra] = operands;
  if (collector === undefined) throw new UsageError("which collector? --collector FILE");
  if (vmcore === undefined || output === undefined) throw new UsageError("it wants VMCORE and OUTPUT");
  if (extra !== undefined) throw new UsageError(`unexpected argument ${extra}: those of FILE come behind --`);
  const limits = parseLimits((name) => values.get(name)?.[0]);
  // Checked, though it is a thread that reads them.
  for (const name of COLLECTOR_ASSETS) readAsset(terminal, name);
  const proc = hostProc(["collect"]);
  const force = values.has("--force");
  if (!force && (await exists(proc, output))) throw new CommandError(`${output}: File exists`);
  const incomplete = `${output}${INCOMPLETE}`;
  const line = values.has("--quiet") ? null : new ProgressLine(terminal);
  try {
    const said = await attempt(proc, incomplete, () =>
      collect(proc, {
        collector,
        vmcore,
        output: incomplete,
        args: dashes < 0 ? [] : args.slice(dashes + 1),
        limits,
        progress: async (done, total) => line?.tell(done, total),
      }),
    );
    line?.end();
    await attempt(proc, incomplete, () => proc.rename(incomplete, output, { noReplace: !force }));
    if (said !== "") terminal.out(`${said}\n`);
    return 0;
  } catch (error) {
    line?.end();
    if (!(error instanceof CollectorError)) throw error;
    throw new CommandError(`${collector}: ${error.message}`);
  }
}

/** Throws UsageError. */
export function parseLimits(get: (flag: string) => string | undefined): Partial<Limits> {
  const limits: Partial<Limits> = {};
  const time = get("--time-limit");
  if (time !== undefined) {
    if (!/^\d{1,7}$/.test(time) || Number(time) < 1 || Number(time) > TIME_MAX_s) {
      throw new UsageError(`--time-limit ${time}: seconds, from 1 to ${TIME_MAX_s}`);
    }
    limits.time_s = Number(time);
  }
  for (const [flag, key] of [
    ["--output-limit", "output"],
    ["--memory-limit", "memory"],
  ] as const) {
    const text = get(flag);
    if (text === undefined) continue;
    const size = parseSize(text);
    if (size === undefined) throw new UsageError(`${flag} ${text} is no size: write it as 64M`);
    limits[key] = size;
  }
  return limits;
}

async function exists(proc: Proc, path: string): Promise<boolean> {
  try {
    await proc.stat(path);
    return true;
  } catch (error) {
    if (error instanceof SyscallError) return false;
    throw error;
  }
}

/** What is not complete goes; a name that somebody else has stays as it is. */
async function attempt<T>(proc: Proc, incomplete: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const taken = error instanceof SyscallError && error.code === "EEXIST" && error.path === incomplete;
    if (!taken && (await exists(proc, incomplete))) await proc.unlink(incomplete);
    if (!(error instanceof SyscallError)) throw error;
    throw new CommandError(`${error.syscall} ${error.path ?? ""}: ${strerror(error)}`);
  }
}

class ProgressLine {
  private told = 0;
  private open = false;

  constructor(private readonly terminal: Terminal) {}

  tell(done: bigint, total: bigint): void {
    const now = performance.now();
    if (now - this.told < PROGRESS_ms && !(this.open && done >= total)) return;
    this.told = now;
    this.open = true;
    const permille = total === 0n || done >= total ? 1000n : (done * 1000n) / total;
    this.terminal.err(`\rCollecting: [${String(permille / 10n).padStart(3)}.${permille % 10n} %]`);
  }

  end(): void {
    if (this.open) this.terminal.err("\n");
    this.open = false;
  }
}
