/**
 * Every format, codec and dump level against the stock tools, as tests, for any dump: each tool reads what
 * we write, we read what it writes, and what is kept is the same pages with the same bytes. Each codec at
 * each level in the compressed form, each codec in each form at one level. What a tool was built without is
 * skipped, visibly.
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, readSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { ByteSource } from "../../tools/dump/bytes.ts";
import type { Field } from "../../tools/dump/elf-header.ts";
import { DumpError } from "../../tools/dump/error.ts";
import { DUMP_DH_COMPRESSED_INCOMPLETE, KDUMP64, PAGE_DESC } from "../../tools/dump/kdump-header.ts";
import { dmesgText, kernelLog } from "../../tools/dump/kernel-log.ts";
import type { KernelDump } from "../../tools/dump/memory-source.ts";
import { openDump } from "../../tools/dump/open.ts";
import { type BootDump, type BootJson, built } from "../support/boot.ts";
import { describeStock, run, stock } from "../support/stock.ts";
import { crash } from "./debuggers.ts";

const BUN = join(import.meta.dirname, "../../node_modules/.bin/bun");
const PAGE = 4096;
/** Bytes of memory that crash writes into a file. */
const RAW = 64 * 1024;
const LEVELS = [0, 1, 2, 4, 8, 16, 31] as const;
/** By makedumpfile's flag. */
const CODECS = { none: "", zlib: "-c", lzo: "-l", snappy: "-p", zstd: "-z" } as const;
type CodecName = keyof typeof CODECS;
const NAMES = Object.keys(CODECS) as CodecName[];
const TIMEOUT_MS = 300_000;

export interface Subject {
  /** The ELF dump; what is made of it goes into `directory`. */
  vmcore: string;
  /** Its kernel's, which crash wants. */
  vmlinux?: string;
  /** Its log, and files that makedumpfile -d 31 made of it elsewhere. */
  dmesg: string;
  others: readonly string[];
  directory: string;
  /** Deletes what was made. */
  remove(): void;
}

/** How many pages there are to read, and SHA-256 over them with their addresses. */
type Digest = [pages: number, sha256: string];

/** Our command, for a shell. */
const WKDUMP = `'${BUN}' '${built("wkdump.js")}'`;

/** What Debian's makedumpfile says it was built with; zlib it always has. */
const version = stock("makedumpfile", ["-v"]).output;
const stockHas = (codec: CodecName): boolean =>
  codec === "none" || codec === "zlib" || new RegExp(`^${codec}\\s+enabled`, "m").test(version);
const STOCK_CODECS = NAMES.filter(stockHas);
const stockLacks = NAMES.filter((codec) => !stockHas(codec));

/** Digests by a Python module; `read(dump, address)` is a page, or None where the dump has none. */
const PYTHON = {
  libkdumpfile: `from kdumpfile import kdumpfile, KDUMP_MACHPHYSADDR
from kdumpfile.exceptions import CorruptException, NoDataException
opened = kdumpfile
def read(dump, at):
  try: return bytes(dump.read(KDUMP_MACHPHYSADDR, at, ${PAGE}))
  except (NoDataException, CorruptException): return None`,
  drgn: `import drgn
def opened(name):
  prog = drgn.Program()
  prog.set_core_dump(name)
  return prog
def read(prog, at):
  try: return prog.read(at, ${PAGE}, True)
  except Exception: return None`,
};
const DIGESTS = `import hashlib, json, sys
pages, names = int(sys.argv[1]), sys.argv[2:]
result = []
for name in names:
  dump = opened(name)
  sha, count = hashlib.sha256(), 0
  for pfn in range(pages):
    page = read(dump, pfn * ${PAGE})
    if page is None: continue
    sha.update(pfn.to_bytes(8, "little") + page)
    count += 1
  result.append([count, sha.hexdigest()])
print(json.dumps(result))`;

