/** Out of memory: the largest program is killed; without one that can be, it is a panic. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { currentHost, openDirectory } from "../../runtime/adapter/index.ts";
import { boot } from "../../runtime/index.ts";
import { O_CREAT, O_RDONLY, O_RDWR, O_WRONLY, type Proc, type Program } from "../../runtime/user/proc.ts";
import { parseBootFlags } from "../../tools/boot/options.ts";
import { readText } from "../../tools/init/exec.ts";
import { machinePrograms } from "../../tools/init/programs.ts";
import { built } from "../support/boot.ts";

const PIECE = new Uint8Array(1 << 20).fill(0x6d);

const directory = mkdtempSync(join(tmpdir(), "wkdump-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Boots 24M where the program `name` ends with `work`; the console's text and the end. */
async function machine(name: "kdumpctl" | "init", work: (proc: Proc) => Promise<void>) {
  const programs = machinePrograms();
  const kdumpctl = programs.kdumpctl as Program;
  programs[name] = async (proc) => {
    const status = name === "kdumpctl" ? await kdumpctl(proc) : 0;
    await work(proc);
    return status;
  };
  const decoder = new TextDecoder();
  let text = "";
  const { memory, cmdline } = parseBootFlags(["--memory", "24M"]);
  const result = await boot({
    image: readFileSync(built("vmlinuz")),
    initrd: readFileSync(built("initrd.img")),
    memory,
    cmdline,
    seed: 1,
    console: (bytes) => {
      text += decoder.decode(bytes, { stream: true });
    },
    hostfs: openDirectory(directory),
    host: currentHost(),
    programs,
  });
  return { text, result };
}

async function writeUntilFull(proc: Proc, path: string, pieces: number): Promise<number> {
  const fd = await proc.open(path, path.startsWith("/dev") ? O_RDWR : O_WRONLY | O_CREAT, 0o600);
  for (let piece = 0; piece < pieces; piece++) await proc.write(fd, PIECE);
  return fd;
}

describe("out of memory", () => {
  it("kills the program that has the most, and the machine goes on", async () => {
    const { text, result } = await machine("kdumpctl", async (proc) => {
      await writeUntilFull(proc, "/root/full", 64);
    });
    expect(text).toMatch(/kdumpctl invoked oom-killer: gfp_mask=0x[0-9a-f]+, order=0, oom_score_adj=0/);
    expect(text).toContain("Tasks state (memory values in pages):");
    const killed = /Out of memory: Killed process (\d+) \(kdumpctl\) total-vm:\d+kB, anon-rss:(\d+)kB/.exec(
      text,
    );
    expect(Number(killed?.[1])).toBeGreaterThan(1);
    expect(Number(killed?.[2])).toBeGreaterThan(0);
    expect(text).toContain("sysrq triggered crash");
    expect(result.outcome).toBe("captured");
  });

  it("is a panic when there is no task to kill", async () => {
    const { text, result } = await machine("init", async (proc) => {
      await writeUntilFull(proc, "/root/full", 64);
    });
    expect(text).toContain("Out of memory and no killable processes...");
    expect(text).toContain("Kernel panic - not syncing: System is deadlocked on memory");
    expect(result.outcome).toBe("not-captured");
  });

  it("does not come to that while clean pages of a block device can go", async () => {
    let buffers = Number.NaN;
    const { text, result } = await machine("kdumpctl", async (proc) => {
      const disk = await proc.open("/dev/ram0", O_RDONLY);
      // Nothing was written there: its pages are clean, and the device takes no memory for them.
      const buffer = new Uint8Array(1 << 20);
      for (let read = 0; read < 8; read++) await proc.read(disk, buffer);
      const told = /^Buffers:\s+(\d+) kB$/m.exec(await readText(proc, "/proc/meminfo"))?.[1];
      buffers = Number(told);
      await writeUntilFull(proc, "/root/most", 12);
    });
    expect(buffers).toBe(8 << 10);
    expect(text).not.toContain("invoked oom-killer");
    expect(text).toContain("sysrq triggered crash");
    expect(result.outcome).toBe("captured");
  });
});
