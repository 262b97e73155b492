/**
 * The flags of `boot` as the machine wants them, checked: a UsageError says what is wrong and what would be
 * right.
 */

import { CPUS_MAX, type Injection } from "../../runtime/index.ts";
import { type FlagForm, parseFlags, UsageError } from "../flags.ts";
import { CRASH_DEFAULT, CRASH_PARAMETER, CRASH_TYPES, MODULES_PARAMETER } from "../init/crashes.ts";
import { FILL_PARAMETER, MIX_KINDS, MIX_PARAMETER } from "../init/fill.ts";
import { SEED_MAX } from "../seeds.ts";
import { formatSize, parseSize } from "../size.ts";
import { SWAP_MIN, SWAP_PARAMETER } from "../swap/swap.ts";
import { OPERATIONS_MAX, WORKLOAD_PARAMETER } from "../workload/main.ts";
import { type DumpFormat, parseFormat } from "./format.ts";
import { OUT_DEFAULT } from "./out.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const MEMORY_MIN = 4 * MIB;
const MEMORY_MAX = 4096 * MIB;
const MEMORY_UNIT = 64 * KIB;
const FILL_MAX = 95;
const MIX_MAX = 1000;
const PAGE_SIZE = 4096;
/** What a RAM disk has without ramdisk_size=. */
const RAMDISK_DEFAULT = 16 * MIB;

const INJECT_POINTS: readonly Injection["at"][] = ["panic", "purgatory", "capture"];

export interface BootFlags {
  /** Bytes. */
  memory: number;
  cpus: number;
  cmdline: string;
  /** crashkernel= on it is the default, not what somebody asked for. */
  usualCrashkernel: boolean;
  crash: string;
  seed: number | undefined;
  out: string;
  dump: DumpFormat;
  inject: Injection[];
  stopAt: "purgatory" | undefined;
  saveMemory: string | undefined;
  /** The file for the truth about the dump. */
  truth: string | undefined;
  powerOnFill: "zero" | "random";
  /** The kernel whose arguments are in memory. */
  debugKernel: boolean;
  json: boolean;
  quiet: boolean;
}

const FORMS: Record<string, FlagForm> = {
  "--memory": { value: "SIZE" },
  "--cpus": { value: "N" },
  "--append": { value: '"CMDLINE"' },
  "--crash": { value: "TYPE" },
  "--seed": { value: "N" },
  "--out": { value: "DIR" },
  "--format": { value: "elf|kdump|flattened" },
  "--level": { value: "N" },
  "--compression": { value: "lzo|zlib|snappy|zstd|none" },
  "--collector": { value: "FILE" },
  "--collector-args": { value: '"WORDS"' },
  "--fill": { value: "PERCENT" },
  "--mix": { value: MIX_KINDS.map((kind) => `${kind}=N`).join(",") },
  "--swap": { value: "SIZE" },
  "--pages": { value: "hugepages=N,hwpoison=N,offline=N" },
  "--workload": { value: "N" },
  "--modules": { value: "NAME[,NAME]" },
  "--inject": { value: "'phys=ADDR,xor=BYTE,at=POINT'", many: true },
  "--stop-at": { value: "purgatory" },
  "--save-memory": { value: "FILE" },
  "--poweron": { value: "zero|random" },
  "--truth": { value: "FILE" },
  "--debug-kernel": { value: "switch" },
  "--json": { value: "switch" },
  "--quiet": { value: "switch" },
};

/** The reservation that fits a machine; larger ones have room to spare. */
const CRASHKERNEL: readonly { below: number; size: string }[] = [
  // kexec takes no image that is more than half of what the crash region leaves.
  { below: 6 * MIB, size: "1152K" },
  { below: 8 * MIB, size: "1536K" },
  { below: 64 * MIB, size: "2M" },
  { below: 512 * MIB, size: "4M" },
  { below: Number.POSITIVE_INFINITY, size: "16M" },
];

