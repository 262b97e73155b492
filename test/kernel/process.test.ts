/**
 * Processes of the built kernel, as programs see them: children, exit statuses, signals, pipes, and every
 * sleep interrupted and begun again.
 */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  exitCode,
  type Proc,
  SIGCHLD,
  SIGCONT,
  SIGKILL,
  SIGSTOP,
  SIGTERM,
  WNOHANG,
  WUNTRACED,
} from "../../runtime/user/proc.ts";
import { built } from "../support/boot.ts";
import { readText, runInKernel } from "../support/kernel-program.ts";

/** Any system call, with any registers. */
const raw = (proc: Proc, nr: number, ...args: number[]): Promise<number> =>
  (proc as Proc & { syscall(nr: number, ...args: number[]): Promise<number> }).syscall(nr, ...args);

const [WAIT4, CLONE, EXECVE, KILL, NANOSLEEP, PROCMASK] = [61, 56, 59, 62, 35, 14];
const [ESRCH, EFAULT, EINVAL] = [3, 14, 22];
const HEAP = 0x10000000;

const run = describe.skipIf(!existsSync(built("vmlinuz")));

const text = (bytes: Uint8Array, length: number): string =>
  new TextDecoder().decode(bytes.subarray(0, length));

/** Forks a child that sleeps until a signal ends it. */
const sleeper = (proc: Proc): Promise<number> =>
  proc.fork(async (child) => {
    await child.sleep(60_000);
    return 0;
  });

