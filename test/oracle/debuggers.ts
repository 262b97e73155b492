/** gdb, drgn and crash on a dump with its vmlinux, for the oracle tests: each runs a script. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BootDump } from "../support/boot.ts";
import { stock } from "../support/stock.ts";

/** Where a program's page fault began: its instruction is in no function of vmlinux, its stack elsewhere. */
const PROGRAM = new RegExp(
  `^(#\\d+ .* in asm_exc_\\w+ .*\\n)#\\d+ +0x0{10}\\w+ in \\?\\? \\(\\)\\n` +
    `Backtrace stopped: previous frame inner .*\\n`,
  "gm",
);

/** Output of one gdb command each, in order; stacks end where the kernel was entered. */
export function gdb(dump: BootDump, commands: readonly string[]): string[] {
  const mark = "@@@";
  const settings = ["set pagination off", "set width 0", "set confirm off"];
  const flags = [...settings, ...commands.flatMap((it) => [it, `echo ${mark}\\n`])].flatMap((it) => [
    "-ex",
    it,
  ]);
  // The first mark ends what gdb says at its start, with the settings.
  const before = ["-ex", `echo ${mark}\\n`];
  const { output } = stock(
    "gdb",
    ["-q", "-nx", "-batch", ...before, ...flags, dump.json.vmlinux, dump.vmcore],
    {
      cwd: ROOT,
    },
  );
  return output.replace(PROGRAM, "$1").split(`${mark}\n`).slice(1, -1);
}

const ROOT = join(import.meta.dirname, "../..");

export const DRGN_IMPORTS = "import json\nfrom drgn import *\nfrom drgn.helpers.linux import *\n";

/** What a Python script prints, as JSON, with `prog` the opened dump. Throws with drgn's words otherwise. */
export function drgn(dump: BootDump, script: string): unknown {
  const file = join(dump.directory, "script.py");
  writeFileSync(file, `${DRGN_IMPORTS}${script}\n`);
  const { status, stdout, stderr } = stock("drgn", ["-q", "-c", dump.vmcore, "-s", dump.json.vmlinux, file]);
  if (status !== 0 || stderr !== "") throw new Error(`drgn ended with ${status}: ${stderr}`);
  return JSON.parse(stdout);
}

export interface CrashRun {
  /** What it says before the first command. */
  start: string;
  /** By command. */
  output: Map<string, string>;
}

/** Output of one crash command each. */
export function crash(dump: BootDump, commands: readonly string[]): CrashRun {
  const file = join(dump.directory, "commands.crash");
  const mark = "@@@ ";
  writeFileSync(file, `${commands.map((it) => `!echo '${mark}'\n${it}\n`).join("")}!echo '${mark}'\nquit\n`);
  const args = ["--no_scroll", "-s", "-i", file, dump.json.vmlinux, dump.vmcore];
  const { output } = stock("crash", args);
  const [start = "", ...parts] = output.split(/^@@@ \n|(?<=[^\n])@@@ \n/m);
  return { start, output: new Map(commands.map((it, i) => [it, parts[i] ?? ""])) };
}

export interface Frame {
  name: string;
  file: string;
  line: number;
}

/** The frames of gdb's bt, innermost first. */
export function gdbFrames(trace: string): Frame[] {
  const form = /^#\d+ +(?:0x\w+ in )?(\S+) \(.*\) at (\S+):(\d+)$/gm;
  return [...trace.matchAll(form)].map(([, name = "", file = "", line]) => ({
    name,
    file,
    line: Number(line),
  }));
}

/** The names in the last call trace of the log. */
export function loggedFrames(dmesg: string): string[] {
  const trace = dmesg.slice(dmesg.lastIndexOf("<TASK>"), dmesg.lastIndexOf("</TASK>"));
  return [...trace.matchAll(/\] {2}(\w+)\+0x[0-9a-f]+\/0x[0-9a-f]+$/gm)].map((it) => it[1] as string);
}

/** The same from panic() outwards. */
export function loggedTrace(dmesg: string): string[] {
  const names = loggedFrames(dmesg);
  return names.slice(names.indexOf("panic"));
}
