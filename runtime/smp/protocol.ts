/**
 * What a CPU's thread and the main thread say to each other. Devices and programs live on the main thread:
 * the CPU puts its question into its mailbox (machine/board.ts), says so on the board, and sleeps until the
 * answer is there. Only the CPU whose turn it is asks, so one question at a time is under way, and nobody has
 * anything else to do meanwhile: both sides wait on words of shared memory, not for messages of the host,
 * which take several times longer. What does not fit into words is a letter, and the question says that one
 * comes.
 */

import type { CachedModule } from "../kexec/modules.ts";
import type { Exit } from "../machine/cpu.ts";

/** What a thread is told: be this CPU of this machine. */
export interface ThreadData {
  cpu: number;
  cpus: number;
  board: SharedArrayBuffer;
  memory: WebAssembly.Memory;
  seed: number;
  /** Whether time is virtual. */
  seeded: boolean;
  limit_ns: number;
  /** The kernel that will run, so that it need not be compiled again. */
  kernel: CachedModule;
}

/** The first word of a question; the others by their MAIL names. */
export const ASK = {
  /** A byte for the console, many, or what it holds back: serial.put, outs, flush. */
  put: 1,
  outs: 2,
  flush: 3,
  /** hostfs. */
  doorbell: 4,
  /** The task in user mode goes on; the answer is its next system call. */
  user: 5,
  /** The main thread has to look for a letter. */
  letter: 6,
} as const;

/** Words of questions and answers. */
export const MAIL = {
  op: 0,
  /** Of put: the byte; outs: start and length; doorbell: the request. */
  a: 1,
  b: 2,
  /** Of user. */
  tss: 1,
  cr3: 2,
  physBase: 3,
  result: 0,
  nr: 0,
  args: 1,
  rbx: 7,
  /** What the first CPU begins with. */
  entry: 0,
  arg: 1,
} as const;
export const MAIL_ARGS = 6;

export type Letter =
  /** The thread has begun to wait for its CPU's first turn. */
  | { op: "ready" }
  /** The kernel came back, and not for user mode. */
  | { op: "exit"; cpu: number; exit: Exit; tss: number; cr3: number; physBase: number }
  /** The runtime itself failed. */
  | { op: "bug"; cpu: number; message: string }
  /** The thread has nothing more to do with the machine, and could be a CPU of another one. */
  | { op: "idle" };
