/**
 * Stock makedumpfile in all of its modes: each exits 0 without a warning, and at every dump level it counts
 * the pages of each class as the kernel did.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { reported } from "../../support/boot.ts";
import { type StockRun, stock } from "../../support/stock.ts";
import type { Feature, OracleDump, Tool } from "../features.ts";
import type { DumpKind } from "../table.ts";

/** Progress, what it does, errors, the report: all but debug messages. */
const MESSAGES = ["--message-level", "23"];
/** Lines that it prints when all is well; anything else is a warning. */
const QUIET = [
  /^(Copying data|Checking for memory holes|Excluding unnecessary pages|Excluding free pages) *: \[/,
  /^The (dumpfile|dmesg log) is saved to .*\.$/,
  /^The dumpfiles are saved to .*\.$/,
  /^STEP \[/,
  /^makedumpfile Completed\.$/,
];
/** The report, from its first line to its last. */
const REPORT = /^Original pages {2}: [\s\S]*^Cache hit: .*$/m;

/** A run that must be quiet, on files below the dump's directory. */
function quiet(dump: OracleDump, args: readonly string[]): StockRun {
  const result = stock("makedumpfile", [...args], { cwd: dump.directory });
  const lines = result.output
    .replace(REPORT, "")
    .split(/[\r\n]/)
    .map((line) => line.trim());
  expect(lines.filter((line) => line !== "" && !QUIET.some((form) => form.test(line)))).toEqual([]);
  expect(result.status).toBe(0);
  return result;
}

const hash = (dump: OracleDump, name: string): string =>
  createHash("sha256")
    .update(readFileSync(join(dump.directory, name)))
    .digest("hex");

/** Levels 0 to 31: what each leaves out, by class. */
function levels(dump: OracleDump, flags: readonly string[] = []): void {
  const { vmcore, truth } = dump;
  for (const wanted of truth.pages.levels) {
    const { output } = quiet(dump, [
      "-f",
      "-l",
      "-d",
      `${wanted.level}`,
      ...MESSAGES,
      ...flags,
      vmcore,
      "level",
    ]);
    expect(
      {
        level: wanted.level,
        zero: reported(output, "Pages filled with zero"),
        cache: reported(output, "Non-private cache pages"),
        cache_private: reported(output, "Private cache pages"),
        user: reported(output, "User process data pages"),
        free: reported(output, "Free pages"),
        hwpoison: reported(output, "Hwpoison pages"),
        offline: reported(output, "Offline pages"),
        left: reported(output, "Remaining pages"),
      },
      `level ${wanted.level}`,
    ).toEqual(wanted);
    expect(reported(output, "Total pages") - reported(output, "Memory Hole")).toBe(truth.pages.total);
  }
}

const ELF = ["ELF"] as const;
const features: Feature[] = [];

function feature(name: string, kinds: readonly DumpKind[], body: (dump: OracleDump) => void): void {
  features.push({ name, kinds, body });
}

feature("`-d 0` to `-d 31`: pages left out, by class", ELF, (dump) => levels(dump));

feature("`-x vmlinux`: types from there", ELF, (dump) => {
  for (const level of ["0", "1", "31"]) {
    quiet(dump, ["-f", "-l", "-d", level, dump.vmcore, "plain"]);
    quiet(dump, ["-f", "-l", "-d", level, "-x", dump.vmlinux, dump.vmcore, "typed"]);
    expect(hash(dump, "typed")).toBe(hash(dump, "plain"));
  }
});

feature("`-E`: an ELF file again", ELF, (dump) => {
  for (const level of ["0", "1", "31"]) {
    quiet(dump, ["-f", "-E", "-d", level, dump.vmcore, "elf"]);
    const { status, stdout, stderr } = stock("readelf", ["-hlnW", "elf"], { cwd: dump.directory });
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/Type: +CORE/);
    quiet(dump, ["-f", "--dump-dmesg", "elf", "dmesg"]);
  }
});

feature("`-F`, `-R`: through a pipe", ELF, (dump) => {
  for (const flags of [["-l"], ["-c"], ["-E"]]) {
    quiet(dump, ["-f", ...flags, "-d", "31", dump.vmcore, "plain"]);
    const script = `makedumpfile -F ${flags.join(" ")} -d 31 "$1" | makedumpfile -f -R restored`;
    const { status } = stock("sh", ["-c", script, "sh", dump.vmcore], { cwd: dump.directory });
    expect(status).toBe(0);
    expect(hash(dump, "restored")).toBe(hash(dump, "plain"));
  }
});

feature("`--split`, `--reassemble`", ELF, (dump) => {
  for (const level of ["0", "1", "31"]) {
    quiet(dump, ["-f", "-l", "-d", level, dump.vmcore, "plain"]);
    quiet(dump, ["-f", "-l", "-d", level, "--split", dump.vmcore, "part1", "part2", "part3"]);
    quiet(dump, ["-f", "--reassemble", "part1", "part2", "part3", "whole"]);
    expect(hash(dump, "whole")).toBe(hash(dump, "plain"));
  }
});

feature("`--dump-dmesg`: the log", ["ELF", "-d 0", "-d 1", "-d 31"], (dump) => {
  quiet(dump, ["-f", "--dump-dmesg", dump.vmcore, "dmesg"]);
  const plain = (text: string) => text.split("\n").map((line) => line.replace(/^\s+/, ""));
  expect(plain(readFileSync(join(dump.directory, "dmesg"), "latin1"))).toEqual(plain(dump.dmesg));
});

feature("again on its own output: `-d 31`", ["-d 0", "-d 1", "-d 31"], (dump) => {
  const { whole } = dump;
  quiet(dump, ["-f", "-l", "-d", "31", dump.vmcore, "again"]);
  quiet(dump, ["-f", "-l", "-d", "31", whole.vmcore, "once"]);
  quiet(dump, ["-f", "--dump-dmesg", "again", "dmesg-again"]);
  quiet(dump, ["-f", "--dump-dmesg", "once", "dmesg-once"]);
  expect(hash(dump, "dmesg-again")).toBe(hash(dump, "dmesg-once"));
});

export const MAKEDUMPFILE: Tool = { name: "makedumpfile", needs: ["makedumpfile"], features };
