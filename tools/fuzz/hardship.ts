/**
 * What a machine must bear: a fork bomb, a full table of files, memory taken to the last page, pointers that
 * lead nowhere. Each ends in an error number, or with its program killed for want of memory; anything else
 * is a Disagreement.
 */
import type { Random } from "../../runtime/machine/random.ts";
import { syscall } from "../../runtime/machine/x86.ts";
import { O_RDWR, type Proc, type Program, SIGKILL, SyscallError } from "../../runtime/user/proc.ts";
import { Disagreement } from "./story.ts";

/** Any system call, with registers that no well-behaved program has. */
type RawProc = Proc & { syscall(nr: number, ...args: number[]): Promise<number> };

const EFAULT = 14;
const AT_FDCWD = -100;
const LONG_MS = 3_600_000;
const FULL = 3;
/** More tasks, descriptors and pieces of memory than any of the machines has. */
const FORKS_MAX = 2000;
const FILES_MAX = 2000;
const PIECES_MAX = 2000;
const PIECE = new Uint8Array(64 << 10).fill(0x6d);

/** The name of the error that a call ends in; undefined when it does not. */
async function errorOf(call: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await call();
    return undefined;
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return error.code;
  }
}

/** A program that ends well when `until` fails with one of these errors, before `most` calls of it. */
function exhaust(most: number, codes: readonly string[], until: (proc: Proc) => Promise<unknown>): Program {
  return async (proc) => {
    for (let i = 0; i < most; i++) {
      const code = await errorOf(() => until(proc));
      if (code !== undefined) return codes.includes(code) ? 0 : FULL;
    }
    return FULL;
  };
}

/** Children until there can be no more; then all of them are killed and waited for. */
const bomb: Program = async (proc) => {
  const pids: number[] = [];
  const fill = exhaust(FORKS_MAX, ["EAGAIN", "ENOMEM"], async () => {
    pids.push(
      await proc.fork(async (child) => {
        await child.sleep(LONG_MS);
        return 0;
      }),
    );
  });
  const status = await fill(proc);
  for (const pid of pids) await proc.kill(pid, SIGKILL);
  for (const pid of pids) await proc.wait(pid);
  return status;
};

/** Descriptors until there can be no more; its end closes them. */
const table: Program = exhaust(FILES_MAX, ["EMFILE", "ENFILE", "ENOMEM"], (proc) =>
  proc.open("/dev/null", O_RDWR),
);

/** The heap until there is no more memory, or until it is killed for having it. */
export const takeMemory: Program = exhaust(PIECES_MAX, ["ENOMEM"], (proc) => proc.sbrk(PIECE));

/** Addresses where no program has memory: the first page, below and above everything, nowhere. */
const NOWHERE = [8, 0x5000, 0x3fff_f000, 0xc000_0000, 0xffff_f000, 0xffff_fff8];

/** Calls that read or write what their pointer leads to, whatever else they are told. */
const POINTERS: readonly (readonly [what: string, nr: number, args: (at: number) => number[]])[] = [
  ["open", syscall.open, (at) => [at, 0, 0]],
  ["stat of a name", syscall.stat, (at) => [at, at]],
  ["fstat", syscall.fstat, (at) => [1, at]],
  ["pipe2", syscall.pipe2, (at) => [at, 0]],
  ["execve", syscall.execve, (at) => [at, at, at]],
  ["mkdir", syscall.mkdir, (at) => [at, 0o700]],
  ["unlink", syscall.unlink, (at) => [at]],
  ["rename", syscall.rename, (at) => [at, at]],
  ["symlink", syscall.symlink, (at) => [at, at]],
  ["readlink", syscall.readlink, (at) => [at, at, 100]],
  ["nanosleep", syscall.nanosleep, (at) => [at, 0]],
  ["rt_sigaction", syscall.rt_sigaction, (at) => [15, at, 0, 8]],
  ["rt_sigprocmask", syscall.rt_sigprocmask, (at) => [0, at, 0, 8]],
  ["getrlimit", syscall.getrlimit, (at) => [7, at]],
  ["clock_gettime", syscall.clock_gettime, (at) => [0, at]],
  ["lstat", 6, (at) => [at, at]],
  ["pipe", syscall.pipe, (at) => [at]],
  ["uname", 63, (at) => [at]],
  ["rmdir", 84, (at) => [at]],
  ["rt_sigpending", syscall.rt_sigpending, (at) => [at, 8]],
  ["setrlimit", syscall.setrlimit, (at) => [7, at]],
  ["init_module", syscall.init_module, (at) => [at, 4096, at]],
  ["delete_module", syscall.delete_module, (at) => [at, 0]],
  ["time", syscall.time, (at) => [at]],
  ["openat", 257, (at) => [AT_FDCWD, at, 0, 0]],
  ["renameat2", syscall.renameat2, (at) => [AT_FDCWD, at, AT_FDCWD, at, 0]],
  ["write", syscall.write, (at) => [1, at, 8]],
];

