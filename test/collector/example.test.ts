/**
 * The example in JavaScript: made a component, run on each engine and in the machine, and read by the stock
 * tools. Making it takes half a minute, so that what was made of the same sources is kept in build/.
 */
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BootDump, bootDump } from "../support/boot.ts";
import { describeStock, run, stock } from "../support/stock.ts";
import { BUILD } from "./components.ts";
import { ENGINES, type Engine, wkdump } from "./engines.ts";

const ROOT = join(BUILD, "..");
const EXAMPLES = join(ROOT, "examples/collectors");
const SOURCE = "log-and-stacks/collector.js";
const MAKING_ms = 280_000;

let directory: string;
let dump: BootDump;

/** The component's path. */
function made(): string {
  const hash = createHash("sha256");
  const sources = [join(EXAMPLES, SOURCE), join(EXAMPLES, "build.mjs"), join(ROOT, "package-lock.json")];
  sources.push(join(ROOT, "kernel-wasm/collector/collector.wit"));
  for (const file of sources) hash.update(readFileSync(file));
  const path = join(BUILD, "examples", `${hash.digest("hex").slice(0, 16)}.wasm`);
  if (existsSync(path)) return path;
  mkdirSync(join(BUILD, "examples"), { recursive: true });
  const temporary = join(directory, "made.wasm");
  const args = [join(EXAMPLES, "build.mjs"), SOURCE, temporary];
  const { status, output } = run("node", args, { timeout_ms: MAKING_ms, cwd: ROOT });
  expect(status, output).toBe(0);
  copyFileSync(temporary, path);
  return path;
}

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "wkdump-example-"));
  dump = bootDump(["--memory", "24M", "--seed", "9", "--cpus", "2", "--crash", "panic"]);
  copyFileSync(dump.vmcore, join(directory, "vmcore"));
  copyFileSync(made(), join(directory, "example.wasm"));
}, MAKING_ms + 30_000);
afterAll(() => {
  dump?.remove();
  rmSync(directory, { recursive: true, force: true });
});

function collect(engine: Engine, output: string): Buffer {
  const args = ["collect", "--collector", "example.wasm", "--quiet", "vmcore", output];
  const result = wkdump(engine, directory, args, 120_000);
  expect(result.status, result.output).toBe(0);
  expect(result.stdout).toMatch(/^kept \d+ pieces of 16 KiB\n$/);
  return readFileSync(join(directory, output));
}

describe("a collector in JavaScript", { timeout: 400_000 }, () => {
  it("makes the same small file on every engine", () => {
    const files = ENGINES.map((engine) => collect(engine, `${engine}.elf`));
    expect(files[0]!.length).toBeLessThan(2 * 1024 * 1024);
    for (const file of files) expect(Buffer.compare(file, files[0]!)).toBe(0);
  });

  it("has the whole log", () => {
    const { status, stdout } = wkdump("bun", directory, ["vmcore-dmesg", "bun.elf"]);
    expect(status).toBe(0);
    expect(stdout).toBe(wkdump("bun", directory, ["vmcore-dmesg", "vmcore"]).stdout);
  });

  it("saves the dump of a machine, in a crash region that has room for it", () => {
    const machine = ["--memory", "128M", "--seed", "2", "--out", join(directory, "crash"), "--quiet"];
    const args = ["boot", "--collector", "example.wasm", ...machine];
    const { status, output } = wkdump("bun", directory, args, 120_000);
    expect(status, output).toBe(0);
    const [saved = ""] = readdirSync(join(directory, "crash")).filter((name) => name.startsWith("127."));
    expect(readdirSync(join(directory, "crash", saved)).sort()).toEqual(["vmcore", "vmcore-dmesg.txt"]);
    const vmcore = join("crash", saved, "vmcore");
    expect(wkdump("bun", directory, ["vmcore-dmesg", vmcore]).stdout).toContain("sysrq triggered crash");
  });

  it("takes no arguments", () => {
    const args = ["collect", "--collector", "example.wasm", "--quiet", "vmcore", "none", "--", "-l"];
    expect(wkdump("bun", directory, args, 120_000)).toMatchObject({
      status: 1,
      stderr: "wkdump collect: example.wasm: it takes no arguments\n",
    });
  });
});

describeStock(["vmcore-dmesg", "gdb"], "what a collector in JavaScript keeps", () => {
  it("is what vmcore-dmesg and gdb need", () => {
    const elf = join(directory, "bun.elf");
    const log = stock("vmcore-dmesg", [elf]);
    expect(log.stdout).toContain("lkdtm: Performing direct entry PANIC");
    const gdb = stock("gdb", ["-batch", "-ex", "thread apply all bt", dump.json.vmlinux, elf]);
    expect(gdb.stdout).toContain("lkdtm_PANIC");
    expect(gdb.stdout).toMatch(/entry_SYSCALL_64_after_hwframe/);
    expect(gdb.stdout).toContain("Thread 2");
  });
});
