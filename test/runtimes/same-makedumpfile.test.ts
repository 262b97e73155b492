/** makedumpfile on Bun, Node and Deno: the same file where the codec is ours, else the same pages. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import { openDump } from "../../tools/dump/open.ts";
import { type BootDump, bootDump, built } from "../support/boot.ts";
import { run } from "../support/stock.ts";

const MODULES = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), "node_modules/.bin");
const FILES = ["--allow-read", "--allow-write", "--allow-env=NO_COLOR,FORCE_COLOR"];
const ENGINES = {
  bun: [join(MODULES, "bun")],
  node: ["node"],
  deno: [join(MODULES, "deno"), "run", "--quiet", "--no-prompt", "--no-config", "--no-lock", ...FILES],
};
type Engine = keyof typeof ENGINES;
const NAMES = Object.keys(ENGINES) as Engine[];
const PAGE = 4096;

let dump: BootDump;
beforeAll(() => {
  dump = bootDump(["--memory", "16M", "--append", "crashkernel=1M", "--seed", "14", "--workload", "40"]);
});
afterAll(() => dump?.remove());

/** What an engine makes of the dump; null where it lacks the codec, and says so. */
function make(engine: Engine, flags: readonly string[]): Uint8Array | null {
  const directory = mkdtempSync(join(tmpdir(), "wkdump-engines-"));
  try {
    const args = ["makedumpfile", "--message-level", "4", ...flags, dump.vmcore, "out"];
    const [command = "", ...first] = ENGINES[engine];
    const { status, output } = run(command, [...first, built("wkdump.js"), ...args], { cwd: directory });
    if (output === "This engine has no zstd to compress with.\n" && status === 1) return null;
    expect([engine, status, output]).toEqual([engine, 0, ""]);
    return readFileSync(join(directory, "out"));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

describe("every engine", () => {
  it.each(["-d 0", "-d 31", "-l -d 31", "-l -d 0", "-p -d 31", "-c -d 31", "-E -d 31"])(
    "writes the same file: %s",
    (flags) => {
      const [first, ...others] = NAMES.map((engine) => make(engine, flags.split(" "))!);
      for (const other of others) expect(Buffer.compare(other, first!)).toBe(0);
    },
  );

  it("writes the same pages by Zstandard, which is the engine's own and packs them another way", async () => {
    const made = NAMES.map((engine) => make(engine, ["-z", "-d", "31"]));
    expect(made[0]).not.toBeNull();
    const dumps = await Promise.all(
      made.filter((it) => it !== null).map((bytes) => openDump([new MemoryBytes("out", bytes)])),
    );
    const bitmaps = await Promise.all(dumps.map(async (one) => (await one.pages()).dumped));
    for (const bitmap of bitmaps) expect(Buffer.compare(bitmap.bytes, bitmaps[0]!.bytes)).toBe(0);
    const { pages } = bitmaps[0]!;
    for (let pfn = bitmaps[0]!.next(0); pfn < pages; pfn = bitmaps[0]!.next(pfn + 1)) {
      const [first, ...others] = await Promise.all(dumps.map((one) => one.read(pfn * PAGE, PAGE)));
      for (const other of others) expect(Buffer.compare(other, first!)).toBe(0);
    }
  });
});
