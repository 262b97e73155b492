/** makedumpfile's core as a component: the same bytes as the command, wherever it runs. */
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BootDump, bootDump } from "../support/boot.ts";
import { compressed, namedKernel } from "../support/dumps.ts";
import { describeStock, stock } from "../support/stock.ts";
import { MAKEDUMPFILE } from "./components.ts";
import { ENGINES, type Engine, wkdump } from "./engines.ts";

let directory: string;
let dump: BootDump;

beforeAll(() => {
  dump = bootDump(["--memory", "24M", "--seed", "6", "--fill", "40%", "--pages", "hwpoison=2,offline=9"]);
  directory = mkdtempSync(join(tmpdir(), "wkdump-component-"));
  copyFileSync(dump.vmcore, join(directory, "vmcore"));
});
afterAll(() => {
  dump?.remove();
  rmSync(directory, { recursive: true, force: true });
});

/** The component's file for these arguments, and what it said. */
function collect(engine: Engine, vmcore: string, args: string): { file: Buffer; said: string } {
  const collector = ["collect", "--collector", MAKEDUMPFILE, "--force", vmcore, "component"];
  const { status, stdout, output } = wkdump(engine, directory, [...collector, "--", ...args.split(" ")]);
  expect(status, output).toBe(0);
  return { file: readFileSync(join(directory, "component")), said: stdout };
}

function command(engine: Engine, vmcore: string, args: string): Buffer {
  const { status, output } = wkdump(engine, directory, [
    "makedumpfile",
    "-f",
    ...args.split(" "),
    vmcore,
    "c",
  ]);
  expect(status, output).toBe(0);
  return readFileSync(join(directory, "c"));
}

const same = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0;

describe.each(ENGINES)("the component on %s", (engine) => {
  it.each(["-d 0", "-d1", "-d 31", "-l -d 0", "-ld 1", "-ld31", "-p -d 31", "-c -d 31", "-cd0"])(
    "%s gives the command's bytes",
    (args) => {
      const { file, said } = collect(engine, "vmcore", args);
      expect(same(file, command(engine, "vmcore", args))).toBe(true);
      expect(said).toMatch(/^\d+ pages saved, \d+ more are zeros\n$/);
    },
  );

  it("has Zstandard where the engine has it, and says where not", () => {
    const has = wkdump(engine, directory, ["makedumpfile", "-v"]).stdout.includes("zstd\tenabled");
    if (has) {
      expect(same(collect(engine, "vmcore", "-zd 31").file, command(engine, "vmcore", "-zd 31"))).toBe(true);
      return;
    }
    const args = ["collect", "--quiet", "--collector", MAKEDUMPFILE, "vmcore", "none", "--", "-z"];
    expect(wkdump(engine, directory, args)).toMatchObject({
      status: 1,
      stderr: `wkdump collect: ${MAKEDUMPFILE}: This engine has no zstd to compress with.\n`,
    });
    expect(existsSync(join(directory, "none"))).toBe(false);
  });
});

describe("the component", () => {
  it("filters what was filtered before, in every form that wkdump reads", () => {
    writeFileSync(join(directory, "before"), command("bun", "vmcore", "-l -d 17"));
    for (const args of ["-d 31 -p", "-d 0", "-c -d 2"]) {
      expect(same(collect("bun", "before", args).file, command("bun", "before", args))).toBe(true);
    }
  });

  it("takes pages of other sizes, and kernels without a memory map at levels 0 and 1", async () => {
    const kernel = namedKernel();
    writeFileSync(join(directory, "mock"), kernel.build());
    for (const args of ["-l -d 0", "-l -d 1"]) {
      expect(same(collect("bun", "mock", args).file, command("bun", "mock", args))).toBe(true);
    }
    writeFileSync(join(directory, "mock"), await compressed(kernel.build(), { exclude: [3, 4, 40] }));
    expect(same(collect("bun", "mock", "-p -d 1").file, command("bun", "mock", "-p -d 1"))).toBe(true);
  });

  it.each([
    ["-d 32", "Dump_level(32) is invalid."],
    ["-dx", "Dump_level(x) is invalid."],
    ["-d", "option requires an argument -- 'd'"],
    ["-lE", "invalid option -- 'E': there are -d LEVEL, -c, -l, -p and -z"],
    ["-l vmcore", "unexpected operand vmcore: the host has named input and output"],
  ])("refuses %s", (args, message) => {
    const whole = ["collect", "--quiet", "--collector", MAKEDUMPFILE, "vmcore", "wrong", "--"];
    const { status, stderr } = wkdump("bun", directory, [...whole, ...args.split(" ")]);
    expect([status, stderr]).toEqual([1, `wkdump collect: ${MAKEDUMPFILE}: ${message}\n`]);
    expect(existsSync(join(directory, "wrong"))).toBe(false);
  });

  it("says what is wrong with the dump", () => {
    writeFileSync(join(directory, "mock"), namedKernel().build());
    const args = ["collect", "--quiet", "--collector", MAKEDUMPFILE, "mock", "wrong", "--", "-d31"];
    expect(wkdump("bun", directory, args).stderr).toMatch(/the line SIZE\(page\) is missing/);
    writeFileSync(join(directory, "mock"), "nothing");
    expect(wkdump("bun", directory, args)).toMatchObject({ status: 1 });
    expect(wkdump("bun", directory, args).stderr).toMatch(/^wkdump collect: mock/);
    expect(existsSync(join(directory, "wrong.incomplete"))).toBe(false);
  });
});

describeStock(["makedumpfile", "crash"], "what the component wrote", () => {
  it("is what the stock tools read", () => {
    writeFileSync(join(directory, "dump"), collect("bun", "vmcore", "-c -d 31").file);
    const log = join(directory, "log");
    const read = stock("makedumpfile", ["-f", "--dump-dmesg", join(directory, "dump"), log]);
    expect(read.status, read.output).toBe(0);
    expect(readFileSync(log, "latin1")).toContain("sysrq: Trigger a crash");
    const commands = ["-s", dump.json.vmlinux, join(directory, "dump")];
    const crash = stock("crash", commands, { input: "bt\nquit\n", cwd: directory });
    expect(crash.stdout).toContain("sysrq_handle_crash");
  });
});
