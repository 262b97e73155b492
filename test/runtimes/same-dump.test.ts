import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "../support/stock.ts";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const LAUNCH = [join(ROOT, "node_modules/.bin/bun"), join(ROOT, "tools/build/launch.ts")] as const;
const ENGINES = ["bun", "node", "deno"] as const;
const TIMEOUT_ms = 60_000;

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "wkdump-engines-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Report {
  outcome: string;
  sha256: string;
  vmcore: string;
  dmesg: string;
}

/** The command on an engine, as `npm run boot`, `boot:node` and `boot:deno` start it. */
function wkdump(engine: (typeof ENGINES)[number], ...args: string[]): Report {
  const [bun, launch] = LAUNCH;
  const result = run(bun, [launch, engine, ...args, "--json"], { cwd: directory, timeout_ms: TIMEOUT_ms });
  expect(result.stderr).toBe("");
  expect(result.status).toBe(0);
  return JSON.parse(result.stdout);
}

describe("the same seed gives the same vmcore", () => {
  it.each([
    ["a small machine", ["--seed", "7", "--memory", "16M"]],
    ["four CPUs at work", ["--seed", "11", "--memory", "24M", "--cpus", "4", "--workload", "800"]],
    ["a crash in a module", ["--seed", "10", "--memory", "16M", "--crash", "module-timer"]],
    ["compressed and filtered", ["--seed", "7", "--memory", "16M", "--format", "kdump", "--level", "31"]],
    [
      "a stream in another codec",
      ["--seed", "12", "--memory", "16M", "--format", "flattened", "--compression", "snappy"],
    ],
    ["memory that held random data at power-on", ["--seed", "8", "--memory", "16M", "--poweron", "random"]],
  ])("on every engine: %s", (name, flags) => {
    const reports = ENGINES.map((engine) => wkdump(engine, "boot", "--out", `${engine} ${name}`, ...flags));
    for (const { outcome, vmcore } of reports) {
      expect(outcome).toBe("captured");
      expect(existsSync(vmcore)).toBe(true);
    }
    expect(new Set(reports.map(({ sha256 }) => sha256)).size).toBe(1);
  });

  it("in two processes, the second going on from saved memory on another engine", () => {
    const flags = ["boot", "--seed", "9", "--memory", "16M"];
    const straight = wkdump("bun", ...flags, "--out", "straight");
    for (const [first, second] of [
      ["node", "deno"],
      ["deno", "bun"],
      ["bun", "node"],
    ] as const) {
      const file = `memory of ${first}`;
      const stopped = wkdump(
        first,
        ...flags,
        "--out",
        first,
        "--stop-at",
        "purgatory",
        "--save-memory",
        file,
      );
      expect(stopped.outcome).toBe("stopped");
      expect(wkdump(second, "capture", file, "--out", `${first}-${second}`).sha256).toBe(straight.sha256);
    }
  });

  it("and another seed another, whose log shows other allocations and another order of tasks", () => {
    const machines = ["1", "2", "3", "4", "5"].map((seed) => {
      const { sha256, dmesg } = wkdump("bun", "boot", "--seed", seed, "--out", seed);
      const lines = readFileSync(dmesg, "utf8")
        .replaceAll(/^\[ *[\d.]+\] /gm, "")
        .split("\n");
      const saying = (what: RegExp): string[] => lines.filter((line) => what.test(line));
      return { sha256, blocks: saying(/blocks begin at/), probes: saying(/16550A|crng init done|as rtc0/) };
    });
    const distinct = (values: unknown[]): number =>
      new Set(values.map((value) => JSON.stringify(value))).size;
    expect(distinct(machines.map(({ sha256 }) => sha256))).toBe(5);
    expect(distinct(machines.map(({ blocks }) => blocks))).toBeGreaterThan(2);
    expect(distinct(machines.map(({ probes }) => probes))).toBeGreaterThan(1);
    expect(distinct(machines.map(({ probes }) => probes.toSorted()))).toBe(1);
  });

  it("never writes over an older dump", () => {
    const flags = ["boot", "--memory", "16M", "--seed", "3", "--out", "again"];
    const [first, second, third] = [1, 2, 3].map(() => wkdump("bun", ...flags));
    expect(second?.vmcore).toBe(first?.vmcore.replace("/vmcore", ".1/vmcore"));
    expect(third?.vmcore).toBe(first?.vmcore.replace("/vmcore", ".2/vmcore"));
    expect(second?.sha256).toBe(first?.sha256);
  });
});
