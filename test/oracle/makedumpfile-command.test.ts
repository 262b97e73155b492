/** `wkdump makedumpfile` beside the stock one: the same files, texts and exit codes. */
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import { openDump } from "../../tools/dump/open.ts";
import type { Truth } from "../../tools/fixtures/types.ts";
import { wkdump } from "../support/boot.ts";
import { describeStock, run, type StockRun, stock } from "../support/stock.ts";
import { makeDump, type OracleDump } from "./features.ts";

const LEVELS = [0, 1, 2, 4, 8, 16, 31];

let whole: OracleDump;
const path = (name: string): string => join(whole.directory, name);
const bytesOf = (name: string): Uint8Array => readFileSync(path(name));
const same = (a: string, b: string): void => expect(Buffer.compare(bytesOf(a), bytesOf(b))).toBe(0);

const ours = (...args: string[]): StockRun => wkdump(["makedumpfile", ...args], { cwd: whole.directory });
const theirs = (...args: string[]): StockRun => stock("makedumpfile", args, { cwd: whole.directory });

/** Runs ours, which must succeed. */
function make(...args: string[]): StockRun {
  const result = ours(...args);
  expect(result.status, result.output).toBe(0);
  return result;
}

/** Runs the stock one, which must succeed. */
function stockMake(...args: string[]): void {
  const { status, output } = theirs(...args);
  expect(status, output).toBe(0);
}

/** A shell line in the dump's directory, with `wkdump makedumpfile` as $OURS. */
function shell(line: string): StockRun {
  const { stdout } = run("sh", ["-c", `command -v node`]);
  const program = join(import.meta.dirname, "../../build/wkdump.js");
  const start = `OURS="${stdout.trim()} ${program} makedumpfile"`;
  return stock("sh", ["-c", `${start}; ${line}`], { cwd: whole.directory });
}

