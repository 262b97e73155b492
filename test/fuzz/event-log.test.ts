/**
 * One machine told three ways: by the host's own record of what its programs called (forks, exits, opens,
 * heaps, names), by /proc just before the crash, and by what is found in the dump with the generated offsets.
 */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import {
  constants,
  fdtable,
  file,
  files_struct,
  mm_struct,
  pid as pidLayout,
  signal_struct,
  task_struct,
  upid,
} from "../../build/generated/offsets.ts";
import { currentHost, fileChunks, MemoryFs } from "../../runtime/adapter/index.ts";
import { boot } from "../../runtime/index.ts";
import {
  O_CREAT,
  O_RDWR,
  O_WRONLY,
  type Proc,
  type Program,
  SIGKILL,
  SIGSTOP,
} from "../../runtime/user/proc.ts";
import { CrashedKernel } from "../../tools/crashed/kernel.ts";
import { SystemMap } from "../../tools/crashed/system-map.ts";
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import { ElfCore } from "../../tools/dump/elf.ts";
import { checkRecord, pathOf, userTasks } from "../../tools/fuzz/check/record.ts";
import { MachineRecord, type TaskRecord } from "../../tools/fuzz/record.ts";
import { readText, runner } from "../../tools/init/exec.ts";
import { machinePrograms } from "../../tools/init/programs.ts";
import { built } from "../support/boot.ts";

const MEMORY = 24 << 20;
const LONG_MS = 3_600_000;
const PIECE = 1 << 20;
const PAGE_KB = 4;
const SEEDS = [1, 2, 3];

/** A process as /proc/PID shows it. */
interface Shown {
  name: string;
  state: string;
  parent: number;
  group: number;
  /** VmRSS, kB; undefined for a zombie. */
  resident: number | undefined;
  /** Descriptor and target. */
  files: string[];
}

interface Evidence {
  record: MachineRecord;
  shown: Map<number, Shown>;
  dump: CrashedKernel;
  /** What the programs say that they did, at the time. */
  told: { children: number[]; gone: number[]; position: number; size: number };
}

const field = (text: string, name: string): string | undefined =>
  new RegExp(`^${name}:\\s+(.*)$`, "m").exec(text)?.[1];

/** Everything about every process that has a program. */
async function readProc(proc: Proc, pids: readonly number[]): Promise<Map<number, Shown>> {
  const shown = new Map<number, Shown>();
  for (const pid of pids) {
    const status = await readText(proc, `/proc/${pid}/status`).catch(() => undefined);
    if (status === undefined) continue;
    const stat = await readText(proc, `/proc/${pid}/stat`);
    const resident = field(status, "VmRSS")?.replace(" kB", "");
    const files: string[] = [];
    for (let fd = 0; fd < 64; fd++) {
      const target = await proc.readlink(`/proc/${pid}/fd/${fd}`).catch(() => undefined);
      if (target !== undefined) files.push(`${fd} ${target}`);
    }
    shown.set(pid, {
      name: field(status, "Name") as string,
      state: (field(status, "State") as string).charAt(0),
      parent: Number(field(status, "PPid")),
      group: Number(stat.replace(/.*\) /, "").split(" ")[2]),
      resident: resident === undefined ? undefined : Number(resident),
      files,
    });
  }
  return shown;
}

