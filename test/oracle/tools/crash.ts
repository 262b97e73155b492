/** Stock crash: each item that it shows is the one that the machine had. Tasks, stacks, files, log. */
import { expect } from "vitest";
import { COMMANDS, COMPLAINT, DROPPED } from "../crash-commands.ts";
import { crash } from "../debuggers.ts";
import type { Feature, OracleDump, Tool } from "../features.ts";
import { DUMPS } from "../table.ts";
import { memory } from "./crash-memory.ts";
import { byTask, described, names, plain, said, settled } from "./said.ts";

/** crash's name of a state, by that of `ps`. */
const STATES: Record<string, string> = { R: "RU", S: "IN", D: "UN", T: "ST", Z: "ZO", I: "ID" };
const PIPE = "pipe";
const KIB_PER_PAGE = 4;

const everywhere = (name: string, body: Feature["body"]): Feature => ({ name, kinds: DUMPS, body });

/** An answer without what differs from one dump to another of the same machine. */
const sameOf = (text: string): string => text.replace(/ +DUMPFILE: .*\n/, "");

/** A chain in which nobody calls himself, as who is interrupted between two records is named twice. */
const once = (chain: readonly string[]): string[] => chain.filter((name, i) => name !== chain[i - 1]);

/**
 * What an interrupted CPU did before: what lies outside of the interrupt's entry. Between the interrupted
 * function's registers and its record may lie where its last calls returned to, which crash takes for frames.
 */
