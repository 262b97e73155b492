/**
 * wkdump: the table of commands, and what they have in common. Exit status: 0 done, 1 failed with a reason on
 * stderr, 2 wrong usage.
 */
import { HostError, hostProc } from "../runtime/adapter/index.ts";
import type { Terminal } from "../runtime/adapter/terminal.ts";
import { BootError } from "../runtime/index.ts";
import type { Program } from "../runtime/user/proc.ts";
import * as bench from "./bench/main.ts";
import * as boot from "./boot/main.ts";
import * as capture from "./capture/main.ts";
import * as collect from "./collector/main.ts";
import { DumpError } from "./dump/error.ts";
import { CommandError, UsageError } from "./flags.ts";
import * as fuzz from "./fuzz/main.ts";
import * as fuzzDump from "./fuzz-dump/main.ts";
import { HELP as MAKEDUMPFILE_HELP } from "./makedumpfile/help.ts";
import * as makedumpfile from "./makedumpfile/main.ts";
import { strerror } from "./strerror.ts";
import * as vmcoreDmesg from "./vmcore-dmesg/main.ts";
import * as vmlinux from "./vmlinux/main.ts";

export interface Command {
  /** What --help prints. */
  help: string;
  summary: string;
  run(terminal: Terminal, args: readonly string[]): Promise<number>;
}

/** A program of the machine that works on the host's files just as well. */
function onHost(name: string, program: Program): Command["run"] {
  return (_terminal, args) => program(hostProc([name, ...args]));
}

export const COMMANDS: Readonly<Record<string, Command>> = {
  boot: { help: boot.HELP, summary: "power on, load, crash, capture, save: the main job", run: boot.run },
  capture: {
    help: capture.HELP,
    summary: "go on from memory that boot --stop-at purgatory saved",
    run: capture.run,
  },
  vmlinux: {
    help: vmlinux.HELP,
    summary: "write the debug kernel that goes with the dumps",
    run: vmlinux.run,
  },
  makedumpfile: {
    help: MAKEDUMPFILE_HELP,
    summary: "filter and compress a dump",
    run: (terminal, args) => makedumpfile.main(hostProc(["makedumpfile", ...args]), terminal),
  },
  collect: {
    help: collect.HELP,
    summary: "have a WebAssembly component make a file of a dump",
    run: collect.run,
  },
  "vmcore-dmesg": {
    help: vmcoreDmesg.HELP,
    summary: "print the kernel log that a vmcore holds",
    run: onHost("vmcore-dmesg", vmcoreDmesg.main),
  },
  fuzz: { help: fuzz.HELP, summary: "explore crash paths from seeds", run: fuzz.run },
  "fuzz-dump": {
    help: fuzzDump.HELP,
    summary: "read damaged dumps of every format, from seeds",
    run: fuzzDump.run,
  },
  bench: { help: bench.HELP, summary: "measure, and compare with the stock tools", run: bench.run },
};

function help(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  const lines = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return `wkdump - Linux's kexec and kdump in one process

Usage: wkdump COMMAND [ARGS]

${lines.join("\n")}

wkdump COMMAND --help tells more.
`;
}

/** Runs the command that the arguments name; the exit status. */
export async function wkdump(terminal: Terminal): Promise<number> {
  const [name, ...args] = terminal.args;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    if (name !== undefined) terminal.out(help());
    else terminal.err(help());
    return name === undefined ? 2 : 0;
  }
  if (!Object.hasOwn(COMMANDS, name)) {
    terminal.err(`wkdump: unknown command ${name}: it is one of ${Object.keys(COMMANDS).join(", ")}\n`);
    return 2;
  }
  const command = COMMANDS[name]!;
  if (args.includes("--help")) {
    terminal.out(command.help);
    return 0;
  }
  try {
    return await command.run(terminal, args);
  } catch (error) {
    if (error instanceof UsageError) {
      terminal.err(`wkdump ${name}: ${error.message} (wkdump ${name} --help tells more)\n`);
      return 2;
    }
    if (error instanceof HostError) {
      terminal.err(`wkdump ${name}: ${error.operation} ${error.path ?? ""}: ${strerror(error)}\n`);
      return 1;
    }
    if (error instanceof CommandError || error instanceof BootError || error instanceof DumpError) {
      terminal.err(`wkdump ${name}: ${error.message}\n`);
      return 1;
    }
    throw error;
  }
}
