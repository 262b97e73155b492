/**
 * The stock tools, as oracles: readelf, makedumpfile, vmcore-dmesg, gdb, drgn, libkdumpfile, crash, gcc. Each
 * run has a time limit, after which the tool is killed. A machine may lack a tool: then its tests are
 * skipped, visibly; where CI=true a missing tool is a failure.
 *
 *     describeStock(["makedumpfile"], "reads it", () => { ... stock("makedumpfile", args) ... });
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { describe, it } from "vitest";

export interface StockRun {
  status: number | null;
  stdout: string;
  stderr: string;
  /** Standard output and standard error, for a look at what a tool complained of. */
  output: string;
  timedOut: boolean;
}

export interface StockOptions {
  timeout_ms?: number;
  cwd?: string;
  input?: string;
}

export type StockTool =
  | "readelf"
  | "makedumpfile"
  | "vmcore-dmesg"
  | "gdb"
  | "drgn"
  | "libkdumpfile"
  | "crash"
  | "gcc"
  | "cp"
  | "sh";

/** Python's modules by the system's own Python: another one in PATH would not have them. */
const COMMANDS: Partial<Record<StockTool, readonly [string, ...string[]]>> = {
  drgn: ["/usr/bin/python3", "-m", "drgn"],
  libkdumpfile: ["/usr/bin/python3", "-c", "import kdumpfile"],
};

/** Debian keeps programs of the superuser where a user's PATH may not look. */
const EXTRA_PATH = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

const required = process.env.CI === "true";
const TIMEOUT_MS = 60_000;
const OUTPUT_MAX = 64 * 1024 * 1024;

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The command's path, or null when this machine has none. */
export function findCommand(name: string): string | null {
  if (name.includes("/")) return isExecutable(name) ? name : null;
  const folders = [...(process.env.PATH ?? "").split(delimiter), ...EXTRA_PATH];
  return folders.map((folder) => join(folder, name)).find(isExecutable) ?? null;
}

function commandOf(tool: StockTool): readonly [string, ...string[]] {
  return COMMANDS[tool] ?? [tool];
}

export function hasStock(tool: StockTool): boolean {
  const [program, ...args] = commandOf(tool);
  if (findCommand(program) === null) return false;
  return COMMANDS[tool] === undefined || run(program, [...args, "--version"]).status === 0;
}

/** Runs any command with a time limit. Never throws for what the command does. */
export function run(command: string, args: readonly string[], options: StockOptions = {}): StockRun {
  const { timeout_ms = TIMEOUT_MS, cwd, input } = options;
  const path = findCommand(command) ?? command;
  const result = spawnSync(path, args, {
    timeout: timeout_ms,
    killSignal: "SIGKILL",
    maxBuffer: OUTPUT_MAX,
    encoding: "latin1",
    input: input ?? "",
    env: { ...process.env, LC_ALL: "C", TERM: "dumb" },
    ...(cwd === undefined ? {} : { cwd }),
  });
  const stdout = result.stdout ?? "";
  const stderr = result.stderr ?? "";
  const timedOut = (result.error as NodeJS.ErrnoException | undefined)?.code === "ETIMEDOUT";
  return { status: result.status, stdout, stderr, output: stdout + stderr, timedOut };
}

export function stock(tool: StockTool, args: readonly string[], options: StockOptions = {}): StockRun {
  const [program, ...first] = commandOf(tool);
  return run(program, [...first, ...args], options);
}

/** describe() for tests that need stock tools. */
export function describeStock(tools: readonly StockTool[], name: string, tests: () => void): void {
  const missing = tools.filter((tool) => !hasStock(tool));
  if (missing.length === 0) {
    describe(name, tests);
  } else if (required) {
    describe(name, () => {
      it(`needs ${missing.join(", ")}, required where CI=true`, () => {
        throw new Error(`not installed: ${missing.join(", ")}`);
      });
    });
  } else {
    describe.skip(`${name} (not installed: ${missing.join(", ")})`, tests);
  }
}
