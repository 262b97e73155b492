/** Stock gdb opens the dump with its vmlinux, and sees what the kernel's sources and log say. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BootDump, bootDump } from "../support/boot.ts";
import { describeStock } from "../support/stock.ts";
import { DEBUGGED } from "./debugged.ts";
import { gdb, gdbFrames, loggedTrace } from "./debuggers.ts";

const ROOT = join(import.meta.dirname, "../..");

describe.each(DEBUGGED)("gdb on the dump of $name", ({ flags }) => {
  let dump: BootDump;
  beforeAll(() => {
    dump = bootDump(flags);
  });
  afterAll(() => dump?.remove());

  describeStock(["gdb"], "gdb", () => {
    it("shows one thread a CPU", () => {
      const [threads = ""] = gdb(dump, ["info threads"]);
      const cpus = /setup_percpu:.*nr_cpu_ids:(\d+)/.exec(dump.dmesg)?.[1];
      expect(threads.match(/^[* ] \d+ +(LWP|Thread) /gm)).toHaveLength(Number(cpus));
    });

    it("unwinds the crashed task to the outermost frame, as the log's call trace has it", () => {
      const [trace = ""] = gdb(dump, ["bt"]);
      expect(trace).not.toMatch(/Backtrace stopped|corrupt|\?\?/);
      const names = gdbFrames(trace).map((it) => it.name);
      expect(names.slice(names.indexOf("panic"))).toEqual(loggedTrace(dump.dmesg));
    });

    it("leads each frame to the line of the call", () => {
      const [trace = ""] = gdb(dump, ["bt"]);
      const frames = gdbFrames(trace);
      for (const { file, line } of frames) {
        expect(existsSync(join(ROOT, file)), file).toBe(true);
        expect(readFileSync(join(ROOT, file), "utf8").split("\n")[line - 1]?.trim()).toBeTruthy();
      }
      const of = (name: string): string => {
        const { file = "", line = 0 } = frames.find((it) => it.name === name) ?? {};
        return readFileSync(join(ROOT, file), "utf8").split("\n")[line - 1] ?? "";
      };
      expect(of("sysrq_handle_crash")).toContain("panic(");
      expect(of("vfs_write")).toContain("__vfs_write(");
      expect(of("panic")).toContain("__crash_kexec(");
    });

    it("prints variables and types", () => {
      const [comm, type = "", size, flag, banner = "", release] = gdb(dump, [
        "p init_task.comm",
        "ptype struct task_struct",
        "p sizeof(struct page)",
        "p (enum pageflags)4",
        "x/s linux_banner",
        "p init_uts_ns.name.release",
      ]);
      expect(comm).toContain('"swapper/0\\000');
      expect(type).toMatch(/struct mm_struct \*mm;[\s\S]*pid_t pid;[\s\S]*char comm\[16\];/);
      expect(size).toBe("$2 = 64\n");
      expect(flag).toBe("$3 = PG_lru\n");
      const logged = /^.*?\] (Linux version .*)$/m.exec(dump.dmesg)?.[1];
      expect(banner).toContain(`<linux_banner>:\t"${logged}\\n"`);
      expect(release).toMatch(/"5\.15\.0-/);
    });

    it("finds a function's source", () => {
      const [list, line, symbol, code] = gdb(dump, [
        "list panic",
        "info line panic",
        "info symbol panic",
        "x/2i panic",
      ]);
      expect(list).toContain("export function panic(fmt: usize");
      expect(line).toMatch(
        /^Line \d+ of "kernel-wasm\/kernel\/panic\.ts" starts at address 0xf{8}8\w+ <panic>/,
      );
      expect(symbol).toBe("panic in section .text\n");
      expect(code).toMatch(/push +%rbp\n.*mov +%rsp,%rbp\n/);
    });

    it("knows a function's parameters", () => {
      const [panic, write] = gdb(dump, ["ptype panic", "ptype vfs_write"]);
      expect(panic).toMatch(/^type = void \(unsigned int, unsigned long long/);
      expect(write).toMatch(/\(struct file \*, /);
    });

    it("has nothing to complain of", () => {
      const said = gdb(dump, [
        "info files",
        "info variables -q linux_banner",
        "info functions -q ^panic$",
      ]).join("");
      expect(said).not.toMatch(/warning|error|cannot|unable/i);
    });
  });
});
