/**
 * makedumpfile's command line, read as getopt_long() reads it: short options in one word, their values
 * attached or apart, options and operands in any order.
 */

/** Bits of the dump level. */
export const DL_EXCLUDE = { zero: 1, cache: 2, cachePrivate: 4, user: 8, free: 16 } as const;
const LEVEL_MAX = 31;
const MESSAGE_LEVEL_MAX = 31;
/** Bits of the message level. */
export const ML = { progress: 1, common: 2, error: 4, debug: 8, report: 16 } as const;
const MESSAGE_LEVEL = ML.progress | ML.common | ML.error;

export type Mode = "dump" | "rearrange" | "reassemble" | "dmesg" | "help" | "version";

export interface Options {
  mode: Mode;
  level: number;
  codec: "zlib" | "lzo" | "snappy" | "zstd" | null;
  elf: boolean;
  flattened: boolean;
  split: boolean;
  force: boolean;
  dryRun: boolean;
  checkParams: boolean;
  messageLevel: number;
  /** Threads that pack; null: as many as are of use. */
  threads: number | null;
  operands: string[];
}

/** Lines that the original prints before `makedumpfile Failed.`; null where getopt has already said it. */
export class OptionError extends Error {
  constructor(
    message: string,
    /** What getopt itself says, on standard error. */
    readonly getopt: string | null = null,
  ) {
    super(message);
    this.name = "OptionError";
  }
}

export const INVALID = "Commandline parameter is invalid.\nTry `makedumpfile --help' for more information.";

