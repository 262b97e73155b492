/** makedumpfile on mock dumps, and on one of our own, whose kernel says how many pages each class has. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import { openDump } from "../../tools/dump/open.ts";
import { excludePages, type Taken } from "../../tools/makedumpfile/filter.ts";
import { HELP } from "../../tools/makedumpfile/help.ts";
import { main } from "../../tools/makedumpfile/main.ts";
import { type BootDump, bootDump, reported, wkdump } from "../support/boot.ts";
import { namedKernel } from "../support/dumps.ts";
import { FakeProc } from "../support/fake-proc.ts";

const kernel = namedKernel();
const core = kernel.build();

async function run(
  args: string,
  files: Record<string, Uint8Array> = {},
): Promise<FakeProc & { status: number }> {
  const proc = new FakeProc(["makedumpfile", ...args.split(" ")]);
  proc.directories.add("");
  proc.put("/vmcore", core);
  for (const [name, bytes] of Object.entries(files)) proc.put(name, bytes);
  return Object.assign(proc, { status: await main(proc) });
}

const read = async (...files: Uint8Array[]): Promise<Uint8Array> => {
  const dump = await openDump(files.map((bytes, n) => new MemoryBytes(`file${n}`, bytes)));
  return dump.read(0, kernel.memory.bytes.length);
};

describe("makedumpfile", () => {
  it.each(["", "-c ", "-l ", "-p ", "-E "])("%s keeps the memory", async (flag) => {
    const sizes: number[] = [];
    for (const level of [0, 1]) {
      const { status, files, console: said } = await run(`${flag}-d ${level} /vmcore /dump`);
      expect([status, said]).toEqual([0, expect.stringContaining("The dumpfile is saved to /dump.\n")]);
      const dump = files.get("/dump")!;
      expect(Buffer.compare(await read(dump), kernel.memory.bytes)).toBe(0);
      sizes.push(dump.length);
    }
    // Pages of zeros cost nothing, or next to nothing.
    expect(sizes[1]).toBeLessThan(sizes[0]!);
  });

  it("splits a dump, and makes one of the parts", async () => {
    const { files } = await run("--split -l -d 1 /vmcore /a /b /c");
    const parts = ["/a", "/b", "/c"].map((name) => files.get(name)!);
    expect(Buffer.compare(await read(...parts), kernel.memory.bytes)).toBe(0);
    await expect(read(parts[0]!)).rejects.toThrow(/another file of the split set/);
    const again = await run("--reassemble /c /a /b /whole", {
      "/a": parts[0]!,
      "/b": parts[1]!,
      "/c": parts[2]!,
    });
    expect(again.status).toBe(0);
    const whole = (await run("-l -d 1 /vmcore /whole")).files.get("/whole")!;
    expect(Buffer.compare(again.files.get("/whole")!, whole)).toBe(0);
  });

  it("writes the log with further lines indented", async () => {
    const { files, text } = await run("--dump-dmesg /vmcore /log").then((proc) => ({
      files: proc.files,
      text: proc.text("/log"),
    }));
    expect(files.has("/log")).toBe(true);
    expect(text).toBe("[    0.000000] first\n[    1.000000] two\n               lines\n");
  });

  it("never overwrites but by -f, and writes nothing with --dry-run", async () => {
    const taken = await run("-l /vmcore /dump", { "/dump": new Uint8Array(3) });
    expect([taken.status, taken.files.get("/dump")!.length]).toEqual([1, 3]);
    expect(taken.console).toBe(
      "check_dump_file: Can't open the dump file (/dump). File exists\n\nmakedumpfile Failed.\n",
    );
    const forced = await run("-f -l /vmcore /dump", { "/dump": new Uint8Array(3) });
    expect([forced.status, forced.files.get("/dump")!.length > 4096]).toEqual([0, true]);
    const dry = await run("--dry-run -l /vmcore /dry");
    expect([dry.status, dry.files.has("/dry")]).toEqual([0, false]);
  });

  it("says what is wrong with the dump, and where", async () => {
    const nowhere = await run("-l /nowhere /dump");
    expect(nowhere.console).toMatch(
      /^open_dump_memory: Can't open the dump memory\(\/nowhere\)\. No such file/,
    );
    const damaged = core.slice();
    damaged[4] = 9;
    const { status, console: said } = await run("-l /damaged /dump", { "/damaged": damaged });
    expect([status, said]).toEqual([
      1,
      expect.stringContaining("/damaged, offset 0x4: ELF class 9, not 1 or 2"),
    ]);
    // The mock kernel has no memory map. Nothing is left that the next try would have to overwrite.
    const level = await run("-l -d 31 /vmcore /dump");
    expect(level.files.has("/dump")).toBe(false);
    expect([level.status, level.console]).toEqual([
      1,
      expect.stringContaining("the line SIZE(page) is missing"),
    ]);
  });

  it("prints help and version, and checks parameters only when it is told to", async () => {
    expect((await run("--help")).console).toBe(HELP);
    expect((await run("-v")).console).toMatch(
      /^makedumpfile: version 1\.7\.2\nlzo\tenabled\nsnappy\tenabled\n/,
    );
    const checked = await run("--check-params -l /vmcore /dump");
    expect([checked.status, checked.console, checked.files.has("/dump")]).toEqual([0, "", false]);
  });
});

describe("wkdump makedumpfile", () => {
  let dump: BootDump;
  beforeAll(() => {
    dump = bootDump(["--memory", "16M", "--append", "crashkernel=1M", "--seed", "6", "--fill", "30%"]);
  });
  afterAll(() => dump?.remove());

  it("counts the pages of each class as the crashed kernel did", () => {
    const out = join(dump.directory, "dump");
    const args = ["makedumpfile", "-l", "-d", "31", "--message-level", "16", dump.vmcore, out];
    const { status, output } = wkdump(args);
    expect(status, output).toBe(0);
    const { pages } = dump.json;
    expect(reported(output, "Original pages")).toBe(pages.total);
    expect(reported(output, "Free pages")).toBe(pages.free);
    expect(reported(output, "Non-private cache pages")).toBe(pages.cache);
    expect(reported(output, "Private cache pages")).toBe(pages.cache_private);
    expect(reported(output, "User process data pages")).toBe(pages.user);
    expect(reported(output, "Hwpoison pages")).toBe(pages.hwpoison);
    expect(reported(output, "Pages filled with zero")).toBe(pages.zero);
  });

  it("tells which rule takes which block", async () => {
    const source = await openDump([new MemoryBytes("vmcore", readFileSync(dump.vmcore))]);
    const { exist, dumped } = await source.pages();
    const told: Record<string, number> = {};
    let last = -1;
    const taken: Taken = (rule, pfn, pages) => {
      expect(pfn).toBeGreaterThan(last);
      last = pfn + pages - 1;
      for (let page = pfn; page <= last; page++) if (exist.has(page)) told[rule] = (told[rule] ?? 0) + 1;
    };
    const counts = await excludePages(source, 31, exist, dumped, taken);
    expect(told).toEqual(Object.fromEntries(Object.entries(counts).filter(([, pages]) => pages > 0)));
    expect(told).toMatchObject({ free: dump.json.pages.free, cache: dump.json.pages.cache });
  });
});
