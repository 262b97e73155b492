/** The options of `wkdump makedumpfile` beside the stock one's: texts, exit codes, files. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import { openDump } from "../../tools/dump/open.ts";
import { MUTE, STOCK_TEXTS, TAKEN } from "../makedumpfile/stock-texts.ts";
import { reported, wkdump } from "../support/boot.ts";
import { muteCore } from "../support/dumps.ts";
import { describeStock, type StockRun, stock } from "../support/stock.ts";
import { foreignCore } from "../support/vmcore.ts";
import { makeDump, type OracleDump } from "./features.ts";

/** What a run said, without progress, times, and what only one of both counts. */
function plain({ status, stdout, stderr }: StockRun) {
  const text = (all: string): string =>
    all
      .replace(/\r.{50}: \[ *\d+\.\d %\] . {2}.{16}\n?/g, "")
      .replace(/^STEP .*\n/gm, "")
      .replace(/^WARNING: PFN out of cycle range.*\n/gm, "")
      .replace(/^Write bytes.*\n/gm, "")
      .replace(/^Cache hit.*\n\n/gm, "")
      .replace(/^\S*\/makedumpfile:/gm, "makedumpfile:");
  return { status, stdout: text(stdout), stderr: text(stderr) };
}

describeStock(["makedumpfile"], "makedumpfile's recorded texts", () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "texts-"));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it.each(STOCK_TEXTS)("makedumpfile $args", ({ args, status, said, errors = "" }) => {
    for (const name of ["new", "a", "b", "c"]) rmSync(join(directory, name), { force: true });
    writeFileSync(join(directory, MUTE), muteCore());
    writeFileSync(join(directory, TAKEN), "x");
    const words = args.split(" ").filter((it) => it !== "");
    const run = plain(stock("makedumpfile", words, { cwd: directory }));
    expect(run).toEqual({ status, stdout: said, stderr: errors });
  });
});

describeStock(["makedumpfile"], "makedumpfile on dumps of other machines", () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "foreign-"));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it.each([
    ["arm", 1, true, 40],
    ["aarch64", 2, true, 183],
    ["s390x", 2, false, 22],
  ] as const)("%s", (_name, elfClass, little, machine) => {
    writeFileSync(join(directory, "foreign"), foreignCore(elfClass, little, machine, "OTHER-NOTE", 16));
    for (const args of [
      ["-d", "0"],
      ["-d", "1"],
      ["-E", "-d", "1"],
      ["-d", "31"],
    ]) {
      rmSync(join(directory, "ours"), { force: true });
      const ours = wkdump(["makedumpfile", ...args, "foreign", "ours"], { cwd: directory });
      const theirs = stock("makedumpfile", ["-f", ...args, "foreign", "theirs"], { cwd: directory });
      expect([args, ours.status]).toEqual([args, theirs.status]);
      expect(existsSync(join(directory, "ours"))).toBe(theirs.status === 0);
      if (theirs.status !== 0) continue;
      const [found, wanted] = ["ours", "theirs"].map((name) => readFileSync(join(directory, name)));
      expect(Buffer.compare(found!, wanted!)).toBe(0);
    }
  });
});

