/** makedumpfile's command line: its options, what they mean, and which of them go together. */
import type { Sources } from "./described.ts";
import { GetoptError, getopt, type OptionTable } from "./getopt.ts";

/** Bits of the dump level. */
export const DL_EXCLUDE = { zero: 1, cache: 2, cachePrivate: 4, user: 8, free: 16 } as const;
export const LEVEL_MAX = 31;
/** NUM_ARRAY_DUMP_LEVEL: levels that one -d may list. */
const LEVELS_MAX = 32;
const MESSAGE_LEVEL_MAX = 31;
/** Bits of the message level. */
export const ML = { progress: 1, common: 2, error: 4, debug: 8, report: 16 } as const;
const MESSAGE_LEVEL = ML.progress | ML.common | ML.error;

/** Physical addresses have 52 bits, and a page has 4096 bytes at least. */
const PAGES_MAX = 1n << 40n;
/** What --explain takes for the address of a page, not its number. */
export const KERNEL_ADDRESSES = 1n << 63n;

/** Of several that are asked for, the first of these is done. */
const MODES = [
  "help",
  "version",
  "generate",
  "rearrange",
  "reassemble",
  "dmesg",
  "mem-usage",
  "explain",
  "dump",
] as const;
export type Mode = (typeof MODES)[number];

export interface Options {
  mode: Mode;
  /** The level that is tried first; each next one when the dump does not fit. */
  levels: number[];
  /** -L: bytes of a file; null for no limit. */
  limit: number | null;
  codec: "zlib" | "lzo" | "snappy" | "zstd" | null;
  elf: boolean;
  flattened: boolean;
  split: boolean;
  force: boolean;
  dryRun: boolean;
  checkParams: boolean;
  /** --partial-dmesg: what the log has since it was cleared. */
  partial: boolean;
  workDir: string | null;
  /** -e: leave out the memory map of what is left out. */
  excludeVmemmap: boolean;
  /** --vtop; 0: none. */
  vtop: bigint;
  /** --explain: page numbers, or kernel addresses of pages. */
  explain: bigint[];
  messageLevel: number;
  /** Threads that pack; null: as many as are of use. */
  threads: number | null;
  /** -x, -i, --config. */
  sources: Sources;
  /** -g. */
  generated: string | null;
  operands: string[];
}

/** The message has the lines that the original prints before `makedumpfile Failed.` */
export class OptionError extends Error {
  override name = "OptionError";
  /** What getopt itself says, on standard error. */
  getopt: string | null = null;
  /** What had been read when the error was met: it tells where to say it, and whether. */
  options: Options | null = null;
}

export const INVALID = "Commandline parameter is invalid.\nTry `makedumpfile --help' for more information.";

const SHORT: OptionTable = {
  b: true,
  c: false,
  D: false,
  d: true,
  E: false,
  e: false,
  F: false,
  f: false,
  g: true,
  h: false,
  i: true,
  L: true,
  l: false,
  p: false,
  R: false,
  v: false,
  X: false,
  x: true,
  z: false,
};

/** In the original's order, which is that of getopt's messages. */
const LONG: OptionTable = {
  split: false,
  reassemble: false,
  "xen-syms": true,
  "xen-vmcoreinfo": true,
  xen_phys_start: true,
  "message-level": true,
  vtop: true,
  "dump-dmesg": false,
  "partial-dmesg": false,
  config: true,
  help: false,
  diskset: true,
  "cyclic-buffer": true,
  eppic: true,
  "non-mmap": false,
  "mem-usage": false,
  "splitblock-size": true,
  "work-dir": true,
  "num-threads": true,
  "check-params": false,
  "dry-run": false,
  "show-stats": false,
  // Of the series after 1.7.2.
  "non-cyclic": false,
  // Ours.
  explain: true,
};

/** What changes how the original works, and nothing of what it writes. */
const ACCEPTED = new Set(["b", "cyclic-buffer", "non-cyclic", "splitblock-size", "non-mmap"]);
/** What this program cannot do. */
const UNSUPPORTED: Readonly<Record<string, string>> = {
  X: "Xen",
  eppic: "erasing of data by a program",
  diskset: "sadump",
  "xen-syms": "Xen",
  "xen-vmcoreinfo": "Xen",
  xen_phys_start: "Xen",
};

