/**
 * makedumpfile: the original's program, inside the machine and on the host. options.ts reads the command
 * line, filter.ts knows the pages; the formats are tools/dump's.
 */
import { hostCompressors } from "../../runtime/adapter/compressors.ts";
import type { BesideProgram } from "../../runtime/adapter/terminal.ts";
import { type Proc, SyscallError } from "../../runtime/user/proc.ts";
import { FileBytes } from "../dump/bytes.ts";
import { CODECS, type Codec, codecsModule } from "../dump/codecs.ts";
import { pageCompressor } from "../dump/compress.ts";
import { kdumpImage } from "../dump/describe.ts";
import { ElfCore } from "../dump/elf.ts";
import { writeElf } from "../dump/elf-writer.ts";
import { type ErasedRange, erasing } from "../dump/erased.ts";
import { DumpError } from "../dump/error.ts";
import { FlattenedWriter } from "../dump/flattened-writer.ts";
import { type KdumpImage, kdumpStatus, writeKdump } from "../dump/kdump-writer.ts";
import type { KernelDump } from "../dump/memory-source.ts";
import { openDump } from "../dump/open.ts";
import type { PageBitmap } from "../dump/page-bitmap.ts";
import type { ByteSink } from "../dump/sink.ts";
import { type VmcoreInfo, vmcoreinfoOrNull } from "../dump/vmcoreinfo.ts";
import { strerror } from "../strerror.ts";
import { hire, type PackCrew } from "./crew.ts";
import { debugText } from "./debug.ts";
import { describe, generate } from "./described.ts";
import { writeLog } from "./dmesg.ts";
import type { Eraser } from "./erase.ts";
import { elfNotes, kdumpEraseinfo } from "./eraseinfo.ts";
import { excludeVmemmap } from "./exclude-vmemmap.ts";
import { explain } from "./explain.ts";
import { Failure, Refusal } from "./failure.ts";
import { excludePages, looksAtStructs } from "./filter.ts";
import { HELP, VERSION } from "./help.ts";
import { type LimitedSink, NoSpace, noSpaceOf } from "./limit.ts";
import { memUsage } from "./mem-usage.ts";
import { Messages } from "./messages.ts";
import { DL_EXCLUDE, INVALID, ML, OptionError, type Options, parseOptions } from "./options.ts";
import { Outputs, STDOUT } from "./outputs.ts";
import { rearrange } from "./rearrange.ts";
import { releaseNumber } from "./types.ts";
import { vtop } from "./vtop.ts";
import { excludeZeroPages } from "./zero-pages.ts";

/** Kernels whose memory map the tests know: of others it is said that the dump may be incomplete. */
const OLDEST = releaseNumber("5.15");
const LATEST = releaseNumber("6.1");
/** How often it is told how far the copying is. */
const PROGRESS_MS = 200;

/** On a host, `beside` has the program of threads that help; without it there are none. */
export async function main(proc: Proc, beside?: BesideProgram): Promise<number> {
  let options: Options;
  try {
    options = parseOptions(proc.argv.slice(1));
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    return refuse(proc, error);
  }
  if (options.mode === "help") return say(proc, HELP);
  if (options.mode === "version") return say(proc, version());
  const messages = new Messages(proc, options.messageLevel, options.flattened);
  await messages.debug(`makedumpfile: version ${VERSION}\ncommand line: ${proc.argv.join(" ")} \n\n`);
  if (options.checkParams) return 0;
  const session = new Session(proc, options, messages, beside);
  try {
    await messages.common(await session.run());
    return 0;
  } catch (error) {
    if (error instanceof NoSpace) await messages.common(`\n${error.message}\n`);
    else if (error instanceof Refusal) await messages.common(`${error.message}\n`);
    else if (error instanceof Failure || error instanceof DumpError) {
      if (error.message !== "") await messages.error(`${error.message}\n`);
    } else if (error instanceof SyscallError) {
      await messages.error(`${error.syscall} ${error.path ?? ""}: ${strerror(error)}\n`);
    } else throw error;
    await messages.common("\nmakedumpfile Failed.\n");
    return error instanceof Failure ? error.status : 1;
  } finally {
    await session.close();
  }
}

