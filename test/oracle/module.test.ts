/** A module that crashed the kernel, in stock crash and drgn: its symbols, its frames, its descriptor. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BootDump, bootDump, built } from "../support/boot.ts";
import { describeStock } from "../support/stock.ts";
import { type CrashRun, crash, drgn } from "./debuggers.ts";

const COMMANDS = [
  "mod",
  "mod -t",
  "bt",
  "sym crash_bug",
  "sym -m crasher",
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
      expect(output("dis crash_bug")).toMatch(/call +0x\w+ <BUG>/);
    });

    it("loads its object file", () => {
      const ko = built("modules/crasher.ko");
      const loaded = crash(dump, [`mod -s crasher ${ko}`, "bt"]).output;
      expect(loaded.get(`mod -s crasher ${ko}`)).toContain(ko);
      expect(loaded.get("bt")).toContain("crasher_write");
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
    out.append([mod.name.string_().decode(), int(mod.state), mod.refcnt.counter.value_(), hex(core.base.value_()),
                "crash_bug" in names, params, mod.taints.value_()])
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
