/**
 * What was under way when the CPUs stopped excuses what it explains, and nothing else: locks that are held,
 * functions on the stacks.
 */
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { elf_prstatus, rq, task_struct } from "../../build/generated/offsets.ts";
import { CrashedKernel, Inconsistency } from "../../tools/crashed/kernel.ts";
import { SystemMap } from "../../tools/crashed/system-map.ts";
import { NT_PRSTATUS } from "../../tools/dump/notes.ts";
import { InFlight } from "../../tools/fuzz/check/in-flight.ts";
import { checkTasks } from "../../tools/fuzz/check/tasks.ts";
import { makePlan, NMI } from "../../tools/fuzz/plan.ts";
import { runSeed } from "../../tools/fuzz/run.ts";
import { built } from "../support/boot.ts";

const CPUS = 2;
const OPERATIONS = 20;
/** Elf64_Nhdr: n_descsz and n_type; with "CORE" behind it. */
const NOTE_DESC_SIZE = 4;
const NOTE_TYPE = 8;
const NOTE_DESC = 20;
/** bp in user_regs_struct. */
const REG_BP = 4 * 8;

let memory: Uint8Array;
let symbols: SystemMap;

/** Memory of two CPUs at a crash in the middle of nothing. */
beforeAll(async () => {
  const read = (name: string): Uint8Array => new Uint8Array(readFileSync(built(name)));
  symbols = SystemMap.parse(read("System.map"));
  const cpuProgram = pathToFileURL(built("cpu.js"));
  const image = read("vmlinuz");
  const assets = {
    image,
    initrd: read("initrd.img"),
    symbols,
    cpus: CPUS,
    cpuProgram,
    operations: OPERATIONS,
  };
  let seed = 0;
  const plain = ({ crash, moment, crashkernel, daemons }: ReturnType<typeof makePlan>): boolean =>
    crash === "sysrq-c" && moment === "after" && crashkernel.fits && !daemons;
  while (!plain(makePlan(seed, OPERATIONS, CPUS))) seed++;
  await runSeed(seed, assets, new Map(), {
    first: (machine) => {
      memory = machine.memory.copy(0, machine.memory.size);
      return undefined;
    },
  });
});

interface Scene {
  kernel: CrashedKernel;
  set32(at: number, value: number): void;
  set64(at: number, value: bigint): void;
}

/** What the tasks' check says after a change; each scene has its own memory. */
function look(change: (scene: Scene) => void): InFlight {
  const copy = new Uint8Array(memory);
  const view = new DataView(copy.buffer);
  const kernel = new CrashedKernel(view, symbols);
  change({
    kernel,
    set32: (at, value) => view.setUint32(at, value, true),
    set64: (at, value) => view.setBigUint64(at, value, true),
  });
  const inFlight = new InFlight(kernel, symbols);
  inFlight.check("checkTasks", (part) => checkTasks(kernel, part));
  return inFlight;
}

const queueOf = (kernel: CrashedKernel, cpu: number): number => kernel.percpu("runqueues", cpu);

/** One task more than there are on the queue of a CPU. */
function miscount({ kernel, set32 }: Scene, cpu: number): void {
  const at = queueOf(kernel, cpu) + rq.nr_running;
  set32(at, kernel.u32(at) + 1);
}

/** The deepest return address on a CPU's stack leads into a function. */
function place({ kernel, set64 }: Scene, cpu: number, name: string): void {
  let note = kernel.percpu("crash_note_buf", cpu);
  // An idle CPU's has another before it.
  while (kernel.u32(note + NOTE_TYPE) !== NT_PRSTATUS) note += NOTE_DESC + kernel.u32(note + NOTE_DESC_SIZE);
  const record = kernel.pointer(note + NOTE_DESC + elf_prstatus.pr_reg + REG_BP);
  set64(record + 8, 0xffffffff80000000n + BigInt(kernel.symbol(name)) + 1n);
}

