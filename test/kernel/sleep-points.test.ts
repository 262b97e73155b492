/**
 * Every place of the kernel that sleeps. A sleeping operation here starts over when its task is woken, so
 * each place is woken when nothing has happened for it, twice, and interrupted by signals, and must then end
 * as if nothing had been. The table below has them all: a test looks for new ones in the sources.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import {
  O_WRONLY,
  type Proc,
  SA_RESTART,
  SIGCHLD,
  SIGCONT,
  SIGKILL,
  SIGSTOP,
  SIGTERM,
  SIGUSR2,
  WNOHANG,
} from "../../runtime/user/proc.ts";
import { ROOT } from "../../tools/build/specs.ts";
import { runInKernel } from "../support/kernel-program.ts";
import { sysrqKernel } from "../support/sysrq-kernel.ts";
import { asleep, expectAsleep, SLEEPERS, stack, state } from "./sleepers.ts";

/** What puts a task to sleep, or leads there. */
const SLEEPS =
  /\b(schedule|schedule_timeout\w*|io_schedule\w*|wait_event\w*|prepare_to_wait\w*|wait_for_completion\w*)\(/;

/** Each function that calls one of these, and the tests below that put a task there. */
const SLEEP_POINTS: Record<string, readonly string[]> = {
  "arch/kernel/process.ts syscall_exit_to_user_mode": ["a busy task"],
  "drivers/misc/lkdtm/bugs.ts lkdtm_HUNG_TASK": ["a hung task"],
  "fs/pipe.ts pipe_read": ["an empty pipe"],
  "fs/pipe.ts pipe_write": ["a full pipe"],
  "init/main.ts kernel_init_freeable": ["boot"],
  "kernel/async.ts async_synchronize_full": ["boot"],
  "kernel/exit.ts do_exit": ["a zombie"],
  "kernel/fork.ts wait_for_vfork_done": ["vfork"],
  "kernel/hung_task.ts watchdog": ["kernel threads"],
  "kernel/kthread.ts kthreadd": ["kernel threads"],
  "kernel/sched/core.ts do_sched_yield": ["a task that yields"],
  "kernel/sched/sleep.ts do_nanosleep": ["nanosleep"],
  "kernel/sched/sleep.ts schedule_timeout": ["nanosleep"],
  "kernel/sched/wait.ts wait_event_sleep": ["wait4", "an empty pipe", "a full pipe", "vfork"],
  "kernel/sched/wait.ts wait_for_completion": ["boot"],
  "kernel/signal_calls.ts wait_for_signal": ["pause", "sigsuspend"],
  "kernel/signal_deliver.ts do_signal_stop": ["a stopped task"],
  "kernel/wait.ts do_wait": ["wait4"],
  "kernel/workqueue.ts worker_thread": ["kernel threads"],
  "mm/kswapd.ts kswapd": ["kernel threads"],
};

/** "FILE FUNCTION" of each call in the kernel's sources. */
function sleepPoints(): string[] {
  const root = join(ROOT, "kernel-wasm");
  const found = new Set<string>();
  for (const file of readdirSync(root, { recursive: true, encoding: "utf8" }).sort()) {
    if (!file.endsWith(".ts") || /^(abi|include|lib)\//.test(file)) continue;
    let inside = "";
    for (const line of readFileSync(join(root, file), "utf8").split("\n")) {
      const start = /^(?:export )?function (\w+)\(/.exec(line);
      if (start !== null) inside = start[1] as string;
      else if (!/^\s*(\/\/|\*|\/\*)/.test(line) && SLEEPS.test(line)) found.add(`${file} ${inside}`);
    }
  }
  return [...found].sort();
}

const WAKE = `
import { list_is_head } from "../../lib/list";
import { task_struct, work_struct } from "../../include/generated/structs";
import { try_to_wake_up } from "../../kernel/sched/core";
import { INIT_WORK, schedule_work } from "../../kernel/workqueue";
import { kzalloc } from "../../mm/slub";

/** What any wake_up() of another's may do: TASK_NORMAL, whoever sleeps. */
export function wake_everybody(): void {
  const first = sym.init_task;
  let t = task_struct.from_tasks(first.tasks.next);
  while (changetype<usize>(t) != changetype<usize>(first)) {
    if (t.__state & 3 && !t.exit_state && try_to_wake_up(t, 3)) pr_info(c\`sleep-points: woke %d\\n\`, t.pid);
    t = task_struct.from_tasks(t.tasks.next);
  }
}
function say_done(work: work_struct): void { pr_info(c\`sleep-points: work done\\n\`); }
function wake_and_work(): void {
  wake_everybody();
  const work = changetype<work_struct>(kzalloc(work_struct.SIZE, 0xcc0));
  INIT_WORK(work, fnptr(say_done));
  schedule_work(work);
}
`;

let image: Uint8Array;

beforeAll(async () => {
  image = await sysrqKernel("wake_and_work();", WAKE, {
    // While the first asynchronous call runs, the boot sleeps until all are done.
    "kernel-wasm/kernel/async.ts": (text) =>
      `${text.replace("const entry = async_entry.from_work(work);", "$&\n  wake_everybody();")}
import { wake_everybody } from "../drivers/tty/sysrq";
`,
  });
}, 300_000);

const inKernel = (program: (proc: Proc) => Promise<void>) => runInKernel(program, { image, limit: 100_000 });

/** Wakes every task that sleeps. */
async function wakeAll(proc: Proc): Promise<void> {
  const fd = await proc.open("/proc/sysrq-trigger", O_WRONLY);
  await proc.write(fd, "c");
  await proc.close(fd);
}

describe("the table of sleep points", () => {
  it("has every place in the sources that sleeps, and tests for each", () => {
    expect(sleepPoints()).toEqual(Object.keys(SLEEP_POINTS).sort());
    const files = [import.meta.url, new URL("sleepers.ts", import.meta.url)];
    const tests = files.map((file) => readFileSync(new URL(file), "utf8")).join();
    for (const names of Object.values(SLEEP_POINTS)) {
      for (const name of names) expect(tests).toMatch(new RegExp(`(it\\("|^  "?)${name}"?[,:]`, "m"));
    }
  });
});

/** Init, which is also what the vfork's child runs: it ends with 3. */
const both =
  (test: (proc: Proc) => Promise<void>) =>
  async (proc: Proc): Promise<void> => {
    if (proc.argv[1] === "child") await (proc as Proc & { exit(status: number): Promise<never> }).exit(3);
    await test(proc);
  };

describe.each(Object.entries(SLEEPERS))("a task in %s", (name, make) => {
  it("that is woken for nothing, twice, sleeps on, and wakes up as if it had not been", async () => {
    let pid = 0;
    const { console } = await inKernel(
      both(async (proc) => {
        const sleeper = await make(proc);
        pid = await asleep(proc, sleeper);
        for (let time = 0; time < 2; time++) {
          await wakeAll(proc);
          await proc.sleep(1);
          await expectAsleep(proc, pid, sleeper);
        }
        await sleeper.end(proc, pid);
        expect(await proc.wait(pid)).toEqual({ pid, status: 7 << 8 });
      }),
    );
    expect(console.match(new RegExp(`sleep-points: woke ${pid}\\b`, "g"))).toHaveLength(2);
  });

  it("is not disturbed by signals that are ignored or blocked, nor by SIGCONT", async () => {
    await inKernel(
      both(async (proc) => {
        const sleeper = await make(proc);
        const { sleep } = sleeper;
        const pid = await asleep(proc, {
          ...sleeper,
          async sleep(child) {
            await child.ignore(SIGTERM, true);
            await child.block([10]);
            return sleep(child);
          },
        });
        for (const signal of [SIGTERM, SIGCHLD, SIGCONT, 10]) await proc.kill(pid, signal);
        await proc.sleep(1);
        await expectAsleep(proc, pid, sleeper);
        await sleeper.end(proc, pid);
        expect(await proc.wait(pid)).toEqual({ pid, status: 7 << 8 });
      }),
    );
  });

  it("that is stopped and continued begins its call again, and the call ends as it must", async () => {
    await inKernel(
      both(async (proc) => {
        const sleeper = await make(proc);
        const pid = await asleep(proc, sleeper);
        for (let time = 0; time < 2; time++) {
          await proc.kill(pid, SIGSTOP);
          await proc.sleep(1);
          // A vfork is not interrupted; its stop comes when it is done.
          expect(await state(proc, pid)).toBe(sleeper.state === "S" ? "T" : "D");
          await proc.kill(pid, SIGCONT);
          await proc.sleep(1);
          await expectAsleep(proc, pid, sleeper);
        }
        await sleeper.end(proc, pid);
        expect(await proc.wait(pid)).toEqual({ pid, status: 7 << 8 });
      }),
    );
  });

  it.each([0, SA_RESTART])(
    "is interrupted by a handler, or not, as signal(7) says: flags %d",
    async (flags) => {
      await inKernel(
        both(async (proc) => {
          const sleeper = await make(proc);
          const EINTR_STATUS = 4;
          let turns = 0;
          const pid = await asleep(proc, {
            ...sleeper,
            async sleep(child) {
              await child.sigaction(SIGUSR2, { handler: () => void turns++, flags });
              return sleeper.sleep(child).catch((error) => (error.code === "EINTR" ? EINTR_STATUS : 1));
            },
          });
          // What a write has put in already it says at the first signal; the second finds it with nothing
          // done.
          for (let time = 1; time <= 2 && (await state(proc, pid)) === sleeper.state; time++) {
            await proc.kill(pid, SIGUSR2);
            await proc.sleep(2);
            expect(turns).toBe(sleeper.handler === "late" ? 0 : time);
          }
          const restarts =
            sleeper.handler === "late" || (sleeper.handler === "restarts" && flags === SA_RESTART);
          if (restarts) {
            await expectAsleep(proc, pid, sleeper);
            await sleeper.end(proc, pid);
          }
          // Those calls that wait for a handler end well by one.
          const well = restarts || /^(pause|sigsuspend)$/.test(name);
          const { status } = await proc.wait(pid);
          expect(status).toBe(name === "nanosleep" ? EINTR_STATUS << 8 : (well ? 7 : EINTR_STATUS) << 8);
          expect(turns).toBeGreaterThan(0);
        }),
      );
    },
  );

  it("ends with a signal that kills, after spurious wakeups too", async () => {
    await inKernel(
      both(async (proc) => {
        for (const signal of [SIGTERM, SIGKILL]) {
          const pid = await asleep(proc, await make(proc));
          await wakeAll(proc);
          await proc.sleep(1);
          await proc.kill(pid, signal);
          expect(await proc.wait(pid)).toEqual({ pid, status: signal });
        }
      }),
    );
  });
});

describe("other places", () => {
  it("a stopped task", async () => {
    await inKernel(async (proc) => {
      const pid = await proc.fork(async (child) => {
        await child.sleep(30);
        return 7;
      });
      await proc.sleep(5);
      await proc.kill(pid, SIGSTOP);
      await proc.sleep(1);
      expect(await stack(proc, pid)).toContain("do_signal_stop");
      for (let time = 0; time < 2; time++) {
        await wakeAll(proc);
        await proc.sleep(50);
        // A stop ends with SIGCONT or SIGKILL, not with a wakeup.
        expect(await state(proc, pid)).toBe("T");
      }
      await proc.kill(pid, SIGTERM);
      await proc.sleep(5);
      expect(await state(proc, pid)).toBe("T");
      await proc.kill(pid, SIGCONT);
      expect(await proc.wait(pid)).toEqual({ pid, status: SIGTERM });
    });
  });

  it("a zombie", async () => {
    await inKernel(async (proc) => {
      const pid = await proc.fork(async () => 9);
      await proc.sleep(5);
      for (let time = 0; time < 2; time++) {
        await wakeAll(proc);
        await proc.kill(pid, SIGKILL);
        await proc.kill(pid, SIGCONT);
        await proc.sleep(2);
        expect(await state(proc, pid)).toBe("Z");
      }
      expect(await proc.wait(pid)).toEqual({ pid, status: 9 << 8 });
    });
  });

  it("a task that yields", async () => {
    await inKernel(async (proc) => {
      let turns = 0;
      const pid = await proc.fork(async (child) => {
        for (; turns < 50; turns++) await child.schedYield();
        return turns;
      });
      for (let time = 0; time < 5; time++) {
        await wakeAll(proc);
        await proc.kill(pid, SIGSTOP);
        await proc.schedYield();
        expect(await proc.wait(pid, WNOHANG)).toMatchObject({ pid: 0 });
        await proc.kill(pid, SIGCONT);
      }
      expect(await proc.wait(pid)).toEqual({ pid, status: 50 << 8 });
    });
  });

  it("a busy task", async () => {
    await inKernel(async (proc) => {
      // Each call counts once, though the task gives way at its end, is stopped there, and is woken.
      const [read, write] = await proc.pipe();
      const pid = await proc.fork(async (child) => {
        for (let i = 0; i < 200; i++) {
          await child.write(write, "x");
          await child.read(read, new Uint8Array(1));
        }
        await child.write(write, "y");
        return 7;
      });
      for (let time = 0; time < 5; time++) {
        await proc.sleep(1);
        await wakeAll(proc);
        await proc.kill(pid, SIGSTOP);
        await proc.kill(pid, SIGCONT);
      }
      expect(await proc.wait(pid)).toEqual({ pid, status: 7 << 8 });
      const bytes = new Uint8Array(10);
      expect(await proc.read(read, bytes)).toBe(1);
      expect(bytes[0]).toBe("y".charCodeAt(0));
    });
  });

  it("kernel threads", async () => {
    const { console } = await inKernel(async (proc) => {
      const threads: [pid: number, place: string][] = [];
      for (let pid = 2; pid < 20; pid++) {
        const place = await stack(proc, pid).catch(() => []);
        if (place.length > 0) threads.push([pid, place.join()]);
      }
      for (const function_ of ["kthreadd", "worker_thread", "watchdog"]) {
        expect(threads.some(([, place]) => place.includes(function_))).toBe(true);
      }
      for (let time = 0; time < 2; time++) {
        await wakeAll(proc);
        await proc.sleep(1);
        for (const [pid, place] of threads) {
          await proc.kill(pid, SIGKILL);
          expect((await stack(proc, pid)).join(), `task ${pid}`).toBe(place);
        }
      }
    });
    // Each time there was work as well, and it was done once.
    expect(console.match(/sleep-points: work done/g)).toHaveLength(2);
  });

  it("a hung task", async () => {
    await inKernel(async (proc) => {
      const pid = await proc.fork(async (child) => {
        const fd = await child.open("/sys/kernel/debug/provoke-crash/DIRECT", O_WRONLY);
        await child.write(fd, "HUNG_TASK");
        return 1;
      });
      await proc.sleep(20);
      for (let time = 0; time < 3; time++) {
        expect(await stack(proc, pid)).toContain("lkdtm_HUNG_TASK");
        expect(await state(proc, pid)).toBe("D");
        await proc.kill(pid, SIGKILL);
        await wakeAll(proc);
        await proc.sleep(1);
      }
    });
  });

  it("boot", async () => {
    // This kernel wakes the boot while it waits for its probes: it comes to its end with all of them done.
    const { console, result } = await inKernel(async () => {});
    expect(console).toMatch(/ttyS0 at/);
    expect(console).toMatch(/registered as rtc0/);
    expect(result.outcome).toBe("powered-off");
  });
});
