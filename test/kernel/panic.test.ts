/**
 * Exceptions in kernel mode, each through the whole machine: production's kernel, in which sysrq c does what
 * the command line's trap= says instead of panic(). The task is init, so every oops ends in a panic.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { currentHost, MemoryFs } from "../../runtime/adapter/index.ts";
import { boot } from "../../runtime/index.ts";
import { makeCpio } from "../../tools/initrd/cpio.ts";
import { sysrqKernel } from "../support/sysrq-kernel.ts";

const TRAPS = `
import { BUG, WARN } from "../../lib/bug";
import { simple_strtoul, strstr } from "../../lib/string";
function overflow(n: i32): i32 {
  return n == 0x7fffffff ? 0 : overflow(n + 1) + load<u8>(sym.boot_command_line + n % 7);
}
function trap(kind: u32): void {
  if (kind == 1) BUG(c\`drivers/tty/sysrq.c\`, 147);
  else if (kind == 2) store<u64>(pa(0x10), 1);
  else if (kind == 3) sym.panic_timeout = 7 / sym.reboot_force;
  else if (kind == 4) call_indirect<void>(text_index(0xffffffff80100103));
  else if (kind == 5) sym.panic_timeout = overflow(0);
  else if (kind == 6) unreachable();
  else if (kind == 7) store<u8>(pa(0xdead000000000100), 1);
  else if (kind == 8) {
    WARN(true, c\`drivers/tty/sysrq.c\`, 150, c\`value %d\\n\`, 5);
    panic(c\`after the warning\`);
  } else {
    panic(c\`sysrq triggered crash\\n\`);
  }
}
`;

describe("the kernel at its end", () => {
  let image: Uint8Array;

  beforeAll(async () => {
    const kind = "<u32>simple_strtoul(strstr(sym.saved_command_line, c`trap=`) + 5, 0, 10)";
    // Called in two places, it is not inlined.
    image = await sysrqKernel(`const kind = ${kind}; if (kind == 9) trap(0); trap(kind);`, TRAPS);
  });

  const run = async (cmdline: string): Promise<{ text: string; outcome: string }> => {
    let text = "";
    const init = { mode: 0o755, contents: "#!program init\n" };
    const { outcome } = await boot({
      image,
      initrd: makeCpio({ init }),
      memory: 16 * 1024 * 1024,
      cmdline: `console=ttyS0 ${cmdline}`,
      seed: 1,
      console: (bytes) => {
        text += new TextDecoder().decode(bytes);
      },
      hostfs: new MemoryFs(),
      host: currentHost(),
      programs: {
        init: async (proc) => {
          const fd = await proc.open("/proc/sysrq-trigger", 1);
          await proc.write(fd, "c");
          return 0;
        },
      },
    });
    return { text: text.replace(/^\[ *\d+\.\d+\] /gm, ""), outcome };
  };

  const TRACE = [
    "__handle_sysrq",
    "write_sysrq_trigger",
    "proc_reg_write",
    "vfs_write",
    "ksys_write",
    "__x64_sys_write",
    "do_syscall_64",
    "entry_SYSCALL_64_after_hwframe",
  ];
  const expectTrace = (text: string) => {
    const lines = text.slice(text.indexOf("Call Trace:")).split("\n");
    const names = lines
      .map((line) => /^ (\w+)\+0x/.exec(line)?.[1])
      .filter((name) => name && TRACE.includes(name));
    expect(names.slice(0, TRACE.length)).toEqual(TRACE);
  };

  it("panics with message, trace and end line, and halts", async () => {
    const { text, outcome } = await run("trap=0");
    expect(text).toContain("sysrq: Trigger a crash\nKernel panic - not syncing: sysrq triggered crash\n");
    expect(text).toContain("CPU: 0 PID: 1 Comm: init Not tainted 5.15.0-wasm #1\nHardware name: wasm-kdump");
    expectTrace(text);
    expect(text).toMatch(
      /RIP: 0033:0x400002\n.*\nRSP: 002b:[0-9a-f]{16} EFLAGS: 00000202 ORIG_RAX: 0{15}1\n/,
    );
    expect(text).toMatch(
      /Kernel Offset: disabled\n---\[ end Kernel panic - not syncing: sysrq triggered crash \]---\n$/,
    );
    expect(outcome).toBe("not-captured");
  });

  it("restarts after panic= seconds", async () => {
    expect((await run("trap=0 panic=1")).text).toMatch(/Rebooting in 1 seconds\.\.\n$/);
  });

  it.each<[number, string, RegExp]>([
    [
      1,
      "BUG()",
      /cut here \]-+\nkernel BUG at drivers\/tty\/sysrq\.c:147!\nOops: invalid opcode: 0000 \[#1\] SMP\n/,
    ],
    [
      2,
      "a NULL pointer",
      /NULL pointer dereference, address: 0{14}10\n#PF: supervisor \w+ access[^O]+\nOops: Oops: 000\d \[#1\]/,
    ],
    [3, "a division by zero", /Oops: divide error: 0000 \[#1\] SMP\n/],
    [
      4,
      "a wild function pointer",
      /page fault for address: ffffffff80100103\n#PF: supervisor instruction fetch in kernel mode\n/,
    ],
    [
      5,
      "a stack overflow",
      /TASK stack guard page was hit at \w+ \(stack is \w+000\.\.\w+fff\)\nOops: stack guard page: 0000/,
    ],
    [6, "code that must not be reached", /\nOops: invalid opcode: 0000 \[#1\] SMP\n/],
    [7, "LIST_POISON", /unable to handle page fault for address: dead000000000100\n/],
  ])("dies of trap %i, %s", async (kind, _name, expected) => {
    const { text } = await run(`trap=${kind}`);
    expect(text).toMatch(expected);
    expect(text).toMatch(/\nRIP: 0010:(trap|overflow)\+0x[0-9a-f]+\/0x[0-9a-f]+\nCode: [^U]/);
    expectTrace(text);
    expect(text).toContain("---[ end trace 0000000000000000 ]---\nRIP: 0010:");
    // A double fault comes as an interrupt, out of which no task can be killed.
    const end = kind === 5 ? "Fatal exception in interrupt" : "Attempted to kill init! exitcode=0x0000000b";
    expect(text).toContain(`Kernel panic - not syncing: ${end}\n`);
  });

  it("goes on after a warning, tainted", async () => {
    const { text } = await run("trap=8");
    expect(text).toMatch(
      /WARNING: CPU: 0 PID: 1 at drivers\/tty\/sysrq\.c:150 \w+\+0x\w+\/0x\w+\nvalue 5\nModules linked in:\n/,
    );
    expect(text).toMatch(
      /Kernel panic - not syncing: after the warning\nCPU: 0 PID: 1 Comm: init Tainted: G {8}W /,
    );
  });

  it("panics at once when told to: oops=panic, panic_on_warn=1, panic_on_taint=0x200", async () => {
    expect((await run("trap=1 oops=panic")).text).toContain("Kernel panic - not syncing: Fatal exception\n");
    expect((await run("trap=8 panic_on_warn=1")).text).toContain(
      "Kernel panic - not syncing: panic_on_warn set ...\n",
    );
    expect((await run("trap=8 panic_on_taint=0x200")).text).toContain(
      "not syncing: panic_on_taint set ...\n",
    );
  });
});
