/** wkdump as it is built, on each engine, in a process of its own; Deno may do no more than it must. */
import { join } from "node:path";
import { built } from "../support/boot.ts";
import { run, type StockRun } from "../support/stock.ts";
import { BUILD } from "./components.ts";

export const ENGINES = ["bun", "node", "deno"] as const;
export type Engine = (typeof ENGINES)[number];

const BIN = join(BUILD, "../node_modules/.bin");

/** Runs the command in a directory, the only one, beside build/, that it may read and write. */
export function wkdump(
  engine: Engine,
  directory: string,
  args: readonly string[],
  timeout_ms = 60_000,
): StockRun {
  const deno = ["run", "--quiet", "--no-prompt", "--no-config", "--no-lock"];
  deno.push(`--allow-read=${BUILD},${directory}`, `--allow-write=${directory}`);
  const commands = { bun: [join(BIN, "bun")], node: [process.execPath], deno: [join(BIN, "deno"), ...deno] };
  const [command = "", ...first] = commands[engine];
  return run(command, [...first, built("wkdump.js"), ...args], { cwd: directory, timeout_ms });
}
