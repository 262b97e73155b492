/** /proc/PID/task, and what /proc says of where a task is and of its chances when memory is short. */
import { describe, expect, it } from "vitest";
import {
  O_CREAT,
  O_DIRECTORY,
  O_RDONLY,
  O_WRONLY,
  type Proc,
  SIGKILL,
  WNOHANG,
} from "../../runtime/user/proc.ts";
import { readText } from "../support/kernel-program.ts";
import { inKernel, raw, SYS, sleeper } from "../support/signals.ts";

const GETDENTS64 = 217;
const READ = 0;
const NANOSLEEP = 35;

/** Names in a directory, in its order. */
async function names(proc: Proc, path: string): Promise<string[]> {
  const fd = await proc.open(path, O_RDONLY | O_DIRECTORY);
  await proc.sbrk(new Uint8Array(4096));
  const at = (await raw(proc, 12, 0)) - 4096;
  const found: string[] = [];
  for (;;) {
    const length = await raw(proc, GETDENTS64, fd, at, 4096);
    expect(length).toBeGreaterThanOrEqual(0);
    if (length === 0) break;
    // The entries come back through a pipe, as no program reads its memory but by system calls.
    const [read, write] = await proc.pipe();
    expect(await raw(proc, SYS.write, write, at, length)).toBe(length);
    const bytes = new Uint8Array(length);
    await proc.read(read, bytes);
    await proc.close(read);
    await proc.close(write);
    const view = new DataView(bytes.buffer);
    for (let entry = 0; entry < length; entry += view.getUint16(entry + 16, true)) {
      const end = bytes.indexOf(0, entry + 19);
      found.push(new TextDecoder().decode(bytes.subarray(entry + 19, end)));
    }
  }
  await proc.close(fd);
  return found;
}

async function write(proc: Proc, path: string, text: string): Promise<void> {
  const fd = await proc.open(path, O_WRONLY);
  try {
    await proc.write(fd, text);
  } finally {
    await proc.close(fd);
  }
}

describe("/proc/PID/task", () => {
  it("has the process's one thread, with the process's files but no further `task`", async () => {
    await inKernel(async (proc) => {
      const pid = await sleeper(proc, async (child) => {
        for (;;) await child.pause();
      });
      expect(await names(proc, `/proc/${pid}/task`)).toEqual([".", "..", String(pid)]);
      const own = await names(proc, `/proc/${pid}`);
      expect(own).toContain("task");
      const thread = `/proc/${pid}/task/${pid}`;
      expect(await names(proc, thread)).toEqual(own.filter((name) => name !== "task"));
      for (const name of ["status", "stat", "stack", "wchan", "syscall", "limits", "comm"]) {
        expect(await readText(proc, `${thread}/${name}`), name).toBe(
          await readText(proc, `/proc/${pid}/${name}`),
        );
      }
      await expect(proc.open(`${thread}/task`, O_RDONLY)).rejects.toMatchObject({ code: "ENOENT" });
      // Another process is no thread of this one.
      await expect(proc.open(`/proc/${pid}/task/1`, O_RDONLY)).rejects.toMatchObject({ code: "ENOENT" });
      const fd = await proc.open(thread, O_RDONLY);
      await proc.kill(pid, SIGKILL);
      await proc.wait(pid);
      await expect(proc.open(`${thread}/stat`, O_RDONLY)).rejects.toMatchObject({ code: "ENOENT" });
      await proc.close(fd);
    });
  });
});

describe("/proc/PID/syscall", () => {
  it("tells the call that a task sleeps in, its arguments, stack and program counter", async () => {
    await inKernel(async (proc) => {
      const [read] = await proc.pipe();
      const reader = await sleeper(proc, async (child) => child.read(read, new Uint8Array(100)));
      const line = await readText(proc, `/proc/${reader}/syscall`);
      const [nr, fd, buffer, count, , , , sp, pc] = line.trim().split(" ").map(Number);
      expect([nr, fd, count]).toEqual([READ, read, 100]);
      expect(buffer).toBeGreaterThanOrEqual(0x10000000);
      expect(sp).toBeGreaterThan(0xbfff0000);
      expect(pc).toBe(0x400002);
      const naps = await sleeper(proc, async (child) => child.nanosleep(1000).then(() => 0));
      expect(await readText(proc, `/proc/${naps}/syscall`)).toMatch(new RegExp(`^${NANOSLEEP} 0x`));
      expect(await readText(proc, "/proc/self/syscall")).toBe("running\n");
      await proc.kill(reader, SIGKILL);
      await proc.sleep(2);
      expect(await readText(proc, `/proc/${reader}/syscall`)).toBe("-1 0x0 0x0\n");
      // kthreadd has never been in user mode.
      expect(await readText(proc, "/proc/2/syscall")).toMatch(/^-1 0x/);
    });
  });
});

describe("/proc/PID/oom_score_adj", () => {
  it("moves the score, is inherited, and takes what Linux takes", async () => {
    await inKernel(async (proc) => {
      const score = async (pid: number): Promise<number> =>
        Number(await readText(proc, `/proc/${pid}/oom_score`));
      const pid = await sleeper(proc, async (child) => {
        for (;;) await child.pause();
      });
      const path = `/proc/${pid}/oom_score_adj`;
      expect(await readText(proc, path)).toBe("0\n");
      const before = await score(pid);
      expect(before).toBeGreaterThanOrEqual(666);
      await write(proc, path, "300\n");
      expect(await readText(proc, path)).toBe("300\n");
      // Whole thousandths of few pages: somewhat less than 300 * 2 / 3.
      expect((await score(pid)) - before).toBeGreaterThan(150);
      expect((await score(pid)) - before).toBeLessThanOrEqual(200);
      await write(proc, path, "-1000");
      expect(await score(pid)).toBe(0);
      for (const wrong of ["1001", "-1001", "x", ""]) {
        const result = write(proc, path, wrong);
        if (wrong === "") await result;
        else await expect(result).rejects.toMatchObject({ code: "EINVAL" });
      }
      expect(await readText(proc, path)).toBe("-1000\n");
      await write(proc, "/proc/self/oom_score_adj", "500");
      const heir = await sleeper(proc, async (child) => child.pause().then(() => 0));
      expect(await readText(proc, `/proc/${heir}/oom_score_adj`)).toBe("500\n");
      // Init is never taken.
      expect(await score(1)).toBe(0);
    });
  });

  it("decides whom the OOM killer takes", async () => {
    let [large, small] = [0, 0];
    const { console } = await inKernel(async (proc) => {
      const eater = async (child: Proc, bytes: number, adj: string): Promise<number> => {
        await write(child, "/proc/self/oom_score_adj", adj);
        await child.sbrk(new Uint8Array(bytes));
        for (;;) await child.pause();
      };
      large = await sleeper(proc, (child) => eater(child, 1 << 20, "-1000"));
      small = await sleeper(proc, (child) => eater(child, 1 << 16, "1000"));
      // Files in memory, until there is none.
      const fd = await proc.open("/full", O_WRONLY | O_CREAT, 0o600);
      let taken = await proc.wait(-1, WNOHANG);
      for (; taken.pid === 0; taken = await proc.wait(-1, WNOHANG)) {
        await proc.write(fd, new Uint8Array(1 << 15).fill(1));
      }
      expect(taken).toEqual({ pid: small, status: SIGKILL });
      expect(await readText(proc, `/proc/${large}/comm`)).toBe("init\n");
    });
    expect(console).toMatch(new RegExp(`Killed process ${small} \\(init\\)`));
    expect(console).toMatch(new RegExp(`\\[ +${large}\\] .* -1000 init\\n`));
  });
});