/** Says what is wrong with the command line, where what had been read of it so far wants it said. */
async function refuse(proc: Proc, error: OptionError): Promise<number> {
  if (error.getopt !== null) await proc.write(2, `${error.getopt}\n`);
  const { messageLevel = ML.common, flattened = false, checkParams = false } = error.options ?? {};
  const messages = new Messages(proc, messageLevel, flattened);
  await messages.common(`${error.message}\n`);
  if (!checkParams) await messages.common("\nmakedumpfile Failed.\n");
  return 1;
}

async function say(proc: Proc, text: string): Promise<number> {
  await proc.write(1, text);
  return 0;
}

function version(): string {
  const zstd = hostCompressors().zstd === undefined ? "disabled" : "enabled";
  return `makedumpfile: version ${VERSION}\nlzo\tenabled\nsnappy\tenabled\nzstd\t${zstd}\n\n`;
}

/** What a dump has become. */
interface Written {
  zero: number;
  bytes: number;
  /** Pages that an ELF core has cut out. */
  cutOut: number | null;
}

/** The last lines of a run that has written something. */
const completed = (saved: string): string => `\n${saved}\n\nmakedumpfile Completed.\n`;

/** What one run of the program has open. */
class Session {
  private readonly files: FileBytes[] = [];
  private readonly outputs: Outputs;
  private crew: PackCrew | null = null;
  /** As kdumpStatus asks. */
  vmemmapExcluded = false;
  /** --config: what does not go into the dump, and the rules for it. */
  private erased: readonly ErasedRange[] = [];
  private eraser: Eraser | null = null;

  constructor(
    private readonly proc: Proc,
    private readonly options: Options,
    private readonly messages: Messages,
    private readonly beside: BesideProgram | undefined,
  ) {
    this.outputs = new Outputs(proc, options);
  }

  /** Does the work; the lines that end the run. */
  async run(): Promise<string> {
    const { mode, operands, flattened, split, sources, generated } = this.options;
    if (mode === "generate") {
      await this.checkVersion(await generate(this.proc, sources.vmlinux ?? "", generated ?? ""));
      return completed(`The vmcoreinfo is saved to ${generated}.`);
    }
    if (mode === "rearrange") {
      const [output = ""] = operands;
      await this.outputs.checkAbsent(output);
      await rearrange(this.proc, await this.outputs.create(output));
      return completed(`The dumpfile is saved to ${output}.`);
    }
    if (mode === "reassemble") {
      const output = operands.at(-1)!;
      await this.outputs.checkAbsent(output);
      const dump = await this.open(operands.slice(0, -1));
      if (dump.header?.split !== true) throw new Failure(`${dump.name} is no file of a split set.`);
      await this.reassemble(dump, await this.outputs.create(output));
      return completed(`The dumpfile is saved to ${output}.`);
    }
    const [vmcore = "", ...outputs] = operands;
    if (mode === "mem-usage" || mode === "explain") return this.look(vmcore);
    for (const output of outputs) await this.outputs.checkAbsent(output);
    const dump = await this.describe(await this.open([vmcore]));
    if (mode === "dmesg") {
      await this.checkVersion(dump);
      const sink = flattened ? inOrder(this.outputs.stream()) : await this.outputs.create(outputs[0]!);
      await writeLog(dump, sink, this.options.partial, (text) => this.messages.error(text));
      return completed(`The dmesg log is saved to ${flattened ? STDOUT : outputs[0]}.`);
    }
    await this.makeDumps(dump, outputs);
    if (flattened) return completed(`The dumpfile is saved to ${STDOUT}.`);
    if (!split) return completed(`The dumpfile is saved to ${outputs[0]}.`);
    return completed(`The dumpfiles are saved to ${outputs.slice(0, -1).join(", ")}, and ${outputs.at(-1)}.`);
  }