run("children", () => {
  it("have numbers, parents and exit statuses", async () => {
    await runInKernel(async (proc) => {
      expect(await proc.getpid()).toBe(1);
      expect(await proc.getppid()).toBe(0);
      const seen: number[] = [];
      const pids: number[] = [];
      for (let i = 0; i < 5; i++) {
        pids.push(
          await proc.fork(async (child) => {
            seen.push(await child.getpid(), await child.getppid());
            return 10 + i;
          }),
        );
      }
      for (const [i, pid] of pids.entries()) {
        expect(await proc.wait(pid)).toEqual({ pid, status: (10 + i) << 8 });
      }
      // Who goes first is the scheduler's business.
      expect(seen.sort((a, b) => a - b)).toEqual([1, 1, 1, 1, 1, ...pids]);
      expect(new Set(pids).size).toBe(5);
    });
  });

  it("are waited for by number, by group, or any; without one there is ECHILD", async () => {
    await runInKernel(async (proc) => {
      await expect(proc.wait()).rejects.toMatchObject({ code: "ECHILD" });
      const pid = await sleeper(proc);
      expect(await proc.wait(-1, WNOHANG)).toEqual({ pid: 0, status: 0 });
      await expect(proc.wait(pid + 1)).rejects.toMatchObject({ code: "ECHILD" });
      expect(await raw(proc, WAIT4, -1, 0, 1024, 0)).toBe(-EINVAL);
      expect(await raw(proc, WAIT4, -0x80000000, 0, 0, 0)).toBe(-ESRCH);
      await proc.kill(pid, SIGKILL);
      expect(await proc.wait(0)).toEqual({ pid, status: SIGKILL });
      // A status that cannot be written: the child is gone all the same, as in Linux.
      await proc.fork(async () => 0);
      expect(await raw(proc, WAIT4, -1, 8, 0, 0)).toBe(-EFAULT);
      await expect(proc.wait()).rejects.toMatchObject({ code: "ECHILD" });
    });
  });

  it("that outlive their parent go to init, dead ones too", async () => {
    await runInKernel(async (proc) => {
      const orphans: number[] = [];
      const parents: number[] = [];
      const father = await proc.fork(async (child) => {
        orphans.push(await child.fork(async () => 7));
        orphans.push(
          await child.fork(async (grandchild) => {
            await grandchild.sleep(20);
            parents.push(await grandchild.getppid());
            return 8;
          }),
        );
        await child.sleep(5);
        return 0;
      });
      expect(await proc.wait(father)).toEqual({ pid: father, status: 0 });
      const found = [await proc.wait(), await proc.wait()];
      expect(found).toEqual([
        { pid: orphans[0], status: 7 << 8 },
        { pid: orphans[1], status: 8 << 8 },
      ]);
      expect(parents).toEqual([1]);
    });
  });

  it("vanish at once for a parent that ignores SIGCHLD", async () => {
    await runInKernel(async (proc) => {
      await proc.ignore(SIGCHLD, true);
      await proc.fork(async () => 0);
      // wait4 sleeps until the last child is gone, and then has none.
      await expect(proc.wait()).rejects.toMatchObject({ code: "ECHILD" });
    });
  });

  it("share open files and their offsets; descriptors are their own", async () => {
    await runInKernel(async (proc) => {
      const fd = await proc.open("/init", 0);
      const child = await proc.fork(async (own) => {
        await own.read(fd, new Uint8Array(4));
        await own.close(fd);
        return 0;
      });
      await proc.wait(child);
      expect(await proc.lseek(fd, 0, 1)).toBe(4);
    });
  });

  it("have a copy of the memory", async () => {
    await runInKernel(async (proc, machine) => {
      const end = await raw(proc, 12, HEAP + 8192);
      expect(end).toBe(HEAP + 8192);
      const pid = await proc.fork(async (child) => {
        // Fills the child's heap, up to its end, from /dev/zero.
        const zero = await child.open("/dev/zero", 0);
        return (await raw(child, 0, zero, HEAP + 4096, 4096)) === 4096 ? 0 : 1;
      });
      const init = await proc.open("/init", 0);
      expect(await raw(proc, 0, init, HEAP + 4096, 9)).toBe(9);
      expect(await proc.wait(pid)).toMatchObject({ status: 0 });
      expect(await raw(proc, 1, 1, HEAP + 4096, 9)).toBe(9);
      expect(machine.memory.size).toBe(16 << 20);
    }).then(({ console }) => expect(console).toContain("#!program"));
  });

  it("have the heap of their making, though their parent's grows before they begin", async () => {
    await runInKernel(async (proc) => {
      const data = Uint8Array.from({ length: 60_000 }, (_, i) => i % 251);
      const [read, write] = await proc.pipe();
      const pid = await proc.fork(async (child) => {
        await child.write(write, data);
        return 0;
      });
      // The child has not run yet.
      await proc.close(write);
      const got = new Uint8Array(data.length);
      for (let at = 0, n = -1; n !== 0; at += n) n = await proc.read(read, got.subarray(at));
      expect(Buffer.compare(got, data)).toBe(0);
      expect(await proc.wait(pid)).toEqual({ pid, status: 0 });
    });
  });

  it("end with status 1 when their program has a bug, and the machine lives on", async () => {
    const { console } = await runInKernel(async (proc) => {
      const pid = await proc.fork(async () => {
        throw new TypeError("x is not a function");
      });
      expect(await proc.wait(pid)).toEqual({ pid, status: 1 << 8 });
    });
    expect(console).toContain("/init: x is not a function\n");
    expect(console).not.toContain("panic");
  });

  it("cannot be more than the machine has room for: EAGAIN, and all of them are reaped", async () => {
    await runInKernel(async (proc, machine) => {
      const pids: number[] = [];
      let failure = "";
      while (failure === "") {
        try {
          pids.push(await sleeper(proc));
        } catch (error) {
          failure = (error as { code: string }).code;
        }
        if (pids.length > 1000) throw new Error("no limit");
      }
      expect(["EAGAIN", "ENOMEM"]).toContain(failure);
      expect(pids.length).toBeGreaterThan(20);
      for (const pid of pids) await proc.kill(pid, SIGKILL);
      for (const pid of pids) expect((await proc.wait(pid)).status).toBe(SIGKILL);
      const again = await proc.fork(async () => 4);
      expect((await proc.wait(again)).status).toBe(4 << 8);
      expect(machine.cpu).toBeDefined();
    });
  });

  it("refuses clone flags that nothing here stands for", async () => {
    await runInKernel(async (proc) => {
      for (const flags of [0x10000, 0x20000000, 0x800])
        expect(await raw(proc, CLONE, flags, 0)).toBe(-EINVAL);
    });
  });

  it("of a clone with a stack that holds no function end by SIGSEGV's status", async () => {
    await runInKernel(async (proc) => {
      const pid = await raw(proc, CLONE, SIGCHLD, HEAP);
      expect(exitCode((await proc.wait(pid)).status)).toBe(139);
      const other = await raw(proc, CLONE, SIGCHLD, 0x7000);
      expect(exitCode((await proc.wait(other)).status)).toBe(139);
    });
  });
});

