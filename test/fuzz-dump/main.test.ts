/** Damaged dumps of every format, in processes of their own; and that a defect would be found. */
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MemoryBytes, readExactly } from "../../tools/dump/bytes.ts";
import { UsageError } from "../../tools/flags.ts";
import { makeVictims } from "../../tools/fuzz-dump/formats.ts";
import { parseFuzzDumpFlags } from "../../tools/fuzz-dump/main.ts";
import { damage } from "../../tools/fuzz-dump/mutate.ts";
import { readAll } from "../../tools/fuzz-dump/read.ts";
import { type BootDump, bootDump, wkdump } from "../support/boot.ts";
import { namedKernel } from "../support/dumps.ts";

const core = () => namedKernel().build();

describe("the fuzzer of dumps", () => {
  it("makes every format, reads it, and leaves it as it was after each damage", async () => {
    const victims = await makeVictims(new MemoryBytes("core", core()));
    const names = victims.map(({ name }) => name).filter((name) => name !== "zstd");
    expect(names).toEqual(["ELF", "stored", "zlib", "lzo", "snappy", "lzo, flattened"]);
    const before = victims.map(({ bytes }) => bytes.slice());
    const hit = new Set<string>();
    let refused = 0;
    for (let seed = 0; seed < 150; seed++) {
      const { victim, source, told, undo } = damage(seed, victims);
      expect(told).not.toBe("");
      hit.add(victim.name);
      if ((await readAll(source)).refused) refused++;
      undo();
    }
    expect(hit.size).toBe(victims.length);
    expect(refused).toBeGreaterThan(15);
    expect(refused).toBeLessThan(100);
    for (const [index, { bytes }] of victims.entries()) expect(Buffer.compare(bytes, before[index]!)).toBe(0);
  });

  it("does the same damage for the same seed", async () => {
    const victims = await makeVictims(new MemoryBytes("core", core()));
    const once = async () => {
      const { source, told, undo } = damage(7, victims);
      const bytes = await readExactly(source, 0, source.size, "all");
      undo();
      return { told, bytes };
    };
    expect(await once()).toEqual(await once());
  });

  it("lets no other error than a DumpError pass for a refusal", async () => {
    const source = new MemoryBytes("core", core());
    const broken = {
      name: "broken",
      size: source.size,
      async pread(buffer: Uint8Array, offset: number): Promise<number> {
        if (offset > 0x3000) throw new TypeError("a defect");
        return source.pread(buffer, offset);
      },
    };
    await expect(readAll(broken)).rejects.toThrow("a defect");
  });

  it("refuses wrong flags", () => {
    expect(parseFuzzDumpFlags(["--runs", "5", "--from", "3", "core"])).toMatchObject({ runs: 5, from: 3 });
    for (const args of [[], ["core"], ["--runs", "0", "core"], ["--runs", "5"], ["--runs", "5", "a", "b"]]) {
      expect(() => parseFuzzDumpFlags(args)).toThrow(UsageError);
    }
    expect(() => parseFuzzDumpFlags(["--replay", "1", "--from", "2", "core"])).toThrow(
      /--from goes with --runs/,
    );
  });
});

describe("wkdump fuzz-dump", () => {
  let dump: BootDump;
  beforeAll(() => {
    dump = bootDump(["--memory", "8M", "--append", "crashkernel=1M", "--seed", "3"]);
  });
  afterAll(() => dump?.remove());

  it("finds nothing in hundreds of damaged dumps", () => {
    const { status, stdout, stderr } = wkdump(["fuzz-dump", "--runs", "500", "--json", dump.vmcore]);
    expect([status, stderr]).toEqual([0, ""]);
    const { runs, refused, pages, findings } = JSON.parse(stdout);
    expect([runs, findings]).toEqual([500, []]);
    expect(refused).toBeGreaterThan(50);
    expect(pages).toBeGreaterThan(5000);
  });

  it("shows what a seed damages, and says what it cannot use", () => {
    const replay = wkdump(["fuzz-dump", "--replay", "5", dump.vmcore]);
    expect(replay.status).toBe(0);
    expect(replay.stdout).toMatch(/^seed 5: \w+.*: .* at 0x\w+.*\n {2}\{"refused":/);
    const other = join(dump.directory, "other");
    copyFileSync(import.meta.filename, other);
    const { status, stderr } = wkdump(["fuzz-dump", "--runs", "5", other]);
    expect(status).toBe(1);
    expect(stderr).toContain("does not begin with ELF's magic number");
  });
});
