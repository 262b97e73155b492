/**
 * Loadable modules: finit_module(2) and delete_module(2) of the built kernel, with the built module crasher
 * and with damaged copies of it.
 */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { O_RDONLY, O_WRONLY, type Proc, SyscallError } from "../../runtime/user/proc.ts";
import { machinePrograms } from "../../tools/init/programs.ts";
import { built } from "../support/boot.ts";
import { readText, runInKernel } from "../support/kernel-program.ts";

const KO = "/crasher.ko";
let ko: Uint8Array;

beforeAll(() => {
  ko = new Uint8Array(readFileSync(built("modules/crasher.ko")));
});

/** The file with bytes of it changed. */
function changed(change: (bytes: Buffer) => void): Uint8Array {
  const copy = Buffer.from(ko);
  change(copy);
  return new Uint8Array(copy);
}

/** Every place of `from` becomes `to`, which is as long. */
function replaced(from: string, to: string): Uint8Array {
  expect(to.length).toBe(from.length);
  return changed((bytes) => {
    let found = 0;
    for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at + 1), found++)
      bytes.write(to, at, "latin1");
    expect(found).toBeGreaterThan(0);
  });
}

async function insmod(proc: Proc, parameters = "", path = KO): Promise<void> {
  const fd = await proc.open(path, O_RDONLY);
  try {
    await proc.finitModule(fd, parameters, 0);
  } finally {
    await proc.close(fd);
  }
}

/** The name of the error that the call ends in; "" when it works. */
async function code(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "";
  } catch (error) {
    if (error instanceof SyscallError) return error.code;
    throw error;
  }
}

async function echo(proc: Proc, path: string, text: string): Promise<void> {
  const fd = await proc.open(path, O_WRONLY);
  try {
    await proc.write(fd, text);
  } finally {
    await proc.close(fd);
  }
}

const withFile = (contents: Uint8Array) => ({ files: { [KO]: { mode: 0o644, contents } } });

