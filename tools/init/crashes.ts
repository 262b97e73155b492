/**
 * The ways to crash: what `boot --crash TYPE` takes, and what init writes to which file for it. The initrd
 * carries the table as /etc/crash.conf, so that the machine needs nothing from outside to do it.
 */
import { exitCode, O_WRONLY, type Proc, type Program } from "../../runtime/user/proc.ts";

/** The file that sets a crash off, and what is written there. */
export interface Trigger {
  path: string;
  text: string;
}

export interface CrashType {
  name: string;
  /** None: the machine powers off cleanly. */
  trigger?: Trigger;
  ends: Ends;
  /** The module that must be loaded for it. */
  module?: string;
  summary: string;
}

/**
 * What comes of it: `panic` by itself; an `oops` of whoever asked for it, which is a panic when that is init
 * or with oops=panic; a `warning`, a panic with panic_on_warn=1 only; a `lockup` of the CPU, a panic with
 * softlockup_panic=1 only; a `hardlockup`, one with nmi_watchdog=panic only; a `hang` of the task, a panic
 * with hung_task_panic=1 only; `nothing` that anybody notices.
 */
export type Ends = "panic" | "oops" | "warning" | "lockup" | "hardlockup" | "hang" | "nothing";

const CRASHER_FILE = "/proc/crasher";
/** Longer than the module's timer takes by default. */
const TIMER_PATIENCE_MS = 1000;
const DIRECT = "/sys/kernel/debug/provoke-crash/DIRECT";

/** What Linux's test module can do and this kernel too, and what comes of it. */
const LKDTM: readonly (readonly [type: string, ends: Ends, summary: string])[] = [
  ["PANIC", "panic", "panic()"],
  ["BUG", "oops", "BUG()"],
  ["WARNING", "warning", "WARN_ON(): a crash with panic_on_warn=1 only"],
  ["WARNING_MESSAGE", "warning", "WARN(): a crash with panic_on_warn=1 only"],
  ["EXCEPTION", "oops", "a store through a NULL pointer"],
  ["LOOP", "lockup", "a loop without end: a crash, after some 22 s, with softlockup_panic=1 only"],
  ["EXHAUST_STACK", "panic", "a recursion without end"],
  ["CORRUPT_STACK", "panic", "an array on the stack overrun, which the stack protector finds"],
  ["CORRUPT_STACK_STRONG", "panic", "the same with a union"],
  ["UNALIGNED_LOAD_STORE_WRITE", "nothing", "an unaligned access, which is none of this machine's faults"],
  ["OVERFLOW_SIGNED", "nothing", "an addition that overflows: no crash"],
  ["OVERFLOW_UNSIGNED", "nothing", "an addition that overflows: no crash"],
  ["ARRAY_BOUNDS", "nothing", "a store behind an array's end, which nobody notices"],
  ["SOFTLOCKUP", "lockup", "the same with preemption off"],
  [
    "HARDLOCKUP",
    "hardlockup",
    "the same with interrupts off: a crash, after 20 s, with nmi_watchdog=panic only",
  ],
  ["HUNG_TASK", "hang", "a sleep without end: a crash, after 240 s, with hung_task_panic=1 only"],
  ["CORRUPT_LIST_ADD", "oops", "list_add() to a damaged list"],
  ["CORRUPT_LIST_DEL", "oops", "list_del() from a damaged list"],
  ["VMALLOC_LINEAR_OVERFLOW", "oops", "a write past the end of a vmalloc area"],
  ["READ_AFTER_FREE", "nothing", "a read of a freed object, which nobody notices"],
  ["WRITE_BUDDY_AFTER_FREE", "nothing", "a write to a freed page, which nobody notices"],
  ["READ_BUDDY_AFTER_FREE", "nothing", "a read of a freed page, which nobody notices"],
  ["SLAB_FREE_DOUBLE", "oops", "an object freed twice"],
  ["SLAB_FREE_CROSS", "warning", "an object freed to another cache: a warning"],
  ["SLAB_FREE_PAGE", "warning", "a page freed to a cache: a warning"],
  ["WRITE_RO", "oops", "a store to .rodata"],
  ["WRITE_KERN", "oops", "a store to the kernel's text"],
  ["EXEC_DATA", "oops", "a call of code in .data"],
  ["EXEC_STACK", "oops", "a call of code on the stack"],
  ["EXEC_KMALLOC", "oops", "a call of code in a slab object"],
  ["EXEC_VMALLOC", "oops", "a call of code in a vmalloc area"],
  ["EXEC_RODATA", "oops", "a call of code in .rodata"],
  ["EXEC_NULL", "oops", "a call through a NULL pointer"],
  ["ACCESS_NULL", "oops", "a load through a NULL pointer"],
  ["REFCOUNT_INC_OVERFLOW", "warning", "refcount_inc() beyond the maximum: a warning"],
  ["REFCOUNT_INC_NOT_ZERO_OVERFLOW", "warning", "refcount_inc_not_zero() beyond the maximum: a warning"],
  ["REFCOUNT_DEC_ZERO", "warning", "refcount_dec() to zero: a warning"],
  ["REFCOUNT_DEC_AND_TEST_NEGATIVE", "warning", "refcount_dec_and_test() below zero: a warning"],
  ["REFCOUNT_INC_ZERO", "warning", "refcount_inc() from zero: a warning"],
];

