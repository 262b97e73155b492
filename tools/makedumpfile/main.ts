/**
 * makedumpfile: the original's program, inside the machine and on the host. options.ts reads the command
 * line, filter.ts knows the pages; the formats are tools/dump's.
 */
import { hostCompressors } from "../../runtime/adapter/compressors.ts";
import type { BesideProgram } from "../../runtime/adapter/terminal.ts";
import { O_CREAT, O_EXCL, O_TRUNC, O_WRONLY, type Proc, SyscallError } from "../../runtime/user/proc.ts";
import { FileBytes } from "../dump/bytes.ts";
import { CODECS, type Codec } from "../dump/codecs.ts";
import { pageCompressor } from "../dump/compress.ts";
import { kdumpImage } from "../dump/describe.ts";
import { ElfCore } from "../dump/elf.ts";
import { writeElf } from "../dump/elf-writer.ts";
import { DumpError } from "../dump/error.ts";
import { FlattenedWriter } from "../dump/flattened-writer.ts";
import { writeKdump } from "../dump/kdump-writer.ts";
import type { KernelDump } from "../dump/memory-source.ts";
import { openDump } from "../dump/open.ts";
import type { PageBitmap } from "../dump/page-bitmap.ts";
import { type ByteSink, DISCARD, FileSink } from "../dump/sink.ts";
import { strerror } from "../strerror.ts";
import { hire, type PackCrew } from "./crew.ts";
import { writeLog } from "./dmesg.ts";
import { type Excluded, excludePages, looksAtStructs } from "./filter.ts";
import { HELP, VERSION } from "./help.ts";
import { Messages } from "./messages.ts";
import { DL_EXCLUDE, OptionError, type Options, parseOptions } from "./options.ts";
import { rearrange } from "./rearrange.ts";

/** Kernels whose memory map the tests know: of others it is said that the dump may be incomplete. */
const OLDEST = [5, 15] as const;
const LATEST = [6, 1] as const;
const PIECE = 1024 * 1024;
/** How often it is told how far the copying is. */
const PROGRESS_MS = 200;

/** The work cannot be done: the line that says why. */
class Failure extends Error {
  override name = "Failure";
}

/** On a host, `beside` has the program of threads that help; without it there are none. */
export async function main(proc: Proc, beside?: BesideProgram): Promise<number> {
  let options: Options;
  try {
    options = parseOptions(proc.argv.slice(1));
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    if (error.getopt !== null) await proc.write(2, `${error.getopt}\n`);
    await proc.write(1, `${error.message}\n\nmakedumpfile Failed.\n`);
    return 1;
  }
  if (options.mode === "help") return say(proc, HELP);
  if (options.mode === "version") return say(proc, version());
  if (options.checkParams) return 0;
  const messages = new Messages(proc, options.messageLevel, options.flattened);
  const session = new Session(proc, options, messages, beside);
  try {
    const saved = await session.run();
    await messages.common(`\n${saved}\n\nmakedumpfile Completed.\n`);
    return 0;
  } catch (error) {
    if (error instanceof Failure || error instanceof DumpError) await messages.error(`${error.message}\n`);
    else if (error instanceof SyscallError) {
      await messages.error(`${error.syscall} ${error.path ?? ""}: ${strerror(error)}\n`);
    } else throw error;
    await messages.common("\nmakedumpfile Failed.\n");
    return 1;
  } finally {
    await session.close();
  }
}

async function say(proc: Proc, text: string): Promise<number> {
  await proc.write(1, text);
  return 0;
}

function version(): string {
  const zstd = hostCompressors().zstd === undefined ? "disabled" : "enabled";
  return `makedumpfile: version ${VERSION}\nlzo\tenabled\nsnappy\tenabled\nzstd\t${zstd}\n\n`;
}

/** What one run of the program has open. */
class Session {
  private readonly files: FileBytes[] = [];
  private readonly outputs: number[] = [];
  private crew: PackCrew | null = null;

  constructor(
    private readonly proc: Proc,
    private readonly options: Options,
    private readonly messages: Messages,
    private readonly beside: BesideProgram | undefined,
  ) {}