const SHORT: Readonly<Record<string, boolean>> = {
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

const LONG: Readonly<Record<string, boolean>> = {
  split: false,
  reassemble: false,
  "num-threads": true,
  "dump-dmesg": false,
  "partial-dmesg": false,
  "mem-usage": false,
  "message-level": true,
  "cyclic-buffer": true,
  "non-cyclic": false,
  "splitblock-size": true,
  "work-dir": true,
  "non-mmap": false,
  "show-stats": false,
  "dry-run": false,
  "check-params": false,
  config: true,
  eppic: true,
  vtop: true,
  diskset: true,
  "xen-syms": true,
  "xen-vmcoreinfo": true,
  xen_phys_start: true,
  help: false,
};

/** What changes how the original works, and nothing of what it writes. */
const ACCEPTED = new Set(["b", "cyclic-buffer", "non-cyclic", "splitblock-size", "work-dir", "non-mmap"]);
/** What this program cannot do. */
const UNSUPPORTED: Readonly<Record<string, string>> = {
  e: "excluding the memory map itself",
  g: "making a VMCOREINFO file",
  i: "VMCOREINFO from a file",
  L: "a limit of the size",
  X: "Xen",
  x: "types from a vmlinux",
  config: "erasing of data",
  eppic: "erasing of data",
  vtop: "translating an address",
  diskset: "sadump",
  "mem-usage": "counting the pages of a running kernel",
  "partial-dmesg": "a part of the log",
  "xen-syms": "Xen",
  "xen-vmcoreinfo": "Xen",
  xen_phys_start: "Xen",
};

/** [option without its dashes, its value], in order; operands have the option "". */
function* getopt(args: readonly string[]): Generator<[string, string]> {
  for (let n = 0; n < args.length; n++) {
    const arg = args[n]!;
    if (arg === "--") {
      for (const rest of args.slice(n + 1)) yield ["", rest];
      return;
    }
    if (arg.startsWith("--")) {
      const [name = "", ...values] = arg.slice(2).split("=");
      const found = Object.keys(LONG).filter((it) => it === name || it.startsWith(name));
      const option = found.includes(name) ? name : found[0];
      if (option === undefined || (found.length > 1 && !found.includes(name))) {
        throw new OptionError(INVALID, `makedumpfile: unrecognized option '--${name}'`);
      }
      if (!LONG[option]) {
        if (values.length > 0) {
          throw new OptionError(INVALID, `makedumpfile: option '--${option}' doesn't allow an argument`);
        }
        yield [option, ""];
        continue;
      }
      const value = values.length > 0 ? values.join("=") : args[++n];
      if (value === undefined) {
        throw new OptionError(INVALID, `makedumpfile: option '--${option}' requires an argument`);
      }
      yield [option, value];
      continue;
    }
    if (!arg.startsWith("-") || arg === "-") {
      yield ["", arg];
      continue;
    }
    for (let at = 1; at < arg.length; at++) {
      const option = arg[at]!;
      if (!Object.hasOwn(SHORT, option)) {
        throw new OptionError(INVALID, `makedumpfile: invalid option -- '${option}'`);
      }
      if (!SHORT[option]) {
        yield [option, ""];
        continue;
      }
      const value = at + 1 < arg.length ? arg.slice(at + 1) : args[++n];
      if (value === undefined) {
        throw new OptionError(INVALID, `makedumpfile: option requires an argument -- '${option}'`);
      }
      yield [option, value];
      break;
    }
  }
}

/** Throws OptionError. */
export function parseOptions(args: readonly string[]): Options {
  const options: Options = {
    mode: "dump",
    level: 0,
    codec: null,
    elf: false,
    flattened: false,
    split: false,
    force: false,
    dryRun: false,
    checkParams: false,
    messageLevel: MESSAGE_LEVEL,
    threads: null,
    operands: [],
  };
  for (const [option, value] of getopt(args)) {
    if (option === "") options.operands.push(value);
    else if (Object.hasOwn(UNSUPPORTED, option)) {
      const name = option.length === 1 ? `-${option}` : `--${option}`;
      throw new OptionError(`${name} (${UNSUPPORTED[option]}) is not supported: use makedumpfile itself.`);
    } else if (!ACCEPTED.has(option)) take(options, option, value);
  }
  check(options);
  return options;
}

function take(options: Options, option: string, value: string): void {
  const modes: Record<string, Mode> = {
    R: "rearrange",
    reassemble: "reassemble",
    "dump-dmesg": "dmesg",
    h: "help",
    help: "help",
    v: "version",
  };
  const codecs: Record<string, Options["codec"]> = { c: "zlib", l: "lzo", p: "snappy", z: "zstd" };
  if (modes[option] !== undefined) options.mode = modes[option];
  else if (codecs[option] !== undefined) options.codec = codecs[option];
  else if (option === "E") options.elf = true;
  else if (option === "F") options.flattened = true;
  else if (option === "f") options.force = true;
  else if (option === "split") options.split = true;
  else if (option === "dry-run") options.dryRun = true;
  else if (option === "check-params") options.checkParams = true;
  else if (option === "D") options.messageLevel |= ML.debug;
  else if (option === "show-stats") options.messageLevel |= ML.report;
  else if (option === "d") {
    // Further levels are for when the first one's dump is too large for -L.
    const [first = ""] = value.split(",");
    const wrong = value.split(",").find((it) => !/^\d+$/.test(it) || Number(it) > LEVEL_MAX);
    if (wrong !== undefined) throw new OptionError(`Dump_level(${wrong}) is invalid.`);
    options.level = Number(first);
  } else if (option === "message-level") {
    if (!/^\d+$/.test(value) || Number(value) > MESSAGE_LEVEL_MAX) {
      throw new OptionError(`Message_level(${value}) is invalid.`);
    }
    options.messageLevel = Number(value);
  } else if (option === "num-threads") {
    // As atoi() has it: what is no number is 0, which are no threads beside the main one.
    options.threads = Math.max(0, Number.parseInt(value, 10) || 0);
  }
}

/** The operands that each mode takes: [least, most]. */
function check(options: Options): void {
  const { mode, split, elf, flattened, codec, operands, dryRun, threads } = options;
  if (mode === "help" || mode === "version") return;
  if (split && elf) {
    throw new OptionError(`Options for splitting dumpfile cannot be used with Elf format.\n${INVALID}`);
  }
  if (mode === "dump" && (split || elf) && (threads ?? 0) > 0) {
    const other = split ? "--split" : "ELF format";
    throw new OptionError(`--num-threads cannot used with ${other}.\n${INVALID}`);
  }
  if (dryRun && (mode === "dmesg" || mode === "reassemble")) {
    const option = mode === "dmesg" ? "--dump-dmesg" : "--reassemble";
    throw new OptionError(`--dry-run cannot be used with ${option}.\n${INVALID}`);
  }
  if ((elf && codec !== null) || (split && flattened)) throw new OptionError(INVALID);
  let count: readonly [number, number] = [2, 2];
  if (mode === "rearrange") count = [1, 1];
  else if (mode === "reassemble") count = [3, Number.POSITIVE_INFINITY];
  else if (mode === "dump" && split) count = [3, Number.POSITIVE_INFINITY];
  else if (mode === "dump" && flattened) count = [1, 1];
  if (operands.length < count[0] || operands.length > count[1]) throw new OptionError(INVALID);
}
