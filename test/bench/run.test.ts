import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { bootDump, built, wkdump } from "../support/boot.ts";
import { describeStock, run } from "../support/stock.ts";

it("wkdump bench measures memory, boot, crash and save, and leaves nothing behind", () => {
  const out = mkdtempSync(join(tmpdir(), "wkdump-"));
  try {
    const only = "memory,boot,crash,save";
    const flags = ["--rounds", "1", "--dump", "64M", "--only", only, "--json", "--out", out];
    const { status, stdout, stderr } = wkdump(["bench", ...flags], { timeout_ms: 60_000 });
    expect([status, stderr]).toEqual([0, ""]);
    const json = JSON.parse(stdout) as Record<string, { ratio: number }>;
    expect(Object.keys(json)).toEqual(["engine", "rounds", "memory", "boot", "crash", "save", "save_sync"]);
    for (const name of ["memory", "boot", "crash", "save", "save_sync"])
      expect(json[name]?.ratio).toBeGreaterThan(0);
    expect(json.save).toMatchObject({ ours_ms: [expect.any(Number)], theirs_ms: [expect.any(Number)] });
    const { boot_ms, parts_ms } = json.boot as unknown as {
      boot_ms: number[];
      parts_ms: Record<string, number[]>;
    };
    const parts = Object.values(parts_ms).reduce((sum, [ms]) => sum + (ms ?? Number.NaN), 0);
    expect(parts).toBeCloseTo(boot_ms[0] ?? 0, 3);
    // 4 GiB are nowhere near what the process has in the host's memory.
    const memory = json.memory as unknown as { resident: number; used: number };
    expect(memory.used).toBeGreaterThan(64 << 20);
    expect(memory.resident).toBeLessThan(400 << 20);
    expect(readdirSync(out)).toEqual([]);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
});

it("wkdump bench says so where there is no makedumpfile to compare with", () => {
  const bench = ["PATH=/nowhere", process.execPath, built("wkdump.js"), "bench", "--only", "makedumpfile"];
  const { status, stdout } = run("env", bench);
  expect(status).toBe(0);
  expect(stdout).toMatch(/^makedumpfile: skipped, no makedumpfile is installed to compare with$/m);
  const json = JSON.parse(run("env", [...bench, "--json"]).stdout) as { makedumpfile: unknown };
  expect(json.makedumpfile).toEqual({ skipped: "no makedumpfile is installed to compare with" });
});

describeStock(["makedumpfile"], "wkdump bench --only makedumpfile", () => {
  it("compares with the stock tool, on a dump of its own and on another one", () => {
    const out = mkdtempSync(join(tmpdir(), "wkdump-"));
    const dump = bootDump(["--memory", "16M", "--seed", "1"]);
    try {
      const flags = ["--rounds", "1", "--dump", "32M", "--vmcore", dump.vmcore, "--json", "--out", out];
      const { status, stdout, stderr } = wkdump(["bench", "--only", "makedumpfile", ...flags], {
        timeout_ms: 200_000,
      });
      expect([status, stderr]).toEqual([0, ""]);
      const json = JSON.parse(stdout) as Record<string, Record<string, unknown>>;
      const names = Object.keys(json).filter((name) => name.startsWith("makedumpfile"));
      expect(names).toHaveLength(18);
      for (const name of ["makedumpfile_l_d_31", "makedumpfile_vmcore_E_d_31"]) {
        const { ratio, ours_ms, stock_ms, ours_bytes, stock_bytes } = json[name]!;
        expect(ratio, name).toBeGreaterThan(0);
        expect([ours_ms, stock_ms], name).toEqual([[expect.any(Number)], [expect.any(Number)]]);
        expect((ours_bytes as number) / (stock_bytes as number), name).toBeCloseTo(1, 1);
      }
      // The stock tool may be built without snappy.
      expect(json.makedumpfile_p_d_0).toMatchObject({ ours_ms: [expect.any(Number)] });
      expect(readdirSync(out)).toEqual([]);
    } finally {
      dump.remove();
      rmSync(out, { recursive: true, force: true });
    }
  }, 250_000);
});
