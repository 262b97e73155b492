import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { wkdump } from "../support/boot.ts";
import { describeStock, stock } from "../support/stock.ts";

let directory: string;
const boot = (...args: string[]) => wkdump(["boot", ...args], { cwd: directory });
const SMALL = ["--memory", "16M", "--seed", "11"];

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "wkdump-boot-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe("boot", () => {
  it("tells the story in order, and leaves the dump where it says", () => {
    const result = boot(...SMALL);
    expect(result.stderr).toBe("");
    expect(result.status).toBe(0);
    const headings = [...result.stdout.matchAll(/^== (\S+) +(\d+\.\d) ms/gm)];
    expect(headings.map(([, name]) => name)).toEqual([
      "power-on",
      "load",
      "crash",
      "purgatory",
      "capture",
      "saved",
    ]);
    const times = headings.map(([, , time]) => Number(time));
    expect(times).toEqual([...times].sort((a, b) => a - b));
    for (const text of [
      /^== power-on[\s\S]*Linux version 5\.15\.0/,
      /Reserving 2MB of memory at \d+MB for crashkernel \(System RAM: \d+MB\)/,
      /kdump: Starting kdump: \[OK\]/,
      /Kernel panic - not syncing: sysrq triggered crash[\s\S]*== crash/,
      /Kdump: loaded/,
      /== capture[\s\S]*kdump: saving vmcore\n[\s\S]*== saved[\s\S]*kdump: saving vmcore complete/,
    ]) {
      expect(result.stdout).toMatch(text);
    }
    const vmcore = /^The dump: (\S+) /m.exec(result.stdout)?.[1] ?? "";
    expect(vmcore).toMatch(/^var\/crash\/127\.0\.0\.1-\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d\/vmcore$/);
    const folder = join(directory, vmcore, "..");
    expect(readdirSync(folder).sort()).toEqual(["vmcore", "vmcore-dmesg.txt"]);
    expect(statSync(join(folder, "vmcore")).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(folder, "vmcore-dmesg.txt"), "utf8")).toContain("sysrq: Trigger a crash");
    // Nobody watches: no colours, no carriage returns.
    expect(result.stdout).not.toMatch(/[\x1b\r]/);
  });

  it("a machine of 5M has room for the capture kernel's files, in pages from anywhere", () => {
    const result = boot("--memory", "5M", "--seed", "4", "--json", "--out", "small");
    expect(JSON.parse(result.stdout)).toMatchObject({
      outcome: "captured",
      crashkernel: { size: 1152 << 10 },
    });
  });

  it("--json prints one object and nothing else", () => {
    const result = boot(...SMALL, "--json", "--out", "json");
    expect(result.stderr).toBe("");
    expect(result.stdout.trimEnd().split("\n")).toHaveLength(1);
    const json = JSON.parse(result.stdout);
    expect(json).toEqual({
      outcome: "captured",
      reason: expect.any(String),
      vmcore: expect.stringContaining(join(directory, "json")),
      format: "elf",
      dmesg: expect.stringMatching(/\/vmcore-dmesg\.txt$/),
      vmlinux: join(directory, "json", "vmlinux"),
      bytes: statSync(json.vmcore).size,
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      seed: 11,
      crashkernel: { base: expect.any(Number), size: 2 << 20 },
      timings_ms: Object.fromEntries(
        ["boot", "load", "crash_to_capture", "save", "total"].map((name) => [name, expect.any(Number)]),
      ),
      pages: Object.fromEntries(
        ["zero", "cache", "cache_private", "user", "free", "hwpoison", "offline", "total"].map((name) => [
          name,
          expect.any(Number),
        ]),
      ),
    });
    expect(json.pages.total * 4096).toBeLessThan(16 << 20);
    expect(json.pages.free + json.pages.zero).toBeLessThan(json.pages.total);
  });

  it("--quiet prints only where the dump is", () => {
    const result = boot(...SMALL, "--quiet", "--out", "quiet");
    expect(result.output).toMatch(/^quiet\/127\.0\.0\.1-[\d:-]+\/vmcore\n$/);
    expect(existsSync(join(directory, result.stdout.trim()))).toBe(true);
  });

  it("without a seed uses the host's clock", () => {
    const before = new Date(Date.now() - 1000).toISOString();
    const json = JSON.parse(boot("--memory", "16M", "--json", "--out", "now").stdout);
    const after = new Date().toISOString();
    expect(json.seed).toBe(null);
    const [, date, time] = /127\.0\.0\.1-(\d+-\d+-\d+)-(\d+:\d+:\d+)/.exec(json.vmcore)!;
    expect(`${date}T${time}` >= before.slice(0, 19)).toBe(true);
    expect(`${date}T${time}` <= after.slice(0, 19)).toBe(true);
  });

  it("--crash none powers off", () => {
    const result = boot(...SMALL, "--crash", "none", "--json", "--out", "none");
    expect(result.status).toBe(0);
    expect(JSON.parse(result.stdout)).toMatchObject({ outcome: "powered-off", seed: 11 });
    expect(readdirSync(join(directory, "none"))).toEqual([]);
  });

  it("puts words of --append into the place of the defaults", () => {
    const result = boot(...SMALL, "--append", "crashkernel=3M panic=5", "--out", "append");
    expect(result.stdout).toMatch(/Command line: console=ttyS0 crashkernel=3M panic=5$/m);
    expect(result.stdout).toMatch(/Reserving 3MB/);
  });
});