/** Registers the tests; `open` makes or finds the dump before the first; `withSymbols`: it has a vmlinux. */
export function everyFormat(open: () => Subject, withSymbols: boolean): void {
  let subject: Subject;
  /** Pages that the bitmaps have. */
  let pages: number;
  /** By level: what the stock tool keeps. */
  const wanted = new Map<number, Digest>();

  const path = (name: string): string => resolve(subject.directory, name);
  const bytesOf = (name: string): Uint8Array => readFileSync(path(name));
  const same = (a: string, b: string): void => {
    expect([a, b, Buffer.compare(bytesOf(a), bytesOf(b))]).toEqual([a, b, 0]);
  };
  const ours = (...lists: string[][]): void => {
    const script = join(import.meta.dirname, "make-dumps.ts");
    const lines = JSON.stringify(lists.map((args) => ["-f", ...args.filter((it) => it !== "")]));
    const { status, output } = run(BUN, [script, lines], { cwd: subject.directory, timeout_ms: TIMEOUT_MS });
    expect([status, output]).toEqual([0, ""]);
  };
  const theirs = (...args: string[]): void => {
    const { status, output } = stock("makedumpfile", ["-f", ...args.filter((it) => it !== "")], {
      cwd: subject.directory,
    });
    expect(status, output).toBe(0);
  };
  const shell = (line: string): void => {
    const { status, output } = stock("sh", ["-c", line], { cwd: subject.directory });
    expect(status, output).toBe(0);
  };

  /** A dump that is read and closed again. */
  async function withDump<T>(names: readonly string[], work: (dump: KernelDump) => Promise<T>): Promise<T> {
    const fds: number[] = [];
    try {
      const files = names.map((name): ByteSource => {
        const fd = openSync(path(name), "r");
        fds.push(fd);
        const pread = async (buffer: Uint8Array, offset: number) =>
          readSync(fd, buffer, 0, buffer.length, offset);
        return { name, size: statSync(path(name)).size, pread };
      });
      return await work(await openDump(files));
    } finally {
      for (const fd of fds) closeSync(fd);
    }
  }

  /** What we read of the files. */
  const read = (...names: string[]): Promise<Digest> => withDump(names, (dump) => digest(dump, pages));

  const python = (module: keyof typeof PYTHON, names: readonly string[]): Digest[] => {
    writeFileSync(path(`read-by-${module}.py`), `${PYTHON[module]}\n${DIGESTS}\n`);
    const args = [path(`read-by-${module}.py`), String(pages), ...names.map(path)];
    const { status, stdout, stderr } = run("/usr/bin/python3", args, { timeout_ms: TIMEOUT_MS });
    expect([status, stderr]).toEqual([0, ""]);
    return JSON.parse(stdout);
  };

  describeStock(["makedumpfile"], "every format", () => {
    beforeAll(async () => {
      subject = open();
      for (const level of LEVELS) {
        theirs("-d", String(level), subject.vmcore, `theirs-none-${level}`);
        if (level === 0) pages = await withDump(["theirs-none-0"], async ({ end }) => Math.ceil(end / PAGE));
        wanted.set(level, await read(`theirs-none-${level}`));
      }
      const lists = LEVELS.flatMap((level) =>
        NAMES.map((codec) => [CODECS[codec], "-d", String(level), subject.vmcore, `ours-${codec}-${level}`]),
      );
      ours(...lists);
    }, TIMEOUT_MS);
    afterAll(() => subject?.remove());

    it("keeps other pages at each level, and all of the ELF dump's at level 0", async () => {
      expect(await read(subject.vmcore)).toEqual(wanted.get(0));
      expect(new Set([...wanted.values()].map(([, sha]) => sha)).size).toBeGreaterThan(4);
      expect(wanted.get(31)![0]).toBeLessThan(wanted.get(0)![0]);
    });

    it.each(LEVELS)(
      "level %i: we read what we write, by each codec",
      async (level) => {
        same(`ours-none-${level}`, `theirs-none-${level}`);
        for (const codec of NAMES)
          expect([codec, await read(`ours-${codec}-${level}`)]).toEqual([codec, wanted.get(level)]);
      },
      TIMEOUT_MS,
    );

    it.each(STOCK_CODECS)(
      "makedumpfile reads what we write by %s, at each level",
      (codec) => {
        for (const level of LEVELS) {
          theirs("-d", String(level), `ours-${codec}-${level}`, "again");
          same("again", `theirs-none-${level}`);
        }
      },
      TIMEOUT_MS,
    );

    it.each(STOCK_CODECS)(
      "we read what makedumpfile writes by %s, at each level",
      async (codec) => {
        for (const level of LEVELS) {
          const name = `theirs-${codec}-${level}`;
          if (codec !== "none") theirs(CODECS[codec], "-d", String(level), subject.vmcore, name);
          expect([level, await read(name)]).toEqual([level, wanted.get(level)]);
        }
      },
      TIMEOUT_MS,
    );

    it(
      "we read the log of every form, and the pages of what was made elsewhere",
      async () => {
        for (const name of [subject.vmcore, ...NAMES.map((codec) => `ours-${codec}-31`), ...subject.others]) {
          expect([name, await withDump([name], logOf)]).toEqual([name, subject.dmesg]);
        }
        for (const name of subject.others) expect([name, await read(name)]).toEqual([name, wanted.get(31)]);
      },
      TIMEOUT_MS,
    );

    it.skipIf(stockLacks.length === 0)(`makedumpfile without ${stockLacks.join(", ")} says so`, () => {
      for (const codec of stockLacks) {
        const { status } = stock("makedumpfile", ["-f", "-d", "31", path(`ours-${codec}-31`), path("again")]);
        expect([codec, status]).toEqual([codec, 1]);
      }
    });
    for (const codec of stockLacks) {
      it.skip(`makedumpfile reads what we write by ${codec} (makedumpfile -v: ${codec} disabled)`, () => {});
    }

    it.each(NAMES)(
      "flattened by %s: what either writes the other rearranges",
      async (codec) => {
        const flags = `-F ${CODECS[codec]} -d 31 '${subject.vmcore}'`;
        shell(`${WKDUMP} makedumpfile ${flags} > flat 2>messages && makedumpfile -f -R again < flat`);
        same("again", `ours-${codec}-31`);
        expect(await read("flat")).toEqual(wanted.get(31));
        if (!stockHas(codec)) return;
        shell(`makedumpfile ${flags} > flat 2>messages && ${WKDUMP} makedumpfile -f -R again < flat`);
        same("again", `theirs-${codec}-31`);
        expect(await read("flat")).toEqual(wanted.get(31));
      },
      TIMEOUT_MS,
    );

    it.each(NAMES)(
      "split by %s: what either writes the other reassembles",
      async (codec) => {
        const parts = ["part1", "part2", "part3"];
        ours(["--split", CODECS[codec], "-d", "31", subject.vmcore, ...parts]);
        expect(await read(...parts)).toEqual(wanted.get(31));
        // It moves packed pages as they are, so that it need not know the codec.
        theirs("--reassemble", ...parts, "again");
        expect(await read("again")).toEqual(wanted.get(31));
        if (!stockHas(codec)) return;
        theirs("--split", CODECS[codec], "-d", "31", subject.vmcore, ...parts);
        expect(await read(...parts)).toEqual(wanted.get(31));
        ours(["--reassemble", ...parts.toReversed(), "again"]);
        expect(await read("again")).toEqual(wanted.get(31));
        theirs("-d", "31", "again", "plain");
        same("plain", "theirs-none-31");
      },
      TIMEOUT_MS,
    );

    it(
      "ELF, at each level: the same file, and flattened",
      async () => {
        ours(...LEVELS.map((level) => ["-E", "-d", String(level), subject.vmcore, `ours-E-${level}`]));
        for (const level of LEVELS) {
          theirs("-E", "-d", String(level), subject.vmcore, "theirs-E");
          same(`ours-E-${level}`, "theirs-E");
        }
        shell(
          `${WKDUMP} makedumpfile -F -E -d 31 '${subject.vmcore}' > flat && makedumpfile -f -R again < flat`,
        );
        same("again", "ours-E-31");
        // What is left out there reads as zeros; what is kept, and runs of a few pages beside it, is there.
        const whole = await read("flat");
        expect(whole).toEqual(await read("ours-E-31"));
        expect(whole[0]).toBeLessThan(pages);
      },
      TIMEOUT_MS,
    );

    const readers = ["libkdumpfile", "drgn"] as const;
    for (const reader of readers) {
      describeStock([reader], reader, () => {
        it(
          "reads what we write, by each codec at each level",
          () => {
            const names = LEVELS.flatMap((level) => NAMES.map((codec) => `ours-${codec}-${level}`));
            const found = python(reader, names);
            const expected = LEVELS.flatMap((level) => NAMES.map(() => wanted.get(level)!));
            expect(names.map((name, n) => [name, found[n]])).toEqual(
              names.map((name, n) => [name, expected[n]]),
            );
          },
          TIMEOUT_MS,
        );

        it(
          "reads the ELF dump as we do, and of a dump that ran out of disk the pages that we read",
          async () => {
            // libkdumpfile makes whole pages of parts.
            if (reader === "drgn") expect(python(reader, [subject.vmcore])).toEqual([wanted.get(0)]);
            for (const codec of NAMES) incomplete(`ours-${codec}-31`, `incomplete-${codec}`);
            const names = NAMES.map((codec) => `incomplete-${codec}`);
            const [all] = wanted.get(31)!;
            for (const [n, found] of python(reader, names).entries()) {
              expect([names[n], found]).toEqual([names[n], await read(names[n]!)]);
              expect(found[0]).toBe(all - Math.ceil(all / 10));
            }
          },
          TIMEOUT_MS,
        );
      });
    }

    if (!withSymbols) return;
    describeStock(["crash"], "crash", () => {
      const commands = ["log", "ps", "bt"];
      const said = (name: string) => {
        const json = { vmlinux: subject.vmlinux } as BootJson;
        const dump = { vmcore: path(name), json, directory: subject.directory } as BootDump;
        return crash(dump, [...commands, `rd -p -r ${path("raw")} 0x${longest.toString(16)} ${RAW}`]);
      };
      /** Where RAW bytes of memory are kept. */
      let longest = 0;
      beforeAll(async () => {
        longest = await withDump(["theirs-none-31"], (dump) => firstRun(dump, RAW / PAGE));
      });

      const dumps = [
        ...NAMES.map((codec) => `ours-${codec}-31`),
        ...LEVELS.slice(0, -1).map((level) => `ours-lzo-${level}`),
        "core",
      ];
      it(
        "says of what we write, each codec and each level, what it says of the stock tool's",
        async () => {
          ours(["-E", "-d", "31", subject.vmcore, "core"]);
          const wantedWords = said("theirs-none-31").output;
          expect(wantedWords.get("ps")).toContain("init");
          const memory = await withDump(["theirs-none-31"], (dump) => dump.read(longest, RAW));
          for (const name of dumps) {
            writeFileSync(path("raw"), "");
            const { output } = said(name);
            for (const command of commands) {
              expect([name, command, output.get(command)]).toEqual([name, command, wantedWords.get(command)]);
            }
            expect([name, Buffer.compare(bytesOf("raw"), memory)]).toEqual([name, 0]);
          }
        },
        TIMEOUT_MS,
      );

      it(
        "reads what we write flattened, and split",
        () => {
          const parts = ["part1", "part2", "part3"];
          ours(["--split", "-z", "-d", "31", subject.vmcore, ...parts]);
          shell(`${WKDUMP} makedumpfile -F -z -d 31 '${subject.vmcore}' > flat 2>messages`);
          for (const names of [["flat"], parts]) {
            const args = ["-s", subject.vmlinux!, ...names.map(path)];
            const { status, stdout } = stock("crash", args, { input: "log\nquit\n" });
            expect([status, stdout]).toEqual([0, subject.dmesg]);
          }
        },
        TIMEOUT_MS,
      );

      it("knows a dump that ran out of disk", () => {
        incomplete("ours-lzo-31", "incomplete-lzo");
        expect(said("incomplete-lzo").start).toContain("This dumpfile is incomplete.");
      });
    });

    /** As makedumpfile leaves a dump when the disk is full: a tenth of the pages was never written. */
    function incomplete(from: string, to: string): void {
      const bytes = bytesOf(from);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const { status, blockSize, subHdrSize, bitmapBlocks } = KDUMP64.header;
      const field = ([at]: Field): number => view.getUint32(at, true);
      view.setUint32(status[0], field(status) | DUMP_DH_COMPRESSED_INCOMPLETE, true);
      const at = (1 + field(subHdrSize) + field(bitmapBlocks)) * field(blockSize);
      const [all] = wanted.get(31)!;
      bytes.fill(0, at + (all - Math.ceil(all / 10)) * PAGE_DESC.size, at + all * PAGE_DESC.size);
      writeFileSync(path(to), bytes);
    }
  });
}

