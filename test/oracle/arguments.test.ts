/**
 * The debug kernel: stock gdb shows arguments with the values that the functions were called with, and the
 * stacks unwind in crash, gdb and drgn as those of the usual kernel do.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Truth } from "../../tools/fixtures/types.ts";
import { type BootDump, bootDump } from "../support/boot.ts";
import { describeStock } from "../support/stock.ts";
import { crash, drgn, gdb, gdbFrames, loggedTrace } from "./debuggers.ts";

const CRASHES = ["sysrq-c", "panic", "bug", "exception", "exhaust-stack", "corrupt-list-add"];

/** A dump of the debug kernel, and the truth about it. */
function debugDump(type: string): { dump: BootDump; truth: Truth } {
  const directory = mkdtempSync(join(tmpdir(), "wkdump-"));
  try {
    const file = join(directory, "truth.json");
    const flags = ["--memory", "24M", "--seed", "5", "--workload", "60", "--crash", type];
    const dump = bootDump([...flags, "--debug-kernel", "--truth", file]);
    return { dump, truth: JSON.parse(readFileSync(file, "utf8")) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

describe.each(CRASHES)("the debug kernel, crashed by %s", (type) => {
  let dump: BootDump;
  let truth: Truth;
  beforeAll(() => {
    ({ dump, truth } = debugDump(type));
  });
  afterAll(() => dump?.remove());

  it("has the chain that its log has", () => {
    const { backtrace } = truth.crash;
    const logged = loggedTrace(dump.dmesg);
    if (type === "sysrq-c" || type === "panic") {
      expect(backtrace.slice(backtrace.indexOf("panic"))).toEqual(logged);
    }
    expect(backtrace.at(-1)).toBe("entry_SYSCALL_64_after_hwframe");
  });

  describeStock(["gdb"], "gdb", () => {
    it("unwinds to the outermost frame", () => {
      const [trace = ""] = gdb(dump, ["bt"]);
      expect(trace).not.toMatch(/Backtrace stopped|corrupt|\?\?/);
      expect(gdbFrames(trace).map((it) => it.name)).toEqual(truth.crash.backtrace);
    });

    it("shows what write(2) was called with", () => {
      const [trace = ""] = gdb(dump, ["bt"]);
      const writer = truth.tasks.find(({ pid }) => pid === truth.crash.pid)!;
      const { fd, path } = writer.files.at(-1)!;
      const text = path === "/proc/sysrq-trigger" ? "c" : type.toUpperCase().replaceAll("-", "_");
      expect(trace).toMatch(new RegExp(` ksys_write \\(fd=${fd}, buf=\\d+, count=${text.length}\\) at`));
      expect(trace).toMatch(
        new RegExp(` vfs_write \\(filp=0xffff8880\\w{8}, buf=\\d+, count=${text.length}, pos=0\\) at`),
      );
      expect(trace).toMatch(/ x64_sys_call \(regs=0xffff8880\w{8}, nr=1\) at/);
    });

    it("follows a pointer among them", () => {
      const [, name = "", number = ""] = gdb(dump, [
        "frame function vfs_write",
        "p (char *)filp.f_path.dentry.d_iname",
        "frame function x64_sys_call",
      ]);
      const { path } = truth.tasks.find(({ pid }) => pid === truth.crash.pid)!.files.at(-1)!;
      expect(name).toContain(`"${path.slice(path.lastIndexOf("/") + 1)}"`);
      expect(number).toContain("nr=1");
      const [, ax] = gdb(dump, ["frame function x64_sys_call", "p regs.orig_ax"]);
      expect(ax).toMatch(/ = 1\n/);
    });
  });

  describeStock(["drgn"], "drgn", () => {
    it("unwinds as gdb does, and has the values too", () => {
      const script = `trace = prog.crashed_thread().stack_trace()
write = next(f for f in trace if f.name == "ksys_write")
print(json.dumps([[f.name for f in trace if f.name], write["fd"].value_()]))`;
      const { fd } = truth.tasks.find(({ pid }) => pid === truth.crash.pid)!.files.at(-1)!;
      expect(drgn(dump, script)).toEqual([truth.crash.backtrace, fd]);
    });

    it("unwinds each task that waits", () => {
      const waiting = truth.tasks.filter(({ backtrace }) => backtrace.length > 1);
      const script = `print(json.dumps([[f.name for f in prog.stack_trace(pid) if f.name]
  for pid in ${JSON.stringify(waiting.map(({ pid }) => pid))}]))`;
      expect(waiting.length).toBeGreaterThan(5);
      expect(drgn(dump, script)).toEqual(waiting.map(({ backtrace }) => backtrace));
    });
  });

  describeStock(["crash"], "crash", () => {
    // crash does not look for a task's frames on the stack of a double fault, whatever the kernel.
    it.skipIf(type === "exhaust-stack")("unwinds as it does without arguments", () => {
      const { output, start } = crash(dump, ["bt"]);
      expect(start).not.toMatch(/WARNING/);
      const trace = output.get("bt") ?? "";
      const names = [...trace.matchAll(/^ *#\d+ \[\w+\] (\w+) at/gm)].map((it) => it[1]);
      expect(names[0]).toBe("machine_kexec");
      expect(names.slice(-truth.crash.backtrace.length)).toEqual(truth.crash.backtrace);
    });
  });
});

describe("arguments of the source and of wasm", () => {
  it("are matched only where there is one way to", async () => {
    const { wasmParameters } = await import("../../tools/vmlinux/locations.ts");
    const source = (types: string) => types.split(" ").map((type, i) => ({ name: `p${i}`, type }));
    const [I32, I64] = [0x7f, 0x7e];
    expect(wasmParameters(source("usize u64 i32"), [I32, I64, I32])).toEqual([0, 1, 2]);
    expect(wasmParameters(source("usize u64 u64 u64"), [I32, I64])).toEqual([
      0,
      undefined,
      undefined,
      undefined,
    ]);
    expect(wasmParameters(source("usize u64"), [I64])).toEqual([undefined, 0]);
    expect(wasmParameters(source("usize usize"), [I32])).toEqual([undefined, undefined]);
    expect(wasmParameters(source("usize"), [I64])).toEqual([undefined]);
  });
});
