/** -x, -i, -g and --config of `wkdump makedumpfile` beside the stock one's: the same files and messages. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BootDump, bootDump, built, wkdump } from "../support/boot.ts";
import { describeStock, type StockRun, stock } from "../support/stock.ts";
import { withoutNote } from "../support/vmcore.ts";

let dump: BootDump;
const path = (name: string): string => join(dump.directory, name);
const ours = (...args: string[]): StockRun => wkdump(["makedumpfile", ...args], { cwd: dump.directory });
const theirs = (...args: string[]): StockRun => stock("makedumpfile", args, { cwd: dump.directory });
const same = (a: string, b: string): void =>
  expect(Buffer.compare(readFileSync(path(a)), readFileSync(path(b)))).toBe(0);

/** What was said beside the progress. */
const told = ({ stderr }: StockRun): string[] =>
  stderr.split(/[\r\n]/).filter((line) => line !== "" && !line.includes("%]"));

/** Both with the same arguments; `OUT` is the file that they write. */
function both(...args: string[]): { ours: StockRun; theirs: StockRun } {
  const of = (name: string) => args.map((arg) => (arg === "OUT" ? name : arg));
  return { ours: ours(...of("ours")), theirs: theirs(...of("theirs")) };
}

const RULES: Record<string, string> = {
  "symbols and members":
    "erase linux_banner size 16\nerase saved_command_line\nerase init_uts_ns.name.domainname\n",
  "whole structures and pointers":
    "erase init_task\nerase init_task.comm nullify\nerase prb\nerase init_task.stack size 4K\n",
  "a pointer made NULL": "erase init_task.mm nullify\nerase init_task.parent nullify\n",
  "a list by its head": "for m in modules within module:list\nerase m.name\nerase m.args nullify\nendfor\n",
  "a list by a member of its head":
    "for t in init_task.tasks.prev within task_struct:tasks\nerase t.comm size 5\nendfor\n",
  "structures by a member":
    "for r in iomem_resource.child via sibling\nerase r.name\nerase r.start\nendfor\n",
  "one structure of itself": "for t in init_task via parent\nerase t.comm\nendfor\n",
  "an array": "for o in __per_cpu_offset\nerase o\nendfor\n",
  "sizes that stand in memory": "erase linux_banner size max_pfn\nerase init_task.comm size init_task.pid\n",
  "what there is not": "erase nobody\nerase init_task.no\nerase linux_banner.x\nerase linux_banner size 2\n",
  "a loop of what there is not":
    "for t in init_task.tasks within task_struct:pid\nerase t\nendfor\nerase linux_banner\n",
  "a module that was not loaded": "[absent]\nerase linux_banner\n[vmlinux]\nerase saved_command_line\n",
  "one in another": "erase init_uts_ns\nerase init_uts_ns.name.release\nerase init_uts_ns.name size 300\n",
};

/** How gcc may write it. */
const FLAVOURS = [
  "-gdwarf-2 -gstrict-dwarf",
  "-gdwarf-3",
  "-gdwarf-4 -O2",
  "-gdwarf-5",
  "-gdwarf-5 -gdwarf64",
  "-gdwarf-5 -gz=zlib",
  "-gdwarf-5 -fdebug-types-section",
];

describeStock(["makedumpfile", "gcc"], "-g of what gcc wrote", () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "wkdump-"));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it.each(FLAVOURS)("%s: the same file", (flavour) => {
    const sample = join(import.meta.dirname, "../dwarf/sample.c");
    const compiled = stock("gcc", ["-no-pie", ...flavour.split(" "), "-o", "vmlinux", sample], {
      cwd: directory,
    });
    expect(compiled.status, compiled.output).toBe(0);
    const args = ["-x", "vmlinux"];
    const original = stock("makedumpfile", ["-g", "theirs", ...args], { cwd: directory });
    const made = wkdump(["makedumpfile", "-g", "ours", ...args], { cwd: directory });
    expect([made.status, made.stdout]).toEqual([0, original.stdout.replace("theirs", "ours")]);
    const text = readFileSync(join(directory, "ours"), "latin1");
    expect(text).toBe(readFileSync(join(directory, "theirs"), "latin1"));
    expect(text).toMatch(/^SRCFILE\(pud_t\)=.*pud\.h$/m);
  });
});

