/**
 * What stock crash says of signals (`sig`, and `bt` of tasks that they interrupted), against the host's own
 * record of the machine and what its programs did.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { currentHost, fileChunks, MemoryFs } from "../../runtime/adapter/index.ts";
import { boot } from "../../runtime/index.ts";
import {
  O_WRONLY,
  type Proc,
  type Program,
  SA_RESTART,
  SA_SIGINFO,
  SIG_BLOCK,
  SIGCHLD,
  SIGCONT,
  SIGHUP,
  SIGINT,
  SIGSTOP,
  SIGTERM,
  SIGUSR1,
  SIGUSR2,
} from "../../runtime/user/proc.ts";
import { MachineRecord } from "../../tools/fuzz/record.ts";
import { runner } from "../../tools/init/exec.ts";
import { machinePrograms } from "../../tools/init/programs.ts";
import { type BootDump, built } from "../support/boot.ts";
import { describeStock } from "../support/stock.ts";
import { type CrashRun, crash } from "./debuggers.ts";

const MEMORY = 32 << 20;
const LONG_MS = 3_600_000;
const SIGRTMIN = 34;
const NSIG = 64;
/** crash prints the flags of an action by these names. */
const SA_NAMES: Record<string, number> = {
  SA_NOCLDSTOP: 1,
  SA_NOCLDWAIT: 2,
  SA_SIGINFO,
  SA_RESTORER: 0x04000000,
  SA_RESTART,
  SA_RESETHAND: 0x80000000,
};

const pids = { waiting: 0, handling: 0, naps: 0 };

/** Tasks with masks, handlers and pending signals, in handlers and in calls that were interrupted. */
async function story(proc: Proc): Promise<void> {
  pids.waiting = await proc.fork(async (child) => {
    await child.sigaction(SIGHUP, { handler: () => undefined, flags: SA_RESTART });
    await child.sigaction(SIGUSR1, { handler: () => undefined, flags: SA_SIGINFO, mask: [SIGTERM] });
    await child.ignore(SIGINT, true);
    await child.sigprocmask(SIG_BLOCK, [SIGUSR1, SIGUSR2, SIGRTMIN]);
    await child.pause();
    return 0;
  });
  pids.handling = await proc.fork(async (child) => {
    await child.sigaction(SIGUSR1, { handler: (own) => own.sleep(LONG_MS), mask: [SIGCHLD] });
    await child.pause();
    return 0;
  });
  pids.naps = await proc.fork(async (child) => {
    await child.sleep(LONG_MS);
    return 0;
  });
  await proc.sleep(20);
  for (const signal of [SIGUSR1, SIGUSR1, SIGUSR2, SIGRTMIN, SIGRTMIN]) await proc.kill(pids.waiting, signal);
  await proc.kill(pids.handling, SIGUSR1);
  await proc.kill(pids.naps, SIGSTOP);
  await proc.sleep(5);
  await proc.kill(pids.naps, SIGCONT);
  await proc.sleep(20);
  const trigger = await proc.open("/proc/sysrq-trigger", O_WRONLY);
  await proc.write(trigger, "c");
}

interface Action {
  handler: string;
  mask: bigint;
  flags: string;
}

interface Sig {
  pending: boolean;
  actions: Map<number, Action>;
  /** By their names in crash's output. */
  masks: Record<string, bigint>;
  /** SIGNAL numbers of the two queues. */
  queued: number[];
}

/** What `sig PID` prints. */
function parse(text: string): Sig {
  const row =
    /^ *\[?(\d+)\]? +([0-9a-f]{16}) +(SIG_DFL|SIG_IGN|[0-9a-f]+) +([0-9a-f]{16}) +(\S+) ?(?:\((.*)\))?$/gm;
  const actions = [...text.matchAll(row)].map(
    ([, signal, , handler = "", mask, , names]) =>
      [Number(signal), { handler, mask: BigInt(`0x${mask}`), flags: names ?? "" }] as const,
  );
  const masks = [...text.matchAll(/^ *(BLOCKED|SIGNAL): ([0-9a-f]{16})$/gm)];
  const [own = 0n, shared = 0n] = masks.filter(([, n]) => n === "SIGNAL").map(([, , m]) => BigInt(`0x${m}`));
  const blocked = masks.find(([, name]) => name === "BLOCKED");
  return {
    pending: /SIGPENDING: yes/.test(text),
    actions: new Map(actions),
    masks: { BLOCKED: BigInt(`0x${blocked?.[2] ?? "0"}`), own, shared },
    queued: [...text.matchAll(/^ *(?:SIGQUEUE: +)?(\d+) +[0-9a-f]{16}$/gm)].map(([, signal]) =>
      Number(signal),
    ),
  };
}

