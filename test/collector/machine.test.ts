/** A component as core_collector of the machine's capture environment. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeStock, stock } from "../support/stock.ts";
import { component, MAKEDUMPFILE, wat } from "./components.ts";
import { ENGINES, type Engine, wkdump } from "./engines.ts";

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "wkdump-capture-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Behind header, sub-header with the notes, and two bitmaps, a page each. */
const DESCRIPTORS = 4 * 4096;
const MACHINE = ["--memory", "24M", "--seed", "4", "--fill", "30%"];

function boot(engine: Engine, out: string, ...args: string[]): ReturnType<typeof wkdump> {
  return wkdump(engine, directory, ["boot", "--out", join(directory, out), ...MACHINE, ...args]);
}

describe("boot --collector", () => {
  it("gives the same dump on every engine", () => {
    const sums = ENGINES.map((engine) => {
      const collector = ["--collector", MAKEDUMPFILE, "--collector-args", "-l -d 31", "--json"];
      const { status, stdout, output } = boot(engine, engine, ...collector);
      expect(status, output).toBe(0);
      const report = JSON.parse(stdout);
      expect(report).toMatchObject({ outcome: "captured", format: "kdump" });
      return report.sha256;
    });
    expect(new Set(sums).size).toBe(1);
  });

  it("that fails ends as a failing core_collector does", async () => {
    writeFileSync(join(directory, "trap.wasm"), await component("(unreachable)"));
    const { status, stdout } = boot("bun", "trapped", "--collector", "trap.wasm");
    expect(status).toBe(1);
    expect(stdout).toMatch(/^kdump: \/usr\/lib\/kdump\/collector\.wasm: it trapped: .*unreachable.*$/im);
    expect(stdout).toContain("kdump: saving vmcore failed, exitcode:1");
    expect(stdout).toContain("kdump: Executing failure action reboot");
    const [saved = ""] = readdirSync(join(directory, "trapped")).filter((name) => name.startsWith("127."));
    expect(readdirSync(join(directory, "trapped", saved)).sort()).toEqual([
      "vmcore-dmesg.txt",
      "vmcore-incomplete",
    ]);
  });

  it("refuses before the boot what is no collector", async () => {
    writeFileSync(join(directory, "core.wasm"), await wat("(module)"));
    const core = boot("bun", "none", "--collector", "core.wasm");
    expect([core.status, core.stdout]).toEqual([1, ""]);
    expect(core.stderr).toMatch(/^wkdump boot: core\.wasm: it is a core module of WebAssembly/);
    const absent = boot("bun", "none", "--collector", "absent.wasm");
    expect(absent).toMatchObject({ status: 1, stdout: "" });
    expect(absent.stderr).toContain("absent.wasm: No such file or directory");
    const both = boot("bun", "none", "--collector", MAKEDUMPFILE, "--level", "31");
    expect(both.status).toBe(2);
    expect(both.stderr).toContain("--level and --collector: what is saved, the collector decides");
    expect(boot("bun", "none", "--collector-args", "-l")).toMatchObject({ status: 2, stdout: "" });
    expect(existsSync(join(directory, "none"))).toBe(false);
  });
});

describeStock(["makedumpfile"], "a component in the machine", () => {
  it("keeps the pages that makedumpfile keeps", () => {
    const [saved = ""] = readdirSync(join(directory, "bun")).filter((name) => name.startsWith("127."));
    const vmcore = join(directory, "bun", saved, "vmcore");
    const again = join(directory, "again");
    const { status, output } = stock("makedumpfile", ["-f", "-l", "-d", "31", vmcore, again]);
    expect(status, output).toBe(0);
    // The stock tool finds nothing more to leave out: headers and bitmaps are equal. Its LZO packs otherwise.
    const start = (file: string): Buffer => readFileSync(file).subarray(0, DESCRIPTORS);
    expect(Buffer.compare(start(vmcore), start(again))).toBe(0);
  });
});
