/** The VFS, ramfs, /proc, /sys, /dev and the initramfs, through system calls of the built kernel. */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, type Proc } from "../../runtime/user/proc.ts";
import { makeCpio } from "../../tools/initrd/cpio.ts";
import { built } from "../support/boot.ts";
import { readText, runInKernel } from "../support/kernel-program.ts";

const bytes = (n: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length: n }, (_, i) => (i * 7 + seed) & 0xff);

async function errorOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "none";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

async function readAll(proc: Proc, path: string): Promise<Uint8Array> {
  const { size } = await proc.stat(path);
  const fd = await proc.open(path, O_RDONLY);
  const data = new Uint8Array(size);
  for (let at = 0; at < size; ) at += await proc.read(fd, data.subarray(at, at + 5000));
  await proc.close(fd);
  return data;
}

describe.skipIf(!existsSync(built("vmlinuz")))("files", () => {
  it("keeps what is written, across pages, seeks and truncation", async () => {
    await runInKernel(async (proc) => {
      const data = bytes(20_000);
      const fd = await proc.open("/root/data", O_RDWR | O_CREAT | O_EXCL, 0o644);
      await proc.write(fd, data);
      expect(await proc.lseek(fd, 0, 1)).toBe(20_000);
      expect(await proc.lseek(fd, -10, 2)).toBe(19_990);
      const tail = new Uint8Array(32);
      expect(await proc.read(fd, tail)).toBe(10);
      expect(tail.slice(0, 10)).toEqual(data.slice(-10));
      expect(await proc.pread(fd, tail, 4090)).toBe(32);
      expect(tail).toEqual(data.slice(4090, 4122));
      // A hole reads as zeros.
      await proc.lseek(fd, 30_000, 0);
      await proc.write(fd, "end");
      expect(await proc.pread(fd, tail, 25_000)).toBe(32);
      expect(tail).toEqual(new Uint8Array(32));
      await proc.close(fd);
      expect((await proc.stat("/root/data")).size).toBe(30_003);
      await proc.close(await proc.open("/root/data", O_WRONLY | O_TRUNC));
      expect((await proc.stat("/root/data")).size).toBe(0);
    });
  });

  it("walks paths, and refuses as Linux does", async () => {
    await runInKernel(async (proc) => {
      await proc.mkdir("/root/a");
      await proc.mkdir("/root/a/b");
      await proc.close(await proc.open("/root/a/../a/./b//file", O_WRONLY | O_CREAT));
      expect((await proc.stat("root/a/b/../b/file")).mode & 0o170000).toBe(0o100000);
      expect((await proc.stat("/../..")).mode & 0o170000).toBe(0o040000);
      expect(await errorOf(proc.stat("/root/a/none"))).toBe("ENOENT");
      expect(await errorOf(proc.stat("/root/a/b/file/x"))).toBe("ENOTDIR");
      expect(await errorOf(proc.stat("/root/a/b/file/"))).toBe("ENOTDIR");
      expect(await errorOf(proc.stat(""))).toBe("ENOENT");
      expect(await errorOf(proc.stat(`/${"n".repeat(256)}`))).toBe("ENAMETOOLONG");
      expect(await errorOf(proc.stat(`/${"n/".repeat(2100)}`))).toBe("ENAMETOOLONG");
      expect(await errorOf(proc.mkdir("/root/a"))).toBe("EEXIST");
      expect(await errorOf(proc.open("/root/a", O_WRONLY))).toBe("EISDIR");
      expect(await errorOf(proc.open("/root/a/b/file", O_WRONLY | O_CREAT | O_EXCL))).toBe("EEXIST");
      expect(await errorOf(proc.unlink("/root/a"))).toBe("EISDIR");
      expect(await errorOf(proc.close(40))).toBe("EBADF");
      expect(await errorOf(proc.write(40, "x"))).toBe("EBADF");
      const fd = await proc.open("/root/a/b/file", O_RDONLY);
      expect(await errorOf(proc.write(fd, "x"))).toBe("EBADF");
    });
  });

  it("renames, replaces and unlinks; an open file outlives its name", async () => {
    await runInKernel(async (proc) => {
      const fd = await proc.open("/root/one", O_RDWR | O_CREAT);
      await proc.write(fd, "first");
      await proc.close(await proc.open("/root/two", O_WRONLY | O_CREAT));
      expect(await errorOf(proc.rename("/root/one", "/root/two", { noReplace: true }))).toBe("EEXIST");
      await proc.rename("/root/one", "/root/two");
      expect(await errorOf(proc.stat("/root/one"))).toBe("ENOENT");
      expect(await readText(proc, "/root/two", 2)).toBe("first");
      const long = `/root/${"l".repeat(100)}`;
      await proc.rename("/root/two", long);
      expect((await proc.stat(long)).size).toBe(5);
      expect(await errorOf(proc.rename(long, "/proc/x"))).toBe("EXDEV");
      await proc.mkdir("/root/dir");
      expect(await errorOf(proc.rename("/root/dir", "/root/dir/below"))).toBe("EINVAL");
      await proc.unlink(long);
      expect(await errorOf(proc.stat(long))).toBe("ENOENT");
      const buffer = new Uint8Array(8);
      expect(await proc.pread(fd, buffer, 0)).toBe(5);
    });
  });

  it("gives descriptors up to the limit, lowest first", async () => {
    await runInKernel(async (proc) => {
      const fds: number[] = [];
      let error = "";
      for (let i = 0; i < 2000 && error === ""; i++) {
        try {
          fds.push(await proc.open("/dev/null", O_RDONLY));
        } catch (e) {
          error = (e as { code: string }).code;
        }
      }
      expect(error).toBe("EMFILE");
      expect(fds).toEqual(Array.from({ length: 1021 }, (_, i) => i + 3));
      await proc.close(700);
      await proc.close(70);
      expect(await proc.open("/dev/zero", O_RDONLY)).toBe(70);
      expect(await proc.open("/dev/zero", O_RDONLY)).toBe(700);
    });
  });

  it("copies between files, by extents to the host and by pages elsewhere", async () => {
    await runInKernel(async (proc) => {
      const data = bytes(150_001, 3);
      const from = await proc.open("/root/from", O_RDWR | O_CREAT);
      await proc.write(from, data);
      for (const target of ["/root/to", "/var/crash/to"]) {
        await proc.lseek(from, 0, 0);
        const to = await proc.open(target, O_RDWR | O_CREAT | O_EXCL, 0o600);
        let done = 0;
        for (;;) {
          const n = await proc.copyFileRange(from, to, 1 << 20);
          if (n === 0) break;
          done += n;
        }
        expect(done).toBe(data.length);
        await proc.fsync(to);
        await proc.close(to);
        expect(await readAll(proc, target)).toEqual(data);
      }
      const out = await proc.open("/root/to", O_RDONLY);
      expect(await errorOf(proc.copyFileRange(from, out, 10))).toBe("EBADF");
      expect(await errorOf(proc.copyFileRange(from, 1, 10))).toBe("EINVAL");
    });
  });

  it("gives its memory back", async () => {
    await runInKernel(async (proc) => {
      const free = async () => Number(/MemFree:\s+(\d+)/.exec(await readText(proc, "/proc/meminfo"))?.[1]);
      const cycle = async () => {
        const fd = await proc.open("/root/big", O_WRONLY | O_CREAT);
        for (let i = 0; i < 8; i++) await proc.write(fd, bytes(100_000));
        await proc.close(fd);
        await proc.unlink("/root/big");
        await errorOf(proc.stat("/root/none/x"));
      };
      await cycle();
      const before = await free();
      for (let i = 0; i < 20; i++) await cycle();
      expect(Math.abs((await free()) - before)).toBeLessThanOrEqual(16);
    });
  });
});

