/**
 * What commands that run from seeds have in common: `--runs N [--from SEED]` or `--replay SEED`, the numbers
 * of their flags, and what is said of a process of runs that did not come to its end.
 */
import { type FlagForm, UsageError } from "./flags.ts";

export const SEED_MAX = 0xffffffff;

export const SEED_FORMS = {
  "--runs": { value: "N" },
  "--from": { value: "SEED" },
  "--replay": { value: "SEED" },
  "--json": { value: "switch" },
  // What the command calls itself with: the runs one after another, lines of JSON.
  "--worker": { value: "switch" },
} satisfies Record<string, FlagForm>;

export interface SeedFlags {
  /** The first seed. */
  from: number;
  runs: number;
  replay: boolean;
  json: boolean;
  worker: boolean;
}

type Values = ReadonlyMap<string, string[]>;

/** A flag's number; undefined without the flag, UsageError when it is none from `least` to `most`. */
export function numberOf(values: Values, name: string, least: number, most: number): number | undefined {
  const text = values.get(name)?.[0];
  if (text === undefined) return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new UsageError(`${name} ${text}: a number from ${least} to ${most}`);
}

/** What SEED_FORMS say; UsageError when it does not fit together, or is more than `runsMax` runs. */
export function seedFlags(values: Values, runsMax: number): SeedFlags {
  const runs = numberOf(values, "--runs", 1, runsMax);
  const from = numberOf(values, "--from", 0, SEED_MAX);
  const replay = numberOf(values, "--replay", 0, SEED_MAX);
  if ((runs === undefined) === (replay === undefined)) throw new UsageError("give --runs N or --replay SEED");
  if (replay !== undefined && from !== undefined) throw new UsageError("--from goes with --runs");
  const first = replay ?? from ?? 0;
  const count = runs ?? 1;
  if (first + count - 1 > SEED_MAX) throw new UsageError(`seeds end at ${SEED_MAX}`);
  return {
    from: first,
    runs: count,
    replay: replay !== undefined,
    json: values.has("--json"),
    worker: values.has("--worker"),
  };
}

/** How a process ended that had more runs to make, with the last of what it said. */
export function earlyEnd({ status, stderr }: { status: number | null; stderr: string }): string {
  const how = status === null ? "hung, or was killed" : `ended the process with ${status}`;
  return `${how}: ${stderr.trim().split("\n").slice(-5).join(" | ")}`;
}
