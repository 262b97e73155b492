/**
 * gdb on dumps of several CPUs, idle and busy: a thread for each, with the registers of its note, and a stack
 * that ends where the kernel was entered. drgn, which finds a CPU's task by its own way, has the same chain.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import { ElfCore } from "../../tools/dump/elf.ts";
import { type Prstatus, readPrstatus } from "../../tools/dump/notes.ts";
import { type BootDump, bootDump } from "../support/boot.ts";
import { describeStock } from "../support/stock.ts";
import { crash, drgn, gdb, gdbFrames } from "./debuggers.ts";

const ENTRIES = new RegExp(
  "^(entry_SYSCALL_64_after_hwframe|asm_exc_page_fault|ret_from_fork|cpu_resume|secondary_startup_64|" +
    "startup_64)$",
);

const MACHINES = [
  { cpus: 2, workload: 0, idle: 1 },
  { cpus: 2, workload: 800, idle: 0 },
  { cpus: 4, workload: 800, idle: 1 },
  { cpus: 8, workload: 800, idle: 1 },
  { cpus: 8, workload: 0, idle: 7 },
];

describeStock(["gdb", "drgn", "crash"], "a dump", () => {
  describe.each(MACHINES)("of $cpus CPUs after $workload operations", ({ cpus, workload, idle }) => {
    let dump: BootDump;
    let notes: Prstatus[];
    let pids: number[];

    const idleOf = (running: number[]): number => running.filter((pid) => pid === 0).length;

    beforeAll(async () => {
      // The first seed whose machine has as many idle CPUs at its end.
      for (let seed = 11; ; seed++) {
        const flags = ["--memory", "24M", "--seed", String(seed), "--cpus", String(cpus)];
        dump = bootDump([...flags, "--workload", String(workload)]);
        pids = drgn(
          dump,
          `queues = [per_cpu(prog['runqueues'], cpu) for cpu in for_each_online_cpu(prog)]
print(json.dumps([q.curr.pid.value_() for q in queues]))`,
        ) as number[];
        if (idleOf(pids) >= idle || seed === 20) break;
        dump.remove();
      }
      const core = await ElfCore.open(new MemoryBytes("vmcore", readFileSync(dump.vmcore)));
      notes = core.notes.map(readPrstatus).filter((it) => it !== null);
    }, 120_000);
    afterAll(() => dump?.remove());

    it(`has at least ${idle} idle CPUs, whose tasks are 0`, () => {
      expect(pids).toHaveLength(cpus);
      expect(idleOf(pids)).toBeGreaterThanOrEqual(idle);
      expect(notes.map(({ pid }) => pid)).toEqual(pids);
    });

    it("has a thread for each CPU, by its registers", () => {
      const commands = notes.flatMap((_, cpu) => [`thread ${cpu + 1}`, "p/x $rip", "p/x $rsp", "p/x $rbp"]);
      const [threads = "", ...rest] = gdb(dump, ["info threads", ...commands]);
      expect(threads.match(/^[* ] +\d+ +LWP \d+ /gm)).toHaveLength(cpus);
      notes.forEach(({ registers }, cpu) => {
        const [, ...shown] = rest.slice(cpu * 4, cpu * 4 + 4);
        const values = shown.map((it) => BigInt(it.replace(/^\$\d+ = /, "").trim()));
        expect(values).toEqual([registers.ip, registers.sp, registers.bp]);
      });
    });

    it("has each one's chain to the outermost frame, as drgn finds it", () => {
      const chains = drgn(
        dump,
        `def chain(cpu):
  return [f.name for f in prog.stack_trace(per_cpu(prog['runqueues'], cpu).curr) if f.name]
print(json.dumps([chain(cpu) for cpu in for_each_online_cpu(prog)]))`,
      );
      const traces = gdb(
        dump,
        notes.flatMap((_, cpu) => [`thread ${cpu + 1}`, "bt"]),
      ).filter((_, i) => i % 2 === 1);
      expect(traces.join("")).not.toMatch(/Backtrace stopped|corrupt|\?\?/);
      const names = traces.map((trace) => gdbFrames(trace).map(({ name }) => name));
      expect(names).toEqual(chains);
      for (const chain of names) expect(chain.at(-1)).toMatch(ENTRIES);
    });

    it("has as many notes and tasks for crash as before", () => {
      const { start, output } = crash(dump, ["help -n", "ps", "set -c 1"]);
      expect(start).not.toMatch(/WARNING|error/i);
      expect(output.get("help -n")?.match(/\(NT_PRSTATUS\)/g)).toHaveLength(cpus);
      expect(output.get("ps")?.match(/\[swapper\/\d\]/g)).toHaveLength(cpus);
      expect(output.get("ps")).not.toMatch(/41943\d\d/);
      expect(output.get("set -c 1")).toMatch(new RegExp(`PID: ${pids[1]}\\n`));
    });
  });
});
