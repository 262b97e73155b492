/** vmalloc: what /proc says of the areas, and that they come and go with a kdump image's load. */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { O_RDONLY, type Proc } from "../../runtime/user/proc.ts";
import { built } from "../support/boot.ts";
import { readText, runInKernel } from "../support/kernel-program.ts";

const KEXEC_FILE_UNLOAD = 1;
const KEXEC_FILE_ON_CRASH = 2;
const KEXEC_FILE_NO_INITRAMFS = 4;
const LINE = /^0x(\w{16})-0x(\w{16}) +(\d+) \w+\+0x\w+\/0x\w+( pages=\d+)?( vmalloc| vmap)( N0=\d+)?$/;

const areas = async (proc: Proc): Promise<string[]> =>
  (await readText(proc, "/proc/vmallocinfo")).split("\n").slice(0, -1);

const used = async (proc: Proc): Promise<number> =>
  Number(/^VmallocUsed: +(\d+) kB$/m.exec(await readText(proc, "/proc/meminfo"))?.[1]);

describe.skipIf(!existsSync(built("vmlinuz")))("vmalloc", () => {
  it("a loaded image leaves its safe copy of VMCOREINFO mapped, an unloaded one nothing", async () => {
    const capture = new Uint8Array(readFileSync(built("capture/image")));
    await runInKernel(
      async (proc) => {
        const fd = await proc.open("/kdump", O_RDONLY);
        for (let i = 0; i < 3; i++) {
          await proc.kexecFileLoad(fd, -1, "console=ttyS0", KEXEC_FILE_ON_CRASH | KEXEC_FILE_NO_INITRAMFS);
          const [line, ...more] = await areas(proc);
          expect(more).toEqual([]);
          const [, start, end, size] = LINE.exec(line ?? "") ?? [];
          expect(Number(BigInt(`0x${end}`) - BigInt(`0x${start}`))).toBe(Number(size));
          expect(size).toBe("8192");
          expect(line).toMatch(/ kimage_\w+\+0x\S+ vmap$/);
          expect(await used(proc)).toBe(0);
        }
        await proc.kexecFileLoad(-1, -1, "", KEXEC_FILE_UNLOAD | KEXEC_FILE_ON_CRASH);
        expect(await areas(proc)).toEqual([]);
      },
      { cmdline: "console=ttyS0 crashkernel=2M", files: { "/kdump": { mode: 0o644, contents: capture } } },
    );
  });
});
