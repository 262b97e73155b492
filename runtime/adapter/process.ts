/** Other processes and disk space, for tools that measure: commands to their end, temporary directories. */

import * as fs from "node:fs";
import * as path from "node:path";
import process from "node:process";
import { hostError } from "./node.ts";

export interface Finished {
  /** Exit status; null when a signal ended it, as the time limit does. */
  status: number | null;
  /** The name of that signal; SIGKILL is the time limit's. */
  signal: string | null;
  /** From the start until it had ended and its output was read. */
  elapsed_ms: number;
  stdout: string;
  stderr: string;
}

const OUTPUT_MAX = 1 << 24;
/** Of a process that is watched, the last that it said of what went wrong. */
const STDERR_KEPT = 1 << 16;

/** Runs a command to its end, at most for `timeout_ms`. HostError when it cannot be started. */
export function runCommand(command: readonly string[], timeout_ms: number): Finished {
  const [program = "", ...args] = command;
  const start = performance.now();
  const options = {
    timeout: timeout_ms,
    killSignal: "SIGKILL",
    maxBuffer: OUTPUT_MAX,
    encoding: "utf8",
  } as const;
  const { spawnSync } = process.getBuiltinModule("node:child_process");
  const { status, signal, stdout, stderr, error } = spawnSync(program, args, options);
  const elapsed_ms = performance.now() - start;
  if (error !== undefined && (error as { code?: unknown }).code !== "ETIMEDOUT") {
    throw hostError(error, "run", program);
  }
  return { status, signal, elapsed_ms, stdout, stderr };
}

/** How often a process is looked at for its memory. */
const WATCH_MS = 10;

/**
 * Runs a command to its end, and watches the most memory that it has had at once, in bytes: undefined where
 * there is no Linux to tell. Its standard output is not kept. HostError when it cannot be started.
 */
export async function peakOfCommand(
  command: readonly string[],
): Promise<{ status: number | null; stderr: string; peak: number | undefined }> {
  const [program = "", ...args] = command;
  const { spawn } = process.getBuiltinModule("node:child_process");
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
  let [stderr, peak] = ["", 0];
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const timer = setInterval(() => {
    peak = Math.max(peak, highWaterMark(child.pid));
  }, WATCH_MS);
  try {
    const status = await new Promise<number | null>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", resolve);
    });
    return { status, stderr, peak: peak === 0 ? undefined : peak };
  } catch (error) {
    throw hostError(error, "run", program);
  } finally {
    clearInterval(timer);
  }
}

/** VmHWM of a process, 0 when it is gone or nobody knows. */
function highWaterMark(pid: number | undefined): number {
  try {
    const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
    return Number(kilobytes ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/**
 * Runs a command to its end, with each line of its standard output as it comes; it is killed when none comes
 * for `silence_ms`. HostError when it cannot be started.
 */
export function watchCommand(
  command: readonly string[],
  silence_ms: number,
  line: (text: string) => void,
): Promise<Finished> {
  const [program = "", ...args] = command;
  const start = performance.now();
  const { spawn } = process.getBuiltinModule("node:child_process");
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    let silence = setTimeout(() => child.kill("SIGKILL"), silence_ms);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      clearTimeout(silence);
      silence = setTimeout(() => child.kill("SIGKILL"), silence_ms);
      const lines = (stdout + text).split("\n");
      stdout = lines.pop()!;
      for (const whole of lines) line(whole);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-STDERR_KEPT);
    });
    child.on("error", (error) => {
      clearTimeout(silence);
      reject(hostError(error, "run", program));
    });
    child.on("close", (status, signal) => {
      clearTimeout(silence);
      resolve({ status, signal, elapsed_ms: performance.now() - start, stdout, stderr });
    });
  });
}

/**
 * How to start the engine that runs this, and on it this very program: `[...engine, ...]`, `[...program,
 * ...]`.
 */
export function ownCommand(): { engine: readonly string[]; program: readonly string[] } {
  return { engine: [process.execPath], program: [process.execPath, process.argv[1] ?? ""] };
}

/** A new empty directory in `parent`, which is made when it does not exist. HostError when that fails. */
export function temporaryDirectory(parent: string): { path: string; remove(): void } {
  try {
    fs.mkdirSync(parent, { recursive: true });
    const directory = fs.mkdtempSync(path.join(path.resolve(parent), "tmp-"));
    return { path: directory, remove: () => fs.rmSync(directory, { recursive: true, force: true }) };
  } catch (error) {
    throw hostError(error, "mkdtemp", parent);
  }
}

/** Bytes of this process that lie in the host's memory. */
export function residentMemory(): number {
  return process.memoryUsage().rss;
}

/** The most that this process ever had there. */
export function peakMemory(): number {
  return process.resourceUsage().maxRSS * 1024;
}

/** Milliseconds that processors have worked for this process: what others do on the machine is not in it. */
export function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Bytes that the user may still write to the file system of `directory`. */
export function freeSpace(directory: string): number {
  try {
    const { bavail, bsize } = fs.statfsSync(directory);
    return bavail * bsize;
  } catch (error) {
    throw hostError(error, "statfs", directory);
  }
}