describe("at a crash in the middle of nothing", () => {
  it("nothing is found, and nothing excused", () => {
    const { findings, excused, stacks } = look(() => {});
    expect(findings).toEqual([]);
    expect(excused).toEqual({});
    expect([...stacks.keys()]).toEqual([0, 1]);
    const all = [...stacks.values()].map((stack) => [...(stack ?? [])]);
    expect(all.flat()).toContain("sysrq_handle_crash");
    // The other one is idle.
    expect(all.find((stack) => !stack.includes("sysrq_handle_crash"))).toEqual(
      expect.arrayContaining(["do_idle", "cpu_startup_entry"]),
    );
  });

  it("a wrong run queue is found, with where the CPUs were", () => {
    const { findings } = look((scene) => miscount(scene, 1));
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatch(
      /^checkTasks: CPU 1: \d+ tasks are queued, nr_running says \d+; CPU \d: .*write/,
    );
  });
});

describe("what is under way", () => {
  it("excuses a run queue whose lock is held, and no other", () => {
    const locked = ({ kernel, set32 }: Scene): void => set32(queueOf(kernel, 1) + rq.__lock, 1);
    const one = look((scene) => {
      locked(scene);
      miscount(scene, 1);
    });
    expect([one.findings, one.excused]).toEqual([[], { "run queues": 1 }]);
    const other = look((scene) => {
      locked(scene);
      miscount(scene, 0);
    });
    expect(other.findings[0]).toMatch(/^checkTasks: CPU 0: .*nr_running/);
    expect(other.excused).toEqual({});
  });

  it("excuses the run queue of a CPU that switches tasks, and no other", () => {
    const one = look((scene) => {
      place(scene, 0, "finish_task_switch");
      miscount(scene, 0);
    });
    expect([one.findings, one.excused]).toEqual([[], { "run queues": 1 }]);
    const other = look((scene) => {
      place(scene, 0, "finish_task_switch");
      miscount(scene, 1);
    });
    expect(other.findings[0]).toMatch(/^checkTasks: CPU 1: .*nr_running/);
  });

  it("excuses no stack that was overrun while a lock is held", () => {
    const { findings } = look(({ kernel, set32 }) => {
      set32(kernel.symbol("tasklist_lock"), 0xff);
      const init = kernel.pointer(kernel.symbol("init_task") + task_struct.tasks) - task_struct.tasks;
      set32(kernel.pointer(init + task_struct.stack), 0);
    });
    expect(findings[0]).toMatch(/the end of its stack was overwritten/);
  });

  it("excuses tasks while the list is being changed, not while it is only read", () => {
    const wrong = ({ kernel, set32 }: Scene): void => set32(kernel.symbol("nr_threads"), 1);
    const read = look((scene) => {
      scene.set32(scene.kernel.symbol("tasklist_lock"), 0x200);
      wrong(scene);
    });
    expect(read.findings[0]).toMatch(/nr_threads says 1/);
    const written = look((scene) => {
      scene.set32(scene.kernel.symbol("tasklist_lock"), 0xff);
      wrong(scene);
    });
    expect([written.findings, written.excused]).toEqual([[], { tasks: 1 }]);
  });

  it("excuses no failure of the checks themselves", () => {
    const inFlight = new InFlight(new CrashedKernel(new DataView(memory.slice().buffer), symbols), symbols);
    const guard = { what: "anything", functions: /./ };
    expect(() =>
      inFlight.check("a check", (part) =>
        part(guard, () => {
          throw new TypeError("of the check");
        }),
      ),
    ).toThrow("of the check");
    inFlight.check("a check", (part) =>
      part(guard, () => {
        throw new Inconsistency("of the kernel");
      }),
    );
    expect(inFlight.excused).toEqual({ anything: 1 });
  });
});

it("a seed in four is an NMI, in the middle of the work", () => {
  const plans = [...Array(400).keys()].map((seed) => makePlan(seed, OPERATIONS, CPUS));
  const share = plans.filter(({ crash }) => crash === NMI).length / plans.length;
  expect(share).toBeGreaterThan(0.15);
  expect(share).toBeLessThan(0.35);
});