/** Throws OptionError. */
export function parseOptions(args: readonly string[]): Options {
  const options: Options = {
    mode: "dump",
    levels: [0],
    limit: null,
    codec: null,
    elf: false,
    flattened: false,
    split: false,
    force: false,
    dryRun: false,
    checkParams: false,
    partial: false,
    workDir: null,
    excludeVmemmap: false,
    vtop: 0n,
    explain: [],
    messageLevel: MESSAGE_LEVEL,
    threads: null,
    sources: { vmlinux: null, vmcoreinfo: null, config: null },
    generated: null,
    operands: [],
  };
  /** Bits that -D and --show-stats add, whatever level is given beside them. */
  const more = { bits: 0 };
  try {
    for (const [option, value] of getopt("makedumpfile", args, SHORT, LONG)) {
      if (option === "") options.operands.push(value);
      else if (Object.hasOwn(UNSUPPORTED, option)) {
        const name = option.length === 1 ? `-${option}` : `--${option}`;
        throw new OptionError(`${name} (${UNSUPPORTED[option]}) is not supported: use makedumpfile itself.`);
      } else if (option === "D") more.bits |= ML.debug;
      else if (option === "show-stats") more.bits |= ML.report;
      else if (!ACCEPTED.has(option)) take(options, option, value);
    }
    options.messageLevel |= more.bits;
    // Checking says what is wrong, and nothing else.
    if (options.checkParams) options.messageLevel = MESSAGE_LEVEL;
    check(options);
    return options;
  } catch (error) {
    const found = error instanceof GetoptError ? new OptionError(INVALID) : error;
    if (!(found instanceof OptionError)) throw found;
    if (error instanceof GetoptError) found.getopt = error.message;
    found.options = options;
    throw found;
  }
}

const MODE_OF: Readonly<Record<string, Mode>> = {
  g: "generate",
  R: "rearrange",
  reassemble: "reassemble",
  "dump-dmesg": "dmesg",
  "mem-usage": "mem-usage",
  explain: "explain",
  h: "help",
  help: "help",
  v: "version",
};
const CODEC_OF: Readonly<Record<string, Options["codec"]>> = { c: "zlib", l: "lzo", p: "snappy", z: "zstd" };

function take(options: Options, option: string, value: string): void {
  const mode = MODE_OF[option];
  if (mode !== undefined && MODES.indexOf(mode) < MODES.indexOf(options.mode)) options.mode = mode;
  if (CODEC_OF[option] !== undefined) options.codec = CODEC_OF[option];
  else if (option === "g") options.generated = value;
  else if (option === "x") options.sources.vmlinux = value;
  else if (option === "i") options.sources.vmcoreinfo = value;
  else if (option === "config") options.sources.config = value;
  else if (option === "E") options.elf = true;
  else if (option === "e") options.excludeVmemmap = true;
  else if (option === "F") options.flattened = true;
  else if (option === "f") options.force = true;
  else if (option === "split") options.split = true;
  else if (option === "dry-run") options.dryRun = true;
  else if (option === "partial-dmesg") options.partial = true;
  else if (option === "work-dir") options.workDir = value;
  else if (option === "check-params") {
    options.checkParams = true;
    options.messageLevel = MESSAGE_LEVEL;
  } else if (option === "d") options.levels = levelsOf(value);
  else if (option === "L") options.limit = limitOf(value);
  else if (option === "vtop") {
    if (!/^(0x[0-9a-f]{1,16}|\d{1,20})$/i.test(value)) {
      throw new OptionError(`Virtual address(${value}) is invalid.`);
    }
    options.vtop = BigInt.asUintN(64, BigInt(value));
  } else if (option === "explain") {
    const page = /^(0x[0-9a-f]{1,16}|\d{1,20})$/i.test(value) ? BigInt(value) : PAGES_MAX;
    if (page >= PAGES_MAX && (page < KERNEL_ADDRESSES || page >= 1n << 64n)) {
      throw new OptionError(`Page number(${value}) is invalid.`);
    }
    options.explain.push(page);
  } else if (option === "message-level") {
    if (!/^\d+$/.test(value) || Number(value) > MESSAGE_LEVEL_MAX) {
      options.messageLevel = MESSAGE_LEVEL;
      throw new OptionError(`Message_level(${value}) is invalid.`);
    }
    if (!options.checkParams) options.messageLevel = Number(value);
  } else if (option === "num-threads") {
    // As atoi() has it: what is no number is 0, which are no threads beside the main one.
    options.threads = Math.max(0, Number.parseInt(value, 10) || 0);
  }
}