describeStock(["makedumpfile"], "wkdump makedumpfile with a vmlinux", () => {
  beforeAll(() => {
    // Without a module the original's --config fails.
    const flags = ["--memory", "16M", "--seed", "3", "--append", "crashkernel=1M", "--workload", "40"];
    dump = bootDump([...flags, "--modules", "crasher"]);
    writeFileSync(path("vmcore"), readFileSync(dump.vmcore));
    writeFileSync(path("bare"), withoutNote(readFileSync(dump.vmcore), "VMCOREINFO"));
    writeFileSync(path("vmlinux"), readFileSync(built("vmlinux")));
    writeFileSync(path("first"), "erase saved_command_line size 9\n");
  }, 120_000);
  afterAll(() => dump?.remove());

  it("-g: the same file", () => {
    const { ours, theirs } = both("-g", "OUT", "-x", "vmlinux");
    expect([ours.status, ours.stdout]).toEqual([0, theirs.stdout.replace("theirs", "ours")]);
    same("ours", "theirs");
  });

  it.each(["-x vmlinux", "-i info"])(
    "%s: the same dumps, with the dump's own VMCOREINFO and without",
    (how) => {
      theirs("-g", "info", "-x", "vmlinux");
      for (const level of ["0", "1", "2", "4", "8", "16", "31"]) {
        for (const input of ["vmcore", "bare"]) {
          const made = both("-f", "-d", level, ...how.split(" "), input, "OUT");
          expect([made.ours.status, made.theirs.status]).toEqual([0, 0]);
          same("ours", "theirs");
        }
      }
      const log = both("-f", "--dump-dmesg", ...how.split(" "), "bare", "OUT");
      expect([log.ours.status, log.theirs.status]).toEqual([0, 0]);
      same("ours", "theirs");
    },
    120_000,
  );

  it("-i of another kernel: the same words and status", () => {
    theirs("-g", "info", "-x", "vmlinux");
    writeFileSync(path("other"), readFileSync(path("info"), "latin1").replace("5.15.0", "5.15.7"));
    const { ours, theirs: original } = both("-f", "-i", "other", "bare", "OUT");
    expect([ours.status, told(ours)]).toEqual([original.status, told(original)]);
    expect(ours.status).toBe(2);
  });

  describe.each(Object.entries(RULES))("--config, %s", (_, rules) => {
    it.each(["-d 0", "-E", "-d 31", "-E -d 31"])("%s: the same bytes and words", (flags) => {
      writeFileSync(path("rules"), rules);
      const made = both("-f", ...flags.split(" "), "-x", "vmlinux", "--config", "rules", "vmcore", "OUT");
      expect([made.ours.status, told(made.ours)]).toEqual([0, told(made.theirs)]);
      expect(made.theirs.status).toBe(0);
      same("ours", "theirs");
    });
  });

  it.each(["-f", "-f -E"])("%s: a dump of which something was erased, filtered again", (flags) => {
    const form = flags.split(" ");
    const args = [...form, "-x", "vmlinux", "--config", "first", "vmcore", "once"];
    expect(theirs(...args).status).toBe(0);
    writeFileSync(path("rules"), RULES["a list by its head"]!);
    for (const more of [[], ["-x", "vmlinux", "--config", "rules"]]) {
      const made = both(...form, "-d", "31", ...more, "once", "OUT");
      expect([made.ours.status, made.theirs.status]).toEqual([0, 0]);
      same("ours", "theirs");
    }
  });

  it("the files of a set have their own lists, which the original joins", () => {
    writeFileSync(path("rules"), RULES["whole structures and pointers"]!);
    const files = ["a", "b", "c"];
    const args = ["--config", "rules", "vmcore"];
    const made = ours("-f", "--split", "-d", "31", "-x", "vmlinux", ...args, ...files);
    expect(made.status, made.output).toBe(0);
    expect(theirs("-f", "--reassemble", ...files, "theirs").status).toBe(0);
    expect(ours("-f", "--reassemble", ...files, "ours").status).toBe(0);
    same("ours", "theirs");
    for (const file of files) rmSync(path(file));
  });

  it.each([
    "bla\n",
    "erase\nerase linux_banner\n",
    "erase linux_banner size -5\n",
    "erase linux_banner 5\n",
    "for t on linux_banner\n",
    "for t in init_task.tasks\nerase u\nendfor\n",
    "for t in init_task.tasks\nerase t\n",
    "[vmlinux\n",
  ])("rules that cannot be read: the original's words, and no dump: %j", (rules) => {
    writeFileSync(path("rules"), rules);
    rmSync(path("ours"), { force: true });
    const made = both("-f", "-x", "vmlinux", "--config", "rules", "vmcore", "OUT");
    expect(told(made.ours)).toEqual(told(made.theirs));
    expect(told(made.ours)).not.toEqual([]);
    expect([made.ours.status, made.theirs.status]).toEqual([1, 0]);
    expect(() => readFileSync(path("ours"))).toThrow(/ENOENT/);
  });
});
