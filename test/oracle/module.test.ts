/** A module that crashed the kernel, in stock crash and drgn: its symbols, its frames, its descriptor. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BootDump, bootDump, built } from "../support/boot.ts";
import { describeStock } from "../support/stock.ts";
import { type CrashRun, crash, drgn, gdb, gdbFrames } from "./debuggers.ts";

const COMMANDS = [
  "mod",
  "mod -t",
  "bt",
  "sym crash_bug",
  "sym -m crasher",
  "sym -l",
  "dis crash_bug",
  "vtop ffffffffa0000000",
];

describe("a dump of a kernel that a module crashed", () => {
  let dump: BootDump;

  beforeAll(() => {
    dump = bootDump(["--memory", "24M", "--seed", "5", "--crash", "module-bug"]);
  }, 120_000);
  afterAll(() => dump?.remove());

  it("the log names the module's functions", () => {
    expect(dump.dmesg).toMatch(/RIP: 0010:crash_bug\+0x\w+\/0x\w+ \[crasher\]/);
    expect(dump.dmesg).toMatch(/ {2}crasher_write\+0x\w+\/0x\w+ \[crasher\]/);
    expect(dump.dmesg).toContain("Modules linked in: crasher(OE)");
  });

  describeStock(["crash"], "crash", () => {
    let run: CrashRun;
    const output = (command: string): string => run.output.get(command) ?? "";
    beforeAll(() => {
      run = crash(dump, COMMANDS);
    }, 60_000);

    it("lists it, where the kernel put it", () => {
      expect(run.start).not.toContain("WARNING");
      expect(output("mod")).toMatch(/^ffffffffa000\w{4} +crasher +ffffffffa0000000 +\d+ +\(not loaded\)/m);
      expect(output("mod -t")).toMatch(/^crasher +OE$/m);
      expect(output("vtop ffffffffa0000000")).toMatch(/\(PRESENT\|ACCESSED\|GLOBAL\)/);
    });

    it("shows the way through it, in and out of the kernel", () => {
      const frames = [...output("bt").matchAll(/^ *#\d+ \[\w+\] (\S+) at \w+( \[\w+\])?/gm)];
      const names = frames.map(([, name, module]) => `${name}${module ?? ""}`);
      const from = names.indexOf("BUG");
      expect(names.slice(from, from + 4)).toEqual([
        "BUG",
        "crash_bug [crasher]",
        "crasher_write [crasher]",
        "proc_reg_write",
      ]);
      expect(names.at(-1)).toBe("entry_SYSCALL_64_after_hwframe");
    });

    it("knows its symbols and calls", () => {
      expect(output("sym crash_bug")).toMatch(/^ffffffffa000\w{4} \(T\) crash_bug \[crasher\]/m);
      expect(output("sym -m crasher")).toMatch(/MODULE START: crasher.* delay_ms.*MODULE END: crasher/s);
      // All the module has is in the list of all symbols, at the same addresses.
      const own = output("sym -m crasher").trim().split("\n");
      expect(own.length).toBeGreaterThan(20);
      expect(output("sym -l").trim().split("\n").slice(-own.length)).toEqual(own);
      expect(output("dis crash_bug")).toMatch(/call +0x\w+ <BUG>/);
    });

    it("loads its object file, with the module's types, data and lines", () => {
      const load = `mod -s crasher ${built("modules/crasher.ko.debug")}`;
      const loaded = crash(dump, [
        load,
        "bt -l",
        "p delay_ms",
        "p crash_commands[1]",
        "sym crash_bug",
      ]).output;
      expect(loaded.get(load)).toContain("crasher.ko.debug");
      const line = Number(/kernel BUG at modules\/crasher\/main\.ts:(\d+)!/.exec(dump.dmesg)?.[1]);
      expect(loaded.get("bt -l")).toMatch(
        new RegExp(
          ` crash_bug at \\w+ \\[crasher\\]\\n +\\./kernel-wasm/modules/crasher/main\\.ts: ${line}\\n`,
        ),
      );
      expect(loaded.get("p delay_ms")).toMatch(/^delay_ms = \$\d+ = 10$/m);
      expect(loaded.get("p crash_commands[1]")).toMatch(/ "bug",[^=]*run = \d+,[^=]*used = 1$/m);
      expect(loaded.get("sym crash_bug")).toContain("kernel-wasm/modules/crasher/main.ts");
    });

    it("the line in the log is the line in the source", () => {
      const source = readFileSync(
        join(import.meta.dirname, "../../kernel-wasm/modules/crasher/main.ts"),
        "utf8",
      );
      source.split("\n").forEach((text, index) => {
        const said = /\b(?:BUG\(|WARN\(true, )c`modules\/crasher\/main\.ts`, (\d+)/.exec(text)?.[1];
        if (said !== undefined) expect(Number(said)).toBe(index + 1);
      });
    });
  });

  describeStock(["crash"], "crash, of the debug kernel", () => {
    it("has the module for that kernel, which keeps its arguments too", () => {
      const debug = bootDump(["--memory", "24M", "--seed", "5", "--crash", "module-bug", "--debug-kernel"]);
      try {
        expect(debug.dmesg).toMatch(/RIP: 0010:crash_bug\+0x\w+\/0x\w+ \[crasher\]/);
        const load = `mod -s crasher ${built("modules-debug/crasher.ko.debug")}`;
        const { start, output } = crash(debug, [load, "bt", "p delay_ms"]);
        expect(start).not.toContain("WARNING");
        const trace = output.get("bt") ?? "";
        const names = [...trace.matchAll(/^ *#\d+ \[\w+\] (\S+) at \w+/gm)].map(([, name]) => name);
        const from = names.indexOf("crash_bug");
        expect(names.slice(from, from + 3)).toEqual(["crash_bug", "crasher_write", "proc_reg_write"]);
        expect(names.at(-1)).toBe("entry_SYSCALL_64_after_hwframe");
        expect(output.get("p delay_ms")).toMatch(/= 10$/m);
      } finally {
        debug.remove();
      }
    });
  });

  describeStock(["gdb"], "gdb, of the debug kernel", () => {
    it("shows what a function of the module was called with", () => {
      const debug = bootDump(["--memory", "24M", "--seed", "5", "--crash", "module-bug", "--debug-kernel"]);
      try {
        const symbols = `add-symbol-file ${built("modules-debug/crasher.ko.debug")} 0xffffffffa0000000`;
        const trace = gdb(debug, [symbols, "bt"])[1] ?? "";
        expect(trace).not.toMatch(/Backtrace stopped|corrupt|\?\?/);
        const names = gdbFrames(trace).map(({ name }) => name);
        const from = names.indexOf("crash_bug");
        expect(names.slice(from, from + 3)).toEqual(["crash_bug", "crasher_write", "proc_reg_write"]);
        expect(names.at(-1)).toBe("entry_SYSCALL_64_after_hwframe");
        // What is written, without a newline: "bug".
        expect(trace).toMatch(/ crasher_write \(.*count=3, .*\) at/);
      } finally {
        debug.remove();
      }
    });
  });

  describeStock(["drgn"], "drgn", () => {
    it("reads its descriptor and parameters", () => {
      const found = drgn(
        dump,
        `
out = []
for mod in list_for_each_entry("struct module", prog["modules"].address_of_(), "list"):
    core = mod.core_layout
    kallsyms = mod.kallsyms
    syms = [kallsyms.symtab[i].st_name.value_() for i in range(kallsyms.num_symtab.value_())]
    names = [(kallsyms.strtab + n).string_().decode() for n in syms]
    kps = [mod.kp[i] for i in range(mod.num_kp.value_())]
    params = {p.name.string_().decode(): p.mod.value_() == mod.value_() for p in kps}
    out.append([mod.name.string_().decode(), int(mod.state), mod.refcnt.counter.value_(),
                hex(core.base.value_()), "crash_bug" in names, params, mod.taints.value_()])
print(json.dumps(out))`,
      );
      // In use by the one who wrote: its file is open.
      expect(found).toEqual([
        [
          "crasher",
          0,
          2,
          "0xffffffffa0000000",
          true,
          { delay_ms: true, quiet: true, message: true },
          (1 << 12) | (1 << 13),
        ],
      ]);
    });
  });
});