run("execve", () => {
  const files = {
    "/bin/child": { mode: 0o755, contents: "#!program child\n" },
    "/bin/text": { mode: 0o755, contents: "hello\n" },
    "/bin/plain": { mode: 0o644, contents: "#!program child\n" },
    "/bin/none": { mode: 0o755, contents: "#!program nobody\n" },
  };

  it("runs a program with its arguments and descriptors", async () => {
    let argv: readonly string[] = [];
    await runInKernel(
      async (proc) => {
        const [read, write] = await proc.pipe();
        const pid = await proc.spawn("/bin/child", ["child", "", "b c", "ü"], { dup: [[write, 1]] });
        await proc.close(write);
        const buffer = new Uint8Array(100);
        expect(text(buffer, await proc.read(read, buffer))).toBe(`child of 1 is ${pid}`);
        expect(await proc.read(read, buffer)).toBe(0);
        expect(await proc.wait()).toEqual({ pid, status: 5 << 8 });
      },
      {
        files,
        programs: {
          child: async (child) => {
            argv = child.argv;
            await child.write(1, `child of ${await child.getppid()} is ${await child.getpid()}`);
            return 5;
          },
        },
      },
    );
    expect(argv).toEqual(["child", "", "b c", "ü"]);
  });

  it("fails as Linux does, and leaves no zombie", async () => {
    await runInKernel(
      async (proc) => {
        for (const [path, code] of [
          ["/bin/absent", "ENOENT"],
          ["/bin/text", "ENOEXEC"],
          ["/bin/plain", "EACCES"],
          ["/bin", "EACCES"],
          ["/bin/child/x", "ENOTDIR"],
        ]) {
          await expect(proc.spawn(path as string, ["x"]), path).rejects.toMatchObject({ code });
        }
        await expect(proc.spawn("/bin/child", ["x", "y".repeat(65536)])).rejects.toMatchObject({
          code: "E2BIG",
        });
        const many = Array.from({ length: 8000 }, () => "");
        await expect(proc.spawn("/bin/child", many)).rejects.toMatchObject({ code: "E2BIG" });
        await expect(proc.wait()).rejects.toMatchObject({ code: "ECHILD" });
        const pid = await proc.spawn("/bin/none", ["none"]);
        expect(await proc.wait(pid)).toEqual({ pid, status: 127 << 8 });
        // Registers that no C library makes: the caller's program stays.
        expect(await raw(proc, EXECVE, 8, 0, 0)).toBe(-EFAULT);
        await raw(proc, 12, HEAP + 8192);
        const file = await proc.open("/bin/child", 0);
        await raw(proc, 0, file, HEAP, 16);
        expect(await raw(proc, EXECVE, HEAP, HEAP + 8188, 0)).toBe(-EFAULT);
      },
      { files, programs: { child: async () => 0 } },
    );
  });

  it("takes arguments up to the stack's size", async () => {
    let sizes: number[] = [];
    await runInKernel(
      async (proc) => {
        const pid = await proc.spawn("/bin/child", ["c", "x".repeat(50_000), ..."abc"]);
        expect((await proc.wait(pid)).status).toBe(0);
      },
      {
        files,
        programs: {
          child: async (child) => {
            sizes = child.argv.map(({ length }) => length);
            return 0;
          },
        },
      },
    );
    expect(sizes).toEqual([1, 50_000, 1, 1, 1]);
  });

  it("keeps ignored signals and the mask", async () => {
    await runInKernel(
      async (proc) => {
        await proc.ignore(SIGTERM, true);
        const pid = await proc.spawn("/bin/child", ["child"]);
        await proc.kill(pid, SIGTERM);
        expect((await proc.wait(pid)).status).toBe(0);
      },
      {
        files,
        programs: {
          child: async (child) => {
            await child.sleep(10);
            return 0;
          },
        },
      },
    );
  });
});