/** By the module crasher. */
const CRASHER: readonly (readonly [command: string, ends: Ends, summary: string])[] = [
  ["panic", "panic", "panic() in a module"],
  ["bug", "oops", "BUG() in a module"],
  ["oops", "oops", "a module's store to where nothing is mapped"],
  ["warn", "warning", "WARN() in a module: a crash with panic_on_warn=1 only"],
  ["recurse", "panic", "a recursion without end in a module"],
  ["timer", "panic", "panic() in a module's timer, in interrupt"],
];

export const CRASH_TYPES: readonly CrashType[] = [
  {
    name: "sysrq-c",
    trigger: { path: "/proc/sysrq-trigger", text: "c" },
    ends: "panic",
    summary: "echo c > /proc/sysrq-trigger",
  },
  { name: "none", ends: "nothing", summary: "no crash: power off cleanly" },
  ...LKDTM.map(([type, ends, summary]) => ({
    name: type.toLowerCase().replaceAll("_", "-"),
    trigger: { path: DIRECT, text: type },
    ends,
    summary,
  })),
  ...CRASHER.map(([command, ends, summary]) => ({
    name: `module-${command}`,
    trigger: { path: CRASHER_FILE, text: command },
    ends,
    module: "crasher",
    summary,
  })),
];

/**
 * echo TEXT > PATH. What may end in an oops is written by a process of its own, as a shell's child, since an
 * oops kills who is running; its exit status, 139 when it was killed so.
 */
export async function setOff(proc: Proc, { path, text }: Trigger): Promise<number> {
  const write: Program = async (writer) => {
    const fd = await writer.open(path, O_WRONLY);
    await writer.write(fd, text);
    await writer.close(fd);
    return 0;
  };
  if (path !== DIRECT && path !== CRASHER_FILE) return write(proc);
  const child = await proc.fork(write);
  const status = exitCode((await proc.wait(child)).status);
  if (path === CRASHER_FILE && text === "timer") await proc.sleep(TIMER_PATIENCE_MS);
  return status;
}

export const CRASH_DEFAULT = "sysrq-c";
/**
 * The kernel parameter that names the type; words with a dot are left for programs to read in /proc/cmdline.
 */
export const CRASH_PARAMETER = "wkdump.crash";

/** Modules to be loaded, NAME[,NAME]: as systemd-modules-load has it. */
export const MODULES_PARAMETER = "modules_load";

/** The text of /etc/crash.conf. */
export function crashConf(): string {
  const lines = CRASH_TYPES.map(({ name, trigger }) =>
    trigger ? `${name} ${trigger.path} ${trigger.text}` : name,
  );
  return `# type, file, what is written to it\n${lines.join("\n")}\n`;
}

/** Reads /etc/crash.conf. */
export function parseCrashConf(text: string): Map<string, CrashType["trigger"]> {
  const types = new Map<string, CrashType["trigger"]>();
  for (const line of text.split("\n")) {
    const [name, path, ...written] = line.replace(/#.*/, "").trim().split(/\s+/);
    if (!name) continue;
    types.set(name, path === undefined ? undefined : { path, text: written.join(" ") });
  }
  return types;
}