describeStock(["makedumpfile"], "wkdump makedumpfile", () => {
  beforeAll(() => {
    // A poisoned page of the kernel's own would be in no compressed dump.
    const wanted = ({ log }: Truth): boolean => !log.some((line) => / kernel page: Ignored$/.test(line));
    const pages = { hugepages: 1, hwpoison: 3, offline: 4 };
    const options = { memory: "32M", seed: 5, workload: 80, cpus: 1, ...pages, append: "crashkernel=1M" };
    whole = makeDump({ options, wanted });
  }, 120_000);
  afterAll(() => {
    if (whole !== undefined) rmSync(whole.directory, { recursive: true, force: true });
  });

  it.each(LEVELS)("at level %i writes the same bytes, compressed form and ELF", (level) => {
    for (const form of [[], ["-E"]]) {
      stockMake("-f", ...form, "-d", String(level), whole.vmcore, "theirs");
      make("-f", ...form, "-d", String(level), whole.vmcore, "ours");
      same("ours", "theirs");
    }
  });

  it.each([3, 6, 12, 15, 24, 28, 30])("at level %i too", (level) => {
    stockMake("-f", "-d", String(level), whole.vmcore, "theirs");
    make("-f", "-d", String(level), whole.vmcore, "ours");
    same("ours", "theirs");
  });

  it("filters a filtered dump again, and says which level that makes", () => {
    stockMake("-f", "-l", "-d", "1", whole.vmcore, "once");
    stockMake("-f", "-d", "16", "once", "theirs");
    const { stdout } = make("-f", "-d", "16", "once", "ours");
    same("ours", "theirs");
    expect(stdout).toContain("dump_level is changed to 17, because once was created by dump_level(1).");
  });

  it.each(["-c", "-l"])("%s: the stock one unpacks the same", (codec) => {
    make("-f", codec, "-d", "31", whole.vmcore, "packed");
    stockMake("-f", "-d", "31", "packed", "again");
    stockMake("-f", "-d", "31", whole.vmcore, "theirs");
    same("again", "theirs");
    stockMake("-f", codec, "-d", "31", whole.vmcore, "theirs");
    expect(statSync(path("packed")).size).toBeLessThan(statSync(path("theirs")).size * 1.25);
  });

  it("-p: snappy, which Debian's own cannot", async () => {
    make("-f", "-p", "-d", "31", whole.vmcore, "packed");
    make("-f", "-d", "31", "packed", "again");
    make("-f", "-d", "31", whole.vmcore, "plain");
    same("again", "plain");
    const dump = await openDump([new MemoryBytes("packed", bytesOf("packed"))]);
    expect(dump.header?.status).toBe(4);
  });

  it("-F and -R: each other's streams", () => {
    const flat = shell(`$OURS -F -l -d 31 '${whole.vmcore}' > flat && makedumpfile -R -f theirs < flat`);
    expect([flat.status, flat.stdout]).toEqual([
      0,
      expect.stringContaining("The dumpfile is saved to theirs."),
    ]);
    make("-f", "-l", "-d", "31", whole.vmcore, "ours");
    same("ours", "theirs");
    expect(shell(`makedumpfile -F -E -d 31 '${whole.vmcore}' > flat && $OURS -R -f ours < flat`).status).toBe(
      0,
    );
    stockMake("-f", "-E", "-d", "31", whole.vmcore, "theirs");
    same("ours", "theirs");
    const cut = shell("head -c 100000 flat > cut; $OURS -R -f ours < cut");
    expect(cut.status).toBe(1);
    expect(cut.stderr).toMatch(/standard input: the stream ends at 0x186a0, in a record/);
  });

  it("--split and --reassemble: each other's files", () => {
    stockMake("-f", "-d", "31", whole.vmcore, "plain");
    make("-f", "--split", "-d", "31", whole.vmcore, "a", "b", "c");
    stockMake("-f", "--reassemble", "a", "b", "c", "theirs");
    make("-f", "--reassemble", "c", "a", "b", "ours");
    stockMake("-f", "-d", "31", "theirs", "again");
    same("again", "plain");
    same("ours", "plain");
    stockMake("-f", "--split", "--splitblock-size", "1024", "-l", "-d", "31", whole.vmcore, "a", "b");
    make("-f", "--reassemble", "a", "b", "ours");
    make("-f", "-d", "31", "ours", "again");
    same("again", "plain");
    expect(ours("-f", "--reassemble", "plain", "plain", "x").output).toContain(
      "plain: is no file of a split set",
    );
  });

  it("--dump-dmesg gives the same text", () => {
    stockMake("-f", "--dump-dmesg", whole.vmcore, "theirs");
    make("-f", "--dump-dmesg", whole.vmcore, "ours");
    same("ours", "theirs");
    stockMake("-f", "-c", "-d", "31", whole.vmcore, "packed");
    make("-f", "--dump-dmesg", "packed", "ours");
    same("ours", "theirs");
  });

  it("reports the same counts", () => {
    const report = ({ stdout }: StockRun): string[] => {
      const lines = stdout.split("\n");
      const start = lines.findIndex((line) => line.startsWith("Original pages"));
      // Then come the bytes written: the original counts padding in some cases, and in others not.
      const end = lines.findIndex((line) => line.startsWith("Total pages"));
      return lines.slice(start, end + 1);
    };
    for (const level of [1, 16, 31]) {
      const args = ["-f", "--message-level", "16", "-d", String(level), whole.vmcore];
      const found = report(make(...args, "ours"));
      expect(found).toHaveLength(14);
      expect(found).toEqual(report(theirs(...args, "theirs")));
    }
  });

  it("says what the stock one says, and ends as it does", () => {
    writeFileSync(path("taken"), "");
    writeFileSync(path("text"), "no dump at all, though long enough to hold the header of one".repeat(10));
    const cases: string[][] = [
      ["-l", "-d", "31", whole.vmcore, "new"],
      ["--dump-dmesg", whole.vmcore, "log"],
      ["--dry-run", "-l", "-d", "31", whole.vmcore, "dry"],
      ["--check-params", "-l", whole.vmcore, "checked"],
      ["-l", "-d", "31", whole.vmcore, "taken"],
      ["-l", "-d", "32", whole.vmcore, "x"],
      ["-l"],
      [],
      ["--frob"],
      ["-Q"],
      ["-d"],
      ["--message-level", "32", whole.vmcore, "x"],
      ["-E", "-c", whole.vmcore, "x"],
      ["--split", "-E", whole.vmcore, "x", "y"],
      ["--split", "-l", whole.vmcore, "x"],
      ["-l", "-d", "31", "nowhere", "x"],
      ["--dry-run", "--dump-dmesg", whole.vmcore, "x"],
    ];
    const plain = ({ status, stdout, stderr }: StockRun) => {
      const errors = stderr.split(/[\r\n]+/).filter((line) => line !== "" && !/: \[ *\d+\.\d %\]/.test(line));
      // getopt() begins with the path that the program was called by.
      return {
        status,
        stdout,
        errors: errors.map((line) => line.replace(/^\S*\/makedumpfile:/, "makedumpfile:")),
      };
    };
    for (const args of cases) {
      const wanted = plain(theirs(...args));
      for (const name of ["new", "log", "checked", "x", "y", "dry"]) rmSync(path(name), { force: true });
      expect([args, plain(ours(...args))]).toEqual([args, wanted]);
      expect(existsSync(path("dry"))).toBe(false);
      for (const name of ["new", "log", "checked", "x", "y"]) rmSync(path(name), { force: true });
    }
    const { status, stdout, stderr } = ours("-l", "-d", "31", "text", "x");
    expect([status, stdout]).toEqual([1, "\nmakedumpfile Failed.\n"]);
    expect(stderr).toContain("text, offset 0x0: the file does not begin with ELF's magic number");
    // The original would take this for 0, and keep everything.
    expect(ours("-d", "a", whole.vmcore, "x").stdout).toContain("Dump_level(a) is invalid.");
    expect(ours("-X", whole.vmcore, "x").stdout).toContain("-X (Xen) is not supported");
  });

  it("leaves a dump to its owner alone", () => {
    make("-f", "-l", "-d", "31", whole.vmcore, "private");
    expect(statSync(path("private")).mode & 0o777).toBe(0o600);
  });
});