run("signals", () => {
  it("end a task wherever it sleeps", async () => {
    await runInKernel(
      async (proc) => {
        const [read, write] = await proc.pipe();
        const sleeps: Record<string, (child: Proc) => Promise<unknown>> = {
          nanosleep: (child) => child.sleep(60_000),
          "an empty pipe": (child) => child.read(read, new Uint8Array(1)),
          "a full pipe": (child) => child.write(write, new Uint8Array(200_000)),
          wait4: async (child) => {
            await sleeper(child);
            await child.wait();
          },
          vfork: async (child) => {
            // The child of this vfork sleeps as a child without a program, in its parent's memory.
            await child.spawn("/init", ["init"]);
            await child.sleep(60_000);
          },
        };
        for (const [name, sleep] of Object.entries(sleeps)) {
          for (const signal of [SIGTERM, SIGKILL]) {
            const pid = await proc.fork(async (child) => {
              await sleep(child);
              return 99;
            });
            await proc.sleep(1);
            await proc.kill(pid, signal);
            expect(await proc.wait(pid), name).toEqual({ pid, status: signal });
          }
        }
      },
      { programs: {} },
    );
  });

  it("wait while they are blocked, and count once", async () => {
    await runInKernel(async (proc) => {
      const [ready, go] = await proc.pipe();
      const pid = await proc.fork(async (child) => {
        await child.block([SIGTERM]);
        await child.write(go, "r");
        await child.sleep(5);
        expect(await child.block([])).toEqual([]);
        return 0;
      });
      await proc.read(ready, new Uint8Array(1));
      for (let i = 0; i < 3; i++) await proc.kill(pid, SIGTERM);
      await proc.sleep(2);
      expect(await proc.wait(pid, WNOHANG)).toMatchObject({ pid: 0 });
      expect(await proc.wait(pid)).toEqual({ pid, status: SIGTERM });
    });
  });

  it("cannot block or ignore SIGKILL, nor end init", async () => {
    await runInKernel(async (proc) => {
      expect(await proc.block([SIGKILL, SIGTERM])).toEqual([]);
      expect(await proc.block([])).toEqual([SIGTERM]);
      await expect(proc.ignore(SIGKILL, true)).rejects.toMatchObject({ code: "EINVAL" });
      await proc.kill(1, SIGKILL);
      await proc.kill(1, SIGTERM);
      expect(await proc.getpid()).toBe(1);
      expect(await raw(proc, PROCMASK, 9, HEAP, 0, 8)).toBe(-EINVAL);
    });
  });

  it("go to processes that exist: ESRCH, EINVAL, groups, all", async () => {
    await runInKernel(async (proc) => {
      expect(await raw(proc, KILL, 4000, 0)).toBe(-ESRCH);
      expect(await raw(proc, KILL, 1, 65)).toBe(-EINVAL);
      expect(await raw(proc, KILL, 1, 0)).toBe(0);
      // Kernel threads take none.
      expect(await raw(proc, KILL, 2, SIGKILL)).toBe(0);
      const group = await proc.fork(async (child) => {
        await child.setsid();
        await sleeper(child);
        await child.sleep(60_000);
        return 0;
      });
      await proc.sleep(1);
      expect(await raw(proc, KILL, -group, SIGTERM)).toBe(0);
      expect((await proc.wait(group)).status).toBe(SIGTERM);
      expect((await proc.wait()).status).toBe(SIGTERM);
      expect(await raw(proc, KILL, -group, SIGTERM)).toBe(-ESRCH);
      const pids = [await sleeper(proc), await sleeper(proc)];
      expect(await raw(proc, KILL, -1, SIGTERM)).toBe(0);
      for (const pid of pids) expect((await proc.wait(pid)).status).toBe(SIGTERM);
      expect(await raw(proc, KILL, -1, SIGTERM)).toBe(-ESRCH);
    });
  });

  it("stop and continue a task in the middle of its sleep", async () => {
    await runInKernel(async (proc) => {
      const times: number[] = [];
      const pid = await proc.fork(async (child) => {
        for (let i = 0; i < 20; i++) {
          await child.sleep(1);
          times.push(i);
        }
        return 6;
      });
      await proc.sleep(4);
      await proc.kill(pid, SIGSTOP);
      expect(await proc.wait(pid, WUNTRACED)).toEqual({ pid, status: (SIGSTOP << 8) | 0x7f });
      const before = times.length;
      await proc.sleep(40);
      expect(times.length).toBe(before);
      await proc.kill(pid, SIGCONT);
      expect(await proc.wait(pid)).toEqual({ pid, status: 6 << 8 });
      expect(times.length).toBe(20);
    });
  });
});

run("time", () => {
  it("passes while everybody sleeps", async () => {
    await runInKernel(async (proc) => {
      const start = await proc.time();
      await proc.sleep(3000);
      expect((await proc.time()) - start).toBeGreaterThanOrEqual(3);
      expect((await proc.time()) - start).toBeLessThanOrEqual(4);
      expect(await raw(proc, NANOSLEEP, 8, 0)).toBe(-EFAULT);
      const order: number[] = [];
      for (const ms of [30, 10, 20]) {
        await proc.fork(async (child) => {
          await child.sleep(ms);
          order.push(ms);
          return 0;
        });
      }
      for (let i = 0; i < 3; i++) await proc.wait();
      expect(order).toEqual([10, 20, 30]);
    });
  });

  it("raises the load average while tasks want to run", async () => {
    await runInKernel(async (proc) => {
      const load = async (): Promise<number> => Number((await readText(proc, "/proc/loadavg")).split(" ")[0]);
      expect(await load()).toBe(0);
      const pid = await proc.fork(async (child) => {
        for (;;) await child.time();
      });
      await proc.sleep(20_000);
      expect(await load()).toBeGreaterThan(0.1);
      await proc.kill(pid, SIGKILL);
      await proc.wait(pid);
    });
  });

  it("is shared by tasks that never sleep", async () => {
    await runInKernel(async (proc) => {
      const turns = [0, 0, 0];
      const pids: number[] = [];
      for (const i of turns.keys()) {
        pids.push(
          await proc.fork(async (child) => {
            for (;;) {
              await child.getppid();
              turns[i] = (turns[i] as number) + 1;
            }
          }),
        );
      }
      await proc.sleep(200);
      for (const pid of pids) await proc.kill(pid, SIGKILL);
      for (const pid of pids) expect((await proc.wait(pid)).status).toBe(SIGKILL);
      const least = Math.min(...turns);
      expect(least).toBeGreaterThan(100);
      expect(Math.max(...turns) / least).toBeLessThan(2);
    });
  });
});
