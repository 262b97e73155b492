/** Signal handlers of programs: when they run, what they may do, and which signals the kernel sends. */
import { describe, expect, it } from "vitest";
import {
  type Proc,
  SA_NOCLDSTOP,
  SA_NODEFER,
  SA_RESETHAND,
  SA_RESTART,
  SA_SIGINFO,
  SIG_BLOCK,
  SIG_UNBLOCK,
  SIGALRM,
  SIGCHLD,
  SIGCONT,
  SIGINT,
  SIGKILL,
  SIGPIPE,
  SIGSEGV,
  SIGSTOP,
  SIGTERM,
  SIGUSR1,
  SIGUSR2,
  type SignalInfo,
  WCONTINUED,
} from "../../runtime/user/proc.ts";
import type { Process } from "../../runtime/user/process.ts";
import { readText, runInKernel } from "../support/kernel-program.ts";
import {
  inKernel,
  LIMIT,
  maskOf,
  peek,
  poke,
  raw,
  SIGRTMIN,
  SYS,
  sleeper,
  status,
} from "../support/signals.ts";

describe.each([1, 4])("a handler, on %d CPUs", (cpus) => {
  it("runs when the signal comes, knows who sent it, and the interrupted call ends with EINTR", async () => {
    const seen: [number, SignalInfo | undefined][] = [];
    let [sender, code] = [0, ""];
    await inKernel(async (proc) => {
      sender = await proc.getpid();
      const pid = await sleeper(proc, async (child) => {
        const handler = (_: Proc, signal: number, info: SignalInfo | undefined): void => {
          seen.push([signal, info]);
        };
        await child.sigaction(SIGUSR1, { handler, flags: SA_SIGINFO });
        await child.sigaction(SIGUSR2, { handler });
        await child.pause();
        await child.pause();
        code = await child.sleep(1000).then(
          () => "slept",
          (error) => error.code,
        );
        return 7;
      });
      for (const signal of [SIGUSR1, SIGUSR2, SIGUSR1]) {
        await proc.kill(pid, signal);
        await proc.sleep(5);
      }
      expect(await proc.wait(pid)).toEqual({ pid, status: 7 << 8 });
    }, cpus);
    expect(seen.map(([signal]) => signal)).toEqual([SIGUSR1, SIGUSR2, SIGUSR1]);
    expect(seen[0]?.[1]).toMatchObject({ signo: SIGUSR1, code: 0, pid: sender, uid: 0 });
    expect(seen[1]?.[1]).toBeUndefined();
    expect(code).toBe("EINTR");
  });

  it("makes calls of its own, and those that it interrupted find their arguments as they were", async () => {
    await inKernel(async (proc) => {
      const [read, write] = await proc.pipe();
      const [turnRead, turnWrite] = await proc.pipe();
      const data = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 13 + (i >> 9)) & 0xff);
      const pid = await sleeper(proc, async (child) => {
        let turns = 0;
        const handler = async (own: Proc): Promise<void> => {
          turns++;
          const fd = await own.open("/proc/self/status", 0);
          await own.read(fd, new Uint8Array(300));
          await own.close(fd);
          await own.write(turnWrite, "x");
        };
        await child.sigaction(SIGUSR1, { handler, flags: SA_RESTART });
        await child.write(write, data);
        return turns;
      });
      for (let i = 0; i < 5; i++) {
        await proc.kill(pid, SIGUSR1);
        await proc.read(turnRead, new Uint8Array(1));
      }
      const got = new Uint8Array(data.length);
      for (let at = 0; at < got.length; ) at += await proc.read(read, got.subarray(at));
      expect(Buffer.compare(got, data)).toBe(0);
      expect(await proc.wait(pid)).toEqual({ pid, status: 5 << 8 });
    }, cpus);
  });

  it("is interrupted by another's signal, and goes on after that", async () => {
    const order: string[] = [];
    await inKernel(async (proc) => {
      const self = await proc.getpid();
      await proc.sigaction(SIGUSR2, { handler: () => void order.push("two") });
      await proc.sigaction(SIGUSR1, {
        handler: async (own) => {
          order.push("one");
          await own.kill(self, SIGUSR2);
          order.push("one goes on");
        },
      });
      await proc.kill(self, SIGUSR1);
      order.push("main");
    }, cpus);
    expect(order).toEqual(["one", "two", "one goes on", "main"]);
  });

  it("keeps off what its mask names, and itself unless SA_NODEFER is set", async () => {
    const order: string[] = [];
    await inKernel(async (proc) => {
      const self = await proc.getpid();
      let depth = 0;
      await proc.sigaction(SIGUSR2, { handler: () => void order.push("two") });
      await proc.sigaction(SIGUSR1, {
        mask: [SIGUSR2],
        handler: async (own) => {
          order.push("one");
          expect((await status(own)).SigBlk).toBe(maskOf(SIGUSR1, SIGUSR2));
          if (depth++ === 0) await own.kill(self, SIGUSR1);
          await own.kill(self, SIGUSR2);
          expect(await own.sigpending()).toContain(SIGUSR2);
          order.push("one ends");
        },
      });
      await proc.kill(self, SIGUSR1);
      expect((await status(proc)).SigBlk).toBe(maskOf());
      // The lowest number first: 10 interrupts again before 12 is run.
      expect(order.splice(0)).toEqual(["two", "one", "one ends", "one", "one ends"].slice(1).concat("two"));
      await proc.sigaction(SIGINT, {
        flags: SA_NODEFER,
        handler: async (own) => {
          order.push(`down ${depth}`);
          if (depth++ < 4) await own.kill(self, SIGINT);
          order.push("up");
        },
      });
      await proc.kill(self, SIGINT);
      expect(order).toEqual(["down 2", "down 3", "down 4", "up", "up", "up"]);
    }, cpus);
  });

  it("runs once with SA_RESETHAND; the next such signal has its default action", async () => {
    await inKernel(async (proc) => {
      let turns = 0;
      const pid = await sleeper(proc, async (child) => {
        await child.sigaction(SIGUSR1, { handler: () => void turns++, flags: SA_RESETHAND });
        for (;;) await child.pause();
      });
      await proc.kill(pid, SIGUSR1);
      await proc.sleep(5);
      expect((await status(proc, pid)).SigCgt).toBe(maskOf());
      await proc.kill(pid, SIGUSR1);
      expect(await proc.wait(pid)).toEqual({ pid, status: SIGUSR1 });
      expect(turns).toBe(1);
    }, cpus);
  });

  it("runs once for a standard signal that came often while blocked, for each real-time one", async () => {
    await inKernel(async (proc) => {
      const counts = new Map<number, number>();
      const self = await proc.getpid();
      for (const signal of [SIGUSR1, SIGRTMIN]) {
        const handler = (): void => void counts.set(signal, (counts.get(signal) ?? 0) + 1);
        await proc.sigaction(signal, { handler });
      }
      await proc.sigprocmask(SIG_BLOCK, [SIGUSR1, SIGRTMIN]);
      for (let i = 0; i < 3; i++) for (const signal of [SIGUSR1, SIGRTMIN]) await proc.kill(self, signal);
      const { ShdPnd, SigPnd, SigBlk, SigQ } = await status(proc);
      expect([ShdPnd, SigPnd]).toEqual([maskOf(SIGUSR1, SIGRTMIN), maskOf()]);
      expect(SigBlk).toBe(maskOf(SIGUSR1, SIGRTMIN));
      expect(SigQ).toMatch(/^4\/\d+$/);
      expect(counts.size).toBe(0);
      expect(await proc.sigpending()).toEqual([SIGUSR1, SIGRTMIN]);
      await proc.sigprocmask(SIG_UNBLOCK, [SIGUSR1, SIGRTMIN]);
      expect([...counts]).toEqual([
        [SIGRTMIN, 3],
        [SIGUSR1, 1],
      ]);
      expect((await status(proc)).SigQ).toMatch(/^0\//);
    }, cpus);
  });

  it("of a signal for one thread: SigPnd, and SI_TKILL", async () => {
    await inKernel(async (proc) => {
      const self = await proc.getpid();
      let code: number | undefined;
      await proc.sigaction(SIGUSR1, {
        flags: SA_SIGINFO,
        handler: (_, __, info) => void (code = info?.code),
      });
      await proc.block([SIGUSR1]);
      expect(await raw(proc, SYS.tgkill, self, self, SIGUSR1)).toBe(0);
      const { SigPnd, ShdPnd } = await status(proc);
      expect([SigPnd, ShdPnd]).toEqual([maskOf(SIGUSR1), maskOf()]);
      await proc.block([]);
      expect(code).toBe(-6);
      expect(await raw(proc, SYS.tgkill, self + 1, self, SIGUSR1)).toBe(-3);
    }, cpus);
  });
});