/** Tasks of many kinds, alive and dead; then /proc is read, and init crashes the machine. */
function story(evidence: Partial<Evidence>, seed: number): (proc: Proc) => Promise<void> {
  return async (proc) => {
    const children: number[] = [];
    const gone: number[] = [];
    const start = async (main: Program): Promise<number> => {
      const pid = await proc.fork(main);
      children.push(pid);
      return pid;
    };
    await proc.mkdir("/tmp");
    const fd = await proc.open("/tmp/log", O_RDWR | O_CREAT, 0o600);
    await proc.write(fd, "x".repeat(5000));
    await proc.lseek(fd, 1234 + seed, 0);
    // Sleeps, with a file of its own and a shared one.
    await start(async (child) => {
      const own = await child.open("/tmp/own", O_WRONLY | O_CREAT, 0o600);
      await child.write(own, new Uint8Array(777));
      await child.rename("/tmp/own", "/tmp/renamed");
      await child.sleep(LONG_MS);
      return 0;
    });
    // Reads a pipe that it holds itself, has much memory, and leads a group.
    await start(async (child) => {
      await child.setsid();
      await child.sbrk(new Uint8Array(300_000 + seed * 4096).fill(1));
      const [read] = await child.pipe();
      await child.read(read, new Uint8Array(1));
      return 0;
    });
    // Waits for a child of its own.
    await start(async (child) => {
      await child.fork(async (grandchild) => {
        await grandchild.close(fd);
        await grandchild.sleep(LONG_MS);
        return 0;
      });
      await child.wait();
      return 0;
    });
    // Ends at once: a zombie that leaves an orphan.
    await start(async (child) => {
      await child.fork(async (orphan) => {
        await orphan.sleep(LONG_MS);
        return 0;
      });
      return 3;
    });
    const stopped = await start(async (child) => {
      for (;;) await child.sleep(5);
    });
    // A program of its own that ends, is waited for, and is nowhere any more.
    gone.push(await proc.spawn("/usr/bin/workload", ["workload", "?"], { dup: [[fd, 2]] }));
    await proc.wait(gone[0]);
    const killed = await proc.fork(async (child) => {
      await child.sleep(LONG_MS);
      return 0;
    });
    await proc.kill(killed, SIGKILL);
    await proc.wait(killed);
    gone.push(killed);
    await proc.sleep(20);
    await proc.unlink("/tmp/renamed");
    await proc.kill(stopped, SIGSTOP);
    await proc.sleep(20);
    const size = (await proc.fstat(fd)).size;
    const position = await proc.lseek(fd, 0, 1);
    evidence.told = { children, gone, position, size };
    const all = Array.from({ length: Math.max(...children) + 10 }, (_, i) => i + 1);
    const users = all.filter((pid) => pid === 1 || pid >= Math.min(...children));
    evidence.shown = await readProc(proc, users);
    const trigger = await proc.open("/proc/sysrq-trigger", O_WRONLY);
    await proc.write(trigger, "c");
  };
}

/** Memory as the dump has it; what it has not is zero. */
async function dumpMemory(bytes: Uint8Array): Promise<DataView> {
  const memory = new Uint8Array(MEMORY);
  const core = await ElfCore.open(new MemoryBytes("vmcore", bytes));
  for (const { start, end } of core.ranges) {
    for (let at = start; at < end; at += PIECE)
      memory.set(await core.read(at, Math.min(PIECE, end - at)), at);
  }
  return new DataView(memory.buffer);
}

async function crash(seed: number): Promise<Evidence> {
  const evidence: Partial<Evidence> = {};
  const record = new MachineRecord();
  const hostfs = new MemoryFs();
  const programs = machinePrograms();
  const usual = programs.init as Program;
  const run = runner(programs);
  programs.init = async (proc) => {
    // The capture kernel's.
    if ((await proc.open("/usr/bin/kdump", 0).catch(() => -1)) >= 0) return usual(proc);
    await run(proc, ["kdumpctl", "start"]);
    await story(evidence, seed)(proc);
    return 0;
  };
  const result = await boot({
    image: readFileSync(built("vmlinuz")),
    initrd: readFileSync(built("initrd.img")),
    memory: MEMORY,
    cmdline: "console=ttyS0 crashkernel=2M",
    seed,
    powerOnFill: "random",
    console: () => {},
    hostfs,
    host: currentHost(),
    programs,
    tracer: record,
  });
  expect(result.outcome, result.reason).toBe("captured");
  // Each piece is gone with the next.
  const pieces = Array.from(fileChunks(hostfs, result.vmcores[0] as string), (piece) => piece.slice());
  const vmcore = Buffer.concat(pieces);
  const symbols = SystemMap.parse(readFileSync(built("System.map")));
  const dump = new CrashedKernel(await dumpMemory(vmcore), symbols);
  return { ...(evidence as Evidence), record, dump };
}

/** The letter that /proc has for a task's state. */
function letterOf(dump: CrashedKernel, at: number): string {
  const exit = dump.u32(at + task_struct.exit_state);
  if (exit !== 0) return exit === 32 ? "Z" : "X";
  const state = dump.u32(at + task_struct.__state);
  return state === 0 ? "R" : state & 1 ? "S" : state & 4 ? "T" : "D";
}

function rssOf(dump: CrashedKernel, at: number): number | undefined {
  const mm = dump.pointer(at + task_struct.mm);
  if (mm === 0) return undefined;
  let pages = 0;
  for (let i = 0; i < constants.NR_MM_COUNTERS; i++) {
    // Swap entries are no pages.
    if (i !== constants.MM_SWAPENTS) pages += dump.u64(mm + mm_struct.rss_stat + i * 8);
  }
  return pages * PAGE_KB;
}