describe.skipIf(!existsSync(built("vmlinuz")))("/proc, /sys and /dev", () => {
  it("shows what the kernel knows", async () => {
    await runInKernel(
      async (proc) => {
        expect(await readText(proc, "/proc/version")).toMatch(/^Linux version 5\.15\.0-\S+ .*\n$/);
        expect(await readText(proc, "/proc/cmdline")).toBe("console=ttyS0 quiet\n");
        expect(await readText(proc, "/proc/iomem", 10)).toMatch(/^00100000-\w+ : System RAM$/m);
        expect(await readText(proc, "/proc/mounts")).toContain("hostfs /var/crash hostfs rw 0 0\n");
        expect(await readText(proc, "/proc/uptime")).toMatch(/^\d+\.\d\d \d+\.\d\d\n$/);
        expect(await readText(proc, "/proc/loadavg")).toMatch(/^0\.00 0\.00 0\.00 1\/\d+ \d+\n$/);
        expect(await readText(proc, "/sys/kernel/kexec_crash_loaded")).toBe("0\n");
        expect(await errorOf(proc.open("/proc/none", O_RDONLY))).toBe("ENOENT");
        expect((await proc.stat("/proc/sysrq-trigger")).mode & 0o777).toBe(0o200);
      },
      { cmdline: "console=ttyS0 quiet" },
    );
  });

  it("takes settings, and refuses bad ones", async () => {
    await runInKernel(async (proc) => {
      const set = async (path: string, text: string) => {
        const fd = await proc.open(path, O_WRONLY);
        const error = await errorOf(proc.write(fd, text));
        await proc.close(fd);
        return error;
      };
      expect(await set("/proc/sys/kernel/panic", "10\n")).toBe("none");
      expect(await readText(proc, "/proc/sys/kernel/panic")).toBe("10\n");
      expect(await set("/proc/sys/kernel/panic", "ten\n")).toBe("EINVAL");
      expect(await set("/proc/sys/kernel/kexec_load_disabled", "1")).toBe("none");
      expect(await set("/proc/sys/kernel/kexec_load_disabled", "0")).toBe("EINVAL");
      expect(await readText(proc, "/proc/sys/kernel/kexec_load_disabled")).toBe("1\n");
    });
  });

  it("has a console, a null and a zero device", async () => {
    const { console } = await runInKernel(async (proc) => {
      await proc.write(1, "hello from user space\n");
      expect(await errorOf(proc.lseek(1, 0, 0))).toBe("ESPIPE");
      const zero = await proc.open("/dev/zero", O_RDONLY);
      const buffer = bytes(10);
      expect(await proc.read(zero, buffer)).toBe(10);
      expect(buffer).toEqual(new Uint8Array(10));
      const nothing = await proc.open("/dev/null", O_RDWR);
      await proc.write(nothing, "gone");
      expect(await proc.read(nothing, buffer)).toBe(0);
    });
    expect(console).toContain("hello from user space\n");
  });
});