/** The address of the first `count` pages in a row that the dump has. */
async function firstRun(dump: KernelDump, count: number): Promise<number> {
  const { dumped } = await dump.pages();
  let run = 0;
  for (let pfn = 0; pfn < dumped.pages; pfn++) {
    run = dumped.has(pfn) ? run + 1 : 0;
    if (run === count) return (pfn + 1 - count) * PAGE;
  }
  throw new Error(`no ${count} pages in a row`);
}

async function logOf(dump: KernelDump): Promise<string> {
  let text = "";
  for await (const record of kernelLog(dump).records((problem) => expect(problem).toBe(""))) {
    text += dmesgText(record);
  }
  return text;
}

/** The pages that the dump has whole. */
async function digest(dump: KernelDump, pages: number): Promise<Digest> {
  const sha = createHash("sha256");
  const number = new Uint8Array(8);
  let count = 0;
  for (let pfn = 0; pfn < pages; pfn++) {
    const state = await dump.pageState(pfn);
    if (state !== "present" && state !== "zero") continue;
    let page: Uint8Array;
    try {
      page = await dump.read(pfn * PAGE, PAGE);
    } catch (error) {
      // ELF may have a part of a page, which no tool dumps.
      if (error instanceof DumpError) continue;
      throw error;
    }
    new DataView(number.buffer).setUint32(0, pfn, true);
    sha.update(number).update(page);
    count++;
  }
  return [count, sha.digest("hex")];
}