describeStock(["makedumpfile"], "makedumpfile's options on a dump", () => {
  let dump: OracleDump;
  const path = (name: string): string => join(dump.directory, name);
  const ours = (...args: string[]) => plain(wkdump(["makedumpfile", ...args], { cwd: dump.directory }));
  const theirs = (...args: string[]) => plain(stock("makedumpfile", args, { cwd: dump.directory }));
  const bytes = (name: string): Uint8Array => readFileSync(path(name));

  beforeAll(() => {
    const pages = { hugepages: 1, hwpoison: 3, offline: 4 };
    const options = { memory: "32M", seed: 5, workload: 80, cpus: 1, ...pages, append: "crashkernel=1M" };
    dump = makeDump({
      options,
      wanted: ({ log }) => !log.some((line) => / kernel page: Ignored$/.test(line)),
    });
  }, 120_000);
  afterAll(() => {
    if (dump !== undefined) rmSync(dump.directory, { recursive: true, force: true });
  });

  describe.each([[[]], [["-E"]]])("with %j", (form) => {
    it.each([
      ["1M", "31"],
      ["12M", "0,1,31"],
      ["20M", "0,31"],
      ["3M", "0,16"],
      ["1G", "1,31"],
    ])("-L %s -d %s", (limit, levels) => {
      const results = [theirs, ours].map((run) => {
        rmSync(path("new"), { force: true });
        const result = run(...form, "-L", limit, "-d", levels, dump.vmcore, "new");
        return { ...result, bytes: bytes("new") };
      });
      const [wanted, found] = results as [(typeof results)[0], (typeof results)[0]];
      expect({ ...found, bytes: found.bytes.length }).toEqual({ ...wanted, bytes: wanted.bytes.length });
      if (wanted.status === 0) expect(Buffer.compare(found.bytes, wanted.bytes)).toBe(0);
    });
  });

  it("an incomplete dump has the same pages at least", async () => {
    for (const [run, name] of [
      [theirs, "theirs"],
      [ours, "ours"],
    ] as const) {
      expect(run("-f", "-L", "1M", "-d", "31", dump.vmcore, name).status).toBe(1);
    }
    const [wanted, found] = await Promise.all(
      ["theirs", "ours"].map((name) => openDump([new MemoryBytes(name, bytes(name))])),
    );
    expect(found!.header?.status).toBe(wanted!.header?.status);
    const { exist } = await found!.pages();
    let present = 0;
    for (let pfn = exist.next(0); pfn < exist.pages; pfn = exist.next(pfn + 1)) {
      if ((await wanted!.pageState(pfn)) !== "present") continue;
      present++;
      expect(await found!.pageState(pfn)).toBe("present");
      expect(Buffer.compare(await found!.read(pfn * 4096, 4096), await wanted!.read(pfn * 4096, 4096))).toBe(
        0,
      );
    }
    expect(present).toBeGreaterThan(50);
  });

  it.each(["0xffffffff80200123", "0xffff888000234567", "0xffffea0000000040", "0xffffc90000000000", "0x1000"])(
    "--vtop %s",
    (address) => {
      const args = ["--dry-run", "--vtop", address, dump.vmcore, "new"];
      expect(ours(...args)).toEqual(theirs(...args));
    },
  );

  it.each(["0", "1", "16", "31"])("--show-stats -d %s", (level) => {
    const args = ["-f", "--show-stats", "-d", level, dump.vmcore, "new"];
    expect(ours(...args)).toEqual(theirs(...args));
  });

  it.each(["0", "16", "31"])("--show-stats -E -d %s: what the ELF core cuts out", (level) => {
    // The original goes over the memory several times, and counts a page each time that it sees it.
    const lines = ({ stdout }: { stdout: string }) =>
      stdout.split("\n").filter((it) => it.includes("in ELF"));
    const args = ["-f", "--show-stats", "-E", "-d", level, dump.vmcore, "new"];
    expect(lines(ours(...args))[0]).toEqual(lines(theirs(...args))[0]);
  });

  it("--mem-usage counts what the report counts", () => {
    const { stdout: report } = theirs("-f", "--message-level", "16", "-d", "31", dump.vmcore, "new");
    const { status, stdout } = ours("--mem-usage", dump.vmcore);
    expect(status).toBe(0);
    const row = (name: string): number => Number(new RegExp(`^${name}\\t+(\\d+)`, "m").exec(stdout)?.[1]);
    expect({
      zero: row("ZERO"),
      cache: row("NON_PRI_CACHE"),
      cachePrivate: row("PRI_CACHE"),
      user: row("USER"),
      free: row("FREE"),
      kernel: row("KERN_DATA"),
      total: row("Total pages on system:"),
    }).toEqual({
      zero: reported(report, "Pages filled with zero"),
      cache: reported(report, "Non-private cache pages"),
      cachePrivate: reported(report, "Private cache pages"),
      user: reported(report, "User process data pages"),
      free: reported(report, "Free pages"),
      kernel: reported(report, "Remaining pages"),
      total: reported(report, "Original pages"),
    });
  });

  it.each(["--dump-dmesg", "--dump-dmesg --partial-dmesg"])("%s", (options) => {
    const logs = [theirs, ours].map((run) => {
      rmSync(path("new"), { force: true });
      return [run(...options.split(" "), dump.vmcore, "new"), readFileSync(path("new"), "latin1")];
    });
    expect(logs[1]).toEqual(logs[0]);
  });

  it("--dump-dmesg -F: the log on standard output", () => {
    expect(ours("--dump-dmesg", "-F", dump.vmcore)).toEqual(theirs("--dump-dmesg", "-F", dump.vmcore));
  });

  it("refuses a dump whose VMCOREINFO does not tell the memory map", () => {
    const lines = ["SIZE(page)=", "OFFSET(page._refcount)=", "OFFSET(page.mapping)=", "SYMBOL(mem_section)="];
    for (const line of lines) {
      const damaged = readFileSync(dump.vmcore);
      for (let at = damaged.indexOf(line); at >= 0; at = damaged.indexOf(line)) damaged[at] = 0x58;
      writeFileSync(path("damaged"), damaged);
      rmSync(path("new"), { force: true });
      const wanted = theirs("-d", "31", "damaged", "new");
      const found = ours("-d", "31", "damaged", "new");
      expect(wanted.stderr).toBe("get_mem_map: Can't distinguish the memory type.\n");
      expect([found.status, found.stdout]).toEqual([wanted.status, wanted.stdout]);
      expect(found.stderr).toBe(
        `${wanted.stderr}damaged, VMCOREINFO: the line ${line.slice(0, -1)} is missing\n`,
      );
      expect(existsSync(path("new"))).toBe(false);
    }
  });
});

