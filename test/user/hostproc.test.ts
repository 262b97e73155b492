import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { hostProc } from "../../runtime/adapter/index.ts";
import { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY } from "../../runtime/user/proc.ts";

const base = mkdtempSync(join(tmpdir(), "wkdump-proc-"));
const at = (name: string): string => join(base, name);
afterAll(() => rmSync(base, { recursive: true, force: true }));
const proc = hostProc(["tool", "-x"]);

describe("Proc on the host", () => {
  it("reads, writes and seeks", async () => {
    const fd = await proc.open(at("f"), O_RDWR | O_CREAT | O_EXCL, 0o600);
    await proc.write(fd, "hello world");
    expect(await proc.lseek(fd, 0, 1)).toBe(11);
    expect(await proc.lseek(fd, -5, 2)).toBe(6);
    const buffer = new Uint8Array(20);
    expect(await proc.read(fd, buffer)).toBe(5);
    expect(new TextDecoder().decode(buffer.subarray(0, 5))).toBe("world");
    expect(await proc.read(fd, buffer)).toBe(0);
    expect(await proc.pread(fd, buffer, 3)).toBe(8);
    expect(await proc.fstat(fd)).toMatchObject({ size: 11 });
    await proc.fsync(fd);
    await proc.close(fd);
    expect((await proc.stat(at("f"))).mode & 0o777).toBe(0o600);
    expect(proc.argv).toEqual(["tool", "-x"]);
  });

  it("appends, copies, renames without replacing", async () => {
    writeFileSync(at("source"), "x".repeat(3_000_000));
    writeFileSync(at("log"), "one\n");
    const log = await proc.open(at("log"), O_WRONLY | O_APPEND);
    await proc.write(log, "two\n");
    await proc.close(log);
    expect((await proc.stat(at("log"))).size).toBe(8);
    const from = await proc.open(at("source"), O_RDONLY);
    const to = await proc.open(at("target"), O_WRONLY | O_CREAT | O_EXCL);
    while ((await proc.copyFileRange(from, to, 2 ** 31)) > 0);
    expect((await proc.fstat(to)).size).toBe(3_000_000);
    await expect(proc.rename(at("source"), at("target"), { noReplace: true })).rejects.toMatchObject({
      errno: 17,
    });
    await proc.rename(at("source"), at("moved"), { noReplace: true });
    await proc.mkdir(at("d"), 0o755);
    await proc.unlink(at("moved"));
    await expect(proc.stat(at("moved"))).rejects.toMatchObject({ code: "ENOENT", syscall: "stat" });
  });

  it("has no kernel to load and no machine to stop", async () => {
    await expect(proc.kexecFileLoad(0, 0, "", 0)).rejects.toMatchObject({ code: "EPERM" });
    await expect(proc.reboot(0)).rejects.toMatchObject({ code: "EPERM" });
    expect(await proc.time()).toBeGreaterThan(1.7e9);
  });
});