describe("a crash that is not captured", () => {
  it.each([
    ["crashkernel=9G", /cannot allocate crashkernel|crashkernel: invalid size/],
    ["crashkernel=15M", /cannot allocate crashkernel/],
    ["crashkernel=4M@14M", /crashkernel reservation failed|cannot allocate/],
    ["crashkernel=lots", /crashkernel: memory value expected/i],
    ["crashkernel=64K", /kexec_file_load failed: Cannot assign requested address/],
  ])("%s ends with status 1 and the reason, and leaves nothing", (word, reason) => {
    const result = boot(...SMALL, "--append", word, "--json", "--out", "nothing");
    expect(result.status).toBe(1);
    expect(JSON.parse(result.stdout)).toMatchObject({
      outcome: "not-captured",
      reason: expect.stringMatching(reason),
    });
    expect(result.stderr).toMatch(/^wkdump boot: not-captured: .+\n$/);
    expect(result.stderr).toMatch(reason);
    expect(readdirSync(join(directory, "nothing"))).toEqual([]);
  });

  it("says on the console what Linux says", () => {
    const result = boot(...SMALL, "--append", "crashkernel=lots", "--out", "console");
    expect(result.stdout).toContain("Memory for crashkernel is not reserved\n");
    expect(result.stdout).toContain("kdump: Starting kdump: [FAILED]\n");
    expect(result.stdout).toMatch(/---\[ end Kernel panic - not syncing: sysrq triggered crash \]---/);
    expect(result.stdout).not.toContain("Kdump: loaded");
  });
});

describeStock(["makedumpfile"], "what makedumpfile counts", () => {
  it("is what boot --json told", () => {
    const { vmcore, pages } = JSON.parse(boot(...SMALL, "--json", "--out", "pages").stdout);
    const dump = join(directory, "pages.kdump");
    const { status, output } = stock("makedumpfile", [
      "-d",
      "31",
      "-l",
      "--message-level",
      "31",
      vmcore,
      dump,
    ]);
    expect(status).toBe(0);
    const count = (name: string): number =>
      Number(new RegExp(`${name} *: (0x[0-9a-f]+)`).exec(output)?.[1] ?? Number.NaN);
    expect({
      total: count("Original pages"),
      cache: count("Non-private cache pages"),
      cache_private: count("Private cache pages"),
      user: count("User process data pages"),
      free: count("Free pages"),
      hwpoison: count("Hwpoison pages"),
      offline: count("Offline pages"),
      zero: count("Pages filled with zero"),
    }).toEqual(pages);
  });
});
