/**
 * Canaries of the fuzzer's later checks: notes, VMCOREINFO, the host's record, replay, and a process of runs
 * that hangs. Each check has a planted defect that it must find.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  cfs_rq,
  dentry,
  elf_prstatus,
  elf_prstatus_common,
  fdtable,
  file,
  files_struct,
  inode,
  mm_struct,
  path as pathLayout,
  qstr,
  rq,
  task_struct,
} from "../../build/generated/offsets.ts";
import { CrashedKernel } from "../../tools/crashed/kernel.ts";
import { SystemMap } from "../../tools/crashed/system-map.ts";
import { taskList } from "../../tools/fuzz/check/tasks.ts";
import { makePlan } from "../../tools/fuzz/plan.ts";
import type { OpenFile, TaskRecord } from "../../tools/fuzz/record.ts";
import { type FuzzAssets, type Memories, type Plant, type RunRecord, runSeed } from "../../tools/fuzz/run.ts";
import { built } from "../support/boot.ts";
import { run } from "../support/stock.ts";

const OPERATIONS = 400;
const EXIT_ZOMBIE = 32;
const NO_SUCH_PID = 30_000;

let assets: FuzzAssets;
let seed = 0;
const memories: Memories = new Map();

beforeAll(async () => {
  const read = (name: string): Uint8Array => new Uint8Array(readFileSync(built(name)));
  const symbols = SystemMap.parse(read("System.map"));
  assets = { image: read("vmlinuz"), initrd: read("initrd.img"), symbols, operations: OPERATIONS };
  // init itself writes the c when the work is done, so that all its children are known by their numbers.
  const plain = (n: number): boolean => {
    const { crash, damage, crashkernel, writer, daemons, memory, moment } = makePlan(n);
    const quiet = /quiet|loglevel|fill|hwpoison|balloon/.test(makePlan(n).cmdline);
    const simple = crash === "sysrq-c" && damage === undefined && crashkernel.fits && !quiet;
    return simple && moment === "after" && writer === "init" && !daemons && memory >= 16 << 20;
  };
  let rich = false;
  for (seed = 0; ; seed++) {
    if (!plain(seed)) continue;
    await runSeed(seed, assets, memories, {
      first: (_machine, record) => {
        rich = sleepingChild(record) !== undefined && openNamed(initOf(record)) !== undefined;
        return undefined;
      },
    });
    if (rich) break;
  }
});

const initOf = (record: RunRecord): TaskRecord =>
  [...record.calls.tasks].find(({ pid }) => pid === 1) as TaskRecord;

/** A child of init that sleeps in the kernel. */
function sleepingChild(record: RunRecord): TaskRecord | undefined {
  const init = initOf(record);
  return [...record.calls.tasks].find(({ pid, parent, call, signalled }) => {
    return pid !== undefined && parent === init && call !== undefined && call.nr !== 1 && !signalled;
  });
}

interface Scene {
  kernel: CrashedKernel;
  record: RunRecord;
  set(at: number, value: number): void;
  init: TaskRecord;
  /** Of init, and asleep in the kernel. */
  child: TaskRecord;
  /** Physical address of a task's struct. */
  at(task: TaskRecord): number;
}

const openNamed = ({ files }: TaskRecord) =>
  [...files].find(
    ([, { file: known }]) => known.path?.startsWith("/root/file") && known.position !== undefined,
  );

/** A file of init's with a name, and where its struct file lies. */
function openFile({ kernel, init, at }: Scene): {
  fd: number;
  known: OpenFile;
  struct: number;
  slot: number;
} {
  const [fd, { file: known }] = openNamed(init)!;
  const files = kernel.pointer(at(init) + task_struct.files);
  const slot = kernel.pointer(kernel.pointer(files + files_struct.fdt) + fdtable.fd) + fd * 8;
  return { fd, known, struct: kernel.pointer(slot), slot };
}

/** A file that the workload has left, and its inode. */
function namedFile(scene: Scene): { path: string; inode: number; dentry: number } {
  const { struct, known } = openFile(scene);
  const { kernel, record } = scene;
  expect(record.calls.names.get(known.path as string)).toMatchObject({ kind: "file" });
  const entry = kernel.pointer(struct + file.f_path + pathLayout.dentry);
  return { path: known.path as string, inode: kernel.pointer(struct + file.f_inode), dentry: entry };
}

