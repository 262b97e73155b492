/**
 * What a damaged dump goes through: all that a reader can ask for, vmcore-dmesg, and one of makedumpfile's
 * works, whose output, if there is one, must read as the dump does.
 */
import { Random } from "../../runtime/machine/random.ts";
import type { ByteSource } from "../dump/bytes.ts";
import { DumpError } from "../dump/error.ts";
import type { KernelDump } from "../dump/memory-source.ts";
import { openDump } from "../dump/open.ts";
import { main as makedumpfile } from "../makedumpfile/main.ts";
import { main as vmcoreDmesg } from "../vmcore-dmesg/main.ts";
import { MemoryFiles } from "./files.ts";

/** Pages that are read of a dump, spread over it, and of what makedumpfile makes of it. */
const PAGES = 96;
const PAGES_COMPARED = 64;
const READ = 10_000;
const LEVELS = ["0", "1", "2", "4", "8", "16", "31"];
/** Pages below this one are explained. */
const EXPLAINED = 2048;
/** What --vtop is asked for: in the image, the direct map, vmemmap, vmalloc, of no page. */
const ADDRESSES = [
  "ffffffff80200000",
  "ffff888000200000",
  "ffffea0000008000",
  "ffffc90000000000",
  "ffffffffa0000000",
  "400000",
  "8000000000000000",
];
const CODECS = [[], ["-c"], ["-l"], ["-p"], ["-z"]];

export interface Reading {
  /** The dump was refused as a whole. */
  refused: boolean;
  /** Lines of the log. */
  lines: number;
  /** Pages that were read. */
  pages: number;
  /** What makedumpfile was asked for, and its exit status. */
  program: string;
  status: number;
}

/** Throws whatever is no DumpError, and when a program's output is not what it should be. */
export async function examine(sources: readonly ByteSource[], seed: number): Promise<Reading> {
  const reading: Reading = { refused: false, lines: 0, pages: 0, program: "", status: 0 };
  let dump: KernelDump | null = null;
  try {
    dump = await openDump(sources);
    reading.pages = await readPages(dump);
  } catch (error) {
    if (!(error instanceof DumpError)) throw error;
    reading.refused = true;
  }
  const files = new MemoryFiles(sources);
  const names = sources.map(({ name }) => name);
  await files.run(vmcoreDmesg, ["vmcore-dmesg", ...names]);
  for (const byte of files.said.stdout) if (byte === 0x0a) reading.lines++;
  const plan = planOf(seed, names);
  reading.program = plan.steps.map(({ args }) => args.join(" ")).join(", ");
  for (const { args, stdin, stdout } of plan.steps) {
    reading.status = await files.run(makedumpfile, ["makedumpfile", ...args], { stdin, stdout });
    if (reading.status === 0) continue;
    // What a dump does not have, the original tells among its common messages.
    const said = `${files.said.stderr}${new TextDecoder().decode(files.said.stdout)}`;
    if (said.replace("\nmakedumpfile Failed.\n", "") === "") {
      throw new Error(`makedumpfile ${args.join(" ")}: failed without a word`);
    }
    return reading;
  }
  if (plan.output.length > 0 && dump !== null) {
    await compare(dump, await openDump(plan.output.map((name) => files.file(name))));
  }
  return reading;
}

interface Step {
  args: string[];
  stdin?: string;
  stdout?: string;
}

/** makedumpfile's work on these files, by the seed; `output` is a dump. */
export function planOf(seed: number, names: readonly string[]): { steps: Step[]; output: string[] } {
  const random = new Random(seed, "fuzz-dump makedumpfile");
  const pick = <T>(items: readonly T[]): T => items[random.u32() % items.length]!;
  const [first = ""] = names;
  if (names.length > 1) {
    const step = { args: ["--reassemble", ...names, "whole"] };
    return pick([true, true, false])
      ? { steps: [step], output: ["whole"] }
      : { steps: [{ args: ["--dump-dmesg", first, "log"] }], output: [] };
  }
  const how = [...pick(CODECS), "-d", pick(LEVELS)];
  const level = how.slice(-2);
  const plain = { steps: [{ args: [...how, first, "dump"] }], output: ["dump"] };
  const parts = ["part1", "part2", "part3"];
  const split = { args: ["--split", ...how, first, ...parts] };
  return pick([
    plain,
    plain,
    { steps: [{ args: ["-E", ...level, first, "core"] }], output: ["core"] },
    {
      steps: [
        { args: ["-F", ...(pick([true, false]) ? ["-E", ...level] : how), first], stdout: "flat" },
        { args: ["-R", "plain"], stdin: "flat" },
      ],
      output: ["plain"],
    },
    { steps: [{ args: ["-R", "plain"], stdin: first }], output: [] },
    { steps: [split], output: parts },
    { steps: [split, { args: ["--reassemble", ...parts, "whole"] }], output: ["whole"] },
    { steps: [{ args: ["--dump-dmesg", ...pick([[], ["--partial-dmesg"]]), first, "log"] }], output: [] },
    { steps: [{ args: ["-e", "--work-dir", "/", ...how, first, "dump"] }], output: ["dump"] },
    // What does not fit is lost: nothing to compare.
    { steps: [{ args: ["-L", "500K", ...how.slice(0, -1), "0,16,31", first, "dump"] }], output: [] },
    { steps: [{ args: ["-D", "--dry-run", ...how, first, "none"] }], output: [] },
    { steps: [{ args: ["--mem-usage", first] }], output: [] },
    { steps: [{ args: [...level, "--explain", String(random.u32() % EXPLAINED), first] }], output: [] },
    { steps: [{ args: ["--vtop", pick(ADDRESSES), first] }], output: [] },
  ]);
}

async function attempt<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DumpError) return null;
    throw error;
  }
}

/** How many were read. */
async function readPages(dump: KernelDump): Promise<number> {
  await attempt(() => dump.held());
  let pages = 0;
  const { pageSize } = dump;
  for (const pfn of spread(dump, PAGES)) {
    await attempt(() => dump.pageState(pfn));
    const read = await attempt(() => dump.read(pfn * pageSize, READ));
    if (read !== null || (await attempt(() => dump.read(pfn * pageSize, 8))) !== null) pages++;
  }
  return pages;
}

function* spread({ end, pageSize }: KernelDump, most: number): Generator<number> {
  const all = Math.ceil(end / pageSize);
  const step = Math.max(1, Math.floor(all / most));
  for (let n = 0, pfn = 0; n < most && pfn < all; n++, pfn += step) yield pfn;
}

/** The pages that `copy` has are the dump's. */
async function compare(dump: KernelDump, copy: KernelDump): Promise<void> {
  const { pageSize } = dump;
  if (copy.pageSize !== pageSize) throw new Error(`pages of ${copy.pageSize} bytes, not ${pageSize}`);
  for (const pfn of spread(dump, PAGES_COMPARED)) {
    const state = await copy.pageState(pfn);
    if (state === "lost") throw new Error(`page ${pfn} is lost in makedumpfile's output`);
    if (state !== "present" && state !== "zero") continue;
    const wanted = await attempt(() => dump.read(pfn * pageSize, pageSize));
    // The dump has a part of it.
    if (wanted === null) continue;
    const page = await copy.read(pfn * pageSize, pageSize);
    for (let at = 0; at < pageSize; at++) {
      if (page[at] !== wanted[at]) throw new Error(`page ${pfn} is another in makedumpfile's output`);
    }
  }
}
