/**
 * Stacks of a CPU's own in the stock tools: what was interrupted, and by what, from one stack to the next.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BootDump, bootDump } from "../support/boot.ts";
import { describeStock } from "../support/stock.ts";
import { crash, drgn, gdb, gdbFrames } from "./debuggers.ts";

interface Kind {
  crash: string;
  /** What crash calls the stacks, innermost first. */
  stacks: string[];
  /** What must stand in the chain, in this order. */
  chain: string[];
  /** Instead of a workload: its busy programs make the seconds until a lockup is found take long. */
  flags?: string[];
}

const IRQ = ["sysvec_apic_timer_interrupt", "asm_sysvec_apic_timer_interrupt"];
const LKDTM = ["lkdtm_do_action", "direct_entry", "ksys_write", "entry_SYSCALL_64_after_hwframe"];

const KINDS: readonly Kind[] = [
  {
    crash: "softlockup",
    stacks: ["IRQ stack"],
    chain: ["panic", "watchdog_timer_fn", ...IRQ, "lkdtm_SOFTLOCKUP", ...LKDTM],
    flags: ["--append", "watchdog_thresh=1"],
  },
  {
    crash: "hardlockup",
    stacks: ["NMI exception stack"],
    chain: [
      ...["panic", "watchdog_hardlockup_check", "perf_event_nmi_handler", "nmi_handle"],
      ...["exc_nmi", "asm_exc_nmi", "lkdtm_HARDLOCKUP", ...LKDTM],
    ],
    flags: ["--append", "watchdog_thresh=1"],
  },
  {
    crash: "module-timer",
    stacks: ["IRQ stack"],
    chain: ["panic", "call_timer_fn", "run_timer_softirq", "__do_softirq", "irq_exit_rcu", ...IRQ],
  },
  {
    crash: "exhaust-stack",
    stacks: ["DOUBLEFAULT exception stack"],
    chain: ["recursive_loop", "lkdtm_EXHAUST_STACK", ...LKDTM],
  },
];

/** Of `names`, those that are `wanted`, each once for a row of them. */
function order(names: readonly string[], wanted: readonly string[]): string[] {
  const found = names.filter((name) => wanted.includes(name));
  return found.filter((name, i) => name !== found[i - 1]);
}

const crashFrames = (trace: string): string[] =>
  [...trace.matchAll(/^ *#\d+ \[\w+\] (\w+) at /gm)].map((it) => it[1] as string);

describeStock(["crash", "drgn", "gdb"], "a crash", () => {
  describe.each(KINDS.flatMap((kind) => [1, 4].map((cpus) => ({ ...kind, cpus }))))(
    "by $crash on $cpus CPUs",
    ({ crash: type, cpus, stacks, chain, flags }) => {
      let dump: BootDump;
      beforeAll(() => {
        const machine = ["--memory", "24M", "--seed", "3", "--cpus", String(cpus)];
        dump = bootDump([...machine, "--crash", type, ...(flags ?? ["--workload", "100"])]);
      }, 120_000);
      afterAll(() => dump?.remove());

      it("crash names each stack, and shows what was interrupted", () => {
        const { start, output } = crash(dump, ["bt", "bt -a", "mach"]);
        expect(start).not.toMatch(/WARNING|error/i);
        const trace = output.get("bt") ?? "";
        expect(trace).not.toMatch(/bogus|cannot|invalid|recursion/i);
        expect([...trace.matchAll(/^--- <(.*)> ---$/gm)].map((it) => it[1])).toEqual(stacks);
        expect(order(crashFrames(trace), chain)).toEqual(chain);
        expect(output.get("bt -a")?.match(/^PID:/gm)).toHaveLength(cpus);
        for (const name of ["IRQ", "NMI", "DOUBLEFAULT"]) {
          expect(output.get("mach")).toMatch(new RegExp(`${name} STACKS:\\n +CPU 0: ffff8880\\w+`));
        }
      });

      it("drgn unwinds through them", () => {
        const names = drgn(dump, "print(json.dumps([f.name for f in prog.crashed_thread().stack_trace()]))");
        expect(order(names as string[], chain)).toEqual(chain);
      });

      it.skipIf(type === "module-timer")("gdb does too, to the outermost frame", () => {
        const [threads = ""] = gdb(dump, ["info threads"]);
        const crashed = /^[* ] +(\d+) .* (?:__crash_kexec|recursive_loop) /m.exec(threads)?.[1];
        const [, trace = ""] = gdb(dump, [`thread ${crashed}`, "bt"]);
        expect(trace).not.toMatch(/Backtrace stopped|corrupt|\?\?/);
        const names = gdbFrames(trace).map(({ name }) => name);
        expect(order(names, chain)).toEqual(chain);
        expect(names.at(-1)).toBe("entry_SYSCALL_64_after_hwframe");
      });
    },
  );
});
