/** What crash says to all commands that the tests ask, in one run of it for a dump. */
import type { TaskTruth, Truth } from "../../../tools/fixtures/types.ts";
import type { BootDump } from "../../support/boot.ts";
import { COMMANDS } from "../crash-commands.ts";
import { type CrashRun, crash } from "../debuggers.ts";
import type { OracleDump } from "../features.ts";

/** Commands besides those of the list: each has a test of its own. */
const FURTHER = [
  "foreach files",
  "foreach vm",
  "foreach task -R pid,comm,cpu",
  "bt -a",
  "ps -A",
  "kmem -h",
  "search -p init_task",
  "rd -p 100000 512",
  "p saved_command_line",
  "p crashing_cpu",
  "p jiffies_64",
  "whatis panic",
  "sym -m crasher",
];

const runs = new WeakMap<OracleDump, CrashRun>();

export const described = (dump: OracleDump): BootDump => {
  return { ...dump, json: { vmlinux: dump.vmlinux } as BootDump["json"], remove: () => {} };
};

export function said(dump: OracleDump, command: string): string {
  let found = runs.get(dump);
  if (found === undefined) {
    const slabs = dump.truth.slabs.map(({ name }) => `kmem -S ${name}`);
    found = crash(described(dump), [...new Set([...COMMANDS, ...FURTHER, ...slabs])]);
    runs.set(dump, found);
  }
  const answer = found.output.get(command);
  if (answer === undefined) throw new Error(`nobody asked crash for ${command}`);
  return answer;
}

/** The functions of a call trace. */
export const names = (trace: string): string[] =>
  [...trace.matchAll(/^ *#\d+ \[\w+\] (\w+) at/gm)].map((it) => it[1] as string);

/** The parts of a command's output that is about several tasks, by pid; idle tasks by "swapper/CPU". */
export function byTask(output: string): Map<number | string, string> {
  const parts = output.split(/^PID: (?=\d)/m).slice(1);
  return new Map(
    parts.map((part) => {
      const idle = /COMMAND: "(swapper\/\d+)"/.exec(part)?.[1];
      return [idle ?? Number.parseInt(part, 10), part];
    }),
  );
}

/** Lines without the blanks at their ends, or blank ones at the end. */
export const plain = (text: string): string[] =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => line.trimEnd());

/** Calls that change what a task has open. */
const OPENING = new Set(["open", "close", "pipe", "dup2"]);

/**
 * Tasks whose open files the host knows: the crash may come when such a call is done, but not answered, or
 * when a program has ended, but not the task.
 */
export const settled = ({ tasks }: Truth): TaskTruth[] =>
  tasks.filter(({ kthread, state, call, files }) => {
    if (kthread || state === "Z" || state === "X") return true;
    return files.length > 0 && !OPENING.has(call ?? "");
  });
