/**
 * What the machine does before it crashes: files made, written, read, renamed and removed as a seed says, in
 * a file system of the kernel's own memory. What the files must hold is known here, and compared on the way.
 */

import { Random } from "../../runtime/machine/random.ts";
import {
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  type Proc,
  type Program,
  SIGCONT,
  SIGKILL,
  SIGSTOP,
  SIGTERM,
  SyscallError,
  WNOHANG,
} from "../../runtime/user/proc.ts";
import { CRASH_TYPES } from "../init/crashes.ts";
import { echo, exists, type Run, readText, words } from "../init/exec.ts";
import { prepareMemory } from "../init/memory.ts";
import { REBOOT_CMD_POWER_OFF } from "../init/reboot.ts";
import { prepareSwap } from "../swap/swap.ts";
import { firstDifference } from "./check/bytes.ts";
import { crash, InitExit, PATIENCE_MS, STARVED, WRITER_STATUSES } from "./crash.ts";
import { HARDSHIPS } from "./hardship.ts";
import { NMI, type Plan } from "./plan.ts";
import { Disagreement, type Story } from "./story.ts";

const KDUMP_SCRIPT = "/usr/bin/kdump";
const NAMES = 12;
const FILES_OPEN_MAX = 8;
const CHILDREN_MAX = 6;
const SIZE_MAX = 20_000;
/** Where writes begin at most: a machine that is full of files has nothing left for the rest. */
const OFFSET_MAX = 100_000;
const PIPE_MAX = 100_000;
const DAEMON_OPERATIONS = 100;
/** One operation in so many is a hardship, which is worth hundreds. */
const HARDSHIP = 500;
/** Errors of a machine that is full: nothing has happened then. */
const FULL: readonly string[] = ["ENOMEM", "ENOSPC", "EAGAIN"];
const READABLE = ["/proc/meminfo", "/proc/iomem", "/proc/uptime", "/proc/mounts", "/proc/cmdline"] as const;

interface Open {
  fd: number;
  contents: Contents;
}

/** What a child may end with: a wait status each; those that are killed may have ended before. */
interface Child {
  statuses: number[];
  /** Not to be killed. */
  needed: boolean;
}

/** A file's bytes, by whatever name it is known. */
interface Contents {
  bytes: Uint8Array;
  /** A write that came to its end for want of memory has left nobody knows what. */
  unknown: boolean;
}

/** Bytes that only this salt gives; they come again after PERIOD. */
function pattern(length: number, salt: number): Uint8Array {
  const PERIOD = 256;
  const bytes = new Uint8Array(length);
  const head = Math.min(length, PERIOD);
  for (let i = 0; i < head; i++) bytes[i] = (salt >>> (i & 15)) ^ i;
  for (let done = head; done < length; done *= 2) bytes.copyWithin(done, 0, Math.min(done, length - done));
  return bytes;
}

class Workload {
  readonly #proc: Proc;
  readonly #random: Random;
  readonly #files = new Map<string, Contents>();
  readonly #directories = new Set<string>();
  readonly #open: Open[] = [];
  readonly #children = new Map<number, Child>();
  /** Of children that were waited for. */
  readonly #statuses = new Map<number, number>();
  readonly #story: Story;

  constructor(proc: Proc, seed: number, story: Story) {
    this.#proc = proc;
    this.#story = story;
    this.#random = new Random(seed, "workload");
  }