  /** Does the work; the line that says where it is. */
  async run(): Promise<string> {
    const { mode, operands, split, flattened } = this.options;
    if (mode === "rearrange") {
      await rearrange(this.proc, await this.create(operands[0]!));
      return `The dumpfile is saved to ${operands[0]}.`;
    }
    if (mode === "reassemble") {
      const output = operands.at(-1)!;
      const dump = await this.open(operands.slice(0, -1));
      if (dump.header?.split !== true) throw new Failure(`${dump.name} is no file of a split set.`);
      await this.reassemble(dump, await this.create(output));
      return `The dumpfile is saved to ${output}.`;
    }
    const [vmcore = "", ...outputs] = operands;
    const dump = await this.open([vmcore]);
    await this.checkVersion(dump);
    if (mode === "dmesg") {
      await writeLog(dump, await this.create(outputs[0]!), (text) => this.messages.error(text));
      return `The dmesg log is saved to ${outputs[0]}.`;
    }
    if (flattened) {
      const writer = new FlattenedWriter((bytes) => this.proc.write(1, bytes));
      await this.dump(dump, async () => [writer]);
      await writer.end();
      return "The dumpfile is saved to STDOUT.";
    }
    for (const output of outputs) await this.checkAbsent(output);
    await this.dump(dump, async () => {
      const sinks: ByteSink[] = [];
      for (const output of outputs) sinks.push(await this.create(output));
      return sinks;
    });
    if (!split) return `The dumpfile is saved to ${outputs[0]}.`;
    return `The dumpfiles are saved to ${outputs.slice(0, -1).join(", ")}, and ${outputs.at(-1)}.`;
  }

  async close(): Promise<void> {
    this.crew?.end();
    for (const file of this.files) await file.close();
    for (const fd of this.outputs) await this.proc.close(fd);
  }

  private async open(paths: readonly string[]): Promise<KernelDump> {
    const files: FileBytes[] = [];
    for (const path of paths) {
      try {
        files.push(await FileBytes.open(this.proc, path));
      } catch (error) {
        if (!(error instanceof SyscallError)) throw error;
        const what = `open_dump_memory: Can't open the dump memory(${path}).`;
        throw new Failure(`${what} ${strerror(error)}`);
      }
      this.files.push(files.at(-1)!);
    }
    const dump = await openDump(files);
    for (const problem of dump.problems) await this.messages.error(`${dump.name}: ${problem}\n`);
    return dump;
  }

  /** Told before the work begins: create() would say it after minutes. */
  private async checkAbsent(path: string): Promise<void> {
    if (this.options.force) return;
    try {
      await this.proc.stat(path);
    } catch (error) {
      if (error instanceof SyscallError) return;
      throw error;
    }
    throw new Failure(`check_dump_file: Can't open the dump file (${path}). File exists`);
  }

  /** A new file, for its owner alone: a dump holds what was in memory. */
  private async create(path: string): Promise<ByteSink> {
    if (this.options.dryRun) return DISCARD;
    const flags = O_WRONLY | O_CREAT | (this.options.force ? O_TRUNC : O_EXCL);
    try {
      const fd = await this.proc.open(path, flags, 0o600);
      this.outputs.push(fd);
      return new FileSink(this.proc, fd);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      throw new Failure(`check_dump_file: Can't open the dump file (${path}). ${strerror(error)}`);
    }
  }

  private async checkVersion(dump: KernelDump): Promise<void> {
    const release = dump.vmcoreinfo.value("OSRELEASE") ?? "";
    const [, major = "0", minor = "0"] = /^(\d+)\.(\d+)/.exec(release) ?? [];
    const number = ([a, b]: readonly [number, number]): number => a * 1000 + b;
    const found = number([Number(major), Number(minor)]);
    if (found >= number(OLDEST) && found <= number(LATEST)) return;
    await this.messages.common(
      "The kernel version is not supported.\nThe makedumpfile operation may be incomplete.\n",
    );
  }

  /** Filters the dump, then writes it to the sinks that `open` gives: several are a split set. */
  private async dump(dump: KernelDump, open: () => Promise<ByteSink[]>): Promise<void> {
    const { messages, options } = this;
    let { level } = options;
    if (dump.header !== null) {
      if ((dump.header.dumpLevel | level) !== level) {
        level |= dump.header.dumpLevel;
        const by = `${dump.name} was created by dump_level(${dump.header.dumpLevel})`;
        await messages.common(`dump_level is changed to ${level}, because ${by}.\n`);
      }
      if (options.elf) {
        throw new Failure(`'-E' option is disable, because ${dump.name} is kdump compressed format.`);
      }
    }
    const { exist, dumped } = await dump.pages();
    await messages.progress("Checking for memory holes", 1, 1);
    const excluded = await excludePages(dump, level, exist, dumped);
    if (looksAtStructs(dump, level)) await messages.progress("Excluding unnecessary pages", 1, 1);
    const sinks = await open();
    const written =
      options.elf && dump instanceof ElfCore
        ? await this.writeElf(dump, level, dumped, sinks[0]!)
        : await this.writeKdump(dump, level, options.codec, exist, dumped, sinks);
    await messages.progressDone();
    const counts: Excluded = excluded;
    await messages.report({
      ...counts,
      original: exist.count(),
      total: exist.pages,
      zero: written.zero,
      writtenBytes: written.bytes,
    });
  }

