/**
 * What a CPU's thread and the main thread say to each other. The thread asks by a message and sleeps until
 * the answer is in its CPU's mailbox (machine/board.ts); only the CPU whose turn it is asks, so one question
 * at a time is under way. Devices and programs live on the main thread.
 */

import type { CachedModule } from "../kexec/modules.ts";
import type { Exit } from "../machine/cpu.ts";

/** What a thread is born with. */
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

export type Question =
  | { op: "put"; cpu: number; byte: number }
  | { op: "outs"; cpu: number; start: number; length: number }
  | { op: "flush"; cpu: number }
  | { op: "doorbell"; cpu: number; request: number }
  /** The kernel came back; with "user" the answer is the task's next system call. */
  | { op: "exit"; cpu: number; exit: Exit; tss: number; cr3: number; physBase: number }
  /** The runtime itself failed. */
  | { op: "bug"; cpu: number; message: string };

/** Words of an answer. */
export const MAIL = { result: 0, nr: 0, args: 1, rbx: 7, entry: 0, arg: 1 } as const;
export const MAIL_ARGS = 6;
