/** Memory that nobody has touched, as Bun finds it: never memory that holds something. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { run } from "../support/stock.ts";

const ROOT = join(import.meta.dirname, "../..");
const BUN = join(ROOT, "node_modules/.bin/bun");
const linux = process.platform === "linux" && process.arch === "x64";

const SCRIPT = `
import { openDirectory } from ${JSON.stringify(join(ROOT, "runtime/adapter/index.ts"))};
import { untouchedOf } from ${JSON.stringify(join(ROOT, "runtime/adapter/untouched.ts"))};
const [directory] = process.argv.slice(2);
const BLOCK = 65536;
const memory = new Uint8Array(new WebAssembly.Memory({ initial: 256, maximum: 256, shared: true }).buffer);
const touched = [0, 7, 8, 100, 255];
for (const block of touched) memory[block * BLOCK + ((block * 4096) % BLOCK) + 17] = block + 1;
const ask = (view) => {
  const untouched = untouchedOf(view);
  if (untouched === undefined) return undefined;
  const found = [];
  for (let at = 0; at < view.length; at += BLOCK) {
    if (!untouched(at, Math.min(at + BLOCK, view.length))) found.push(at / BLOCK);
  }
  return found;
};
const report = { touched, memory: ask(memory) };
// From the midst of a touched page to the first byte of another: views need not begin where pages do.
report.shifted = ask(memory.subarray(7 * BLOCK + 7 * 4096 + 100, 255 * BLOCK + 15 * 4096 + 1));
report.small = ask(memory.subarray(0, BLOCK)) === undefined;
for (const shared of [true, false]) {
  report[shared ? "shared" : "private"] = ask(Bun.mmap(directory + "/data", { shared })) ?? "read it";
}
const fs = openDirectory(directory);
const handle = fs.open("saved", { write: true, create: true });
fs.writev(handle, [memory], 0);
report.same = Buffer.compare(fs.read("saved"), Buffer.from(memory.slice())) === 0;
console.log(JSON.stringify(report));
`;

it.skipIf(!existsSync(BUN) || !linux)("is told from memory that was written, and never a file's", () => {
  const directory = mkdtempSync(join(tmpdir(), "wkdump-untouched-"));
  try {
    writeFileSync(join(directory, "data"), new Uint8Array(4 << 20).fill(1));
    writeFileSync(join(directory, "script.ts"), SCRIPT);
    const { status, stdout, stderr } = run(BUN, [join(directory, "script.ts"), directory], {});
    expect([status, stderr]).toEqual([0, ""]);
    const report = JSON.parse(stdout) as Record<string, unknown>;
    expect(report.memory).toEqual(report.touched);
    expect(report.shifted).toEqual([0, 1, 92, 248]);
    expect(report).toMatchObject({ small: true, shared: "read it", private: "read it", same: true });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
