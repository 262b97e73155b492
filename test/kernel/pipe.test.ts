/** Pipes and dup2 of the built kernel. */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Proc, SIGPIPE } from "../../runtime/user/proc.ts";
import { built } from "../support/boot.ts";
import { runInKernel } from "../support/kernel-program.ts";

/** Any system call, with any registers. */
const raw = (proc: Proc, nr: number, ...args: number[]): Promise<number> =>
  (proc as Proc & { syscall(nr: number, ...args: number[]): Promise<number> }).syscall(nr, ...args);

const [PIPE2, DUP2] = [293, 33];
const [EBADF, EAGAIN, EFAULT, EINVAL] = [9, 11, 14, 22];
const HEAP = 0x10000000;

const run = describe.skipIf(!existsSync(built("vmlinuz")));

const text = (bytes: Uint8Array, length: number): string =>
  new TextDecoder().decode(bytes.subarray(0, length));

run("pipes", () => {
  it("carry everything in order through a ring that is too small for it", async () => {
    await runInKernel(async (proc) => {
      const [read, write] = await proc.pipe();
      const data = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
      const pid = await proc.fork(async (child) => {
        await child.close(read);
        await child.write(write, data);
        return 0;
      });
      await proc.close(write);
      const got = new Uint8Array(data.length + 1);
      let at = 0;
      for (let n = -1; n !== 0; at += n)
        n = await proc.read(read, got.subarray(at, at + 1 + ((at * 13) % 9000)));
      expect(at).toBe(data.length);
      expect(Buffer.compare(got.subarray(0, at), data)).toBe(0);
      expect((await proc.wait(pid)).status).toBe(0);
    });
  });

  it("end: no writer is the end of file, no reader SIGPIPE or EPIPE", async () => {
    await runInKernel(async (proc) => {
      const [read, write] = await proc.pipe();
      await proc.write(write, "abc");
      await proc.write(write, "def");
      await proc.close(write);
      const buffer = new Uint8Array(10);
      expect(text(buffer, await proc.read(read, buffer))).toBe("abcdef");
      expect(await proc.read(read, buffer)).toBe(0);
      await expect(proc.write(read, "x")).rejects.toMatchObject({ code: "EBADF" });
      await expect(proc.lseek(read, 0, 0)).rejects.toMatchObject({ code: "ESPIPE" });
      const second = await proc.pipe();
      const pid = await proc.fork(async (child) => {
        await child.close(second[0]);
        await child.write(second[1], "x");
        return 0;
      });
      await proc.close(second[0]);
      expect((await proc.wait(pid)).status).toBe(SIGPIPE);
      await proc.ignore(SIGPIPE, true);
      await expect(proc.write(second[1], "x")).rejects.toMatchObject({ code: "EPIPE" });
    });
  });

  it("refuse bad pointers and flags; O_NONBLOCK is EAGAIN", async () => {
    await runInKernel(async (proc) => {
      expect(await raw(proc, PIPE2, 8, 0)).toBe(-EFAULT);
      expect(await raw(proc, PIPE2, HEAP, 1)).toBe(-EINVAL);
      await proc.sleep(0);
      expect(await raw(proc, PIPE2, HEAP, 0o4000)).toBe(0);
      // The failed ones left no descriptor behind.
      expect(await raw(proc, 0, 3, HEAP, 10)).toBe(-EAGAIN);
      expect(await raw(proc, 1, 4, 8, 10)).toBe(-EFAULT);
      expect(await raw(proc, 1, 4, HEAP, 4096)).toBe(4096);
    });
  });

  it("dup2 makes a second name, and closes what the name stood for", async () => {
    await runInKernel(async (proc) => {
      const [read, write] = await proc.pipe();
      expect(await proc.dup2(write, 100)).toBe(100);
      expect(await proc.dup2(write, write)).toBe(write);
      await proc.close(write);
      await proc.write(100, "x");
      await proc.dup2(read, 100);
      const buffer = new Uint8Array(4);
      expect(await proc.read(100, buffer)).toBe(1);
      expect(await proc.read(read, buffer)).toBe(0);
      expect(await raw(proc, DUP2, 50, 51)).toBe(-EBADF);
      expect(await raw(proc, DUP2, 0, 5000)).toBe(-EBADF);
    });
  });
});