  private async writeKdump(
    dump: KernelDump,
    level: number,
    codec: Codec | null,
    exist: PageBitmap,
    dumped: PageBitmap,
    sinks: readonly ByteSink[],
  ): Promise<{ zero: number; bytes: number }> {
    const compress = await pageCompressor(codec, hostCompressors());
    if (compress === null) throw new Failure(`This engine has no ${codec} to compress with.`);
    const image = { ...(await kdumpImage(dump, level)), maxMapnr: exist.pages };
    const all = dumped.count();
    const start = performance.now();
    const total = { zero: 0, bytes: 0 };
    let told = 0;
    let before = 0;
    const read: KernelDump["read"] = (physical, length, into) => dump.read(physical, length, into);
    const paths = this.outputPaths();
    if (paths !== null) {
      const inputs = this.files.map(({ name }) => name);
      this.crew ??= hire(this.beside, this.options.threads, all * dump.pageSize, inputs);
    }
    for (const [index, split] of ranges(dumped, sinks.length).entries()) {
      let own = 0;
      const progress = async (pages: number): Promise<void> => {
        own = pages;
        const now = performance.now();
        if (now - told <= PROGRESS_MS) return;
        told = now;
        await this.messages.progress("Copying data", before + own, all, now - start);
      };
      const crew = this.crew?.for(paths?.[index] ?? null);
      const pages = { exist, dumped, read, codec, compress, progress, crew };
      const part = sinks.length > 1 ? { ...image, split } : image;
      const { zero, bytes } = await writeKdump(sinks[index]!, part, pages);
      before += own;
      total.zero += zero;
      total.bytes += bytes;
    }
    await this.messages.progress("Copying data", all, all, performance.now() - start);
    return total;
  }

  /** The files that are written, none with --dry-run; null: a stream, to which one thread writes. */
  private outputPaths(): readonly string[] | null {
    const { mode, operands, flattened, dryRun } = this.options;
    if (flattened) return null;
    if (dryRun) return [];
    return mode === "reassemble" ? operands.slice(-1) : operands.slice(1);
  }

  private async writeElf(
    dump: ElfCore,
    level: number,
    dumped: PageBitmap,
    sink: ByteSink,
  ): Promise<{ zero: number; bytes: number }> {
    const { pageSize } = dump;
    const zero = (level & DL_EXCLUDE.zero) === 0 ? 0 : await excludeZeroPages(dump, dumped);
    const image = { ...dump.image, pageSize, notes: dump.noteBytes, loads: dump.loads };
    const read = (physical: number, length: number) => dump.read(physical, length);
    const bytes = await writeElf(sink, image, { dumped, read });
    await this.messages.progress("Copying data", 1, 1);
    return { zero, bytes };
  }

  /** One dump of the pages of all files of a set. */
  private async reassemble(dump: KernelDump, sink: ByteSink): Promise<void> {
    const { exist, dumped } = await dump.pages();
    const status = dump.header?.status ?? 0;
    const codec = (Object.keys(CODECS) as Codec[]).find((it) => (CODECS[it] & status) !== 0) ?? null;
    await this.writeKdump(dump, dump.dumpLevel ?? 0, codec, exist, dumped, [sink]);
    await this.messages.progressDone();
  }
}

/** The pages of each of `count` files: as many that are dumped in each. */
function ranges(dumped: PageBitmap, count: number): { startPfn: number; endPfn: number }[] {
  if (count === 1) return [{ startPfn: 0, endPfn: dumped.pages }];
  const share = Math.ceil(dumped.count() / count);
  const found: { startPfn: number; endPfn: number }[] = [];
  let pfn = 0;
  for (let file = 0; file < count; file++) {
    const startPfn = pfn;
    for (let left = share; left > 0 && pfn < dumped.pages; pfn++) if (dumped.has(pfn)) left--;
    if (file === count - 1) pfn = dumped.pages;
    found.push({ startPfn, endPfn: pfn });
  }
  return found;
}

/** Takes pages of zeros out of `dumped`; how many they are. */
async function excludeZeroPages(dump: KernelDump, dumped: PageBitmap): Promise<number> {
  const { pageSize } = dump;
  const batch = PIECE / pageSize;
  let zero = 0;
  for (let pfn = dumped.next(0); pfn < dumped.pages; pfn = dumped.next(pfn)) {
    let end = pfn + 1;
    while (end - pfn < batch && dumped.has(end)) end++;
    const bytes = await dump.read(pfn * pageSize, (end - pfn) * pageSize);
    const words = new BigUint64Array(bytes.slice().buffer);
    const each = pageSize / 8;
    for (let page = 0; page < end - pfn; page++) {
      let at = page * each;
      while (at < (page + 1) * each && words[at] === 0n) at++;
      if (at < (page + 1) * each) continue;
      dumped.remove(pfn + page);
      zero++;
    }
    pfn = end;
  }
  return zero;
}