const bits = (...signals: number[]): bigint =>
  signals.reduce((mask, signal) => mask | (1n << BigInt(signal - 1)), 0n);

describeStock(["crash"], "crash on the signals of a crashed kernel", () => {
  const directory = mkdtempSync(join(tmpdir(), "wkdump-"));
  const record = new MachineRecord();
  let answers: CrashRun;

  const sig = (pid: number): Sig => parse(answers.output.get(`sig ${pid}`) ?? "");
  const frames = (pid: number): string[] =>
    [...(answers.output.get(`bt ${pid}`) ?? "").matchAll(/^ *#\d+ \[\w+\] (\w+) at/gm)].map(
      ([, name]) => name as string,
    );

  beforeAll(async () => {
    const programs = machinePrograms();
    const usual = programs.init as Program;
    const run = runner(programs);
    programs.init = async (proc) => {
      // The capture kernel's.
      if ((await proc.open("/usr/bin/kdump", 0).catch(() => -1)) >= 0) return usual(proc);
      await run(proc, ["kdumpctl", "start"]);
      await story(proc);
      return 0;
    };
    const hostfs = new MemoryFs();
    const result = await boot({
      image: readFileSync(built("vmlinuz")),
      initrd: readFileSync(built("initrd.img")),
      memory: MEMORY,
      cmdline: "crashkernel=2M",
      seed: 6,
      console: () => undefined,
      hostfs,
      host: currentHost(),
      programs,
      tracer: record,
    });
    expect(result.outcome).toBe("captured");
    const vmcore = join(directory, "vmcore");
    // Each piece is gone with the next.
    const pieces = Array.from(fileChunks(hostfs, result.vmcores[0] as string), (piece) => piece.slice());
    writeFileSync(vmcore, Buffer.concat(pieces));
    const dump = { directory, vmcore, json: { vmlinux: built("vmlinux") } } as unknown as BootDump;
    const asked = Object.values(pids).filter((pid) => pid !== 0);
    answers = crash(
      dump,
      [...asked, 1].flatMap((pid) => [`sig ${pid}`, `bt ${pid}`]),
    );
  }, 120_000);
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it("`sig`: each action is the one that the task has set", () => {
    for (const pid of [pids.waiting, pids.handling, pids.naps, 1]) {
      const task = [...record.tasks].find((it) => it.pid === pid);
      expect(task, `task ${pid}`).toBeDefined();
      const { actions } = sig(pid);
      expect(actions.size).toBe(NSIG);
      for (const [signal, { handler, flags }] of actions) {
        const wanted = task?.actions.get(signal);
        const name = wanted === undefined ? "SIG_DFL" : wanted.handler === 1 ? "SIG_IGN" : undefined;
        const what = `task ${pid}, signal ${signal}`;
        if (name !== undefined) expect(handler, what).toBe(name);
        else expect(Number.parseInt(handler, 16), what).toBe(wanted?.handler);
        const named = Object.keys(SA_NAMES).filter(
          (it) => ((wanted?.flags ?? 0) & (SA_NAMES[it] as number)) !== 0,
        );
        expect(
          flags
            .split("|")
            .filter((it) => it in SA_NAMES)
            .sort(),
          what,
        ).toEqual(named.sort());
      }
    }
    expect(sig(pids.waiting).actions.get(SIGUSR1)?.mask).toBe(bits(SIGTERM));
  });

  it("`sig`: what is blocked, what is pending, and each record in the queue", () => {
    const { masks, queued, pending } = sig(pids.waiting);
    expect(masks).toEqual({
      BLOCKED: bits(SIGUSR1, SIGUSR2, SIGRTMIN),
      own: 0n,
      shared: bits(SIGUSR1, SIGUSR2, SIGRTMIN),
    });
    expect(queued).toEqual([SIGUSR1, SIGUSR2, SIGRTMIN, SIGRTMIN]);
    expect(pending).toBe(false);
    // In a handler: the signal itself, and what its action names.
    expect(sig(pids.handling).masks).toEqual({ BLOCKED: bits(SIGUSR1, SIGCHLD), own: 0n, shared: 0n });
    expect(sig(1).masks.BLOCKED).toBe(0n);
  });

  it("`bt` of a handler that sleeps, of a sleep that a stop has interrupted, and of a pause", () => {
    expect(frames(pids.handling)).toContain("__x64_sys_nanosleep");
    expect(frames(pids.naps)).toContain("__x64_sys_restart_syscall");
    expect(frames(pids.waiting)).toContain("__x64_sys_pause");
  });
});
