/**
 * Dumps made by the project's own command, for tests: `bootDump` runs `wkdump boot ... --json` from build/
 * in a process of its own, with a time limit, and gives what the command said and left. The dump lies in a
 * temporary directory; `remove` deletes it, and afterAll should call it: a dump is as large as the
 * machine's memory.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { run, type StockRun } from "./stock.ts";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** A file of the build. */
export const built = (name: string): string => join(ROOT, "build", name);
const BUN = join(ROOT, "node_modules/.bin/bun");

/** What `boot --json` prints. */
export interface BootJson {
  outcome: "captured" | "not-captured" | "powered-off";
  reason: string;
  vmcore: string;
  dmesg: string;
  vmlinux: string;
  bytes: number;
  sha256: string;
  seed: number | null;
  crashkernel: { base: number; size: number };
  timings_ms: { boot: number; load: number; crash_to_capture: number; save: number; total: number };
  pages: Record<
    "zero" | "cache" | "cache_private" | "user" | "free" | "hwpoison" | "offline" | "total",
    number
  >;
}

export interface BootDump {
  json: BootJson;
  /** Path of the vmcore. */
  vmcore: string;
  /** The text of vmcore-dmesg.txt. */
  dmesg: string;
  directory: string;
  remove(): void;
}

/** Runs the built command; Bun when it is installed, the engine of the tests otherwise. */
export function wkdump(
  args: readonly string[],
  options: { cwd?: string; timeout_ms?: number } = {},
): StockRun {
  const command = built("wkdump.js");
  if (!existsSync(command)) throw new Error("build/wkdump.js does not exist: run `npm run build` first");
  return run(existsSync(BUN) ? BUN : process.execPath, [command, ...args], options);
}

/** Boots, crashes and captures. Throws with everything the command said when there is no dump. */
export function bootDump(flags: readonly string[], timeout_ms = 60_000): BootDump {
  const directory = mkdtempSync(join(tmpdir(), "wkdump-"));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  const result = wkdump(["boot", "--out", directory, "--json", ...flags], { timeout_ms });
  try {
    if (result.timedOut) throw new Error(`wkdump boot ran longer than ${timeout_ms} ms`);
    if (result.status !== 0) throw new Error(`wkdump boot ended with ${result.status}`);
    const json = JSON.parse(result.stdout) as BootJson;
    if (statSync(json.vmcore).size !== json.bytes)
      throw new Error(`${json.vmcore} has not ${json.bytes} bytes`);
    return { json, vmcore: json.vmcore, dmesg: readFileSync(json.dmesg, "latin1"), directory, remove };
  } catch (error) {
    remove();
    throw new Error(`${(error as Error).message}; it said:\n${result.output}`);
  }
}

/** A count of makedumpfile's report, which message level 16 prints in hexadecimal. */
export function reported(output: string, name: string): number {
  const match = new RegExp(`^\\s*${name}\\s*:\\s*0x([0-9a-f]+)`, "m").exec(output);
  if (match?.[1] === undefined) throw new Error(`no "${name}" in:\n${output}`);
  return Number.parseInt(match[1], 16);
}
