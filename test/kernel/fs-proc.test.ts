/** /proc, /proc/sys and /sys as tools read them, against what the machine and the build know. */
import { existsSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { config } from "../../kernel-wasm/abi/config.ts";
import { O_RDONLY, O_RDWR, O_WRONLY, type Proc } from "../../runtime/user/proc.ts";
import { configText } from "../../tools/build/ikconfig.ts";
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

async function writeText(proc: Proc, path: string, text: string): Promise<void> {
  const fd = await proc.open(path, O_WRONLY);
  try {
    await proc.write(fd, text);
  } finally {
    await proc.close(fd);
  }
}

async function readBytes(proc: Proc, path: string, piece = 777): Promise<Uint8Array> {
  const text = await readText(proc, path, piece);
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

const SYSCTL = "/proc/sys/kernel";

describe.skipIf(!existsSync(built("vmlinuz")))("/proc", () => {
  it("shows every symbol of System.map in kallsyms, in pieces of any size", async () => {
    await runInKernel(async (proc) => {
      const text = await readText(proc, "/proc/kallsyms", 5000);
      expect(text).toBe(await readText(proc, "/proc/kallsyms", 333));
      const lines = text.trimEnd().split("\n");
      expect(lines.every((line) => /^[0-9a-f]{16} [A-Za-z] \S+$/.test(line))).toBe(true);
      const map = readFileSync(built("System.map"), "latin1").trimEnd().split("\n");
      const known = new Set(lines);
      const missing = map.filter((line) => / [tT] /.test(line) && !known.has(line));
      expect(missing).toEqual([]);
      // A seek to the middle of the file gives what was there.
      const fd = await proc.open("/proc/kallsyms", O_RDONLY);
      const buffer = new Uint8Array(100);
      expect(await proc.pread(fd, buffer, 12345)).toBe(100);
      expect(new TextDecoder().decode(buffer)).toBe(text.slice(12345, 12445));
      await proc.close(fd);
    });
  });

  it("gives the configuration it was built with as config.gz", async () => {
    await runInKernel(async (proc) => {
      const packed = await readBytes(proc, "/proc/config.gz");
      expect(packed.length).toBe((await proc.stat("/proc/config.gz")).size);
      expect(new TextDecoder().decode(gunzipSync(packed))).toBe(configText(config.production));
      const image = readFileSync(built("vmlinuz")).toString("latin1");
      expect(image.indexOf("IKCFG_ED") - image.indexOf("IKCFG_ST") - 8).toBe(packed.length);
    });
  });

  it("counts time, switches and tasks in stat and uptime", async () => {
    await runInKernel(async (proc) => {
      const stat = await readText(proc, "/proc/stat");
      const cpu = /^cpu {2}0 0 (\d+) (\d+) 0 0 0 0 0 0$/m.exec(stat);
      expect(cpu).not.toBeNull();
      expect(stat).toMatch(/^cpu0 0 0 \d+ \d+ 0 0 0 0 0 0$/m);
      expect(stat).toMatch(/^intr \d+( \d+){16}$/m);
      expect(Number(/^btime (\d+)$/m.exec(stat)?.[1])).toBeCloseTo(await proc.time(), -1);
      const processes = Number(/^processes (\d+)$/m.exec(stat)?.[1]);
      const lastPid = Number((await readText(proc, "/proc/loadavg")).trim().split(" ")[4]);
      expect(processes).toBe(lastPid);
      const uptime = await readText(proc, "/proc/uptime");
      expect(uptime).toMatch(/^\d+\.\d\d \d+\.\d\d\n$/);
      const [up, idle] = uptime.split(" ").map(Number);
      expect(idle).toBeLessThanOrEqual(up as number);
    });
  });

  it("agrees with itself about memory", async () => {
    await runInKernel(async (proc) => {
      const vmstat = await readText(proc, "/proc/vmstat");
      const value = (name: string) => Number(new RegExp(`^${name} (\\d+)$`, "m").exec(vmstat)?.[1]);
      const zones = await readText(proc, "/proc/zoneinfo");
      const managed = [...zones.matchAll(/managed {2}(\d+)/g)].reduce((sum, m) => sum + Number(m[1]), 0);
      const meminfo = await readText(proc, "/proc/meminfo");
      expect(Number(/MemTotal:\s+(\d+)/.exec(meminfo)?.[1])).toBe(managed * 4);
      const buddy = (await readText(proc, "/proc/buddyinfo")).trimEnd().split("\n");
      const free = buddy
        .flatMap((line) => line.trim().split(/\s+/).slice(-11))
        .reduce((sum, n, i) => sum + Number(n) * 2 ** (i % 11), 0);
      expect(Math.abs(free - value("nr_free_pages"))).toBeLessThan(20);
      expect(vmstat.trimEnd().split("\n")).toHaveLength(50 + 58);
      const slabs = (await readText(proc, "/proc/slabinfo")).trimEnd().split("\n").slice(2);
      expect(slabs.length).toBeGreaterThan(10);
      for (const line of slabs) {
        const match = /^\S+ +(\d+) +(\d+) +\d+ +(\d+) +\d+ : tunables +0 +0 +0 : slabdata +(\d+)/.exec(line);
        const [active, total, perSlab, count] = (match ?? []).slice(1).map(Number);
        expect(active, line).toBeLessThanOrEqual(total as number);
        expect(total, line).toBe((perSlab as number) * (count as number));
      }
    });
  });

  it("lists devices, file systems, interrupts and processors", async () => {
    await runInKernel(async (proc) => {
      expect(await readText(proc, "/proc/devices")).toMatch(
        /^Character devices:\n {2}1 mem\n {2}5 \/dev\/console\n/,
      );
      expect(await readText(proc, "/proc/filesystems")).toContain("nodev\tproc\n");
      const irqs = await readText(proc, "/proc/interrupts");
      expect(irqs).toMatch(/^ {11}CPU0 +\n/);
      expect(irqs).toMatch(/^ {2}4: +0 +IO-APIC +4-edge +ttyS0$/m);
      expect(irqs).toMatch(/^ {2}8: +0 +IO-APIC +8-edge +rtc0$/m);
      expect(await readText(proc, "/proc/cpuinfo")).toMatch(/^processor\t: 0\nvendor_id\t: WebAssembly!\n/);
      expect(await readText(proc, "/proc/swaps")).toMatch(/^Filename\t/);
    });
  });
});

describe.skipIf(!existsSync(built("vmlinuz")))("/proc/sys", () => {
  it("parses numbers as Linux does", async () => {
    await runInKernel(async (proc) => {
      const panic = `${SYSCTL}/panic`;
      for (const [text, value] of [
        ["10", 10],
        ["-1\n", -1],
        [" 0x20 ", 32],
        ["010", 8],
        ["7 9", 7],
      ] as const) {
        await writeText(proc, panic, text);
        expect(await readText(proc, panic), text).toBe(`${value}\n`);
      }
      for (const text of ["", " \n", "x", "1x", "+1", "--1", "2147483648", "-2147483649", "9".repeat(30)]) {
        const code = text === "" ? "none" : "EINVAL";
        expect(await errorOf(writeText(proc, panic, text)), text).toBe(code);
      }
      expect(await readText(proc, panic)).toBe("7\n");
      expect(await errorOf(writeText(proc, `${SYSCTL}/panic_on_warn`, "2"))).toBe("EINVAL");
      expect(await errorOf(writeText(proc, `${SYSCTL}/pid_max`, "300"))).toBe("EINVAL");
      expect(await errorOf(writeText(proc, panic, "1".repeat(5000)))).toBe("ENOMEM");
      // Several numbers in one file.
      expect(await readText(proc, `${SYSCTL}/printk`)).toBe("7\t4\t1\t7\n");
      await writeText(proc, `${SYSCTL}/printk`, "4 4");
      expect(await readText(proc, `${SYSCTL}/printk`)).toBe("4\t4\t1\t7\n");
    });
  });

  it("binds root to the modes", async () => {
    await runInKernel(async (proc) => {
      expect(await errorOf(proc.open(`${SYSCTL}/osrelease`, O_WRONLY))).toBe("EACCES");
      expect(await errorOf(proc.open(`${SYSCTL}/osrelease`, O_RDWR))).toBe("EACCES");
      expect((await proc.stat(`${SYSCTL}/osrelease`)).mode).toBe(0o100444);
      expect(await readText(proc, `${SYSCTL}/ostype`)).toBe("Linux\n");
      await writeText(proc, `${SYSCTL}/hostname`, "crashbox\nrest");
      expect(await readText(proc, `${SYSCTL}/hostname`)).toBe("crashbox\n");
      await writeText(proc, `${SYSCTL}/hostname`, "h".repeat(100));
      expect(await readText(proc, `${SYSCTL}/hostname`)).toBe(`${"h".repeat(64)}\n`);
    });
  });

  it("only adds taint, and lets kexec be locked for good", async () => {
    await runInKernel(async (proc) => {
      const tainted = `${SYSCTL}/tainted`;
      expect(await readText(proc, tainted)).toBe("0\n");
      await writeText(proc, tainted, "64");
      await writeText(proc, tainted, "1");
      await writeText(proc, tainted, "-3");
      expect(await readText(proc, tainted)).toBe("65\n");
      const limit = `${SYSCTL}/kexec_load_limit_panic`;
      expect(await readText(proc, limit)).toBe("-1\n");
      expect(await errorOf(writeText(proc, limit, "-1"))).toBe("EINVAL");
      await writeText(proc, limit, "3");
      expect(await errorOf(writeText(proc, limit, "3"))).toBe("EINVAL");
      await writeText(proc, limit, "0");
      expect(await errorOf(proc.kexecFileLoad(0, 0, "", 2))).toBe("EPERM");
      const disabled = `${SYSCTL}/kexec_load_disabled`;
      expect(await errorOf(writeText(proc, disabled, "0"))).toBe("EINVAL");
      await writeText(proc, disabled, "1");
      expect(await errorOf(writeText(proc, disabled, "0"))).toBe("EINVAL");
    });
  });

  it("refuses the taint that panic_on_taint=...,nousertaint names", async () => {
    const run = runInKernel(
      async (proc) => {
        expect(await errorOf(writeText(proc, `${SYSCTL}/tainted`, "64"))).toBe("EINVAL");
        await writeText(proc, `${SYSCTL}/tainted`, "1");
      },
      { cmdline: "console=ttyS0 panic_on_taint=40,nousertaint" },
    );
    expect((await run).result.outcome).toBe("powered-off");
  });
});

describe.skipIf(!existsSync(built("vmlinuz")))("/sys", () => {
  it("tells kexec-tools of CPUs, notes and the firmware's memory map", async () => {
    await runInKernel(async (proc) => {
      const cpu = "/sys/devices/system/cpu";
      for (const name of ["possible", "present", "online"]) {
        expect(await readText(proc, `${cpu}/${name}`)).toBe("0\n");
      }
      expect(await readText(proc, `${cpu}/offline`)).toBe("\n");
      expect(await readText(proc, `${cpu}/kernel_max`)).toBe("7\n");
      expect(await readText(proc, `${cpu}/cpu0/crash_notes`)).toMatch(/^[0-9a-f]+\n$/);
      // Room for an NT_PRPSINFO, too (docs/architecture.md, Deviations).
      expect(await readText(proc, `${cpu}/cpu0/crash_notes_size`)).toBe("524\n");
      expect((await proc.stat(`${cpu}/cpu0/crash_notes`)).mode).toBe(0o100400);
      expect(await readText(proc, "/sys/firmware/memmap/0/type")).toBe("System RAM\n");
      expect(await readText(proc, "/sys/firmware/memmap/0/end")).toBe("0x9ffff\n");
    });
  });

  it("has the build id that VMCOREINFO has in its notes", async () => {
    await runInKernel(async (proc, machine) => {
      const notes = await readBytes(proc, "/sys/kernel/notes");
      expect(notes.length).toBe((await proc.stat("/sys/kernel/notes")).size);
      expect(Buffer.from(notes.subarray(0, 16)).toString("latin1")).toBe(
        "\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0",
      );
      const [address] = (await readText(proc, "/sys/kernel/vmcoreinfo")).split(" ");
      const at = Number(address);
      const note = Buffer.from(machine.memory.bytes.subarray(at, at + 4096)).toString("latin1");
      expect(note).toContain(`BUILD-ID=${Buffer.from(notes.subarray(16)).toString("hex")}\n`);
    });
  });

  it("opens a file for what it can do, whoever asks", async () => {
    await runInKernel(async (proc) => {
      expect(await errorOf(proc.open("/sys/kernel/kexec_loaded", O_WRONLY))).toBe("EACCES");
      expect(await errorOf(proc.open("/sys/kernel/notes", O_RDWR))).toBe("EACCES");
      await proc.close(await proc.open("/sys/kernel/kexec_crash_size", O_RDWR));
    });
  });
});

describe.skipIf(!existsSync(built("vmlinuz")))("devices", () => {
  it("has RAM disks, and says so in devices and partitions", async () => {
    await runInKernel(async (proc) => {
      expect(await readText(proc, "/proc/devices")).toMatch(/\nBlock devices:\n {2}1 ramdisk\n$/);
      expect(await readText(proc, "/proc/partitions")).toBe(
        "major minor  #blocks  name\n\n   1        0      16384 ram0\n   1        1      16384 ram1\n",
      );
    });
  });

  it("has lo with its address, and no modules", async () => {
    await runInKernel(async (proc, machine) => {
      expect((await readText(proc, "/proc/net/dev")).split("\n")[2]).toMatch(/^ {4}lo: +0 +0 /);
      expect(await readText(proc, "/proc/modules")).toBe("");
      // 127.0.0.1 in network byte order, once in an in_ifaddr: found by its label behind it.
      const memory = Buffer.from(machine.memory.bytes.buffer);
      const address = Buffer.from([127, 0, 0, 1, 127, 0, 0, 1, 255, 0, 0, 0]);
      let at = memory.indexOf(address);
      let found = 0;
      for (; at >= 0; at = memory.indexOf(address, at + 1)) {
        if (memory.subarray(at, at + 64).includes("lo\0")) found++;
      }
      expect(found).toBe(1);
    });
  });
});
