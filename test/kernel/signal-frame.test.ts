/** The frame of a signal handler in the user's memory, and the system calls that one interrupts. */
import { describe, expect, it } from "vitest";
import {
  type Proc,
  SA_ONSTACK,
  SA_RESTART,
  SIGCONT,
  SIGKILL,
  SIGSEGV,
  SIGSTOP,
  SIGTERM,
  SIGUSR1,
  SIGUSR2,
} from "../../runtime/user/proc.ts";
import { readText } from "../support/kernel-program.ts";
import { EINTR, inKernel, maskOf, peek, poke, raw, SYS, sleeper, status } from "../support/signals.ts";

describe("the frame of a handler", () => {
  /** Members of struct ucontext, from its start: the registers, and the mask. */
  const UC = { cs: 184, ip: 168, sp: 160, bx: 128, ax: 144, sigmask: 296 };

  /** What becomes of a program whose handler does that to its frame. */
  async function damaged(
    damage: (own: Proc, ucontext: number) => Promise<void>,
    then: (child: Proc, result: number) => Promise<number> = async () => 0,
  ): Promise<{ status: number; console: string }> {
    let found = -1;
    const { console } = await inKernel(async (proc) => {
      const pid = await sleeper(proc, async (child) => {
        await child.sigaction(SIGUSR1, { handler: (own, _, __, ucontext) => damage(own, ucontext) });
        return then(child, await raw(child, SYS.pause));
      });
      await proc.kill(pid, SIGUSR1);
      ({ status: found } = await proc.wait(pid));
    });
    return { status: found, console };
  }

  it("holds what was interrupted: rip behind the syscall instruction, rax, the mask", async () => {
    const words: Record<string, bigint> = {};
    await damaged(async (own, ucontext) => {
      for (const [name, at] of Object.entries(UC)) words[name] = await peek(own, ucontext + at);
      words.pretcode = await peek(own, ucontext - 8);
    });
    expect(words).toMatchObject({ ip: 0x400002n, sigmask: 0n, ax: BigInt.asUintN(64, -BigInt(EINTR)) });
    expect((words.cs as bigint) & 0xffffn).toBe(0x33n);
    expect((words.cs as bigint) >> 48n).toBe(0x2bn);
    expect(words.pretcode).toBe(0x400010n);
  });

  it("is what the program goes on with: another rax, another mask", async () => {
    const { status } = await damaged(
      async (own, ucontext) => {
        await poke(own, ucontext + UC.ax, 77n);
        // SIGKILL cannot be blocked this way either.
        await poke(own, ucontext + UC.sigmask, BigInt(`0x${maskOf(SIGUSR2, SIGKILL)}`));
      },
      async (child, result) => {
        expect(await child.block([])).toEqual([SIGUSR2]);
        return result;
      },
    );
    expect(status).toBe(77 << 8);
  });

  it.each([
    ["rip where nothing is mapped", UC.ip, 0x123000n, SIGSEGV],
    ["rip in the kernel", UC.ip, 0xffffffff81000000n, SIGSEGV],
    ["rip on the stack, which may not be executed", UC.ip, 0xbfffe000n, SIGSEGV],
    ["rip between instructions", UC.ip, 0x400005n, 4],
    ["segments that do not exist", UC.cs, 0x1234n, SIGSEGV],
    ["rsp and rbx of nobody", UC.bx, 0xdeadn, 139 << 8],
    ["the return address", -8, 0x500000n, SIGSEGV],
  ])("that is damaged ends the program: %s", async (_name, at, value, signal) => {
    const { status, console } = await damaged(async (own, ucontext) => poke(own, ucontext + at, value));
    expect(status).toBe(signal);
    if (signal === SIGSEGV && at !== UC.cs) expect(console).toMatch(/segfault at \w+ ip/);
  });

  it("that is gone when the handler returns: SIGSEGV, and the kernel says so", async () => {
    const { console } = await inKernel(async (proc) => {
      const pid = await proc.fork(async (child) => {
        // The child's stack pointer is where its parent's was: no frame of rt_sigreturn lies there.
        await raw(child, 15);
        return 0;
      });
      const { status } = await proc.wait(pid);
      expect(status).toBe(SIGSEGV);
    });
    expect(console).toMatch(/segfault|bad frame in rt_sigreturn/);
  });

  it("cannot be written: SIGSEGV, and SIGSEGV's own handler cannot help", async () => {
    await inKernel(async (proc) => {
      for (const own of [false, true]) {
        const pid = await sleeper(proc, async (child) => {
          await child.sbrk(new Uint8Array(4096));
          const at = (await raw(child, 12, 0)) - 24;
          // An alternate stack at an address where nothing is.
          await poke(child, at, 0x20000000n);
          await poke(child, at + 8, 0n);
          await poke(child, at + 16, 8192n);
          expect(await raw(child, SYS.sigaltstack, at, 0)).toBe(0);
          await child.sigaction(SIGUSR1, { handler: () => undefined, flags: SA_ONSTACK });
          if (own) await child.sigaction(SIGSEGV, { handler: () => undefined, flags: SA_ONSTACK });
          await child.pause();
          return 0;
        });
        await proc.kill(pid, SIGUSR1);
        expect(await proc.wait(pid)).toEqual({ pid, status: SIGSEGV });
      }
    });
  });

  it("lies on the alternate stack that SA_ONSTACK asks for, nested ones below it", async () => {
    const frames: [string, number][] = [];
    let base = 0;
    await inKernel(async (proc) => {
      const self = await proc.getpid();
      await proc.sbrk(new Uint8Array(65536));
      base = (await raw(proc, 12, 0)) - 65536;
      await poke(proc, base, BigInt(base + 4096));
      await poke(proc, base + 8, 0n);
      await poke(proc, base + 16, 49152n);
      expect(await raw(proc, SYS.sigaltstack, base, 0)).toBe(0);
      await proc.sigaction(SIGUSR2, {
        flags: SA_ONSTACK,
        handler: (_, __, ___, ucontext) => void frames.push(["two", ucontext]),
      });
      await proc.sigaction(SIGUSR1, {
        flags: SA_ONSTACK,
        handler: async (own, _, __, ucontext) => {
          frames.push(["one", ucontext]);
          expect(await raw(own, SYS.sigaltstack, base, 0)).toBe(-1);
          await own.kill(self, SIGUSR2);
        },
      });
      await proc.kill(self, SIGUSR1);
    });
    const [one, two] = frames.map(([, at]) => at) as [number, number];
    const top = base + 4096 + 49152;
    expect(one).toBeGreaterThan(top - 1024);
    expect(one).toBeLessThan(top);
    expect(two).toBeLessThan(one);
    expect(two).toBeGreaterThan(base + 4096);
  });
});