function filesOf(dump: CrashedKernel, at: number): string[] {
  const files = dump.pointer(at + task_struct.files);
  if (files === 0) return [];
  const table = dump.pointer(files + files_struct.fdt);
  const found: string[] = [];
  for (let fd = 0; fd < 64; fd++) {
    const open = dump.pointer(dump.pointer(table + fdtable.fd) + fd * 8);
    if (open !== 0) found.push(`${fd} ${pathOf(dump, open + file.f_path)}`);
  }
  return found;
}

describe.each(SEEDS)("the machine of seed %i", (seed) => {
  let evidence: Evidence;

  beforeAll(async () => {
    evidence = await crash(seed);
  });

  it("is in the dump what the record of its calls says", () => {
    checkRecord(evidence.dump, evidence.record, () => false);
    expect(evidence.record.calls).toBeGreaterThan(500);
  });

  it("has the tasks that its programs made, and none that ended", () => {
    const { told, dump, record } = evidence;
    const tasks = userTasks(dump);
    for (const pid of told.children) expect(tasks.has(pid), `task ${pid}`).toBe(true);
    for (const pid of told.gone) expect(tasks.has(pid), `task ${pid}`).toBe(false);
    // init, its children, a grandchild and an orphan.
    expect(tasks.size).toBe(1 + told.children.length + 2);
    expect([...record.tasks].map(({ pid }) => pid).sort()).toEqual([...tasks.keys()].sort());
  });

  it("is in the dump what /proc showed before: names, states, parents, groups", () => {
    const { shown, dump } = evidence;
    const tasks = userTasks(dump);
    expect([...shown.keys()].sort()).toEqual([...tasks.keys()].sort());
    const states = new Set<string>();
    for (const [pid, at] of tasks) {
      const { name, state, parent, group } = shown.get(pid) as Shown;
      states.add(state);
      const real = dump.pointer(at + task_struct.real_parent);
      const signal = dump.pointer(at + task_struct.signal);
      const leader = signal === 0 ? group : groupOf(dump, signal);
      expect({ pid, name, state, parent, group }).toEqual({
        pid,
        name: dump.text(at + task_struct.comm, 16),
        state: letterOf(dump, at),
        parent: dump.s32(real + task_struct.pid),
        group: leader,
      });
    }
    expect([...states].sort()).toEqual(["R", "S", "T", "Z"]);
  });

  it("has the memory and the open files that /proc showed, and that the record has", () => {
    const { shown, dump, record } = evidence;
    const byPid = new Map<number | undefined, TaskRecord>([...record.tasks].map((task) => [task.pid, task]));
    for (const [pid, at] of userTasks(dump)) {
      // init has gone on: it has opened the file that set off the crash.
      if (pid === 1) continue;
      const { resident, files } = shown.get(pid) as Shown;
      expect(rssOf(dump, at), `rss of ${pid}`).toBe(resident);
      // A pipe has no path, only a name; a file whose name is gone is said to be deleted.
      const named = (list: string[]): string[] =>
        list.filter((text) => text.includes("/")).map((text) => text.replace(/ \(deleted\)$/, ""));
      expect(named(filesOf(dump, at)), `files of ${pid}`).toEqual(named(files));
      if (letterOf(dump, at) === "Z") continue;
      const known = [...(byPid.get(pid) as TaskRecord).files].map(([fd]) => fd);
      expect(known.sort((a, b) => a - b)).toEqual(files.map((text) => Number.parseInt(text, 10)));
    }
  });

  it("knows a file without a name", () => {
    const files = [...evidence.shown.values()].flatMap((shown) => shown.files);
    expect(files.filter((text) => text.endsWith("/tmp/renamed (deleted)"))).toHaveLength(1);
    expect(files.filter((text) => text.endsWith("/tmp/log")).length).toBeGreaterThan(4);
  });

  it("has the position and the size that the program was told last", () => {
    const { told, record } = evidence;
    const init = [...record.tasks].find(({ pid }) => pid === 1) as TaskRecord;
    const log = [...init.files.values()].find(({ file: open }) => open.path === "/tmp/log")?.file;
    expect(log?.position).toBe(told.position);
    expect(log?.node?.size).toBe(told.size);
    expect(record.names.get("/tmp/own")).toBeNull();
    expect(record.names.get("/tmp/renamed")).toBeNull();
  });
});

function groupOf(dump: CrashedKernel, signal: number): number {
  const pid = dump.pointer(signal + signal_struct.pids + constants.PIDTYPE_PGID * 8);
  return dump.s32(pid + pidLayout.numbers + upid.nr);
}