const DEFECTS: Record<string, [what: RegExp, plant: (scene: Scene) => void]> = {
  "the task in a CPU's note": [
    /^checkDump: the notes are of tasks 77, the CPUs ran 1$/,
    ({ kernel, set }) => {
      // Elf64_Nhdr, "CORE", then the registers: in the CPU's own area.
      const notes = kernel.percpuBase() + kernel.u32(kernel.symbol("crash_notes"));
      expect(kernel.u32(notes + 20 + elf_prstatus.common + elf_prstatus_common.pr_pid)).toBe(1);
      set(notes + 20 + elf_prstatus.common + elf_prstatus_common.pr_pid, 77);
    },
  ],
  "the VMCOREINFO of the dump": [
    /^checkDump: VMCOREINFO has no OSRELEASE/,
    ({ kernel, set }) => {
      const note = kernel.pointer(kernel.symbol("vmcoreinfo_note"));
      const text = kernel.text(note + 24, 4000).indexOf("OSRELEASE") + note + 24;
      set(text, kernel.u32(text) ^ 0x20);
    },
  ],
  "the VMCOREINFO that the kernel keeps": [
    /^checkDump: VMCOREINFO is not what the kernel kept of it/,
    ({ kernel, set }) => {
      const copy = kernel.pointer(kernel.symbol("vmcoreinfo_data_safecopy"));
      set(copy + 100, kernel.u32(copy + 100) ^ 1);
    },
  ],
  "a process that was never waited for": [
    new RegExp(`^checkExist: process ${NO_SUCH_PID} was never waited for, and is gone`),
    ({ record }) => record.story.children.add(NO_SUCH_PID),
  ],
  "a task that nobody made": [
    /^checkRecord: task \d+ \(init\) was made by nobody/,
    ({ record, child }) => record.calls.tasks.delete(child),
  ],
  "a task that is not there": [
    /^checkRecord: task 30000 \(init\) is gone/,
    ({ record, child }) => record.calls.tasks.add({ ...child, pid: NO_SUCH_PID, signalled: false }),
  ],
  "a task that has ended by itself": [
    /^checkRecord: task \d+ \(init\) is dead, and nobody ended it/,
    ({ set, child, at }) => set(at(child) + task_struct.exit_state, EXIT_ZOMBIE),
  ],
  "a task that sleeps in no call": [
    /^checkRecord: task \d+ \(init\) is in no system call, and its state is 0x1/,
    ({ child }) => {
      child.call = undefined;
    },
  ],
  "a task's name": [
    /^checkRecord: task 1 \(init\) calls itself Init/,
    ({ kernel, set, init, at }) => {
      const name = at(init) + task_struct.comm;
      set(name, kernel.u32(name) ^ 0x20);
    },
  ],
  "a task's parent": [
    /^checkRecord: task (\d+) \(init\) is the child of 1, and should be of \d+/,
    ({ child }) => {
      child.parent = child;
    },
  ],
  "the end of a heap": [
    /^checkRecord: task \d+ \(init\): its heap ends at 0x\w+, it was told 0x\w+/,
    ({ kernel, set, child, at }) => {
      const end = kernel.pointer(at(child) + task_struct.mm) + mm_struct.brk;
      set(end, kernel.u32(end) + 4096);
    },
  ],
  "an open file that the kernel has lost": [
    /^check(Tasks: task 1: descriptor \d+ and open_fds differ|Record: .* is open, the kernel has none)/,
    (scene) => {
      const { slot } = openFile(scene);
      scene.set(slot, 0);
      scene.set(slot + 4, 0);
    },
  ],
  "a descriptor that nobody opened": [
    /^checkRecord: task 1 \(init\): descriptor \d+ was opened by nobody/,
    (scene) => scene.init.files.delete(openFile(scene).fd),
  ],
  "a descriptor that the kernel has not": [
    /^checkRecord: task 1 \(init\): descriptor 900 is open, the kernel has none/,
    (scene) => scene.init.files.set(900, { file: openFile(scene).known, closeOnExec: false }),
  ],
  "the position of a file": [
    /^checkRecord: task 1 \(init\): descriptor \d+ is at \d+, the kernel says \d+/,
    (scene) => {
      const at = openFile(scene).struct + file.f_pos;
      scene.set(at, scene.kernel.u32(at) + 1);
    },
  ],
  "the name of an open file": [
    /^checkRecord: task 1 \(init\): descriptor \d+ is \/root\/file-\d+, the kernel says \/root\/Gile-/i,
    (scene) => {
      const name = scene.kernel.pointer(namedFile(scene).dentry + dentry.d_name + qstr.name);
      scene.set(name, scene.kernel.u32(name) ^ 1);
    },
  ],
  "the size of a file": [
    /^checkRecord: \/root\/file-\d+ has \d+ bytes, \d+ were written/,
    (scene) => {
      const at = namedFile(scene).inode + inode.i_size;
      scene.set(at, scene.kernel.u32(at) + 1);
    },
  ],
  "a file that was removed": [
    /^checkRecord: \/root\/file-\d+ was removed, and is there/,
    (scene) => scene.record.calls.names.set(namedFile(scene).path, null),
  ],
  "a file that is gone": [
    /^checkRecord: \/root\/nothing is gone/,
    ({ record }) => record.calls.names.set("/root/nothing", { kind: "file", size: 0 }),
  ],
  "a file that is a directory": [
    /^checkRecord: \/root\/file-\d+ is a file, not a directory/,
    (scene) => {
      scene.record.calls.names.set(namedFile(scene).path, { kind: "directory", size: undefined });
    },
  ],
  "a file that nobody made": [
    /^checkRecord: \/root\/file-\d+ was made by nobody/,
    (scene) => scene.record.calls.names.delete(namedFile(scene).path),
  ],
  "a task on a CPU that is not there": [
    /^checkTasks: task 1 is on CPU 5 of 1/,
    ({ set, init, at }) => set(at(init) + task_struct.cpu, 5),
  ],
  "a current task that says it runs elsewhere": [
    /^checkTasks: CPU 0: its current task says that it runs on CPU 5/,
    ({ kernel, set, init, at }) => {
      set(kernel.symbol("nr_cpu_ids"), 8);
      set(at(init) + task_struct.cpu, 5);
    },
  ],
  "the weight of a run queue": [
    /^checkTasks: CPU 0: the queued tasks weigh \d+, the run queue says \d+/,
    ({ kernel, set }) => {
      const load = kernel.percpu("runqueues") + rq.cfs + cfs_rq.load;
      set(load, kernel.u32(load) + 1);
    },
  ],
  "the task that a run queue runs": [
    /^checkTasks: CPU 0: the run queue's curr is 0x\w+, current_task 0x\w+/,
    ({ kernel, set, child, at }) => set(kernel.percpu("current_task"), at(child)),
  ],
  "no CPU that is online": [
    /^checkTasks: no CPU is online/,
    ({ kernel, set }) => set(kernel.symbol("__cpu_online_mask"), 0),
  ],
};