describeStock(["makedumpfile"], "makedumpfile -e", () => {
  let dump: OracleDump;
  const ours = (...args: string[]) => plain(wkdump(["makedumpfile", ...args], { cwd: dump.directory }));
  const theirs = (...args: string[]) => plain(stock("makedumpfile", args, { cwd: dump.directory }));
  const bytes = (name: string): Uint8Array => readFileSync(join(dump.directory, name));

  beforeAll(() => {
    // With what the hardware keeps at the top, two sections: their structs are in two huge pages.
    const options = { memory: "262272K", seed: 5, workload: 10, cpus: 1, append: "crashkernel=1M" };
    dump = makeDump({ options, wanted: () => true });
  }, 120_000);
  afterAll(() => {
    if (dump !== undefined) rmSync(dump.directory, { recursive: true, force: true });
  });

  it.each(["-d 31", "-d 16", "-d 1", "-E -d 31"])(
    "%s writes the same bytes, and says the same",
    (options) => {
      const args = ["-f", "-e", "--work-dir", "/tmp", ...options.split(" "), dump.vmcore];
      const wanted = theirs(...args, "new");
      const image = bytes("new");
      const found = ours(...args, "new");
      expect(found).toEqual(wanted);
      expect(Buffer.compare(bytes("new"), image)).toBe(0);
      const pages = Number(/Excluded (\d+) unused/.exec(found.stderr)?.[1]);
      expect(pages > 100).toBe(!options.includes("-d 1") || options.includes("16"));
      if (!options.includes("-E")) expect(image[424]).toBe(0x10);
    },
  );

  it("marks an incomplete dump as well", () => {
    const args = ["-f", "-e", "--work-dir", "/tmp", "-L", "1M", "-d", "31", dump.vmcore, "new"];
    expect(ours(...args).status).toBe(1);
    expect(bytes("new")[424]).toBe(0x18);
  });
});
