/** Stock crash on dumps of all kinds: each item that it shows is the one that the machine had. */
import { expect } from "vitest";
import type { BootDump } from "../support/boot.ts";
import { COMMANDS, COMPLAINT, NEEDS } from "./crash-commands.ts";
import { type CrashRun, crash } from "./debuggers.ts";
import { Features, type OracleDump } from "./features.ts";
import { DUMPS, type DumpKind } from "./table.ts";

/** Commands that read pages which a dump of this kind leaves out: what they say is another thing. */
const DROPPED: Partial<Record<DumpKind, readonly string[]>> = { "-d 31": ["ps -a 1"] };
/** crash's name of a state, by that of `ps`. */
const STATES: Record<string, string> = { R: "RU", S: "IN", D: "UN", T: "ST", Z: "ZO", I: "ID" };
const PIPE = "pipe";

const runs = new Map<DumpKind, CrashRun>();

const described = (dump: OracleDump): BootDump => {
  return { ...dump, json: { vmlinux: dump.vmlinux } as BootDump["json"], remove: () => {} };
};

/** What crash says to all commands, asked once a dump. */
function said(dump: OracleDump, command: string): string {
  let found = runs.get(dump.kind);
  if (found === undefined) {
    found = crash(described(dump), [...COMMANDS, "foreach files"]);
    runs.set(dump.kind, found);
  }
  return found.output.get(command) ?? "";
}

