/** fork shares the pages of a program until one side writes; a bad store ends it. */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { X86_TRAP_PF } from "../../runtime/machine/x86.ts";
import { type Proc, SIGSEGV } from "../../runtime/user/proc.ts";
import type { Process } from "../../runtime/user/process.ts";
import { built } from "../support/boot.ts";
import { readText, runInKernel } from "../support/kernel-program.ts";

const PAGES = 64;
const PAGE = 4096;

/** A store that the page tables do not allow: the page fault with its error code. */
const store = (proc: Proc, errorCode: number, address: number): Promise<number> =>
  (proc as Process).syscall(-X86_TRAP_PF, errorCode, address, 0);

/** kB of /proc/meminfo. */
const meminfo = async (proc: Proc, name: string): Promise<number> =>
  Number(new RegExp(`^${name}: +(\\d+) kB$`, "m").exec(await readText(proc, "/proc/meminfo"))?.[1]);

/** kB of /proc/PID/status. */
const rss = async (proc: Proc): Promise<number> =>
  Number(/^RssAnon:\s+(\d+) kB$/m.exec(await readText(proc, "/proc/self/status"))?.[1]);

/** Forks, has the child do `body`, and waits for its exit status. */
async function inChild(proc: Proc, body: (child: Proc) => Promise<number>): Promise<number> {
  const pid = await proc.fork(body);
  return (await proc.wait(pid)).status;
}

describe.skipIf(!existsSync(built("vmlinuz")))("copy on write", () => {
  it("a child has the parent's pages, counted in both and mapped once", async () => {
    await runInKernel(async (proc) => {
      await proc.sbrk(new Uint8Array(PAGES * PAGE).fill(0x5a));
      const [before, own] = [await meminfo(proc, "AnonPages"), await rss(proc)];
      const status = await inChild(proc, async (child) => {
        expect(await rss(child)).toBe(own);
        // What it has written since: its stack, its buffers.
        expect((await meminfo(child, "AnonPages")) - before).toBeLessThan((PAGES / 4) * 4);
        return 7;
      });
      expect(status).toBe(7 << 8);
      expect(await meminfo(proc, "AnonPages")).toBe(before);
      expect(await rss(proc)).toBe(own);
    });
  });

  it("what one side writes, the other does not see; down the generations, whoever ends first", async () => {
    const { console } = await runInKernel(async (proc) => {
      const text = async (who: Proc, file: string, value?: string): Promise<string> => {
        // Through a file: the kernel reads and writes the program's memory on its behalf.
        if (value !== undefined) {
          const fd = await who.open(file, 0o1101);
          await who.write(fd, value);
          await who.close(fd);
        }
        return readText(who, file);
      };
      const status = await inChild(proc, async (child) => {
        await child.sbrk(new Uint8Array(3 * PAGE).fill(1));
        const orphan = await child.fork(async (grandchild) => {
          await grandchild.sleep(5);
          expect(await text(grandchild, "/mine", "grandchild")).toBe("grandchild");
          return 0;
        });
        expect(orphan).toBeGreaterThan(0);
        expect(await text(child, "/own", "child")).toBe("child");
        return 0;
      });
      expect(status).toBe(0);
      for (let left = 1; left > 0; left--) await proc.wait();
      expect(await text(proc, "/mine")).toBe("grandchild");
      for (let i = 0; i < 40; i++) {
        await inChild(proc, async (child) => {
          await inChild(child, async () => 0);
          await child.sbrk(new Uint8Array(PAGE).fill(i));
          return 0;
        });
      }
    });
    expect(console).not.toMatch(/BUG|WARNING|Bad page/);
  });

  it("pages come free when the last of those that share them has ended", async () => {
    await runInKernel(async (proc) => {
      const once = async (): Promise<void> => {
        await inChild(proc, async (child) => {
          await child.sbrk(new Uint8Array(PAGES * PAGE).fill(3));
          for (let i = 0; i < 3; i++) await child.fork(async (grandchild) => (await grandchild.getpid()) & 1);
          return 0;
        });
        for (let i = 0; i < 3; i++) await proc.wait();
      };
      await once();
      const free = await meminfo(proc, "MemFree");
      const anon = await meminfo(proc, "AnonPages");
      for (let i = 0; i < 5; i++) await once();
      expect(await meminfo(proc, "AnonPages")).toBe(anon);
      expect(free - (await meminfo(proc, "MemFree"))).toBeLessThan(PAGES);
    });
  });

  it("a store to where nothing is mapped is SIGSEGV, with a line in the log", async () => {
    const { console } = await runInKernel(async (proc) => {
      const status = await inChild(proc, async (child) => {
        await store(child, 6, 0x123000);
        return 0;
      });
      expect(status).toBe(SIGSEGV);
      // The text of a program is there to be read.
      expect(await inChild(proc, (child) => store(child, 7, 0x400000))).toBe(SIGSEGV);
    });
    expect(console).toMatch(/init\[\d+\]: segfault at 123000 ip 0{10}400002 sp \w{16} error 6 in init\[/);
    expect(console).toMatch(/init\[\d+\]: segfault at 400000 .* error 7 in init\[/);
  });
});