describe("system calls that a signal interrupts", () => {
  it("nanosleep tells what is left, with SA_RESTART too", async () => {
    const left: number[] = [];
    await inKernel(async (proc) => {
      for (const flags of [0, SA_RESTART]) {
        const pid = await sleeper(proc, async (child) => {
          await child.sigaction(SIGUSR1, { handler: () => undefined, flags });
          left.push(await child.nanosleep(400));
          return 0;
        });
        await proc.sleep(100);
        await proc.kill(pid, SIGUSR1);
        await proc.wait(pid);
      }
    });
    expect(left).toHaveLength(2);
    for (const milliseconds of left) {
      expect(milliseconds).toBeGreaterThan(250);
      expect(milliseconds).toBeLessThan(300);
    }
  });

  it("nanosleep goes on with what is left when it was stopped and continued", async () => {
    await inKernel(async (proc) => {
      const uptime = async (own: Proc): Promise<number> =>
        Number((await readText(own, "/proc/uptime")).split(" ")[0]) * 1000;
      const pid = await sleeper(proc, async (child) => {
        await child.sigaction(SIGUSR1, { handler: () => undefined });
        const start = await uptime(child);
        expect(await child.nanosleep(400)).toBe(0);
        const slept = (await uptime(child)) - start;
        return slept >= 390 && slept <= 440 ? 7 : 1;
      });
      for (let i = 0; i < 3; i++) {
        await proc.sleep(50);
        await proc.kill(pid, SIGSTOP);
        await proc.sleep(20);
        await proc.kill(pid, SIGCONT);
      }
      await proc.sleep(20);
      // The call that it is in now.
      expect(await readText(proc, `/proc/${pid}/stack`)).toContain("__x64_sys_restart_syscall");
      expect(await proc.wait(pid)).toEqual({ pid, status: 7 << 8 });
    });
  });

  it("restart_syscall, when there is nothing to be restarted, fails with EINTR", async () => {
    await inKernel(async (proc) => {
      expect(await raw(proc, SYS.restart_syscall)).toBe(-EINTR);
      await proc.sleep(2);
      expect(await raw(proc, SYS.restart_syscall)).toBe(-EINTR);
    });
  });

  it("sigsuspend waits with its own mask, and has put the old one back when it returns", async () => {
    const masks: string[] = [];
    await inKernel(async (proc) => {
      const pid = await sleeper(proc, async (child) => {
        await child.block([SIGUSR1, SIGTERM]);
        await child.sigaction(SIGUSR1, {
          handler: async (own) => void masks.push((await status(own)).SigBlk as string),
        });
        await child.sigsuspend([SIGUSR2]);
        expect(await child.block([])).toEqual([SIGUSR1, SIGTERM]);
        return 7;
      });
      expect((await status(proc, pid)).SigBlk).toBe(maskOf(SIGUSR2));
      // A stop does not end it, nor does what is blocked.
      await proc.kill(pid, SIGSTOP);
      await proc.sleep(5);
      await proc.kill(pid, SIGCONT);
      await proc.sleep(5);
      await proc.kill(pid, SIGUSR2);
      await proc.sleep(5);
      expect((await status(proc, pid)).State).toBe("S (sleeping)");
      expect((await status(proc, pid)).SigBlk).toBe(maskOf(SIGUSR2));
      await proc.kill(pid, SIGUSR1);
      expect(await proc.wait(pid)).toEqual({ pid, status: SIGUSR2 });
    });
    expect(masks).toEqual([maskOf(SIGUSR1, SIGUSR2)]);
  });
});

describe.each([2, 4])("on %d CPUs", (cpus) => {
  it("no signal is lost between processes that send and handle them at once", async () => {
    await inKernel(async (proc) => {
      const ROUNDS = 60;
      const pid = await proc.fork(async (child) => {
        let got = 0;
        await child.block([SIGUSR1]);
        await child.sigaction(SIGUSR1, {
          handler: async (own) => {
            got++;
            await own.kill(await own.getppid(), SIGUSR2);
          },
        });
        while (got < ROUNDS) await child.sigsuspend([]);
        return got;
      });
      let answers = 0;
      await proc.block([SIGUSR2]);
      await proc.sigaction(SIGUSR2, { handler: () => void answers++ });
      await proc.sleep(10);
      for (let i = 1; i <= ROUNDS; i++) {
        await proc.kill(pid, SIGUSR1);
        while (answers < i) await proc.sigsuspend([]);
      }
      expect(await proc.wait(pid)).toEqual({ pid, status: ROUNDS << 8 });
    }, cpus);
  });
});
