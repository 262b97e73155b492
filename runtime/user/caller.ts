/**
 * A continuation that makes system calls: one after another, with arguments in memory of its own. Process has
 * the calls.
 */

import { errno, errnoName } from "../machine/errno.ts";
import { PAGE_SIZE } from "../machine/memory.ts";
import { syscall } from "../machine/x86.ts";
import { Arguments, cString } from "./arguments.ts";
import type { Context } from "./context.ts";
import { load, loadU64, store } from "./fault.ts";
import type { UserMemory } from "./memory.ts";
import { SyscallError } from "./proc.ts";
import type { ProcessState } from "./signals.ts";

/** Reads and writes go in pieces of at most this; less when the kernel gives no such arena. */
export const PIECE = 1 << 20;
const MAX_ERRNO = 4095;

export class Caller {
  protected readonly context: Context;
  protected readonly memory: UserMemory;
  protected readonly state: ProcessState;
  /**
   * A handler's arguments lie on its stack: those of the program's call that it interrupts are in the heap.
   */
  protected readonly stack: { start: number; size: number } | undefined;
  /** Calls go one after another, also when a program does not wait. */
  protected last: Promise<unknown> = Promise.resolve();

  constructor(context: Context, memory: UserMemory, stack?: { start: number; size: number }) {
    this.context = context;
    this.memory = memory;
    this.state = context.state;
    this.stack = stack;
  }

  get argv(): readonly string[] {
    return this.state.argv;
  }

  /** Where arguments go. */
  protected get start(): number {
    return this.stack?.start ?? this.state.start;
  }

  protected putBytes(address: number, bytes: Uint8Array): Promise<void> {
    return store(this.context, this.memory, address, bytes);
  }

  /** Fills `into` from `address` on. */
  protected getBytes(address: number, into: Uint8Array): Promise<void> {
    return load(this.context, this.memory, address, into);
  }

  /** 64 bits, exact up to 2^53. */
  protected getWord(address: number): Promise<number> {
    return loadU64(this.context, this.memory, address);
  }

  protected exclusive<T>(body: () => Promise<T>): Promise<T> {
    const result = this.last.then(body);
    this.last = result.catch(() => undefined);
    return result;
  }

  protected async call(
    name: keyof typeof syscall,
    path: string | undefined,
    ...args: number[]
  ): Promise<number> {
    const result = await this.context.syscall(syscall[name], ...args);
    if (result < 0 && result >= -MAX_ERRNO) throw new SyscallError(-result, errnoName(-result), name, path);
    return result;
  }

  protected withPaths<T>(name: string, paths: string[], body: (at: number[]) => Promise<T>): Promise<T> {
    return this.withArguments(
      name,
      paths.map((path) => cString(path, name)),
      body,
    );
  }

  /** Puts byte strings into the arena and gives their addresses; each must fit whole. */
  protected withArguments<T>(
    name: string,
    values: Uint8Array[],
    body: (at: number[]) => Promise<T>,
  ): Promise<T> {
    return this.exclusive(async () => {
      const size = values.reduce((sum, value) => sum + value.length, 0);
      if ((await this.arena(size)) < size) throw new SyscallError(errno.ENOMEM, "ENOMEM", name);
      const place = new Arguments(this.context, this.memory, this.start);
      const at: number[] = [];
      for (const value of values) at.push(await place.put(value));
      return body(at);
    });
  }

  /** Room for arguments: as large as `size`, or less; at least a page. */
  protected async arena(size: number): Promise<number> {
    return this.stack?.size ?? this.heap(size);
  }

  /**
   * Makes the heap's arena as large as `size`, or PIECE, or a quarter of what the kernel has not got; returns
   * how large it is (at least a page).
   */
  protected async heap(size: number): Promise<number> {
    const state = this.state;
    if (state.start === 0) {
      state.start = await this.context.syscall(syscall.brk, 0);
      state.end = state.start;
      state.brk = state.start;
    }
    let wanted = Math.ceil(Math.min(Math.max(size, 1), state.piece) / PAGE_SIZE) * PAGE_SIZE;
    // Memory that the program took lies behind the arena, which then stays as it is.
    while (state.brk === state.end && state.end - state.start < wanted) {
      // brk(2) of the kernel returns the new end, or the old one when there is no memory.
      state.end = await this.context.syscall(syscall.brk, state.start + wanted);
      state.brk = state.end;
      if (state.end - state.start >= wanted) break;
      if (wanted === PAGE_SIZE) throw new SyscallError(errno.ENOMEM, "ENOMEM", "brk");
      // So little memory is not taken to the last page: the kernel needs some for what the call asks of it.
      state.piece = Math.ceil(wanted / 4 / PAGE_SIZE) * PAGE_SIZE;
      wanted = state.piece;
    }
    return state.end - state.start;
  }
}
