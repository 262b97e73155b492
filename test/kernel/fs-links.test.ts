/** Symbolic links and /proc/PID, through system calls of the built kernel. */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY, type Proc } from "../../runtime/user/proc.ts";
import { built } from "../support/boot.ts";
import { readText, runInKernel } from "../support/kernel-program.ts";

async function errorOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "none";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

async function writeText(proc: Proc, path: string, text: string, flags = O_WRONLY): Promise<void> {
  const fd = await proc.open(path, flags);
  await proc.write(fd, text);
  await proc.close(fd);
}

describe.skipIf(!existsSync(built("vmlinuz")))("symbolic links", () => {
  it("are followed wherever they stand, and read when asked", async () => {
    await runInKernel(async (proc) => {
      await proc.mkdir("/root/a");
      await writeText(proc, "/root/a/file", "text", O_WRONLY | O_CREAT);
      await proc.symlink("a", "/root/dir");
      await proc.symlink("/root/dir/file", "/root/absolute");
      await proc.symlink("../root/./absolute", "/root/again");
      for (const path of ["/root/dir/file", "/root/absolute", "/root/again", "/root/dir/../dir/file"]) {
        expect(await readText(proc, path), path).toBe("text");
      }
      expect(await proc.readlink("/root/again")).toBe("../root/./absolute");
      expect((await proc.stat("/root/dir")).mode & 0o170000).toBe(0o040000);
      expect(await errorOf(proc.readlink("/root/a/file"))).toBe("EINVAL");
      expect(await errorOf(proc.readlink("/root/none"))).toBe("ENOENT");
      expect(await errorOf(proc.symlink("x", "/root/dir"))).toBe("EEXIST");
      // unlink takes the link and leaves the file.
      await proc.unlink("/root/absolute");
      expect(await errorOf(proc.stat("/root/again"))).toBe("ENOENT");
      expect(await readText(proc, "/root/a/file")).toBe("text");
    });
  });

  it("end in ELOOP when they go round, and after forty", async () => {
    await runInKernel(async (proc) => {
      await proc.symlink("/root/y", "/root/x");
      await proc.symlink("x", "/root/y");
      expect(await errorOf(proc.stat("/root/x"))).toBe("ELOOP");
      expect(await errorOf(proc.open("/root/y", O_WRONLY | O_CREAT))).toBe("ELOOP");
      await proc.symlink(".", "/root/l");
      expect((await proc.stat(`/root/${"l/".repeat(40)}`)).mode & 0o170000).toBe(0o040000);
      expect(await errorOf(proc.stat(`/root/${"l/".repeat(41)}`))).toBe("ELOOP");
    });
  });

  it("make what they lead to when it is not there (O_CREAT), unless O_EXCL", async () => {
    await runInKernel(async (proc) => {
      await proc.mkdir("/root/d");
      await proc.symlink("d/new", "/root/link");
      expect(await errorOf(proc.open("/root/link", O_RDONLY))).toBe("ENOENT");
      expect(await errorOf(proc.open("/root/link", O_WRONLY | O_CREAT | O_EXCL))).toBe("EEXIST");
      await writeText(proc, "/root/link", "made", O_WRONLY | O_CREAT);
      expect(await readText(proc, "/root/d/new")).toBe("made");
    });
  });
});

describe.skipIf(!existsSync(built("vmlinuz")))("/proc/PID", () => {
  it("shows the process that asks", async () => {
    await runInKernel(async (proc) => {
      expect(await proc.readlink("/proc/self")).toBe("1");
      expect(await readText(proc, "/proc/self/cmdline")).toBe("/init\0");
      expect(await readText(proc, "/proc/1/comm")).toBe("init\n");
      expect(await proc.readlink("/proc/1/exe")).toBe("/init");
      expect(await proc.readlink("/proc/1/cwd")).toBe("/");
      const stat = (await readText(proc, "/proc/1/stat")).trimEnd().split(" ");
      expect(stat).toHaveLength(52);
      expect(stat.slice(0, 4)).toEqual(["1", "(init)", "R", "0"]);
      const status = await readText(proc, "/proc/1/status");
      expect(status).toMatch(/^Name:\tinit\nUmask:\t0022\nState:\tR \(running\)\nTgid:\t1\n/);
      const rss = Number(/^VmRSS:\t +(\d+) kB$/m.exec(status)?.[1]);
      const statm = (await readText(proc, "/proc/1/statm")).split(" ").map(Number);
      expect(rss).toBe((statm[1] as number) * 4);
      const maps = (await readText(proc, "/proc/1/maps")).trimEnd().split("\n");
      expect(maps[0]).toMatch(/^00400000-00401000 r-xp 00000000 [0-9a-f]{2}:[0-9a-f]{2} \d+ +\/init$/);
      expect(maps.at(-1)).toMatch(/ rw-p 00000000 00:00 0 +\[stack\]$/);
      expect(maps.every((line) => line.indexOf("/") < 0 || line.indexOf("/") === 73)).toBe(true);
      expect(await readText(proc, "/proc/1/limits")).toMatch(/^Max open files {12}1024 /m);
      expect(await proc.readlink("/proc/mounts")).toBe("self/mounts");
      expect(await readText(proc, "/proc/mounts")).toMatch(/^rootfs \/ rootfs rw 0 0\n/);
    });
  });

  it("leads to open files through fd, also to those that have lost their name", async () => {
    await runInKernel(async (proc) => {
      const fd = await proc.open("/root/open", O_RDWR | O_CREAT);
      await proc.write(fd, "still here");
      expect(await proc.readlink(`/proc/self/fd/${fd}`)).toBe("/root/open");
      await proc.unlink("/root/open");
      expect(await proc.readlink(`/proc/self/fd/${fd}`)).toBe("/root/open (deleted)");
      expect(await readText(proc, `/proc/self/fd/${fd}`)).toBe("still here");
      await proc.close(fd);
      expect(await errorOf(proc.readlink(`/proc/self/fd/${fd}`))).toBe("ENOENT");
      expect(await errorOf(proc.open("/proc/self/fd/007", O_RDONLY))).toBe("ENOENT");
    });
  });

  it("shows where sleeping kernel threads sleep", async () => {
    await runInKernel(async (proc) => {
      expect(await readText(proc, "/proc/2/comm")).toBe("kthreadd\n");
      expect(await readText(proc, "/proc/2/stack")).toMatch(/^\[<0>\] kthreadd\+0x[0-9a-f]+\/0x[0-9a-f]+\n/);
      expect(await readText(proc, "/proc/2/wchan")).toBe("kthreadd");
      expect(await readText(proc, "/proc/2/maps")).toBe("");
      expect(await errorOf(proc.readlink("/proc/2/exe"))).toBe("ENOENT");
      expect(await readText(proc, "/proc/2/status")).toContain("State:\tS (sleeping)\n");
      expect(await errorOf(proc.stat("/proc/999"))).toBe("ENOENT");
      expect(await errorOf(proc.stat("/proc/01"))).toBe("ENOENT");
      await writeText(proc, "/proc/1/comm", "a name that is far too long\n");
      expect(await readText(proc, "/proc/1/comm")).toBe("a name that is \n");
    });
  });
});