/** "1,31" as strtok() cuts it: empty parts are none. */
function levelsOf(value: string): number[] {
  const parts = value.split(",").filter((it) => it !== "");
  const wrong = parts.find((it) => !/^\d+$/.test(it) || Number(it) > LEVEL_MAX);
  if (wrong !== undefined) throw new OptionError(`Dump_level(${wrong}) is invalid.`);
  if (parts.length > LEVELS_MAX) throw new OptionError("Dump_level is invalid.");
  return parts.length === 0 ? [0] : parts.map(Number);
}

/** Bytes, as strtoull() reads them and with a suffix for a power of 1024. */
function limitOf(value: string): number {
  const [, digits = "", suffix = ""] = /^(0x[0-9a-f]+|\d+)([kmgtpe]?)$/i.exec(value) ?? [];
  const octal = /^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits;
  const power = suffix === "" ? 0 : "kmgtpe".indexOf(suffix.toLowerCase()) + 1;
  const limit = /^0\d*[89]/.test(digits) ? 0n : BigInt.asUintN(64, BigInt(octal) << BigInt(10 * power));
  if (limit === 0n) throw new OptionError(`Limit size(${value}) is invalid.`);
  return Number(limit);
}

/** Which options go together, in the original's order of asking; and the operands that each mode takes. */
function check(options: Options): void {
  const { mode, split, elf, flattened, codec, operands, dryRun, levels, threads } = options;
  if (mode === "help" || mode === "version") return;
  const invalid = (why?: string): OptionError => new OptionError(why ? `${why}\n${INVALID}` : INVALID);
  const { vmlinux, vmcoreinfo, config } = options.sources;
  if (mode === "generate") {
    if (operands.length > 0 || codec !== null || levels[0] !== 0 || elf || flattened) throw invalid();
    if (vmcoreinfo !== null || vmlinux === null) throw invalid();
    if (dryRun) throw invalid("--dry-run cannot be used with -g.");
    return;
  }
  if (mode === "rearrange" || mode === "reassemble") {
    if (mode === "rearrange" && operands.length !== 1) throw invalid();
    if (codec !== null || levels[0] !== 0 || elf || flattened) throw invalid();
    if (mode === "rearrange") return;
    if (split) throw invalid();
    if (dryRun) throw invalid("--dry-run cannot be used with --reassemble.");
    if (operands.length < 3) throw invalid();
    return;
  }
  if ((elf && codec !== null) || (vmcoreinfo !== null && vmlinux !== null)) throw invalid();
  if (dryRun && mode === "dmesg") throw invalid("--dry-run cannot be used with --dump-dmesg.");
  if ((flattened && split) || (config !== null && vmlinux === null)) throw invalid();
  if ((threads ?? 0) > 0 && (split || elf)) {
    throw invalid(`--num-threads cannot used with ${split ? "--split" : "ELF format"}.`);
  }
  if (options.partial && mode !== "dmesg") throw invalid();
  if (options.excludeVmemmap && options.workDir === null) throw invalid("-e requires --work-dir");
  let count: readonly [number, number] = [2, 2];
  if (split) count = [3, Number.POSITIVE_INFINITY];
  else if (flattened) count = [1, 1];
  else if (mode === "mem-usage") count = [1, 2];
  if (mode === "explain") count = [1, 1];
  if (operands.length < count[0] || operands.length > count[1]) throw invalid();
  if (split && elf) throw invalid("Options for splitting dumpfile cannot be used with Elf format.");
  if (split && mode === "dmesg") throw invalid("--split cannot be used with --dump-dmesg.");
}
