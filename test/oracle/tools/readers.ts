/** Stock readelf, vmcore-dmesg and gdb, by feature: what they show is what the machine had. */
import { expect } from "vitest";
import { stock } from "../../support/stock.ts";
import { gdb, gdbFrames } from "../debuggers.ts";
import type { Feature, OracleDump, Tool } from "../features.ts";
import { described } from "./said.ts";

/** For tools that read ELF alone. */
const elf = (name: string, body: Feature["body"]): Feature => ({ name, kinds: ["ELF"], body });

const readelf: Feature[] = [
  elf("headers and notes without a warning", (dump) => {
    const { status, stdout, stderr } = stock("readelf", ["-hlnW", dump.vmcore]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).not.toMatch(/warning|error|corrupt/i);
    const loads = [...stdout.matchAll(/^ +LOAD +\w+ \w+ (0x\w+) (0x\w+)/gm)];
    const ranges = loads.map(([, at, size]) => ({ start: Number(at), end: Number(at) + Number(size) }));
    ranges.sort((a, b) => a.start - b.start);
    expect(merged(ranges)).toEqual(dump.truth.ranges);
    expect(stdout.match(/NT_PRSTATUS/g)).toHaveLength(dump.truth.cpus.length);
  }),

  elf("`vmlinux`: the debug information", (dump) => {
    const { status, stderr } = stock("readelf", [
      "-hSlW",
      "--debug-dump=info,decodedline,frames",
      dump.vmlinux,
    ]);
    expect([status, stderr]).toEqual([0, ""]);
  }),
];

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

const dmesg: Feature[] = [
  elf("the log", (dump) => {
    const { status, stdout, stderr } = stock("vmcore-dmesg", [dump.vmcore]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toBe(dump.dmesg);
  }),
];

const ask = (dump: OracleDump, commands: readonly string[]): string[] => gdb(described(dump), commands);

const debug: Feature[] = [
  elf("`info threads`, `thread N`, `bt`: what each CPU did, with files and lines", (dump) => {
    const [threads = ""] = ask(dump, ["info threads"]);
    const numbers = new Map(
      [...threads.matchAll(/^[* ] +(\d+) +(?:LWP|Thread) (\d+) /gm)].map(([, id, lwp]) => [Number(lwp), id]),
    );
    // What gdb makes of idle tasks, which all have pid 0, is not to be seen from their pids.
    const busy = dump.truth.cpus.filter(({ pid }) => pid !== 0);
    for (const { pid } of busy) expect(numbers.get(pid), `${pid}`).toBeDefined();
    if (busy.length === dump.truth.cpus.length) expect(numbers.size).toBe(busy.length);
    const answers = ask(
      dump,
      busy.flatMap(({ pid }) => [`thread ${numbers.get(pid)}`, "bt"]),
    );
    const traces = answers.filter((_, index) => index % 2 === 1);
    expect(traces.join("")).not.toMatch(/Backtrace stopped|corrupt|\?\?/);
    const chains = traces.map((trace) => gdbFrames(trace).map(({ name }) => name));
    expect(chains).toEqual(busy.map(({ backtrace }) => backtrace));
  }),

  elf("`p`, `ptype`, `x/s`, `list`", (dump) => {
    const [comm, type, banner, release, list, crashed] = ask(dump, [
      "p init_task.comm",
      "ptype struct list_head",
      "x/s linux_banner",
      "p init_uts_ns.name.release",
      "list panic",
      "p crashing_cpu",
    ]);
    expect(comm).toContain('"swapper/0\\000');
    expect(type).toMatch(/struct list_head \*next;\s+struct list_head \*prev;/);
    expect(banner).toContain(/Linux version .*$/m.exec(dump.dmesg)![0]);
    expect(release).toContain(` = "${dump.truth.vmcoreinfo.OSRELEASE}", '\\000'`);
    expect(list).toContain("export function panic(");
    expect(crashed).toContain(`= ${dump.truth.crash.cpu}\n`);
  }),

  elf("a list of the kernel's own: tasks by number", (dump) => {
    const { tasks } = dump.truth;
    const offset = "(unsigned long)&((struct task_struct *)0)->tasks";
    const [, , ...told] = ask(dump, [
      "set $list = init_task.tasks.next",
      `set $offset = ${offset}`,
      ...tasks.flatMap(() => [
        "p ((struct task_struct *)((char *)$list - $offset))->pid",
        "set $list = $list->next",
      ]),
      "p $list == &init_task.tasks",
    ]);
    const numbers = told.map((text) => / = (\d+)\n/.exec(text)?.[1]).filter((it) => it !== undefined);
    const pids = numbers.slice(0, -1).map(Number);
    expect(pids.sort((a, b) => a - b)).toEqual(tasks.map(({ pid }) => pid));
    expect(numbers.at(-1)).toBe("1");
  }),
];

export const READELF: Tool = { name: "readelf", needs: ["readelf"], features: readelf };
export const VMCORE_DMESG: Tool = { name: "vmcore-dmesg", needs: ["vmcore-dmesg"], features: dmesg };
export const GDB: Tool = { name: "gdb", needs: ["gdb"], features: debug };