describe("what a handler may do", () => {
  it("fork: the child inherits the handlers, and has none of its parent's calls to end", async () => {
    await inKernel(async (proc) => {
      const turns: number[] = [];
      let child = 0;
      const self = await proc.getpid();
      await proc.sigaction(SIGUSR1, {
        handler: async (own) => {
          turns.push(await own.getpid());
          if (child !== 0) return;
          child = await own.fork(async (forked) => {
            expect((await status(forked)).SigCgt).toBe(maskOf(SIGUSR1));
            // As in Linux: it still has the mask that the handler runs with.
            expect(await forked.block([])).toEqual([SIGUSR1]);
            await forked.pause();
            return 5;
          });
        },
      });
      await proc.kill(self, SIGUSR1);
      await proc.sleep(10);
      await proc.kill(child, SIGUSR1);
      expect(await proc.wait(child)).toEqual({ pid: child, status: 5 << 8 });
      expect(turns).toEqual([self, child]);
    });
  });

  it("exit", async () => {
    await inKernel(async (proc) => {
      const pid = await sleeper(proc, async (child) => {
        await child.sigaction(SIGTERM, { handler: (own) => (own as Process).exit(42) });
        await child.sleep(10_000);
        return 1;
      });
      await proc.kill(pid, SIGTERM);
      expect(await proc.wait(pid)).toEqual({ pid, status: 42 << 8 });
    });
  });

  it("execve: handlers are gone, what was ignored, blocked and pending stays", async () => {
    const found: Record<string, string>[] = [];
    await runInKernel(
      async (proc) => {
        const pid = await sleeper(proc, async (child) => {
          const self = await child.getpid();
          await child.ignore(SIGINT, true);
          await child.sigaction(SIGUSR2, { handler: () => undefined });
          await child.sigaction(SIGUSR1, {
            mask: [SIGUSR2],
            handler: async (own) => {
              await own.kill(self, SIGUSR2);
              await own.exec("/look", ["look"]);
            },
          });
          await child.pause();
          return 1;
        });
        await proc.kill(pid, SIGUSR1);
        expect(await proc.wait(pid)).toEqual({ pid, status: 9 << 8 });
      },
      {
        limit: LIMIT,
        files: { "/look": { mode: 0o755, contents: "#!program look\n" } },
        programs: {
          look: async (proc) => {
            found.push(await status(proc));
            return 9;
          },
        },
      },
    );
    expect(found[0]).toMatchObject({
      SigCgt: maskOf(),
      SigIgn: maskOf(SIGINT),
      SigBlk: maskOf(SIGUSR1, SIGUSR2),
      ShdPnd: maskOf(SIGUSR2),
    });
  });

  it("spawn: the program has its default actions from the start, and the mask of its parent", async () => {
    const found: Record<string, string>[] = [];
    await runInKernel(
      async (proc) => {
        await proc.sigaction(SIGUSR1, { handler: () => undefined });
        await proc.block([SIGUSR2]);
        const pid = await proc.spawn("/look", ["look"]);
        await proc.wait(pid);
        expect(await proc.block([])).toEqual([SIGUSR2]);
      },
      {
        limit: LIMIT,
        files: { "/look": { mode: 0o755, contents: "#!program look\n" } },
        programs: {
          look: async (proc) => {
            found.push(await status(proc));
            return 0;
          },
        },
      },
    );
    expect(found[0]).toMatchObject({ SigCgt: maskOf(), SigBlk: maskOf(SIGUSR2) });
  });

  it("be wrong: a bug in a handler ends the program", async () => {
    const { console } = await inKernel(async (proc) => {
      const pid = await sleeper(proc, async (child) => {
        const handler = (): void => {
          throw new Error("no cheese");
        };
        await child.sigaction(SIGUSR1, { handler });
        await child.pause();
        return 0;
      });
      await proc.kill(pid, SIGUSR1);
      expect(await proc.wait(pid)).toEqual({ pid, status: 1 << 8 });
    });
    expect(console).toContain("signal 10: no cheese\n");
  });
});