  async close(): Promise<void> {
    this.crew?.end();
    for (const file of this.files) await file.close();
    await this.outputs.close();
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

  /** The dump as -x, -i and --config describe it. */
  private async describe(plain: KernelDump): Promise<KernelDump> {
    const say = (text: string) => this.messages.error(text);
    const { dump, eraser } = await describe(this.proc, plain, this.options.sources, say);
    this.eraser = eraser;
    this.erased = eraser?.ranges ?? [];
    return dump;
  }

  private async checkVersion({ vmcoreinfo }: { vmcoreinfo: VmcoreInfo }): Promise<void> {
    const found = releaseNumber(vmcoreinfo.value("OSRELEASE") ?? "");
    if (found >= OLDEST && found <= LATEST) return;
    await this.messages.common(
      "The kernel version is not supported.\nThe makedumpfile operation may be incomplete.\n",
    );
  }

  /** What is asked of a dump without making another: --mem-usage, --explain. */
  private async look(vmcore: string): Promise<string> {
    const { mode, levels, explain: pages } = this.options;
    const dump = await this.describe(await this.open([vmcore]));
    await this.checkVersion(dump);
    if (mode === "mem-usage") return memUsage(dump);
    const level = levels[0]! | (dump.header?.dumpLevel ?? 0);
    return explain(dump, level, pages);
  }

  /** The level that is asked for, and what has been left out before. */
  private async levelOf(dump: KernelDump, asked: number): Promise<number> {
    const before = dump.header?.dumpLevel ?? 0;
    const level = asked | before;
    if (level !== asked) {
      const by = `${dump.name} was created by dump_level(${before})`;
      await this.messages.common(`dump_level is changed to ${level}, because ${by}.\n`);
    }
    return level;
  }

  /** What the original asks before it begins. Throws Failure. */
  private async checkDump(dump: KernelDump): Promise<void> {
    const { elf, levels, workDir } = this.options;
    if (dump.header !== null && elf) {
      throw new Refusal(`'-E' option is disable, because ${dump.name} is kdump compressed format.`);
    }
    const little = dump instanceof ElfCore ? dump.image.little : dump.header?.little;
    if (little === false || dump.end === 0) {
      const foreign = `made on ${dump.machine}, with big endian numbers, which are not written here`;
      const why = `${dump.name}: ${little === false ? foreign : "no program header describes memory"}`;
      throw new Failure(`get_elf_info: Can't get the number of PT_LOAD.\n${why}`);
    }
    if (vmcoreinfoOrNull(dump) !== null) await this.checkVersion(dump);
    else if (Math.max(...levels) > DL_EXCLUDE.zero) {
      const what = `${dump.name} doesn't contain vmcoreinfo.\nSpecify '-x' option or '-i' option.`;
      throw new Refusal(`${what}\n${INVALID}`);
    }
    if (workDir === null) return;
    try {
      await this.proc.stat(workDir);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      const file = `${workDir}/kdump_bitmapXXXXXX`;
      throw new Failure(`open_dump_bitmap: Can't open the bitmap file(${file}). ${strerror(error)}`);
    }
  }

  /** Filters the dump into the outputs: with the next level where there is no room at one. */
  private async makeDumps(dump: KernelDump, outputs: readonly string[]): Promise<void> {
    const { messages, options } = this;
    const { levels, flattened } = options;
    let level = await this.levelOf(dump, levels[0]!);
    await this.checkDump(dump);
    if (messages.debugs) await messages.debug(await debugText(dump));
    if (options.vtop !== 0n) await vtop(dump, options.vtop, messages);
    for (const next of [...levels.slice(1), null]) {
      const sinks: LimitedSink[] = [];
      try {
        if (flattened) {
          const writer = new FlattenedWriter(this.outputs.stream());
          await this.dump(dump, level, async () => [writer]);
          await writer.end();
        } else {
          await this.dump(dump, level, async () => {
            for (const output of outputs) sinks.push(await this.outputs.create(output));
            return sinks;
          });
        }
        return;
      } catch (error) {
        if (!(error instanceof NoSpace)) throw error;
        await messages.common(`\n${error.message}\n`);
        // What is in a stream has been read already.
        if (flattened) throw new Failure("");
      }
      if (next === null) {
        const elf = options.elf && dump instanceof ElfCore ? dump.image.class : null;
        const status = kdumpStatus(this, options.codec);
        let marked = true;
        for (const sink of sinks) marked &&= await sink.markIncomplete(elf, status);
        if (marked) await messages.common("This is an incomplete dumpfile, but might analyzable.\n");
        throw new Failure("");
      }
      await messages.common(`Retry to create a dumpfile by dump_level(${next}).\n`);
      await this.outputs.discard();
      level = await this.levelOf(dump, next);
    }
  }

  /** Filters the dump, then writes it to the sinks that `open` gives: several are a split set. */
  private async dump(dump: KernelDump, level: number, open: () => Promise<ByteSink[]>): Promise<void> {
    const { messages, options } = this;
    const { exist, dumped } = await dump.pages();
    await messages.progress("Checking for memory holes", 1, 1);
    // The engine compiles the codecs while the filter runs.
    void codecsModule();
    // Where each page takes long, threads begin meanwhile too, whatever the filter leaves.
    if (options.codec === "zlib" || options.codec === "zstd") {
      this.hire(options.codec, dumped.count() * dump.pageSize);
    }
    const excluded = await excludePages(dump, level, exist, dumped);
    if (looksAtStructs(dump, level)) await messages.progress("Excluding unnecessary pages", 1, 1);
    let written: Written;
    if (options.elf && dump instanceof ElfCore) {
      const zero = (level & DL_EXCLUDE.zero) === 0 ? 0 : await excludeZeroPages(dump, dumped);
      await this.excludeVmemmap(dump, exist, dumped);
      const [sink] = await open();
      written = await this.writeElf(dump, zero, dumped, sink!);
    } else {
      await this.excludeVmemmap(dump, exist, dumped);
      // Before there is a file: what cannot be described leaves none.
      const image = { ...(await kdumpImage(dump, level)), vmemmapExcluded: this.vmemmapExcluded };
      written = await this.writeKdump(dump, image, options.codec, exist, dumped, await open());
    }
    await messages.progressDone();
    await messages.report({
      ...excluded,
      original: exist.count(),
      total: exist.pages,
      zero: written.zero,
      writtenBytes: written.bytes,
      cutOut: written.cutOut,
    });
  }

  /** -e, where it can be done; elsewhere the dump has its memory map. */
  private async excludeVmemmap(dump: KernelDump, exist: PageBitmap, dumped: PageBitmap): Promise<void> {
    if (!this.options.excludeVmemmap) return;
    const pages = await excludeVmemmap(dump, exist, dumped);
    this.vmemmapExcluded = pages !== null;
    if (pages !== null) return this.messages.progressDone(`\nExcluded ${pages} unused vmemmap pages\n`);
    await this.messages.progressDone();
    await this.messages.common("vmemmap pmd not huge, abort\n");
    await this.messages.error("create_dumpfile: Can't find vmemmap pages\n");
  }

  private async writeKdump(
    dump: KernelDump,
    described: KdumpImage,
    codec: Codec | null,
    exist: PageBitmap,
    dumped: PageBitmap,
    sinks: readonly ByteSink[],
  ): Promise<Written> {
    const compress = await pageCompressor(codec, hostCompressors());
    if (compress === null) throw new Failure(`This engine has no ${codec} to compress with.`);
    const image = { ...described, maxMapnr: exist.pages };
    const all = dumped.count();
    const start = performance.now();
    const total: Written = { zero: 0, bytes: 0, cutOut: null };
    let noSpace: NoSpace | null = null;
    let told = 0;
    let before = 0;
    const read = erasing((physical, length, into) => dump.read(physical, length, into), this.erased);
    // To decompress takes no longer than to compress by LZO.
    this.hire(codec ?? (dump.header === null ? null : "lzo"), all * dump.pageSize);
    const paths = this.outputPaths();
    for (const [index, split] of ranges(dumped, sinks.length).entries()) {
      let own = 0;
      const progress = async (pages: number): Promise<void> => {
        own = pages;
        const now = performance.now();
        if (now - told <= PROGRESS_MS) return;
        told = now;
        await this.messages.progress("Copying data", before + own, all, now - start);
      };
      const crew = this.crew?.for(paths?.[index] ?? null, this.erased);
      const pages = { exist, dumped, read, codec, compress, progress, crew };
      const part = sinks.length > 1 ? { ...image, split } : image;
      try {
        const eraseinfo = kdumpEraseinfo(this.eraser, part, dumped);
        const { zero, bytes } = await writeKdump(sinks[index]!, { ...part, eraseinfo }, pages);
        total.zero += zero;
        total.bytes += bytes;
      } catch (error) {
        // Threads have sinks of their own.
        const full = noSpaceOf(error, paths?.[index] ?? STDOUT);
        if (!(full instanceof NoSpace)) throw full;
        // The other files of a set have room of their own.
        if (noSpace !== null) await this.messages.common(`\n${noSpace.message}\n`);
        noSpace = full;
      }
      before += own;
    }
    if (noSpace !== null) throw noSpace;
    await this.messages.progress("Copying data", all, all, performance.now() - start);
    return total;
  }

  /** Threads beside this one, to write `size` bytes of pages: none where only this one can. */
  private hire(codec: Codec | null, size: number): void {
    if (this.outputPaths() === null) return;
    const inputs = this.files.map(({ name }) => name);
    this.crew ??= hire(this.beside, this.options.threads, codec, size, inputs);
  }

  /**
   * The files that are written, none with --dry-run; null for one thread alone: a stream, and files up to a
   * limit, which are the same each time.
   */
  private outputPaths(): readonly string[] | null {
    const { mode, operands, flattened, dryRun, limit } = this.options;
    if (flattened || limit !== null) return null;
    if (dryRun) return [];
    return mode === "reassemble" ? operands.slice(-1) : operands.slice(1);
  }

  private async writeElf(dump: ElfCore, zero: number, dumped: PageBitmap, sink: ByteSink): Promise<Written> {
    const { pageSize } = dump;
    const image = { ...dump.image, pageSize, notes: dump.noteBytes, loads: dump.loads };
    const read = erasing((physical, length, into) => dump.read(physical, length, into), this.erased);
    const notes = elfNotes(this.eraser, image, dumped);
    const { bytes, excluded: cutOut } = await writeElf(sink, { ...image, notes }, { dumped, read });
    await this.messages.progress("Copying data", 1, 1);
    return { zero, bytes, cutOut };
  }

  /** One dump of the pages of all files of a set. */
  private async reassemble(dump: KernelDump, sink: ByteSink): Promise<void> {
    const { exist, dumped } = await dump.pages();
    const status = dump.header?.status ?? 0;
    const codec = (Object.keys(CODECS) as Codec[]).find((it) => (CODECS[it] & status) !== 0) ?? null;
    const image = await kdumpImage(dump, dump.dumpLevel ?? 0);
    await this.writeKdump(dump, image, codec, exist, dumped, [sink]);
    await this.messages.progressDone();
  }
}

/** A sink for a writer that goes from front to back. */
const inOrder = (append: (bytes: Uint8Array) => Promise<void>): ByteSink => ({
  write: (_at, bytes) => append(bytes),
});

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