describe("a module", () => {
  it("is loaded, seen and used", async () => {
    const { console: log } = await runInKernel(async (proc) => {
      expect(await readText(proc, "/proc/modules")).toBe("");
      await insmod(proc);
      expect(await readText(proc, "/proc/modules")).toMatch(
        /^crasher \d+ 0 - Live 0xffffffffa0000000 \(OE\)\n$/,
      );
      const symbols = await readText(proc, "/proc/kallsyms", 65536);
      expect(symbols).toMatch(/^ffffffffa0000[0-9a-f]{3} t crash_bug\t\[crasher\]$/m);
      expect(symbols).toMatch(/^ffffffffa000[0-9a-f]{4} d delay_ms\t\[crasher\]$/m);
      expect(await readText(proc, "/proc/crasher")).toBe(
        "panic 0\nbug 0\nwarn 0\noops 0\nrecurse 0\ntimer 0\n",
      );
      await echo(proc, "/proc/crasher", "warn\n");
      expect(await readText(proc, "/proc/crasher")).toMatch(/^warn 1$/m);
      expect(await code(echo(proc, "/proc/crasher", "nothing"))).toBe("EINVAL");
      const of = async (name: string) => await readText(proc, `/sys/module/crasher/${name}`);
      expect(await of("initstate")).toBe("live\n");
      expect(await of("refcnt")).toBe("0\n");
      expect(await of("taint")).toBe("OE\n");
      expect(await readText(proc, "/proc/sys/kernel/tainted")).toBe(`${(1 << 12) | (1 << 13) | (1 << 9)}\n`);
    }, withFile(ko));
    expect(log).toContain("crasher: loading out-of-tree module taints kernel.");
    expect(log).toContain(
      "crasher: module verification failed: signature and/or required key missing - tainting kernel",
    );
    expect(log).toMatch(
      /WARNING: CPU: 0 PID: 1 at modules\/crasher\/main\.ts:\d+ crash_warn\+0x\w+\/0x\w+ \[crasher\]/,
    );
    expect(log).toMatch(/ crasher_write\+0x\w+\/0x\w+ \[crasher\]$/m);
    expect(log).toContain("Modules linked in: crasher(OE)");
  });

  it("takes parameters, and shows and changes them", async () => {
    const { console: log } = await runInKernel(async (proc) => {
      await insmod(proc, 'delay-ms=7 quiet message="so it is" colour=red');
      const of = async (name: string) => await readText(proc, `/sys/module/crasher/parameters/${name}`);
      expect([await of("delay_ms"), await of("quiet"), await of("message")]).toEqual([
        "7\n",
        "Y\n",
        "so it is\n",
      ]);
      await echo(proc, "/sys/module/crasher/parameters/delay_ms", "-12\n");
      expect(await of("delay_ms")).toBe("-12\n");
      expect(await code(echo(proc, "/sys/module/crasher/parameters/delay_ms", "x"))).toBe("EINVAL");
      expect(await code(echo(proc, "/sys/module/crasher/parameters/quiet", "0"))).toBe("EACCES");
    }, withFile(ko));
    expect(log).toContain("crasher: unknown parameter 'colour' ignored");
    expect(log).not.toContain("ways to crash");
  });

  it("refuses wrong parameters and an init that fails, and leaves nothing", async () => {
    const { console: log } = await runInKernel(async (proc) => {
      expect(await code(insmod(proc, "delay_ms=often"))).toBe("EINVAL");
      expect(await code(insmod(proc, "delay_ms=-1"))).toBe("EINVAL");
      expect(await readText(proc, "/proc/modules")).toBe("");
      expect(await code(proc.stat("/sys/module/crasher"))).toBe("ENOENT");
      expect(await code(proc.stat("/proc/crasher"))).toBe("ENOENT");
      await insmod(proc);
    }, withFile(ko));
    expect(log).toContain("crasher: `often' invalid for parameter `delay_ms'");
  });

  it("goes when nobody uses it, and comes again at the same place", async () => {
    await runInKernel(async (proc) => {
      const free = async () => Number(/^MemFree: +(\d+)/m.exec(await readText(proc, "/proc/meminfo"))?.[1]);
      await insmod(proc);
      await proc.deleteModule("crasher", 0);
      const before = await free();
      for (let round = 0; round < 20; round++) {
        await insmod(proc, "message=again");
        expect(await code(insmod(proc))).toBe("EEXIST");
        expect(await readText(proc, "/proc/modules")).toContain(" 0xffffffffa0000000 ");
        const fd = await proc.open("/proc/crasher", O_RDONLY);
        expect(await readText(proc, "/sys/module/crasher/refcnt")).toBe("1\n");
        expect(await code(proc.deleteModule("crasher", 0))).toBe("EAGAIN");
        await proc.close(fd);
        await proc.deleteModule("crasher", 0);
        expect(await code(proc.stat("/proc/crasher"))).toBe("ENOENT");
        expect(await code(proc.deleteModule("crasher", 0))).toBe("ENOENT");
      }
      expect(await readText(proc, "/proc/modules")).toBe("");
      expect(Math.abs((await free()) - before)).toBeLessThan(32);
    }, withFile(ko));
  });

  it("keeps what was open of it in sysfs without a way in", async () => {
    await runInKernel(async (proc) => {
      await insmod(proc);
      const fd = await proc.open("/sys/module/crasher/refcnt", O_RDONLY);
      await proc.deleteModule("crasher", 0);
      expect(await code(proc.read(fd, new Uint8Array(8)))).toBe("ENODEV");
      await proc.close(fd);
    }, withFile(ko));
  });

  it("is named in an oops after it went", async () => {
    const { console: log } = await runInKernel(async (proc) => {
      await insmod(proc);
      await proc.deleteModule("crasher", 0);
      const child = await proc.fork(async (writer) => {
        await echo(writer, "/sys/kernel/debug/provoke-crash/DIRECT", "BUG");
        return 0;
      });
      await proc.wait(child);
    }, withFile(ko));
    expect(log).toContain("Modules linked in: [last unloaded: crasher(OE)]");
  });
});