describe("signals of the kernel's", () => {
  it("SIGPIPE: the handler runs, and the write fails with EPIPE", async () => {
    await inKernel(async (proc) => {
      let turns = 0;
      await proc.sigaction(SIGPIPE, { handler: () => void turns++ });
      const [read, write] = await proc.pipe();
      await proc.close(read);
      await expect(proc.write(write, "x")).rejects.toMatchObject({ code: "EPIPE" });
      expect(turns).toBe(1);
    });
  });

  it("SIGCHLD: which child, and what has become of it", async () => {
    const told: (readonly [number, number, number])[] = [];
    await inKernel(async (proc) => {
      const handler = (_: Proc, __: number, info: SignalInfo | undefined): void => {
        if (info !== undefined) told.push([info.pid, info.code, info.status]);
      };
      await proc.sigaction(SIGCHLD, { handler, flags: SA_SIGINFO | SA_RESTART });
      const exits = await proc.fork(async () => 3);
      await proc.wait(exits);
      const sleeps = await proc.fork(async (child) => {
        for (;;) await child.pause();
      });
      const nap = async (): Promise<void> => void (await proc.nanosleep(5));
      await nap();
      await proc.kill(sleeps, SIGSTOP);
      await nap();
      await proc.kill(sleeps, SIGCONT);
      await nap();
      expect(await proc.wait(sleeps, WCONTINUED)).toEqual({ pid: sleeps, status: 0xffff });
      await proc.kill(sleeps, SIGKILL);
      await proc.wait(sleeps);
      const [EXITED, KILLED, STOPPED, CONTINUED] = [1, 2, 5, 6];
      expect(told.splice(0)).toEqual([
        [exits, EXITED, 3],
        [sleeps, STOPPED, SIGSTOP],
        [sleeps, CONTINUED, SIGCONT],
        [sleeps, KILLED, SIGKILL],
      ]);
      await proc.sigaction(SIGCHLD, { handler, flags: SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP });
      const pid = await proc.fork(async (child) => child.pause().then(() => 0));
      await nap();
      await proc.kill(pid, SIGSTOP);
      await nap();
      expect(told).toEqual([]);
      await proc.kill(pid, SIGKILL);
      await proc.wait(pid);
      expect(told).toEqual([[pid, KILLED, SIGKILL]]);
    });
  });

  it("SIGALRM, when the time has come, and again with an interval", async () => {
    await inKernel(async (proc) => {
      const uptime = async (): Promise<number> =>
        Number((await readText(proc, "/proc/uptime")).split(" ")[0]) * 1000;
      const at: number[] = [];
      await proc.sigaction(SIGALRM, { handler: async () => void at.push(0) });
      for (const seconds of [1, 3]) {
        const start = await uptime();
        expect(await proc.alarm(seconds)).toBe(0);
        await proc.pause();
        const waited = (await uptime()) - start;
        expect(waited).toBeGreaterThanOrEqual(seconds * 1000 - 10);
        expect(waited).toBeLessThanOrEqual(seconds * 1000 + 20);
      }
      expect(await proc.alarm(10)).toBe(0);
      await proc.sleep(3200);
      expect(await proc.alarm(0)).toBe(7);
      await proc.sleep(8000);
      expect(at).toHaveLength(2);

      const start = await uptime();
      await proc.setitimer(50, 20);
      for (let i = 0; i < 4; i++) await proc.pause();
      await proc.setitimer(0);
      const took = (await uptime()) - start;
      expect(took).toBeGreaterThanOrEqual(100);
      expect(took).toBeLessThanOrEqual(130);
      await proc.sleep(100);
      expect(at).toHaveLength(6);
      // Without a handler it ends the program; a child does not inherit it, execve and exit are its end.
      const pid = await proc.fork(async (child) => {
        await child.ignore(SIGALRM, false);
        await child.alarm(1);
        await child.sleep(10_000);
        return 0;
      });
      await proc.setitimer(100);
      const quiet = await proc.fork(async (child) => {
        await child.ignore(SIGALRM, false);
        return (await child.nanosleep(300)) === 0 ? 4 : 1;
      });
      await proc.pause();
      expect(await proc.wait(quiet)).toEqual({ pid: quiet, status: 4 << 8 });
      expect(await proc.wait(pid)).toEqual({ pid, status: SIGALRM });
    });
  });

  it("SIGSEGV: where, and why; the handler may mend it, and the store is made again", async () => {
    await inKernel(async (proc) => {
      const infos: (SignalInfo | undefined)[] = [];
      await proc.sbrk(new Uint8Array(4096));
      const end = await raw(proc, 12, 0);
      const pid = await proc.fork(async (child) => {
        await child.sigaction(SIGSEGV, {
          flags: SA_SIGINFO,
          handler: async (own, _, info) => {
            infos.push(info);
            await own.sbrk(new Uint8Array(4096));
          },
        });
        await poke(child, end - 8, 5n);
        // A store of the program's behind its heap, as the processor reports it.
        const PF_WRITE_USER = 6;
        expect(await raw(child, -14, PF_WRITE_USER, end, 0)).toBe(0);
        await poke(child, end, 6n);
        return Number(await peek(child, end));
      });
      expect(await proc.wait(pid)).toEqual({ pid, status: 6 << 8 });
      expect(infos).toEqual([expect.objectContaining({ signo: SIGSEGV, code: 1, address: end })]);
    });
  });
});