const plantOf =
  (defect: (scene: Scene) => void): Plant =>
  ({ memory }, record) => {
    const kernel = new CrashedKernel(memory.view, assets.symbols);
    const init = initOf(record);
    const child = sleepingChild(record)!;
    const tasks = taskList(kernel);
    const at = ({ pid }: TaskRecord): number => tasks.get(pid as number) as number;
    defect({ kernel, record, init, child, at, set: (pa, value) => memory.setU32(pa, value >>> 0) });
    return undefined;
  };

describe("a planted defect is found:", () => {
  it.each(Object.entries(DEFECTS))("%s", async (_name, [what, defect]) => {
    const { verdict } = await runSeed(seed, assets, memories, { first: plantOf(defect) });
    expect(verdict.finding).toMatch(what);
  });

  it("another dump of the second run", async () => {
    // A byte of free memory, so that no other check has a word in it.
    const plant: Plant = ({ memory }, { region }) => {
      expect(region).toBeUndefined();
      memory.setU8(0x5000, memory.u8(0x5000) ^ 1);
      return undefined;
    };
    const { verdict } = await runSeed(seed, assets, memories, { second: plant });
    expect(verdict.finding).toBe("the second run's dump is another");
  });

  it("another console of the second run", async () => {
    const plant: Plant = (_machine, record) => {
      record.console += "one line more\n";
      return undefined;
    };
    const { verdict } = await runSeed(seed, assets, memories, { second: plant });
    expect(verdict.finding).toBe("the second run printed something else");
  });

  it("and without one nothing is", async () => {
    const { verdict } = await runSeed(seed, assets, memories);
    expect(verdict).toMatchObject({ outcome: "captured", finding: undefined });
  });
});

describe("a process of runs", () => {
  const directory = mkdtempSync(join(tmpdir(), "wkdump-fuzz-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  /** Runs fuzz as a program whose workers do something else. */
  function fuzzWith(worker: string) {
    const program = join(directory, "program.mjs");
    const pid = join(directory, "pid");
    writeFileSync(
      program,
      `import { writeFileSync } from "node:fs";
if (process.argv.includes("--worker")) {
  writeFileSync(${JSON.stringify(pid)}, String(process.pid));
  ${worker}
} else await import(${JSON.stringify(built("wkdump.js"))});
`,
    );
    const args = [program, "fuzz", "--runs", "2", "--limit", "1", "--json", "--out", join(directory, "out")];
    const result = run(process.execPath, args, { timeout_ms: 50_000 });
    expect(existsSync(pid), result.output).toBe(true);
    const number = Number(readFileSync(pid, "latin1"));
    return { ...result, json: JSON.parse(result.stdout), pid: number };
  }

  it("that hangs is killed, and the seed it was at reported", () => {
    const { json, status, pid } = fuzzWith("for (;;);");
    expect(status).toBe(1);
    expect(json.outcomes).toEqual({ threw: 2 });
    expect(json.findings).toMatchObject([
      { seed: 0, finding: expect.stringMatching(/^hung, or was killed/) },
      { seed: 1, finding: expect.stringMatching(/^hung, or was killed/) },
    ]);
    expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  });

  it("that ends by itself is reported with what it said", () => {
    const { json, status } = fuzzWith('process.stderr.write("out of cheese\\n"); process.exit(5);');
    expect(status).toBe(1);
    expect(json.findings[0]).toMatchObject({
      seed: 0,
      finding: expect.stringMatching(/^ended the process with 5: .*out of cheese/),
    });
  });
});