  readonly #steps: readonly (() => Promise<void>)[] = [
    () => this.#create(),
    () => this.#write(),
    () => this.#write(),
    () => this.#read(),
    () => this.#read(),
    () => this.#unlink(),
    () => this.#rename(),
    () => this.#close(),
    () => this.#look(),
    () => this.#refuse(),
    () => this.#fork(),
    () => this.#kill(),
    () => this.#wait(),
    () => this.#pipe(),
    () => this.#program(),
    () => this.#directory(),
    () => this.#proc.sleep(this.#below(3)),
    () => this.#proc.schedYield(),
  ];

  /** `interlude` comes before step number `at`. */
  async run(operations: number, at?: number, interlude?: () => Promise<void>): Promise<void> {
    for (let i = 0; i <= operations; i++) {
      if (i === at) await interlude?.();
      if (i === operations) return;
      if (this.#below(HARDSHIP) === 0) await this.#pick(HARDSHIPS)(this.#proc, this.#random);
      else await this.#pick(this.#steps)();
    }
  }

  /** A child that ends when it wants to. `statuses`: how it may. */
  adopt(pid: number, statuses: number[]): void {
    this.#children.set(pid, { statuses, needed: true });
    this.#story.children.add(pid);
  }

  /** Waits for a child, unless it has been waited for. Its status. */
  async reap(pid: number): Promise<number> {
    if (this.#children.has(pid)) this.#ended(await this.#proc.wait(pid));
    return this.#statuses.get(pid) as number;
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#below(from.length)] as T;
  }

  #below(limit: number): number {
    return this.#random.u32() % limit;
  }

  #name(): string {
    return `/root/file-${this.#below(NAMES)}`;
  }

  async #expect(what: string, code: string | undefined, call: () => Promise<unknown>): Promise<void> {
    let got: string | undefined;
    try {
      await call();
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      got = error.code;
      // Memory may be short at any time, and then nothing has happened.
      if (FULL.includes(got)) return;
    }
    if (got !== code) throw new Disagreement(`${what}: ${got ?? "done"} instead of ${code ?? "done"}`);
  }

  async #create(): Promise<void> {
    const name = this.#name();
    const known = this.#files.get(name);
    const exclusive = this.#below(3) === 0;
    const truncate = this.#below(3) === 0;
    const flags = O_RDWR | O_CREAT | (exclusive ? O_EXCL : 0) | (truncate ? O_TRUNC : 0);
    const code = exclusive && known !== undefined ? "EEXIST" : undefined;
    await this.#expect(`create ${name}`, code, async () => {
      const fd = await this.#proc.open(name, flags, 0o600);
      const contents = known ?? { bytes: new Uint8Array(0), unknown: false };
      if (truncate) Object.assign(contents, { bytes: new Uint8Array(0), unknown: false });
      this.#files.set(name, contents);
      if (this.#open.length < FILES_OPEN_MAX) this.#open.push({ fd, contents });
      else await this.#proc.close(fd);
    });
  }

  #anyOpen(): Open | undefined {
    return this.#open.length === 0 ? undefined : this.#open[this.#below(this.#open.length)];
  }

  async #write(): Promise<void> {
    const open = this.#anyOpen();
    if (open === undefined) return;
    const old = open.contents.bytes;
    const offset = this.#below(Math.min(old.length + 100, OFFSET_MAX));
    const data = pattern(1 + this.#below(SIZE_MAX), this.#random.u32());
    const before = open.contents.unknown;
    open.contents.unknown = true;
    await this.#expect("write", undefined, async () => {
      await this.#proc.lseek(open.fd, offset, 0);
      await this.#proc.write(open.fd, data);
      const bytes = new Uint8Array(Math.max(old.length, offset + data.length));
      bytes.set(old);
      bytes.set(data, offset);
      open.contents.bytes = bytes;
      open.contents.unknown = before;
    });
  }

  async #read(): Promise<void> {
    const open = this.#anyOpen();
    if (open === undefined) return;
    const { bytes, unknown } = open.contents;
    if (unknown) return;
    const offset = this.#below(bytes.length + 1);
    const buffer = new Uint8Array(1 + this.#below(SIZE_MAX));
    await this.#expect("read", undefined, async () => {
      const got = await this.#proc.pread(open.fd, buffer, offset);
      const wanted = bytes.subarray(offset, offset + buffer.length);
      if (got > wanted.length || (got === 0 && wanted.length > 0)) {
        throw new Disagreement(`read: ${got} bytes of ${wanted.length}`);
      }
      const wrong = firstDifference(wanted.subarray(0, got), buffer.subarray(0, got));
      if (wrong >= 0) throw new Disagreement(`read: byte ${offset + wrong} is another`);
    });
  }

  async #unlink(): Promise<void> {
    const name = this.#name();
    await this.#expect(`unlink ${name}`, this.#files.has(name) ? undefined : "ENOENT", async () => {
      await this.#proc.unlink(name);
      this.#files.delete(name);
    });
  }

  async #rename(): Promise<void> {
    const from = this.#name();
    const to = this.#name();
    const contents = this.#files.get(from);
    await this.#expect(`rename ${from} ${to}`, contents === undefined ? "ENOENT" : undefined, async () => {
      await this.#proc.rename(from, to);
      this.#files.delete(from);
      this.#files.set(to, contents as Contents);
    });
  }

  async #close(): Promise<void> {
    const index = this.#open.length === 0 ? -1 : this.#below(this.#open.length);
    const [open] = index < 0 ? [] : this.#open.splice(index, 1);
    if (open !== undefined) await this.#proc.close(open.fd);
  }

  async #look(): Promise<void> {
    const name = READABLE[this.#below(READABLE.length)] as string;
    await this.#expect(`read ${name}`, undefined, async () => {
      const fd = await this.#proc.open(name, O_RDONLY);
      const buffer = new Uint8Array(1 + this.#below(5000));
      while ((await this.#proc.read(fd, buffer)) > 0);
      await this.#proc.close(fd);
    });
  }

  /** A child that sleeps, ends after a while, or waits for a pipe that nobody writes to. */
  async #fork(): Promise<void> {
    if (this.#children.size >= CHILDREN_MAX) return;
    const kind = this.#below(3);
    const code = this.#below(256);
    const turns = this.#below(10);
    await this.#expect("fork", undefined, async () => {
      const pid = await this.#proc.fork(async (child) => {
        if (kind === 0) await child.sleep(3_600_000);
        if (kind === 1) await child.read((await child.pipe())[0], new Uint8Array(8));
        for (let turn = 0; turn < turns; turn++) await child.schedYield();
        return code;
      });
      this.#children.set(pid, { statuses: kind === 2 ? [code << 8] : [], needed: false });
      this.#story.children.add(pid);
    });
  }

  async #kill(): Promise<void> {
    const pids = [...this.#children].filter(([, { needed }]) => !needed).map(([pid]) => pid);
    const pid = pids[this.#below(Math.max(1, pids.length))];
    const signal = this.#pick([SIGKILL, SIGTERM, SIGSTOP, SIGCONT]);
    // A zombie can be killed again and again: it is still there.
    if (pid === undefined) return;
    await this.#expect(`kill of ${pid}`, undefined, () => this.#proc.kill(pid, signal));
    if (signal === SIGKILL || signal === SIGTERM) this.#children.get(pid)?.statuses.push(signal);
  }

  async #wait(): Promise<void> {
    let found = { pid: 0, status: 0 };
    try {
      found = await this.#proc.wait(-1, WNOHANG);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      if (this.#children.size > 0 || error.code !== "ECHILD") throw new Disagreement(`wait: ${error.code}`);
    }
    if (found.pid !== 0) this.#ended(found);
  }

  #ended({ pid, status }: { pid: number; status: number }): void {
    const child = this.#children.get(pid);
    if (child === undefined && this.#story.adopted(pid)) return;
    if (child === undefined) throw new Disagreement(`wait: ${pid} is no child`);
    const oom = status === SIGKILL && this.#story.killed(pid);
    // Status 1: it had no memory for its own calls.
    if (!oom && ![...child.statuses, 1 << 8].includes(status)) {
      throw new Disagreement(`wait: status ${status} of ${pid}, not ${child.statuses.join(" or ")}`);
    }
    this.#children.delete(pid);
    this.#statuses.set(pid, status);
    this.#story.children.delete(pid);
  }

  /** More bytes than a pipe holds, from a child, which sleeps until they are read. */
  async #pipe(): Promise<void> {
    const data = pattern(1 + this.#below(PIPE_MAX), this.#random.u32());
    await this.#expect("pipe", undefined, async () => {
      const [read, write] = await this.#proc.pipe();
      let pid = 0;
      try {
        pid = await this.#proc.fork(async (child) => {
          await child.write(write, data);
          return 0;
        });
      } finally {
        await this.#proc.close(write);
        if (pid === 0) await this.#proc.close(read);
      }
      const got = new Uint8Array(data.length);
      let at = 0;
      for (let n = -1; n !== 0 && at < got.length; at += n) n = await this.#proc.read(read, got.subarray(at));
      await this.#proc.close(read);
      const { status } = await this.#proc.wait(pid);
      // Killed for want of memory, or without the memory for its call: its bytes may be missing.
      if (status === SIGKILL || status === 1 << 8) return;
      const wrong = at !== got.length || firstDifference(got, data) >= 0;
      if (status !== 0 || wrong)
        throw new Disagreement(`pipe: ${at} of ${got.length} bytes, status ${status}`);
    });
  }

  /** A program through all of execve, which refuses its argument. */
  async #program(): Promise<void> {
    await this.#expect("spawn", undefined, async () => {
      const status = await runWorkload(this.#proc, "?");
      if (![2 << 8, 1 << 8, SIGKILL].includes(status)) throw new Disagreement(`workload ?: status ${status}`);
    });
  }

  async #directory(): Promise<void> {
    const name = `/root/directory-${this.#below(4)}`;
    const known = this.#directories.has(name);
    await this.#expect(`mkdir ${name}`, known ? "EEXIST" : undefined, async () => {
      await this.#proc.mkdir(name, 0o700);
      this.#directories.add(name);
    });
  }

  /** What must be refused. */
  async #refuse(): Promise<void> {
    const proc = this.#proc;
    const wrong = this.#below(1000) + 100;
    const cases: readonly (readonly [string, string, () => Promise<unknown>])[] = [
      ["close of no file", "EBADF", () => proc.close(wrong)],
      ["read of no file", "EBADF", () => proc.read(wrong, new Uint8Array(1))],
      ["open of no name", "ENOENT", () => proc.open("/root/none", O_RDONLY)],
      ["open below a file", "ENOTDIR", () => proc.open("/init/below", O_RDONLY)],
      ["write to a directory", "EISDIR", () => proc.open("/root", O_WRONLY)],
      ["a signal to no process", "ESRCH", () => proc.kill(30_000, SIGTERM)],
      ["a signal that does not exist", "EINVAL", () => proc.kill(1, 99)],
      ["dup2 of no file", "EBADF", () => proc.dup2(wrong, 3)],
      ["unlink of a directory", "EISDIR", () => proc.unlink("/root")],
      ["mkdir of a name in use", "EEXIST", () => proc.mkdir("/root")],
      ["a name too long", "ENAMETOOLONG", () => proc.stat(`/root/${"x".repeat(256)}`)],
    ];
    const [what, code, call] = cases[this.#below(cases.length)] as (typeof cases)[number];
    await this.#expect(what, code, call);
  }
}

