/**
 * What a campaign leaves behind: the folder of a failing run, which a replay makes again; nothing of a clean
 * one. Campaigns that share a directory, that are stopped, or that cannot write.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { built, wkdump } from "../support/boot.ts";
import { run } from "../support/stock.ts";

const TIMEOUT_MS = 120_000;
const directory = mkdtempSync(join(tmpdir(), "wkdump-campaign-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** The command with a defect: it counts tasks wrong, so that every run fails. */
let defective: string;

beforeAll(() => {
  const copy = join(directory, "build");
  for (const name of readdirSync(dirname(built("wkdump.js")))) {
    if (/\.(js|img)$|^vmlinuz$|^System\.map$/.test(name)) cpSync(built(name), join(copy, name));
  }
  defective = join(copy, "wkdump.js");
  const text = readFileSync(defective, "utf8");
  expect(text).toContain('"nr_threads"');
  writeFileSync(defective, text.replaceAll('"nr_threads"', '"nr_cpu_ids"'));
});

function fuzz(...args: string[]) {
  return run(process.execPath, [defective, "fuzz", ...args], { timeout_ms: TIMEOUT_MS });
}

describe("a failing run", () => {
  it(
    "leaves seed, title, console and vmcore, and its replay says the same",
    () => {
      const out = join(directory, "failing");
      const choices = ["--cpus", "2", "--operations", "3"];
      // Seed 3 crashes, with a capture kernel.
      const { stdout, status } = fuzz("--runs", "1", "--from", "3", ...choices, "--json", "--out", out);
      expect(status).toBe(1);
      const [finding] = JSON.parse(stdout).findings;
      expect(finding).toMatchObject({ seed: 3, outcome: "captured" });
      expect(finding.finding).toMatch(/^checkTasks: \d+ tasks, nr_threads says 2/);
      expect(readdirSync(out)).toEqual(["seed-3-cpus2-operations3"]);
      const folder = join(out, "seed-3-cpus2-operations3");
      expect(readdirSync(folder).sort()).toEqual(["console", "title", "vmcore"]);
      const title = readFileSync(join(folder, "title"), "utf8");
      expect(title).toBe(
        `seed 3: ${finding.title}\ncaptured: ${finding.finding}\n` +
          "wkdump fuzz --replay 3 --cpus 2 --operations 3\n",
      );
      expect(readFileSync(join(folder, "console"), "latin1")).toContain("Linux version 5.15.0-wasm");
      const vmcore = readFileSync(join(folder, "vmcore"));
      expect(vmcore.subarray(0, 4).toString("latin1")).toBe("\x7fELF");

      const again = join(directory, "again");
      const replay = fuzz(...(title.split("\n")[2] as string).split(" ").slice(2), "--json", "--out", again);
      expect(JSON.parse(replay.stdout).findings[0].finding).toBe(finding.finding);
      const same = join(again, "seed-3-cpus2-operations3");
      for (const name of ["title", "console", "vmcore"]) {
        expect(readFileSync(join(same, name)).equals(readFileSync(join(folder, name))), name).toBe(true);
      }
    },
    TIMEOUT_MS,
  );
});

/** A campaign under way, and its end: status or signal, and all it has printed. */
function start(program: string, ...args: string[]): { child: ChildProcess; ended: Promise<string> } {
  const child = spawn(process.execPath, [program, "fuzz", ...args], { detached: true });
  let output = "";
  child.stdout?.on("data", (bytes) => {
    output += bytes;
  });
  child.stderr?.on("data", (bytes) => {
    output += bytes;
  });
  const ended = new Promise<string>((resolve) => {
    child.on("close", (status, signal) => resolve(`${signal ?? status}: ${output}`));
  });
  return { child, ended };
}

/** Processes of a group, those left out that only wait to be waited for. */
function living(group: number): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/stat`, "latin1")];
      } catch {
        return [];
      }
    })
    .filter((stat) => {
      const [state, , pgrp] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return pgrp === String(group) && state !== "Z";
    });
}

describe("campaigns", () => {
  it(
    "at once in one directory do not disturb each other",
    async () => {
      const out = join(directory, "shared");
      const flags = (operations: number) => [
        "--runs",
        "2",
        "--from",
        "3",
        "--out",
        out,
        "--operations",
        `${operations}`,
      ];
      const both = await Promise.all([
        start(defective, ...flags(2)).ended,
        start(defective, ...flags(4)).ended,
      ]);
      for (const output of both) expect(output).toMatch(/^1: .*2 of 2 seeds with findings/s);
      const found = [2, 4].flatMap((n) => [3, 4].map((seed) => `seed-${seed}-operations${n}`));
      expect(readdirSync(out).sort()).toEqual(found.sort());
      for (const name of found) {
        expect(readFileSync(join(out, name, "title"), "utf8")).toContain(` ${name.at(-1)} operations`);
      }
    },
    TIMEOUT_MS,
  );

  it(
    "that are interrupted end at once, with their processes, and find nothing by that",
    async () => {
      const out = join(directory, "interrupted");
      const { child, ended } = start(built("wkdump.js"), "--runs", "1000", "--out", out);
      await new Promise((resolve) => setTimeout(resolve, 2000));
      process.kill(-(child.pid as number), "SIGINT");
      expect(await ended).not.toMatch(/finding(?!s)|hung/);
      expect(living(child.pid as number)).toEqual([]);
      expect(readdirSync(out)).toEqual([]);
    },
    TIMEOUT_MS,
  );

  it(
    "whose runs alone are stopped by a signal stop",
    async () => {
      const program = join(directory, "stopped.mjs");
      writeFileSync(
        program,
        `if (process.argv.includes("--worker")) {
  process.kill(process.pid, "SIGTERM");
  setInterval(() => {}, 1000);
} else await import(${JSON.stringify(built("wkdump.js"))});
`,
      );
      const output = await start(program, "--runs", "50", "--out", join(directory, "stopped")).ended;
      expect(output).toBe("1: wkdump fuzz: stopped by SIGTERM\n");
    },
    TIMEOUT_MS,
  );

  it("that cannot write say so at once", () => {
    const file = join(directory, "file");
    writeFileSync(file, "");
    const { stderr, stdout, status } = wkdump(["fuzz", "--runs", "1", "--out", join(file, "out")]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^wkdump fuzz: .*file\/out: Not a directory\n$/);
    expect(stdout).toBe("");
    expect(existsSync(join(file, "out"))).toBe(false);
  });
});
