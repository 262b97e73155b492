/**
 * From a seed to a machine, a workload and a crash: `makePlan(seed)` is all that a run depends on, so that
 * the seed alone replays it.
 */

import type { Injection } from "../../runtime/index.ts";
import { Random } from "../../runtime/machine/random.ts";
import { CRASH_TYPES } from "../init/crashes.ts";
import { FILL_PARAMETER } from "../init/fill.ts";
import { SWAP_PARAMETER } from "../swap/swap.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

export interface Plan {
  seed: number;
  /** Bytes. */
  memory: number;
  cpus: number;
  powerOnFill: "zero" | "random";
  /** The form of crashkernel=, and whether it must come to a loaded capture kernel. */
  crashkernel: { words: string; fits: boolean };
  cmdline: string;
  /** A name of CRASH_TYPES, or NMI, INIT_EXIT, OOM. */
  crash: string;
  /** Who asks for it, and dies of an oops: init, or a child of it. */
  writer: "init" | "child";
  /** When it is asked for: when the workload is done, or in the middle of it. */
  moment: "after" | Moment;
  /** Steps of the workload; the crash comes after them. */
  operations: number;
  /** Whether daemons are left behind by workload(1), when these are done. */
  daemons: boolean;
  /** Damage, with the address as a share of what it hits: resolved when the crash region is known. */
  damage: Damage | undefined;
}

/** The middle of a workload. */
export interface Moment {
  /** Before this step of it. */
  operation: number;
  /** So much of the machine's time later. */
  delay_ns: number;
  /** The CPU that it is to happen on. */
  cpu: number;
}

export interface Damage {
  at: Injection["at"];
  /** What is hit: the crash region, or anything else. */
  target: "region" | "memory";
  /** 0 to 1: where in it. */
  where: number;
  xor: number;
}

const MEMORIES = [8, 12, 16, 16, 16, 24, 32, 48] as const;
const WORDS = [
  "panic=1",
  "panic=-1",
  "oops=panic",
  "panic_on_warn=1",
  "crash_kexec_post_notifiers",
  "panic_print=0x23",
  "quiet",
  "loglevel=3",
  "debug",
  "ignore_loglevel",
  "initcall_debug",
  "panic_on_taint=0x200",
  "hugepages=2",
  "wkdump.fill=40",
  "wkdump.hwpoison=3",
  "wkdump.balloon=20",
  'unknown="two words"',
  "unknown.module=1",
] as const;

const float = (random: Random): number => random.u32() / 2 ** 32;
const pick = <T>(random: Random, from: readonly T[]): T => from[random.u32() % from.length] as T;
const chance = (random: Random, of: number): boolean => random.u32() % of === 0;

function crashkernel(random: Random, memory: number): Plan["crashkernel"] {
  const megabytes = memory / MIB;
  const forms: Plan["crashkernel"][] = [
    { words: "crashkernel=2M", fits: true },
    { words: "crashkernel=3M", fits: true },
    { words: `crashkernel=${2048 + 64 * (random.u32() % 16)}K`, fits: true },
    { words: `crashkernel=2M@${4 + (random.u32() % (megabytes - 7))}M`, fits: true },
    { words: `crashkernel=0-64M:2M,64M-:4M`, fits: true },
    { words: "crashkernel=1M-:2M", fits: true },
  ];
  const bad: Plan["crashkernel"][] = [
    { words: "", fits: false },
    { words: "crashkernel=64K", fits: false },
    { words: `crashkernel=${megabytes}M`, fits: false },
    { words: "crashkernel=lots", fits: false },
    { words: `crashkernel=2M@${megabytes}M`, fits: false },
    { words: "crashkernel=1G-:2M", fits: false },
  ];
  return pick(random, chance(random, 10) ? bad : forms);
}

function damage(random: Random): Damage | undefined {
  if (!chance(random, 4)) return undefined;
  return {
    at: pick(random, ["panic", "purgatory", "capture"] as const),
    target: chance(random, 2) ? "region" : "memory",
    where: float(random),
    xor: 1 + (random.u32() % 255),
  };
}

const DELAY_MAX_NS = 2_000_000;

