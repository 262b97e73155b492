/** A crash by a trap: gdb, drgn and crash unwind from where it happened, as the oops in the log has it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BootDump, bootDump } from "../support/boot.ts";
import { describeStock } from "../support/stock.ts";
import { crash, drgn, gdb, gdbFrames, loggedFrames } from "./debuggers.ts";

/** Types of crash, what function the trap is in, and how many CPUs there are. */
const TRAPS = [
  ["exception", "lkdtm_EXCEPTION", 1],
  ["bug", "lkdtm_BUG", 4],
  ["exec-null", "execute_location", 1],
  ["write-ro", "write_u64", 2],
] as const;

describe.each(TRAPS)("the dump of a crash by %s", (type, trapped, cpus) => {
  let dump: BootDump;
  let chain: string[];
  beforeAll(() => {
    const flags = ["--memory", "16M", "--seed", "1", "--cpus", `${cpus}`];
    dump = bootDump([...flags, "--crash", type, "--append", "oops=panic"]);
    chain = [trapped, ...loggedFrames(dump.dmesg)];
  });
  afterAll(() => dump?.remove());

  it("has its oops in the log", () => {
    expect(dump.dmesg).toMatch(new RegExp(`RIP: 0010:${trapped}\\+0x`));
    expect(chain.at(-1)).toBe("entry_SYSCALL_64_after_hwframe");
  });

  describeStock(["gdb"], "gdb", () => {
    it("unwinds from the trap", () => {
      const [all = ""] = gdb(dump, ["thread apply all bt"]);
      const chains = all.split(/^Thread /m).map((trace) => gdbFrames(trace).map((it) => it.name));
      expect(chains).toContainEqual(chain);
    });
  });

  describeStock(["drgn"], "drgn", () => {
    it("unwinds from the trap", () => {
      const script = "print(json.dumps([f.name for f in prog.crashed_thread().stack_trace()]))";
      const names = drgn(dump, script) as (string | null)[];
      expect(names.filter((name) => name !== null)).toEqual(chain);
    });
  });

  describeStock(["crash"], "crash", () => {
    it("shows the way into the crash, the exception frame, and what led to it", () => {
      const trace = crash(dump, ["bt"]).output.get("bt") ?? "";
      const names = [...trace.matchAll(/^ *#\d+ \[\w+\] (\w+) at/gm)].map((it) => it[1] as string);
      expect(names.slice(0, 4)).toEqual(["machine_kexec", "__crash_kexec", "crash_kexec", "oops_end"]);
      expect(names.find((name) => name.startsWith("asm_exc_"))).toBeDefined();
      expect(trace).toContain(`[exception RIP: ${trapped}+`);
      expect(names.slice(1 - chain.length)).toEqual(chain.slice(1));
    });
  });
});
