/** Every engine gives the same console, the same memory and the same dump. */

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CAPTURE, crashInitrd, PRODUCTION, PURGATORY } from "../kexec/crash.ts";
import { miniKernel } from "../user/mini-kernel.ts";
import type { EngineRun } from "./engine-run.ts";
import { testImage } from "./test-image.ts";
import { trapKernel, traps } from "./trap-kernels.ts";

const ROOT = join(import.meta.dirname, "../..");
const BIN = join(ROOT, "node_modules/.bin");
const directory = mkdtempSync(join(tmpdir(), "wkdump-engines-"));
const images = join(directory, "images");

interface Report {
  engine: string;
  runs: Record<string, EngineRun>;
}

function start(name: string, command: string, args: readonly string[]): Report {
  const script = join(ROOT, "test/machine/engine-run.ts");
  const out = execFileSync(command, [...args, script, images, join(directory, name)], { timeout: 120_000 });
  return JSON.parse(out.toString()) as Report;
}

let bun: Report;
let deno: Report;

beforeAll(async () => {
  mkdirSync(images);
  const put = async (name: string, source: string, initrd: Uint8Array = new Uint8Array(0)): Promise<void> => {
    writeFileSync(join(images, `${name}.image`), await testImage(source));
    writeFileSync(join(images, `${name}.initrd`), initrd);
  };
  for (const [i, [, body]] of traps.entries())
    await put(`trap-${String(i).padStart(2, "0")}`, trapKernel(body));
  await put("crash", PRODUCTION, await crashInitrd(PURGATORY, CAPTURE));
  const clock =
    "if (nr == 228) { rtc(0x9000); store<u64>(heap(b), load<u64>(0x9000)); return 0; } return -38;";
  await put("user", miniKernel(clock));
  bun = start("bun", join(BIN, "bun"), []);
  const rights = [`--allow-read=${ROOT},${directory}`, `--allow-write=${directory}`];
  deno = start("deno", join(BIN, "deno"), ["run", "--no-lock", "--no-prompt", ...rights]);
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe("Bun and Deno", () => {
  it("are what runs", () => {
    expect(bun.engine).toMatch(/^bun 1\./);
    expect(deno.engine).toMatch(/^deno 2\./);
  });

  it("take each trap to the same vector", () => {
    for (const [i, [name, , expected]] of traps.entries()) {
      for (const report of [bun, deno]) {
        const run = report.runs[`trap-${String(i).padStart(2, "0")}`];
        expect(run?.console, `${report.engine}: ${name}`).toBe(`${expected}\n`);
      }
    }
  });

  it("leave the same memory and the same dump", () => {
    expect(deno.runs).toEqual(bun.runs);
    expect(bun.runs.crash).toMatchObject({ outcome: "captured" });
    expect(bun.runs.crash?.vmcores).toHaveLength(1);
    expect(bun.runs.user?.console).toMatch(/^hello from \/bin\/test --flag\nexit 0000000[01]\n$/);
  });
});
