/**
 * The crash types (drivers/misc/lkdtm): each through the whole machine, with a child of init as the one who
 * asks for it. What is captured with panic_on_oops=0, panic_on_oops=1 and panic_on_warn=1, and what kills the
 * writer only, was measured on Linux 6.1.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { currentHost, MemoryFs } from "../../runtime/adapter/index.ts";
import { boot } from "../../runtime/index.ts";
import { exitCode, O_WRONLY, SyscallError } from "../../runtime/user/proc.ts";
import { SystemMap } from "../../tools/crashed/system-map.ts";
import { checkKernel } from "../../tools/fuzz/run.ts";
import { CRASH_TYPES, type Ends } from "../../tools/init/crashes.ts";
import { machinePrograms } from "../../tools/init/programs.ts";
import { built } from "../support/boot.ts";
import { readText, runInKernel } from "../support/kernel-program.ts";

const DIRECT = "/sys/kernel/debug/provoke-crash/DIRECT";
const KERNEL = join(import.meta.dirname, "../../kernel-wasm");

/**
 * What a type ends in: `panic` by itself, `oops` of the writer, `warning`, `lockup` and `hardlockup` of the
 * CPU, `hang` of the writer, or `nothing` that is noticed; and what the console says.
 */
const OUTCOMES: readonly (readonly [type: string, ends: Ends, RegExp])[] = [
  ["PANIC", "panic", /^Kernel panic - not syncing: dumptest$/m],
  [
    "BUG",
    "oops",
    /^kernel BUG at drivers\/misc\/lkdtm\/bugs\.ts:\d+!\nOops: invalid opcode: 0000 \[#1\] SMP$/m,
  ],
  [
    "WARNING",
    "warning",
    /^WARNING: CPU: 0 PID: \d+ at drivers\/misc\/lkdtm\/bugs\.ts:\d+ lkdtm_WARNING\+0x/m,
  ],
  ["WARNING_MESSAGE", "warning", /lkdtm_WARNING_MESSAGE\+0x\S+\nWarning message trigger count: 1$/m],
  [
    "EXCEPTION",
    "oops",
    /^BUG: kernel NULL pointer dereference, address: 0{16}\n#PF: supervisor write access/m,
  ],
  ["LOOP", "lockup", /^watchdog: BUG: soft lockup - CPU#0 stuck for \d+s! \[init:\d+\]$/m],
  [
    "EXHAUST_STACK",
    "panic",
    /^BUG: TASK stack guard page was hit at \w+ \(stack is \w+000\.\.\w+fff\)\nOops: stack guard page/m,
  ],
  ["CORRUPT_STACK", "panic", /: stack-protector: Kernel stack is corrupted in: lkdtm_CORRUPT_STACK\+0x/],
  [
    "CORRUPT_STACK_STRONG",
    "panic",
    /: stack-protector: Kernel stack is corrupted in: lkdtm_CORRUPT_STACK_STRONG\+0x/,
  ],
  ["UNALIGNED_LOAD_STORE_WRITE", "nothing", /XFAIL: arch has CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS/],
  ["OVERFLOW_SIGNED", "nothing", /Overflowing signed addition/],
  ["OVERFLOW_UNSIGNED", "nothing", /Overflowing unsigned addition/],
  ["ARRAY_BOUNDS", "nothing", /FAIL: survived array bounds overflow!/],
  ["SOFTLOCKUP", "lockup", /^watchdog: BUG: soft lockup - CPU#0 stuck for \d+s! \[init:\d+\]$/m],
  ["HARDLOCKUP", "hardlockup", /^watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 0$/m],
  ["HUNG_TASK", "hang", /^INFO: task init:\d+ blocked for more than 120 seconds\.$/m],
  [
    "CORRUPT_LIST_ADD",
    "oops",
    /^list_add corruption\. next->prev should be prev \(\w+\), but was 0{16}\. .*\n.*\nkernel BUG at lib/m,
  ],
  [
    "CORRUPT_LIST_DEL",
    "oops",
    /^list_del corruption\. next->prev should be \w+, but was 0{16}\. \(next=\w+\)$/m,
  ],
  [
    "VMALLOC_LINEAR_OVERFLOW",
    "oops",
    /address: ffffc900\w{5}000\n.*write access in kernel mode\n.*\(0x0002\) - not-present page\n.* PTE 0\n/,
  ],
  ["READ_AFTER_FREE", "nothing", /FAIL: Memory was not poisoned!/],
  ["WRITE_BUDDY_AFTER_FREE", "nothing", /bad write to the buddy page after free/],
  ["READ_BUDDY_AFTER_FREE", "nothing", /FAIL: Buddy page was not poisoned!/],
  ["SLAB_FREE_DOUBLE", "oops", /^kernel BUG at mm\/slub\.ts:\d+!$/m],
  [
    "SLAB_FREE_CROSS",
    "warning",
    /Wrong slab cache\. lkdtm-heap-b but object is from lkdtm-heap-a\n.*\nWARNING: .* cache_from_obj\+0x/,
  ],
  ["SLAB_FREE_PAGE", "warning", /cache_from_obj\+0x\S+\nvirt_to_cache: Object is not a Slab page!$/m],
  ["WRITE_RO", "oops", /page fault for address: ffffffff8\w+\n.*write access.*\n.*0x0003\) - permissions/],
  [
    "WRITE_KERN",
    "oops",
    /page fault for address: ffffffff8010\w+\n.*write access.*\n.*0x0003\) - permissions/,
  ],
  [
    "EXEC_DATA",
    "oops",
    /^kernel tried to execute NX-protected page - exploit attempt\? \(uid: 0\)\nBUG: un/m,
  ],
  [
    "EXEC_STACK",
    "oops",
    /exploit attempt\? \(uid: 0\)\nBUG: unable to handle page fault for address: ffff8880/,
  ],
  ["EXEC_KMALLOC", "oops", /exploit attempt\? \(uid: 0\)\n.*address: ffff8880\w+\n.*fetch.*\n.*\(0x0011\)/],
  ["EXEC_VMALLOC", "oops", /exploit attempt\? \(uid: 0\)\n.*address: ffffc900\w+\n.*fetch.*\n.*\(0x0011\)/],
  ["EXEC_RODATA", "oops", /exploit attempt\? \(uid: 0\)\n.*address: ffffffff8/],
  ["EXEC_NULL", "oops", /NULL pointer dereference, address: 0{16}\n#PF: supervisor instruction fetch/],
  ["ACCESS_NULL", "oops", /NULL pointer dereference, address: 0{16}\n#PF: supervisor read access/],
  ["REFCOUNT_INC_OVERFLOW", "warning", /refcount_t: saturated; leaking memory\.$/m],
  ["REFCOUNT_INC_NOT_ZERO_OVERFLOW", "warning", /refcount_t: saturated; leaking memory\.$/m],
  ["REFCOUNT_DEC_ZERO", "warning", /refcount_t: decrement hit 0; leaking memory\.$/m],
  ["REFCOUNT_DEC_AND_TEST_NEGATIVE", "warning", /refcount_t: underflow; use-after-free\.$/m],
  ["REFCOUNT_INC_ZERO", "warning", /refcount_t: addition on 0; use-after-free\.$/m],
];

/** What the watchdogs find: the setting that makes it a panic, and that panic's words. */
const LOCKUPS: Partial<Record<Ends, { told: string; reason: string }>> = {
  lockup: { told: "watchdog_thresh=1 softlockup_panic=1", reason: "softlockup: hung tasks" },
  hardlockup: { told: "watchdog_thresh=1 nmi_watchdog=panic", reason: "Hard LOCKUP" },
  hang: { told: "hung_task_panic=1", reason: "hung_task: blocked tasks" },
};
const SETTINGS = { default: "", oops: "oops=panic", warn: "panic_on_warn=1" } as const;

describe("crash types", () => {
  let image: Uint8Array;
  let initrd: Uint8Array;

  beforeAll(() => {
    image = new Uint8Array(readFileSync(built("vmlinuz")));
    initrd = new Uint8Array(readFileSync(built("initrd.img")));
  });

  const crash = async (type: string, setting: string, limit?: number) => {
    let text = "";
    const name = type.toLowerCase().replaceAll("_", "-");
    const { outcome, reason } = await boot({
      image,
      initrd,
      memory: 16 << 20,
      cmdline: `console=ttyS0 crashkernel=2M wkdump.crash=${name} ${setting}`,
      seed: 5,
      console: (bytes) => {
        text += new TextDecoder().decode(bytes);
      },
      hostfs: new MemoryFs(),
      host: currentHost(),
      programs: machinePrograms(),
      ...(limit === undefined ? {} : { limit }),
    });
    return { outcome, reason, text: text.replace(/^\[ *\d+\.\d+\] /gm, "").replaceAll("\r", "") };
  };

  it("are the ones that boot --crash offers, and each has a line in this test", () => {
    const offered = CRASH_TYPES.flatMap(({ trigger, ends }) =>
      trigger?.path === DIRECT ? [[trigger.text, ends]] : [],
    );
    expect(OUTCOMES.map(([type, ends]) => [type, ends])).toEqual(offered);
  });

  it.each(OUTCOMES.filter(([, ends]) => !(ends in LOCKUPS)))("%s: %s", async (type, ends, said) => {
    for (const [name, setting] of Object.entries(SETTINGS)) {
      const { outcome, text } = await crash(type, setting);
      const captured =
        ends === "panic" || (ends === "oops" && name === "oops") || (ends === "warning" && name === "warn");
      expect(outcome, setting).toBe(captured ? "captured" : "powered-off");
      const killed = /ended with status 139/.test(text);
      expect(killed, setting).toBe(ends === "oops" && name !== "oops");
      expect(text).toContain(`lkdtm: Performing direct entry ${type}\n`);
      expect(text).toMatch(said);
      if (outcome === "powered-off") expect(text).toContain("did not crash the machine\n");
      if (ends === "warning" && name !== "warn")
        expect(text).toContain("---[ end trace 0000000000000000 ]---\n");
    }
  });

  it.each(OUTCOMES.filter(([, ends]) => ends in LOCKUPS))(
    "%s: the watchdog finds the %s, and panics when it is told to",
    async (type, ends, said) => {
      const lockup = ends !== "hang";
      const { told = "", reason } = LOCKUPS[ends] ?? {};
      const { outcome, text } = await crash(type, told);
      expect(outcome).toBe("captured");
      expect(text).toMatch(said);
      expect(text).toContain(`Kernel panic - not syncing: ${reason}\n`);
      // The lockup is told of with the registers and the way of what is stuck, the hang with the sleeper's.
      const report = text.slice(text.search(said), text.indexOf("Kernel panic"));
      if (lockup) expect(report).toMatch(new RegExp(`^RIP: 0010:lkdtm_${type}\\+0x`, "m"));
      expect(report).toMatch(new RegExp(`^ ${lockup ? "lkdtm_do_action" : `lkdtm_${type}`}\\+0x`, "m"));
      if (ends === "lockup") expect(text).toMatch(/Comm: init Kdump: loaded Tainted: G {13}L /);
    },
  );

  it("a hard lockup is told of once, and not when nobody looks", async () => {
    const said = /Watchdog detected hard LOCKUP/g;
    const { outcome, text } = await crash("HARDLOCKUP", "watchdog_thresh=1", 5000);
    expect(outcome).toBe("not-captured");
    expect(text.match(said)).toHaveLength(1);
    expect(text).toContain("NMI watchdog: Enabled. Permanently consumes one hw-PMU counter.\n");
    for (const setting of ["watchdog_thresh=1 nmi_watchdog=0", "watchdog_thresh=1 nowatchdog"]) {
      const off = await crash("HARDLOCKUP", setting, 3000);
      expect(off.text, setting).not.toMatch(said);
      expect(off.text, setting).not.toContain("NMI watchdog: Enabled");
    }
  });

  it("a lockup that nobody is told of goes on, and is reported again", async () => {
    const { outcome, reason, text } = await crash("SOFTLOCKUP", "watchdog_thresh=1", 8000);
    expect(outcome).toBe("not-captured");
    expect(reason).toContain("limit");
    const stuck = [...text.matchAll(/^watchdog: BUG: soft lockup - CPU#0 stuck for (\d+)s! \[init:\d+\]$/gm)];
    expect(stuck.length).toBeGreaterThan(1);
    const seconds = stuck.map((match) => Number(match[1]));
    expect(seconds).toEqual([...seconds].sort((a, b) => a - b));
    expect(new Set(seconds).size).toBe(seconds.length);
    expect(text).not.toContain("Kernel panic");
  });

  it.each(["nowatchdog", "nosoftlockup", "watchdog_thresh=0"])("%s: nobody looks", async (setting) => {
    const { text } = await crash("LOOP", `${setting} softlockup_panic=1`, 30_000);
    expect(text).toContain("lkdtm: Performing direct entry LOOP\n");
    expect(text).not.toContain("soft lockup");
  });

  it("a hang without a panic is reported hung_task_warnings times, and then the machine rests", async () => {
    const { outcome, reason, text } = await crash("HUNG_TASK", "", 3_600_000);
    expect(outcome).toBe("not-captured");
    expect(reason).not.toContain("limit");
    expect(text.match(/^INFO: task init:\d+ blocked for more than \d+ seconds\.$/gm)).toHaveLength(10);
    expect(text).not.toContain("Kernel panic");
  });

  it.each(OUTCOMES.filter(([, ends]) => ends === "oops"))(
    "%s kills the process that asked for it, and the machine lives on",
    async (type) => {
      const symbols = SystemMap.parse(readFileSync(built("System.map")));
      const { result, console } = await runInKernel(async (proc) => {
        const child = await proc.fork(async (writer) => {
          await writer.write(await writer.open(DIRECT, O_WRONLY), type);
          return 0;
        });
        const { pid, status } = await proc.wait(child);
        expect(pid).toBe(child);
        expect(exitCode(status)).toBe(139);
        expect(await readText(proc, "/proc/sys/kernel/panic_on_oops")).toBe("0\n");
      });
      expect(result.outcome).toBe("powered-off");
      expect(console).toMatch(/Comm: init Not tainted [\s\S]*---\[ end trace 0{16} \]---/);
      expect(console).not.toContain("Kernel panic");
      const { memory } = result.machine;
      expect(checkKernel(memory.copy(0, memory.size), symbols)).toEqual([]);
    },
  );

  it("shows the way there: the type's own function, then the file's write", async () => {
    const { text } = await crash("EXCEPTION", "");
    const trace = /Call Trace:\n <TASK>\n((?: \S+\n)+)/.exec(text)![1]!;
    const names = trace.split("\n").map((line) => line.replace(/\+.*/, "").trim());
    expect(text).toMatch(/^RIP: 0010:lkdtm_EXCEPTION\+0x/m);
    expect(names.slice(0, 2)).toEqual(["lkdtm_do_action", "direct_entry"]);
    expect(names.at(-2)).toBe("entry_SYSCALL_64_after_hwframe");
  });

  it("lists them on read, and refuses what it does not know with EINVAL", async () => {
    const { console } = await runInKernel(async (proc) => {
      const types = (await readText(proc, DIRECT, 7)).split("\n");
      expect(types[0]).toBe("Available crash types:");
      expect(types.slice(1, -1)).toEqual(OUTCOMES.map(([type]) => type));
      const fd = await proc.open(DIRECT, 1);
      for (const text of ["NO_SUCH_TYPE", "panic", " ", "P".repeat(5000)]) {
        const failure = await proc.write(fd, text).catch((error: unknown) => error);
        expect(failure).toBeInstanceOf(SyscallError);
        expect((failure as SyscallError).code).toBe("EINVAL");
      }
      // What stands around the name is not looked at, as with Linux's strim().
      await proc.write(fd, " OVERFLOW_SIGNED \n");
      const mounts = await readText(proc, "/proc/mounts");
      expect(mounts).toContain("debugfs /sys/kernel/debug debugfs rw 0 0\n");
    });
    expect(console).toContain("lkdtm: No crash points registered, enable through debugfs");
    expect(console).toContain("Performing direct entry OVERFLOW_SIGNED");
    expect(console).not.toContain("NO_SUCH_TYPE");
  });
});

describe("BUG() and WARN() of the checks", () => {
  const directory = join(KERNEL, "drivers/misc/lkdtm");
  const own = readdirSync(directory).map((name) => `drivers/misc/lkdtm/${name}`);

  it.each([...own, "lib/list_debug.ts", "lib/refcount.ts", "mm/slub.ts"])(
    "name the file and line they stand on: %s",
    (file) => {
      const lines = readFileSync(join(KERNEL, file), "utf8").split("\n");
      lines.forEach((line, index) => {
        const said = /c`([\w/]+\.ts)`, (\d+)/.exec(line);
        if (said !== null) expect([said[1], Number(said[2])]).toEqual([file, index + 1]);
      });
    },
  );
});
