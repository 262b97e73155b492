/** vm.overcommit_memory: what programs are promised, what they are refused, and that no promise is lost. */
import { describe, expect, it } from "vitest";
import { O_WRONLY, type Proc } from "../../runtime/user/proc.ts";
import { readText } from "../support/kernel-program.ts";
import { inKernel } from "../support/signals.ts";

const VM = "/proc/sys/vm";

async function write(proc: Proc, path: string, text: string): Promise<void> {
  const fd = await proc.open(path, O_WRONLY);
  try {
    await proc.write(fd, text);
  } finally {
    await proc.close(fd);
  }
}

async function kb(proc: Proc, name: string): Promise<number> {
  const text = await readText(proc, "/proc/meminfo");
  return Number(new RegExp(`^${name}: +(\\d+) kB$`, "m").exec(text)?.[1]);
}

const errorOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "",
    (error) => error.code,
  );

describe("the promises that the kernel makes", () => {
  it("Committed_AS counts stacks and heaps, and is what it was when a process has ended", async () => {
    await inKernel(async (proc) => {
      await proc.sbrk(new Uint8Array(4096));
      const before = await kb(proc, "Committed_AS");
      expect(before).toBeGreaterThanOrEqual(64 + 4);
      await proc.sbrk(new Uint8Array(200 << 10));
      expect(await kb(proc, "Committed_AS")).toBe(before + 200);
      let inside = 0;
      const pid = await proc.fork(async (child) => {
        await child.sbrk(new Uint8Array(100 << 10));
        inside = await kb(child, "Committed_AS");
        return 0;
      });
      await proc.wait(pid);
      // All that its parent has was promised to the child again.
      expect(inside).toBe(2 * (before + 200) + 100);
      expect(await kb(proc, "Committed_AS")).toBe(before + 200);
    });
  });

  it("CommitLimit is the ratio of memory, or the kilobytes that were set last", async () => {
    await inKernel(async (proc) => {
      const total = await kb(proc, "MemTotal");
      const pages = (part: number): number => Math.floor(((total / 4) * part) / 100) * 4;
      expect(await readText(proc, `${VM}/overcommit_ratio`)).toBe("50\n");
      expect(await kb(proc, "CommitLimit")).toBe(pages(50));
      await write(proc, `${VM}/overcommit_ratio`, "80");
      expect(await kb(proc, "CommitLimit")).toBe(pages(80));
      await write(proc, `${VM}/overcommit_kbytes`, "4000");
      expect(await kb(proc, "CommitLimit")).toBe(4000);
      expect(await readText(proc, `${VM}/overcommit_ratio`)).toBe("0\n");
      await write(proc, `${VM}/overcommit_ratio`, "50");
      expect(await readText(proc, `${VM}/overcommit_kbytes`)).toBe("0\n");
      for (const wrong of ["3", "-1", "x"]) {
        expect(await errorOf(write(proc, `${VM}/overcommit_memory`, wrong))).toBe("EINVAL");
      }
    });
  });

  it("at 2 more is refused with ENOMEM, of brk, fork and execve, and nothing stays promised", async () => {
    await inKernel(async (proc) => {
      await proc.sbrk(new Uint8Array(400 << 10));
      const before = await kb(proc, "Committed_AS");
      await write(proc, `${VM}/overcommit_kbytes`, String(before + 300));
      await write(proc, `${VM}/overcommit_memory`, "2");
      // A thirty-second part of the process itself is kept back.
      expect(await errorOf(proc.sbrk(new Uint8Array(300 << 10)))).toBe("ENOMEM");
      expect(await errorOf(proc.fork(async () => 0))).toBe("ENOMEM");
      expect(await kb(proc, "Committed_AS")).toBe(before);
      await proc.sbrk(new Uint8Array(200 << 10));
      expect(await kb(proc, "Committed_AS")).toBe(before + 200);
      // No room for the stack of a program.
      await write(proc, `${VM}/overcommit_kbytes`, String(before + 240));
      expect(await errorOf(proc.spawn("/init", ["init"]))).toBe("ENOMEM");
      expect(await kb(proc, "Committed_AS")).toBe(before + 200);
      await write(proc, `${VM}/overcommit_memory`, "1");
      const pid = await proc.fork(async () => 3);
      expect(await proc.wait(pid)).toEqual({ pid, status: 3 << 8 });
    });
  });
});