/** How many CPUs a seed's machine has where the seed decides that. */
const CPUS = [1, 2, 4, 8] as const;
/** A number, or what the seed says. */
export type Cpus = number | "any";

/**
 * Crashes that no file triggers: an NMI that nobody knows the reason of, on any CPU and in the middle of
 * anything; the end of init; an allocation that finds nothing with panic_on_oom=1.
 */
export const NMI = "nmi";
export const INIT_EXIT = "init-exit";
export const OOM = "oom";

/** Half of the crashes by somebody come when the workload is done; an NMI never waits. */
function moment(random: Random, crash: string, operations: number, cpus: number): Plan["moment"] {
  if (crash !== NMI && chance(random, 2)) return "after";
  // Short and long ones as often.
  const delay_ns = Math.floor(DELAY_MAX_NS ** float(random));
  return { operation: random.u32() % (operations + 1), delay_ns, cpu: random.u32() % cpus };
}

/** A third of the machines have a swap area, and memory so full that it is used. */
function swapOf(seed: number): string[] {
  const random = new Random(seed, "fuzz-swap");
  if (!chance(random, 3)) return [];
  const area = `${SWAP_PARAMETER}=${KIB * (1 + (random.u32() % 2))}`;
  return chance(random, 2) ? [area] : [area, `${FILL_PARAMETER}=${80 + (random.u32() % 16)}`];
}

/** `operations`: so many steps of the workload, whatever the seed says; `cpus` likewise. */
export function makePlan(seed: number, operations?: number, cpus: Cpus = 1): Plan {
  const random = new Random(seed, "fuzz");
  const memory = pick(random, MEMORIES) * MIB + 64 * KIB * (random.u32() % 8);
  const reservation = crashkernel(random, memory - (memory % MIB));
  const words: string[] = WORDS.filter(() => chance(random, 8));
  // A lockup takes the watchdogs' time to be found, in every run.
  const slow = new Set(["lockup", "hardlockup", "hang"]);
  const types = CRASH_TYPES.filter(({ name, ends }) => name !== "none" && !slow.has(ends));
  // The plainest crash of all is the one with the most to compare.
  const usual = chance(random, 3) ? "sysrq-c" : pick(random, types).name;
  const powerOnFill = chance(random, 2) ? "random" : "zero";
  // Most crashes need no long story; one in twenty has one.
  const steps = random.u32() % (chance(random, 20) ? 10_000 : 200);
  const processors = cpus === "any" ? pick(new Random(seed, "fuzz-cpus"), CPUS) : cpus;
  const timing = new Random(seed, "fuzz-moment");
  const crash = chance(timing, 4) ? NMI : chance(timing, 10) ? pick(timing, [INIT_EXIT, OOM]) : usual;
  if (crash === NMI) words.push("unknown_nmi_panic");
  return {
    seed,
    memory,
    cpus: processors,
    powerOnFill,
    crashkernel: reservation,
    cmdline: ["console=ttyS0", reservation.words, ...words, ...swapOf(seed)]
      .filter((word) => word !== "")
      .join(" "),
    crash,
    operations: operations ?? steps,
    moment: moment(timing, crash, operations ?? steps, processors),
    damage: damage(random),
    writer: chance(random, 2) ? "init" : "child",
    daemons: chance(random, 4),
  };
}

/** One line on what a seed stands for. */
export function planTitle(plan: Plan): string {
  const { memory, cpus, cmdline, crash, writer, operations, daemons, damage, powerOnFill, moment } = plan;
  const hit =
    damage === undefined
      ? ""
      : `, ${damage.target} damaged at ${damage.at} (xor ${damage.xor}, ${damage.where.toFixed(4)})`;
  const size = `${memory / KIB}K${cpus === 1 ? "" : `, ${cpus} CPUs`}`;
  const story = `${operations} operations${daemons ? " and daemons" : ""}`;
  const who = [NMI, INIT_EXIT, OOM].includes(crash) ? crash : `${crash} by ${writer}`;
  const when =
    moment === "after"
      ? `after ${story}`
      : `on CPU ${moment.cpu}, ${moment.delay_ns} ns after operation ${moment.operation} of ${story}`;
  return `${who} ${when}, ${size} ${powerOnFill}, "${cmdline}"${hit}`;
}