export function parseBootFlags(args: readonly string[]): BootFlags {
  const { values, operands } = parseFlags(FORMS, args);
  if (operands.length > 0) throw new UsageError(`unexpected argument ${operands[0]}`);
  const get = (name: string): string | undefined => values.get(name)?.[0];
  const memory = parseMemory(get("--memory") ?? "64M");
  const stopAt = get("--stop-at");
  const saveMemory = get("--save-memory");
  if (stopAt !== undefined && stopAt !== "purgatory") {
    throw new UsageError(`--stop-at ${stopAt}: the only place to stop at is purgatory`);
  }
  if (saveMemory === "") throw new UsageError("--save-memory wants the name of a file");
  if ((stopAt === undefined) !== (saveMemory === undefined)) {
    throw new UsageError("--stop-at purgatory and --save-memory FILE go together");
  }
  const powerOnFill = get("--poweron") ?? "zero";
  if (powerOnFill !== "zero" && powerOnFill !== "random") {
    throw new UsageError(`--poweron ${powerOnFill}: memory at power-on is zero or random`);
  }
  const crash = parseCrash(get("--crash"));
  const debugKernel = values.has("--debug-kernel");
  if (debugKernel && stopAt !== undefined) {
    throw new UsageError("--debug-kernel and --stop-at: wkdump capture goes on with the usual kernel only");
  }
  const modules = parseModules(get("--modules"), crash);
  const out = get("--out") ?? OUT_DEFAULT;
  if (out === "") throw new UsageError("--out wants the name of a directory");
  const truth = get("--truth");
  if (truth === "") throw new UsageError("--truth wants the name of a file");
  if (truth !== undefined && (crash === "none" || stopAt !== undefined)) {
    throw new UsageError("--truth is about a dump, and this makes none");
  }
  return {
    memory,
    cpus: parseCpus(get("--cpus")),
    cmdline: commandLine(memory, crash, parseFill(get("--fill")), get("--append") ?? "", {
      workload: parseWorkload(get("--workload")),
      modules,
      mix: parseMix(get("--mix")),
      pages: parsePages(get("--pages")),
      swap: parseSwap(get("--swap"), memory),
    }),
    usualCrashkernel: !/(^|\s)crashkernel=/.test(get("--append") ?? ""),
    crash,
    seed: parseSeed(get("--seed")),
    out,
    dump: parseFormat(get),
    inject: (values.get("--inject") ?? []).map(parseInjection),
    stopAt,
    saveMemory,
    truth,
    powerOnFill,
    debugKernel,
    json: values.has("--json"),
    quiet: values.has("--quiet"),
  };
}

/**
 * The command line with a crash region that has room for so many bytes more in the capture kernel's initrd:
 * for the archive, for the file unpacked, and as much again, since kexec takes no image that is larger than
 * half of the region.
 */
export function withRoom(cmdline: string, bytes: number): string {
  return cmdline.replace(/(?<=(?:^|\s)crashkernel=)\S+/, (size) =>
    formatSize((parseSize(size) ?? 0) + Math.ceil((3 * bytes) / MIB) * MIB),
  );
}

function parseMemory(text: string): number {
  const size = parseSize(text);
  const [min, max, unit] = [MEMORY_MIN, MEMORY_MAX, MEMORY_UNIT].map(formatSize);
  const range = `from ${min} to ${max}, in multiples of ${unit}`;
  if (size === undefined)
    throw new UsageError(`--memory ${text} is no size: write it as 64M or 0x4000000, ${range}`);
  if (size < MEMORY_MIN || size > MEMORY_MAX || size % MEMORY_UNIT !== 0) {
    throw new UsageError(`--memory ${text}: a machine's memory is ${range}`);
  }
  return size;
}

function parseCpus(text: string | undefined): number {
  if (text === undefined) return 1;
  const cpus = /^\d+$/.test(text) ? Number(text) : 0;
  if (cpus < 1 || cpus > CPUS_MAX)
    throw new UsageError(`--cpus ${text}: a machine has 1 to ${CPUS_MAX} CPUs`);
  return cpus;
}

function parseCrash(type: string | undefined): string {
  const names = CRASH_TYPES.map(({ name }) => name);
  if (type !== undefined && !names.includes(type)) {
    throw new UsageError(`--crash ${type}: the types are ${names.join(", ")}`);
  }
  return type ?? CRASH_DEFAULT;
}

function parseFill(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const digits = /^(\d{1,2})%?$/.exec(text)?.[1];
  const percent = Number(digits);
  if (digits === undefined || percent > FILL_MAX) {
    throw new UsageError(`--fill ${text}: the share of memory to fill is 0% to ${FILL_MAX}%`);
  }
  return percent;
}

function parseWorkload(text: string | undefined): number {
  if (text === undefined) return 0;
  if (!/^\d+$/.test(text) || Number(text) > OPERATIONS_MAX) {
    throw new UsageError(`--workload ${text}: the operations are 0 to ${OPERATIONS_MAX}`);
  }
  return Number(text);
}

/** Those asked for, and the one that the crash needs. */
function parseModules(text: string | undefined, crash: string): string[] {
  const names = text === undefined ? [] : text.split(",");
  const wrong = names.find((name) => !/^[A-Za-z0-9_-]+$/.test(name));
  if (wrong !== undefined) throw new UsageError(`--modules ${text}: write the modules' names as NAME[,NAME]`);
  const needed = CRASH_TYPES.find(({ name }) => name === crash)?.module;
  return needed === undefined || names.includes(needed) ? names : [...names, needed];
}

/** Counts of NAME=N,NAME=N, in the order of `names`; undefined for those not given. */
function parseCounts(flag: string, text: string, names: readonly string[], max: number) {
  const counts = new Map<string, number>();
  for (const part of text.split(",")) {
    const [, name = "", digits] = /^(\w+)=(\d+)$/.exec(part) ?? [];
    if (!names.includes(name) || counts.has(name) || Number(digits) > max) {
      const form = names.map((it) => `${it}=N`).join(",");
      throw new UsageError(`${flag} ${text}: write ${form}, or some of these, N from 0 to ${max}`);
    }
    counts.set(name, Number(digits));
  }
  return names.map((name) => counts.get(name));
}

