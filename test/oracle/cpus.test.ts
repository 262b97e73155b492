/**
 * Dumps of machines with several CPUs in the stock tools: a note each, and a stack each that says how it
 * stopped.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BootDump, bootDump } from "../support/boot.ts";
import { describeStock, stock } from "../support/stock.ts";
import { crash, drgn } from "./debuggers.ts";

interface CpuState {
  curr: string;
  idle: boolean;
  trace: string[];
}

describeStock(["crash", "drgn", "makedumpfile", "readelf"], "several CPUs", () => {
  describe.each([2, 4, 8])("%i of them", (cpus) => {
    let dump: BootDump;
    let states: CpuState[];
    let crashed: number;

    beforeAll(() => {
      const flags = ["--memory", "24M", "--seed", "11", "--workload", "800"];
      dump = bootDump([...flags, "--cpus", String(cpus)]);
      [crashed, states] = drgn(
        dump,
        `def state(cpu):
  rq = per_cpu(prog['runqueues'], cpu)
  trace = prog.stack_trace(rq.curr)
  idle = rq.curr == rq.idle
  return {'curr': rq.curr.comm.string_().decode(), 'idle': bool(idle), 'trace': [f.name for f in trace]}
print(json.dumps([prog['crashing_cpu'].value_(), [state(cpu) for cpu in for_each_online_cpu(prog)]]))`,
      ) as [number, CpuState[]];
    }, 60_000);
    afterAll(() => dump?.remove());

    it("each has its note", () => {
      const { stdout } = stock("readelf", ["-n", dump.vmcore]);
      expect(stdout.match(/NT_PRSTATUS/g)).toHaveLength(cpus);
    });

    it("drgn finds what each did", () => {
      expect(states).toHaveLength(cpus);
      expect(states[crashed]?.trace).toContain("panic");
      for (const { idle, trace } of states) {
        if (idle)
          expect(trace.join()).toMatch(/do_idle,cpu_startup_entry,(start_secondary|rest_init|cpu_resume)/);
      }
    });

    it("crash shows each one's stack, stopped by the NMI", () => {
      const { start, output } = crash(dump, ["sys", "bt -a", "ps"]);
      expect(start).not.toMatch(/WARNING|error/i);
      expect(output.get("sys")).toMatch(new RegExp(`CPUS: ${cpus}$`, "m"));
      const stacks = (output.get("bt -a") ?? "").split(/^(?=PID:)/m).slice(-cpus);
      expect(stacks).toHaveLength(cpus);
      stacks.forEach((text, cpu) => {
        expect(text).toContain(`CPU: ${cpu} `);
        expect(text).toContain(`COMMAND: "${states[cpu]?.curr}"`);
        expect(text).toContain(cpu === crashed ? "machine_kexec" : "crash_nmi_callback");
        if (cpu !== crashed) {
          expect(text).toMatch(
            /crash_nmi_callback[\s\S]* asm_exc_nmi [\s\S]*\n--- <NMI exception stack> ---\n #5 /,
          );
        }
        // What ran before on an idle task's stack does not show.
        if (states[cpu]?.idle) expect(text.match(/ do_idle at /g)).toHaveLength(1);
      });
      expect(output.get("ps")?.match(/\[swapper\/\d\]/g)).toHaveLength(cpus);
    });

    it("makedumpfile says nothing but that it is done", () => {
      const { status, stdout, stderr } = stock("makedumpfile", [
        "-c",
        "-d",
        "31",
        dump.vmcore,
        `${dump.vmcore}.d31`,
      ]);
      expect(status).toBe(0);
      expect(`${stdout}${stderr}`).not.toMatch(/warn|fail|invalid|can't/i);
    });
  });
});