function interrupted(trace: string, depth: number): string[] {
  const found = names(trace.replaceAll(/^ +\[exception RIP: (\w+)\+.*$/gm, "#0 [0] $1 at"));
  const [inner, ...outer] = once(found.slice(found.indexOf("asm_exc_nmi") + 1));
  return [inner!, ...(depth > 1 ? outer.slice(1 - depth) : [])];
}

const tasks: Feature[] = [
  everywhere("starts without a warning", (dump) => {
    expect(crash(described(dump), []).start.trim()).toBe("");
  }),

  everywhere("each command of `crash-commands.ts`", (dump) => {
    const dropped = DROPPED[dump.kind] ?? {};
    for (const command of COMMANDS) {
      const answer = sameOf(said(dump, command));
      expect(answer.trim(), command).not.toBe("");
      const complaints = dropped[command];
      if (complaints === undefined) {
        // The log may say such words itself.
        if (!command.startsWith("log")) expect(answer, command).not.toMatch(COMPLAINT);
        expect(answer, command).toBe(sameOf(said(dump.whole, command)));
      } else {
        const lines = answer.split("\n").filter((line) => COMPLAINT.test(line));
        expect(lines.length, command).toBeGreaterThan(0);
        for (const line of lines) expect(line, command).toMatch(complaints);
      }
    }
    const all = Object.keys(dropped);
    return all.length === 0 ? undefined : `all but \`${all.join("`, `")}\``;
  }),

  everywhere("`sys`, `mach`: CPUs, tasks, time, release, why it crashed", (dump) => {
    const { truth } = dump;
    const line = (name: string): string => new RegExp(`^ *${name}: (.*)$`, "m").exec(said(dump, "sys"))![1]!;
    expect(line("CPUS")).toBe(`${truth.cpus.length}`);
    expect(line("TASKS")).toBe(`${truth.tasks.length + truth.cpus.length}`);
    expect(line("RELEASE")).toBe(truth.vmcoreinfo.OSRELEASE);
    expect(Date.parse(line("DATE")) / 1000).toBe(Number(truth.vmcoreinfo.CRASHTIME));
    expect(line("PANIC")).toBe(`"Kernel panic - not syncing: ${truth.crash.message}"`);
    expect(said(dump, "sys -t")).toMatch(truth.modules.length === 0 ? /^TAINTED_MASK: 0/ : /: 3000 +OE$/m);
    expect(said(dump, "mach")).toMatch(new RegExp(`^ +CPUS: ${truth.cpus.length}$`, "m"));
    const ram = said(dump, "mach -m").matchAll(/^(\w{16}) - (\w{16}) {2}E820_RAM$/gm);
    const pages = [...ram].map(([, start, end]) => (Number(`0x${end}`) - Number(`0x${start}`)) / 4096);
    expect(pages.reduce((sum, it) => sum + it, 0)).toBe(truth.pages.total + truth.crashkernel.size / 4096);
    expect(said(dump, "p crashing_cpu")).toMatch(new RegExp(` = ${truth.crash.cpu}\n`));
    expect(said(dump, "p saved_command_line")).toContain(`"${truth.cmdline}"`);
  }),

  everywhere("`ps`: the tasks, their parents, states, CPUs and memory, and who runs", (dump) => {
    const { truth } = dump;
    const form = /^([> ]) +(\d+) +(\d+) +(\d+) +\w+ +(\w\w) +\S+ +(\d+) +(\d+) +(\[?)(.+?)\]?$/gm;
    const [idle, found] = [[] as unknown[], [] as unknown[]];
    for (const [, mark, pid, ppid, cpu, state, vsz, rss, kthread, comm] of said(dump, "ps").matchAll(form)) {
      const row = [mark === ">", +pid!, +ppid!, +cpu!, state, +vsz!, +rss!, kthread !== "", comm];
      (pid === "0" ? idle : found).push(row);
    }
    const wanted = truth.tasks.map(({ pid, ppid, cpu, state, rss, maps, kthread, comm }) => {
      const active = truth.cpus.some((it) => it.pid === pid);
      const vsz = maps.reduce((sum, { start, end }) => sum + (end - start) / 1024, 0);
      // A zombie's address space is gone, but it is no kernel thread for that.
      return [active, pid, ppid, cpu, STATES[state], vsz, rss * KIB_PER_PAGE, kthread, comm];
    });
    expect(found).toEqual(wanted);
    const idles = truth.cpus.map(({ cpu, pid }) => [
      pid === 0,
      0,
      0,
      cpu,
      "RU",
      0,
      0,
      true,
      `swapper/${cpu}`,
    ]);
    expect(idle).toEqual(idles);
    const count = (state: string): number => wanted.filter((row) => row[4] === state).length;
    const states = Object.fromEntries(
      [...said(dump, "ps -S").matchAll(/^ +(\w\w): (\d+)$/gm)].map(([, state, n]) => [state, Number(n)]),
    );
    const kinds = [...new Set(wanted.map((row) => row[4] as string))];
    const counts = kinds.map((state) => [state, count(state) + (state === "RU" ? idles.length : 0)]);
    expect(states).toEqual(Object.fromEntries(counts));
  }),

  everywhere("`list`, `tree`, `struct`, `task`: the same tasks by the kernel's own links", (dump) => {
    const { truth } = dump;
    const pids = (text: string): number[] => [...text.matchAll(/^ {2}pid = (\d+),$/gm)].map(([, n]) => +n!);
    const wanted = truth.tasks.map(({ pid }) => pid);
    const list = pids(said(dump, "list task_struct.tasks -s task_struct.pid -h init_task"));
    expect(list.sort((a, b) => a - b)).toEqual([0, ...wanted]);
    expect(plain(said(dump, "tree -t xarray -r pid_namespace.idr init_pid_ns"))).toHaveLength(wanted.length);
    expect(pids(said(dump, "struct task_struct.pid,comm init_task"))).toEqual([0]);
    const each = said(dump, "foreach task -R pid,comm,cpu").matchAll(
      /^ {2}pid = (\d+),\n {2}comm = "(.*?)(?:\\000)*",\n {2}cpu = (\d+),/gm,
    );
    const told = [...each].map(([, pid, comm, cpu]) => [+pid!, comm, +cpu!]);
    const idle = truth.cpus.map(({ cpu }) => [0, `swapper/${cpu}`, cpu]);
    expect(told).toEqual([...idle, ...truth.tasks.map(({ pid, comm, cpu }) => [pid, comm, cpu])]);
    expect(said(dump, "p nr_threads")).toMatch(new RegExp(` = ${wanted.length}\n`));
  }),

  everywhere("`runq`: who runs and who waits, CPU by CPU", (dump) => {
    const parts = said(dump, "runq")
      .split(/^CPU \d+ RUNQUEUE: /m)
      .slice(1);
    const told = parts.map((part, cpu) => {
      const comm = /CURRENT: .*COMMAND: "(.*)"/.exec(part)![1];
      const queue = [...part.matchAll(/^ +\[\d+\] PID: (\d+) /gm)].map(([, pid]) => Number(pid));
      return { cpu, pid: Number(/CURRENT: PID: (\d+)/.exec(part)![1]), comm, queue };
    });
    expect(told).toEqual(dump.truth.cpus.map(({ cpu, pid, comm, queue }) => ({ cpu, pid, comm, queue })));
  }),

  everywhere("`bt`: the chain of the crash, to the user's registers", (dump) => {
    expect(names(said(dump, "bt"))).toEqual(["machine_kexec", ...dump.truth.crash.backtrace]);
    expect(said(dump, "bt")).toMatch(
      / RIP: 0000000000400002 .*\n(.*\n)+ +ORIG_RAX: \w+ +CS: 0033 +SS: 002b\n/,
    );
    const lines = [...said(dump, "bt -l").matchAll(/^ +(\S+): (\d+)$/gm)];
    expect(lines).toHaveLength(names(said(dump, "bt")).length);
  }),

  everywhere("`bt -a`: what each CPU did", (dump) => {
    const { cpus, crash: at } = dump.truth;
    const stacks = said(dump, "bt -a")
      .split(/^(?=PID: )/m)
      .slice(-cpus.length);
    for (const { cpu, pid, comm, backtrace } of cpus) {
      const trace = stacks[cpu] ?? "";
      expect(trace).toContain(`PID: ${pid} `);
      expect(trace).toContain(`CPU: ${cpu} `);
      expect(trace).toContain(`COMMAND: "${comm}"`);
      if (cpu === at.cpu) expect(names(trace)).toEqual(["machine_kexec", ...backtrace]);
      else expect(interrupted(trace, once(backtrace).length), `CPU ${cpu}`).toEqual(once(backtrace));
    }
  }),

  everywhere("`foreach bt`: the chain of each task that waits, and of idle ones", (dump) => {
    const stacks = byTask(said(dump, "foreach bt"));
    const { cpus, tasks } = dump.truth;
    for (const { pid, backtrace } of tasks.filter((task) => task.backtrace.length > 0)) {
      // crash takes it that whoever waits is in __schedule, a task that has never run too.
      const fresh = backtrace.length === 1;
      expect(names(stacks.get(pid) ?? ""), `${pid}`).toEqual(fresh ? ["__schedule"] : backtrace);
    }
    for (const { cpu } of cpus.filter(({ pid }) => pid !== 0)) {
      const chain = names(stacks.get(`swapper/${cpu}`) ?? "");
      expect(chain.slice(0, 4)).toEqual(["__schedule", "schedule", "do_idle", "cpu_startup_entry"]);
      expect(chain.slice(4).join()).toMatch(/^(cpu_resume|rest_init,.*|start_secondary,.*)$/);
    }
  }),

  everywhere("`foreach files`: the open files of each task", (dump) => {
    const found = byTask(said(dump, "foreach files"));
    for (const { pid, files } of settled(dump.truth)) {
      const open = [...(found.get(pid) ?? "").matchAll(/^ *(\d+) \w{16} \w{16} \w{16} (\w+) *(.*)$/gm)];
      const told = open.map(([, fd, type, path]) => ({ fd: +fd!, path: type === "FIFO" ? PIPE : path }));
      expect(told, `${pid}`).toEqual(files);
    }
  }),

  everywhere("`foreach vm`: the areas of each task", (dump) => {
    const found = byTask(said(dump, "foreach vm"));
    for (const { pid, rss, maps } of dump.truth.tasks) {
      const text = found.get(pid) ?? "";
      const areas = [...text.matchAll(/^\w{16} +([0-9a-f]+) +([0-9a-f]+) +([0-9a-f]+) *(\S*)$/gm)].map(
        ([, start, end, flags, path]) => {
          const rights = [..."rwx"].map((it, i) => ((parseInt(flags!, 16) >> i) & 1 ? it : "-")).join("");
          return { start: parseInt(start!, 16), end: parseInt(end!, 16), rights, path };
        },
      );
      expect(areas, `${pid}`).toEqual(maps.map((map) => ({ ...map, path: map.path ?? "" })));
      const resident = /^\w+ +\w+ +(\d+)k +\d+k *$/m.exec(text)?.[1];
      expect(Number(resident ?? 0), `${pid}`).toBe(rss * KIB_PER_PAGE);
    }
    const mapped = [...said(dump, "vm -p 1").matchAll(/^[0-9a-f]+ +[0-9a-f]+$/gm)].length;
    expect(mapped).toBe(dump.truth.tasks[0]!.rss);
  }),

  everywhere("`log`, with levels and dates", (dump) => {
    expect(plain(said(dump, "log"))).toEqual(plain(dump.dmesg));
    const printed = dump.truth.log.filter((line) => /^\[ *\d+\.\d{6}\] /.test(line));
    expect(plain(said(dump, "log"))).toEqual(printed.map((line) => line.trimEnd()));
    const levels = plain(said(dump, "log -m")).map((line) => line.replace(/(?<=\] )<\d>/, ""));
    expect(levels).toEqual(plain(dump.dmesg));
    const dates = plain(said(dump, "log -T")).map(
      (line) => Date.parse(/^\[([^\]]*)\]/.exec(line)![1]!) / 1000,
    );
    const crashed = Number(dump.truth.vmcoreinfo.CRASHTIME);
    expect(Math.abs(dates.at(-1)! - crashed)).toBeLessThanOrEqual(1);
    expect(dates).toEqual([...dates].sort((a, b) => a - b));
  }),

  everywhere("`mount`, `mod`, `sym -m`", (dump) => {
    const mounts = [...said(dump, "mount").matchAll(/^\w{16} \w{16} (\S+) +(\S+) +(\S+) *$/gm)];
    const wanted = dump.truth.mounts.map(({ type, device, path }) => [type, device, path]);
    expect(mounts.map(([, ...it]) => it)).toEqual(wanted);
    const modules = [...said(dump, "mod").matchAll(/^ *\w{16} +(\w+) +(?:\w{16} +)?(\d+) /gm)];
    expect(modules.map(([, name, size]) => ({ name, size: Number(size) }))).toEqual(dump.truth.modules);
    const symbols = said(dump, "sym -m crasher");
    if (modules.length === 0) expect(symbols.trim()).toBe("");
    else
      expect(symbols).toMatch(
        /MODULE START: crasher\n(.*\n)*\w{16} \([tT]\) crasher_write.*\n(.*\n)*.*MODULE END: crasher/,
      );
  }),
];

export const CRASH: Tool = {
  name: "crash",
  needs: ["crash"],
  features: [...tasks, ...memory],
  start: (dump: OracleDump) => {
    const times = Array.from({ length: 2 }, () => {
      const start = performance.now();
      crash(described(dump), []);
      return performance.now() - start;
    });
    // The machine that the tests run on may be busy.
    return Math.min(...times);
  },
};