/** The weights as the kernel parameter has them. */
function parseMix(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const weights = parseCounts("--mix", text, MIX_KINDS, MIX_MAX);
  if (weights.every((weight) => !weight)) throw new UsageError(`--mix ${text}: nothing to fill memory with`);
  return weights.map((weight) => weight ?? 0).join(":");
}

/** Pages of the kinds that a dump treats apart, as words of the command line. */
function parsePages(text: string | undefined): string[] {
  if (text === undefined) return [];
  const words = ["hugepages", "wkdump.hwpoison", "wkdump.balloon"];
  const counts = parseCounts("--pages", text, ["hugepages", "hwpoison", "offline"], MEMORY_MAX / PAGE_SIZE);
  return counts.flatMap((count, i) => (count ? [`${words[i]}=${count}`] : []));
}

/** Bytes: half of memory at most, since the area is a RAM disk. */
function parseSwap(text: string | undefined, memory: number): number {
  if (text === undefined) return 0;
  const size = parseSize(text);
  if (size === undefined || size < SWAP_MIN || size > memory / 2 || size % PAGE_SIZE !== 0) {
    const range = `${formatSize(SWAP_MIN)} to ${formatSize(memory / 2)}, in multiples of 4K`;
    throw new UsageError(`--swap ${text}: a swap area is ${range}, half of the machine's memory`);
  }
  return size;
}

function parseSeed(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seed = parseSize(text);
  if (seed === undefined || seed > SEED_MAX)
    throw new UsageError(`--seed ${text}: a seed is a number from 0 to ${SEED_MAX}`);
  return seed;
}

/** Reads `phys=ADDR,xor=BYTE,at=POINT`. */
export function parseInjection(text: string): Injection {
  const usage = (): UsageError =>
    new UsageError(
      `--inject ${text}: write phys=ADDR,xor=BYTE,at=${INJECT_POINTS.join("|")}, BYTE from 1 to 255`,
    );
  const parts = new Map(text.split(",").map((part) => part.split("=", 2) as [string, string]));
  const phys = parseSize(parts.get("phys") ?? "");
  const xor = parseSize(parts.get("xor") ?? "");
  const at = INJECT_POINTS.find((point) => point === parts.get("at"));
  if (parts.size !== 3 || phys === undefined || xor === undefined || at === undefined) throw usage();
  if (xor < 1 || xor > 255) throw usage();
  return { phys, xor, at };
}

/** The defaults without those that `append` names too, then the words of `append`. */
function commandLine(
  memory: number,
  crash: string,
  fill: number | undefined,
  append: string,
  {
    workload,
    modules,
    mix,
    pages,
    swap,
  }: {
    workload: number;
    modules: readonly string[];
    mix: string | undefined;
    pages: string[];
    swap: number;
  },
): string {
  const given = append.split(/\s+/).filter((word) => word !== "");
  const named = new Set(given.map((word) => word.split("=")[0]));
  const crashkernel = CRASHKERNEL.find(({ below }) => memory < below)!.size;
  const defaults = ["console=ttyS0", `crashkernel=${crashkernel}`];
  // A part of the data goes to /dev/ram0, which must have room for all of it.
  if (fill !== undefined) defaults.push(`ramdisk_size=${memory / KIB}`, `${FILL_PARAMETER}=${fill}`);
  else if (swap > RAMDISK_DEFAULT) defaults.push(`ramdisk_size=${swap / KIB}`);
  if (swap > 0) defaults.push(`${SWAP_PARAMETER}=${swap / KIB}`);
  if (mix !== undefined) defaults.push(`${MIX_PARAMETER}=${mix}`);
  defaults.push(...pages);
  if (workload > 0) defaults.push(`${WORKLOAD_PARAMETER}=${workload}`);
  if (modules.length > 0) defaults.push(`${MODULES_PARAMETER}=${modules.join(",")}`);
  if (crash !== CRASH_DEFAULT) defaults.push(`${CRASH_PARAMETER}=${crash}`);
  // By itself an oops kills a process, and a warning nothing: what was asked for is a crash.
  const ends = CRASH_TYPES.find(({ name }) => name === crash)?.ends;
  if (ends === "oops") defaults.push("oops=panic");
  if (ends === "warning") defaults.push("panic_on_warn=1");
  if (ends === "lockup") defaults.push("softlockup_panic=1");
  if (ends === "hardlockup") defaults.push("nmi_watchdog=panic");
  if (ends === "hang") defaults.push("hung_task_panic=1");
  return [...defaults.filter((word) => !named.has(word.split("=")[0])), ...given].join(" ");
}
