/** Stock crash opens the dump with its vmlinux; its commands say what the kernel and its log say. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BootDump, bootDump, built } from "../support/boot.ts";
import { describeStock } from "../support/stock.ts";
import { COMMANDS, COMPLAINT, NEEDS } from "./crash-commands.ts";
import { DEBUGGED } from "./debugged.ts";
import { type CrashRun, crash, loggedTrace } from "./debuggers.ts";

const map = (): string[] => readFileSync(built("System.map"), "latin1").split("\n");
const symbols = () => new Set(map().map((line) => line.split(" ")[2]));

describe.each(DEBUGGED)("crash on the dump of $name", ({ flags }) => {
  let dump: BootDump;
  let run: CrashRun;
  let kernel: Set<string | undefined>;
  const output = (command: string): string => run.output.get(command) ?? "";

  describeStock(["crash"], "crash", () => {
    beforeAll(() => {
      dump = bootDump(flags);
      kernel = symbols();
      run = crash(dump, COMMANDS);
    }, 120_000);
    afterAll(() => dump?.remove());

    it("starts without a warning", () => {
      const warnings = run.start.split("\n").filter((line) => line.includes("WARNING"));
      const expected = NEEDS.filter(({ symbol }) => !kernel.has(symbol)).flatMap((it) => it.warnings ?? []);
      expect(warnings.filter((line) => !expected.some((it) => line.includes(it)))).toEqual([]);
    });

    it.for(COMMANDS)("%s has nothing to complain of", (command, { skip }) => {
      const needs = NEEDS.find((it) => it.commands.test(command));
      if (needs !== undefined && !kernel.has(needs.symbol)) skip(`the kernel has no ${needs.symbol}`);
      expect(output(command)).not.toMatch(COMPLAINT);
      expect(output(command).trim()).not.toBe("");
    });

    it("sys knows the machine and why it crashed", () => {
      const banner = /Linux version (\S+)/.exec(dump.dmesg)?.[1];
      expect(output("sys")).toContain(`RELEASE: ${banner}\n`);
      expect(output("sys")).toMatch(/CPUS: 1\n/);
      expect(output("sys")).toContain('PANIC: "Kernel panic - not syncing: sysrq triggered crash"');
    });

    it("log is the kernel's log", () => {
      const plain = (text: string): string[] =>
        text
          .trimEnd()
          .split("\n")
          .map((line) => line.trimEnd());
      expect(plain(output("log"))).toEqual(plain(dump.dmesg));
    });

    it("bt is the log's call trace, and ends in the user's registers", () => {
      const names = [...output("bt").matchAll(/^ *#\d+ \[\w+\] (\w+) at/gm)].map((it) => it[1]);
      expect(names[0]).toBe("machine_kexec");
      expect(names.slice(names.indexOf("panic"))).toEqual(loggedTrace(dump.dmesg));
      expect(output("bt")).toMatch(/RIP: 0000000000400002 .*\n(.*\n)+ +ORIG_RAX: \w+ +CS: 0033 +SS: 002b\n/);
    });

    it("ps -k and foreach bt: each kernel thread sleeps in schedule, from ret_from_fork", () => {
      const [, ...stacks] = output("foreach bt").split(/^PID: /m);
      const kthreads = stacks.filter((it) => /COMMAND: "k/.test(it));
      expect(kthreads.length).toBeGreaterThan(1);
      for (const stack of kthreads)
        expect(stack).toMatch(/#0 \[\w+\] __schedule at[\s\S]*\] ret_from_fork at/);
    });

    it("kmem -f counts the kernel's free pages", () => {
      expect(output("kmem -f")).toContain(`nr_free_pages: ${dump.json.pages.free}  (verified)`);
    });

    it("files, mount and vm show init's files, the mounts and its memory", () => {
      expect(output("files 1")).toMatch(/ 0 .* CHR +\/dev\/console\n/);
      expect(output("files 1")).toMatch(/ REG +\/proc\/sysrq-trigger\n/);
      for (const [type, place] of [
        ["proc", "/proc"],
        ["sysfs", "/sys"],
        ["devtmpfs", "/dev"],
      ])
        expect(output("mount")).toMatch(new RegExp(` ${type} +\\S+ +${place} *$`, "m"));
      expect(output("vm 1")).toMatch(/ 400000 +401000 +\w+ \/init\n/);
      expect(output("vtop -u -c 1 0x400000")).toMatch(/\(PRESENT\|USER\|ACCESSED\)/);
    });
  });
});
