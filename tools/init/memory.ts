/**
 * The state of memory that init makes before the crash, by words of the kernel's command line:
 *
 *     wkdump.fill=PERCENT      so much of memory in use (boot --fill); a little of each kind without it
 *     wkdump.mix=N:N:N:N       of what kinds: weights of files, block device, anonymous memory, kernel
 *     wkdump.hwpoison=PAGES    pages with a hardware error, at places that the machine's seed chooses
 *     wkdump.balloon=PAGES     pages given back to the host: offline
 */
import { type Proc, SyscallError } from "../../runtime/user/proc.ts";
import { echo, readText, writeText } from "./exec.ts";
import { fillMemory, MIX_KINDS, MIX_PARAMETER, Random, randomSeed } from "./fill.ts";

const HARD_OFFLINE_PAGE = "/sys/devices/system/memory/hard_offline_page";
const BALLOON = "/sys/devices/virtio0/num_pages";
const PAGE = 4096;
/** Places tried for each page that is to be poisoned: programs' pages are refused. */
const TRIES = 16;

/** A number of the command line, undefined when it is not there. */
function numberOf(parameters: readonly string[], name: string): number | undefined {
  const word = parameters.filter((parameter) => parameter.startsWith(`wkdump.${name}=`)).at(-1);
  const value = Number(word?.slice(`wkdump.${name}=`.length));
  return Number.isInteger(value) && value >= 0 ? value : undefined;
}

/** Undefined when there is none, or none that can be read. */
function mixOf(parameters: readonly string[]): number[] | undefined {
  const word = parameters.filter((parameter) => parameter.startsWith(`${MIX_PARAMETER}=`)).at(-1);
  const weights = word
    ?.slice(MIX_PARAMETER.length + 1)
    .split(":")
    .map(Number);
  const valid =
    weights?.length === MIX_KINDS.length && weights.every((it) => Number.isInteger(it) && it >= 0);
  return valid && weights.some((it) => it > 0) ? weights : undefined;
}

export async function prepareMemory(proc: Proc, parameters: readonly string[]): Promise<void> {
  await fillMemory(proc, numberOf(parameters, "fill"), mixOf(parameters));
  const balloon = numberOf(parameters, "balloon");
  const poison = numberOf(parameters, "hwpoison");
  try {
    // In this order no page is both.
    if (poison !== undefined) await poisonPages(proc, poison);
    if (balloon !== undefined) await writeText(proc, BALLOON, `${balloon}\n`);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    await echo(proc, `init: preparing memory: ${error.syscall} ${error.path ?? ""}: ${error.code}`);
  }
}

async function poisonPages(proc: Proc, pages: number): Promise<void> {
  const random = new Random(await randomSeed(proc));
  const ranges = dumpedRanges(await readText(proc, "/proc/iomem"));
  const total = ranges.reduce((sum, { start, end }) => sum + (end - start) / PAGE, 0);
  if (total === 0) return;
  for (let left = pages, tries = pages * TRIES; left > 0 && tries > 0; tries--) {
    let page = random.below(total);
    const range = ranges.find(({ start, end }) => {
      if (page < (end - start) / PAGE) return true;
      page -= (end - start) / PAGE;
      return false;
    });
    try {
      await writeText(proc, HARD_OFFLINE_PAGE, `0x${(range!.start + page * PAGE).toString(16)}\n`);
      left--;
    } catch (error) {
      if (!(error instanceof SyscallError) || error.code !== "EBUSY") throw error;
    }
  }
}

/** System RAM above 1 MiB without the crash region, in whole pages. */
export function dumpedRanges(iomem: string): { start: number; end: number }[] {
  const found = (name: string): { start: number; end: number }[] =>
    [...iomem.matchAll(new RegExp(`^ *([0-9a-f]+)-([0-9a-f]+) : ${name}$`, "gm"))].map(([, from, to]) => ({
      start: Math.ceil(Number.parseInt(from!, 16) / PAGE) * PAGE,
      end: Math.floor((Number.parseInt(to!, 16) + 1) / PAGE) * PAGE,
    }));
  let ranges = found("System RAM").filter(({ start }) => start >= 0x100000);
  for (const hole of found("Crash kernel")) {
    ranges = ranges.flatMap(({ start, end }) =>
      hole.start >= end || hole.end <= start
        ? [{ start, end }]
        : [
            { start, end: hole.start },
            { start: hole.end, end },
          ].filter((piece) => piece.end > piece.start),
    );
  }
  return ranges;
}