/**
 * Calls that garbage must not make: those that change what others rely on (kill, reboot, kexec_file_load,
 * shared positions and files), that wait for ever, or that need more of the host than registers (clone).
 */
const NOT_GARBAGE: readonly number[] = [
  ...[0, 1, 7, 8, 17, 18, 19, 20, 23, 34, 56, 57, 58, 62, 128, 130, 169, 200, 202, 234],
  ...[246, 281, 317, 320, 326, 424, 435],
];
const CALL_NUMBERS = 450;
const GARBAGE_CALLS = 100;

/** A program that asks for anything. It ends as it may, if it does. */
function garbage(random: Random): Program {
  const seed = random.u32();
  return async (proc) => {
    let state = seed;
    const next = (): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      // Small numbers, addresses that lead nowhere, anything.
      const kind = state >>> 30;
      return kind === 0 ? (state >>> 8) & 15 : kind === 1 ? (NOWHERE[(state >>> 8) % 6] as number) : state;
    };
    for (let i = 0; i < GARBAGE_CALLS; i++) {
      const nr = (next() >>> 4) % CALL_NUMBERS;
      const args = [next(), next(), next(), next(), next(), next()];
      if (!NOT_GARBAGE.includes(nr)) await (proc as RawProc).syscall(nr, ...args);
    }
    return 0;
  };
}

/** All calls at once with one bad address, in init itself: nothing may come of them. */
export async function badPointers(proc: Proc, random: Random): Promise<void> {
  const at = NOWHERE[random.u32() % NOWHERE.length] as number;
  for (const [what, nr, args] of POINTERS) {
    const result = await (proc as RawProc).syscall(nr, ...args(at));
    if (result !== -EFAULT) throw new Disagreement(`${what} at 0x${at.toString(16)}: ${result}, not EFAULT`);
  }
}

/** undefined: there was no room for it at all. */
async function forkIfRoom(proc: Proc, program: Program): Promise<number | undefined> {
  try {
    return await proc.fork(program);
  } catch (error) {
    if (error instanceof SyscallError && ["EAGAIN", "ENOMEM"].includes(error.code)) return undefined;
    throw error;
  }
}

/** How the program of a hardship may end. */
async function endure(proc: Proc, name: string, program: Program): Promise<void> {
  const pid = await forkIfRoom(proc, program);
  if (pid === undefined) return;
  const { status } = await proc.wait(pid);
  // Status 1: a program without the memory for its own first call.
  if (![0, 1 << 8, SIGKILL].includes(status)) {
    throw new Disagreement(`a program that ${name} ended with status ${status}`);
  }
}

export const HARDSHIPS: readonly ((proc: Proc, random: Random) => Promise<void>)[] = [
  (proc) => endure(proc, "forks until it cannot", bomb),
  (proc) => endure(proc, "opens files until it cannot", table),
  (proc) => endure(proc, "takes memory until it cannot", takeMemory),
  badPointers,
  async (proc, random) => {
    const pid = await forkIfRoom(proc, garbage(random));
    if (pid !== undefined) await proc.wait(pid);
  },
];
