/**
 * Signals of programs: the structures of their system calls, and how a handler runs. A handler is an async
 * function with a Proc of its own: its calls are made while one of the interrupted program's is under way, so
 * their arguments lie on the stack, below the frame, as a C function's locals would.
 */

import { PIECE } from "./caller.ts";
import type { Context } from "./context.ts";
import { load } from "./fault.ts";
import { SegmentationFault, type UserMemory } from "./memory.ts";
import type { Handler, SignalInfo } from "./proc.ts";
import type { Process } from "./process.ts";

export const SIG_IGN = 1;
const SA_SIGINFO = 4;
const SA_RESTORER = 0x04000000;
/** struct sigaction of the kernel: handler, flags, restorer, mask; eight bytes each. */
export const SIGACTION_SIZE = 32;
/** Signals that there are. */
const NSIG = 64;
export const SIGSET_SIZE = NSIG / 8;
const SIGINFO_SIZE = 32;
/** Shells' status for a program that SIGSEGV ended. */
const STATUS_SEGV = 128 + 11;

/** What a process has in its memory of its own, as a C library would: children get a copy of it. */
export class ProcessState {
  constructor(readonly argv: readonly string[]) {}

  /** The arena: [start, end) of the heap. */
  start = 0;
  end = 0;
  /** The heap's end: beyond the arena's once a program has taken memory for itself. */
  brk = 0;
  /** What the arena may grow to. */
  piece = PIECE;
  /** Signals that were given handlers. */
  handled: ReadonlySet<number> = new Set();

  copy(): ProcessState {
    return Object.assign(new ProcessState(this.argv), this);
  }
}

/** What lies at the address of a handler. */
export interface HandlerEntry {
  handler: Handler;
  /** It was registered with SA_SIGINFO: the kernel tells it more. */
  siginfo: boolean;
}

/** How the kernel calls a handler: its frame, and the registers of its arguments. */
export interface HandlerCall {
  frame: number;
  signal: number;
  info: number;
  ucontext: number;
}

/** A handler from its first instruction to its return. A bug in it ends the program, as one in main does. */
export async function runHandler(
  process: Process,
  context: Context,
  memory: UserMemory,
  { handler, siginfo }: HandlerEntry,
  { frame, signal, info, ucontext }: HandlerCall,
): Promise<void> {
  try {
    const details = siginfo ? await readSignalInfo(context, memory, info) : undefined;
    await handler(process, signal, details, ucontext);
    await process.settled();
    await context.return(frame, memory);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    await process.complain(`${process.argv[0] ?? "?"}: signal ${signal}: ${message}\n`);
    await process.exit(error instanceof SegmentationFault ? STATUS_SEGV : 1);
  }
}

/** siginfo_t, as far as signals here have something to say (include/uapi/asm-generic/siginfo.h). */
async function readSignalInfo(context: Context, memory: UserMemory, address: number): Promise<SignalInfo> {
  const bytes = new Uint8Array(SIGINFO_SIZE);
  await load(context, memory, address, bytes);
  const view = new DataView(bytes.buffer);
  return {
    signo: view.getInt32(0, true),
    code: view.getInt32(8, true),
    pid: view.getInt32(16, true),
    uid: view.getUint32(20, true),
    status: view.getInt32(24, true),
    address: view.getUint32(20, true) * 2 ** 32 + view.getUint32(16, true),
  };
}

/** struct sigaction; `handler` is a number that the kernel takes, `restorer` where a handler returns to. */
export function sigactionBytes(
  handler: number,
  flags: number,
  mask: readonly number[],
  restorer: number,
): Uint8Array {
  const bytes = new Uint8Array(SIGACTION_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, handler, true);
  view.setUint32(8, (flags | SA_RESTORER) >>> 0, true);
  view.setUint32(16, restorer, true);
  bytes.set(sigset(mask), 24);
  return bytes;
}

export function hasSiginfo(flags: number): boolean {
  return (flags & SA_SIGINFO) !== 0;
}

/** sigset_t: bit n - 1 is signal n. */
export function sigset(signals: readonly number[]): Uint8Array {
  const set = new Uint8Array(SIGSET_SIZE);
  for (const signal of signals) (set[(signal - 1) >> 3] as number) |= 1 << ((signal - 1) & 7);
  return set;
}

export function signalsOf(set: Uint8Array): number[] {
  return Array.from({ length: NSIG }, (_, i) => i + 1).filter(
    (signal) => ((set[(signal - 1) >> 3] as number) >> ((signal - 1) & 7)) & 1,
  );
}
