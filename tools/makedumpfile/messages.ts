/** What makedumpfile says, by its message level: its texts, on the streams where it puts them. */
import type { Proc } from "../../runtime/user/proc.ts";
import type { Excluded } from "./filter.ts";
import { ML } from "./options.ts";

const SPINNER = "/|\\-";
const NAME_WIDTH = 50;
const ETA_WIDTH = 16;

export interface Counts extends Excluded {
  /** Pages that memory has, and that the bitmaps have. */
  original: number;
  total: number;
  zero: number;
  writtenBytes: number;
  /** Pages that an ELF core has cut out: it keeps short runs of excluded ones; null in another format. */
  cutOut: number | null;
}

export class Messages {
  private turn = 0;

  /** With `flattened`, standard output belongs to the dump. */
  constructor(
    private readonly proc: Proc,
    private readonly level: number,
    private readonly flattened: boolean,
  ) {}

  async common(text: string): Promise<void> {
    if ((this.level & ML.common) !== 0) await this.proc.write(this.flattened ? 2 : 1, text);
  }

  get debugs(): boolean {
    return (this.level & ML.debug) !== 0;
  }

  async debug(text: string): Promise<void> {
    if (this.debugs) await this.proc.write(this.flattened ? 2 : 1, text);
  }

  async error(text: string): Promise<void> {
    if ((this.level & ML.error) !== 0) await this.proc.write(2, text);
  }

  /** "Copying data", "Excluding unnecessary pages", ...: done of all; `elapsed_ms` since it began. */
  async progress(name: string, done: number, all: number, elapsed_ms = 0): Promise<void> {
    if ((this.level & ML.progress) === 0) return;
    const permille = all === 0 || done >= all ? 1000 : Math.floor((done / all) * 1000);
    const percent = `${String(Math.floor(permille / 10)).padStart(3)}.${permille % 10}`;
    const left = done === 0 ? null : ((elapsed_ms / 1000) * (all - done)) / done;
    const eta = name === "Copying data" && left !== null ? `eta: ${duration(left)}` : "";
    const spinner = SPINNER[this.turn++ % SPINNER.length]!;
    await this.proc.write(
      2,
      `\r${name.padEnd(NAME_WIDTH)}: [${percent} %] ${spinner}  ${eta.padStart(ETA_WIDTH)}`,
    );
  }

  /** The line of progress is left, perhaps for a text of its own. */
  async progressDone(text = "\n"): Promise<void> {
    if ((this.level & ML.progress) !== 0) await this.proc.write(2, text);
  }

  async report(counts: Counts): Promise<void> {
    if ((this.level & ML.report) === 0) return;
    const hex = (value: number): string => `0x${value.toString(16).padStart(16, "0")}`;
    const { original, total, zero, cache, cachePrivate, user, free, hwpoison, offline, cutOut } = counts;
    const excluded = zero + cache + cachePrivate + user + free + hwpoison + offline;
    const left = original - excluded;
    const share = Math.floor(((original - (cutOut ?? excluded)) * 100) / original);
    const inElf = (pages: number): string[] =>
      cutOut === null ? [] : [`     in ELF format : ${hex(pages)}`];
    const lines = [
      "",
      `Original pages  : ${hex(original)}`,
      `  Excluded pages   : ${hex(excluded)}`,
      ...inElf(cutOut ?? 0),
      `    Pages filled with zero  : ${hex(zero)}`,
      `    Non-private cache pages : ${hex(cache)}`,
      `    Private cache pages     : ${hex(cachePrivate)}`,
      `    User process data pages : ${hex(user)}`,
      `    Free pages              : ${hex(free)}`,
      `    Hwpoison pages          : ${hex(hwpoison)}`,
      `    Offline pages           : ${hex(offline)}`,
      `  Remaining pages  : ${hex(left)}`,
      ...inElf(original - (cutOut ?? 0)),
      ...(original === 0 ? [] : [`  (The number of pages is reduced to ${share}%.)`]),
      `Memory Hole     : ${hex(total - original)}`,
      "-".repeat(50),
      `Total pages     : ${hex(total)}`,
      `Write bytes     : ${counts.writtenBytes}`,
      "",
    ];
    await this.proc.write(this.flattened ? 2 : 1, `${lines.join("\n")}\n`);
  }
}

/** As the original has it: seconds below 100, then minutes, hours, days. */
export function duration(seconds: number): string {
  const whole = Math.floor(seconds);
  if (whole < 100) return `${whole}s`;
  if (whole < 100 * 60) return `${Math.floor(whole / 60)}m${whole % 60}s`;
  if (whole < 100 * 3600) return `${Math.floor(whole / 3600)}h${Math.floor(whole / 60) % 60}m`;
  const days = Math.floor(whole / 86400);
  return days > 100 ? ">100day" : `${days}d${Math.floor(whole / 3600) % 24}h`;
}
