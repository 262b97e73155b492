/** makedumpfile on mock dumps, and on one of our own, whose kernel says how many pages each class has. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import { openDump } from "../../tools/dump/open.ts";
import { excludePages, type Taken } from "../../tools/makedumpfile/filter.ts";
import { HELP } from "../../tools/makedumpfile/help.ts";
import { main } from "../../tools/makedumpfile/main.ts";
import { INVALID } from "../../tools/makedumpfile/options.ts";
import { type BootDump, bootDump, reported, wkdump } from "../support/boot.ts";
import { namedKernel } from "../support/dumps.ts";
import { FakeProc } from "../support/fake-proc.ts";
import { MOCK } from "../support/log.ts";
import { elfCore, foreignCore } from "../support/vmcore.ts";

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
      expect.stringContaining(
        "get_mem_map: Can't distinguish the memory type.\n" +
          "/vmcore, VMCOREINFO: the line SIZE(page) is missing\n",
      ),
    ]);
  });

  it("copies a dump without VMCOREINFO, and refuses to filter it", async () => {
    const files = { "/mute": elfCore({ loads: [{ virtual: 0n, physical: 0n, data: kernel.memory.bytes }] }) };
    for (const args of ["-d 0", "-l -d 1", "-E -d 1"]) {
      const { status, files: made } = await run(`${args} /mute /dump`, files);
      expect(status).toBe(0);
      expect(Buffer.compare(await read(made.get("/dump")!), kernel.memory.bytes)).toBe(0);
    }
    // The highest level counts, whichever is tried first.
    for (const levels of ["2", "0,31"]) {
      const refused = await run(`-d ${levels} /mute /dump`, files);
      expect([refused.status, refused.files.has("/dump")]).toEqual([1, false]);
      expect(refused.console).toBe(
        "/mute doesn't contain vmcoreinfo.\nSpecify '-x' option or '-i' option.\n" +
          `${INVALID}\n\nmakedumpfile Failed.\n`,
      );
    }
  });

  it.each([
    ["arm", 1, 40],
    ["aarch64", 2, 183],
  ] as const)("copies a dump of %s, without pages of zeros at most", async (_name, elfClass, machine) => {
    const files = { "/foreign": foreignCore(elfClass, true, machine, "OTHER-NOTE") };
    for (const args of ["-d 0", "-l -d 1", "-E -d 1"]) {
      const { status, files: made } = await run(`${args} /foreign /dump`, files);
      expect(status).toBe(0);
      const dump = await openDump([new MemoryBytes("dump", made.get("/dump")!)]);
      expect(await dump.read(0x1000, 4096)).toEqual(new Uint8Array(4096).fill(7));
    }
    expect((await run("-d 31 /foreign /dump", files)).status).toBe(1);
  });

  it("refuses a dump of a big endian machine, as the original does", async () => {
    const files = { "/foreign": foreignCore(2, false, 22, "OTHER-NOTE") };
    const { status, console: said, files: made } = await run("-d 0 /foreign /dump", files);
    expect([status, made.has("/dump")]).toEqual([1, false]);
    expect(said).toMatch(
      /^get_elf_info: Can't get the number of PT_LOAD\.\n\/foreign: made on s390x, with big/,
    );
  });

  it("refuses a dump without memory", async () => {
    const {
      status,
      console: said,
      files,
    } = await run("-d 1 /none /dump", { "/none": elfCore({ loads: [] }) });
    expect([status, files.has("/dump")]).toEqual([1, false]);
    expect(said).toMatch(
      /^get_elf_info: Can't get the number of PT_LOAD\.\n\/none: no program header describes/,
    );
  });

  it("prints where a virtual address lies, and goes on", async () => {
    const { status, console: said } = await run("--vtop 0xffff888000054321 --message-level 6 /vmcore /dump");
    const table = (at: number, entry: string) => `${at.toString(16).padStart(16)} => ${entry.padStart(16)}\n`;
    expect([status, said]).toEqual([
      0,
      "\nTranslating virtual address ffff888000054321 to physical address.\n" +
        `  PGD : ${table(MOCK.pageTables + 0x888, "23063")}` +
        `  PUD : ${table(0x23000, "1e3")}` +
        "VIRTUAL           PHYSICAL\nffff888000054321  54321\n\n" +
        "\nThe dumpfile is saved to /dump.\n\nmakedumpfile Completed.\n",
    ]);
    const absent = await run("--vtop 4096 --message-level 6 /vmcore /dump");
    expect([absent.status, absent.console]).toEqual([0, expect.stringMatching(/Can't get a valid pgd\.\n/)]);
    expect(absent.console).toContain("            1000  ffffffffffffffff\n");
  });

  it("leaves no file of a dump that it cannot describe", async () => {
    const foreign = core.slice();
    foreign[18] = 183;
    const { status, files, console: said } = await run("-d 0 /foreign /dump", { "/foreign": foreign });
    expect([status, files.has("/dump")]).toEqual([1, false]);
    expect(said).toContain("/foreign: made on aarch64: virtual addresses are x86_64's only");
    expect((await run("-E -d 1 /foreign /dump", { "/foreign": foreign })).status).toBe(0);
  });

  it("asks for a working directory that is there, though it needs none", async () => {
    const { status, console: said } = await run("--work-dir /nowhere /vmcore /dump");
    expect(status).toBe(1);
    expect(said).toMatch(
      /^open_dump_bitmap: Can't open the bitmap file\(\/nowhere\/kdump_bitmapXXXXXX\)\. No such/,
    );
    expect((await run("--work-dir / /vmcore /dump")).status).toBe(0);
  });

  it("writes the log to standard output with -F, and of it what was not cleared", async () => {
    const { status, console: said, files } = await run("--dump-dmesg --partial-dmesg -F /vmcore");
    expect([status, files.size]).toEqual([0, 1]);
    expect(said).toMatch(/first\n.*two\n\s+lines\n\nThe dmesg log is saved to STDOUT\.\n/s);
  });

  it("tells of the dump with -D", async () => {
    const { console: said } = await run("-D --message-level 0 --dry-run /vmcore /dump");
    expect(said).toMatch(/^makedumpfile: version 1\.7\.2\ncommand line: makedumpfile -D .* \/dump \n\n/);
    expect(said).toContain("LOAD[ 1]                0           100000 ffff888000000000 ffff888000100000\n");
    expect(said).toContain("\n  OSRELEASE=5.15.0-mock\n");
    expect(said).toContain("\nphys_base    : 0 (vmcoreinfo)\n\nmax_mapnr    : 100\n");
  });

  it("makes no dump of no memory", async () => {
    const {
      status,
      files,
      console: said,
    } = await run("-l -d 0 /empty /dump", { "/empty": elfCore({ loads: [] }) });
    expect([status, said]).toEqual([
      1,
      expect.stringContaining("/empty: no program header describes memory"),
    ]);
    expect(files.has("/dump")).toBe(false);
  });

  it("says that the disk is full, whatever it was writing", async () => {
    const proc = new FakeProc(["makedumpfile", "--dump-dmesg", "/vmcore", "/log"]);
    proc.directories.add("");
    proc.put("/vmcore", core);
    proc.failures.set("write /log", "ENOSPC");
    expect([await main(proc), proc.console]).toEqual([
      1,
      expect.stringContaining(
        "Can't write the log file(/log). No space left on device\n\nmakedumpfile Failed.\n",
      ),
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

  it("keeps the memory map where -e finds it in small pages", () => {
    const make = (out: string, ...args: string[]) => {
      const run = wkdump(["makedumpfile", "-d", "31", ...args, dump.vmcore, join(dump.directory, out)]);
      expect(run.status, run.output).toBe(0);
      return { ...run, bytes: readFileSync(join(dump.directory, out)) };
    };
    const { stdout, stderr, bytes } = make("small", "-e", "--work-dir", dump.directory);
    expect(stdout).toContain("vmemmap pmd not huge, abort\n");
    expect(stderr).toContain("create_dumpfile: Can't find vmemmap pages\n");
    expect(Buffer.compare(bytes, make("whole").bytes)).toBe(0);
  });

  it("says where memory went, without writing anything", () => {
    const { status, stdout } = wkdump(["makedumpfile", "--message-level", "6", "--mem-usage", dump.vmcore]);
    const { pages } = dump.json;
    const left = ["zero", "cache", "cache_private", "user", "free", "hwpoison", "offline"] as const;
    const kernelPages = pages.total - left.reduce((sum, kind) => sum + pages[kind], 0);
    const count = (number: number) => `${String(number).padEnd(16)}\t`;
    expect([status, stdout]).toEqual([
      0,
      "\nTYPE\t\tPAGES\t\t\tEXCLUDABLE\tDESCRIPTION\n" +
        `${"-".repeat(70)}\n` +
        `ZERO\t\t${count(pages.zero)}yes\t\tPages filled with zero\n` +
        `NON_PRI_CACHE\t${count(pages.cache)}yes\t\tCache pages without private flag\n` +
        `PRI_CACHE\t${count(pages.cache_private)}yes\t\tCache pages with private flag\n` +
        `USER\t\t${count(pages.user)}yes\t\tUser process pages\n` +
        `FREE\t\t${count(pages.free)}yes\t\tFree pages\n` +
        `KERN_DATA\t${count(kernelPages)}no\t\tDumpable kernel data \n\n` +
        `page size:\t\t${"4096".padEnd(16)}\n` +
        `Total pages on system:\t${String(pages.total).padEnd(16)}\n` +
        `Total size on system:\t${String(pages.total * 4096).padEnd(16)} Byte\n\n`,
    ]);
  });
});
