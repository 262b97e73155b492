import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { wkdump } from "../support/boot.ts";

it("wkdump bench measures all four and leaves nothing behind", () => {
  const out = mkdtempSync(join(tmpdir(), "wkdump-"));
  try {
    const flags = ["--rounds", "1", "--dump", "64M", "--json", "--out", out];
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