/** Runs workload(1), its complaints unheard; its status. */
async function runWorkload(proc: Proc, ...operands: string[]): Promise<number> {
  const nothing = await proc.open("/dev/null", O_WRONLY);
  let pid: number;
  try {
    pid = await proc.spawn("/usr/bin/workload", ["workload", ...operands], { dup: [[nothing, 2]] });
  } finally {
    await proc.close(nothing);
  }
  return (await proc.wait(pid)).status;
}

/** The init program of a run: the service, the workload, the crash; in the capture kernel, the usual one. */
export function fuzzInit(plan: Plan, usual: Program, run: Run, story: Story): Program {
  return async (proc) => {
    if (await exists(proc, KDUMP_SCRIPT)) return usual(proc);
    try {
      await firstKernel(proc, plan, run, story);
    } catch (error) {
      if (error instanceof InitExit) return 1;
      // init may die of want of memory, as any program; that is a panic.
      if (!(error instanceof SyscallError && error.code === "ENOMEM")) throw error;
      story.starved = true;
      return 1;
    }
    await proc.reboot(REBOOT_CMD_POWER_OFF);
    return 0;
  };
}

async function leaveDaemons(proc: Proc, seed: number): Promise<void> {
  const operands = [String(seed % DAEMON_OPERATIONS), String(seed)];
  try {
    const status = await runWorkload(proc, ...operands);
    if (![0, 1 << 8, SIGKILL].includes(status)) {
      throw new Disagreement(`workload ${operands.join(" ")}: status ${status}`);
    }
  } catch (error) {
    if (!(error instanceof SyscallError && FULL.includes(error.code))) throw error;
  }
}