describe("a file that is no module of this kernel", () => {
  const refusals: readonly (readonly [what: string, make: () => Uint8Array, code: string, says: RegExp])[] = [
    ["is too short", () => ko.slice(0, 63), "ENOEXEC", /^/],
    ["has another magic", () => changed((b) => b.write("X", 0)), "ENOEXEC", /Invalid ELF header magic/],
    [
      "is no object",
      () => changed((b) => b.writeUInt16LE(2, 16)),
      "ENOEXEC",
      /Invalid ELF header type: 2 != 1/,
    ],
    ["is cut off", () => ko.slice(0, ko.length - 100), "ENOEXEC", /Invalid ELF section header overflow/],
    [
      "is of another kernel",
      () => replaced("vermagic=5.15.0", "vermagic=5.14.0"),
      "ENOEXEC",
      /crasher: version magic '5\.14\.0-wasm SMP mod_unload ' should be '5\.15\.0-wasm SMP mod_unload '/,
    ],
    [
      "wants what is not exported",
      () => replaced("proc_create\0", "proc_kreate\0"),
      "ENOENT",
      /crasher: Unknown symbol proc_kreate \(err -2\)/,
    ],
    [
      "has code that no CPU can run",
      () => replaced("\0asm", "\0asn"),
      "ENOEXEC",
      /crasher: the code in section \.wasm cannot run/,
    ],
    [
      "has no descriptor",
      () => replaced(".gnu.linkonce.this_module", ".gnu.linkonce.that_module"),
      "ENOEXEC",
      /No module found in object/,
    ],
  ];

  it.each(refusals)("%s", async (_what, make, expected, says) => {
    const { console: log } = await runInKernel(async (proc) => {
      expect(await code(insmod(proc))).toBe(expected);
      expect(await readText(proc, "/proc/modules")).toBe("");
    }, withFile(make()));
    expect(log).toMatch(says);
  });

  it("is refused, whatever byte of its headers is wrong", async () => {
    // What its code would do is its own matter: a wrong parameter keeps init from running.
    const sections = Buffer.from(ko).readUInt32LE(40);
    const size = Buffer.from(ko).readUInt16LE(60) * 64;
    const files: Record<string, { mode: number; contents: Uint8Array }> = {};
    for (let i = 0; i < 120; i++) {
      const at = i < 48 ? 16 + i : sections + ((i * 677) % size);
      files[`/m${i}.ko`] = {
        mode: 0o644,
        contents: changed((b) => void (b[at] = (b[at] ?? 0) ^ (1 << (i % 8)))),
      };
    }
    const { console: log } = await runInKernel(
      async (proc) => {
        for (const path of Object.keys(files)) {
          const result = await code(insmod(proc, "delay_ms=x", path));
          // Without its section of parameters it has none.
          expect(["", "ENOEXEC", "ENOENT", "ENOMEM", "EINVAL"]).toContain(result);
          if (result === "") await proc.deleteModule("crasher", 0);
        }
      },
      { files, memory: 32 << 20 },
    );
    expect(log).not.toMatch(/Oops|BUG:|panic/);
  });

  it("wants a regular file, opened for reading, and known flags", async () => {
    await runInKernel(async (proc) => {
      expect(await code(proc.finitModule(77, "", 0))).toBe("EBADF");
      const console_ = await proc.open("/dev/console", O_RDONLY);
      expect(await code(proc.finitModule(console_, "", 0))).toBe("EINVAL");
      const fd = await proc.open(KO, O_WRONLY);
      expect(await code(proc.finitModule(fd, "", 0))).toBe("EBADF");
      const good = await proc.open(KO, O_RDONLY);
      expect(await code(proc.finitModule(good, "", 8))).toBe("EINVAL");
    }, withFile(ko));
  });
});

describe("the programs", () => {
  it("insert, list, probe and remove", async () => {
    const line = (name: string) => ({ mode: 0o755, contents: `#!program ${name}\n` });
    const { console: log } = await runInKernel(
      async (proc) => {
        const run = async (...argv: string[]) => {
          const pid = await proc.spawn(`/sbin/${argv[0]}`, argv);
          return ((await proc.wait(pid)).status >> 8) & 0xff;
        };
        expect(await run("insmod", "/nowhere.ko")).toBe(1);
        expect(await run("insmod", KO, "delay_ms=x")).toBe(1);
        expect(await run("modprobe", "nothing")).toBe(1);
        expect(await run("modprobe", "crasher")).toBe(0);
        expect(await readText(proc, "/sys/module/crasher/parameters/delay_ms")).toBe("3\n");
        expect(await run("modprobe", "crasher")).toBe(0);
        expect(await run("insmod", KO)).toBe(1);
        const fd = await proc.open("/proc/crasher", O_RDONLY);
        expect(await run("lsmod")).toBe(0);
        expect(await run("rmmod", "crasher")).toBe(1);
        await proc.close(fd);
        expect(await run("rmmod", "crasher")).toBe(0);
        expect(await run("rmmod", "crasher")).toBe(1);
      },
      {
        programs: machinePrograms(),
        cmdline: "console=ttyS0 crasher.delay_ms=3",
        files: {
          [KO]: { mode: 0o644, contents: ko },
          "/lib/modules/5.15.0-wasm/crasher.ko": { mode: 0o644, contents: ko },
          "/sbin/insmod": line("insmod"),
          "/sbin/rmmod": line("rmmod"),
          "/sbin/lsmod": line("lsmod"),
          "/sbin/modprobe": line("modprobe"),
        },
      },
    );
    expect(log).toContain("insmod: ERROR: could not load module /nowhere.ko: No such file or directory");
    expect(log).toContain("insmod: ERROR: could not insert module /crasher.ko: Invalid parameters");
    expect(log).toContain("modprobe: FATAL: Module nothing not found in directory /lib/modules/5.15.0-wasm");
    expect(log).toContain("insmod: ERROR: could not insert module /crasher.ko: File exists");
    expect(log).toMatch(/^Module {18}Size {2}Used by\ncrasher +\d+ {2}1$/m);
    expect(log).toContain("rmmod: ERROR: Module crasher is in use");
    expect(log).toContain("rmmod: ERROR: Module crasher is not currently loaded");
  });
});
