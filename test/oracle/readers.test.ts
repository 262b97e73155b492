/** Stock readelf, vmcore-dmesg and gdb, by feature: what they show is what the machine had. */
import { expect } from "vitest";
import type { BootDump } from "../support/boot.ts";
import { stock } from "../support/stock.ts";
import { gdb, gdbFrames } from "./debuggers.ts";
import { Features, type OracleDump } from "./features.ts";

const ELF = ["ELF"] as const;

const readelf = new Features("readelf");
readelf.tests(["readelf"], () => {
  readelf.feature("headers and notes without a warning", ELF, (dump) => {
    const { status, stdout, stderr } = stock("readelf", ["-hlnW", dump.vmcore]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).not.toMatch(/warning|error|corrupt/i);
    const loads = [...stdout.matchAll(/^ +LOAD +\w+ \w+ (0x\w+) (0x\w+)/gm)];
    const ranges = loads.map(([, at, size]) => ({ start: Number(at), end: Number(at) + Number(size) }));
    ranges.sort((a, b) => a.start - b.start);
    expect(merged(ranges)).toEqual(dump.truth.ranges);
    expect(stdout.match(/NT_PRSTATUS/g)).toHaveLength(dump.truth.cpus.length);
  });

  readelf.feature("`vmlinux`: the debug information", ELF, (dump) => {
    const { status, stderr } = stock("readelf", [
      "-hSlW",
      "--debug-dump=info,decodedline,frames",
      dump.vmlinux,
    ]);
    expect([status, stderr]).toEqual([0, ""]);
  });
});

/** Ranges that lie side by side as one. */
function merged(ranges: readonly { start: number; end: number }[]): { start: number; end: number }[] {
  const found: { start: number; end: number }[] = [];
  for (const { start, end } of ranges) {
    const last = found.at(-1);
    if (last?.end === start) last.end = end;
    else found.push({ start, end });
  }
  return found;
}

const dmesg = new Features("vmcore-dmesg");
dmesg.tests(["vmcore-dmesg"], () => {
  dmesg.feature("the log", ELF, (dump) => {
    const { status, stdout, stderr } = stock("vmcore-dmesg", [dump.vmcore]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toBe(dump.dmesg);
  });
});

const ask = (dump: OracleDump, commands: readonly string[]): string[] => {
  const json = { vmlinux: dump.vmlinux } as BootDump["json"];
  return gdb({ ...dump, json, remove: () => {} }, commands);
};

const debug = new Features("gdb");
debug.tests(["gdb"], () => {
  debug.feature("`info threads`: a thread a CPU, by its task", ELF, (dump) => {
    const [threads = ""] = ask(dump, ["info threads"]);
    const found = [...threads.matchAll(/^[* ] (\d+) +(?:LWP|Thread) (\d+) /gm)];
    const wanted = dump.truth.cpus.map(({ cpu, pid }) => [cpu + 1, pid]);
    expect(found.map(([, thread, pid]) => [Number(thread), Number(pid)])).toEqual(wanted);
  });

  debug.feature("`bt`: the chain of the crash, with files and lines", ELF, (dump) => {
    const [trace = ""] = ask(dump, ["bt"]);
    expect(trace).not.toMatch(/Backtrace stopped|corrupt|\?\?/);
    expect(gdbFrames(trace).map((it) => it.name)).toEqual(dump.truth.crash.backtrace);
  });

  debug.feature("`p`, `ptype`, `x/s`, `list`", ELF, (dump) => {
    const [comm, type, banner, release, list] = ask(dump, [
      "p init_task.comm",
      "ptype struct list_head",
      "x/s linux_banner",
      "p init_uts_ns.name.release",
      "list panic",
    ]);
    expect(comm).toContain('"swapper/0\\000');
    expect(type).toMatch(/struct list_head \*next;\s+struct list_head \*prev;/);
    expect(banner).toContain(/Linux version .*$/m.exec(dump.dmesg)![0]);
    expect(release).toContain(` = "${dump.truth.vmcoreinfo.OSRELEASE}", '\\000'`);
    expect(list).toContain("export function panic(");
  });

  debug.feature("a list of the kernel's own: tasks by number", ELF, (dump) => {
    const offset = "(unsigned long)&((struct task_struct *)0)->tasks";
    const first = `((struct task_struct *)((char *)init_task.tasks.next - ${offset}))`;
    const [pid] = ask(dump, [`p ${first}->pid`]);
    expect(pid).toContain(`= ${dump.truth.tasks[0]!.pid}\n`);
  });
});
