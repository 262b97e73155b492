/**
 * `wkdump makedumpfile` beside the stock tool, as whole processes on the same dump: time, size of the output,
 * most memory. The page cache is warm, and what one run has left to the disk is there before the next begins.
 */
import { HostError, type HostFs, openDirectory } from "../../runtime/adapter/index.ts";
import { ownCommand, peakOfCommand, runCommand, temporaryDirectory } from "../../runtime/adapter/process.ts";
import { CommandError } from "../flags.ts";
import { formatSize, readableSize } from "../size.ts";
import {
  COPY_TIMEOUT_MS,
  checkSpace,
  median,
  type Progress,
  type Samples,
  SPARE,
  succeed,
} from "./measure.ts";
import type { Row } from "./table.ts";

const STOCK = "makedumpfile";
/** Below the directory. */
const OUTPUT = "filtered";
/**
 * Of the machine whose dump is read: how much is in use, and of what. Three quarters of the kernel's pages,
 * those that are not of zeros, stay at level 31.
 */
const CONTENTS = ["--fill", "60%", "--mix", "kernel=30,cache=1,cache_private=1,user=1", "--seed", "1"];

/** Options of one comparison, and the ratio of the times that is aimed at. */
const RUNS: readonly { options: readonly string[]; aim?: number }[] = [
  { options: ["-d", "31"], aim: 1 },
  { options: ["-l", "-d", "31"], aim: 1 },
  { options: ["-c", "-d", "31"], aim: 0.5 },
  { options: ["-p", "-d", "31"] },
  { options: ["-E", "-d", "31"] },
  { options: ["-d", "0"] },
  { options: ["-l", "-d", "0"], aim: 0.8 },
  { options: ["-c", "-d", "0"], aim: 0.33 },
  { options: ["-p", "-d", "0"] },
];
/** Those that compress have something to do for a second thread. */
const THREADS = ["--num-threads", "2"];
const COMPRESSING = ["-l", "-c", "-p"];
/** Aims of every row: the output's size beside the stock tool's, and bytes of memory. */
const SIZE_AIM = 1.15;
const PEAK_AIM = 150 << 20;

/** What one of the two did. */
interface Side {
  ms: Samples;
  /** Of the output. */
  bytes: number;
  /** Most memory at once. */
  peak: number | undefined;
}

/** Rows for a dump of ours of so much memory, and for `vmcore` if there is one; else why there are none. */
export async function measureMakedumpfile(
  out: string,
  memory: number,
  vmcore: string | undefined,
  rounds: number,
  progress: Progress,
): Promise<Row[] | { skipped: string }> {
  const version = stockVersion();
  if (version === undefined) return { skipped: `no ${STOCK} is installed to compare with` };
  const directory = temporaryDirectory(out);
  try {
    const fs = openDirectory(directory.path);
    checkSpace(directory.path, out, 2 * memory + SPARE, "a dump and a filtered one");
    const { program } = ownCommand();
    const boot = ["boot", "--memory", formatSize(memory), ...CONTENTS, "--quiet", "--out", directory.path];
    const made = succeed([...program, ...boot], COPY_TIMEOUT_MS).stdout.trim();
    const dumps = [{ name: "makedumpfile", label: formatSize(memory), path: made }];
    if (vmcore !== undefined) dumps.push({ name: "makedumpfile_vmcore", label: "--vmcore", path: vmcore });
    const rows: Row[] = [];
    for (const { name, label, path } of dumps) {
      for (const { options, aim } of RUNS) {
        progress(rows.length, dumps.length * RUNS.length);
        const compare = new Comparison(fs, directory.path, path, options);
        const [ours, stock] = await compare.measure(rounds, stockCan(version, options));
        rows.push(
          row(
            [name, ...options].join("_").replaceAll("-", ""),
            `${options.join(" ")}, ${label}`,
            ours,
            stock,
            aim,
          ),
        );
      }
    }
    return rows;
  } finally {
    directory.remove();
  }
}