/** Programs that work at the same time, on machines where there is a time for them. */
async function startCompanions(proc: Proc, plan: Plan, workload: Workload): Promise<void> {
  const operands = [String(plan.operations * plan.cpus + 1), String(plan.seed)];
  try {
    const pid = await proc.spawn("/usr/bin/workload", ["workload", ...operands]);
    workload.adopt(pid, [0, 1 << 8, SIGKILL]);
  } catch (error) {
    if (!(error instanceof SyscallError && FULL.includes(error.code))) throw error;
  }
}

async function firstKernel(proc: Proc, plan: Plan, run: Run, story: Story): Promise<void> {
  if (plan.crashkernel.words !== "") await run(proc, ["kdumpctl", "start"]);
  const { moment, operations } = plan;
  const workload = new Workload(proc, plan.seed, story);
  let writer: number | undefined;
  const interlude = async (): Promise<void> => {
    writer = await crash(proc, plan, story);
    if (writer !== undefined) workload.adopt(writer, WRITER_STATUSES);
  };
  const module = CRASH_TYPES.find(({ name }) => name === plan.crash)?.module;
  try {
    if (module !== undefined) await run(proc, ["modprobe", module]);
    const parameters = words(await readText(proc, "/proc/cmdline"));
    await prepareSwap(proc, run, parameters);
    await prepareMemory(proc, parameters);
    if (moment === "after") await workload.run(operations);
    else {
      if (plan.cpus > 1) await startCompanions(proc, plan, workload);
      await workload.run(operations, moment.operation, interlude);
    }
    // Its daemons stay, asleep and busy.
    if (plan.daemons) await leaveDaemons(proc, plan.seed);
    if (moment === "after") await interlude();
    if (writer !== undefined) story.unasked = STARVED.includes(await workload.reap(writer));
    if (plan.crash === NMI) await proc.sleep(PATIENCE_MS);
  } catch (error) {
    if (!(error instanceof Disagreement)) throw error;
    story.disagreements.push(error.message);
  }
  await echo(proc, `init: ${plan.crash} did not crash the machine`);
}
