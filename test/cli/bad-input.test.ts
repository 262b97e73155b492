import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run, type StockRun } from "../support/stock.ts";

const BUILD = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), "build");
const TIMEOUT_ms = 30_000;
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "wkdump-cli-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** The command under Node, in the temporary directory. */
function wkdump(args: readonly string[], bundle = join(BUILD, "wkdump.js")): StockRun {
  return run(process.execPath, [bundle, ...args], { cwd: directory, timeout_ms: TIMEOUT_ms });
}

/** It ended with `status`, said one line of why, and showed nothing of its insides. */
function expectRefusal(result: StockRun, status: number, reason: RegExp): void {
  expect(result.status).toBe(status);
  expect(result.stdout).toBe("");
  expect(result.stderr).toMatch(reason);
  expect(result.stderr.trimEnd().split("\n")).toHaveLength(1);
  expect(result.stderr).not.toMatch(/\bat .*:\d+:\d+|node:internal|Error:/);
}

describe("wrong usage", () => {
  it.each<[string[], RegExp]>([
    [["boot", "--bogus"], /unknown flag --bogus/],
    [["boot", "--memory"], /--memory wants a value/],
    [["boot", "--memory", "3K"], /--memory 3K: a machine's memory is from 4M to 4G, in multiples of 64K/],
    [["boot", "--memory", "5G"], /--memory 5G: .*from 4M to 4G/],
    [["boot", "--memory", "5M1"], /--memory 5M1 is no size/],
    [["boot", "--memory", "-1"], /--memory -1 is no size/],
    [["boot", "--memory", ""], /--memory {2}is no size/],
    [["boot", "--memory", "64M", "--memory", "32M"], /--memory is given twice/],
    ...["0", "9", "two", "1.5", ""].map((cpus): [string[], RegExp] => [
      ["boot", "--cpus", cpus],
      /--cpus .*: a machine has 1 to 8 CPUs/,
    ]),
    [["fuzz", "--runs", "1", "--cpus", "9"], /--cpus 9: a number from 1 to 8/],
    [["boot", "--memory", "4M", "--crash", "meltdown"], /--crash meltdown: the types are sysrq-c, none/],
    [["boot", "--seed", "x"], /--seed x: a seed is a number/],
    [["boot", "--seed", "0x100000000"], /a number from 0 to 4294967295/],
    [["boot", "--inject", "phys=1,xor=2"], /write phys=ADDR,xor=BYTE,at=panic\|purgatory\|capture/],
    [["boot", "--inject", "phys=1,xor=256,at=panic"], /BYTE from 1 to 255/],
    [["boot", "--inject", "phys=1,xor=1,at=lunch"], /at=panic\|purgatory\|capture/],
    [["boot", "--stop-at", "purgatory"], /--stop-at purgatory and --save-memory FILE go together/],
    [
      ["boot", "--debug-kernel", "--stop-at", "purgatory", "--save-memory", "f"],
      /wkdump capture goes on with the usual kernel only/,
    ],
    [["boot", "--mix", "cache=1,swap=2"], /--mix cache=1,swap=2: write cache=N,cache_private=N,user=N/],
    [["boot", "--mix", "user=0"], /--mix user=0: nothing to fill memory with/],
    [["boot", "--pages", "hwpoison"], /--pages hwpoison: write hugepages=N,hwpoison=N,offline=N/],
    [["boot", "--truth", "t", "--crash", "none"], /--truth is about a dump, and this makes none/],
    [["boot", "--stop-at", "home", "--save-memory", "f"], /only place to stop at is purgatory/],
    [["boot", "--poweron", "ones"], /zero or random/],
    [["boot", "--json=yes"], /--json takes no value/],
    [["boot", "extra"], /unexpected argument extra/],
    [["capture"], /which FILE/],
    [["capture", "a", "b"], /unexpected argument b/],
    [["capture", "a", "--inject", "phys=1,xor=1,at=panic"], /that moment has passed/],
    [["meltdown"], /unknown command meltdown: it is one of boot, capture/],
  ])("%j", (args, reason) => {
    expectRefusal(wkdump(args), 2, reason);
    expect(readdirSync(directory)).toEqual([]);
  });

  it("no command at all shows what there is", () => {
    const result = wkdump([]);
    expect(result.status).toBe(2);
    expect(result.stderr).toMatch(/^ {2}boot +\S/m);
  });

  it.each(["boot", "capture", "vmcore-dmesg", "bench"])("%s --help goes to stdout", (command) => {
    const result = wkdump([command, "--help"]);
    expect(result.status).toBe(0);
    expect(result.stdout).toMatch(/^Usage: /m);
    expect(result.stderr).toBe("");
  });
});

describe("what cannot be done", () => {
  it("an --out that is not writable, found before anything runs", () => {
    writeFileSync(join(directory, "file"), "");
    expectRefusal(
      wkdump(["boot", "--out", "file/crash"]),
      1,
      /--out file\/crash is no directory .*: Not a directory/,
    );
    expectRefusal(wkdump(["boot", "--out", "file"]), 1, /--out file is .*: File exists/);
    expectRefusal(wkdump(["boot", "--out", "/proc/nowhere"]), 1, /--out \/proc\/nowhere is no directory/);
  });

  it("a --save-memory that cannot be written", () => {
    const args = ["boot", "--out", "out", "--stop-at", "purgatory", "--save-memory", "no/such/file"];
    expectRefusal(wkdump(args), 1, /no\/such\/file: No such file or directory/);
  });

  it("saved memory that is none, or not there", () => {
    expectRefusal(wkdump(["capture", "missing"]), 1, /missing: No such file or directory/);
    writeFileSync(join(directory, "junk"), "this is no snapshot, whatever it is");
    expectRefusal(wkdump(["capture", "junk", "--out", "out"]), 1, /junk: the saved memory is unusable/);
    expectRefusal(wkdump(["capture", directory, "--out", "out"]), 1, /Is a directory/);
  });

  describe("with a damaged build", () => {
    const files = ["wkdump.js", "vmlinuz", "initrd.img", "System.map"];
    const copy = (name: string): { folder: string; bundle: string } => {
      const folder = join(directory, name);
      mkdirSync(folder);
      for (const file of files) cpSync(join(BUILD, file), join(folder, file));
      // The copy lies outside of the package that says its .js files are modules.
      writeFileSync(join(folder, "package.json"), '{"type": "module"}');
      return { folder, bundle: join(folder, "wkdump.js") };
    };

    it.each(["vmlinuz", "initrd.img"])("a truncated %s", (file) => {
      const { folder, bundle } = copy(`truncated-${file}`);
      const bytes = readFileSync(join(folder, file));
      writeFileSync(join(folder, file), bytes.subarray(0, bytes.length / 2));
      expectRefusal(
        wkdump(["boot"], bundle),
        1,
        new RegExp(`${file} is truncated: \\d+ bytes instead of \\d+`),
      );
      writeFileSync(join(folder, file), "");
      expectRefusal(wkdump(["boot"], bundle), 1, /truncated: 0 bytes/);
      expect(existsSync(join(directory, "var"))).toBe(false);
    });

    it.each(["vmlinuz", "initrd.img"])("a changed byte in %s", (file) => {
      const { folder, bundle } = copy(`changed-${file}`);
      const bytes = readFileSync(join(folder, file));
      bytes[bytes.length >> 1]! ^= 1;
      writeFileSync(join(folder, file), bytes);
      expectRefusal(wkdump(["boot"], bundle), 1, /damaged/);
    });

    it("a missing image", () => {
      const { folder, bundle } = copy("missing-image");
      rmSync(join(folder, "vmlinuz"));
      expectRefusal(wkdump(["boot"], bundle), 1, /vmlinuz: No such file or directory/);
    });
  });
});