const names = (trace: string): string[] =>
  [...trace.matchAll(/^ *#\d+ \[\w+\] (\w+) at/gm)].map((it) => it[1] as string);

/** The parts of a `foreach` command's output, by pid. */
function byTask(output: string): Map<number, string> {
  const parts = output.split(/^PID: (?=\d)/m).slice(1);
  return new Map(parts.map((part) => [Number.parseInt(part, 10), part]));
}

const features = new Features("crash");
features.tests(["crash"], () => {
  features.feature("starts without a warning", DUMPS, (dump) => {
    const start = performance.now();
    expect(crash(described(dump), []).start).not.toMatch(/WARNING|error|invalid/i);
    console.info(
      `crash: from the start to the prompt on ${dump.kind}: ${Math.round(performance.now() - start)} ms`,
    );
  });

  features.feature("each command of `crash-commands.ts`", DUMPS, (dump) => {
    const plain = (text: string): string => text.replace(/ +DUMPFILE: .*\n/, "");
    const whole = features.dump("ELF");
    const dropped = DROPPED[dump.kind] ?? [];
    for (const command of COMMANDS) {
      const answer = plain(said(dump, command));
      expect(answer.trim(), command).not.toBe("");
      const needs = NEEDS.find((it) => it.commands.test(command));
      if (needs === undefined && dump.kind === "ELF") expect(answer, command).not.toMatch(COMPLAINT);
      if (!dropped.includes(command)) expect(answer, command).toBe(plain(said(whole, command)));
      else expect(answer, command).toMatch(/cannot access|page excluded/);
    }
    return dropped.length === 0 ? undefined : `all but \`${dropped.join("`, `")}\``;
  });

  features.feature("`ps`: the tasks and their states", DUMPS, (dump) => {
    const line = /^[> ] +(\d+) +(\d+) +\d+ +\w+ +(\w\w) +\S+ +\d+ +\d+ +(\[?)(.+?)\]?$/gm;
    const tasks = [...said(dump, "ps").matchAll(line)]
      .map(([, pid, ppid, state, kthread, comm]) => [Number(pid), Number(ppid), state, kthread !== "", comm])
      .filter(([pid]) => pid !== 0);
    // A zombie's address space is gone too, and crash takes it for a kernel thread's.
    const wanted = dump.truth.tasks.map(({ pid, ppid, state, kthread, comm }) => {
      const found = tasks.find(([number]) => number === pid);
      return [pid, ppid, STATES[state], state === "Z" ? found?.[3] : kthread, comm];
    });
    expect(tasks).toEqual(wanted);
  });

  features.feature("`bt`: the chain of the crash", DUMPS, (dump) => {
    expect(names(said(dump, "bt"))).toEqual(["machine_kexec", ...dump.truth.crash.backtrace]);
  });

  features.feature("`foreach bt`: the chain of each task that waits", DUMPS, (dump) => {
    const stacks = byTask(said(dump, "foreach bt"));
    const waiting = dump.truth.tasks.filter(({ backtrace }) => backtrace.length > 0);
    expect(waiting.length).toBeGreaterThan(8);
    for (const { pid, backtrace } of waiting) {
      // crash takes it that whoever waits is in __schedule, a task that has never run too.
      const fresh = backtrace.length === 1;
      expect(names(stacks.get(pid) ?? ""), `${pid}`).toEqual(fresh ? ["__schedule"] : backtrace);
    }
  });

  features.feature("`foreach files`: the open files of each task", DUMPS, (dump) => {
    const found = byTask(said(dump, "foreach files"));
    for (const { pid, files } of dump.truth.tasks) {
      const open = [...(found.get(pid) ?? "").matchAll(/^ *(\d+) \w{16} \w{16} \w{16} (\w+) *(.*)$/gm)];
      const told = open.map(([, fd, type, path]) => ({
        fd: Number(fd),
        path: type === "FIFO" ? PIPE : path,
      }));
      expect(told, `${pid}`).toEqual(files);
    }
    expect(dump.truth.tasks.some(({ files }) => files.some(({ path }) => path === PIPE))).toBe(true);
  });

  features.feature("`log`", DUMPS, (dump) => {
    const plain = (text: string): string[] =>
      text
        .trimEnd()
        .split("\n")
        .map((line) => line.trimEnd());
    expect(plain(said(dump, "log"))).toEqual(plain(dump.dmesg));
    const printed = dump.truth.log.filter((line) => /^\[ *\d+\.\d{6}\] /.test(line));
    expect(plain(said(dump, "log"))).toEqual(printed.map((line) => line.trimEnd()));
  });

  features.feature("`kmem -f`: the free pages, block by block", DUMPS, (dump) => {
    expect(said(dump, "kmem -f")).toContain(`nr_free_pages: ${dump.truth.pages.free}  (verified)`);
    const blocks = dump.truth.pages.free_blocks.map(() => 0);
    for (const [, order, , , count] of said(dump, "kmem -f").matchAll(
      /^ *(\d+) +(\d+)k +(\w{16}) +(\d+) +\d+$/gm,
    )) {
      blocks[Number(order)]! += Number(count);
    }
    expect(blocks).toEqual(dump.truth.pages.free_blocks);
  });

  features.feature("`kmem -s`: the objects of each cache", DUMPS, (dump) => {
    const line = /^\w{16} +(\d+) +(\d+) +(\d+) +(\d+) +\d+k +(\S.*)$/gm;
    const caches = [...said(dump, "kmem -s").matchAll(line)].map(([, ...it]) => [
      ...it.slice(0, 4).map(Number),
      it[4],
    ]);
    const wanted = dump.truth.slabs.map(({ name, object_size, active, objects, slabs }) => [
      ...[object_size, active, objects, slabs],
      name,
    ]);
    expect(caches).toEqual(wanted);
  });

  features.feature("`mount`, `mod`", DUMPS, (dump) => {
    const mounts = [...said(dump, "mount").matchAll(/^\w{16} \w{16} (\S+) +(\S+) +(\S+) *$/gm)];
    const wanted = dump.truth.mounts.map(({ type, device, path }) => [type, device, path]);
    expect(mounts.map(([, ...it]) => it)).toEqual(wanted);
    const modules = [...said(dump, "mod").matchAll(/^ *\w{16} +(\w+) +(?:\w{16} +)?(\d+) /gm)];
    expect(modules.map(([, name, size]) => ({ name, size: Number(size) }))).toEqual(dump.truth.modules);
  });
});
