/** A user task whose system call oopses dies alone; the machine lives on. Init's death is a panic. */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { O_WRONLY, type Proc, SIGSEGV } from "../../runtime/user/proc.ts";
import { built } from "../support/boot.ts";
import { runInKernel } from "../support/kernel-program.ts";

const DIRECT = "/sys/kernel/debug/provoke-crash/DIRECT";

async function provoke(proc: Proc, type: string): Promise<number> {
  const fd = await proc.open(DIRECT, O_WRONLY);
  await proc.write(fd, type);
  return 0;
}

describe.skipIf(!existsSync(built("vmlinuz")))("an oops", () => {
  it.each(["BUG", "EXCEPTION", "CORRUPT_LIST_ADD"])(
    "%s ends the task by SIGSEGV, and no other",
    async (type) => {
      const { console } = await runInKernel(async (proc) => {
        const [read, write] = await proc.pipe();
        const bystander = await proc.fork(async (child) => {
          await child.read(read, new Uint8Array(1));
          return 3;
        });
        for (let i = 0; i < 3; i++) {
          const pid = await proc.fork((child) => provoke(child, type));
          expect(await proc.wait(pid)).toEqual({ pid, status: SIGSEGV });
        }
        await proc.write(write, "x");
        expect(await proc.wait(bystander)).toEqual({ pid: bystander, status: 3 << 8 });
      });
      expect(console).toMatch(/\[#1\] SMP.*\[#2\] SMP.*\[#3\] SMP/s);
      expect(console).not.toContain("Kernel panic");
      expect(console).toContain("Power down");
    },
  );

  it("of init is a panic, as is any with panic_on_oops", async () => {
    const first = await runInKernel((proc) => provoke(proc, "BUG").then(() => undefined));
    expect(first.console).toContain("Kernel panic - not syncing: Attempted to kill init!");
    const second = await runInKernel(
      async (proc) => {
        await proc.fork((child) => provoke(child, "BUG"));
        await proc.wait();
      },
      { cmdline: "console=ttyS0 oops=panic" },
    );
    expect(second.console).toContain("Kernel panic - not syncing: Fatal exception");
  });
});