describe.skipIf(!existsSync(built("vmlinuz")))("the initramfs", () => {
  it("becomes the root file system", async () => {
    const contents = bytes(9000, 5);
    await runInKernel(
      async (proc) => {
        expect(await readAll(proc, "/etc/deep/file")).toEqual(contents);
        expect((await proc.stat("/etc/deep/file")).mode).toBe(0o100640);
        expect((await proc.stat("/etc/empty")).size).toBe(0);
      },
      { files: { "/etc/deep/file": { mode: 0o640, contents }, "/etc/empty": { mode: 0o644, contents: "" } } },
    );
  });

  const good = makeCpio({ "/init": { mode: 0o755, contents: "#!program init\n" } });
  it.each([
    ["no cpio magic", new TextEncoder().encode("this is no archive at all".repeat(10))],
    ["unexpected EOF", good.slice(0, good.indexOf(0x23) + 4)],
    ["junk within compressed archive", good.slice(0, 50)],
  ])("says what is wrong with a bad archive: %s", async (problem, initrd) => {
    const { console, result } = await runInKernel(async () => {}, { initrd });
    expect(console).toContain(`Initramfs unpacking failed: ${problem}`);
    expect(console).toContain("No working init found.");
    expect(result.outcome).toBe("not-captured");
  });
});
