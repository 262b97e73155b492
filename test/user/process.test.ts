import { describe, expect, it } from "vitest";
import type { Phase } from "../../runtime/index.ts";
import type { Program } from "../../runtime/user/proc.ts";
import { run } from "../machine/run.ts";
import { miniKernel, PROGRAM } from "./mini-kernel.ts";

const start = (program: Program, extra?: string): ReturnType<typeof run> =>
  run(miniKernel(extra), { programs: { [PROGRAM]: program } });

describe("a program", () => {
  it("finds its arguments and ends with its status", async () => {
    let argv: readonly string[] = [];
    const { console, outcome } = await start(async (proc) => {
      argv = proc.argv;
      return 42;
    });
    expect(argv).toEqual(["/bin/test", "--flag"]);
    expect(console).toBe("exit 0000002a\n");
    expect(outcome).toBe("powered-off");
  });

  it("writes through pages that are not contiguous, in pieces as large as the kernel gives", async () => {
    const text = Array.from({ length: 6000 }, (_, i) => `line ${i}\n`).join("");
    const { console } = await start(async (proc) => {
      await proc.write(1, text);
      return 0;
    });
    expect(console).toBe(`${text}exit 00000000\n`);
  });

  it("gets status 1 and a message for a bug, and for an error that it does not catch", async () => {
    const bug = await start(async () => {
      throw new Error("out of cheese");
    });
    expect(bug.console).toBe("/bin/test: out of cheese\nexit 00000001\n");
    const error = await start(async (proc) => {
      await proc.open("/nothing", 0);
      return 0;
    });
    expect(error.console).toBe("/bin/test: open /nothing: ENOSYS\nexit 00000001\n");
  });

  it("that nobody wrote is not found", async () => {
    const { console } = await run(miniKernel(undefined, "ghost"), { programs: {} });
    expect(console).toBe("ghost: program not found\nexit 0000007f\n");
  });

  it("whose stack is not there when it starts raises a page fault, as any access of it does", async () => {
    const unmapped = `${miniKernel().replace(
      "store<u64>(REGS + 152, 0xbfffef00);",
      "store<u64>(REGS + 152, 0x5000);",
    )}
export function asm_exc_user(vector: i32, error: u32, lo: u32, hi: u32, bx: u32): void {
  say("fault "); hex(lo); say(" error "); hex(error); newline(); power_off();
}`;
    const { console } = await run(unmapped, { programs: {} });
    // A read from user mode of a page that is not present.
    expect(console).toBe("fault 00005000 error 00000004\n");
  });

  it("keeps its calls in order when it does not wait for them", async () => {
    const { console } = await start(async (proc) => {
      await Promise.all(["one ", "two ", "three "].map((text) => proc.write(1, text)));
      return 0;
    });
    expect(console).toBe("one two three exit 00000000\n");
  });
});

describe("system calls", () => {
  it("carry numbers, addresses and 64-bit offsets", async () => {
    const values: number[] = [];
    const { console } = await start(
      async (proc) => {
        values.push(await proc.lseek(3, 5 * 2 ** 32 + 7, 0));
        values.push(await proc.lseek(3, -8192, 1));
        values.push(await proc.copyFileRange(3, 4, 2 ** 40));
        const buffer = new Uint8Array(4);
        values.push(await proc.pread(3, buffer, 2 ** 33 + 1), ...buffer);
        await proc.mkdir("/var/crash", 0o755);
        await proc.rename("a", "b", { noReplace: true });
        return 0;
      },
      `if (nr == 8) return <i64>(<u64>b | (<u64>d << 32));
       if (nr == 326) { hex(a); hex(c); hex(e); newline(); return 1000; }
       if (nr == 17) { store<u32>(heap(b), 0x04030201); return d + e; }
       if (nr == 83) { putc(load<u8>(heap(a) + 5)); hex(b); newline(); return 0; }
       if (nr == 316) {
         hex(a); putc(load<u8>(heap(b))); putc(load<u8>(heap(d))); hex(e); newline(); return 0;
       }
       return -38;`,
    );
    expect(values).toEqual([5 * 2 ** 32 + 7, -8192, 1000, 3, 1, 2, 3, 0]);
    expect(console).toBe("00000003000000047ffff000\nc000001ed\nffffff9cab00000001\nexit 00000000\n");
  });

  it("give Linux's errors by name and number", async () => {
    let error: unknown;
    await start(async (proc) => {
      error = await proc.unlink("/x").catch((thrown: unknown) => thrown);
      return 0;
    }, "return nr == 87 ? -13 : -38;");
    expect(error).toMatchObject({
      name: "SyscallError",
      errno: 13,
      code: "EACCES",
      syscall: "unlink",
      path: "/x",
    });
  });

  it("read struct stat and the time", async () => {
    const values: unknown[] = [];
    await start(
      async (proc) => {
        values.push(await proc.stat("/proc/vmcore"), await proc.fstat(3), await proc.time());
        return 0;
      },
      `if (nr == 4 || nr == 5) {
         const at = nr == 4 ? b : b;
         store<u32>(heap(at + 24), 0o100400); store<u64>(heap(at + 48), 0x100000002); return 0;
       }
       if (nr == 228) { store<u64>(heap(b), 1700000000); store<u64>(heap(b + 8), 5); return 0; }
       return -38;`,
    );
    const stat = { mode: 0o100400, size: 2 ** 32 + 2 };
    expect(values).toEqual([stat, stat, 1700000000]);
  });

  it("that sleep are finished by the task's second run", async () => {
    const { console } = await start(
      async (proc) => {
        await proc.fsync(9);
        await proc.write(1, "woken\n");
        return 0;
      },
      `if (nr == 74) {
         if (load<u32>(LOG + 20) == 0) {
           store<u32>(LOG + 20, 1); store<u32>(LOG + 4, nr); store<u32>(LOG + 8, a);
           say("sleep\\n"); switch_to();
         }
         say("again "); hex(a); newline(); return 0;
       }
       return -38;`,
    );
    expect(console).toBe("sleep\nagain 00000009\nwoken\nexit 00000000\n");
  });

  it("enter the kernel on the task's own stack", async () => {
    const { machine } = await start(async () => 0);
    expect(machine.memory.u32(0x1f0010)).toBe(0x208000);
  });
});

describe("phases", () => {
  const load = (flags: number, result: number): Promise<Phase[]> => {
    const phases: Phase[] = [];
    const program: Program = async (proc) => {
      await proc.kexecFileLoad(3, 4, "1 irqpoll", flags).catch(() => undefined);
      return 0;
    };
    const source = miniKernel(`return nr == 320 ? ${result} : -38;`);
    const onPhase = (phase: Phase): number => phases.push(phase);
    return run(source, { programs: { [PROGRAM]: program }, onPhase }).then(() => phases);
  };

  it("begin with user mode, and with a loaded capture kernel", async () => {
    expect(await load(2, 0)).toEqual(["power-on", "user", "loaded", "end"]);
  });

  it("know a load that failed, an unload, and a kernel for kexec -e", async () => {
    for (const [flags, result] of [
      [2, -99],
      [3, 0],
      [0, 0],
    ] as const) {
      expect(await load(flags, result)).toEqual(["power-on", "user", "end"]);
    }
  });
});
