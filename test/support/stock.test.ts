import { describe, expect, it } from "vitest";
import { findCommand, run } from "./stock.ts";

describe("running stock tools", () => {
  it("gives status, output and input apart", () => {
    const result = run("sh", ["-c", "cat; echo err >&2; exit 3"], { input: "in" });
    expect(result).toEqual({ status: 3, stdout: "in", stderr: "err\n", output: "inerr\n", timedOut: false });
  });

  it("kills what runs too long", () => {
    const start = Date.now();
    const result = run("sleep", ["60"], { timeout_ms: 200 });
    expect(result.timedOut).toBe(true);
    expect(result.status).toBeNull();
    expect(Date.now() - start).toBeLessThan(10_000);
  });

  it("knows what is not installed", () => {
    expect(findCommand("sh")).toMatch(/\/sh$/);
    expect(findCommand("no-such-tool-anywhere")).toBeNull();
    expect(run("no-such-tool-anywhere", []).status).toBeNull();
  });
});
