import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { compile } from "../../tools/build/compile.ts";
import { linkTarget } from "../../tools/build/pipeline.ts";
import { ROOT } from "../../tools/build/specs.ts";
import { makeVmlinux } from "../../tools/vmlinux/generate.ts";
import { built, wkdump } from "../support/boot.ts";

const directory = mkdtempSync(join(tmpdir(), "wkdump-vmlinux-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const path = (name: string): string => join(directory, name);

describe("wkdump vmlinux", () => {
  it("writes the build's debug kernel", () => {
    const { status, stdout, stderr } = wkdump(["vmlinux", "-o", "here"], { cwd: directory });
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^here: \d+\.\d [KM]iB, build id [0-9a-f]{40}\n$/);
    expect(readFileSync(path("here")).equals(readFileSync(built("vmlinux")))).toBe(true);
  });

  it("--json tells path, size and build id, and nothing else", () => {
    const { status, stdout } = wkdump(["vmlinux", "--json", "-o", path("json")]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      vmlinux: path("json"),
      bytes: readFileSync(path("json")).length,
      build_id: expect.stringMatching(/^[0-9a-f]{40}$/),
    });
  });

  it("replaces what has the name, and leaves nothing else behind", () => {
    writeFileSync(path("old"), "x");
    const before = readdirSync(directory);
    expect(wkdump(["vmlinux", "-o", path("old")]).status).toBe(0);
    expect(readFileSync(path("old")).equals(readFileSync(built("vmlinux")))).toBe(true);
    expect(readdirSync(directory)).toEqual(before);
  });

  it.each([
    ["no -o", [], 2, /where to\? -o FILE/],
    ["an empty name", ["-o", ""], 2, /where to/],
    ["-o without its value", ["-o"], 2, /-o wants a value/],
    ["-o twice", ["-o", "a", "-o", "b"], 2, /given twice/],
    ["an operand", ["-o", "a", "b"], 2, /unexpected argument b/],
    ["a folder that does not exist", ["-o", "no/such/file"], 1, /No such file or directory/],
  ])("refuses %s", (_, args, status, message) => {
    const result = wkdump(["vmlinux", ...args], { cwd: directory });
    expect(result.status).toBe(status);
    expect(result.stderr).toMatch(message);
    expect(existsSync(path("a"))).toBe(false);
  });
});

describe("boot", () => {
  it("leaves one vmlinux for all dumps of a folder, and mends a damaged one", () => {
    const out = path("out");
    const boot = () =>
      JSON.parse(wkdump(["boot", "--seed", "3", "--memory", "16M", "--out", out, "--json"]).stdout);
    const { vmlinux } = boot();
    expect(vmlinux).toBe(join(out, "vmlinux"));
    const whole = readFileSync(built("vmlinux"));
    expect(readFileSync(vmlinux).equals(whole)).toBe(true);
    writeFileSync(vmlinux, whole.subarray(0, 1000));
    boot();
    expect(readFileSync(vmlinux).equals(whole)).toBe(true);
    expect(readdirSync(out).filter((name) => name.startsWith("vmlinux"))).toEqual(["vmlinux"]);
  });
});

describe("vmlinux", () => {
  it("has the same bytes when built again, and names no folder of this machine", async () => {
    const make = async () => {
      const compiled = await compile("purgatory");
      const linked = linkTarget("purgatory", compiled, {});
      const readSource = (file: string) =>
        existsSync(join(ROOT, file)) ? readFileSync(join(ROOT, file), "utf8") : undefined;
      return makeVmlinux({ layout: compiled.layout, linked, buildId: new Uint8Array(20), readSource });
    };
    const [first, second] = [await make(), await make()];
    expect(Buffer.from(first).equals(second)).toBe(true);
    expect(Buffer.from(first).includes(ROOT)).toBe(false);
    expect(readFileSync(built("vmlinux")).includes(ROOT)).toBe(false);
  }, 60_000);
});
