/** Where a user task can sleep, for sleep-points.test.ts: how it gets there, and what ends it. */
import { expect } from "vitest";
import { type Proc, SIG_BLOCK, SIGHUP } from "../../runtime/user/proc.ts";
import { readText } from "../support/kernel-program.ts";

/** The functions that a task is in, the innermost first. */
export async function stack(proc: Proc, pid: number): Promise<string[]> {
  const text = await readText(proc, `/proc/${pid}/stack`);
  return [...text.matchAll(/^\[<0>\] (\w+)\+/gm)].map(([, name]) => name as string);
}

export async function state(proc: Proc, pid: number): Promise<string | undefined> {
  return /^State:\s+(\w)/m.exec(await readText(proc, `/proc/${pid}/status`))?.[1];
}

/** Milliseconds since power-on, to 10 of them. */
export async function uptime(proc: Proc): Promise<number> {
  return Number((await readText(proc, "/proc/uptime")).split(" ")[0]) * 1000;
}

export interface Sleeper {
  /** A function on its stack, and its state. */
  where: string;
  state: "S" | "D";
  /** In the task: goes to sleep; its exit status when it has woken up as it must. */
  sleep(child: Proc): Promise<number>;
  /** Lets the sleep end. */
  end(proc: Proc, pid: number): Promise<void>;
  /** How long the task may take to get there, milliseconds. */
  ready?: number;
  /**
   * What a handler does to the call (signal(7)): with SA_RESTART it is made again ("restarts"), or fails with
   * EINTR all the same; or it is not interrupted, and the handler runs when it is done ("late").
   */
  handler: "restarts" | "EINTR" | "late";
}

/** The same sleep can be slept several times. */
export type MakeSleeper = (proc: Proc) => Promise<Sleeper>;

const PIPE_BYTES = 100_000;
const NAP_MS = 400;
/** So many calls keep a vfork's child from its execve for a while. */
const DUPS = 100_000;

export const SLEEPERS: Record<string, MakeSleeper> = {
  nanosleep: async () => ({
    where: "do_nanosleep",
    state: "S",
    handler: "EINTR",
    async sleep(child) {
      const start = await uptime(child);
      await child.sleep(NAP_MS);
      const slept = (await uptime(child)) - start;
      return slept >= NAP_MS - 10 && slept <= NAP_MS + 30 ? 7 : 1;
    },
    end: (proc) => proc.sleep(NAP_MS),
  }),

  "an empty pipe": async (proc) => {
    const [read, write] = await proc.pipe();
    return {
      where: "pipe_read",
      state: "S",
      handler: "restarts",
      async sleep(child) {
        const bytes = new Uint8Array(10);
        const got = await child.read(read, bytes);
        return got === 3 && new TextDecoder().decode(bytes.subarray(0, 3)) === "abc" ? 7 : 1;
      },
      end: (own) => own.write(write, "abc"),
    };
  },

  "a full pipe": async (proc) => {
    const [read, write] = await proc.pipe();
    const data = Uint8Array.from({ length: PIPE_BYTES }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
    return {
      where: "pipe_write",
      state: "S",
      handler: "restarts",
      async sleep(child) {
        await child.write(write, data);
        return 7;
      },
      async end(own) {
        const got = new Uint8Array(PIPE_BYTES);
        for (let at = 0; at < got.length; ) at += await own.read(read, got.subarray(at));
        // No byte twice, and none left out.
        expect(Buffer.compare(got, data)).toBe(0);
      },
    };
  },

  wait4: async (proc) => {
    const [read, write] = await proc.pipe();
    return {
      where: "do_wait",
      state: "S",
      handler: "restarts",
      async sleep(child) {
        const pid = await child.fork(async (grandchild) => {
          await grandchild.read(read, new Uint8Array(1));
          return 42;
        });
        const found = await child.wait();
        return found.pid === pid && found.status === 42 << 8 ? 7 : 1;
      },
      end: (own) => own.write(write, "x"),
    };
  },

  vfork: async () => ({
    where: "wait_for_vfork_done",
    state: "D",
    handler: "late",
    async sleep(child) {
      const dup = Array.from({ length: DUPS }, () => [0, 2] as const);
      const pid = await child.spawn("/init", ["init", "child"], { dup });
      const found = await child.wait(pid);
      return found.status === 3 << 8 ? 7 : 1;
    },
    end: (proc) => proc.sleep(1),
    ready: 10,
  }),

  pause: async () => ({
    where: "__x64_sys_pause",
    state: "S",
    handler: "EINTR",
    async sleep(child) {
      await child.sigaction(SIGHUP, { handler: () => undefined });
      await child.pause();
      return 7;
    },
    end: (proc, pid) => proc.kill(pid, SIGHUP),
  }),

  sigsuspend: async () => ({
    where: "sigsuspend",
    state: "S",
    handler: "EINTR",
    async sleep(child) {
      await child.sigaction(SIGHUP, { handler: () => undefined });
      const before = await child.sigprocmask(SIG_BLOCK, [SIGHUP]);
      await child.sigsuspend([10]);
      return (await child.block(before)).includes(SIGHUP) ? 7 : 1;
    },
    end: (proc, pid) => proc.kill(pid, SIGHUP),
  }),
};

export async function expectAsleep(
  proc: Proc,
  pid: number,
  { where, state: letter }: Sleeper,
): Promise<void> {
  expect(await stack(proc, pid)).toContain(where);
  expect(await state(proc, pid)).toBe(letter);
}

/** Forks the sleeper and waits until it sleeps where it must. */
export async function asleep(proc: Proc, sleeper: Sleeper): Promise<number> {
  const pid = await proc.fork(sleeper.sleep);
  await proc.sleep(sleeper.ready ?? 20);
  await expectAsleep(proc, pid, sleeper);
  return pid;
}