/** What the stock tool says of itself; undefined when there is none. */
function stockVersion(): string | undefined {
  try {
    const { status, stdout } = runCommand([STOCK, "-v"], COPY_TIMEOUT_MS);
    return status === 0 ? stdout : undefined;
  } catch (error) {
    if (error instanceof HostError) return undefined;
    throw error;
  }
}

/** Without a compression that it was built without, it would write the pages as they are. */
function stockCan(version: string, options: readonly string[]): boolean {
  return !options.includes("-p") || /^snappy\s+enabled$/m.test(version);
}

/** Both on one dump with the same options. */
class Comparison {
  readonly #fs: HostFs;
  readonly #output: string;
  readonly #directory: string;
  readonly #ours: readonly string[];
  readonly #stock: readonly string[];

  constructor(fs: HostFs, directory: string, vmcore: string, options: readonly string[]) {
    this.#fs = fs;
    this.#directory = directory;
    this.#output = `${directory}/${OUTPUT}`;
    const threads = options.some((option) => COMPRESSING.includes(option)) ? THREADS : [];
    const operands = [...options, vmcore, this.#output];
    this.#ours = [...ownCommand().program, "makedumpfile", ...threads, ...operands];
    this.#stock = [STOCK, ...operands];
  }

  /** The stock tool's side is undefined when it cannot do this. */
  async measure(rounds: number, both: boolean): Promise<[ours: Side, stock: Side | undefined]> {
    const stock = both ? await this.#watch(this.#stock) : undefined;
    const ours = await this.#watch(this.#ours);
    for (let round = 0; round < rounds; round++) {
      if (stock !== undefined) stock.ms.push(this.#time(this.#stock));
      ours.ms.push(this.#time(this.#ours));
    }
    return [ours, stock];
  }

  /** Not timed: what it gives, how much memory it takes, and the dump is in the page cache then. */
  async #watch(command: readonly string[]): Promise<Side> {
    const { status, stderr, peak } = await peakOfCommand(command);
    if (status !== 0) throw new CommandError(`${command.join(" ")} ended with ${status}: ${stderr.trim()}`);
    const bytes = this.#fs.stat(OUTPUT).size;
    this.#fs.unlink(OUTPUT);
    return { ms: [], bytes, peak };
  }

  #time(command: readonly string[]): number {
    succeed(["sync", "-f", this.#directory], COPY_TIMEOUT_MS);
    const { elapsed_ms } = succeed(command, COPY_TIMEOUT_MS);
    this.#fs.unlink(OUTPUT);
    return elapsed_ms;
  }
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;
const memoryOf = ({ peak }: Side) => (peak === undefined ? "?" : readableSize(peak));

function row(name: string, what: string, ours: Side, stock: Side | undefined, aim: number | undefined): Row {
  const value = seconds(median(ours.ms));
  const small = ours.peak === undefined || ours.peak <= PEAK_AIM;
  const samples: Row["samples"] = { ours_ms: ours.ms, ours_bytes: ours.bytes };
  if (ours.peak !== undefined) samples.ours_peak = ours.peak;
  if (stock === undefined) {
    const more = `output ${readableSize(ours.bytes)}, memory ${memoryOf(ours)}`;
    return { name, what, value, beside: "stock cannot", more, aim: "", met: small, samples };
  }
  samples.stock_ms = stock.ms;
  samples.stock_bytes = stock.bytes;
  if (stock.peak !== undefined) samples.stock_peak = stock.peak;
  const ratio = median(ours.ms) / median(stock.ms);
  const size = ours.bytes / stock.bytes;
  return {
    name,
    what,
    value,
    beside: `stock ${seconds(median(stock.ms))}`,
    ratio,
    more: `output x ${size.toFixed(2)}, memory ${memoryOf(ours)}, stock ${memoryOf(stock)}`,
    aim: aim === undefined ? "" : `<= ${aim}`,
    met: ratio <= (aim ?? Number.POSITIVE_INFINITY) && size <= SIZE_AIM && small,
    samples,
  };
}
