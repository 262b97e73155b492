/** Damaged dumps of every format, in processes of their own; and that a defect would be found. */
import { createHash } from "node:crypto";
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { watchCommand } from "../../runtime/adapter/process.ts";
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import { dmesgText, kernelLog } from "../../tools/dump/kernel-log.ts";
import { openDump } from "../../tools/dump/open.ts";
import { UsageError } from "../../tools/flags.ts";
import { examine, planOf } from "../../tools/fuzz-dump/examine.ts";
import { makeVictims } from "../../tools/fuzz-dump/formats.ts";
import { parseFuzzDumpFlags } from "../../tools/fuzz-dump/main.ts";
import { damage } from "../../tools/fuzz-dump/mutate.ts";
import { sourceOf, type Victim, type VictimFile } from "../../tools/fuzz-dump/victim.ts";
import { type BootDump, bootDump, wkdump } from "../support/boot.ts";

const FLAGS = ["--memory", "5M", "--append", "crashkernel=1M", "--seed", "3", "--workload", "40"];

const bytesOf = (victims: readonly Victim[]): Uint8Array[] =>
  victims.flatMap(({ files, others = [] }) => [...files, ...others].map(({ bytes }) => bytes.slice()));

describe("the fuzzer of dumps", () => {
  let dump: BootDump;
  let victims: Victim[];
  beforeAll(async () => {
    dump = bootDump(FLAGS);
    victims = await makeVictims(new MemoryBytes("core", readFileSync(dump.vmcore)));
  });
  afterAll(() => dump?.remove());

  it("makes every format, and knows what lies where", () => {
    const names = victims.map(({ name }) => name).filter((name) => name !== "zstd");
    expect(names).toEqual([
      "ELF",
      "ELF32",
      "ELF, filtered",
      "ELF, printk_log",
      "ELF, characters",
      "ELF, flattened",
      "stored",
      "zlib",
      "lzo",
      "lzo, flattened",
      "snappy",
      "lzo, split",
    ]);
    const kinds = new Set(
      victims.flatMap(({ files }) => files.flatMap(({ places }) => places.map((it) => it.kind))),
    );
    const elf = ["elf", "phdrs", "notes", "vmcoreinfo", "record"];
    const kdump = ["header", "subheader", "bitmap", "descriptors", "packed"];
    const kernel = ["table", "roots", "sections", "pages", "ringbuffer", "descs", "infos", "text"];
    expect([...kinds].toSorted()).toEqual([...elf, ...kdump, ...kernel].toSorted());
    for (const { files } of victims) {
      for (const { bytes, places } of files) {
        for (const { offset, size } of places) expect(offset + size).toBeLessThanOrEqual(bytes.length);
      }
    }
  });

  it("gives the kernels of three times a log", async () => {
    for (const [name, format] of [
      ["ELF", "prb"],
      ["ELF, printk_log", "printk_log"],
      ["ELF, characters", "characters"],
    ]) {
      const { files } = victims.find((it) => it.name === name)!;
      const log = kernelLog(await openDump([new MemoryBytes("core", files[0]!.bytes)]));
      expect(log.format).toBe(format);
      let text = "";
      for await (const record of log.records((problem) => expect(problem).toBe("")))
        text += dmesgText(record);
      expect(text).toContain("Linux version 5.15.0");
    }
  });

  it("hits every kind of place, refuses some dumps, and leaves all as they were", async () => {
    const before = bytesOf(victims);
    const hit = new Set<string>();
    const ways = new Set<string>();
    let refused = 0;
    let made = 0;
    for (let seed = 0; seed < 150; seed++) {
      const { victim, sources, told, undo } = damage(seed, victims);
      expect(told).not.toBe("");
      hit.add(victim.name);
      const reading = await examine(sources, seed);
      ways.add(reading.program.split(" ")[0]!);
      if (reading.refused) refused++;
      if (reading.status === 0) made++;
      undo();
    }
    expect(hit.size).toBe(victims.length);
    expect([...ways]).toEqual(
      expect.arrayContaining(["-E", "-F", "-R", "-c", "--split", "--reassemble", "--dump-dmesg"]),
    );
    expect(refused).toBeGreaterThan(10);
    expect(refused).toBeLessThan(75);
    expect(made).toBeGreaterThan(40);
    for (const [index, bytes] of bytesOf(victims).entries())
      expect(Buffer.compare(bytes, before[index]!)).toBe(0);
  });

  it("does the same damage for the same seed", async () => {
    for (let seed = 0; seed < 30; seed++) {
      const once = () => {
        const { told, undo, victim } = damage(seed, victims);
        const hashes = victim.files.map(({ bytes }) => createHash("sha256").update(bytes).digest("hex"));
        undo();
        return { told, hashes };
      };
      expect(once()).toEqual(once());
    }
  });

  it("lets no other error than a DumpError pass for a refusal", async () => {
    const [{ bytes }] = victims[0]!.files as [VictimFile];
    const whole = sourceOf("broken", bytes);
    const pread = async (buffer: Uint8Array, offset: number): Promise<number> => {
      if (offset > 0x3000) throw new TypeError("a defect");
      return whole.pread(buffer, offset);
    };
    await expect(examine([{ ...whole, pread }], 0)).rejects.toThrow("a defect");
  });

  it("finds output that is not what the dump has", async () => {
    const [{ bytes }] = victims[0]!.files as [VictimFile];
    const whole = sourceOf("dump0", bytes);
    const seeds = Array.from({ length: 2000 }, (_, seed) => seed);
    const wanted = ["-l", "-d", "4", "dump0", "dump"].join(" ");
    const seed = seeds.find((it) => planOf(it, ["dump0"]).steps[0]!.args.join(" ") === wanted)!;
    expect(await examine([whole], seed)).toMatchObject({ program: wanted, status: 0 });
    let reads = 0;
    const pread = async (buffer: Uint8Array, offset: number): Promise<number> => {
      const count = await whole.pread(buffer, offset);
      // Whole pages of memory; headers and pointers stay.
      if (offset > 0x10000 && count >= 4096) buffer[count - 1] = reads++;
      return count;
    };
    await expect(examine([{ ...whole, pread }], seed)).rejects.toThrow(/is another in makedumpfile's output/);
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
    dump = bootDump(FLAGS);
  });
  afterAll(() => dump?.remove());

  it("finds nothing in hundreds of damaged dumps", () => {
    const { status, stdout, stderr } = wkdump(["fuzz-dump", "--runs", "500", "--json", dump.vmcore]);
    expect([status, stderr]).toEqual([0, ""]);
    const { runs, refused, pages, lines, made, findings } = JSON.parse(stdout);
    expect([runs, findings]).toEqual([500, []]);
    expect(refused).toBeGreaterThan(50);
    expect(pages).toBeGreaterThan(5000);
    expect(lines).toBeGreaterThan(5000);
    expect(made).toBeGreaterThan(100);
  });

  it("shows what a seed damages, and says what it cannot use", () => {
    const replay = wkdump(["fuzz-dump", "--replay", "5", dump.vmcore]);
    expect(replay.status).toBe(0);
    expect(replay.stdout).toMatch(/^seed 5: \w+.*: .* at 0x\w+.*\n {2}\{"refused":/);
    const other = join(dump.directory, "other");
    copyFileSync(import.meta.filename, other);
    const text = wkdump(["fuzz-dump", "--runs", "5", other]);
    expect([text.status, text.stderr]).toEqual([
      1,
      expect.stringContaining("does not begin with ELF's magic number"),
    ]);
    const nowhere = wkdump(["fuzz-dump", "--runs", "5", "nowhere"]);
    expect([nowhere.status, nowhere.stderr]).toEqual([
      1,
      "wkdump fuzz-dump: wkdump fuzz-dump: nowhere: No such file or directory\n",
    ]);
  });
});

describe("watchCommand", () => {
  const watch = async (script: string) => {
    const lines: string[] = [];
    const ended = await watchCommand([process.execPath, "-e", script], 1500, (line) => lines.push(line));
    return { ...ended, lines };
  };

  it("gives lines as they come, and what is left", async () => {
    const { status, lines, stdout, stderr } = await watch(
      "console.log('a\\nb'); console.error('c'); process.exitCode = 3;",
    );
    expect([status, lines, stdout, stderr]).toEqual([3, ["a", "b"], "", "c\n"]);
  });

  it("kills what says nothing any more, however it began", async () => {
    const { status, signal, lines } = await watch("console.log('a'); setTimeout(() => { for (;;); }, 10);");
    expect([status, signal, lines]).toEqual([null, "SIGKILL", ["a"]]);
  });
});
