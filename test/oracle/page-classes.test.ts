/**
 * Pages by class: what makedumpfile leaves out at a dump level and what the crashed kernel counted itself,
 * page by page, over machines of many seeds, sizes and contents.
 */
import { closeSync, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { type BootDump, bootDump, reported } from "../support/boot.ts";
import { describeStock, stock } from "../support/stock.ts";

const PAGE = 4096;
const CHUNK = 1 << 20;
const LEVELS = [1, 2, 4, 8, 16, 31];

/** A machine and how much of it is in use. */
const MACHINES: readonly { name: string; flags: string[]; timeout_ms?: number; gone?: boolean }[] = [
  ...Array.from({ length: 50 }, (_, seed) => ({
    name: `24M, seed ${seed}`,
    flags: ["--memory", "24M", "--seed", `${seed}`, ...(seed % 2 ? ["--fill", `${(seed * 10) % 100}%`] : [])],
  })),
  ...[1, 2, 3].map((seed) => ({
    name: `32M with huge, poisoned and offline pages, seed ${seed}`,
    flags: [
      ...["--memory", "32M", "--seed", `${seed}`, "--fill", "20%"],
      ...["--append", `hugepages=2 wkdump.hwpoison=${seed * 20} wkdump.balloon=${seed * 33}`],
    ],
    gone: true,
  })),
  // The first two have pages in the swap cache.
  ...["75% --seed 2", "75% --seed 3", "90% --seed 4"].map((rest) => ({
    name: `20M with a swap area in use, ${rest}`,
    flags: `--memory 20M --swap 6M --workload 300 --fill ${rest}`.split(" "),
  })),
  {
    name: "24M with much of the kernel's own",
    flags: "--memory 24M --seed 6 --fill 60% --mix cache=1,cache_private=1,user=1,kernel=9".split(" "),
  },
  { name: "24M of random power-on memory", flags: "--memory 24M --seed 9 --poweron random".split(" ") },
  { name: "8M, half full", flags: "--memory 8M --seed 1 --fill 50%".split(" ") },
  { name: "64M", flags: "--memory 64M --seed 1".split(" ") },
  { name: "64M, 90% full", flags: "--memory 64M --seed 1 --fill 90%".split(" ") },
  { name: "1G, a tenth full", flags: "--memory 1G --seed 1 --fill 10%".split(" "), timeout_ms: 120_000 },
  { name: "4G, a hundredth full", flags: "--memory 4G --seed 1 --fill 1%".split(" "), timeout_ms: 240_000 },
];

const CLASSES = ["zero", "cache", "cache_private", "user", "free"] as const;

/** Pages of zeros in a dump of all memory. */
function zeroPages(vmcore: string): number {
  const output = stock("readelf", ["-lW", vmcore]).stdout;
  const zeros = Buffer.alloc(PAGE);
  const fd = openSync(vmcore, "r");
  const bytes = Buffer.alloc(CHUNK);
  let count = 0;
  try {
    for (const [, offset, size] of output.matchAll(/LOAD\s+(0x\w+) 0x\w+ 0x\w+ (0x\w+)/g)) {
      const end = Number(offset) + Number(size);
      for (let at = Number(offset); at < end; at += CHUNK) {
        const length = readSync(fd, bytes, 0, Math.min(CHUNK, end - at), at);
        for (let page = 0; page < length; page += PAGE) {
          if (bytes.compare(zeros, 0, PAGE, page, page + PAGE) === 0) count++;
        }
      }
    }
  } finally {
    closeSync(fd);
  }
  return count;
}

/** The classes that a level leaves out, by the name that makedumpfile gives them, with the kernel's count. */
function expected({ pages }: BootDump["json"], level: number, zeros: number): Record<string, number> {
  return {
    "Pages filled with zero  ": level === 31 ? pages.zero : level & 1 ? zeros : 0,
    "Non-private cache pages ": level & 6 ? pages.cache : 0,
    "Private cache pages     ": level & 4 ? pages.cache_private : 0,
    "User process data pages ": level & 8 ? pages.user : 0,
    "Free pages              ": level & 16 ? pages.free : 0,
    "Hwpoison pages          ": pages.hwpoison,
    "Offline pages           ": pages.offline,
  };
}

describeStock(["makedumpfile", "readelf"], "pages by class", () => {
  it.each(MACHINES)(
    "are the kernel's own counts: $name",
    ({ flags, timeout_ms = 60_000, gone }) => {
      const dump = bootDump(flags, timeout_ms);
      const directory = mkdtempSync(join(tmpdir(), "wkdump-"));
      try {
        const { pages } = dump.json;
        // What is poisoned at random places may be all of a small class.
        const present = gone ? (["zero", "free"] as const) : CLASSES;
        for (const name of present) expect(pages[name], name).toBeGreaterThan(0);
        expect(pages.hwpoison > 0 && pages.offline > 0).toBe(gone === true);
        const zeros = zeroPages(dump.vmcore);
        for (const level of LEVELS) {
          const args = [
            "-d",
            `${level}`,
            "-c",
            "--message-level",
            "31",
            dump.vmcore,
            join(directory, `${level}`),
          ];
          const { status, output } = stock("makedumpfile", args, { timeout_ms });
          expect(status, output).toBe(0);
          const wanted = expected(dump.json, level, zeros);
          const told = Object.fromEntries(
            Object.keys(wanted).map((name) => [name, reported(output, name.trim())]),
          );
          if (gone && level === 1) {
            // Poisoned and offline pages are left out for that, whatever they hold.
            const zero = "Pages filled with zero  ";
            expect(told[zero]).toBeGreaterThanOrEqual(zeros - pages.hwpoison - pages.offline);
            expect(told[zero]).toBeLessThanOrEqual(zeros);
            wanted[zero] = told[zero]!;
          }
          expect(told, `level ${level}`).toEqual(wanted);
          expect(reported(output, "Total pages") - reported(output, "Memory Hole")).toBe(pages.total);
        }
      } finally {
        rmSync(directory, { recursive: true, force: true });
        dump.remove();
      }
    },
    300_000,
  );
});
